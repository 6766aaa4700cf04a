/* Reads the captions in sidecars. */
#include "sidecar.h"

#include "nclip/formats/json.h"
#include "nclip/formats/text.h"
#include "nclip/pictures/sidecar.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

/* ---- tars ---- */

static int read_member(const struct nc_image_source *source, const char *key, char **text,
                       size_t *size, bool *json)
{
    char suffix[NC_TAR_SUFFIX];
    size_t length, number;
    if (!source->sidecars || !source->sidecars->numbers || !nc_tar_sample(key, &length, suffix))
        return NC_OK;
    char *sample = strndup(key, length);
    if (!sample)
        return nc_error(NC_FAILED, "%s: no memory", source->path);
    bool found = nc_string_map_find(source->sidecars->numbers, sample, &number);
    free(sample);
    if (!found || source->sidecars->items[number].size > NC_SIDECAR_BYTES)
        return NC_OK;
    const struct nc_sidecar *sidecar = &source->sidecars->items[number];
    *json = sidecar->json;
    *size = (size_t)sidecar->size;
    return nc_tar_content(source, key, sidecar->offset, *size, (uint8_t **)text);
}

/* ---- files ---- */

/* A file beside the picture's; *text stays NULL where there is none that can be read. */
static int read_beside(const struct nc_image_source *source, const char *key, const char *ending,
                       char **text, size_t *size)
{
    const char *slash = strrchr(key, '/'), *dot = strrchr(slash ? slash : key, '.');
    char *name, *path;
    if (!dot)
        return NC_OK;
    if (asprintf(&name, "%.*s%s", (int)(dot - key), key, ending) < 0)
        return nc_error(NC_FAILED, "%s: no memory", key);
    path = nc_path_join(source->folder, name);
    free(name);
    int status = path ? NC_OK : nc_error(NC_FAILED, "%s: no memory", key);
    if (status == NC_OK && nc_file_exists(path)) {
        status = nc_file_read(path, NC_SIDECAR_BYTES, text, size);
        if (status == NC_BAD_INPUT)
            status = NC_OK; /* no caption then */
    }
    free(path);
    return status;
}

/* ---- captions ---- */

static bool is_utf8(const char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        utf8proc_int32_t character;
        utf8proc_ssize_t length = utf8proc_iterate((const utf8proc_uint8_t *)text + at,
                                                   (utf8proc_ssize_t)(size - at), &character);
        if (length < 1)
            return false;
        at += (size_t)length;
    }
    return true;
}

/* The caption in a text or an object, "" or NULL where there is none; it lives as long as both. */
static const char *find(const char *text, size_t size, const cJSON *object, size_t *length)
{
    if (object) {
        const cJSON *member = nc_json_member(object, "caption");
        text = cJSON_IsString(member) ? member->valuestring : NULL;
        size = text ? strlen(text) : 0;
    } else if (memchr(text, 0, size) || !is_utf8(text, size)) {
        return NULL;
    } else {
        size_t mark = nc_text_mark(text, size);
        text += mark;
        size -= mark;
    }
    while (size && nc_is_blank(text, 1)) {
        text++;
        size--;
    }
    while (size && nc_is_blank(text + size - 1, 1))
        size--;
    *length = size;
    return text;
}

int nc_image_source_caption(const struct nc_image_source *source, size_t index, char **caption)
{
    const char *key = source->entries[index].key, *found;
    char *text = NULL;
    size_t size = 0, length = 0;
    bool json = false;
    cJSON *object = NULL;
    *caption = NULL;
    int status = source->tar >= 0 ? read_member(source, key, &text, &size, &json)
                                  : read_beside(source, key, ".txt", &text, &size);
    if (status == NC_OK && !text && source->tar < 0) {
        status = read_beside(source, key, ".json", &text, &size);
        json = true;
    }
    if (status != NC_OK || !text)
        return status;
    if (json)
        object = nc_json_try(text, size);
    if (!json || object) {
        found = find(text, size, object, &length);
        if (found && length && !(*caption = strndup(found, length)))
            status = nc_error(NC_FAILED, "%s: no memory for its caption", key);
    }
    cJSON_Delete(object);
    free(text);
    return status;
}
