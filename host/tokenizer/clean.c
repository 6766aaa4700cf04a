/* Text to cleaned text: what each reference does before it splits into words.
 *
 * transformers: NFC, white space to one space, lower case (tokenization_clip.py).
 * open_clip: ftfy, HTML entities twice, white space to one space and none around,
 * lower case (tokenizer.py). The words are the same with more white space, so it
 * is left as it is there.
 */
#include "parts.h"

#include "nclip/support/error.h"

#include <string.h>
#include <utf8proc.h>

/* Lower-case ASCII with runs of white space as one space. */
static int clean_ascii(const char *text, size_t length, struct nc_buffer *clean)
{
    int status = nc_buffer_reserve(clean, clean->count + length);
    if (status != NC_OK)
        return status;
    uint8_t *out = clean->at + clean->count;
    bool space = false;
    for (size_t i = 0; i < length; i++) {
        uint8_t byte = (uint8_t)text[i];
        if (byte == ' ' || (byte >= 9 && byte <= 0xd)) {
            if (!space)
                *out++ = ' ';
            space = true;
        } else {
            *out++ = byte >= 'A' && byte <= 'Z' ? byte + 32 : byte;
            space = false;
        }
    }
    clean->count = (size_t)(out - clean->at);
    return NC_OK;
}

/* Whether open_clip's repairs leave this ASCII alone: no entity to replace and no
 * control character to remove. */
static bool is_plain(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        uint8_t byte = (uint8_t)text[i];
        if (byte >= 0x7f || byte == '&' || (byte < 0x20 && !(byte >= 9 && byte <= 0xd)) ||
            byte == 0xb)
            return false;
    }
    return true;
}

static bool is_ascii(const char *text, size_t length)
{
    uint64_t bits = 0;
    size_t i = 0;
    for (; i + 8 <= length; i += 8) {
        uint64_t eight;
        memcpy(&eight, text + i, 8);
        bits |= eight;
    }
    for (; i < length; i++)
        bits |= (uint64_t)(uint8_t)text[i];
    return !(bits & 0x8080808080808080u);
}

static void collapse_space(enum nc_tokenizer_rules rules, struct nc_code_points *text)
{
    size_t used = 0;
    bool space = false;
    for (size_t i = 0; i < text->count; i++) {
        bool is_space = nc_code_class(rules, text->at[i]) == NC_SPACE;
        if (!is_space)
            text->at[used++] = text->at[i];
        else if (!space)
            text->at[used++] = ' ';
        space = is_space;
    }
    text->count = used;
}

int nc_clean(enum nc_tokenizer_rules rules, const char *text, size_t length,
             struct nc_tokenizer_scratch *scratch)
{
    bool open_clip = rules == NC_TOKENIZER_OPEN_CLIP;
    if (open_clip ? is_plain(text, length) : is_ascii(text, length))
        return clean_ascii(text, length, &scratch->clean);

    struct nc_code_points *points = &scratch->text, *spare = &scratch->spare;
    bool replaced = false;
    points->count = 0;
    int status = nc_utf8_decode(text, length, points, &replaced);
    if (status == NC_OK && open_clip) {
        status = nc_fix_text(points);
        nc_html_unescape(points);
        nc_html_unescape(points);
    } else if (status == NC_OK) {
        status = nc_normalize(rules, points, spare);
        collapse_space(rules, points);
    }
    if (status == NC_OK)
        status = nc_lower(rules, points, spare);
    if (status == NC_OK)
        status = nc_buffer_reserve(&scratch->clean, scratch->clean.count + 4 * spare->count);
    if (status != NC_OK)
        return status;
    for (size_t i = 0; i < spare->count; i++)
        scratch->clean.count += (size_t)utf8proc_encode_char(
            (utf8proc_int32_t)spare->at[i], scratch->clean.at + scratch->clean.count);
    return NC_OK;
}
