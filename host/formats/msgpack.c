/* Reads msgpack's maps, arrays, texts, numbers and truth values. */
#include "nclip/formats/msgpack.h"

#include <string.h>

static bool take_number(struct nc_msgpack *in, size_t bytes, uint64_t *value)
{
    if ((size_t)(in->end - in->at) < bytes)
        return !(in->ended = true);
    *value = 0;
    for (size_t i = 0; i < bytes; i++)
        *value = *value << 8 | *in->at++;
    return true;
}

static bool take_byte(struct nc_msgpack *in, uint8_t *byte)
{
    if (in->at == in->end)
        return !(in->ended = true);
    *byte = *in->at++;
    return true;
}

bool nc_msgpack_number(struct nc_msgpack *in, uint64_t *value)
{
    uint8_t code;
    if (!take_byte(in, &code))
        return false;
    *value = code;
    return code < 0x80 ||
           (code >= 0xcc && code <= 0xcf && take_number(in, 1u << (code - 0xcc), value));
}

bool nc_msgpack_text(struct nc_msgpack *in, struct nc_msgpack_text *text)
{
    uint8_t code;
    uint64_t size;
    if (!take_byte(in, &code))
        return false;
    if (code >= 0xa0 && code <= 0xbf)
        size = code & 0x1f;
    else if (code < 0xd9 || code > 0xdb || !take_number(in, 1u << (code - 0xd9), &size))
        return false;
    if (size > (size_t)(in->end - in->at))
        return !(in->ended = true);
    *text = (struct nc_msgpack_text){(const char *)in->at, (size_t)size};
    in->at += size;
    return true;
}

bool nc_msgpack_bool(struct nc_msgpack *in, bool *value)
{
    uint8_t code;
    if (!take_byte(in, &code) || (code != 0xc2 && code != 0xc3))
        return false;
    *value = code == 0xc3;
    return true;
}

/* The head of a map or an array: `fixed` | n below 16, else `wide` and 2 bytes, `wide` + 1
 * and 4. */
static bool read_head(struct nc_msgpack *in, uint8_t fixed, uint8_t wide, uint64_t *count)
{
    uint8_t code;
    if (!take_byte(in, &code))
        return false;
    *count = code & 15;
    return (code & 0xf0) == fixed || (code == wide && take_number(in, 2, count)) ||
           (code == wide + 1 && take_number(in, 4, count));
}

bool nc_msgpack_map(struct nc_msgpack *in, uint64_t *count)
{
    return read_head(in, 0x80, 0xde, count);
}

bool nc_msgpack_array(struct nc_msgpack *in, uint64_t *count)
{
    return read_head(in, 0x90, 0xdc, count);
}

bool nc_msgpack_is(const struct nc_msgpack_text *text, const char *other)
{
    return text->size == strlen(other) && memcmp(text->data, other, text->size) == 0;
}
