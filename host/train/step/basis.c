/* The two directions in which the terms alike and unlike compare texts: random, orthonormal, and the
 * same for a seed on every rank and every machine. */
#include "parts.h"

#include "../examples/random.h"
#include "nclip/support/error.h"

#include <math.h>
#include <stdlib.h>

enum { STREAM_BASIS = 6 };

/* A number of the normal distribution (Box, Muller 1958). */
static double normal(uint64_t *state)
{
    double first = (double)((nc_random_next(state) >> 11) + 1) * 0x1p-53;
    double second = (double)(nc_random_next(state) >> 11) * 0x1p-53;
    return sqrt(-2 * log(first)) * cos(2 * acos(-1) * second);
}

/* x = x - (x . y) y, then normalised; y: NULL or normalised */
static void straighten(double *x, const double *y, size_t width)
{
    double product = 0, norm = 0;
    for (size_t k = 0; k < width; k++)
        product += y ? x[k] * y[k] : 0;
    for (size_t k = 0; k < width; k++) {
        x[k] -= y ? product * y[k] : 0;
        norm += x[k] * x[k];
    }
    for (size_t k = 0; k < width; k++)
        x[k] /= sqrt(norm);
}

int nc_step_set_basis(struct nc_step *step)
{
    struct nc_ops *ops = step->ops;
    size_t width = step->shape->embedding;
    if (!step->basis)
        return NC_OK;
    double *numbers = malloc(2 * width * sizeof *numbers);
    float *basis = malloc(2 * width * sizeof *basis);
    int status = numbers && basis ? NC_OK : nc_error(NC_FAILED, "train: no memory");
    if (status == NC_OK) {
        uint64_t state = nc_random_stream(step->config->seed, STREAM_BASIS, 0);
        for (size_t k = 0; k < 2 * width; k++)
            numbers[k] = normal(&state);
        straighten(numbers, NULL, width);
        straighten(numbers + width, numbers, width);
        for (size_t k = 0; k < 2 * width; k++)
            basis[k] = (float)numbers[k];
        status = ops->upload(ops->backend, step->basis, basis, 2 * width * sizeof *basis);
    }
    free(numbers);
    free(basis);
    return status;
}
