/* Times large products. */
#include "matrix_peak.h"

#include "kernel_inputs.h"
#include "nclip/support/error.h"

static int time_product(struct nc_ops *ops, const struct nc_linear *product, double *best)
{
    enum { RUNS = 5, MARK_BEGIN = 0, MARK_END };
    double flops = 2.0 * (double)product->rows * (double)product->in * (double)product->out;
    for (int run = 0; run <= RUNS; run++) {
        double seconds;
        int status = ops->mark(ops->backend, NC_COMPUTE, MARK_BEGIN);
        if (status == NC_OK)
            status = ops->linear(ops->backend, product);
        if (status == NC_OK)
            status = ops->mark(ops->backend, NC_COMPUTE, MARK_END);
        if (status == NC_OK)
            status = ops->host_wait(ops->backend, MARK_END);
        if (status == NC_OK)
            status = ops->elapsed(ops->backend, MARK_BEGIN, MARK_END, &seconds);
        if (status != NC_OK)
            return status;
        double rate = flops / seconds;
        if (run && rate > *best) /* the first one warms up */
            *best = rate;
    }
    return NC_OK;
}

int matrix_peak(struct nc_ops *ops, enum nc_type type, double *flops_per_second)
{
#ifdef NCLIP_REHEARSAL /* a processor that plays the GPU */
    static const size_t shapes[][3] = {{64, 64, 64}};
    size_t first = 0, elements = 64 * 64;
#else
    static const size_t shapes[][3] = { /* rows, in, out; the first fills a GPU only */
        {8192, 8192, 8192}, {2048, 2048, 2048}, {4096, 768, 3072}, {4096, 3072, 768}, {6656, 768, 2304}};
    size_t first = ops->host_memory ? 1 : 0, elements = first ? 6656 * 3072 : 8192 * 8192;
#endif
    struct kernel_inputs in;
    kernel_inputs_open(&in, ops);
    const void *x = kernel_numbers(&in, elements, type, 1); /* zeros would draw less power and run faster */
    const void *weight = kernel_numbers(&in, elements, type, 1);
    void *y = kernel_memory(&in, elements * nc_type_size(type));
    int status = in.status;
    for (size_t i = first; i < sizeof shapes / sizeof *shapes && status == NC_OK; i++) {
        struct nc_linear product = {.type = type, .rows = shapes[i][0], .in = shapes[i][1],
                                    .out = shapes[i][2], .x = x, .weight = weight, .y = y,
                                    .y_type = type};
        status = time_product(ops, &product, flops_per_second);
    }
    kernel_inputs_close(&in);
    return status;
}
