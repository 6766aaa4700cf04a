#include "nclip/checkpoints/safetensors.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/formats/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <utf8proc.h>

/* The format's own limit (safetensors, MAX_HEADER_SIZE). */
enum { LARGEST_HEADER = 100000000 };

enum { AROUND = 2 << 20 }; /* bytes that one page fault can make resident on either side */

struct shard {
    char *path;
    struct nc_mapping mapping;
    cJSON *header;       /* owns the names */
    size_t first, count; /* its tensors */
};

struct nc_safetensors {
    struct shard *shards;
    size_t shard_count;
    struct nc_safetensor *tensors;
    size_t count, capacity;
    const struct nc_safetensor **by_name; /* sorted */
};

static const struct {
    const char *name;
    size_t size;
    int type;
} types[] = {
    {"F32", 4, NC_FLOAT32}, {"BF16", 2, NC_BFLOAT16}, {"F16", 2, NC_FLOAT16}, {"F64", 8, -1},
    {"I64", 8, -1},         {"I32", 4, -1},           {"I16", 2, -1},         {"I8", 1, -1},
    {"U64", 8, -1},         {"U32", 4, -1},           {"U16", 2, -1},         {"U8", 1, -1},
    {"BOOL", 1, -1},        {"F8_E4M3", 1, -1},       {"F8_E5M2", 1, -1},     {"F8_E8M0", 1, -1},
    {"C64", 8, -1},
};

static int find_type(const char *name)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(types[i].name, name) == 0)
            return (int)i;
    }
    return -1;
}

size_t nc_safetensors_type_size(const char *type_name)
{
    int index = find_type(type_name);
    return index < 0 ? 0 : types[index].size;
}

const char *nc_safetensors_type_name(enum nc_type type)
{
    return type == NC_FLOAT32 ? "F32" : type == NC_BFLOAT16 ? "BF16" : "F16";
}

static bool valid_utf8(const uint8_t *bytes, size_t size)
{
    while (size) {
        utf8proc_int32_t codepoint;
        /* A length beyond this is never looked at; the type is signed. */
        utf8proc_ssize_t step =
            utf8proc_iterate(bytes, size < 8 ? (utf8proc_ssize_t)size : 8, &codepoint);
        if (step < 1)
            return false;
        bytes += step;
        size -= (size_t)step;
    }
    return true;
}

/* A whole number 0 .. 2^53: all that a double tells apart. */
static bool read_size(const cJSON *item, size_t *value)
{
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= 0x1p53) ||
        item->valuedouble != floor(item->valuedouble))
        return false;
    *value = (size_t)item->valuedouble;
    return true;
}

/* Fills everything from the entry; `data` is the first byte behind the header. */
static int read_entry(const char *path, const cJSON *entry, const uint8_t *data, size_t size,
                      struct nc_safetensor *tensor)
{
    const cJSON *dtype = NULL, *shape = NULL, *offsets = NULL;
    tensor->name = entry->string;
    if (!cJSON_IsObject(entry))
        return nc_error(NC_BAD_INPUT,
                        "%s: tensor \"%.200s\" is described by something else than "
                        "an object",
                        path, tensor->name);
    for (const cJSON *member = entry->child; member; member = member->next) {
        const cJSON **known = strcmp(member->string, "dtype") == 0          ? &dtype
                              : strcmp(member->string, "shape") == 0        ? &shape
                              : strcmp(member->string, "data_offsets") == 0 ? &offsets
                                                                            : NULL;
        if (known && *known)
            return nc_error(NC_BAD_INPUT, "%s: tensor \"%.200s\" has \"%s\" twice", path,
                            tensor->name, member->string);
        if (known)
            *known = member;
    }

    int type = cJSON_IsString(dtype) ? find_type(dtype->valuestring) : -1;
    if (type < 0)
        return nc_error(NC_BAD_INPUT, "%s: tensor \"%.200s\" has the unknown \"dtype\" \"%.40s\"",
                        path, tensor->name, cJSON_IsString(dtype) ? dtype->valuestring : "");
    tensor->type_name = types[type].name;
    tensor->type = types[type].type;

