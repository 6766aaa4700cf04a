#include "nclip/formats/json.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int parse_error(const char *where, const char *text, size_t size, const char *stopped)
{
    size_t line = 1, offset = stopped && stopped >= text ? (size_t)(stopped - text) : 0;
    if (offset > size)
        offset = size;
    for (size_t i = 0; i < offset; i++)
        line += text[i] == '\n';
    return nc_error(NC_BAD_INPUT, "%s: not valid JSON at line %zu (byte %zu)", where, line, offset);
}

int nc_json_parse(const char *where, const char *text, size_t size, cJSON **root)
{
    const char *end = NULL;
    *root = cJSON_ParseWithLengthOpts(text, size, &end, 0);
    if (!*root)
        return parse_error(where, text, size, end);
    for (; (size_t)(end - text) < size; end++) {
        if (*end != ' ' && *end != '\t' && *end != '\r' && *end != '\n') {
            cJSON_Delete(*root);
            *root = NULL;
            return parse_error(where, text, size, end);
        }
    }
    return NC_OK;
}

bool nc_json_escapes_zero(const char *text, size_t size)
{
    const char *end = text + size;
    for (const char *at = text; (at = memmem(at, (size_t)(end - at), "\\u0000", 6)); at += 6) {
        size_t backslashes = 1;
        while (at - backslashes >= text && at[-(ptrdiff_t)backslashes] == '\\')
            backslashes++;
        if (backslashes % 2) /* not the end of an escaped backslash */
            return true;
    }
    return false;
}

int nc_json_load(const char *path, cJSON **root)
{
    char *text;
    size_t size;
    *root = NULL;
    int status = nc_file_read(path, (size_t)4 << 30, &text, &size);
    if (status != NC_OK)
        return status;
    status = nc_json_parse(path, text, size, root);
    free(text);
    return status;
}

bool nc_json_add_count(cJSON *object, const char *key, uint64_t value)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRIu64, value);
    return cJSON_AddRawToObject(object, key, digits) != NULL;
}

int nc_json_print(FILE *out, cJSON *root, bool complete)
{
    char *text = root && complete ? cJSON_PrintUnformatted(root) : NULL;
    int status = text ? NC_OK : nc_error(NC_FAILED, "no memory to print the result");
    if (text)
        fprintf(out, "%s\n", text);
    cJSON_free(text);
    cJSON_Delete(root);
    return status;
}

int nc_json_write(const char *path, cJSON *root, bool complete)
{
    char *text = root && complete ? cJSON_Print(root) : NULL;
    struct nc_writer *writer = NULL;
    int status =
        text ? nc_writer_create(path, &writer) : nc_error(NC_FAILED, "%s: no memory", path);
    if (status == NC_OK) {
        (void)nc_writer_printf(writer, "%s\n", text); /* a failure is remembered until commit */
        status = nc_writer_commit(writer);
    }
    cJSON_free(text);
    cJSON_Delete(root);
    return status;
}

static const cJSON *member(const cJSON *object, const char *key)
{
    return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, key) : NULL;
}

static int wrong(const char *where, const char *key, const cJSON *item, const char *expected)
{
    if (!item)
        return nc_error(NC_BAD_INPUT, "%s: \"%s\" is missing (expected %s)", where, key, expected);
    return nc_error(NC_BAD_INPUT, "%s: \"%s\" is not %s", where, key, expected);
}

int nc_json_object(const char *where, const cJSON *object, const char *key, const cJSON **value)
{
    *value = member(object, key);
    return cJSON_IsObject(*value) ? NC_OK : wrong(where, key, *value, "an object");
}

int nc_json_array(const char *where, const cJSON *object, const char *key, const cJSON **value)
{
    *value = member(object, key);
    return cJSON_IsArray(*value) ? NC_OK : wrong(where, key, *value, "an array");
}

int nc_json_string(const char *where, const cJSON *object, const char *key, const char **value)
{
    const cJSON *item = member(object, key);
    if (!cJSON_IsString(item))
        return wrong(where, key, item, "a string");
    *value = item->valuestring;
    return NC_OK;
}

int nc_json_size(const char *where, const cJSON *object, const char *key, size_t *value)
{
    const cJSON *item = member(object, key);
    if (!cJSON_IsNumber(item) || item->valuedouble < 0 || item->valuedouble > 0x1p53 ||
        item->valuedouble != floor(item->valuedouble))
        return wrong(where, key, item, "a whole number");
    *value = (size_t)item->valuedouble;
    return NC_OK;
}

