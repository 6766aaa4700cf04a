/* Tells which format of captions a text is, by the keys of its first object. */
#include "reader.h"

#include "nclip/formats/json_reader.h"
#include "nclip/formats/text.h"
#include "nclip/support/error.h"

#include <string.h>

static int detect_by_keys(const char *name, const char *text, size_t size, bool whole,
                          enum captions_format *format)
{
    static const char *const keys[] = {"images",  "annotations",     "image",
                                       "caption", "updated_caption", "contradiction"};
    struct nc_json_reader json = {0};
    enum nc_json_event event;
    nc_json_reader_begin(&json, text, size);
    int status = nc_error(NC_BAD_INPUT,
                          "%s: the first object has neither \"annotations\" (COCO JSON) nor "
                          "\"image\" and \"caption\" (JSONL)",
                          name);
    event = nc_json_next(&json); /* the brace */
    while (status != NC_OK && event != NC_JSON_WRONG &&
           (event = nc_json_next(&json)) != NC_JSON_OBJECT_END) {
        for (size_t i = 0; i < sizeof keys / sizeof *keys && event == NC_JSON_KEY; i++) {
            if (strlen(keys[i]) != json.length || memcmp(keys[i], json.text, json.length) != 0)
                continue;
            *format = i < 2 ? CAPTIONS_COCO : CAPTIONS_LINES;
            status = NC_OK;
        }
        if ((event == NC_JSON_OBJECT || event == NC_JSON_ARRAY) && !nc_json_pass(&json))
            event = NC_JSON_WRONG;
    }
    if (status != NC_OK && event == NC_JSON_WRONG) {
        *format = CAPTIONS_UNSURE;
        status = whole ? nc_json_reader_error(&json, name, NULL) : NC_OK;
    }
    nc_json_reader_free(&json);
    return status;
}

int captions_detect(const char *name, const char *text, size_t size, bool whole,
                    enum captions_format *format)
{
    size_t blank = 0;
    *format = CAPTIONS_UNSURE;
    while (blank < size && nc_is_blank(text + blank, 1))
        blank++;
    if (blank == size)
        return whole ? nc_error(NC_BAD_INPUT,
                                "%s: empty: it must hold captions as COCO JSON or JSONL", name)
                     : NC_OK;
    if (text[blank] == '[')
        return nc_error(NC_BAD_INPUT,
                        "%s: a JSON array: it must be COCO's object with \"images\" and "
                        "\"annotations\", or one object a line",
                        name);
    if (text[blank] != '{')
        return nc_error(NC_BAD_INPUT, "%s: neither COCO JSON nor JSONL: it starts with no object",
                        name);
    return detect_by_keys(name, text, size, whole, format);
}
