/* Notes where the sidecars of a tar are. */
#include "sidecar.h"

#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

void nc_sidecars_free(struct nc_sidecars *sidecars)
{
    if (!sidecars)
        return;
    for (size_t i = 0; i < sidecars->count; i++)
        free(sidecars->items[i].sample);
    free(sidecars->items);
    nc_string_map_destroy(sidecars->numbers);
    free(sidecars);
}

int nc_sidecars_note(struct nc_image_source *source, const struct nc_tar_member *member)
{
    struct nc_sidecars *s = source->sidecars;
    char suffix[NC_TAR_SUFFIX];
    size_t length, number;
    if (!s || member->type != NC_TAR_FILE || !nc_tar_sample(member->name, &length, suffix))
        return NC_OK;
    bool json = strcmp(suffix, "json") == 0;
    if (!json && strcmp(suffix, "txt") != 0)
        return NC_OK;
    if (s->count == s->capacity) {
        size_t capacity = s->capacity ? 2 * s->capacity : 256;
        struct nc_sidecar *larger = reallocarray(s->items, capacity, sizeof *larger);
        if (!larger)
            return nc_error(NC_FAILED, "%s: no memory", source->path);
        s->items = larger;
        s->capacity = capacity;
    }
    char *sample = strndup(member->name, length);
    int status = sample ? NC_OK : nc_error(NC_FAILED, "%s: no memory", source->path);
    if (status == NC_OK && !s->numbers)
        status = nc_string_map_create(&s->numbers);
    if (status == NC_OK)
        status = nc_string_map_add(s->numbers, sample, s->count, &number);
    if (status == NC_OK && number != s->count && s->items[number].json && !json) {
        s->items[number].offset = member->content; /* the text counts */
        s->items[number].size = member->size;
        s->items[number].json = false;
    }
    if (status != NC_OK || number != s->count) {
        free(sample);
        return status;
    }
    s->items[s->count++] = (struct nc_sidecar){sample, member->content, member->size, json};
    return NC_OK;
}
