/* Loads a file of captions by the reader of its format. */
#include "nclip/captions/captions.h"

#include "coco.h"
#include "lines.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "reader.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Looks at the keys of the first object. */
static int detect(const struct captions_reader *reader, bool *coco)
{
    size_t position = captions_skip_blank(reader, 0);
    if (position == reader->size)
        return nc_error(NC_BAD_INPUT, "%s: empty: it must hold captions as COCO JSON or JSONL",
                        reader->path);
    if (reader->text[position] == '[')
        return nc_error(NC_BAD_INPUT,
                        "%s: a JSON array: it must be COCO's object with \"images\" and "
                        "\"annotations\", or one object a line",
                        reader->path);
    if (reader->text[position] != '{')
        return nc_error(NC_BAD_INPUT, "%s: neither COCO JSON nor JSONL: it starts with no object",
                        reader->path);
    position++;
    for (;;) {
        position = captions_skip_blank(reader, position);
        cJSON *item = NULL;
        if (position < reader->size && reader->text[position] == '"') {
            int status = captions_value(reader, &position, &item);
            if (status != NC_OK)
                return status;
            static const char *const keys[] = {"images",  "annotations",     "image",
                                               "caption", "updated_caption", "contradiction"};
            for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
                if (strcmp(item->valuestring, keys[i]) == 0) {
                    *coco = i < 2;
                    cJSON_Delete(item);
                    return NC_OK;
                }
            }
            cJSON_Delete(item);
            position = captions_skip_blank(reader, position);
        }
        /* Some other member: pass over its value. */
        if (position < reader->size && reader->text[position] == ':') {
            position++;
            int status = captions_value(reader, &position, &item);
            cJSON_Delete(item);
            if (status != NC_OK)
                return status;
            position = captions_skip_blank(reader, position);
        }
        if (position >= reader->size || reader->text[position] != ',')
            return nc_error(NC_BAD_INPUT,
                            "%s: the first object has neither \"annotations\" (COCO JSON) nor "
                            "\"image\" and \"caption\" (JSONL)",
                            reader->path);
        position++;
    }
}

int nc_captions_load(const char *path, struct nc_captions *captions)
{
    return nc_captions_load_visiting(path, captions, NULL, NULL);
}

int nc_captions_load_visiting(const char *path, struct nc_captions *captions,
                              nc_captions_visit visit, void *context)
{
    *captions = (struct nc_captions){0};
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    char *text = NULL;
    struct captions_reader reader = {
        .path = name, .captions = captions, .visit = visit, .context = context};
    int status = nc_file_read(path, (size_t)4 << 30, &text, &reader.size);
    if (status != NC_OK)
        return status;
    reader.text = text;
    if (reader.size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) { /* byte order mark */
        reader.text += 3;
        reader.size -= 3;
    }

    bool coco = false;
    status = nc_string_map_create(&reader.images);
    if (status == NC_OK)
        status = detect(&reader, &coco);
    if (status == NC_OK)
        status = coco ? captions_read_coco(&reader) : captions_read_lines(&reader);
    if (status == NC_OK && captions->count == 0)
        status = nc_error(NC_BAD_INPUT, "%s: holds no captions", name);
    nc_string_map_destroy(reader.images);
    free(text);
    if (status != NC_OK)
        nc_captions_free(captions);
    malloc_trim(0); /* the parser's small pieces go back to the system before training starts */
    return status;
}

void nc_captions_free(struct nc_captions *captions)
{
    free(captions->items);
    free(captions->images);
    nc_text_pool_free(captions->owned);
    *captions = (struct nc_captions){0};
}
