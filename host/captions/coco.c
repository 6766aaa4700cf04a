/* COCO caption JSON, read member by member: the whole tree of a file with 600,000 captions
 * would take several times the file's size. "images" may stand before or behind "annotations". */
#include "coco.h"

#include "nclip/support/error.h"
#include "nclip/support/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct coco {
    struct captions_reader *reader;
    struct nc_text_pool *pool;    /* ids and file names, until they are resolved */
    struct nc_string_map *ids; /* id -> index into `files` */
    const char **files;
    size_t file_count, file_capacity;
    struct ids {
        const char *image, *distractor; /* NULL: none */
    } *caption_ids; /* of each caption */
    size_t id_capacity;
};

/* An id as text: 42 and "42" are the same. */
static int read_id(struct coco *coco, const char *where, const cJSON *object, const char *key,
                   const char **id)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    char number[NC_NUMBER_SIZE];
    const char *text = cJSON_IsString(item) ? item->valuestring : NULL;
    if (cJSON_IsNumber(item)) {
        if (fabs(item->valuedouble) >= 0x1p53)
            return nc_error(NC_BAD_INPUT,
                            "%s: \"%s\" is too large to be exact: write it as a string", where,
                            key);
        text = nc_number_text(item->valuedouble, number);
    }
    if (!text)
        return nc_error(NC_BAD_INPUT, "%s: \"%s\" is %s (expected a number or a string)", where,
                        key, item ? "neither a number nor a string" : "missing");
    *id = nc_text_pool_copy(&coco->pool, text);
    return *id ? NC_OK : captions_no_memory(coco->reader);
}

static int read_image(struct coco *coco, size_t index, const cJSON *object)
{
    char where[512];
    const char *id, *name;
    size_t present;
    snprintf(where, sizeof where, "%s: images[%zu]", coco->reader->path, index);
    if (!cJSON_IsObject(object))
        return nc_error(NC_BAD_INPUT, "%s: not an object", where);
    int status = read_id(coco, where, object, "id", &id);
    if (status == NC_OK)
        status = nc_json_string(where, object, "file_name", &name);
    if (status == NC_OK)
        status = captions_check_text(where, "file_name", name);
    if (status == NC_OK)
        status = nc_string_map_add(coco->ids, id, coco->file_count, &present);
    if (status != NC_OK)
        return status;
    if (present != coco->file_count) {
        if (strcmp(coco->files[present], name) == 0)
            return NC_OK;
        return nc_error(NC_BAD_INPUT, "%s: id %s is already that of %s", where, id,
                        coco->files[present]);
    }
    const char *copy = nc_text_pool_copy(&coco->pool, name);
    const char **files =
        captions_grow(coco->files, coco->file_count, &coco->file_capacity, sizeof *files);
    if (files)
        coco->files = files;
    if (!copy || !files)
        return captions_no_memory(coco->reader);
    coco->files[coco->file_count++] = copy;
    return NC_OK;
}

static int read_annotation(struct coco *coco, size_t index, const cJSON *object)
{
    char where[512];
    struct nc_captions *captions = coco->reader->captions;
    snprintf(where, sizeof where, "%s: annotations[%zu]", coco->reader->path, index);
    struct ids *ids =
        captions_grow(coco->caption_ids, captions->count, &coco->id_capacity, sizeof *ids);
    if (!ids)
        return captions_no_memory(coco->reader);
    coco->caption_ids = ids;
    int status = captions_append(coco->reader, where, object);
    if (status != NC_OK)
        return status;
    struct ids *own = &ids[captions->count - 1];
    *own = (struct ids){0};
    status = read_id(coco, where, object, "image_id", &own->image);
    const cJSON *distractor = cJSON_GetObjectItemCaseSensitive(object, "distractor_id");
    if (status == NC_OK && distractor && !cJSON_IsNull(distractor))
        status = read_id(coco, where, object, "distractor_id", &own->distractor);
    return status;
}

static int unexpected(const struct captions_reader *reader, size_t position, const char *expected)
{
    return nc_error(NC_BAD_INPUT, "%s: not valid JSON at line %zu (byte %zu): expected %s",
                    reader->path, captions_line(reader, position), position, expected);
}

