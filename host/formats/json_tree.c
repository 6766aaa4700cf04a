/* Builds cJSON's trees from the reader's events: of a file, of an array's elements one by one, of
 * JSON lines. */
#include "nclip/formats/json.h"

#include "nclip/formats/json_reader.h"
#include "nclip/formats/text.h"
#include "nclip/support/error.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLACE = 160, LARGEST = 4 }; /* bytes; GiB */

struct tree {
    struct nc_json_reader *reader;
    const char *where;
    cJSON *root;
    cJSON *parents[NC_JSON_DEEPEST];
    size_t depth;
    char *key; /* of the value that comes next */
};

/* ---- Where in the tree ------------------------------------------------------------------- */

static size_t write_part(char *place, size_t used, const cJSON *parent, const cJSON *child,
                         const char *key)
{
    int count;
    if (used >= PLACE)
        return used;
    if (cJSON_IsObject(parent)) {
        count = snprintf(place + used, PLACE - used, "%s%s", used ? "." : "", key ? key : "?");
    } else {
        size_t index = 0;
        for (const cJSON *item = parent->child; item && item != child; item = item->next)
            index++;
        count = snprintf(place + used, PLACE - used, "[%zu]", index);
    }
    return used + (count > 0 ? (size_t)count : 0);
}

/* "annotations[7].caption": what is being read, below `prefix`. */
static void place_of(const struct tree *tree, const char *prefix, char place[PLACE])
{
    size_t used = (size_t)snprintf(place, PLACE, "%s", prefix);
    for (size_t i = 0; i < tree->depth; i++) {
        const cJSON *child = i + 1 < tree->depth ? tree->parents[i + 1] : NULL;
        used = write_part(place, used, tree->parents[i], child,
                          child ? child->string : tree->key);
    }
}

static int failure(const struct tree *tree, const char *prefix)
{
    char place[PLACE];
    place_of(tree, prefix, place);
    return nc_json_reader_error(tree->reader, tree->where, place);
}

/* ---- Building ---------------------------------------------------------------------------- */

static char *copy_text(const struct nc_json_reader *reader)
{
    char *copy = cJSON_malloc(reader->length + 1);
    if (copy) {
        memcpy(copy, reader->text, reader->length);
        copy[reader->length] = 0;
    }
    return copy;
}

static int refuse_zero(const struct tree *tree, const char *prefix)
{
    char place[PLACE];
    place_of(tree, prefix, place);
    return nc_error(NC_BAD_INPUT, "%s: holds a zero character (\\u0000)%s%s: remove it",
                    tree->where, *place ? " in " : "", place);
}

static bool holds_zero(const struct nc_json_reader *reader)
{
    return reader->length && memchr(reader->text, 0, reader->length);
}

/* Digits that a double cannot hold all of are kept beside it. */
static bool set_number(const struct nc_json_reader *reader, cJSON *item)
{
    char digits[64], *text = reader->length < sizeof digits ? digits : malloc(reader->length + 1);
    if (!text)
        return false;
    memcpy(text, reader->text, reader->length);
    text[reader->length] = 0;
    item->type = cJSON_Number;
    (void)cJSON_SetNumberHelper(item, strtod(text, NULL));
    /* What was read may end with its last byte, without a zero behind it. */
    bool whole = reader->length > 15 && strspn(text, "-0123456789") >= reader->length;
    if (text != digits)
        free(text);
    return !whole || (item->valuestring = copy_text(reader)) != NULL;
}

static cJSON *make(const struct nc_json_reader *reader, enum nc_json_event event)
{
    cJSON *item = cJSON_CreateNull();
    if (!item)
        return NULL;
    bool made = true;
    switch (event) {
    case NC_JSON_OBJECT:
        item->type = cJSON_Object;
        break;
    case NC_JSON_ARRAY:
        item->type = cJSON_Array;
        break;
    case NC_JSON_STRING:
        item->type = cJSON_String;
        made = (item->valuestring = copy_text(reader)) != NULL;
        break;
    case NC_JSON_NUMBER:
        made = set_number(reader, item);
        break;
    case NC_JSON_TRUE:
        item->type = cJSON_True;
        item->valueint = 1;
        break;
    case NC_JSON_FALSE:
        item->type = cJSON_False;
        break;
    default: /* null; NaN and infinities leave a mark, by which getters of numbers refuse them */
        if (reader->length && *reader->text != 'n')
            item->valuedouble = NAN;
        break;
    }
    if (!made) {
        cJSON_Delete(item);
        return NULL;
    }
    return item;
}

