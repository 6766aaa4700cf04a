/* Reads the captions to extend, with the ids of their annotations and pictures. */
#include "parts.h"

#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/support/number.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* NULL when it is none; *failed is set without memory. */
static char *id_text(const cJSON *id, bool *failed)
{
    char number[NC_NUMBER_SIZE], *text = NULL;
    if (cJSON_IsString(id))
        text = strdup(id->valuestring);
    else if (cJSON_IsNumber(id))
        text = strdup(nc_number_text(id->valuedouble, number));
    else
        return NULL;
    *failed |= !text;
    return text;
}

static int note_ids(void *context, const char *where, const cJSON *object)
{
    struct absence_ids *ids = context;
    bool failed = false;
    if (ids->count == ids->capacity) {
        size_t larger = ids->capacity ? ids->capacity * 2 : 1024;
        char **captions = reallocarray(ids->captions, larger, sizeof *captions);
        if (captions)
            ids->captions = captions;
        char **images = reallocarray(ids->images, larger, sizeof *images);
        if (images)
            ids->images = images;
        if (!captions || !images)
            return nc_error(NC_FAILED, "%s: no memory", where);
        ids->capacity = larger;
    }
    ids->captions[ids->count] = id_text(nc_json_member(object, "id"), &failed);
    ids->images[ids->count] =
        id_text(nc_json_member(object, "image_id"), &failed);
    ids->unnamed |= !ids->captions[ids->count];
    ids->count++;
    return failed ? nc_error(NC_FAILED, "%s: no memory", where) : NC_OK;
}

int absence_load_captions(struct absence *a)
{
    int status = nc_captions_load_visiting(a->options->captions, &a->captions, note_ids, &a->ids);
    if (status != NC_OK)
        return status;
    a->items = calloc(a->captions.count, sizeof *a->items);
    if (!a->items)
        return nc_error(NC_FAILED, "%s: no memory for %zu captions", a->options->captions,
                        a->captions.count);
    a->counts->captions = a->captions.count;
    a->counts->pictures = a->captions.image_count;
    return NC_OK;
}

void absence_free_captions(struct absence *a)
{
    for (size_t i = 0; i < a->ids.count; i++) {
        free(a->ids.captions[i]);
        free(a->ids.images[i]);
    }
    for (size_t i = 0; a->items && i < a->captions.count; i++) {
        free(a->items[i].object);
        free(a->items[i].text);
    }
    free(a->ids.captions);
    free(a->ids.images);
    free(a->items);
    nc_captions_free(&a->captions);
}

char **absence_image_ids(const struct absence *a)
{
    size_t count = a->captions.image_count;
    char **ids = calloc(count + 1, sizeof *ids);
    bool complete = ids != NULL, counted = false;
    for (size_t i = 0; i < a->captions.count && complete; i++) {
        char **id = &ids[a->captions.items[i].image];
        if (*id)
            continue;
        counted |= !a->ids.images[i];
        *id = strdup(a->ids.images[i] ? a->ids.images[i] : "");
        complete = *id != NULL;
    }
    for (size_t i = 0; i < count && complete && counted; i++) {
        free(ids[i]);
        complete = asprintf(&ids[i], "%zu", i) >= 0;
        if (!complete)
            ids[i] = NULL;
    }
    if (complete)
        return ids;
    for (size_t i = 0; ids && i < count; i++)
        free(ids[i]);
    free(ids);
    return NULL;
}
