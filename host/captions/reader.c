/* What the readers of both formats of captions do alike: they take JSON values out of the file's
 * text, and put the captions and pictures that those name into the set. */
#include "reader.h"

#include "nclip/support/error.h"
#include "record.h"

#include <stdlib.h>
#include <string.h>

void *captions_grow(void *array, size_t count, size_t *capacity, size_t item_size)
{
    if (count < *capacity)
        return array;
    size_t larger = *capacity ? *capacity * 2 : 1024;
    void *moved = reallocarray(array, larger, item_size);
    if (moved)
        *capacity = larger;
    return moved;
}

int captions_no_memory(const struct captions_reader *reader)
{
    return nc_error(NC_FAILED, "%s: no memory for the captions", reader->path);
}

static const char *keep(struct captions_reader *reader, const char *text)
{
    struct nc_text_pool *pool = reader->captions->owned;
    const char *copy = nc_text_pool_copy(&pool, text);
    reader->captions->owned = pool;
    return copy;
}

/* *copy = a copy of the text, which may be NULL. */
static int keep_text(struct captions_reader *reader, const char *text, const char **copy)
{
    *copy = text ? keep(reader, text) : NULL;
    return !text || *copy ? NC_OK : captions_no_memory(reader);
}

static int keep_choices(struct captions_reader *reader, const struct nc_caption_record *record,
                        struct nc_caption *caption)
{
    int status = NC_OK;
    if (!record->choice_count)
        return NC_OK;
    caption->choices = calloc(record->choice_count, sizeof *caption->choices);
    if (!caption->choices)
        return captions_no_memory(reader);
    for (size_t i = 0; i < record->choice_count && status == NC_OK; i++)
        status = keep_text(reader, record->choices[i], &caption->choices[caption->choice_count++]);
    return status;
}

int captions_append(struct captions_reader *reader, const char *where, const cJSON *object)
{
    struct nc_caption_record record;
    int status = captions_record_texts(where, object, &record);
    if (status == NC_OK)
        status = captions_record_roles(where, object, &reader->parser, &record);
    if (status != NC_OK)
        return status;

    struct nc_captions *captions = reader->captions;
    struct nc_caption *items =
        captions_grow(captions->items, captions->count, &reader->capacity, sizeof *items);
    if (!items)
        return captions_no_memory(reader);
    captions->items = items;
    struct nc_caption *caption = &items[captions->count++];
    const char **copies[] = {&caption->text, &caption->original, &caption->contradiction,
                             &caption->absence, &caption->paraphrase};
    const char *texts[] = {record.caption, record.original, record.contradiction, record.absence,
                           record.paraphrase};
    *caption = (struct nc_caption){.distractor = NC_NO_PICTURE};
    for (size_t i = 0; i < sizeof texts / sizeof *texts && status == NC_OK; i++)
        status = keep_text(reader, texts[i], copies[i]);
    if (status == NC_OK)
        status = keep_choices(reader, &record, caption);
    return status == NC_OK && reader->visit ? reader->visit(reader->context, where, object)
                                            : status;
}

int captions_image(struct captions_reader *reader, const char *where, const char *name,
                   size_t *image)
{
    struct nc_captions *captions = reader->captions;
    if (nc_string_map_find(reader->images, name, image))
        return NC_OK;
    int status = captions_check_picture(where, name);
    if (status != NC_OK)
        return status;
    const char *copy = keep(reader, name);
    const char **images = captions_grow(captions->images, captions->image_count,
                                        &reader->image_capacity, sizeof *images);
    if (images)
        captions->images = images;
    if (!copy || !images)
        return captions_no_memory(reader);
    status = nc_string_map_add(reader->images, copy, captions->image_count, image);
    if (status == NC_OK)
        captions->images[captions->image_count++] = copy;
    return status;
}
