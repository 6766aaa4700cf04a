/* Wraps each operation of a backend in a stopwatch. */
#include "timed_ops.h"

#include "nclip/support/error.h"
#include "nclip/support/progress.h"

#include <stdlib.h>

/* Operations that take one description: name, description, flops of its dense products. */
#define OPERATIONS(X)                                                                          \
    X(linear, nc_linear, 2.0 * (double)d->rows * (double)d->in * (double)d->out)               \
    X(linear_backward_input, nc_linear_backward_input,                                         \
      2.0 * (double)d->rows * (double)d->in * (double)d->out)                                  \
    X(linear_backward_weight, nc_linear_backward_weight,                                       \
      2.0 * (double)d->rows * (double)d->in * (double)d->out)                                  \
    X(attention_forward, nc_attention, 0)                                                      \
    X(attention_backward, nc_attention, 0)                                                     \
    X(attention_full, nc_attention_full, 0)                                                    \
    X(layernorm_forward, nc_layernorm, 0)                                                      \
    X(layernorm_backward, nc_layernorm_backward, 0)                                            \
    X(activation_forward, nc_activation_forward, 0)                                            \
    X(activation_backward, nc_activation_backward, 0)                                          \
    X(embedding_forward, nc_embedding, 0)                                                      \
    X(embedding_backward, nc_embedding_backward, 0)                                            \
    X(gather, nc_gather, 0)                                                                    \
    X(scatter, nc_scatter, 0)                                                                  \
    X(normalize_forward, nc_normalize, 0)                                                      \
    X(normalize_backward, nc_normalize_backward, 0)                                            \
    X(infonce_forward, nc_infonce, 0)                                                          \
    X(infonce_backward, nc_infonce, 0)                                                         \
    X(infonce_loss, nc_infonce_loss, 0)                                                        \
    X(sigmoid, nc_sigmoid, 0)                                                                  \
    X(adamw, nc_adamw, 0)                                                                      \
    X(rmsprop, nc_rmsprop, 0)                                                                  \
    X(sgd, nc_sgd, 0)                                                                          \
    X(clip, nc_clipping, 0)

enum part {
#define PART(name, type, flops) PART_##name,
    OPERATIONS(PART)
#undef PART
    PART_memory, /* copies, zeros, fills */
    PART_convert,
    PART_squared_norm,
    PARTS,
};

struct timed_ops {
    struct nc_ops table;
    struct nc_ops *inner;
    bool on;
    struct timed_part parts[PARTS];
};

/* The table's backend pointer is opaque to the model, and leads here. */
static struct timed_ops *of(struct nc_backend *backend)
{
    return (struct timed_ops *)(void *)backend;
}

static int record(struct timed_ops *timed, enum part which, double began, double flops, int status)
{
    if (!timed->on)
        return status;
    if (status == NC_OK && !timed->inner->host_memory)
        status = timed->inner->synchronize(timed->inner->backend);
    struct timed_part *part = &timed->parts[which];
    part->seconds += nc_seconds() - began;
    part->flops += flops;
    part->calls++;
    return status;
}

#define TIMED(name, type, flops)                                                               \
    static int timed_##name(struct nc_backend *backend, const struct type *d)                  \
    {                                                                                          \
        struct timed_ops *timed = of(backend);                                                 \
        double began = nc_seconds();                                                           \
        return record(timed, PART_##name, began, flops,                                        \
                      timed->inner->name(timed->inner->backend, d));                           \
    }
OPERATIONS(TIMED)
#undef TIMED

static int timed_allocate(struct nc_backend *backend, size_t bytes, void **out)
{
    return of(backend)->inner->allocate(of(backend)->inner->backend, bytes, out);
}

static void timed_release(struct nc_backend *backend, void *data, size_t bytes)
{
    of(backend)->inner->release(of(backend)->inner->backend, data, bytes);
}

#define TIMED_MOVE(name)                                                                       \
    static int timed_##name(struct nc_backend *backend, void *to, const void *from, size_t bytes) \
    {                                                                                          \
        struct timed_ops *timed = of(backend);                                                 \
        double began = nc_seconds();                                                           \
        return record(timed, PART_memory, began, 0,                                            \
                      timed->inner->name(timed->inner->backend, to, from, bytes));             \
    }
