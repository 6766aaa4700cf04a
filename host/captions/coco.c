/* Reads COCO caption JSON member by member: the whole tree of a file with 600,000 captions would
 * take several times the file's size. "images" may stand before or behind "annotations". */
#include "coco.h"

#include "nclip/support/error.h"
#include "record.h"

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

static int read_id(struct coco *coco, const char *where, const cJSON *object, const char *key,
                   const char **id)
{
    char number[NC_JSON_ID];
    const char *text;
    int status = nc_json_id(where, object, key, number, &text);
    if (status != NC_OK)
        return status;
    *id = nc_text_pool_copy(&coco->pool, text);
    return *id ? NC_OK : captions_no_memory(coco->reader);
}

static int read_image(void *context, size_t index, const cJSON *object)
{
    struct coco *coco = context;
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

static int read_annotation(void *context, size_t index, const cJSON *object)
{
    struct coco *coco = context;
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
    const cJSON *distractor = nc_json_member(object, "distractor_id");
    if (status == NC_OK && distractor && !cJSON_IsNull(distractor))
        status = read_id(coco, where, object, "distractor_id", &own->distractor);
    return status;
}

static int read_arrays(struct coco *coco)
{
    enum { IMAGES, ANNOTATIONS, ARRAYS };
    const struct captions_reader *reader = coco->reader;
    struct nc_json_array arrays[ARRAYS] = {[IMAGES] = {"images", read_image, false},
                                           [ANNOTATIONS] = {"annotations", read_annotation, false}};
    int status = nc_json_arrays(reader->path, reader->text, reader->size, arrays, ARRAYS, coco);
    if (status != NC_OK || (arrays[IMAGES].found && arrays[ANNOTATIONS].found))
        return status;
    int missing = arrays[IMAGES].found ? ANNOTATIONS : IMAGES;
    return nc_error(NC_BAD_INPUT, "%s: \"%s\" is missing (COCO captions have it beside \"%s\")",
                    reader->path, arrays[missing].key, arrays[!missing].key);
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
        status = read_arrays(&coco);
    if (status == NC_OK)
        status = resolve(&coco);
    nc_string_map_destroy(coco.ids);
    nc_text_pool_free(coco.pool);
    free(coco.files);
    free(coco.caption_ids);
    return status;
}
