/* Writes a safetensors file. */
#include "nclip/checkpoints/safetensors.h"
#include "nclip/checkpoints/tensors.h"
#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct nc_safetensors_writer {
    struct nc_writer *file;
    char *path;
    char *header; /* JSON so far, without the closing brace */
    size_t length, capacity;
    size_t declared, written; /* bytes of data */
    bool header_written;
};

static void writer_free(struct nc_safetensors_writer *writer)
{
    nc_writer_abort(writer->file);
    free(writer->path);
    free(writer->header);
    free(writer);
}

static int append(struct nc_safetensors_writer *writer, const char *text)
{
    size_t size = strlen(text);
    if (writer->capacity - writer->length <= size) {
        size_t capacity = 2 * (writer->capacity + size) + 1024;
        char *larger = realloc(writer->header, capacity);
        if (!larger)
            return nc_error(NC_FAILED, "%s: no memory for its header", writer->path);
        writer->header = larger;
        writer->capacity = capacity;
    }
    memcpy(writer->header + writer->length, text, size + 1);
    writer->length += size;
    return NC_OK;
}

/* `text` as a JSON string, with its quotes. */
static int append_string(struct nc_safetensors_writer *writer, const char *text)
{
    cJSON *item = cJSON_CreateString(text);
    char *quoted = item ? cJSON_PrintUnformatted(item) : NULL;
    int status = quoted ? append(writer, quoted)
                        : nc_error(NC_FAILED, "%s: no memory for its header", writer->path);
    cJSON_free(quoted);
    cJSON_Delete(item);
    return status;
}

int nc_safetensors_writer_create(const char *path, const char *metadata_format,
                                 struct nc_safetensors_writer **out)
{
    *out = NULL;
    struct nc_safetensors_writer *writer = calloc(1, sizeof *writer);
    if (!writer || !(writer->path = strdup(path))) {
        free(writer);
        return nc_error(NC_FAILED, "%s: no memory", path);
    }
    int status = nc_writer_create(path, &writer->file);
    if (status == NC_OK)
        status = append(writer, "{");
    if (status == NC_OK && metadata_format) {
        status = append(writer, "\"__metadata__\":{\"format\":");
        if (status == NC_OK)
            status = append_string(writer, metadata_format);
        if (status == NC_OK)
            status = append(writer, "}");
    }
    if (status != NC_OK)
        writer_free(writer);
    else
        *out = writer;
    return status;
}

int nc_safetensors_writer_declare(struct nc_safetensors_writer *writer, const char *name,
                                  const char *type_name, size_t rank, const size_t *shape)
{
    char text[128];
    size_t bytes = nc_tensor_type_size(type_name);
    if (writer->header_written || !bytes || rank > NC_TENSOR_RANK)
        return nc_error(NC_FAILED,
                        "%s: tensor \"%.200s\" of type %.20s and %zu dimensions cannot "
                        "be declared here",
                        writer->path, name, type_name, rank);
    int status = append(writer, writer->length > 1 ? "," : "");
    if (status == NC_OK)
        status = append_string(writer, name);
    snprintf(text, sizeof text, ":{\"dtype\":\"%s\",\"shape\":[", type_name);
    if (status == NC_OK)
        status = append(writer, text);
    for (size_t i = 0; i < rank && status == NC_OK; i++) {
        snprintf(text, sizeof text, "%s%zu", i ? "," : "", shape[i]);
        status = append(writer, text);
        if (__builtin_mul_overflow(bytes, shape[i], &bytes))
            status = nc_error(NC_FAILED, "%s: tensor \"%.200s\" is too large", writer->path, name);
    }
    size_t end;
    if (status == NC_OK && __builtin_add_overflow(writer->declared, bytes, &end))
        status = nc_error(NC_FAILED, "%s: tensor \"%.200s\" is too large", writer->path, name);
    if (status != NC_OK)
        return status;
    snprintf(text, sizeof text, "],\"data_offsets\":[%zu,%zu]}", writer->declared, end);
    writer->declared = end;
    return append(writer, text);
}

static int write_header(struct nc_safetensors_writer *writer)
{
    writer->header_written = true;
    int status = append(writer, "}");
    while (status == NC_OK && writer->length % 8 != 0) /* the data starts aligned */
        status = append(writer, " ");
    if (status != NC_OK)
        return status;
    uint8_t length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)((uint64_t)writer->length >> 8 * i);
    status = nc_writer_write(writer->file, length, sizeof length);
    if (status == NC_OK)
        status = nc_writer_write(writer->file, writer->header, writer->length);
    return status;
}

int nc_safetensors_writer_data(struct nc_safetensors_writer *writer, const void *data, size_t bytes)
{
    int status = writer->header_written ? NC_OK : write_header(writer);
    if (status == NC_OK && bytes > writer->declared - writer->written)
        status = nc_error(NC_FAILED, "%s: more data than the %zu bytes that were declared",
                          writer->path, writer->declared);
    if (status == NC_OK)
        status = nc_writer_write(writer->file, data, bytes);
    if (status == NC_OK)
        writer->written += bytes;
    return status;
}

int nc_safetensors_writer_commit(struct nc_safetensors_writer *writer)
{
    int status = writer->header_written ? NC_OK : write_header(writer);
    if (status == NC_OK && writer->written != writer->declared)
        status = nc_error(NC_FAILED, "%s: only %zu of the %zu bytes that were declared came",
                          writer->path, writer->written, writer->declared);
    if (status == NC_OK) {
        status = nc_writer_commit(writer->file);
        writer->file = NULL;
    }
    writer_free(writer);
    return status;
}

void nc_safetensors_writer_abort(struct nc_safetensors_writer *writer)
{
    if (writer)
        writer_free(writer);
}
