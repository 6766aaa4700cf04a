/* Opening files of weights: which format, which shards, in which folder. */
#include "tensors_parts.h"

#include "nclip/formats/json.h"
#include "nclip/formats/kind.h"
#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

static int add_shard(struct nc_tensors *tensors, char *path)
{
    if (!path)
        return nc_error(NC_FAILED, "no memory");
    struct nc_shard *larger = realloc(tensors->shards, (tensors->shard_count + 1) * sizeof *larger);
    if (!larger) {
        free(path);
        return nc_error(NC_FAILED, "no memory");
    }
    tensors->shards = larger;
    tensors->shards[tensors->shard_count++] = (struct nc_shard){.path = path};
    return NC_OK;
}

/* The shards lie beside their index; a name that leads elsewhere is an attack. */
static bool plain_name(const char *name)
{
    return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* Maps the file and reads what it holds, by its first bytes. */
static int open_shard(struct nc_tensors *tensors, struct nc_shard *shard)
{
    int status = nc_file_map(shard->path, &shard->mapping);
    if (status != NC_OK)
        return status;
    shard->first = tensors->count;
    enum nc_kind kind = nc_kind_of(shard->mapping.data, shard->mapping.size, true);
    switch (kind) {
    case NC_KIND_PYTORCH:
    case NC_KIND_PICKLE:
    case NC_KIND_ZIP: /* not PyTorch's, or in an order of its own: the reader tells */
        return nc_pytorch_read(tensors, shard);
    case NC_KIND_SAFETENSORS:
    case NC_KIND_UNKNOWN: /* also a header that is wrong */
    case NC_KIND_TEXT:
    case NC_KIND_EMPTY:
        return nc_safetensors_read(tensors, shard);
    default:
        return nc_kind_refuse(shard->path, kind, "weights (safetensors, or PyTorch's)",
                              "get the file of weights anew");
    }
}

static int find_or_add_shard(struct nc_tensors *tensors, const char *folder, const char *name,
                             size_t *last)
{
    char *path = nc_path_join(folder, name);
    if (path && *last < tensors->shard_count && strcmp(tensors->shards[*last].path, path) == 0) {
        free(path);
        return NC_OK;
    }
    for (size_t i = 0; path && i < tensors->shard_count; i++) {
        if (strcmp(tensors->shards[i].path, path) == 0) {
            *last = i;
            free(path);
            return NC_OK;
        }
    }
    *last = tensors->shard_count;
    return add_shard(tensors, path);
}

enum { LARGEST_SHARDS = 4096 };

static int read_index(struct nc_tensors *tensors, const char *path)
{
    cJSON *root = NULL;
    const cJSON *map;
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup("");
    int status = folder ? nc_json_load(path, &root) : nc_error(NC_FAILED, "no memory");
    if (status == NC_OK)
        status = nc_json_object(path, root, "weight_map", &map);
    if (status != NC_OK)
        goto cleanup;

    size_t shard = 0;
    for (const cJSON *entry = map->child; entry && status == NC_OK; entry = entry->next) {
        if (!cJSON_IsString(entry) || !plain_name(entry->valuestring))
            status = nc_error(NC_BAD_INPUT,
                              "%s: tensor \"%.200s\" is said to be in \"%.200s\", "
                              "which is not the name of a file beside the index",
                              path, entry->string,
                              cJSON_IsString(entry) ? entry->valuestring : "(no string)");
        else
            status = find_or_add_shard(tensors, folder, entry->valuestring, &shard);
        if (status == NC_OK && tensors->shard_count > LARGEST_SHARDS)
            status = nc_error(NC_BAD_INPUT, "%s: names more than %d files", path, LARGEST_SHARDS);
    }
    for (size_t i = 0; i < tensors->shard_count && status == NC_OK; i++)
        status = open_shard(tensors, &tensors->shards[i]);
    if (status == NC_OK)
        status = nc_tensors_index(tensors, path);
    for (const cJSON *entry = map->child; entry && status == NC_OK; entry = entry->next) {
        const struct nc_tensor *tensor = nc_tensors_find(tensors, entry->string);
        status = find_or_add_shard(tensors, folder, entry->valuestring, &shard);
        if (status == NC_OK && (!tensor || tensor->file != shard))
            status = nc_error(NC_BAD_INPUT,
                              "%s: tensor \"%.200s\" is not in %s, where the index "
                              "says it is",
                              path, entry->string, entry->valuestring);
    }
cleanup:
    cJSON_Delete(root);
    free(folder);
    return status;
}

/* The file of weights of a folder, as transformers looks for it. */
static int find_in_folder(const char *folder, char **path)
{
    static const char *const names[] = {"model.safetensors", "model.safetensors.index.json",
                                        "pytorch_model.bin", "pytorch_model.bin.index.json"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        *path = nc_path_join(folder, names[i]);
        if (!*path)
            return nc_error(NC_FAILED, "%s: no memory", folder);
        if (nc_file_exists(*path))
            return NC_OK;
        free(*path);
        *path = NULL;
    }
    return nc_error(NC_BAD_INPUT,
                    "%s: holds neither model.safetensors nor pytorch_model.bin, nor an index of "
                    "either",
                    folder);
}

int nc_tensors_open(const char *path, struct nc_tensors **out)
{
    *out = NULL;
    char *inside = NULL;
    struct nc_tensors *tensors = calloc(1, sizeof *tensors);
    int status = tensors ? NC_OK : nc_error(NC_FAILED, "%s: no memory", path);
    if (status == NC_OK && nc_folder_exists(path)) {
        status = find_in_folder(path, &inside);
        path = inside;
    }
    if (status == NC_OK && nc_path_ends(path, ".json")) {
        status = read_index(tensors, path);
    } else if (status == NC_OK) {
        status = add_shard(tensors, strdup(path));
        if (status == NC_OK)
            status = open_shard(tensors, &tensors->shards[0]);
        if (status == NC_OK)
            status = nc_tensors_index(tensors, path);
    }
    free(inside);
    if (status != NC_OK)
        nc_tensors_close(tensors);
    else
        *out = tensors;
    return status;
}

void nc_tensors_close(struct nc_tensors *tensors)
{
    if (!tensors)
        return;
    for (size_t i = 0; i < tensors->shard_count; i++) {
        if (tensors->shards[i].release)
            tensors->shards[i].release(tensors->shards[i].owned);
        nc_file_unmap(&tensors->shards[i].mapping);
        free(tensors->shards[i].path);
    }
    free(tensors->shards);
    free(tensors->tensors);
    free(tensors->by_name);
    free(tensors);
}
