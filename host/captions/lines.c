/* Reads JSONL, one object a line:
 *
 *     {"image": "a.jpg", "caption": "...", "contradiction": "...", "distractor": "b.jpg"}
 */
#include "lines.h"

#include "nclip/support/error.h"

/* The picture that `key` names, for the caption read last. */
static int read_picture(struct captions_reader *reader, const char *where, const char *key,
                        const char *name, size_t *picture)
{
    int status = captions_check_text(where, key, name);
    return status == NC_OK ? captions_image(reader, where, name, picture) : status;
}

static int read_line(void *context, const char *where, const cJSON *object)
{
    struct captions_reader *reader = context;
    const char *image = NULL, *distractor = NULL;
    int status = captions_append(reader, where, object);
    if (status == NC_OK)
        status = nc_json_string(where, object, "image", &image);
    if (status == NC_OK)
        status = nc_json_optional_string(where, object, "distractor", &distractor);
    struct nc_caption *caption =
        status == NC_OK ? &reader->captions->items[reader->captions->count - 1] : NULL;
    if (status == NC_OK)
        status = read_picture(reader, where, "image", image, &caption->image);
    if (status == NC_OK && distractor)
        status = read_picture(reader, where, "distractor", distractor, &caption->distractor);
    return status;
}

int captions_read_lines(struct captions_reader *reader)
{
    return nc_json_lines(reader->path, reader->text, reader->size, false, read_line, reader);
}