TIMED_MOVE(upload)
TIMED_MOVE(download)
TIMED_MOVE(copy)
#undef TIMED_MOVE

static int timed_zero(struct nc_backend *backend, void *data, size_t bytes)
{
    struct timed_ops *timed = of(backend);
    double began = nc_seconds();
    return record(timed, PART_memory, began, 0,
                  timed->inner->zero(timed->inner->backend, data, bytes));
}

static int timed_fill(struct nc_backend *backend, float *data, float value, size_t count)
{
    struct timed_ops *timed = of(backend);
    double began = nc_seconds();
    return record(timed, PART_memory, began, 0,
                  timed->inner->fill(timed->inner->backend, data, value, count));
}

static int timed_synchronize(struct nc_backend *backend)
{
    return of(backend)->inner->synchronize(of(backend)->inner->backend);
}

static int timed_convert(struct nc_backend *backend, void *destination,
                         enum nc_type destination_type, const void *source,
                         enum nc_type source_type, size_t count)
{
    struct timed_ops *timed = of(backend);
    double began = nc_seconds();
    return record(timed, PART_convert, began, 0,
                  timed->inner->convert(timed->inner->backend, destination, destination_type,
                                        source, source_type, count));
}

static int timed_squared_norm(struct nc_backend *backend, const float *data, size_t count, double *sum)
{
    struct timed_ops *timed = of(backend);
    double began = nc_seconds();
    return record(timed, PART_squared_norm, began, 0,
                  timed->inner->squared_norm(timed->inner->backend, data, count, sum));
}

/* Queues go on as they are: what they move is not waited for. */
static int timed_allocate_host(struct nc_backend *backend, size_t bytes, void **out)
{
    return of(backend)->inner->allocate_host(of(backend)->inner->backend, bytes, out);
}

static void timed_release_host(struct nc_backend *backend, void *data, size_t bytes)
{
    of(backend)->inner->release_host(of(backend)->inner->backend, data, bytes);
}

static int timed_copy_queued(struct nc_backend *backend, enum nc_queue queue, void *to,
                             const void *from, size_t bytes)
{
    return of(backend)->inner->copy_queued(of(backend)->inner->backend, queue, to, from, bytes);
}

static int timed_mark(struct nc_backend *backend, enum nc_queue queue, unsigned mark)
{
    return of(backend)->inner->mark(of(backend)->inner->backend, queue, mark);
}

static int timed_queue_wait(struct nc_backend *backend, enum nc_queue queue, unsigned mark)
{
    return of(backend)->inner->queue_wait(of(backend)->inner->backend, queue, mark);
}

static int timed_host_wait(struct nc_backend *backend, unsigned mark)
{
    return of(backend)->inner->host_wait(of(backend)->inner->backend, mark);
}

static int timed_elapsed(struct nc_backend *backend, unsigned first, unsigned second, double *seconds)
{
    return of(backend)->inner->elapsed(of(backend)->inner->backend, first, second, seconds);
}

/* While operations are timed they are called one by one. */
static int timed_record_begin(struct nc_backend *backend, const void *key, size_t bytes,
                              enum nc_recording *recording)
{
    struct timed_ops *timed = of(backend);
    *recording = NC_MAKE_CALLS;
    return timed->on ? NC_OK
                     : timed->inner->record_begin(timed->inner->backend, key, bytes, recording);
}

static int timed_record_end(struct nc_backend *backend)
{
    struct timed_ops *timed = of(backend);
    return timed->on ? NC_OK : timed->inner->record_end(timed->inner->backend);
}

static void timed_record_abandon(struct nc_backend *backend)
{
    struct timed_ops *timed = of(backend);
    if (!timed->on)
        timed->inner->record_abandon(timed->inner->backend);
}

static int timed_attention_supported(struct nc_backend *backend, enum nc_type type, size_t heads,
                                     size_t head_size)
{
    struct nc_ops *inner = of(backend)->inner;
    return inner->attention_supported(inner->backend, type, heads, head_size);
}

