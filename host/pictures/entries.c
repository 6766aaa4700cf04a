/* The list of a source's pictures: which names count as pictures, and appending one. */
#include "entries.h"

#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool nc_image_source_is_picture(const char *name, size_t size)
{
    static const char *const endings[] = {".jpg",  ".jpeg", ".jpe",  ".jfif", ".png",
                                          ".bmp",  ".gif",  ".webp", ".tif",  ".tiff",
                                          ".avif", ".heic", ".ppm"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t length = strlen(endings[i]);
        if (size > length && strncasecmp(name + size - length, endings[i], length) == 0)
            return true;
    }
    return false;
}

int nc_image_source_add(struct nc_image_source *source, const char *key, size_t key_size,
                        uint64_t offset, uint64_t size)
{
    if (source->count == source->capacity) {
        size_t capacity = source->capacity ? 2 * source->capacity : 256;
        struct nc_image_entry *larger = realloc(source->entries, capacity * sizeof *larger);
        if (!larger)
            return nc_error(NC_FAILED, "%s: no memory for %zu pictures", source->path, capacity);
        source->entries = larger;
        source->capacity = capacity;
    }
    char *copy = strndup(key, key_size);
    if (!copy)
        return nc_error(NC_FAILED, "%s: no memory", source->path);
    source->entries[source->count++] = (struct nc_image_entry){copy, offset, size, NULL};
    return NC_OK;
}
