/* Allocates a case's memory and fills it with random numbers. */
#include "kernel_inputs.h"

#include "../host/train/examples/random.h"
#include "nclip/support/error.h"
#include "nclip/tokenizer/tokenizer.h"
#include "workload.h"

#include <math.h>
#include <stdlib.h>

enum { PIECE = 1 << 22 }; /* numbers made at a time */

void kernel_inputs_open(struct kernel_inputs *inputs, struct nc_ops *ops)
{
    *inputs = (struct kernel_inputs){.ops = ops, .seed = 11};
}

void kernel_inputs_close(struct kernel_inputs *inputs)
{
    for (size_t i = 0; i < inputs->count; i++)
        inputs->ops->release(inputs->ops->backend, inputs->blocks[i].data, inputs->blocks[i].bytes);
    nc_packing_destroy(&inputs->packing);
    *inputs = (struct kernel_inputs){0};
}

static bool failed(struct kernel_inputs *inputs, int status)
{
    if (inputs->status == NC_OK)
        inputs->status = status;
    return inputs->status != NC_OK;
}

void *kernel_memory(struct kernel_inputs *inputs, size_t bytes)
{
    void *data = NULL;
    size_t room = sizeof inputs->blocks / sizeof *inputs->blocks;
    if (!bytes || failed(inputs, NC_OK))
        return NULL;
    if (inputs->count == room) {
        failed(inputs, nc_error(NC_FAILED, "bench: a case has more than %zu inputs", room));
        return NULL;
    }
    if (failed(inputs, inputs->ops->allocate(inputs->ops->backend, bytes, &data)))
        return NULL;
    inputs->blocks[inputs->count++] = (struct kernel_block){data, bytes};
    return data;
}

void *kernel_upload(struct kernel_inputs *inputs, const void *host, size_t bytes)
{
    struct nc_ops *ops = inputs->ops;
    void *data = kernel_memory(inputs, bytes);
    if (data && !failed(inputs, ops->upload(ops->backend, data, host, bytes)))
        failed(inputs, ops->synchronize(ops->backend));
    return data;
}

static void make_row(uint64_t *state, float *row, size_t width, float size, bool unit)
{
    double sum = 0;
    for (size_t k = 0; k < width; k++) {
        row[k] = size * ((float)(nc_random_next(state) >> 40) * 0x1p-23f - 1);
        sum += (double)row[k] * row[k];
    }
    for (size_t k = 0; unit && k < width; k++)
        row[k] = (float)(row[k] / sqrt(sum));
}

/* In pieces, so that a matrix of gigabytes needs little of the host's memory. */
static void *make(struct kernel_inputs *inputs, size_t rows, size_t width, enum nc_type type,
                  float size, bool unit)
{
    struct nc_ops *ops = inputs->ops;
    size_t step = PIECE / width ? PIECE / width : 1, bytes = nc_type_size(type);
    char *data = kernel_memory(inputs, rows * width * bytes);
    float *numbers = malloc(step * width * sizeof *numbers);
    void *host = malloc(step * width * bytes);
    if (!numbers || !host)
        failed(inputs, nc_error(NC_FAILED, "bench: no memory"));
    uint64_t state = nc_random_stream(inputs->seed++, 1, 0);
    for (size_t row = 0; row < rows && !failed(inputs, NC_OK); row += step) {
        size_t count = rows - row < step ? rows - row : step;
        for (size_t i = 0; i < count; i++)
            make_row(&state, numbers + i * width, width, size, unit);
        nc_convert(host, type, numbers, NC_FLOAT32, count * width);
        if (!failed(inputs, ops->upload(ops->backend, data + row * width * bytes, host, count * width * bytes)))
            failed(inputs, ops->synchronize(ops->backend));
    }
    free(numbers);
    free(host);
    return data;
}

void *kernel_numbers(struct kernel_inputs *inputs, size_t count, enum nc_type type, float size)
{
    return make(inputs, count, 1, type, size, false);
}

void *kernel_unit_rows(struct kernel_inputs *inputs, size_t rows, size_t width, enum nc_type type)
{
    return make(inputs, rows, width, type, 1, true);
}

float *kernel_filled(struct kernel_inputs *inputs, size_t count, float value)
{
    float *data = kernel_memory(inputs, count * sizeof *data);
    if (data)
        failed(inputs, inputs->ops->fill(inputs->ops->backend, data, value, count));
    return data;
}

void kernel_pack(struct kernel_inputs *inputs, size_t captions, size_t tokens)
{
    int32_t ids[NC_CLIP_CONTEXT];
    uint64_t state = nc_random_stream(inputs->seed++, 2, 0);
    if (failed(inputs, nc_packing_create(captions, captions * NC_CLIP_CONTEXT, &inputs->packing)))
        return;
    for (size_t i = 0; i < captions && !failed(inputs, NC_OK); i++) {
        size_t length = tokens ? tokens : workload_draw_length(&state);
        for (size_t k = 0; k < length; k++)
            ids[k] = k ? workload_draw_token(&state) : WORKLOAD_START;
        failed(inputs, nc_packing_add(&inputs->packing, ids, length, false));
    }
}