    if (!cJSON_IsArray(shape))
        return nc_error(NC_BAD_INPUT, "%s: tensor \"%.200s\" has no \"shape\"", path, tensor->name);
    tensor->count = 1;
    for (const cJSON *item = shape->child; item; item = item->next) {
        size_t length;
        if (tensor->rank == NC_SAFETENSORS_RANK)
            return nc_error(NC_BAD_INPUT, "%s: tensor \"%.200s\" has more than %d dimensions", path,
                            tensor->name, NC_SAFETENSORS_RANK);
        if (!read_size(item, &length))
            return nc_error(NC_BAD_INPUT,
                            "%s: tensor \"%.200s\" has a \"shape\" with something "
                            "else than whole numbers",
                            path, tensor->name);
        tensor->shape[tensor->rank++] = length;
        if (__builtin_mul_overflow(tensor->count, length, &tensor->count))
            return nc_error(NC_BAD_INPUT,
                            "%s: tensor \"%.200s\" has more elements than any file "
                            "can hold",
                            path, tensor->name);
    }
    if (__builtin_mul_overflow(tensor->count, types[type].size, &tensor->bytes))
        return nc_error(NC_BAD_INPUT,
                        "%s: tensor \"%.200s\" has more elements than any file can "
                        "hold",
                        path, tensor->name);

    size_t begin, end;
    if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2 ||
        !read_size(offsets->child, &begin) || !read_size(offsets->child->next, &end) || begin > end)
        return nc_error(NC_BAD_INPUT, "%s: tensor \"%.200s\" has no valid \"data_offsets\"", path,
                        tensor->name);
    if (end > size)
        return nc_error(NC_BAD_INPUT,
                        "%s: tensor \"%.200s\" ends at byte %zu, but the file holds "
                        "only %zu bytes of data; it is cut short or its header is wrong",
                        path, tensor->name, end, size);
    if (end - begin != tensor->bytes)
        return nc_error(NC_BAD_INPUT,
                        "%s: tensor \"%.200s\" takes %zu bytes by its shape and type, "
                        "but %zu by its offsets",
                        path, tensor->name, tensor->bytes, end - begin);
    tensor->data = data + begin;
    return NC_OK;
}

static int by_data(const void *left, const void *right)
{
    const struct nc_safetensor *a = left, *b = right;
    if (a->data != b->data)
        return a->data < b->data ? -1 : 1;
    return (a->bytes > b->bytes) - (a->bytes < b->bytes); /* empty tensors first */
}

static int by_name(const void *left, const void *right)
{
    const struct nc_safetensor *const *a = left, *const *b = right;
    return strcmp((*a)->name, (*b)->name);
}

/* The data must be covered exactly: no byte twice, none unused. */
static int check_cover(const struct shard *shard, const struct nc_safetensor *tensors,
                       const uint8_t *data)
{
    const uint8_t *end = shard->mapping.data + shard->mapping.size;
    for (size_t i = 0; i < shard->count; i++) {
        const struct nc_safetensor *tensor = &tensors[i];
        if (tensor->data < data)
            return nc_error(NC_BAD_INPUT, "%s: tensors \"%.200s\" and \"%.200s\" overlap",
                            shard->path, tensors[i - 1].name, tensor->name);
        if (tensor->data > data)
            return nc_error(NC_BAD_INPUT,
                            "%s: %zu bytes before tensor \"%.200s\" belong to no "
                            "tensor",
                            shard->path, (size_t)(tensor->data - data), tensor->name);
        data += tensor->bytes;
    }
    if (data != end)
        return nc_error(NC_BAD_INPUT, "%s: the last %zu bytes belong to no tensor", shard->path,
                        (size_t)(end - data));
    return NC_OK;
}

