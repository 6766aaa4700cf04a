/* Splits a question into words. */
#include "words.h"

#include "nclip/negation/lexicon.h"

#include <ctype.h>
#include <string.h>

bool vqa_sentence_split(const char *text, struct vqa_sentence *sentence, bool *inner)
{
    size_t used = 0;
    bool ended = false;
    sentence->count = 0;
    *inner = false;
    while (*text) {
        for (; *text && (isspace((unsigned char)*text) || strchr("?.!,;\"", *text)); text++)
            ended |= strchr("?.!;", *text) != NULL && sentence->count;
        if (!*text)
            break;
        *inner |= ended;
        if (sentence->count == VQA_MOST_WORDS)
            return false;
        sentence->words[sentence->count] = sentence->text + used;
        sentence->low[sentence->count++] = sentence->lower + used;
        for (; *text && !isspace((unsigned char)*text) && !strchr("?.!,;\"", *text); text++) {
            unsigned char letter = (unsigned char)*text;
            if (used + 2 > sizeof sentence->text ||
                !(isalnum(letter) || letter == '-' || letter == '\'' || letter == '&'))
                return false;
            sentence->lower[used] = (char)tolower(letter);
            sentence->text[used++] = (char)letter;
        }
        sentence->lower[used] = 0;
        sentence->text[used++] = 0;
    }
    return sentence->count > 0;
}
