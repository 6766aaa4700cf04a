/* ftfy 6.3's fix_text() with its default options, which open_clip applies to every
 * caption: ftfy/__init__.py and fixes.py. Written from the behaviour of the
 * original, which is by Robyn Speer, https://github.com/rspeer/python-ftfy,
 * Apache 2.0.
 */
#include "parts.h"

#include "nclip/support/error.h"

#include <string.h>

enum { LONGEST_SEGMENT = 1000000 }; /* code points: max_decode_length */

static void fix_c1_controls(struct nc_code_points *text)
{
    for (size_t i = 0; i < text->count; i++)
        if (text->at[i] >= 0x80 && text->at[i] <= 0x9f)
            text->at[i] = nc_single_byte_encodings[NC_WINDOWS_1252][text->at[i] - 0x80];
}

/* The letters of a Latin ligature or digraph; 0: it is none. Letters are written
 * to out[3]. */
static size_t split_ligature(uint32_t code, uint32_t *out)
{
    static const struct {
        uint32_t code, letters[3];
    } ligatures[] = {
        {0x132, {'I', 'J'}},       {0x133, {'i', 'j'}},       {0x149, {0x2bc, 'n'}},
        {0x1f1, {'D', 'Z'}},       {0x1f2, {'D', 'z'}},       {0x1f3, {'d', 'z'}},
        {0x1c4, {'D', 0x17d}},     {0x1c5, {'D', 0x17e}},     {0x1c6, {'d', 0x17e}},
        {0x1c7, {'L', 'J'}},       {0x1c8, {'L', 'j'}},       {0x1c9, {'l', 'j'}},
        {0x1ca, {'N', 'J'}},       {0x1cb, {'N', 'j'}},       {0x1cc, {'n', 'j'}},
        {0xfb00, {'f', 'f'}},      {0xfb01, {'f', 'i'}},      {0xfb02, {'f', 'l'}},
        {0xfb03, {'f', 'f', 'i'}}, {0xfb04, {'f', 'f', 'l'}}, {0xfb05, {0x17f, 't'}},
        {0xfb06, {'s', 't'}},
    };
    if (code < 0x132 || (code > 0x1f3 && code < 0xfb00) || code > 0xfb06)
        return 0;
    for (size_t i = 0; i < sizeof ligatures / sizeof *ligatures; i++) {
        if (ligatures[i].code != code)
            continue;
        size_t count = 0;
        while (count < 3 && ligatures[i].letters[count]) {
            out[count] = ligatures[i].letters[count];
            count++;
        }
        return count;
    }
    return 0;
}

/* fix_latin_ligatures, fix_character_width and uncurl_quotes: one character for
 * one, or for two or three. */
static int replace_characters(struct nc_code_points *text, struct nc_code_points *spare)
{
    int status = nc_code_points_reserve(spare, 3 * text->count);
    if (status != NC_OK)
        return status;
    size_t used = 0;
    for (size_t i = 0; i < text->count; i++) {
        uint32_t letters[3] = {text->at[i]};
        size_t count = split_ligature(text->at[i], letters);
        for (size_t k = 0; k < (count ? count : 1); k++) {
            uint32_t code = letters[k];
            bool macron = code == 0xffe3;
            if (code == 0x3000)
                code = ' ';
            else if (code >= 0xff01 && code < 0xfff0)
                code = nc_standard_width[code - 0xff01];
            if (code >= 0x201c && code <= 0x201f)
                code = '"';
            else if (code == 0x2bc || (code >= 0x2018 && code <= 0x201b))
                code = '\'';
            spare->at[used++] = code;
            if (macron)
                spare->at[used++] = 0x304;
        }
    }
    spare->count = used;
    struct nc_code_points swap = *text;
    *text = *spare;
    *spare = swap;
    return NC_OK;
}

static void fix_line_breaks(struct nc_code_points *text)
{
    size_t used = 0;
    for (size_t i = 0; i < text->count; i++) {
        uint32_t code = text->at[i];
        if (code == '\r' && i + 1 < text->count && text->at[i + 1] == '\n')
            continue;
        if (code == '\r' || code == 0x2028 || code == 0x2029 || code == 0x85)
            code = '\n';
        text->at[used++] = code;
    }
    text->count = used;
}

