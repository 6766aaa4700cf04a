/* What the readers of both formats of captions share: coco.c and lines.c fill the set through
 * it. */
#ifndef NCLIP_HOST_CAPTIONS_READER_H
#define NCLIP_HOST_CAPTIONS_READER_H

#include "nclip/captions/captions.h"
#include "nclip/captions/records.h"
#include "nclip/formats/json.h"
#include "nclip/support/string_map.h"
#include "nclip/support/text_pool.h"

#include <stdbool.h>
#include <stddef.h>

struct captions_reader {
    const char *path; /* for messages */
    const char *text; /* the whole file */
    size_t size;
    struct nc_captions *captions; /* owned: a struct nc_text_pool */
    size_t capacity, image_capacity;
    struct nc_string_map *images; /* file name -> index */
    struct nc_caption_parser parser; /* of what was read last */
    nc_captions_visit visit;      /* or NULL */
    void *context;
};

/* `array` with room for one more than `count` items, moved if need be; NULL: no memory, and the
 * array stays as it was. */
void *captions_grow(void *array, size_t count, size_t *capacity, size_t item_size);

int captions_no_memory(const struct captions_reader *reader);

/* Appends the caption of `object`, with all its texts and its image
 * not yet known. `where` names the object. */
int captions_append(struct captions_reader *reader, const char *where, const cJSON *object);

enum captions_format { CAPTIONS_LINES, CAPTIONS_COCO, CAPTIONS_UNSURE };

/* What the text is, or how it begins unless it is `whole`: then it may be too short to tell. */
int captions_detect(const char *name, const char *text, size_t size, bool whole,
                    enum captions_format *format);

/* nc_captions_load_visiting() of a text that was read and checked. */
int captions_load_text(const char *name, const char *text, size_t size,
                       struct nc_captions *captions, nc_captions_visit visit, void *context);

/* The index of the image of that name; a new one is added. */
int captions_image(struct captions_reader *reader, const char *where, const char *name,
                   size_t *image);

#endif