static int read_shard(struct nc_safetensors *file, struct shard *shard)
{
    const char *path = shard->path;
    int status = nc_file_map(path, &shard->mapping);
    if (status != NC_OK)
        return status;
    const uint8_t *bytes = shard->mapping.data;
    size_t size = shard->mapping.size;
    if (size < 8)
        return nc_error(NC_BAD_INPUT, "%s: %zu bytes are no safetensors file", path, size);
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--)
        length = length << 8 | bytes[i];
    if (length > LARGEST_HEADER)
        return nc_error(NC_BAD_INPUT,
                        "%s: not a safetensors file: it claims a header of %llu "
                        "bytes (at most %d are allowed)",
                        path, (unsigned long long)length, LARGEST_HEADER);
    if (length > size - 8)
        return nc_error(NC_BAD_INPUT,
                        "%s: claims a header of %llu bytes, but only %zu follow; the "
                        "file is cut short",
                        path, (unsigned long long)length, size - 8);
    const uint8_t *data = bytes + 8 + length;
    if (length < 2 || bytes[8] != '{' || !valid_utf8(bytes + 8, (size_t)length))
        return nc_error(NC_BAD_INPUT, "%s: the header is no JSON object in UTF-8", path);
    status = nc_json_parse(path, (const char *)bytes + 8, (size_t)length, &shard->header);
    if (status != NC_OK)
        return nc_error_prefix(status, "header");

    shard->first = file->count;
    for (const cJSON *entry = shard->header->child; entry; entry = entry->next) {
        if (strcmp(entry->string, "__metadata__") == 0)
            continue;
        if (file->count == file->capacity) {
            size_t capacity = file->capacity ? 2 * file->capacity : 256;
            struct nc_safetensor *larger = realloc(file->tensors, capacity * sizeof *larger);
            if (!larger)
                return nc_error(NC_FAILED, "%s: no memory for its table of tensors", path);
            file->tensors = larger;
            file->capacity = capacity;
        }
        struct nc_safetensor *tensor = &file->tensors[file->count];
        *tensor = (struct nc_safetensor){.file = (size_t)(shard - file->shards)};
        status = read_entry(path, entry, data, size - 8 - (size_t)length, tensor);
        if (status != NC_OK)
            return status;
        file->count++;
        shard->count++;
    }
    if (!shard->count)
        return data == bytes + size ? NC_OK
                                    : nc_error(NC_BAD_INPUT, "%s: holds data, but no tensor", path);
    qsort(file->tensors + shard->first, shard->count, sizeof *file->tensors, by_data);
    return check_cover(shard, file->tensors + shard->first, data);
}

static int build_lookup(struct nc_safetensors *file, const char *path)
{
    file->by_name = malloc((file->count + 1) * sizeof *file->by_name);
    if (!file->by_name)
        return nc_error(NC_FAILED, "%s: no memory for its table of tensors", path);
    for (size_t i = 0; i < file->count; i++)
        file->by_name[i] = &file->tensors[i];
    qsort(file->by_name, file->count, sizeof *file->by_name, by_name);
    for (size_t i = 1; i < file->count; i++) {
        if (strcmp(file->by_name[i - 1]->name, file->by_name[i]->name) == 0)
            return nc_error(NC_BAD_INPUT, "%s: tensor \"%.200s\" is there twice",
                            nc_safetensors_path(file, file->by_name[i]), file->by_name[i]->name);
    }
    return NC_OK;
}

static int add_shard(struct nc_safetensors *file, char *path)
{
    if (!path)
        return nc_error(NC_FAILED, "no memory");
    struct shard *larger = realloc(file->shards, (file->shard_count + 1) * sizeof *larger);
    if (!larger) {
        free(path);
        return nc_error(NC_FAILED, "no memory");
    }
    file->shards = larger;
    file->shards[file->shard_count++] = (struct shard){.path = path};
    return NC_OK;
}

