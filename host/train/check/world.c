/* The inputs and outputs of a case: numbers, and the memory that they are in. */
#include "cases.h"

#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

double check_number(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u; /* splitmix64 */
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-52 - 1;
}

void check_call(struct check_world *w, int status)
{
    if (w->status == NC_OK)
        w->status = status;
}

static void *reserve(struct check_world *w, size_t bytes)
{
    if (w->status != NC_OK || !bytes)
        return NULL;
    if (w->count == CHECK_BLOCKS) {
        w->status = nc_error(NC_FAILED, "check: a case of more than %d buffers", CHECK_BLOCKS);
        return NULL;
    }
    void *data = NULL;
    w->status = w->ops->allocate(w->ops->backend, bytes, &data);
    if (w->status != NC_OK)
        return NULL;
    w->blocks[w->count].data = data;
    w->blocks[w->count++].bytes = bytes;
    return data;
}

void *check_upload(struct check_world *w, const void *data, size_t bytes)
{
    void *to = reserve(w, bytes);
    if (to)
        check_call(w, w->ops->upload(w->ops->backend, to, data, bytes));
    return w->status == NC_OK ? to : NULL;
}

void *check_memory(struct check_world *w, size_t count, enum nc_type type)
{
    size_t bytes = count * nc_type_size(type);
    void *dirt = malloc(bytes ? bytes : 1);
    if (!dirt) {
        check_call(w, nc_error(NC_FAILED, "check: no memory"));
        return NULL;
    }
    memset(dirt, 0xff, bytes); /* a NaN in every type */
    void *to = check_upload(w, dirt, bytes);
    free(dirt);
    return to;
}

void *check_numbers(struct check_world *w, size_t count, enum nc_type type, double size)
{
    float *values = malloc(count * sizeof *values);
    void *host = malloc(count * sizeof *values);
    uint64_t state = ++w->seed << 32;
    void *to = NULL;
    if (!values || !host)
        check_call(w, nc_error(NC_FAILED, "check: no memory"));
    for (size_t i = 0; values && host && i < count; i++) {
        values[i] = (float)(check_number(&state) * size);
        if (w->rounded)
            values[i] = nc_bfloat16_to_float(nc_bfloat16_from_float(values[i]));
    }
    if (values && host) {
        nc_convert(host, type, values, NC_FLOAT32, count);
        to = check_upload(w, host, count * nc_type_size(type));
    }
    free(host);
    free(values);
    return to;
}

float *check_filled(struct check_world *w, size_t count, float value)
{
    float *to = check_memory(w, count, NC_FLOAT32);
    if (to)
        check_call(w, w->ops->fill(w->ops->backend, to, value, count));
    return to;
}

void check_put_out(struct check_world *w, const void *data, size_t count, enum nc_type type)
{
    if (w->status == NC_OK && w->output_count < CHECK_OUTPUTS)
        w->outputs[w->output_count++] = (struct check_output){data, count, type};
}

void check_clear(struct check_world *w)
{
    for (size_t i = 0; i < w->count; i++)
        w->ops->release(w->ops->backend, w->blocks[i].data, w->blocks[i].bytes);
    w->count = w->output_count = 0;
}
