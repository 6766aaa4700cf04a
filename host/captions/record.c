/* Reads what a caption carries from the object that has it. */
#include "record.h"

#include "nclip/captions/set.h"
#include "nclip/support/error.h"

#include <stdlib.h>
#include <utf8proc.h>

int captions_check_text(const char *where, const char *key, const char *text)
{
    const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)text;
    while (*at) {
        utf8proc_int32_t code;
        if (*at < 0x80) {
            at++;
            continue;
        }
        utf8proc_ssize_t length = utf8proc_iterate(at, -1, &code);
        if (length < 0)
            return nc_error(NC_BAD_INPUT,
                            "%s: \"%s\" is not UTF-8 (byte %zu of it): convert the file", where,
                            key, (size_t)((const char *)at - text));
        at += length;
    }
    return NC_OK;
}

int captions_check_picture(const char *where, const char *name)
{
    return *name ? NC_OK : nc_error(NC_BAD_INPUT, "%s: the image's file name is empty", where);
}

static int optional_text(const char *where, const cJSON *object, const char *key, const char **text)
{
    int status = nc_json_optional_string(where, object, key, text);
    return status == NC_OK && *text ? captions_check_text(where, key, *text) : status;
}

int captions_record_texts(const char *where, const cJSON *object, struct nc_caption_record *record)
{
    *record = (struct nc_caption_record){0};
    if (!cJSON_IsObject(object))
        return nc_error(NC_BAD_INPUT, "%s: not an object", where);
    int status = optional_text(where, object, "updated_caption", &record->caption);
    if (status == NC_OK && !record->caption) {
        status = nc_json_string(where, object, "caption", &record->caption);
        if (status == NC_OK)
            status = captions_check_text(where, "caption", record->caption);
    }
    return status == NC_OK ? optional_text(where, object, "contradiction", &record->contradiction)
                           : status;
}

static int read_choices(const char *where, const cJSON *object, struct nc_caption_parser *parser,
                        struct nc_caption_record *record)
{
    const cJSON *array = nc_json_member(object, "choices"), *item;
    if (!array || cJSON_IsNull(array))
        return NC_OK;
    if (!cJSON_IsArray(array))
        return nc_error(NC_BAD_INPUT, "%s: \"choices\" is not an array", where);
    size_t count = (size_t)cJSON_GetArraySize(array);
    if (count > NC_SET_MOST_TEXTS)
        return nc_error(NC_BAD_INPUT, "%s: %zu choices, but a caption has %d at most", where, count,
                        NC_SET_MOST_TEXTS);
    if (count > parser->choice_capacity) {
        const char **larger = reallocarray(parser->choices, count, sizeof *larger);
        if (!larger)
            return nc_error(NC_FAILED, "%s: no memory", where);
        parser->choices = larger;
        parser->choice_capacity = count;
    }
    cJSON_ArrayForEach(item, array)
    {
        if (!cJSON_IsString(item))
            return nc_error(NC_BAD_INPUT, "%s: \"choices\" holds what is not a string", where);
        int status = captions_check_text(where, "choices", item->valuestring);
        if (status != NC_OK)
            return status;
        parser->choices[record->choice_count++] = item->valuestring;
    }
    record->choices = parser->choices;
    return NC_OK;
}

int captions_record_roles(const char *where, const cJSON *object, struct nc_caption_parser *parser,
                          struct nc_caption_record *record)
{
    const cJSON *updated = nc_json_member(object, "updated_caption");
    const char *own = updated && !cJSON_IsNull(updated) ? "caption" : "original";
    int status = optional_text(where, object, own, &record->original);
    if (status == NC_OK)
        status = optional_text(where, object, "absence", &record->absence);
    if (status == NC_OK)
        status = optional_text(where, object, "paraphrase", &record->paraphrase);
    return status == NC_OK ? read_choices(where, object, parser, record) : status;
}

int captions_record_pictures(const char *where, const cJSON *object,
                             struct nc_caption_record *record)
{
    int status = nc_json_string(where, object, "image", &record->image);
    if (status == NC_OK)
        status = nc_json_optional_string(where, object, "distractor", &record->distractor);
    if (status == NC_OK)
        status = captions_check_text(where, "image", record->image);
    if (status == NC_OK)
        status = captions_check_picture(where, record->image);
    if (status == NC_OK && record->distractor)
        status = captions_check_text(where, "distractor", record->distractor);
    if (status == NC_OK && record->distractor)
        status = captions_check_picture(where, record->distractor);
    return status;
}

void nc_caption_parser_free(struct nc_caption_parser *parser)
{
    cJSON_Delete(parser->tree);
    free(parser->choices);
    *parser = (struct nc_caption_parser){0};
}