/* Takes the item; as cJSON links it: the first one's `prev` is the last. */
static void attach(struct tree *tree, cJSON *item)
{
    if (!tree->depth) {
        tree->root = item;
        return;
    }
    cJSON *parent = tree->parents[tree->depth - 1];
    item->string = tree->key;
    tree->key = NULL;
    if (!parent->child) {
        parent->child = item->prev = item;
        return;
    }
    item->prev = parent->child->prev;
    item->prev->next = item;
    parent->child->prev = item;
}

/* The value that `event` begins, whole. `prefix` is where it stands in the text. */
static int build(struct nc_json_reader *reader, const char *where, const char *prefix,
                 enum nc_json_event event, cJSON **root)
{
    struct tree tree; /* its stack is not cleared: it is large, and the depth says what counts */
    tree.reader = reader;
    tree.where = where;
    tree.root = NULL;
    tree.depth = 0;
    tree.key = NULL;
    int status = NC_OK;
    *root = NULL;
    for (;; event = nc_json_next(reader)) {
        if (event == NC_JSON_WRONG || event == NC_JSON_END) {
            status = failure(&tree, prefix);
        } else if (event == NC_JSON_OBJECT_END || event == NC_JSON_ARRAY_END) {
            tree.depth--;
        } else if ((event == NC_JSON_KEY || event == NC_JSON_STRING) && holds_zero(reader)) {
            status = refuse_zero(&tree, prefix);
        } else if (event == NC_JSON_KEY) {
            tree.key = copy_text(reader);
            if (!tree.key)
                status = nc_error(NC_FAILED, "%s: no memory", where);
            else if (status == NC_OK)
                continue;
        } else {
            cJSON *item = make(reader, event);
            if (!item) {
                status = nc_error(NC_FAILED, "%s: no memory", where);
                break;
            }
            attach(&tree, item);
            if (event == NC_JSON_OBJECT || event == NC_JSON_ARRAY)
                tree.parents[tree.depth++] = item;
        }
        if (status != NC_OK || !tree.depth)
            break;
    }
    cJSON_free(tree.key);
    if (status != NC_OK)
        cJSON_Delete(tree.root);
    else
        *root = tree.root;
    return status;
}

/* Nothing but blanks may follow. */
static int expect_end(struct nc_json_reader *reader, const char *where)
{
    enum nc_json_event event = nc_json_next(reader);
    if (event == NC_JSON_END)
        return NC_OK;
    if (reader->status == NC_OK)
        reader->wrong = "more than one value: expected nothing behind the first";
    return nc_json_reader_error(reader, where, NULL);
}

static int parse(struct nc_json_reader *reader, const char *where, const char *text, size_t size,
                 cJSON **root)
{
    nc_json_reader_begin(reader, text, size);
    int status = build(reader, where, "", nc_json_next(reader), root);
    if (status == NC_OK)
        status = expect_end(reader, where);
    if (status != NC_OK) {
        cJSON_Delete(*root);
        *root = NULL;
    }
    return status;
}

int nc_json_parse(const char *where, const char *text, size_t size, cJSON **root)
{
    struct nc_json_reader reader = {0};
    int status = parse(&reader, where, text, size, root);
    nc_json_reader_free(&reader);
    return status;
}

cJSON *nc_json_try(const char *text, size_t size)
{
    cJSON *root;
    return nc_json_parse("text", text, size, &root) == NC_OK ? root : NULL;
}

int nc_json_load(const char *path, cJSON **root)
{
    char *text;
    size_t size;
    *root = NULL;
    int status = nc_text_read(path, (size_t)LARGEST << 30, &text, &size);
    if (status != NC_OK)
        return status;
    status = nc_json_parse(strcmp(path, "-") == 0 ? "standard input" : path, text, size, root);
    free(text);
    return status;
}

/* ---- Element by element ------------------------------------------------------------------ */

/* Behind the array's bracket. */
static int read_elements(struct nc_json_reader *reader, const char *path,
                         const struct nc_json_array *array, void *context)
{
    char place[PLACE];
    int status = NC_OK;
    enum nc_json_event event = nc_json_next(reader);
    for (size_t index = 0; status == NC_OK && event != NC_JSON_ARRAY_END; index++) {
        cJSON *item;
        snprintf(place, sizeof place, "%.100s[%zu]", array->key, index);
        status = build(reader, path, place, event, &item);
        if (status == NC_OK)
            status = array->read(context, index, item);
        cJSON_Delete(item);
        if (status == NC_OK)
            event = nc_json_next(reader);
    }
    return status;
}