/* Calls `read` for each element of the array at *position. */
static int read_array(struct coco *coco, const char *key, size_t *position,
                      int (*read)(struct coco *, size_t, const cJSON *))
{
    const struct captions_reader *reader = coco->reader;
    size_t at = captions_skip_blank(reader, *position);
    if (at >= reader->size || reader->text[at] != '[')
        return nc_error(NC_BAD_INPUT, "%s: \"%s\" is not an array", reader->path, key);
    at = captions_skip_blank(reader, at + 1);
    bool more = at < reader->size && reader->text[at] != ']';
    for (size_t index = 0; more; index++) {
        cJSON *item;
        int status = captions_value(reader, &at, &item);
        if (status == NC_OK)
            status = read(coco, index, item);
        cJSON_Delete(item);
        if (status != NC_OK)
            return status;
        at = captions_skip_blank(reader, at);
        more = at < reader->size && reader->text[at] == ',';
        at += more;
    }
    if (at >= reader->size || reader->text[at] != ']')
        return unexpected(reader, at, "\",\" or \"]\"");
    *position = at + 1;
    return NC_OK;
}

static int read_members(struct coco *coco)
{
    const struct captions_reader *reader = coco->reader;
    bool images = false, annotations = false;
    size_t at = captions_skip_blank(reader, captions_skip_blank(reader, 0) + 1); /* behind '{' */
    for (bool more = true; more;) {
        cJSON *key = NULL, *ignored = NULL;
        at = captions_skip_blank(reader, at);
        if (at >= reader->size || reader->text[at] != '"')
            return unexpected(reader, at, "a key");
        int status = captions_value(reader, &at, &key);
        at = captions_skip_blank(reader, at);
        if (status == NC_OK && (at >= reader->size || reader->text[at++] != ':'))
            status = unexpected(reader, at, "\":\"");
        bool is_images = status == NC_OK && strcmp(key->valuestring, "images") == 0;
        bool is_annotations = status == NC_OK && strcmp(key->valuestring, "annotations") == 0;
        if ((is_images && images) || (is_annotations && annotations))
            status = nc_error(NC_BAD_INPUT, "%s: \"%s\" stands there twice", reader->path,
                              key->valuestring);
        else if (is_images)
            status = read_array(coco, "images", &at, read_image);
        else if (is_annotations)
            status = read_array(coco, "annotations", &at, read_annotation);
        else if (status == NC_OK)
            status = captions_value(reader, &at, &ignored);
        images |= is_images;
        annotations |= is_annotations;
        cJSON_Delete(ignored);
        cJSON_Delete(key);
        if (status != NC_OK)
            return status;
        at = captions_skip_blank(reader, at);
        more = at < reader->size && reader->text[at] == ',';
        at += more;
    }
    if (at >= reader->size || reader->text[at] != '}')
        return unexpected(reader, at, "\",\" or \"}\"");
    at = captions_skip_blank(reader, at + 1);
    if (at != reader->size)
        return unexpected(reader, at, "nothing behind the object");
    if (!images || !annotations)
        return nc_error(NC_BAD_INPUT, "%s: \"%s\" is missing (COCO captions have it beside \"%s\")",
                        reader->path, images ? "annotations" : "images",
                        images ? "images" : "annotations");
    return NC_OK;
}

static int resolve_one(struct coco *coco, size_t caption, const char *key, const char *id,
                       size_t *picture)
{
    char where[512];
    size_t file;
    snprintf(where, sizeof where, "%s: annotations[%zu]", coco->reader->path, caption);
    if (!nc_string_map_find(coco->ids, id, &file))
        return nc_error(NC_BAD_INPUT, "%s: its %s %s is not among the images", where, key, id);
    return captions_image(coco->reader, where, coco->files[file], picture);
}

/* Once all images are known. */
static int resolve(struct coco *coco)
{
    struct nc_captions *captions = coco->reader->captions;
    int status = NC_OK;
    for (size_t i = 0; i < captions->count && status == NC_OK; i++) {
        const struct ids *ids = &coco->caption_ids[i];
        status = resolve_one(coco, i, "image_id", ids->image, &captions->items[i].image);
        if (status == NC_OK && ids->distractor)
            status = resolve_one(coco, i, "distractor_id", ids->distractor,
                                 &captions->items[i].distractor);
    }
    return status;
}

int captions_read_coco(struct captions_reader *reader)
{
    struct coco coco = {.reader = reader};
    int status = nc_string_map_create(&coco.ids);
    if (status == NC_OK)
        status = read_members(&coco);
    if (status == NC_OK)
        status = resolve(&coco);
    nc_string_map_destroy(coco.ids);
    nc_text_pool_free(coco.pool);
    free(coco.files);
    free(coco.caption_ids);
    return status;
}