int nc_json_number(const char *where, const cJSON *object, const char *key, double *value)
{
    const cJSON *item = member(object, key);
    if (!cJSON_IsNumber(item) || !isfinite(item->valuedouble))
        return wrong(where, key, item, "a number");
    *value = item->valuedouble;
    return NC_OK;
}

static bool absent(const cJSON *object, const char *key)
{
    const cJSON *item = member(object, key);
    return !item || cJSON_IsNull(item);
}

int nc_json_optional_size(const char *where, const cJSON *object, const char *key, size_t *value)
{
    return absent(object, key) ? NC_OK : nc_json_size(where, object, key, value);
}

int nc_json_optional_number(const char *where, const cJSON *object, const char *key, double *value)
{
    return absent(object, key) ? NC_OK : nc_json_number(where, object, key, value);
}

int nc_json_optional_string(const char *where, const cJSON *object, const char *key,
                            const char **value)
{
    return absent(object, key) ? NC_OK : nc_json_string(where, object, key, value);
}

int nc_json_optional_bool(const char *where, const cJSON *object, const char *key, bool *value)
{
    const cJSON *item = member(object, key);
    if (absent(object, key))
        return NC_OK;
    if (!cJSON_IsBool(item))
        return wrong(where, key, item, "true or false");
    *value = cJSON_IsTrue(item);
    return NC_OK;
}

/* ---- Element by element ---------------------------------------------------------------- */

struct cursor {
    const char *path, *text;
    size_t size, at;
};

/* The next character that is no blank; 0 at the end. */
static char peek(struct cursor *cursor)
{
    while (cursor->at < cursor->size && cursor->text[cursor->at] &&
           strchr(" \t\r\n", cursor->text[cursor->at]))
        cursor->at++;
    return cursor->at < cursor->size ? cursor->text[cursor->at] : 0;
}

static int expect(struct cursor *cursor, char character)
{
    if (peek(cursor) != character)
        return parse_error(cursor->path, cursor->text, cursor->size, cursor->text + cursor->at);
    cursor->at++;
    return NC_OK;
}

static int value(struct cursor *cursor, cJSON **item)
{
    const char *end = NULL;
    *item =
        cJSON_ParseWithLengthOpts(cursor->text + cursor->at, cursor->size - cursor->at, &end, 0);
    if (!*item)
        return parse_error(cursor->path, cursor->text, cursor->size, end);
    cursor->at = (size_t)(end - cursor->text);
    return NC_OK;
}

static int elements(struct cursor *cursor,
                    int (*read)(void *context, size_t index, const cJSON *element), void *context)
{
    int status = expect(cursor, '[');
    bool more = status == NC_OK && peek(cursor) != ']';
    for (size_t index = 0; more && status == NC_OK; index++) {
        cJSON *item = NULL;
        status = value(cursor, &item);
        if (status == NC_OK)
            status = read(context, index, item);
        cJSON_Delete(item);
        more = status == NC_OK && peek(cursor) == ',';
        cursor->at += more;
    }
    return status == NC_OK ? expect(cursor, ']') : status;
}

int nc_json_each(const char *path, const char *text, size_t size, const char *key,
                 int (*read)(void *context, size_t index, const cJSON *element), void *context)
{
    struct cursor cursor = {path, text, size, 0};
    bool found = false;
    int status = expect(&cursor, '{');
    bool more = status == NC_OK && peek(&cursor) != '}';
    while (more && status == NC_OK) {
        cJSON *name = NULL, *ignored = NULL;
        if (peek(&cursor) != '"')
            status = expect(&cursor, '"');
        if (status == NC_OK)
            status = value(&cursor, &name);
        if (status == NC_OK)
            status = expect(&cursor, ':');
        bool wanted = status == NC_OK && strcmp(name->valuestring, key) == 0;
        if (wanted && found)
            status = nc_error(NC_BAD_INPUT, "%s: \"%s\" stands there twice", path, key);
        else if (wanted && peek(&cursor) != '[')
            status = nc_error(NC_BAD_INPUT, "%s: \"%s\" is not an array", path, key);
        else if (wanted)
            status = elements(&cursor, read, context);
        else if (status == NC_OK && peek(&cursor))
            status = value(&cursor, &ignored);
        found |= wanted;
        cJSON_Delete(ignored);
        cJSON_Delete(name);
        more = status == NC_OK && peek(&cursor) == ',';
        cursor.at += more;
    }
    if (status == NC_OK)
        status = expect(&cursor, '}');
    if (status == NC_OK && peek(&cursor))
        status = expect(&cursor, 0);
    if (status == NC_OK && !found)
        status = nc_error(NC_BAD_INPUT, "%s: the array \"%s\" is missing", path, key);
    return status;
}
