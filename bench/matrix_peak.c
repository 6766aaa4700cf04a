#include "matrix_peak.h"

#include "nclip/error.h"
#include "nclip/progress.h"

static int time_product(struct nc_ops *ops, const struct nc_linear *product, double *best)
{
    enum { RUNS = 5 };
    double flops = 2.0 * (double)product->rows * (double)product->in * (double)product->out;
    for (int run = 0; run <= RUNS; run++) {
        double began = nc_seconds();
        int status = ops->linear(ops->backend, product);
        if (status == NC_OK)
            status = ops->synchronize(ops->backend);
        if (status != NC_OK)
            return status;
        double rate = flops / (nc_seconds() - began);
        if (run && rate > *best) /* the first one warms up */
            *best = rate;
    }
    return NC_OK;
}

int matrix_peak(struct nc_ops *ops, enum nc_type type, double *flops_per_second)
{
    static const size_t shapes[][3] = { /* rows, in, out */
        {2048, 2048, 2048}, {4096, 768, 3072}, {4096, 3072, 768}, {6656, 768, 2304}};
    enum { ELEMENTS = 6656 * 3072 }; /* covers every operand above */
    void *x = NULL, *weight = NULL, *y = NULL;
    size_t bytes = ELEMENTS * nc_type_size(type);
    int status = ops->allocate(ops->backend, bytes, &x);
    if (status == NC_OK)
        status = ops->allocate(ops->backend, bytes, &weight);
    if (status == NC_OK)
        status = ops->allocate(ops->backend, bytes, &y);
    if (status == NC_OK)
        status = ops->zero(ops->backend, x, bytes);
    if (status == NC_OK)
        status = ops->zero(ops->backend, weight, bytes);
    *flops_per_second = 0;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes && status == NC_OK; i++) {
        struct nc_linear product = {.type = type, .rows = shapes[i][0], .in = shapes[i][1],
                                    .out = shapes[i][2], .x = x, .weight = weight, .y = y,
                                    .y_type = type};
        status = time_product(ops, &product, flops_per_second);
    }
    if (x)
        ops->release(ops->backend, x, bytes);
    if (weight)
        ops->release(ops->backend, weight, bytes);
    if (y)
        ops->release(ops->backend, y, bytes);
    return status;
}