/* The shards lie beside their index; a name that leads elsewhere is an attack. */
static bool plain_name(const char *name)
{
    return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int find_or_add_shard(struct nc_safetensors *file, const char *folder, const char *name,
                             size_t *last)
{
    char *path = nc_path_join(folder, name);
    if (path && *last < file->shard_count && strcmp(file->shards[*last].path, path) == 0) {
        free(path);
        return NC_OK;
    }
    for (size_t i = 0; path && i < file->shard_count; i++) {
        if (strcmp(file->shards[i].path, path) == 0) {
            *last = i;
            free(path);
            return NC_OK;
        }
    }
    *last = file->shard_count;
    return add_shard(file, path);
}

enum { LARGEST_SHARDS = 4096 };

static int read_index(struct nc_safetensors *file, const char *path)
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
            status = find_or_add_shard(file, folder, entry->valuestring, &shard);
        if (status == NC_OK && file->shard_count > LARGEST_SHARDS)
            status = nc_error(NC_BAD_INPUT, "%s: names more than %d files", path, LARGEST_SHARDS);
    }
    for (size_t i = 0; i < file->shard_count && status == NC_OK; i++)
        status = read_shard(file, &file->shards[i]);
    if (status == NC_OK)
        status = build_lookup(file, path);
    for (const cJSON *entry = map->child; entry && status == NC_OK; entry = entry->next) {
        const struct nc_safetensor *tensor = nc_safetensors_find(file, entry->string);
        status = find_or_add_shard(file, folder, entry->valuestring, &shard);
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

int nc_safetensors_open(const char *path, struct nc_safetensors **out)
{
    *out = NULL;
    int status;
    char *inside = NULL;
    struct nc_safetensors *file = calloc(1, sizeof *file);
    if (!file)
        return nc_error(NC_FAILED, "%s: no memory", path);
    if (nc_folder_exists(path)) {
        inside = nc_path_join(path, "model.safetensors");
        if (inside && !nc_file_exists(inside)) {
            free(inside);
            inside = nc_path_join(path, "model.safetensors.index.json");
            if (inside && !nc_file_exists(inside)) {
                status = nc_error(NC_BAD_INPUT,
                                  "%s: holds neither model.safetensors nor "
                                  "model.safetensors.index.json",
                                  path);
                goto cleanup;
            }
        }
        if (!inside) {
            status = nc_error(NC_FAILED, "%s: no memory", path);
            goto cleanup;
        }
        path = inside;
    }
    if (nc_path_ends(path, ".json")) {
        status = read_index(file, path);
    } else {
        status = add_shard(file, strdup(path));
        if (status == NC_OK)
            status = read_shard(file, &file->shards[0]);
        if (status == NC_OK)
            status = build_lookup(file, path);
    }
cleanup:
    free(inside);
    if (status != NC_OK)
        nc_safetensors_close(file);
    else
        *out = file;
    return status;
}

void nc_safetensors_close(struct nc_safetensors *file)
{
    if (!file)
        return;
    for (size_t i = 0; i < file->shard_count; i++) {
        cJSON_Delete(file->shards[i].header);
        nc_file_unmap(&file->shards[i].mapping);
        free(file->shards[i].path);
    }
    free(file->shards);
    free(file->tensors);
    free(file->by_name);
    free(file);
}

size_t nc_safetensors_count(const struct nc_safetensors *file)
{
    return file->count;
}

const struct nc_safetensor *nc_safetensors_at(const struct nc_safetensors *file, size_t index)
{
    return &file->tensors[index];
}

const struct nc_safetensor *nc_safetensors_find(const struct nc_safetensors *file, const char *name)
{
    struct nc_safetensor key = {.name = name};
    const struct nc_safetensor *pointer = &key;
    const struct nc_safetensor **found =
        bsearch(&pointer, file->by_name, file->count, sizeof *file->by_name, by_name);
    return found ? *found : NULL;
}

const char *nc_safetensors_path(const struct nc_safetensors *file,
                                const struct nc_safetensor *tensor)
{
    return file->shards[tensor->file].path;
}

void nc_safetensors_release(const struct nc_safetensors *file, const struct nc_safetensor *tensor,
                            size_t offset, size_t bytes)
{
    const struct nc_mapping *mapping = &file->shards[tensor->file].mapping;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t begin = (size_t)(tensor->data - mapping->data) + offset, end = begin + bytes;
    /* A fault brings in the pages around it too, also ones that were given back. */
    begin = begin > AROUND ? (begin - AROUND) / page * page : 0;
    end = mapping->size - end > AROUND ? end + AROUND : mapping->size;
    if (bytes)
        (void)madvise((void *)(mapping->data + begin), end - begin, MADV_DONTNEED);
}
