/* Counts captions and negation words, and draws examples at random. */
#include "parts.h"

#include "nclip/support/error.h"
#include "nclip/support/random.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { SHOWN = 1000 }; /* bytes of an example */

int scan_field_rank(const struct nc_scan_options *options, const char *name, size_t length)
{
    static const char *const usual[] = {"updated_caption", "caption", "text", "TEXT"};
    if (options->field)
        return strlen(options->field) == length && memcmp(options->field, name, length) == 0
                   ? 0
                   : SCAN_NO_FIELD;
    for (int i = 0; i < 4; i++)
        if (strlen(usual[i]) == length && memcmp(usual[i], name, length) == 0)
            return i;
    return SCAN_NO_FIELD;
}

int scan_tally_create(const struct nc_scan_options *options, struct scan_tally *tally)
{
    size_t words = nc_negation_list_count(options->words);
    *tally = (struct scan_tally){.options = options};
    tally->by_word = calloc(words + 1, sizeof *tally->by_word);
    tally->last_caption = calloc(words + 1, sizeof *tally->last_caption);
    tally->denials_by_word = calloc(words + 1, sizeof *tally->denials_by_word);
    tally->last_denial = calloc(words + 1, sizeof *tally->last_denial);
    tally->samples = calloc(options->examples + 1, sizeof *tally->samples);
    return tally->by_word && tally->last_caption && tally->denials_by_word && tally->last_denial &&
                   tally->samples
               ? NC_OK
               : nc_error(NC_FAILED, "scan: no memory for %zu examples", options->examples);
}

void scan_tally_free(struct scan_tally *tally)
{
    for (size_t i = 0; i < tally->sample_count; i++)
        free(tally->samples[i].text);
    free(tally->samples);
    free(tally->by_word);
    free(tally->last_caption);
    free(tally->denials_by_word);
    free(tally->last_denial);
    *tally = (struct scan_tally){0};
}

/* ---- Examples: those with the lowest of numbers that chance gives each caption by its place, so
 * that neither threads nor blocks change the choice (as a reservoir of Vitter's would). ---- */

static uint64_t priority(uint64_t seed, size_t file, uint64_t offset)
{
    uint64_t z = nc_random_mix(seed + NC_RANDOM_STEP + file);
    return nc_random_mix(z + NC_RANDOM_STEP + offset);
}

static bool lower(const struct scan_sample *a, const struct scan_sample *b)
{
    if (a->priority != b->priority)
        return a->priority < b->priority;
    return a->file != b->file ? a->file < b->file : a->offset < b->offset;
}

static void find_worst(struct scan_tally *tally)
{
    tally->worst = 0;
    for (size_t i = 1; i < tally->sample_count; i++)
        if (lower(&tally->samples[tally->worst], &tally->samples[i]))
            tally->worst = i;
}

static bool wanted(const struct scan_tally *tally, const struct scan_sample *sample)
{
    return tally->sample_count < tally->options->examples ||
           (tally->sample_count && lower(sample, &tally->samples[tally->worst]));
}

/* Takes sample->text. */
static void keep(struct scan_tally *tally, const struct scan_sample *sample)
{
    if (tally->sample_count < tally->options->examples) {
        tally->samples[tally->sample_count++] = *sample;
    } else {
        free(tally->samples[tally->worst].text);
        tally->samples[tally->worst] = *sample;
    }
    if (tally->sample_count == tally->options->examples)
        find_worst(tally);
}

/* A copy that can be shown: zeros become spaces, and what is not UTF-8 question marks. */
static char *showable(const char *text, size_t length)
{
    char *copy = malloc(length + 1);
    for (size_t i = 0; copy && i < length;) {
        utf8proc_int32_t code;
        utf8proc_ssize_t bytes = utf8proc_iterate((const utf8proc_uint8_t *)text + i,
                                                  (utf8proc_ssize_t)(length - i), &code);
        size_t step = bytes > 0 ? (size_t)bytes : 1;
        memcpy(copy + i, text + i, step);
        if (bytes <= 0)
            copy[i] = '?';
        else if (!code)
            copy[i] = ' ';
        i += step;
    }
    if (copy)
        copy[length] = 0;
    return copy;
}

/* Counts the caption for the word, once. */
static void count(uint64_t *by_word, uint64_t *last, size_t word, uint64_t caption)
{
    by_word[word] += last[word] != caption;
    last[word] = caption;
}

int scan_tally_caption(struct scan_tally *tally, size_t file, uint64_t offset, const char *text,
                       size_t length)
{
    struct nc_negation_match match = {0};
    uint64_t number = ++tally->captions;
    bool negated = false, denies = false;
    while (nc_negation_list_find(tally->options->words, text, length, match.end, &match)) {
        negated |= match.listed;
        denies |= match.denies;
        if (match.listed)
            count(tally->by_word, tally->last_caption, match.word, number);
        if (match.denies)
            count(tally->denials_by_word, tally->last_denial, match.word, number);
    }
    tally->negated += negated;
    tally->denials += denies;
    if (!tally->options->examples || !(negated || denies))
        return NC_OK;
    struct scan_sample sample = {
        .priority = priority(tally->options->seed, file, offset), .file = file, .offset = offset};
    if (!wanted(tally, &sample))
        return NC_OK;
    sample.length = length;
    if (length > SHOWN)
        for (sample.length = SHOWN; sample.length && ((uint8_t)text[sample.length] & 0xc0) == 0x80;)
            sample.length--; /* no half character */
    sample.text = showable(text, sample.length);
    if (!sample.text)
        return nc_error(NC_FAILED, "scan: no memory for an example");
    keep(tally, &sample);
    return NC_OK;
}

void scan_tally_unread(struct scan_tally *tally, size_t file, uint64_t offset, const char *reason)
{
    tally->unread++;
    if (tally->unread_reason &&
        (file != tally->unread_file ? file > tally->unread_file : offset > tally->unread_offset))
        return;
    tally->unread_file = file;
    tally->unread_offset = offset;
    tally->unread_reason = reason;
}

int scan_tally_merge(struct scan_tally *to, struct scan_tally *from)
{
    to->captions += from->captions;
    to->negated += from->negated;
    to->denials += from->denials;
    to->bytes += from->bytes;
    for (size_t i = 0; i < nc_negation_list_count(to->options->words); i++) {
        to->by_word[i] += from->by_word[i];
        to->denials_by_word[i] += from->denials_by_word[i];
    }
    for (size_t i = 0; i < from->sample_count; i++) {
        if (wanted(to, &from->samples[i]))
            keep(to, &from->samples[i]);
        else
            free(from->samples[i].text);
    }
    from->sample_count = 0;
    if (from->unread_reason) {
        uint64_t unread = to->unread + from->unread;
        scan_tally_unread(to, from->unread_file, from->unread_offset, from->unread_reason);
        to->unread = unread;
    }
    return NC_OK;
}
