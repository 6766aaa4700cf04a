/* Repairs text that was decoded with the wrong encoding, as ftfy 6.3's
 * fix_encoding does (ftfy/__init__.py, fixes.py, chardata.py, bad_codecs/). Written
 * from the behaviour of the original, which is by Robyn Speer,
 * https://github.com/rspeer/python-ftfy, Apache 2.0.
 */
#include "parts.h"

#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

/* Repaired parts are repaired again, each shorter than the last; real text nests
 * two or three deep. */
enum { DEEPEST = 50 };

static int fix_encoding(struct nc_code_points *text, int depth);

static uint32_t classes_of(uint32_t code)
{
    if (code < 0x80)
        return code == ' ' ? NC_CONTINUATION : 0;
    return (uint32_t)nc_code_range_find(nc_mojibake_classes, nc_mojibake_classes_count, code, 0);
}

static bool is_sloppy(int encoding)
{
    return encoding >= NC_FIRST_SLOPPY && encoding <= NC_LAST_SLOPPY;
}

/* The byte that means `code`, or -1. */
static int encode_one(int encoding, uint32_t code)
{
    if (is_sloppy(encoding) && code == 0xfffd)
        return 0x1a;
    if (code < 0x80)
        return is_sloppy(encoding) && code == 0x1a ? -1 : (int)code;
    const uint16_t *upper = nc_single_byte_encodings[encoding];
    if (code <= 0xff && upper[code - 0x80] == code)
        return (int)code;
    for (int i = 0; i < 128; i++)
        if (upper[i] == code)
            return 0x80 + i;
    return -1;
}

static bool encode(int encoding, const struct nc_code_points *text, uint8_t *bytes)
{
    for (size_t i = 0; i < text->count; i++) {
        int byte = encode_one(encoding, text->at[i]);
        if (byte < 0)
            return false;
        bytes[i] = (uint8_t)byte;
    }
    return true;
}

static bool between(uint8_t byte, uint8_t low, uint8_t high)
{
    return byte >= low && byte <= high;
}

/* A continuation byte but not 0x85 or 0xa0. */
static bool tail_byte(uint8_t byte)
{
    return between(byte, 0x80, 0xbf) && byte != 0x85 && byte != 0xa0;
}

/* Length of what would be UTF-8 if a space in it were byte a0; 0: not so. */
static size_t altered_utf8(const uint8_t *at, size_t left)
{
    if (left < 2)
        return 0;
    if (at[1] == ' ' && (at[0] == 0xc2 || at[0] == 0xc3 || at[0] == 0xc5 || at[0] == 0xce ||
                         at[0] == 0xd0 || at[0] == 0xd9))
        return 2;
    if (left < 3)
        return 0;
    if (between(at[0], 0xe2, 0xe3) && at[1] == ' ' && tail_byte(at[2]))
        return 3;
    if (between(at[0], 0xe0, 0xe3) && tail_byte(at[1]) && at[2] == ' ')
        return 3;
    if (left < 4 || at[0] != 0xf0)
        return 0;
    int spaces = 0;
    for (int i = 1; i < 4; i++) {
        if (at[i] == ' ')
            spaces++;
        else if (!between(at[i], 0x80, 0xbf))
            return 0;
    }
    return spaces == 1 ? 4 : 0;
}

static bool starts(const uint8_t *at, size_t left, const char *word)
{
    size_t length = strlen(word);
    return left >= length && memcmp(at, word, length) == 0;
}

/* "Ã " as a word of its own is "à ", not the beginning of the next word, except
 * for some Portuguese words. Result in `out`, at most half as long again. */
static size_t restore_a_grave(const uint8_t *bytes, size_t count, uint8_t *out)
{
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        out[used++] = bytes[i];
        if (bytes[i] != 0xc3 || i + 1 >= count || bytes[i + 1] != ' ')
            continue;
        const uint8_t *next = bytes + i + 2;
        size_t left = count - i - 2;
        if (starts(next, left, " ") || starts(next, left, "quele") || starts(next, left, "quela") ||
            starts(next, left, "quilo") || starts(next, left, "s "))
            continue;
        out[used++] = 0xa0;
    }
    return used;
}

static void restore_byte_a0(uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count;) {
        size_t length = altered_utf8(bytes + i, count - i);
        for (size_t k = 0; k < length; k++)
            if (bytes[i + k] == ' ')
                bytes[i + k] = 0xa0;
        i += length ? length : 1;
    }
}

/* Whether at[i] is 1a, a question mark where `question`, or in [low, bf] where low. */
static bool lost(uint8_t byte, bool question, uint8_t low)
{
    return byte == 0x1a || (question && byte == '?') || (low && between(byte, low, 0xbf));
}

/* Length of a UTF-8 or CESU-8 sequence some bytes of which became 1a or, once, a
 * question mark; 0: none. */
