/* The section of keys of a shard of version 2. */
#include "format.h"

#include "nclip/support/error.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static uint64_t end_of(const struct nc_key_section *section, size_t row)
{
    uint64_t end;
    memcpy(&end, section->ends + row * sizeof end, sizeof end);
    return end;
}

const char *nc_key_section_key(const struct nc_key_section *section, size_t row, size_t *length)
{
    uint64_t start = row ? end_of(section, row - 1) : 0;
    *length = (size_t)(end_of(section, row) - start) - 1;
    return section->text + start;
}

int nc_key_section_check(const char *path, const uint8_t *bytes, size_t size, size_t rows,
                         uint64_t sum, struct nc_key_section *section)
{
    *section = (struct nc_key_section){bytes, (const char *)bytes + rows * sizeof(uint64_t)};
    if (XXH3_64bits(bytes, size) != sum)
        return nc_error(NC_BAD_INPUT,
                        "%s: damaged embeddings: its keys do not have their checksum; restore the "
                        "file, or remove it and run nclip embed again",
                        path);
    uint64_t start = 0, text_bytes = size - rows * sizeof(uint64_t);
    for (size_t i = 0; i < rows; i++) {
        uint64_t end = end_of(section, i);
        const char *key = section->text + start;
        if (end < start + 2 || end > text_bytes || end - start - 1 > NC_EMBEDDING_MAX_KEY ||
            memchr(key, 0, (size_t)(end - start)) != key + (end - start - 1))
            return nc_error(NC_BAD_INPUT,
                            "%s: damaged embeddings: the key of row %zu is wrong; "
                            "remove the file and run nclip embed again",
                            path, i);
        start = end;
    }
    if (start != text_bytes)
        return nc_error(NC_BAD_INPUT,
                        "%s: damaged embeddings: there is something behind its keys; "
                        "remove the file and run nclip embed again",
                        path);
    return NC_OK;
}
