/* UTF-8, classes of characters, lower case and NFC, as Python and the Rust tokenizers have them. */
#include "parts.h"

#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

int32_t nc_code_range_find(const struct nc_code_range *table, size_t count, uint32_t code,
                           int32_t missing)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (code > table[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && code >= table[low].first ? table[low].value : missing;
}

int nc_code_points_reserve(struct nc_code_points *text, size_t capacity)
{
    if (capacity <= text->capacity)
        return NC_OK;
    if (capacity < 2 * text->capacity)
        capacity = 2 * text->capacity;
    uint32_t *larger =
        capacity > SIZE_MAX / sizeof *larger ? NULL : realloc(text->at, capacity * sizeof *larger);
    if (!larger)
        return nc_error(NC_FAILED, "no memory for a text of %zu characters", capacity);
    text->at = larger;
    text->capacity = capacity;
    return NC_OK;
}

int nc_code_points_copy(struct nc_code_points *text, const uint32_t *from, size_t count)
{
    int status = nc_code_points_reserve(text, count);
    if (status != NC_OK)
        return status;
    if (count)
        memcpy(text->at, from, count * sizeof *from);
    text->count = count;
    return NC_OK;
}

void nc_code_points_free(struct nc_code_points *text)
{
    free(text->at);
    *text = (struct nc_code_points){0};
}

int nc_buffer_reserve(struct nc_buffer *buffer, size_t capacity)
{
    if (capacity <= buffer->capacity)
        return NC_OK;
    if (capacity < 2 * buffer->capacity)
        capacity = 2 * buffer->capacity;
    uint8_t *larger = realloc(buffer->at, capacity);
    if (!larger)
        return nc_error(NC_FAILED, "no memory for a text of %zu bytes", capacity);
    buffer->at = larger;
    buffer->capacity = capacity;
    return NC_OK;
}

size_t nc_utf8_decode_one(const uint8_t *at, uint32_t *code)
{
    if (at[0] < 0x80) {
        *code = at[0];
        return 1;
    }
    if (at[0] < 0xe0) {
        *code = (at[0] & 0x1fu) << 6 | (at[1] & 0x3fu);
        return 2;
    }
    if (at[0] < 0xf0) {
        *code = (at[0] & 0xfu) << 12 | (at[1] & 0x3fu) << 6 | (at[2] & 0x3fu);
        return 3;
    }
    *code = (at[0] & 7u) << 18 | (at[1] & 0x3fu) << 12 | (at[2] & 0x3fu) << 6 | (at[3] & 0x3fu);
    return 4;
}

/* Length of the sequence at `at`; negative: that many bytes are the longest
 * beginning of a sequence, and it is broken (Unicode 15, table 3-7). */
static int sequence_length(const uint8_t *at, size_t left)
{
    uint8_t lead = at[0], low = 0x80, high = 0xbf;
    int length;
    if (lead < 0x80)
        return 1;
    if (lead < 0xc2 || lead > 0xf4)
        return -1;
    if (lead < 0xe0) {
        length = 2;
    } else if (lead < 0xf0) {
        length = 3;
        low = lead == 0xe0 ? 0xa0 : 0x80;
        high = lead == 0xed ? 0x9f : 0xbf; /* no surrogates */
    } else {
        length = 4;
        low = lead == 0xf0 ? 0x90 : 0x80;
        high = lead == 0xf4 ? 0x8f : 0xbf; /* nothing beyond U+10FFFF */
    }
    for (int i = 1; i < length; i++) {
        if ((size_t)i >= left || at[i] < low || at[i] > high)
            return -i;
        low = 0x80;
        high = 0xbf;
    }
    return length;
}

int nc_utf8_decode(const char *text, size_t length, struct nc_code_points *out, bool *replaced)
{
    const uint8_t *at = (const uint8_t *)text;
    int status = nc_code_points_reserve(out, out->count + length);
    if (status != NC_OK)
        return status;
    for (size_t i = 0; i < length;) {
        int step = sequence_length(at + i, length - i);
        uint32_t code = 0xfffd;
        if (step < 0) {
            *replaced = true;
            step = -step;
        } else {
            nc_utf8_decode_one(at + i, &code);
        }
        out->at[out->count++] = code;
        i += (size_t)step;
    }
    return NC_OK;
}

bool nc_python_space(uint32_t code)
{
    return (code >= 9 && code <= 0xd) || (code >= 0x1c && code <= 0x20) || code == 0x85 ||
           code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 ||
           code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

static enum nc_class category_class(utf8proc_category_t category)
{
    switch (category) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return NC_LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return NC_NUMBER;
    default:
        return NC_OTHER;
    }
}

enum nc_class nc_code_class(enum nc_tokenizer_rules rules, uint32_t code)
{
    /* \s of both references lacks the separators 0x1c to 0x1f. */
    if (nc_python_space(code) && !(code >= 0x1c && code <= 0x1f))
        return NC_SPACE;
    /* Python's regex, ignoring case, finds U+0345 neither in \p{L} nor outside of it:
     * its capital form is a letter. */
    if (code == 0x345 && rules == NC_TOKENIZER_OPEN_CLIP)
        return NC_IGNORED;
    /* What both references know alike is left to utf8proc; its own version does not
     * matter for what came later. */
    int32_t later =
        code < 0x558 ? -1
                     : nc_code_range_find(nc_tokenizer_later, nc_tokenizer_later_count, code, -1);
    if (later >= 0) {
        bool open_clip = rules == NC_TOKENIZER_OPEN_CLIP;
        if (later & (open_clip ? NC_LETTER_OPEN_CLIP : NC_LETTER_TRANSFORMERS))
            return NC_LETTER;
        if (later & (open_clip ? NC_NUMBER_OPEN_CLIP : NC_NUMBER_TRANSFORMERS))
            return NC_NUMBER;
        return NC_OTHER;
    }
    return category_class(utf8proc_category((utf8proc_int32_t)code));
}

/* Python 3.11 knows nothing that came after Unicode 14.0. */
static bool python_knows(uint32_t code)
{
    return !(nc_code_range_find(nc_tokenizer_inert, nc_tokenizer_inert_count, code, 0) &
             NC_INERT_OPEN_CLIP);
}

bool nc_python_word(uint32_t code)
{
    if (code == '_')
        return true;
    return category_class(utf8proc_category((utf8proc_int32_t)code)) != NC_OTHER &&
           python_knows(code);
}

bool nc_python_digit(uint32_t code)
{
    return utf8proc_category((utf8proc_int32_t)code) == UTF8PROC_CATEGORY_ND && python_knows(code);
}

/* 0: neither, 1: cased, 2: ignored when looking for a cased neighbour. */
static int sigma_context(uint32_t code)
{
    int32_t known = nc_code_range_find(nc_tokenizer_sigma, nc_tokenizer_sigma_count, code, -1);
    if (known >= 0)
        return known;
    if (!python_knows(code))
        return 0;
    switch (utf8proc_category((utf8proc_int32_t)code)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
        return 2;
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
        return 1;
    default:
        return 0;
    }
}

/* Final_Sigma of the Unicode standard, section 3.13. */
static bool is_final_sigma(const struct nc_code_points *text, size_t at)
{
    size_t i = at;
    int context = 2;
    while (i > 0 && context == 2)
        context = sigma_context(text->at[--i]);
    if (context != 1)
        return false;
    context = 2;
    for (i = at + 1; i < text->count && context == 2; i++)
        context = sigma_context(text->at[i]);
    return context != 1;
}

int nc_lower(enum nc_tokenizer_rules rules, const struct nc_code_points *text,
             struct nc_code_points *out)
{
    int status = nc_code_points_reserve(out, 2 * text->count);
    if (status != NC_OK)
        return status;
    size_t used = 0;
    for (size_t i = 0; i < text->count; i++) {
        uint32_t code = text->at[i];
        if (code < 0x80) {
            out->at[used++] = code >= 'A' && code <= 'Z' ? code + 32 : code;
        } else if (code == 0x130) { /* the one letter whose small form is two characters */
            out->at[used++] = 'i';
            out->at[used++] = 0x307;
        } else if (code == 0x3a3 && rules == NC_TOKENIZER_OPEN_CLIP) {
            out->at[used++] = is_final_sigma(text, i) ? 0x3c2 : 0x3c3;
        } else {
            int32_t delta = code < 0x1c89
                                ? 0
                                : nc_code_range_find(nc_tokenizer_later_lower,
                                                     nc_tokenizer_later_lower_count, code, 0);
            if (delta == 0)
                out->at[used++] = (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
            else if (rules == NC_TOKENIZER_TRANSFORMERS)
                out->at[used++] = (uint32_t)((int32_t)code + delta);
            else
                out->at[used++] = code;
        }
    }
    out->count = used;
    return NC_OK;
}

static unsigned combining_class(uint32_t code)
{
    return (unsigned)utf8proc_get_property((utf8proc_int32_t)code)->combining_class & 0xff;
}

static void insertion_sort_marks(uint32_t *at, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        uint32_t code = at[i];
        unsigned class = combining_class(code);
        size_t j = i;
        for (; j > 0 && combining_class(at[j - 1]) > class; j--)
            at[j] = at[j - 1];
        at[j] = code;
    }
}

static int counting_sort_marks(uint32_t *at, size_t count)
{
    uint32_t *sorted = malloc(count * sizeof *sorted);
    if (!sorted)
        return nc_error(NC_FAILED, "no memory to order %zu combining marks", count);
    size_t place[257] = {0};
    for (size_t i = 0; i < count; i++)
        place[combining_class(at[i]) + 1]++;
    for (size_t i = 1; i < 257; i++)
        place[i] += place[i - 1];
    for (size_t i = 0; i < count; i++)
        sorted[place[combining_class(at[i])]++] = at[i];
    memcpy(at, sorted, count * sizeof *at);
    free(sorted);
    return NC_OK;
}

/* Canonical ordering of decomposed text: each run of marks, stable by combining class. */
static int order_marks(uint32_t *at, size_t count)
{
    int status = NC_OK;
    for (size_t i = 0; i < count && status == NC_OK;) {
        size_t end = i;
        while (end < count && combining_class(at[end]))
            end++;
        if (end - i > 64) /* nobody writes this, but it must not take quadratic time */
            status = counting_sort_marks(at + i, end - i);
        else if (end - i > 1)
            insertion_sort_marks(at + i, end - i);
        i = end + 1;
    }
    return status;
}

/* Whether normalisation neither changes the code point nor looks across it: the
 * reference does not know it. U+11A7 is a vowel that stands right before the final
 * consonants; utf8proc 2.8 takes it for one and composes it away. */
static bool is_inert(uint32_t code, int flag)
{
    return code >= 0x558 &&
           (code == 0x11a7 ||
            (nc_code_range_find(nc_tokenizer_inert, nc_tokenizer_inert_count, code, 0) & flag));
}

int nc_normalize(enum nc_tokenizer_rules rules, struct nc_code_points *text,
                 struct nc_code_points *spare)
{
    uint32_t highest = 0;
    for (size_t i = 0; i < text->count; i++)
        highest = text->at[i] > highest ? text->at[i] : highest;
    if (highest < 0x300) /* nothing below combines or decomposes */
        return NC_OK;

    /* One code point decomposes to four at most. */
    int status = nc_code_points_reserve(spare, 4 * text->count);
    if (status != NC_OK)
        return status;
    int flag = rules == NC_TOKENIZER_OPEN_CLIP ? NC_INERT_OPEN_CLIP : NC_INERT_TRANSFORMERS;
    size_t used = 0, start = 0; /* spare->at[start ..] is the run being built */
    for (size_t i = 0; i <= text->count; i++) {
        bool inert = i < text->count && is_inert(text->at[i], flag);
        if (i < text->count && !inert) {
            int boundary = 0;
            utf8proc_ssize_t count = utf8proc_decompose_char(
                (utf8proc_int32_t)text->at[i], (utf8proc_int32_t *)spare->at + used,
                (utf8proc_ssize_t)(spare->capacity - used), UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
                &boundary);
            if (count < 0 || (size_t)count > spare->capacity - used)
                return nc_error(NC_FAILED, "cannot normalise U+%04X: %s", (unsigned)text->at[i],
                                count < 0 ? utf8proc_errmsg(count) : "too long");
            used += (size_t)count;
            continue;
        }
        /* A code point that the reference does not know, or the end: close the run. */
        status = order_marks(spare->at + start, used - start);
        if (status != NC_OK)
            return status;
        utf8proc_ssize_t count = utf8proc_normalize_utf32((utf8proc_int32_t *)spare->at + start,
                                                          (utf8proc_ssize_t)(used - start),
                                                          UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        if (count < 0)
            return nc_error(NC_FAILED, "cannot normalise a text: %s", utf8proc_errmsg(count));
        used = start + (size_t)count;
        if (inert)
            spare->at[used++] = text->at[i];
        start = used;
    }
    spare->count = used;
    struct nc_code_points swap = *text;
    *text = *spare;
    *spare = swap;
    return NC_OK;
}