static size_t lossy_utf8(const uint8_t *at, size_t left)
{
    uint8_t lead = at[0];
    if (left >= 2 && ((between(lead, 0xc2, 0xdf) && at[1] == 0x1a) ||
                      (between(lead, 0xc2, 0xc3) && at[1] == '?')))
        return 2;
    if (left >= 6 && lead == 0xed && between(at[1], 0xa0, 0xaf) && at[3] == 0xed &&
        between(at[4], 0xb0, 0xbf) &&
        ((lost(at[2], true, 0) && lost(at[5], true, 0x80)) ||
         (lost(at[2], true, 0x80) && lost(at[5], true, 0))))
        return 6;
    if (left >= 3 && between(lead, 0xe0, 0xef) &&
        ((lost(at[1], true, 0) && lost(at[2], false, 0x80)) ||
         (lost(at[1], false, 0x80) && lost(at[2], true, 0))))
        return 3;
    if (left >= 4 && between(lead, 0xf0, 0xf4))
        for (int mark = 1; mark < 4; mark++) {
            bool match = true;
            for (int i = 1; i < 4; i++)
                match = match && lost(at[i], i == mark, i == mark ? 0 : 0x80);
            if (match)
                return 4;
        }
    return lead == 0x1a ? 1 : 0;
}

/* Puts U+FFFD for lost sequences; `out` has room for three times as much. */
static size_t replace_lossy(const uint8_t *bytes, size_t count, uint8_t *out)
{
    size_t used = 0;
    for (size_t i = 0; i < count;) {
        size_t length = lossy_utf8(bytes + i, count - i);
        if (length) {
            memcpy(out + used, "\xef\xbf\xbd", 3);
            used += 3;
            i += length;
        } else {
            out[used++] = bytes[i++];
        }
    }
    return used;
}

/* A pair of surrogates as six bytes, at least six bytes from `at`. The original's
 * pattern also takes a line feed that ends the text for the last byte. */
static bool is_cesu8(const uint8_t *at, size_t left)
{
    return at[0] == 0xed && between(at[1], 0xa0, 0xaf) && between(at[2], 0x80, 0xbf) &&
           at[3] == 0xed && between(at[4], 0xb0, 0xbf) &&
           (between(at[5], 0x80, 0xbf) || (left == 6 && at[5] == '\n'));
}

/* Strict UTF-8, or with `variants` also CESU-8 and Java's two-byte zero; false:
 * not that. `out` has room for `count`. */
static bool decode(const uint8_t *bytes, size_t count, bool variants, struct nc_code_points *out)
{
    out->count = 0;
    for (size_t i = 0; i < count;) {
        size_t left = count - i;
        if (variants && bytes[i] == 0xc0 && left > 1 &&
            (bytes[i + 1] == 0x80 || (left == 2 && bytes[i + 1] == '\n'))) {
            out->at[out->count++] = 0;
            i += 2;
            continue;
        }
        if (variants && left >= 6 && is_cesu8(bytes + i, left)) {
            out->at[out->count++] =
                ((uint32_t)(bytes[i + 1] & 0xf) << 16) + ((uint32_t)(bytes[i + 2] & 0x3f) << 10) +
                ((uint32_t)(bytes[i + 4] & 0xf) << 6) + (bytes[i + 5] & 0x3f) + 0x10000;
            i += 6;
            continue;
        }
        size_t run = 1;
        if (bytes[i] >= 0x80)
            run = bytes[i] < 0xe0 ? 2 : bytes[i] < 0xf0 ? 3 : 4;
        bool replaced = false;
        size_t before = out->count;
        if (run > left || nc_utf8_decode((const char *)bytes + i, run, out, &replaced) != NC_OK ||
            replaced || out->count != before + 1)
            return false;
        i += run;
    }
    return true;
}

/* The text's bytes in `encoding` as UTF-8, when they are UTF-8 or nearly. `bytes`
 * is the encoded text, with room for nine times its length behind it. */
static bool read_as_utf8(int encoding, uint8_t *bytes, size_t count, struct nc_code_points *out)
{
    bool altered = false, special = false;
    for (size_t i = 0; i < count && !altered && encoding != NC_MACROMAN; i++)
        altered = altered_utf8(bytes + i, count - i) > 0;
    uint8_t *current = bytes;
    if (altered) {
        uint8_t *next = current + count;
        count = restore_a_grave(current, count, next);
        restore_byte_a0(next, count);
        current = next;
    }
    if (is_sloppy(encoding)) {
        uint8_t *next = current + count;
        count = replace_lossy(current, count, next);
        current = next;
    }
    for (size_t i = 0; i < count && !special; i++)
        special = current[i] == 0xed || current[i] == 0xc0;
    return decode(current, count, special, out);
}

