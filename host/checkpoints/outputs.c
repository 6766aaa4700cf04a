/* Writes a file of tensors, each put together from tensors of other files or from memory. */
#include "outputs.h"

#include "folder.h"
#include "nclip/checkpoints/safetensors.h"
#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK = 1 << 18 }; /* elements converted, or fours of bytes copied, at a time */

struct buffers {
    float *values, *other, *converted, *back; /* [CHUNK] each */
};

struct nc_output *nc_outputs_add(struct nc_outputs *outputs)
{
    if (outputs->count == outputs->capacity) {
        size_t capacity = outputs->capacity ? 2 * outputs->capacity : 256;
        struct nc_output *larger = realloc(outputs->items, capacity * sizeof *larger);
        if (!larger)
            return NULL;
        outputs->items = larger;
        outputs->capacity = capacity;
    }
    struct nc_output *output = &outputs->items[outputs->count++];
    *output = (struct nc_output){.type_name = "F32"};
    return output;
}

void nc_outputs_free(struct nc_outputs *outputs)
{
    free(outputs->items);
    *outputs = (struct nc_outputs){0};
}

void nc_output_take(struct nc_output *output, const struct nc_tensors *file,
                    const struct nc_tensor *tensor)
{
    output->type_name = tensor->type_name;
    output->rank = tensor->rank;
    memcpy(output->shape, tensor->shape, sizeof output->shape);
    output->pieces[0] = (struct nc_piece){.file = file, .tensor = tensor, .count = tensor->count};
    output->piece_count = 1;
}

enum nc_type nc_outputs_type(const struct nc_outputs *outputs)
{
    const char *first = NULL;
    for (size_t i = 0; i < outputs->count; i++) {
        const char *name = outputs->items[i].type_name;
        if (strcmp(name, "F32") != 0 && strcmp(name, "F16") != 0 && strcmp(name, "BF16") != 0)
            continue;
        if (first && strcmp(first, name) != 0)
            return NC_FLOAT32;
        first = name;
    }
    for (enum nc_type type = NC_BFLOAT16; first && type <= NC_FLOAT16; type++)
        if (strcmp(first, nc_tensor_type_name(type)) == 0)
            return type;
    return NC_FLOAT32;
}

static int copy_bytes(struct nc_safetensors_writer *writer, const struct nc_piece *piece)
{
    size_t element = piece->tensor->count ? piece->tensor->bytes / piece->tensor->count : 0;
    size_t begin = piece->first * element, bytes = piece->count * element;
    int status = NC_OK;
    for (size_t start = 0; start < bytes && status == NC_OK; start += 4 * CHUNK) {
        size_t size = bytes - start < 4 * CHUNK ? bytes - start : 4 * CHUNK;
        status = nc_safetensors_writer_data(writer, piece->tensor->data + begin + start, size);
        nc_tensors_release(piece->file, piece->tensor, begin + start, size);
    }
    return status;
}

/* Elements start .. start + count of the piece, in fp32. */
static const float *read_values(const struct nc_piece *piece, const uint8_t *data, size_t start,
                                size_t count, struct buffers *buffers)
{
    if (piece->values)
        return piece->values + start;
    size_t element = nc_type_size(piece->tensor->type);
    nc_convert(buffers->values, NC_FLOAT32, data + start * element, piece->tensor->type, count);
    if (!piece->other)
        return buffers->values;
    size_t at = piece->first + start, other_element = nc_type_size(piece->other->type);
    nc_convert(buffers->other, NC_FLOAT32, piece->other->data + at * other_element,
               piece->other->type, count);
    for (size_t i = 0; i < count; i++)
        buffers->values[i] = (float)((1 - piece->alpha) * (double)buffers->values[i] +
                                     piece->alpha * (double)buffers->other[i]);
    nc_tensors_release(piece->other_file, piece->other, at * other_element,
                           count * other_element);
    return buffers->values;
}

/* `data` holds the piece's elements in the tensor's type, first of them first. */
static int write_converted(const char *path, struct nc_safetensors_writer *writer,
                           const struct nc_output *output, const struct nc_piece *piece,
                           const uint8_t *data, enum nc_type type, struct buffers *buffers)
{
    int status = NC_OK;
    for (size_t start = 0; start < piece->count && status == NC_OK; start += CHUNK) {
        size_t count = piece->count - start < CHUNK ? piece->count - start : CHUNK;
        const float *values = read_values(piece, data, start, count, buffers);
        nc_convert(buffers->converted, type, values, NC_FLOAT32, count);
        nc_convert(buffers->back, NC_FLOAT32, buffers->converted, type, count);
        size_t bad = nc_first_non_finite(buffers->back, count);
        if (bad < count)
            return nc_error(NC_FAILED,
                            "%s: tensor \"%s\" has the value %g at element %zu, which "
                            "%s cannot hold",
                            path, output->name, (double)values[bad], start + bad,
                            nc_type_name(type));
        status = nc_safetensors_writer_data(writer, buffers->converted, count * nc_type_size(type));
    }
    return status;
}

