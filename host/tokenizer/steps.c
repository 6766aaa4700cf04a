/* The steps that a text is normalised by, each from one buffer to another. */
#include "pieces.h"

#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

int nc_steps_add(struct nc_steps *steps, const char *where, enum nc_step_kind kind, const char *from,
                 const char *to)
{
    if (steps->count == NC_MOST_STEPS)
        return nc_error(NC_BAD_INPUT, "%s: its normalizer has more than %d steps", where,
                        NC_MOST_STEPS);
    struct nc_step *step = &steps->list[steps->count++];
    *step = (struct nc_step){.kind = kind, .from = strdup(from ? from : ""), .to = strdup(to ? to : "")};
    return step->from && step->to ? NC_OK : nc_error(NC_FAILED, "%s: no memory", where);
}

void nc_steps_free(struct nc_steps *steps)
{
    for (size_t i = 0; i < steps->count; i++) {
        free(steps->list[i].from);
        free(steps->list[i].to);
    }
    nc_charsmap_free(&steps->charsmap);
    *steps = (struct nc_steps){0};
}

/* ---- Buffers ---- */

enum { LARGEST = 1 << 30 }; /* bytes of a normalised text: steps may make it longer */

static int append(struct nc_buffer *out, const void *bytes, size_t count)
{
    if (out->count + count > LARGEST)
        return nc_error(NC_BAD_INPUT, "a normalised text of more than %d MiB is too long",
                        LARGEST >> 20);
    if (out->count + count > out->capacity) {
        int status = nc_buffer_reserve(out, 2 * (out->count + count));
        if (status != NC_OK)
            return status;
    }
    if (count)
        memcpy(out->at + out->count, bytes, count);
    out->count += count;
    return NC_OK;
}

static int append_text(struct nc_buffer *out, const char *text)
{
    return append(out, text, strlen(text));
}

static bool is_white(uint32_t code)
{
    return nc_code_class(NC_TOKENIZER_TRANSFORMERS, code) == NC_SPACE;
}

/* ---- Steps ---- */

/* By clusters of characters: one of fewer than six bytes is looked up whole, and found by its first
 * character already; else character by character. Source: tokenizers, normalizers/precompiled.rs. */
static int charsmap_by_clusters(const struct nc_charsmap *charsmap, const struct nc_buffer *in,
                                struct nc_buffer *out)
{
    int status = NC_OK;
    for (size_t at = 0, end; at < in->count && status == NC_OK; at = end) {
        uint32_t code, next;
        utf8proc_int32_t state = 0;
        size_t matched;
        end = at + nc_utf8_decode_one(in->at + at, &code);
        while (end < in->count) {
            size_t length = nc_utf8_decode_one(in->at + end, &next);
            if (utf8proc_grapheme_break_stateful((utf8proc_int32_t)code, (utf8proc_int32_t)next, &state))
                break;
            end += length;
            code = next;
        }
        const char *whole = end - at < 6
                                ? nc_charsmap_find(charsmap, in->at + at, end - at, false, &matched)
                                : NULL;
        if (whole) {
            status = append_text(out, whole);
            continue;
        }
        for (size_t i = at, length; i < end && status == NC_OK; i += length) {
            length = nc_utf8_length(in->at[i]);
            const char *to = nc_charsmap_find(charsmap, in->at + i, length, false, &matched);
            status = to ? append_text(out, to) : append(out, in->at + i, length);
        }
    }
    return status;
}

/* What the text begins with, mapped: `length` bytes of it. Source: sentencepiece's normalizer.cc. */
static const uint8_t *spm_prefix(const struct nc_charsmap *charsmap, const struct nc_buffer *in,
                                 size_t at, size_t *length, size_t *mapped)
{
    const char *to = nc_charsmap_find(charsmap, in->at + at, in->count - at, true, length);
    if (to) {
        *mapped = strlen(to);
        return (const uint8_t *)to;
    }
    *mapped = *length = nc_utf8_length(in->at[at]);
    return in->at + at;
}

static int spm(const struct nc_steps *steps, const struct nc_buffer *in, struct nc_buffer *out)
{
    const struct nc_spm_rules *rules = &steps->spm;
    const char *space = rules->escape_spaces ? NC_SPACE_PIECE : " ";
    size_t space_size = strlen(space), at = 0, length, mapped, start = out->count;
    bool after_space = rules->remove_extra_spaces && !rules->inside;
    while (after_space && at < in->count) {
        const uint8_t *to = spm_prefix(&steps->charsmap, in, at, &length, &mapped);
        if (mapped != 1 || *to != ' ')
            break;
        at += length;
    }
    int status = at < in->count && rules->dummy_prefix ? append(out, space, space_size) : NC_OK;
    for (; at < in->count && status == NC_OK; at += length) {
        const uint8_t *to = spm_prefix(&steps->charsmap, in, at, &length, &mapped);
        for (; after_space && mapped && *to == ' '; mapped--)
            to++;
        for (size_t i = 0; i < mapped && status == NC_OK; i++)
            status = to[i] == ' ' ? append(out, space, space_size) : append(out, to + i, 1);
        if (mapped)
            after_space = rules->remove_extra_spaces && to[mapped - 1] == ' ';
    }
    while (rules->remove_extra_spaces && out->count - start >= space_size &&
           memcmp(out->at + out->count - space_size, space, space_size) == 0)
        out->count -= space_size;
    return status;
}

