/* Loads a file of captions by the reader of its format. */
#include "nclip/captions/captions.h"

#include "coco.h"
#include "lines.h"
#include "nclip/formats/json_reader.h"
#include "nclip/formats/text.h"
#include "nclip/support/error.h"
#include "reader.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Whether the text is COCO's, by the keys of its first object. */
static int detect_by_keys(const struct captions_reader *reader, bool *coco)
{
    static const char *const keys[] = {"images",  "annotations",     "image",
                                       "caption", "updated_caption", "contradiction"};
    struct nc_json_reader json = {0};
    enum nc_json_event event;
    nc_json_reader_begin(&json, reader->text, reader->size);
    int status = nc_error(NC_BAD_INPUT,
                          "%s: the first object has neither \"annotations\" (COCO JSON) nor "
                          "\"image\" and \"caption\" (JSONL)",
                          reader->path);
    event = nc_json_next(&json); /* the brace */
    while (status != NC_OK && event != NC_JSON_WRONG &&
           (event = nc_json_next(&json)) != NC_JSON_OBJECT_END) {
        for (size_t i = 0; i < sizeof keys / sizeof *keys && event == NC_JSON_KEY; i++) {
            if (strlen(keys[i]) != json.length || memcmp(keys[i], json.text, json.length) != 0)
                continue;
            *coco = i < 2;
            status = NC_OK;
        }
        if ((event == NC_JSON_OBJECT || event == NC_JSON_ARRAY) && !nc_json_pass(&json))
            event = NC_JSON_WRONG;
    }
    if (status != NC_OK && event == NC_JSON_WRONG)
        status = nc_json_reader_error(&json, reader->path, NULL);
    nc_json_reader_free(&json);
    return status;
}

static int detect(const struct captions_reader *reader, bool *coco)
{
    size_t blank = 0;
    while (blank < reader->size && nc_is_blank(reader->text + blank, 1))
        blank++;
    if (blank == reader->size)
        return nc_error(NC_BAD_INPUT, "%s: empty: it must hold captions as COCO JSON or JSONL",
                        reader->path);
    if (reader->text[blank] == '[')
        return nc_error(NC_BAD_INPUT,
                        "%s: a JSON array: it must be COCO's object with \"images\" and "
                        "\"annotations\", or one object a line",
                        reader->path);
    if (reader->text[blank] != '{')
        return nc_error(NC_BAD_INPUT, "%s: neither COCO JSON nor JSONL: it starts with no object",
                        reader->path);
    return detect_by_keys(reader, coco);
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
    int status = nc_text_read(path, (size_t)4 << 30, &text, &reader.size);
    if (status != NC_OK)
        return status;
    reader.text = text;

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