static size_t timed_attention_scratch(struct nc_backend *backend, const struct nc_attention *d)
{
    return of(backend)->inner->attention_scratch(of(backend)->inner->backend, d);
}

static size_t timed_layernorm_scratch(struct nc_backend *backend, size_t rows, size_t width)
{
    return of(backend)->inner->layernorm_scratch(of(backend)->inner->backend, rows, width);
}

static size_t timed_embedding_scratch(struct nc_backend *backend, size_t rows)
{
    return of(backend)->inner->embedding_scratch(of(backend)->inner->backend, rows);
}

static size_t timed_infonce_scratch(struct nc_backend *backend, const struct nc_infonce *d)
{
    return of(backend)->inner->infonce_scratch(of(backend)->inner->backend, d);
}

static size_t timed_sigmoid_scratch(struct nc_backend *backend, const struct nc_sigmoid *d)
{
    return of(backend)->inner->sigmoid_scratch(of(backend)->inner->backend, d);
}

int timed_ops_create(struct nc_ops *inner, struct timed_ops **out)
{
    struct timed_ops *timed = calloc(1, sizeof *timed);
    *out = timed;
    if (!timed)
        return nc_error(NC_FAILED, "bench: no memory");
    timed->inner = inner;
    timed->table = (struct nc_ops){
        .name = inner->name, .backend = (struct nc_backend *)(void *)timed,
        .host_memory = inner->host_memory, .own_bytes = inner->own_bytes,
#define ENTRY(name, type, flops) .name = timed_##name,
        OPERATIONS(ENTRY)
#undef ENTRY
        .allocate = timed_allocate, .release = timed_release, .upload = timed_upload,
        .download = timed_download, .copy = timed_copy, .zero = timed_zero, .fill = timed_fill,
        .synchronize = timed_synchronize, .convert = timed_convert,
        .allocate_host = timed_allocate_host, .release_host = timed_release_host,
        .copy_queued = timed_copy_queued, .mark = timed_mark, .queue_wait = timed_queue_wait,
        .host_wait = timed_host_wait, .elapsed = timed_elapsed,
        .record_begin = inner->record_begin ? timed_record_begin : NULL,
        .record_end = inner->record_end ? timed_record_end : NULL,
        .record_abandon = inner->record_abandon ? timed_record_abandon : NULL,
        .squared_norm = timed_squared_norm, .attention_scratch = timed_attention_scratch,
        .attention_supported = timed_attention_supported,
        .layernorm_scratch = timed_layernorm_scratch,
        .embedding_scratch = timed_embedding_scratch, .infonce_scratch = timed_infonce_scratch,
        .sigmoid_scratch = timed_sigmoid_scratch};
    timed_ops_start(timed, false);
    return NC_OK;
}

void timed_ops_destroy(struct timed_ops *timed)
{
    free(timed);
}

struct nc_ops *timed_ops_table(struct timed_ops *timed)
{
    return &timed->table;
}

void timed_ops_start(struct timed_ops *timed, bool on)
{
    timed->on = on;
    static const char *const names[PARTS] = {
#define NAME(name, type, flops) [PART_##name] = #name,
        OPERATIONS(NAME)
#undef NAME
        [PART_memory] = "copies and fills", [PART_convert] = "convert",
        [PART_squared_norm] = "squared_norm"};
    for (size_t i = 0; i < PARTS; i++)
        timed->parts[i] = (struct timed_part){.name = names[i]};
}

static int longer(const void *a, const void *b)
{
    double left = ((const struct timed_part *)a)->seconds;
    double right = ((const struct timed_part *)b)->seconds;
    return (left < right) - (left > right);
}

size_t timed_ops_parts(const struct timed_ops *timed, struct timed_part *parts, size_t room)
{
    size_t count = 0;
    for (size_t i = 0; i < PARTS && count < room; i++)
        if (timed->parts[i].calls)
            parts[count++] = timed->parts[i];
    qsort(parts, count, sizeof *parts, longer);
    return count;
}
