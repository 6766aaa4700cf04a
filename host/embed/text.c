/* Lines that are kept in memory until their piece is complete. */
#include "job.h"

#include "nclip/formats/json.h"
#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

int embed_text_add(struct embed_text *text, const char *bytes, size_t size)
{
    size_t capacity = text->capacity;
    while (capacity - text->size < size)
        capacity = capacity ? 2 * capacity : 1 << 12;
    if (capacity != text->capacity) {
        char *larger = realloc(text->text, capacity);
        if (!larger)
            return nc_error(NC_FAILED, "embed: no memory for %zu bytes of notes", capacity);
        text->text = larger;
        text->capacity = capacity;
    }
    if (size)
        memcpy(text->text + text->size, bytes, size);
    text->size += size;
    return NC_OK;
}

int embed_text_line(struct embed_text *text, const char *first, const char *a, const char *second,
                    const char *b)
{
    cJSON *object = cJSON_CreateObject();
    char *line = NULL;
    if (object && cJSON_AddStringToObject(object, first, a) &&
        cJSON_AddStringToObject(object, second, b))
        line = cJSON_PrintUnformatted(object);
    cJSON_Delete(object);
    int status = line ? embed_text_add(text, line, strlen(line))
                      : nc_error(NC_FAILED, "embed: no memory for a note on \"%s\"", a);
    if (status == NC_OK)
        status = embed_text_add(text, "\n", 1);
    cJSON_free(line);
    return status;
}

void embed_text_free(struct embed_text *text)
{
    free(text->text);
    *text = (struct embed_text){0};
}