/* A copy of the piece's matrix with rows and columns exchanged, in the tensor's type. */
static uint8_t *transpose(const struct nc_output *output, const struct nc_piece *piece)
{
    size_t rows = output->shape[0], columns = output->shape[1];
    size_t element = nc_type_size(piece->tensor->type);
    uint8_t *out = malloc(rows * columns * element + 1);
    for (size_t row = 0; out && row < rows; row++)
        for (size_t column = 0; column < columns; column++)
            memcpy(out + (row * columns + column) * element,
                   piece->tensor->data + (column * rows + row) * element, element);
    return out;
}

static int write_piece(const char *path, struct nc_safetensors_writer *writer,
                       const struct nc_output *output, const struct nc_piece *piece,
                       struct buffers *buffers)
{
    if (piece->bytes)
        return nc_safetensors_writer_data(writer, piece->bytes, piece->count);
    bool same =
        piece->tensor && !piece->other && strcmp(piece->tensor->type_name, output->type_name) == 0;
    if (same && !piece->transposed)
        return copy_bytes(writer, piece);
    enum nc_type type = NC_FLOAT32;
    while (type < NC_FLOAT16 && strcmp(nc_tensor_type_name(type), output->type_name) != 0)
        type++;
    if (!piece->transposed) {
        const uint8_t *data =
            piece->tensor ? piece->tensor->data + piece->first * nc_type_size(piece->tensor->type)
                          : NULL;
        int status = write_converted(path, writer, output, piece, data, type, buffers);
        if (piece->tensor)
            nc_tensors_release(piece->file, piece->tensor, 0, piece->tensor->bytes);
        return status;
    }
    uint8_t *data = transpose(output, piece);
    if (!data)
        return nc_error(NC_FAILED, "%s: no memory for tensor \"%s\"", path, output->name);
    int status = same ? nc_safetensors_writer_data(writer, data, piece->tensor->bytes)
                      : write_converted(path, writer, output, piece, data, type, buffers);
    free(data);
    return status;
}

static size_t *writing_order(const struct nc_outputs *outputs)
{
    size_t placed = 0, *order = malloc((outputs->count + 1) * sizeof *order);
    for (size_t size = 8; order && size; size /= 2) {
        for (size_t i = 0; i < outputs->count; i++) {
            if (nc_tensor_type_size(outputs->items[i].type_name) == size)
                order[placed++] = i;
        }
    }
    return order;
}

/* None of the files that values come from was written to since it was opened. */
static int check_sources(const struct nc_outputs *outputs)
{
    const struct nc_tensors *checked[2] = {NULL, NULL}; /* the pieces of an output repeat them */
    int status = NC_OK;
    for (size_t i = 0; i < outputs->count; i++) {
        for (size_t k = 0; k < outputs->items[i].piece_count && status == NC_OK; k++) {
            const struct nc_piece *piece = &outputs->items[i].pieces[k];
            const struct nc_tensors *files[2] = {piece->file, piece->other_file};
            for (int f = 0; f < 2 && status == NC_OK; f++) {
                if (files[f] && files[f] != checked[f])
                    status = nc_tensors_check(files[f]);
                checked[f] = files[f] ? files[f] : checked[f];
            }
        }
    }
    return status;
}

int nc_outputs_write(const struct nc_outputs *outputs, const char *path)
{
    size_t *order = writing_order(outputs);
    float *memory = malloc(4 * CHUNK * sizeof *memory);
    struct buffers buffers = {memory, memory + CHUNK, memory + 2 * CHUNK, memory + 3 * CHUNK};
    struct nc_safetensors_writer *writer = NULL;
    int status = order && memory ? check_sources(outputs)
                                 : nc_error(NC_FAILED, "%s: no memory", path);
    if (status == NC_OK)
        status = nc_safetensors_writer_create(path, "pt", &writer);
    for (size_t i = 0; i < outputs->count && status == NC_OK; i++) {
        const struct nc_output *output = &outputs->items[order[i]];
        status = nc_safetensors_writer_declare(writer, output->name, output->type_name,
                                               output->rank, output->shape);
    }
    for (size_t i = 0; i < outputs->count && status == NC_OK; i++) {
        const struct nc_output *output = &outputs->items[order[i]];
        for (size_t k = 0; k < output->piece_count && status == NC_OK; k++)
            status = write_piece(path, writer, output, &output->pieces[k], &buffers);
    }
    if (status == NC_OK)
        status = check_sources(outputs);
    if (status == NC_OK)
        status = nc_safetensors_writer_commit(writer);
    else if (writer)
        nc_safetensors_writer_abort(writer);
    free(memory);
    free(order);
    return status;
}
