/* From coefficients to gradients: how InfoNCE and the sigmoid loss walk the strips of the matrix
 * backward. A strip's kernel writes coefficients (infonce_coefficients.h); here they are multiplied
 * with the strip's pictures, and a row of strips ends in dtext. */
#ifndef NCLIP_KERNELS_CUDA_INFONCE_GRADIENTS_H
#define NCLIP_KERNELS_CUDA_INFONCE_GRADIENTS_H

#include "infonce_coefficients.h"

/* What lies between coefficients and gradients: a part of the scratch. */
struct nc_gradients {
    struct nc_strips strips;
    void *coefficients;
    float *negatives; /* [strip's rows, strips.step] */
    uint16_t *images; /* [strip's columns, strips.step] fp16, for bf16 */
    float *positive, *factor;
    size_t tiles_down, tiles_across; /* of the largest strip */
};

/* Products of fp16 want rows of whole 16 bytes. */
template <typename T> static size_t nc_stored_columns(size_t columns)
{
    return sizeof(T) == 2 ? nc_pieces(columns, 8) * 8 : columns;
}

template <typename T>
static struct nc_gradients nc_lay_out_gradients(const struct nc_backend *backend,
                                                const struct nc_infonce *n, char *base,
                                                size_t *used)
{
    struct nc_gradients g = {};
    g.strips = nc_infonce_strips(backend, n, true, base, used);
    size_t rows = g.strips.rows, columns = nc_stored_columns<T>(g.strips.columns);
    g.tiles_down = nc_pieces(rows, nc_tile<T>::ROWS);
    g.tiles_across = nc_pieces(g.strips.columns, nc_tile<T>::COLUMNS);
    g.coefficients = nc_take<T>(base, used, rows * columns);
    g.negatives = nc_take<float>(base, used, rows * g.strips.step);
    g.images = nc_take<uint16_t>(base, used, sizeof(T) == 2 ? columns * g.strips.step : 0);
    g.positive = nc_take<float>(base, used, rows);
    g.factor = nc_take<float>(base, used, 1);
    return g;
}

/* negatives (+)= the strip's coefficients times its pictures. */
template <typename T>
static int nc_multiply_coefficients(struct nc_backend *backend, const struct nc_infonce *n,
                                    const struct nc_strip &strip, const struct nc_gradients &g)
{
    size_t rows = (size_t)strip.rows, columns = (size_t)strip.columns;
    size_t stored = nc_stored_columns<T>(columns);
    const void *image = (const T *)n->image + strip.column * n->width;
    int status = NC_OK;
    if (sizeof(T) == 2) {
        status = nc_infonce_copy_rows(backend, (const nc_bfloat16 *)image, columns, n->width,
                                      stored, strip.step, true, g.images);
        image = g.images;
    }
    return status == NC_OK ? nc_cuda_multiply(backend, sizeof(T) == 2 ? NC_FLOAT16 : NC_FLOAT32,
                                              rows, strip.step, stored, g.coefficients, image,
                                              strip.column > 0, g.negatives)
                           : status;
}

/* dtext += scaled sums of a row's negatives, and its positive. A block for each row. */
template <typename T>
static __global__ void nc_add_rows(nc_infonce n, size_t first, const float *negatives, size_t step,
                                   const float *positive, const float *factor, float share)
{
    size_t row = blockIdx.x, number = n.first_caption + first + row;
    float unit = expf(*n.logit_scale) * share / *factor;
    bool paired = number >= n.first_image && number - n.first_image < n.images;
    const T *image = (const T *)n.image + (paired ? (number - n.first_image) * n.width : 0);
    float own = paired ? positive[row] : 0;
    float *dtext = n.dtext + (first + row) * n.width;
    for (size_t k = threadIdx.x; k < n.width; k += blockDim.x) {
        float sum = negatives[row * step + k];
        if (paired)
            sum = fmaf(own, nc_load1(image + k), sum);
        dtext[k] = fmaf(unit, sum, dtext[k]);
    }
}

/* Strip after strip: `write` (nc_strip, nc_target) launches what makes its coefficients, times
 * factor, and its sums. With dtext: dtext += share / factor times their gradients. */
template <typename T, typename Write>
static int nc_walk_strips(struct nc_backend *backend, const struct nc_infonce *n,
                          const struct nc_gradients &g, double *sums, float share, Write write)
{
    int status = NC_OK;
    for (size_t row = 0; row < n->captions && status == NC_OK; row += g.strips.rows) {
        for (size_t column = 0; column < n->images && status == NC_OK; column += g.strips.columns) {
            struct nc_strip strip;
            status = nc_infonce_strip_at(backend, n, &g.strips, row, column, &strip);
            if (status != NC_OK)
                break;
            struct nc_target to = {g.coefficients,
                                   nc_stored_columns<T>((size_t)strip.columns),
                                   g.positive,
                                   g.factor,
                                   sums,
                                   (int)g.tiles_across,
                                   row == 0 && column == 0};
            status = write(strip, to);
            if (status == NC_OK && n->dtext)
                status = nc_multiply_coefficients<T>(backend, n, strip, g);
        }
        size_t left = n->captions - row, rows = left < g.strips.rows ? left : g.strips.rows;
        if (status == NC_OK && n->dtext)
            status = NC_LAUNCH(nc_add_rows<T>, (unsigned)rows, 256, 0, backend->compute, *n, row,
                               g.negatives, g.strips.step, g.positive, g.factor, share);
    }
    return status;
}

#endif