static int code_points(const struct nc_step *step, struct nc_tokenizer_scratch *scratch,
                       const struct nc_buffer *in, struct nc_buffer *out)
{
    struct nc_code_points *points = &scratch->text, *spare = &scratch->spare;
    bool replaced, pythons = step->kind == NC_STEP_CANONICAL;
    points->count = 0;
    int status = nc_utf8_decode((const char *)in->at, in->count, points, &replaced);
    if (status == NC_OK && step->kind == NC_STEP_NFC)
        status = nc_normalize(NC_TOKENIZER_TRANSFORMERS, points, spare);
    else if (status == NC_OK) {
        status = nc_lower(pythons ? NC_TOKENIZER_OPEN_CLIP : NC_TOKENIZER_TRANSFORMERS, points, spare);
        points = spare;
    }
    bool space = false, begun = false;
    for (size_t i = 0; i < points->count && status == NC_OK; i++) {
        uint8_t bytes[4];
        uint32_t code = points->at[i];
        if (pythons && nc_ascii_punctuation(code))
            continue;
        if (pythons && nc_python_space(code)) {
            space = begun;
            continue;
        }
        if (space)
            status = append(out, " ", 1);
        space = false;
        begun = true;
        if (status == NC_OK)
            status = append(out, bytes,
                            (size_t)utf8proc_encode_char((utf8proc_int32_t)code, bytes));
    }
    return status;
}

static int replace(const struct nc_step *step, const struct nc_buffer *in, struct nc_buffer *out,
                   size_t *begins)
{
    size_t length = strlen(step->from);
    int status = NC_OK;
    for (size_t i = 0; i < in->count && status == NC_OK;) {
        *begins = out->count ? *begins : i;
        bool found = length && in->count - i >= length && memcmp(in->at + i, step->from, length) == 0;
        status = found ? append_text(out, step->to) : append(out, in->at + i, 1);
        i += found ? length : 1;
    }
    return status;
}

/* Runs of what the step is about. */
static int replace_runs(const struct nc_step *step, const struct nc_buffer *in,
                        struct nc_buffer *out, size_t *begins)
{
    int status = NC_OK;
    for (size_t i = 0, end; i < in->count && status == NC_OK; i = end) {
        *begins = out->count ? *begins : i;
        uint32_t code;
        size_t least = step->kind == NC_STEP_RUNS ? 2 : 1, run = 0;
        for (end = i; end < in->count; run++) {
            size_t length = nc_utf8_decode_one(in->at + end, &code);
            bool one = step->kind == NC_STEP_RUNS    ? code == ' '
                       : step->kind == NC_STEP_WHITE ? is_white(code)
                                                     : !run && nc_ascii_punctuation(code);
            if (!one)
                break;
            end += length;
        }
        if (run >= least) {
            status = append_text(out, step->to);
        } else {
            end = end > i ? end : i + nc_utf8_length(in->at[i]);
            status = append(out, in->at + i, end - i);
        }
    }
    return status;
}

static int strip(const struct nc_step *step, const struct nc_buffer *in, struct nc_buffer *out,
                 size_t *begins)
{
    size_t first = 0, last = 0;
    uint32_t code;
    bool leading = step->left;
    for (size_t i = 0, length; i < in->count; i += length) {
        length = nc_utf8_decode_one(in->at + i, &code);
        bool white = is_white(code);
        if (leading && white)
            first = i + length;
        leading = leading && white;
        if (!white || !step->right)
            last = i + length;
    }
    *begins = first;
    return last > first ? append(out, in->at + first, last - first) : NC_OK;
}

/* *begins: where in `in` that is from which `out` begins. */
static int run_step(const struct nc_steps *steps, const struct nc_step *step,
                    struct nc_tokenizer_scratch *scratch, const struct nc_buffer *in,
                    struct nc_buffer *out, size_t *begins)
{
    int status;
    *begins = 0; /* the peers count what a charsmap leaves out as there */
    switch (step->kind) {
    case NC_STEP_CHARSMAP:
        return charsmap_by_clusters(&steps->charsmap, in, out);
    case NC_STEP_SPM:
        return spm(steps, in, out);
    case NC_STEP_CANONICAL:
    case NC_STEP_LOWER:
    case NC_STEP_NFC:
        return code_points(step, scratch, in, out);
    case NC_STEP_REPLACE:
        return replace(step, in, out, begins);
    case NC_STEP_RUNS:
    case NC_STEP_WHITE:
    case NC_STEP_PUNCTUATION:
        return replace_runs(step, in, out, begins);
    case NC_STEP_STRIP:
        return strip(step, in, out, begins);
    case NC_STEP_PREPEND:
        break;
    }
    status = in->count ? append_text(out, step->to) : NC_OK;
    return status == NC_OK ? append(out, in->at, in->count) : status;
}

int nc_steps_run(const struct nc_steps *steps, struct nc_tokenizer_scratch *scratch,
                 struct nc_buffer *text, struct nc_buffer *other, bool *begun)
{
    int status = NC_OK;
    size_t begins;
    *begun = true;
    for (size_t i = 0; i < steps->count && status == NC_OK; i++) {
        other->count = 0;
        status = run_step(steps, &steps->list[i], scratch, text, other, &begins);
        *begun = *begun && !begins;
        struct nc_buffer swap = *text;
        *text = *other;
        *other = swap;
    }
    return status;
}
