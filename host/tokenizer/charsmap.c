/* SentencePiece's compiled map of characters (precompiled_charsmap): 4 bytes that say the size of a
 * double array, the double array, and the values' text. Every place in it is checked when it is taken:
 * nothing in the bytes is believed.
 *
 * Sources: sentencepiece's normalizer.cc; darts-clone (units: 31 bits of label and leaf, or a value). */
#include "pieces.h"

#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

static uint32_t little_endian(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

int nc_charsmap_read(const char *where, const uint8_t *bytes, size_t size,
                     struct nc_charsmap *charsmap)
{
    size_t array = size >= 4 ? little_endian(bytes) : 0;
    if (size < 4 || array > size - 4 || array % 4 || !array)
        return nc_error(NC_BAD_INPUT, "%s: its precompiled_charsmap of %zu bytes is none", where, size);
    nc_charsmap_free(charsmap);
    charsmap->unit_count = array / 4;
    charsmap->units = malloc(array);
    charsmap->text_size = size - 4 - array;
    charsmap->text = malloc(charsmap->text_size + 1);
    if (!charsmap->units || !charsmap->text)
        return nc_error(NC_FAILED, "%s: no memory for its precompiled_charsmap", where);
    for (size_t i = 0; i < charsmap->unit_count; i++)
        charsmap->units[i] = little_endian(bytes + 4 + 4 * i);
    memcpy(charsmap->text, bytes + 4 + array, charsmap->text_size);
    charsmap->text[charsmap->text_size] = 0;
    for (const uint8_t *at = (const uint8_t *)charsmap->text, *end = at + charsmap->text_size; at < end;) {
        uint32_t code;
        size_t length = nc_utf8_length(*at);
        bool valid = length <= (size_t)(end - at);
        for (size_t i = 1; i < length && valid; i++)
            valid = (at[i] & 0xc0) == 0x80;
        if (!valid || (*at & 0xc0) == 0x80 || *at >= 0xf8 || nc_utf8_decode_one(at, &code) != length)
            return nc_error(NC_BAD_INPUT, "%s: its precompiled_charsmap holds no UTF-8", where);
        at += length;
    }
    return NC_OK;
}

void nc_charsmap_free(struct nc_charsmap *charsmap)
{
    free(charsmap->units);
    free(charsmap->text);
    *charsmap = (struct nc_charsmap){0};
}

static size_t offset_of(uint32_t unit)
{
    return (size_t)(unit >> 10) << ((unit & 0x200) >> 6);
}

const char *nc_charsmap_find(const struct nc_charsmap *charsmap, const uint8_t *text, size_t length,
                             bool longest, size_t *matched)
{
    const char *found = NULL;
    if (!charsmap->units)
        return NULL;
    size_t node = offset_of(charsmap->units[0]);
    for (size_t i = 0; i < length && text[i]; i++) {
        node ^= text[i];
        if (node >= charsmap->unit_count)
            break;
        uint32_t unit = charsmap->units[node];
        if ((unit & 0x800000ffu) != text[i])
            break;
        node ^= offset_of(unit);
        if (!(unit >> 8 & 1))
            continue;
        if (node >= charsmap->unit_count)
            break;
        size_t value = charsmap->units[node] & 0x7fffffffu;
        /* A value may begin inside of another, but no value and no key's end inside of a character. */
        if (value > charsmap->text_size || ((uint8_t)charsmap->text[value] & 0xc0) == 0x80 ||
            (i + 1 < length && (text[i + 1] & 0xc0) == 0x80))
            continue;
        found = charsmap->text + value;
        *matched = i + 1;
        if (!longest)
            break;
    }
    return found;
}
