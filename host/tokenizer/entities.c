/* HTML entities: Python's html.unescape(), which follows the HTML5 standard
 * (section 13.2.5.72 and on), and ftfy's more careful unescape_html().
 */
#include "parts.h"

#include <string.h>

enum { LONGEST_NAME = 32 }; /* "CounterClockwiseContourIntegral" and one to spare */

static const struct nc_entity *entity_find(const char *name)
{
    size_t low = 0, high = nc_entity_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, nc_entities[middle].name);
        if (order == 0)
            return &nc_entities[middle];
        if (order > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static const struct nc_upper_entity *upper_entity_find(const char *name)
{
    for (size_t i = 0; i < nc_upper_entity_count; i++)
        if (strcmp(name, nc_upper_entities[i].name) == 0)
            return &nc_upper_entities[i];
    return NULL;
}

static bool is_digit(uint32_t code)
{
    return code >= '0' && code <= '9';
}

static bool is_letter(uint32_t code)
{
    return (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z');
}

static int hex_value(uint32_t code)
{
    if (is_digit(code))
        return (int)(code - '0');
    if (code >= 'a' && code <= 'f')
        return (int)(code - 'a' + 10);
    if (code >= 'A' && code <= 'F')
        return (int)(code - 'A' + 10);
    return -1;
}

/* Reads the digits of "&#65;" or "&#x41;" behind the '#'. Returns how many
 * characters they and the x take (0: no number). */
static size_t read_number(const uint32_t *at, size_t left, uint32_t *number)
{
    bool hex = left > 1 && (at[0] == 'x' || at[0] == 'X') && hex_value(at[1]) >= 0;
    size_t i = hex ? 1 : 0;
    uint32_t value = 0, base = hex ? 16 : 10;
    for (; i < left && (hex ? hex_value(at[i]) >= 0 : is_digit(at[i])); i++)
        if (value <= 0x10ffff)
            value = value * base + (uint32_t)hex_value(at[i]);
    *number = value;
    return i;
}

/* What a character reference by number stands for; false: for nothing. */
static bool number_means(uint32_t number, uint32_t *code)
{
    *code = number;
    if (number == 0 || (number >= 0xd800 && number <= 0xdfff) || number > 0x10ffff)
        *code = 0xfffd;
    else if (number >= 0x80 && number <= 0x9f)
        *code = nc_single_byte_encodings[NC_WINDOWS_1252][number - 0x80];
    else if (number == 0xd)
        return true;
    else if (number < 9 || number == 0xb || (number >= 0xe && number < 0x20) || number == 0x7f ||
             (number >= 0xfdd0 && number <= 0xfdef) || (number & 0xfffe) == 0xfffe)
        return false;
    return true;
}

/* Copies to `name` the characters that a name may have: at most LONGEST_NAME, and
 * zero bytes for what no name holds. Returns their number. */
static size_t read_name(const uint32_t *at, size_t left, char *name)
{
    size_t length = 0;
    while (length < left && length < LONGEST_NAME) {
        uint32_t code = at[length];
        if (code == '\t' || code == '\n' || code == '\f' || code == ' ' || code == '<' ||
            code == '&' || code == '#' || code == ';')
            break;
        name[length++] = is_letter(code) || is_digit(code) ? (char)code : 0;
    }
    name[length] = 0;
    return length;
}

/* Writes the characters of `entity` to out; returns their number. */
static size_t put_entity(const struct nc_entity *entity, uint32_t *out)
{
    out[0] = entity->value[0];
    out[1] = entity->value[2];
    return entity->value[2] ? 2 : 1;
}

void nc_html_unescape(struct nc_code_points *text)
{
    uint32_t *at = text->at;
    size_t used = 0, count = text->count;
    for (size_t i = 0; i < count;) { /* what is written never passes what is read */
        if (at[i] != '&') {
            at[used++] = at[i++];
            continue;
        }
        i++;
        if (i < count && at[i] == '#') {
            uint32_t number;
            size_t digits = read_number(at + i + 1, count - i - 1, &number);
            if (!digits) {
                at[used++] = '&';
                continue;
            }
            i += 1 + digits;
            if (i < count && at[i] == ';')
                i++;
            uint32_t code;
            if (number_means(number, &code))
                at[used++] = code;
            continue;
        }
        char name[LONGEST_NAME + 1];
        size_t length = read_name(at + i, count - i, name);
        bool semicolon = i + length < count && at[i + length] == ';';
        const struct nc_entity *entity = NULL;
        size_t taken = 0;
        if (length && strlen(name) == length && (entity = entity_find(name)) &&
            (semicolon || (entity->value[1] & NC_ENTITY_BARE)))
            taken = length + semicolon;
        /* The longest beginning that is allowed without a semicolon. */
        for (size_t part = semicolon ? length
                           : length  ? length - 1
                                     : 0;
             !taken && part > 1; part--) {
            name[part] = 0;
            if (strlen(name) == part && (entity = entity_find(name)) &&
                (entity->value[1] & NC_ENTITY_BARE))
                taken = part;
        }
        if (taken) {
            uint32_t out[2];
            size_t characters = put_entity(entity, out);
            memcpy(at + used, out, characters * sizeof *out);
            used += characters;
            i += taken;
            /* The rest of the name belongs to the match and holds no '&'. */
        } else {
            at[used++] = '&';
        }
    }
    text->count = used;
}

/* ftfy takes only what ends with a semicolon, and some names in capitals. Returns
 * the number of characters written to out, or -1 to leave the text alone. */
static int ftfy_entity(const char *name, uint32_t *out)
{
    const struct nc_entity *entity = entity_find(name);
    if (entity)
        return (int)put_entity(entity, out);
    const struct nc_upper_entity *upper = upper_entity_find(name);
    if (upper) {
        int characters = 0;
        while (characters < 3 && upper->value[characters]) {
            out[characters] = upper->value[characters];
            characters++;
        }
        return characters;
    }
    char lower[LONGEST_NAME + 1];
    size_t i = 0;
    for (; name[i]; i++) {
        if (name[i] >= 'a' && name[i] <= 'z')
            return -1;
        lower[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + 32) : name[i];
    }
    lower[i] = 0;
    entity = entity_find(lower);
    return entity && (entity->value[1] & NC_ENTITY_UPPER) ? (int)put_entity(entity, out) : -1;
}

/* The entity, &#?[0-9A-Za-z]{1,24};, whose & stands before at[0]. Returns how many
 * characters it stands for, written to out[3], or -1 to leave it alone; *taken:
 * characters behind the &. */
static int ftfy_entity_at(const uint32_t *at, size_t left, uint32_t *out, size_t *taken)
{
    bool number_sign = left > 0 && at[0] == '#';
    size_t first = number_sign, length = 0;
    char name[LONGEST_NAME + 1];
    while (first + length < left && length < 24 &&
           (is_letter(at[first + length]) || is_digit(at[first + length]))) {
        name[length] = (char)at[first + length];
        length++;
    }
    name[length] = 0;
    *taken = first + length + 1;
    if (!length || *taken > left || at[first + length] != ';')
        return -1;
    if (!number_sign)
        return ftfy_entity(name, out);
    uint32_t number;
    if (read_number(at + first, length, &number) != length)
        return -1;
    if (!number_means(number, &out[0]))
        return 0;
    return out[0] == ';' ? -1 : 1;
}

/* An & may come out of an entity and be the & of the next: "&amp;amp;lt;". ftfy
 * undoes one such level in each of its rounds, which for a text made of nothing else
 * takes quadratic time. Of more levels than DEEPEST only those are left to the
 * rounds; the others are skipped here. Returns how many characters they take. */
static size_t skip_deep_levels(const uint32_t *at, size_t left)
{
    enum { DEEPEST = 32 };
    size_t ends[DEEPEST], depth = 0, end = 0, taken;
    uint32_t out[3];
    while (ftfy_entity_at(at + end, left - end, out, &taken) == 1 && out[0] == '&') {
        end += taken;
        depth++;
        if (depth > DEEPEST)
            memmove(ends, ends + 1, sizeof ends - sizeof *ends);
        ends[(depth > DEEPEST ? DEEPEST : depth) - 1] = end;
    }
    return depth > DEEPEST ? ends[0] : 0;
}

void nc_ftfy_unescape_html(struct nc_code_points *text)
{
    uint32_t *at = text->at;
    size_t used = 0, count = text->count;
    for (size_t i = 0; i < count;) {
        if (at[i] != '&') {
            at[used++] = at[i++];
            continue;
        }
        i++;
        i += skip_deep_levels(at + i, count - i);
        uint32_t out[3];
        size_t taken;
        int characters = ftfy_entity_at(at + i, count - i, out, &taken);
        if (characters < 0) {
            at[used++] = '&';
            continue;
        }
        memcpy(at + used, out, (size_t)characters * sizeof *out);
        used += (size_t)characters;
        i += taken;
    }
    text->count = used;
}
