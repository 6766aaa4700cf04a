/* JSONL: {"image": "a.jpg", "caption": "...", "contradiction": "...", "distractor": "b.jpg"}, one
 * a line. */
#include "lines.h"

#include "nclip/support/error.h"

#include <stdio.h>
#include <string.h>

/* The picture that `key` names, for the caption read last. */
static int read_picture(struct captions_reader *reader, const char *where, const char *key,
                        const char *name, size_t *picture)
{
    int status = captions_check_text(where, key, name);
    return status == NC_OK ? captions_image(reader, where, name, picture) : status;
}

/* `rest` ends where the line does, so that no value reaches into the next. */
static int read_line(struct captions_reader *reader, const struct captions_reader *rest,
                     size_t line, size_t position)
{
    char where[512];
    cJSON *object = NULL;
    const char *image = NULL, *distractor = NULL;
    snprintf(where, sizeof where, "%s line %zu", reader->path, line);
    int status = captions_value(rest, &position, &object);
    if (status == NC_OK && captions_skip_blank(rest, position) != rest->size)
        status = nc_error(NC_BAD_INPUT, "%s: more than one JSON value in the line", where);
    if (status == NC_OK)
        status = captions_append(reader, where, object);
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
    cJSON_Delete(object);
    return status;
}

int captions_read_lines(struct captions_reader *reader)
{
    int status = NC_OK;
    size_t start = 0;
    for (size_t line = 1; start < reader->size && status == NC_OK; line++) {
        struct captions_reader rest = *reader;
        const char *newline = memchr(reader->text + start, '\n', reader->size - start);
        if (newline)
            rest.size = (size_t)(newline - reader->text);
        size_t first = captions_skip_blank(&rest, start);
        if (first < rest.size)
            status = read_line(reader, &rest, line, first);
        start = rest.size + 1;
    }
    return status;
}