static int read_member(struct nc_json_reader *reader, const char *path, struct nc_json_array *arrays,
                       size_t count, void *context)
{
    struct nc_json_array *wanted = NULL;
    for (size_t i = 0; i < count; i++)
        if (strlen(arrays[i].key) == reader->length &&
            memcmp(arrays[i].key, reader->text, reader->length) == 0)
            wanted = &arrays[i];
    char place[PLACE];
    snprintf(place, sizeof place, "%.*s", reader->length < 100 ? (int)reader->length : 100,
             reader->text);
    enum nc_json_event event = nc_json_next(reader);
    if (event == NC_JSON_WRONG)
        return nc_json_reader_error(reader, path, place);
    if (!wanted) {
        bool opened = event == NC_JSON_OBJECT || event == NC_JSON_ARRAY;
        return !opened || nc_json_pass(reader) ? NC_OK : nc_json_reader_error(reader, path, place);
    }
    if (wanted->found)
        return nc_error(NC_BAD_INPUT, "%s: \"%s\" stands there twice", path, wanted->key);
    if (event != NC_JSON_ARRAY)
        return nc_error(NC_BAD_INPUT, "%s: \"%s\" is not an array", path, wanted->key);
    wanted->found = true;
    return read_elements(reader, path, wanted, context);
}

int nc_json_arrays(const char *path, const char *text, size_t size, struct nc_json_array *arrays,
                   size_t count, void *context)
{
    struct nc_json_reader reader = {0};
    nc_json_reader_begin(&reader, text, size);
    int status = NC_OK;
    enum nc_json_event event = nc_json_next(&reader);
    if (event == NC_JSON_WRONG || event == NC_JSON_END)
        status = nc_json_reader_error(&reader, path, NULL);
    else if (event != NC_JSON_OBJECT)
        status = nc_error(NC_BAD_INPUT, "%s: not an object with the array \"%s\"", path,
                          arrays[0].key);
    while (status == NC_OK && (event = nc_json_next(&reader)) != NC_JSON_OBJECT_END)
        status = event == NC_JSON_KEY ? read_member(&reader, path, arrays, count, context)
                                      : nc_json_reader_error(&reader, path, NULL);
    if (status == NC_OK)
        status = expect_end(&reader, path);
    nc_json_reader_free(&reader);
    return status;
}

int nc_json_each(const char *path, const char *text, size_t size, const char *key,
                 int (*read)(void *context, size_t index, const cJSON *element), void *context)
{
    struct nc_json_array array = {key, read, false};
    int status = nc_json_arrays(path, text, size, &array, 1, context);
    if (status == NC_OK && !array.found)
        status = nc_error(NC_BAD_INPUT, "%s: the array \"%s\" is missing", path, key);
    return status;
}

/* ---- Lines ------------------------------------------------------------------------------- */

int nc_json_lines(const char *path, const char *text, size_t size, bool growing,
                  int (*read)(void *context, const char *where, const cJSON *value), void *context)
{
    struct nc_json_reader reader = {0};
    struct nc_lines lines = nc_lines_of(text, size);
    char where[4200];
    const char *line;
    size_t length;
    int status = NC_OK;
    while (status == NC_OK && nc_lines_next(&lines, &line, &length)) {
        if (nc_is_blank(line, length) || (growing && line + length == text + size))
            continue;
        cJSON *value;
        snprintf(where, sizeof where, "%s line %zu", path, lines.number);
        status = parse(&reader, where, line, length, &value);
        if (status == NC_OK)
            status = read(context, where, value);
        cJSON_Delete(value);
    }
    nc_json_reader_free(&reader);
    return status;
}

int nc_json_lines_load(const char *path, bool growing,
                       int (*read)(void *context, const char *where, const cJSON *value),
                       void *context)
{
    char *text;
    size_t size;
    int status = nc_text_read(path, (size_t)LARGEST << 30, &text, &size);
    if (status == NC_OK)
        status = nc_json_lines(strcmp(path, "-") == 0 ? "standard input" : path, text, size,
                               growing, read, context);
    free(text);
    return status;
}
