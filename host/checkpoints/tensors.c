/* The list of tensors that the readers of formats fill: types, order, look-up. */
#include "tensors_parts.h"

#include "nclip/support/error.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { AROUND = 2 << 20 }; /* bytes that one page fault can make resident on either side */

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

size_t nc_tensor_type_size(const char *type_name)
{
    int index = find_type(type_name);
    return index < 0 ? 0 : types[index].size;
}

const char *nc_tensor_type_name(enum nc_type type)
{
    return type == NC_FLOAT32 ? "F32" : type == NC_BFLOAT16 ? "BF16" : "F16";
}

int nc_tensor_measure(const struct nc_shard *shard, struct nc_tensor *tensor, const char *type_name)
{
    int type = find_type(type_name);
    if (type < 0)
        return nc_error(NC_BAD_INPUT, "%s: tensor \"%.200s\" has the unknown type \"%.40s\"",
                        shard->path, tensor->name, type_name);
    tensor->type_name = types[type].name;
    tensor->type = types[type].type;
    tensor->count = 1;
    bool fits = true;
    for (size_t i = 0; i < tensor->rank; i++)
        fits = fits && !__builtin_mul_overflow(tensor->count, tensor->shape[i], &tensor->count);
    if (!fits || __builtin_mul_overflow(tensor->count, types[type].size, &tensor->bytes))
        return nc_error(NC_BAD_INPUT,
                        "%s: tensor \"%.200s\" has more elements than any file can hold",
                        shard->path, tensor->name);
    return NC_OK;
}

struct nc_tensor *nc_tensors_add(struct nc_tensors *tensors, struct nc_shard *shard)
{
    if (tensors->count == tensors->capacity) {
        size_t capacity = tensors->capacity ? 2 * tensors->capacity : 256;
        struct nc_tensor *larger = reallocarray(tensors->tensors, capacity, sizeof *larger);
        if (!larger) {
            nc_error(NC_FAILED, "%s: no memory for its table of tensors", shard->path);
            return NULL;
        }
        tensors->tensors = larger;
        tensors->capacity = capacity;
    }
    struct nc_tensor *tensor = &tensors->tensors[tensors->count++];
    *tensor = (struct nc_tensor){.file = (size_t)(shard - tensors->shards)};
    shard->count++;
    return tensor;
}

static int by_data(const void *left, const void *right)
{
    const struct nc_tensor *a = left, *b = right;
    if (a->data != b->data)
        return a->data < b->data ? -1 : 1;
    return (a->bytes > b->bytes) - (a->bytes < b->bytes); /* empty tensors first */
}

void nc_tensors_sort(struct nc_tensors *tensors, const struct nc_shard *shard)
{
    if (shard->count)
        qsort(tensors->tensors + shard->first, shard->count, sizeof *tensors->tensors, by_data);
}

static int by_name(const void *left, const void *right)
{
    const struct nc_tensor *const *a = left, *const *b = right;
    return strcmp((*a)->name, (*b)->name);
}

int nc_tensors_index(struct nc_tensors *tensors, const char *path)
{
    tensors->by_name = malloc((tensors->count + 1) * sizeof *tensors->by_name);
    if (!tensors->by_name)
        return nc_error(NC_FAILED, "%s: no memory for its table of tensors", path);
    for (size_t i = 0; i < tensors->count; i++)
        tensors->by_name[i] = &tensors->tensors[i];
    qsort(tensors->by_name, tensors->count, sizeof *tensors->by_name, by_name);
    for (size_t i = 1; i < tensors->count; i++) {
        if (strcmp(tensors->by_name[i - 1]->name, tensors->by_name[i]->name) == 0)
            return nc_error(NC_BAD_INPUT, "%s: tensor \"%.200s\" is there twice",
                            nc_tensors_path(tensors, tensors->by_name[i]),
                            tensors->by_name[i]->name);
    }
    return NC_OK;
}

size_t nc_tensors_count(const struct nc_tensors *tensors)
{
    return tensors->count;
}

const struct nc_tensor *nc_tensors_at(const struct nc_tensors *tensors, size_t index)
{
    return &tensors->tensors[index];
}

const struct nc_tensor *nc_tensors_find(const struct nc_tensors *tensors, const char *name)
{
    struct nc_tensor key = {.name = name};
    const struct nc_tensor *pointer = &key;
    const struct nc_tensor **found =
        bsearch(&pointer, tensors->by_name, tensors->count, sizeof *tensors->by_name, by_name);
    return found ? *found : NULL;
}

const char *nc_tensors_path(const struct nc_tensors *tensors, const struct nc_tensor *tensor)
{
    return tensors->shards[tensor->file].path;
}

void nc_tensors_release(const struct nc_tensors *tensors, const struct nc_tensor *tensor,
                        size_t offset, size_t bytes)
{
    const struct nc_mapping *mapping = &tensors->shards[tensor->file].mapping;
    if (tensor->data < mapping->data || tensor->data >= mapping->data + mapping->size)
        return; /* a copy of a strided tensor */
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t begin = (size_t)(tensor->data - mapping->data) + offset, end = begin + bytes;
    /* A fault brings in the pages around it too, also ones that were given back. */
    begin = begin > AROUND ? (begin - AROUND) / page * page : 0;
    end = mapping->size - end > AROUND ? end + AROUND : mapping->size;
    if (bytes)
        (void)madvise((void *)(mapping->data + begin), end - begin, MADV_DONTNEED);
}

int nc_tensors_check(const struct nc_tensors *tensors)
{
    int status = NC_OK;
    for (size_t i = 0; i < tensors->shard_count && status == NC_OK; i++)
        status = nc_mapping_check(&tensors->shards[i].mapping);
    return status;
}
