/* Typed members of JSON objects, with errors that name them. */
#include "nclip/formats/json.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/number.h"
#include "nclip/support/string_map.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool nc_json_add_count(cJSON *object, const char *key, uint64_t value)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRIu64, value);
    return cJSON_AddRawToObject(object, key, digits) != NULL;
}

static _Thread_local bool missed; /* memory for a tree, since the last one was printed */

static void *allocate(size_t size)
{
    void *block = malloc(size);
    missed |= !block;
    return block;
}

void nc_json_watch_memory(void)
{
    cJSON_InitHooks(&(cJSON_Hooks){.malloc_fn = allocate, .free_fn = free});
}

/* The text where the tree is whole, else NULL; frees the other. */
static char *whole(char *text)
{
    if (missed) {
        cJSON_free(text);
        text = NULL;
    }
    missed = false;
    return text;
}

int nc_json_print(FILE *out, cJSON *root, bool complete)
{
    char *text = whole(root && complete ? cJSON_PrintUnformatted(root) : NULL);
    int status = text ? NC_OK : nc_error(NC_FAILED, "no memory to print the result");
    if (text)
        fprintf(out, "%s\n", text);
    cJSON_free(text);
    cJSON_Delete(root);
    return status;
}

int nc_json_write(const char *path, cJSON *root, bool complete)
{
    char *text = whole(root && complete ? cJSON_Print(root) : NULL);
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

cJSON *nc_json_member(const cJSON *object, const char *key)
{
    cJSON *found = NULL;
    if (cJSON_IsObject(object))
        for (cJSON *item = object->child; item; item = item->next)
            if (item->string && strcmp(item->string, key) == 0)
                found = item;
    return found;
}

static int wrong(const char *where, const char *key, const cJSON *item, const char *expected)
{
    if (!item)
        return nc_error(NC_BAD_INPUT, "%s: \"%s\" is missing (expected %s)", where, key, expected);
    return nc_error(NC_BAD_INPUT, "%s: \"%s\" is not %s", where, key, expected);
}

int nc_json_object(const char *where, const cJSON *object, const char *key, const cJSON **value)
{
    *value = nc_json_member(object, key);
    return cJSON_IsObject(*value) ? NC_OK : wrong(where, key, *value, "an object");
}

int nc_json_array(const char *where, const cJSON *object, const char *key, const cJSON **value)
{
    *value = nc_json_member(object, key);
    return cJSON_IsArray(*value) ? NC_OK : wrong(where, key, *value, "an array");
}

int nc_json_string(const char *where, const cJSON *object, const char *key, const char **value)
{
    const cJSON *item = nc_json_member(object, key);
    if (!cJSON_IsString(item))
        return wrong(where, key, item, "a string");
    *value = item->valuestring;
    return NC_OK;
}

int nc_json_size(const char *where, const cJSON *object, const char *key, size_t *value)
{
    const cJSON *item = nc_json_member(object, key);
    if (!cJSON_IsNumber(item) || item->valuedouble < 0 || item->valuedouble > 0x1p53 ||
        item->valuedouble != floor(item->valuedouble))
        return wrong(where, key, item, "a whole number");
    *value = (size_t)item->valuedouble;
    return NC_OK;
}

int nc_json_number(const char *where, const cJSON *object, const char *key, double *value)
{
    const cJSON *item = nc_json_member(object, key);
    if (!cJSON_IsNumber(item) || !isfinite(item->valuedouble))
        return wrong(where, key, item, "a number");
    *value = item->valuedouble;
    return NC_OK;
}

int nc_json_unique(const char *where, const cJSON *object)
{
    struct nc_string_map *names;
    size_t index = 0, present;
    if (!cJSON_IsObject(object))
        return NC_OK;
    int status = nc_string_map_create(&names);
    for (const cJSON *item = object->child; item && status == NC_OK; item = item->next, index++) {
        status = nc_string_map_add(names, item->string, index, &present);
        if (status == NC_OK && present != index)
            status = nc_error(NC_BAD_INPUT,
                              "%s: \"%.200s\" stands there twice (items %zu and %zu): leave one of "
                              "them out",
                              where, item->string, present + 1, index + 1);
    }
    nc_string_map_destroy(names);
    return status;
}

int nc_json_id(const char *where, const cJSON *object, const char *key, char number[NC_JSON_ID],
               const char **id)
{
    const cJSON *item = nc_json_member(object, key);
    if (cJSON_IsString(item)) {
        *id = item->valuestring;
        return NC_OK;
    }
    if (!cJSON_IsNumber(item))
        return nc_error(NC_BAD_INPUT, "%s: \"%s\" is %s (expected a number or a string)", where, key,
                        item ? "neither a number nor a string" : "missing");
    *id = item->valuestring; /* a whole number's digits, where a double has not all of them */
    if (!*id && fabs(item->valuedouble) >= 0x1p53)
        return nc_error(NC_BAD_INPUT,
                        "%s: \"%s\" is too large to be exact: write it as a string", where, key);
    if (!*id)
        *id = nc_number_text(item->valuedouble, number);
    return NC_OK;
}

int nc_json_id_number(const char *where, const cJSON *object, const char *key, size_t *value)
{
    const cJSON *item = nc_json_member(object, key);
    const char *text = cJSON_IsString(item) ? item->valuestring : "";
    size_t length = strlen(text);
    if (!length || length > 15 || strspn(text, "0123456789") != length)
        return nc_json_size(where, object, key, value);
    *value = (size_t)strtoull(text, NULL, 10);
    return NC_OK;
}

static bool absent(const cJSON *object, const char *key)
{
    const cJSON *item = nc_json_member(object, key);
    return !item || cJSON_IsNull(item);
}

/* NaN is null but where a number is asked for. */
static bool absent_number(const cJSON *object, const char *key)
{
    return absent(object, key) &&
           !(nc_json_member(object, key) && isnan(nc_json_member(object, key)->valuedouble));
}

int nc_json_optional_size(const char *where, const cJSON *object, const char *key, size_t *value)
{
    return absent_number(object, key) ? NC_OK : nc_json_size(where, object, key, value);
}

int nc_json_optional_number(const char *where, const cJSON *object, const char *key, double *value)
{
    return absent_number(object, key) ? NC_OK : nc_json_number(where, object, key, value);
}

int nc_json_optional_string(const char *where, const cJSON *object, const char *key,
                            const char **value)
{
    return absent(object, key) ? NC_OK : nc_json_string(where, object, key, value);
}

int nc_json_optional_bool(const char *where, const cJSON *object, const char *key, bool *value)
{
    const cJSON *item = nc_json_member(object, key);
    if (absent(object, key))
        return NC_OK;
    if (!cJSON_IsBool(item))
        return wrong(where, key, item, "true or false");
    *value = cJSON_IsTrue(item);
    return NC_OK;
}
