/* Reads JSONL, one object a line:
 *
 *     {"image": "a.jpg", "caption": "...", "contradiction": "...", "distractor": "b.jpg"}
 */
#include "lines.h"

#include "nclip/support/error.h"
#include "record.h"

static int read_line(void *context, const char *where, const cJSON *object)
{
    struct captions_reader *reader = context;
    struct nc_caption_record record = {0};
    int status = captions_append(reader, where, object);
    if (status == NC_OK)
        status = captions_record_pictures(where, object, &record);
    struct nc_caption *caption =
        status == NC_OK ? &reader->captions->items[reader->captions->count - 1] : NULL;
    if (status == NC_OK)
        status = captions_image(reader, where, record.image, &caption->image);
    if (status == NC_OK && record.distractor)
        status = captions_image(reader, where, record.distractor, &caption->distractor);
    return status;
}

int captions_read_lines(struct captions_reader *reader)
{
    return nc_json_lines(reader->path, reader->text, reader->size, false, read_line, reader);
}
