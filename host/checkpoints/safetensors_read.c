/* The safetensors file format, read: nclip/checkpoints/safetensors.h says what it is. */
#include "tensors_parts.h"

#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* The format's own limit (safetensors, MAX_HEADER_SIZE). */
enum { LARGEST_HEADER = 100000000 };

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
static int read_entry(const struct nc_shard *shard, const cJSON *entry, const uint8_t *data,
                      size_t size, struct nc_tensor *tensor)
{
    const char *path = shard->path;
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

    const char *type = cJSON_IsString(dtype) ? dtype->valuestring : "";
    if (!nc_tensor_type_size(type))
        return nc_error(NC_BAD_INPUT, "%s: tensor \"%.200s\" has the unknown \"dtype\" \"%.40s\"",
                        path, tensor->name, type);

    if (!cJSON_IsArray(shape))
        return nc_error(NC_BAD_INPUT, "%s: tensor \"%.200s\" has no \"shape\"", path, tensor->name);
    for (const cJSON *item = shape->child; item; item = item->next) {
        size_t length;
        if (tensor->rank == NC_TENSOR_RANK)
            return nc_error(NC_BAD_INPUT, "%s: tensor \"%.200s\" has more than %d dimensions", path,
                            tensor->name, NC_TENSOR_RANK);
        if (!read_size(item, &length))
            return nc_error(NC_BAD_INPUT,
                            "%s: tensor \"%.200s\" has a \"shape\" with something "
                            "else than whole numbers",
                            path, tensor->name);
        tensor->shape[tensor->rank++] = length;
    }
    int status = nc_tensor_measure(shard, tensor, type);
    if (status != NC_OK)
        return status;

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

/* The data must be covered exactly: no byte twice, none unused. */
static int check_cover(const struct nc_shard *shard, const struct nc_tensor *tensors,
                       const uint8_t *data)
{
    const uint8_t *end = shard->mapping.data + shard->mapping.size;
    for (size_t i = 0; i < shard->count; i++) {
        const struct nc_tensor *tensor = &tensors[i];
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

static void release_header(void *header)
{
    cJSON_Delete(header);
}

int nc_safetensors_read(struct nc_tensors *tensors, struct nc_shard *shard)
{
    const char *path = shard->path;
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
    cJSON *header;
    int status = nc_json_parse(path, (const char *)bytes + 8, (size_t)length, &header);
    if (status != NC_OK)
        return nc_error_prefix(status, "header");

    shard->owned = header;
    shard->release = release_header;
    for (const cJSON *entry = header->child; entry; entry = entry->next) {
        if (strcmp(entry->string, "__metadata__") == 0)
            continue;
        struct nc_tensor *tensor = nc_tensors_add(tensors, shard);
        status = tensor ? read_entry(shard, entry, data, size - 8 - (size_t)length, tensor)
                        : NC_FAILED;
        if (status != NC_OK)
            return status;
    }
    if (!shard->count)
        return data == bytes + size ? NC_OK
                                    : nc_error(NC_BAD_INPUT, "%s: holds data, but no tensor", path);
    nc_tensors_sort(tensors, shard);
    return check_cover(shard, tensors->tensors + shard->first, data);
}

