/* Cleaned text to words. Both references use one regular expression,
 *
 *   's|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+
 *
 * with the special tokens as first alternatives. transformers spells them
 * <|startoftext|> and <|endoftext|> and splits what it finds once more, without
 * them; open_clip spells them <start_of_text> and <end_of_text>, takes them for
 * the special ids, and ignores case.
 */
#include "parts.h"

#include <string.h>

static size_t class_at(enum nc_tokenizer_rules rules, const uint8_t *at, enum nc_class *class)
{
    if (at[0] < 0x80) {
        uint8_t byte = at[0];
        if ((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z'))
            *class = NC_LETTER;
        else if (byte == ' ' || (byte >= 9 && byte <= 0xd))
            *class = NC_SPACE;
        else if (byte >= '0' && byte <= '9')
            *class = NC_NUMBER;
        else
            *class = NC_OTHER;
        return 1;
    }
    uint32_t code;
    size_t length = nc_utf8_decode_one(at, &code);
    *class = nc_code_class(rules, code);
    return length;
}

/* Length of `word` (lower-case ASCII) at the start of `at`; 0: something else is
 * there. Ignoring case, the long s (U+017F) is an s: no other letter of these
 * words has such a double once the text is in lower case. */
static size_t match(enum nc_tokenizer_rules rules, const uint8_t *at, size_t left, const char *word)
{
    size_t length = 0;
    for (; *word; word++) {
        if (length < left && at[length] == (uint8_t)*word)
            length++;
        else if (*word == 's' && rules == NC_TOKENIZER_OPEN_CLIP && length + 1 < left &&
                 at[length] == 0xc5 && at[length + 1] == 0xbf)
            length += 2;
        else
            return 0;
    }
    return length;
}

static size_t match_contraction(enum nc_tokenizer_rules rules, const uint8_t *at, size_t left)
{
    static const char *const contractions[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    for (size_t i = 0; i < sizeof contractions / sizeof *contractions; i++) {
        size_t length = match(rules, at, left, contractions[i]);
        if (length)
            return length;
    }
    return 0;
}

/* Length of the run of `class` that starts at `from`. */
static size_t run_length(enum nc_tokenizer_rules rules, const uint8_t *text, size_t from,
                         size_t length, enum nc_class class)
{
    size_t at = from;
    while (at < length) {
        enum nc_class next;
        size_t step = class_at(rules, text + at, &next);
        if (next != class)
            break;
        at += step;
    }
    return at - from;
}

bool nc_next_word(const struct nc_tokenizer *tokenizer, const uint8_t *text, size_t length,
                  struct nc_word *word)
{
    enum nc_tokenizer_rules rules = tokenizer->rules;
    bool open_clip = rules == NC_TOKENIZER_OPEN_CLIP;
    size_t at = word->from;
    enum nc_class class = NC_SPACE;
    size_t step = 0;
    for (; at < length; at += step) {
        step = class_at(rules, text + at, &class);
        if (class != NC_SPACE && class != NC_IGNORED)
            break;
    }
    word->start = at;
    word->special = -1;
    if (at >= length)
        return false;

    if (text[at] == '<' && at >= word->wall) {
        const char *const spelled[2] = {open_clip ? "<start_of_text>" : "<|startoftext|>",
                                        open_clip ? "<end_of_text>" : "<|endoftext|>"};
        for (int i = 0; i < 2; i++) {
            size_t matched = match(rules, text + at, length - at, spelled[i]);
            if (!matched)
                continue;
            if (!open_clip) { /* its punctuation does not join what surrounds it */
                word->wall = at + matched;
                break;
            }
            word->length = matched;
            if (matched == strlen(spelled[i])) /* with a long s it is only one long word */
                word->special = i == 0 ? tokenizer->start : tokenizer->end;
            word->from = at + matched;
            return true;
        }
    }
    size_t end = at < word->wall ? word->wall : length;
    size_t found = text[at] == '\'' ? match_contraction(rules, text + at, end - at) : 0;
    if (!found)
        found = class == NC_NUMBER ? step : run_length(rules, text, at, end, class);
    word->length = found;
    word->from = at + found;
    return true;
}