/* Length of adjacent sequences that look like UTF-8 read as something else. */
static size_t utf8_lookalike(const uint32_t *at, size_t left)
{
    size_t length = 0;
    while (length < left) {
        uint32_t first = classes_of(at[length]);
        size_t tail = first & NC_FIRST_OF_2 ? 1 : first & NC_FIRST_OF_3 ? 2 : 3;
        if (!(first & (NC_FIRST_OF_2 | NC_FIRST_OF_3 | NC_FIRST_OF_4)) || left - length <= tail)
            break;
        bool match = true;
        for (size_t i = 1; i <= tail && match; i++)
            match = classes_of(at[length + i]) & NC_CONTINUATION;
        if (!match)
            break;
        length += 1 + tail;
    }
    return length;
}

/* Repairs parts of the text by themselves. `out` is the result. */
static int decode_inconsistent(const struct nc_code_points *text, int depth,
                               struct nc_code_points *out)
{
    struct nc_code_points part = {0};
    out->count = 0;
    int status = nc_code_points_reserve(out, 2 * text->count);
    for (size_t i = 0; i < text->count && status == NC_OK;) {
        size_t length = 0;
        if (i == 0 || !(classes_of(text->at[i - 1]) & NC_CONTINUATION_STRICT))
            length = utf8_lookalike(text->at + i, text->count - i);
        if (!length) {
            status = nc_code_points_reserve(out, out->count + 1);
            if (status == NC_OK)
                out->at[out->count++] = text->at[i++];
            continue;
        }
        status = nc_code_points_copy(&part, text->at + i, length);
        if (status == NC_OK && length < text->count && depth < DEEPEST &&
            nc_mojibake_is_bad(part.at, part.count))
            status = fix_encoding(&part, depth + 1);
        if (status == NC_OK)
            status = nc_code_points_reserve(out, out->count + part.count);
        if (status == NC_OK && part.count) {
            memcpy(out->at + out->count, part.at, part.count * sizeof *part.at);
            out->count += part.count;
        }
        i += length;
    }
    nc_code_points_free(&part);
    return status;
}

static bool equal(const struct nc_code_points *a, const struct nc_code_points *b)
{
    return a->count == b->count &&
           (!a->count || memcmp(a->at, b->at, a->count * sizeof *a->at) == 0);
}

/* Latin-1 that was meant as Windows-1252: strict, so the five bytes that
 * Windows-1252 lacks forbid it. False: not so, or no change. */
static bool reread_as_1252(const struct nc_code_points *text, struct nc_code_points *out)
{
    bool changed = false;
    for (size_t i = 0; i < text->count; i++) {
        uint32_t code = text->at[i];
        if (code > 0xff)
            return false;
        out->at[i] = code < 0x80 ? code : nc_single_byte_encodings[NC_WINDOWS_1252][code - 0x80];
        if (code >= 0x80 && code < 0xa0 && out->at[i] == code)
            return false;
        changed = changed || out->at[i] != code;
    }
    out->count = text->count;
    return changed;
}

/* One step of repair: `out` is the text after it. `bytes` has room for ten times
 * the text's length. */
static int fix_one_step(const struct nc_code_points *text, int depth, uint8_t *bytes,
                        struct nc_code_points *out)
{
    if (!nc_mojibake_is_bad(text->at, text->count))
        return nc_code_points_copy(out, text->at, text->count);
    int status = nc_code_points_reserve(out, 10 * text->count);
    if (status != NC_OK)
        return status;
    for (int encoding = 0; encoding < NC_SINGLE_BYTE_ENCODINGS; encoding++)
        if (encode(encoding, text, bytes) && read_as_utf8(encoding, bytes, text->count, out))
            return NC_OK;
    status = decode_inconsistent(text, depth, out);
    if (status != NC_OK || !equal(text, out))
        return status;
    if (reread_as_1252(text, out))
        return NC_OK;
    status = nc_code_points_copy(out, text->at, text->count);
    for (size_t i = 0; status == NC_OK && i < out->count; i++)
        if (out->at[i] >= 0x80 && out->at[i] < 0xa0)
            out->at[i] = nc_single_byte_encodings[NC_WINDOWS_1252][out->at[i] - 0x80];
    return status;
}

static int fix_encoding(struct nc_code_points *text, int depth)
{
    if (!nc_mojibake_is_bad(text->at, text->count))
        return NC_OK;
    struct nc_code_points next = {0};
    size_t most = text->count > SIZE_MAX / 10 - 1 ? 0 : 10 * text->count + 1;
    uint8_t *bytes = most ? malloc(most) : NULL;
    int status = bytes ? NC_OK : nc_error(NC_FAILED, "no memory to repair a text's encoding");
    bool done = false;
    /* A step never makes the text longer; it shortens it or leaves fewer broken
     * characters in it. */
    for (size_t rounds = text->count + 8; status == NC_OK && !done && rounds; rounds--) {
        status = fix_one_step(text, depth, bytes, &next);
        done = status == NC_OK && equal(text, &next);
        struct nc_code_points swap = *text;
        *text = next;
        next = swap;
    }
    nc_code_points_free(&next);
    free(bytes);
    return status;
}

int nc_fix_encoding(struct nc_code_points *text)
{
    return fix_encoding(text, 0);
}
