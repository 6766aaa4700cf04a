/* Which shards a folder holds. */
#include "shard.h"

#include "nclip/store/parts.h"
#include "nclip/support/error.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool nc_shard_number(const char *name, size_t *number)
{
    static const char before[] = "shard-", after[] = ".embeddings";
    if (strncmp(name, before, sizeof before - 1) != 0)
        return false;
    const char *digits = name + sizeof before - 1;
    size_t count = strspn(digits, "0123456789");
    *number = 0;
    for (size_t i = 0; i < count && i < 12; i++)
        *number = *number * 10 + (size_t)(digits[i] - '0');
    return count >= 6 && count <= 12 && strcmp(digits + count, after) == 0;
}

char *nc_embedding_shard_path(const char *folder, size_t number)
{
    char *path;
    return asprintf(&path, "%s/shard-%06zu.embeddings", folder, number) < 0 ? NULL : path;
}

static int compare_numbers(const void *a, const void *b)
{
    size_t first = ((const struct nc_shard *)a)->number;
    size_t second = ((const struct nc_shard *)b)->number;
    return (first > second) - (first < second);
}

int nc_shards_list(const char *folder, struct nc_shard **shards, size_t *count)
{
    *shards = NULL;
    *count = 0;
    DIR *directory = opendir(folder);
    if (!directory)
        return nc_error(nc_error_kind(errno), "%s: cannot open the embeddings: %s", folder,
                        strerror(errno));
    int status = NC_OK;
    size_t capacity = 0, number;
    struct dirent *entry;
    while (status == NC_OK && (entry = readdir(directory))) {
        if (!nc_shard_number(entry->d_name, &number))
            continue;
        if (*count == capacity) {
            capacity = capacity ? 2 * capacity : 16;
            struct nc_shard *larger = realloc(*shards, capacity * sizeof *larger);
            if (larger)
                *shards = larger;
            else
                status = nc_error(NC_FAILED, "%s: no memory for %zu shards", folder, capacity);
        }
        char *path = status == NC_OK ? nc_path_join(folder, entry->d_name) : NULL;
        if (path)
            (*shards)[(*count)++] = (struct nc_shard){.number = number, .path = path};
        else if (status == NC_OK)
            status = nc_error(NC_FAILED, "%s: no memory", folder);
    }
    closedir(directory);
    if (*count)
        qsort(*shards, *count, sizeof **shards, compare_numbers);
    return status;
}
