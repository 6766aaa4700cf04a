/* What the readers of both formats of captions share: coco.c and lines.c fill the set through
 * it. */
#ifndef NCLIP_HOST_CAPTIONS_READER_H
#define NCLIP_HOST_CAPTIONS_READER_H

#include "nclip/captions/captions.h"
#include "nclip/formats/json.h"
#include "nclip/support/string_map.h"
#include "nclip/support/text_pool.h"

#include <stddef.h>

struct captions_reader {
    const char *path; /* for messages */
    const char *text; /* the whole file */
    size_t size;
    struct nc_captions *captions; /* owned: a struct nc_text_pool */
    size_t capacity, image_capacity;
    struct nc_string_map *images; /* file name -> index */
    nc_captions_visit visit;      /* or NULL */
    void *context;
};

/* `array` with room for one more than `count` items, moved if need be; NULL: no memory, and the
 * array stays as it was. */
void *captions_grow(void *array, size_t count, size_t *capacity, size_t item_size);

int captions_no_memory(const struct captions_reader *reader);

/* Appends the caption of `object` (caption or updated_caption, contradiction) with its image
 * not yet known. `where` names the object. */
int captions_append(struct captions_reader *reader, const char *where, const cJSON *object);

/* The index of the image of that name; a new one is added. */
int captions_image(struct captions_reader *reader, const char *where, const char *name,
                   size_t *image);

/* Refuses what is no UTF-8. `key` names the member of the object that `where` names. */
int captions_check_text(const char *where, const char *key, const char *text);

#endif