/* ESC [ digits and semicolons letter */
static void remove_terminal_escapes(struct nc_code_points *text)
{
    size_t used = 0;
    for (size_t i = 0; i < text->count;) {
        size_t end = i + 2;
        if (text->at[i] == 0x1b && i + 1 < text->count && text->at[i + 1] == '[') {
            while (end < text->count && (text->at[end] == ';' || nc_python_digit(text->at[end])))
                end++;
            if (end < text->count && ((text->at[end] >= 'a' && text->at[end] <= 'z') ||
                                      (text->at[end] >= 'A' && text->at[end] <= 'Z'))) {
                i = end + 1;
                continue;
            }
        }
        text->at[used++] = text->at[i++];
    }
    text->count = used;
}

static bool is_unwanted_control(uint32_t code)
{
    return code < 9 || code == 0xb || (code >= 0xe && code < 0x20) || code == 0x7f ||
           (code >= 0x206a && code <= 0x206f) || code == 0xfeff ||
           (code >= 0xfff9 && code <= 0xfffc);
}

static void remove_control_characters(struct nc_code_points *text)
{
    size_t used = 0;
    for (size_t i = 0; i < text->count; i++)
        if (!is_unwanted_control(text->at[i]))
            text->at[used++] = text->at[i];
    text->count = used;
}

/* Repeats all steps until nothing changes. `before` and `spare` are working memory. */
static int fix_segment(struct nc_code_points *text, bool unescape, struct nc_code_points *before,
                       struct nc_code_points *spare)
{
    int status = NC_OK;
    for (;;) {
        status = nc_code_points_copy(before, text->at, text->count);
        if (status != NC_OK)
            return status;
        if (unescape)
            nc_ftfy_unescape_html(text);
        status = nc_fix_encoding(text);
        if (status != NC_OK)
            return status;
        fix_c1_controls(text);
        status = replace_characters(text, spare);
        if (status != NC_OK)
            return status;
        fix_line_breaks(text);
        /* fix_surrogates: no surrogate gets in, see nc_utf8_decode(). */
        remove_terminal_escapes(text);
        remove_control_characters(text);
        status = nc_normalize(NC_TOKENIZER_OPEN_CLIP, text, spare);
        if (status != NC_OK)
            return status;
        if (text->count == before->count &&
            (!text->count || memcmp(text->at, before->at, text->count * sizeof *text->at) == 0))
            return NC_OK;
    }
}

static bool holds(const uint32_t *at, size_t count, uint32_t code)
{
    for (size_t i = 0; i < count; i++)
        if (at[i] == code)
            return true;
    return false;
}

int nc_fix_text(struct nc_code_points *text)
{
    struct nc_code_points segment = {0}, before = {0}, spare = {0}, out = {0};
    int status = NC_OK;
    bool unescape = true; /* until a "<" shows that this is HTML, also for what follows */
    for (size_t start = 0; start < text->count && status == NC_OK;) {
        size_t end = start;
        while (end < text->count && end - start < LONGEST_SEGMENT && text->at[end] != '\n')
            end++;
        if (end < text->count && end - start < LONGEST_SEGMENT)
            end++; /* the line feed */
        if (holds(text->at + start, end - start, '<'))
            unescape = false;
        status = nc_code_points_copy(&segment, text->at + start, end - start);
        if (status == NC_OK)
            status = fix_segment(&segment, unescape, &before, &spare);
        if (status == NC_OK)
            status = nc_code_points_reserve(&out, out.count + segment.count);
        if (status == NC_OK && segment.count) {
            memcpy(out.at + out.count, segment.at, segment.count * sizeof *segment.at);
            out.count += segment.count;
        }
        start = end;
    }
    if (status == NC_OK) {
        struct nc_code_points swap = *text;
        *text = out;
        out = swap;
    }
    nc_code_points_free(&segment);
    nc_code_points_free(&before);
    nc_code_points_free(&spare);
    nc_code_points_free(&out);
    return status;
}
