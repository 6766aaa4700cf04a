/* Strips, contradictions and sums of InfoNCE on the GPU. infonce.cu explains how its files work
 * together. */
#ifndef NCLIP_KERNELS_CUDA_INFONCE_H
#define NCLIP_KERNELS_CUDA_INFONCE_H

#include "cuda.h"
#include "device.h"

static inline size_t nc_pieces(size_t count, size_t piece)
{
    return (count + piece - 1) / piece;
}

/* A part of the scratch, at a multiple of 256 bytes. */
template <typename T> static inline T *nc_take(char *base, size_t *used, size_t count)
{
    T *part = base && count ? reinterpret_cast<T *>(base + *used) : nullptr;
    *used += (count * sizeof(T) + 255) / 256 * 256;
    return part;
}

/* ---- Strips (infonce_strip.cu) -------------------------------------------------------------- */

/* A part of the matrix: what one launch computes. */
struct nc_strip {
    size_t row, column; /* of the call */
    int rows, columns;
    const void *text, *image; /* its rows of T, `step` numbers apart; bf16: by whole 16 bytes */
    size_t step;
};

/* The largest strip of a call, and where its rows of bf16 are copied to where they do not begin
 * at multiples of 16 bytes; fp32 is read where it is. */
struct nc_strips {
    size_t rows, columns, step;
    nc_bfloat16 *text, *image; /* NULL: not needed */
};

/* Strips of at most 16384 captions and 64 pictures a multiprocessor (8448 on an H100), so that each
 * has as many tiles to make; half as wide in fp32 where `halved`. Scratch for the copies is taken
 * from `base`. */
struct nc_strips nc_infonce_strips(const struct nc_backend *backend, const struct nc_infonce *n,
                                   bool halved, char *base, size_t *used);

/* The strip that starts there; its captions are copied with the first pictures of their row. */
int nc_infonce_strip_at(struct nc_backend *backend, const struct nc_infonce *n,
                        const struct nc_strips *strips, size_t row, size_t column,
                        struct nc_strip *strip);

/* Refuses what the kernels cannot read. */
int nc_infonce_check(const char *operation, const struct nc_infonce *n);

/* to[to_rows, step] = from[rows, width], as fp16 or as they are, and zeros around. `step` is
 * `width` or, where that is no multiple of 8, the next. */
int nc_infonce_copy_rows(struct nc_backend *backend, const nc_bfloat16 *from, size_t rows,
                         size_t width, size_t to_rows, size_t step, bool as_fp16, uint16_t *to);

/* ---- Contradictions (infonce_extras.cu) ----------------------------------------------------- */

/* exp(logit_scale) * extra[e] . image[column], by one warp; every lane receives it. */
template <typename T>
static __device__ __forceinline__ float nc_extra_score(const nc_infonce &n, size_t e, size_t column,
                                                       float scale)
{
    const T *extra = (const T *)n.extra + e * n.width,
            *image = (const T *)n.image + column * n.width;
    float sum = 0;
    for (size_t k = (size_t)nc_lane(); k < n.width; k += NC_WARP)
        sum = fmaf(nc_load1(extra + k), nc_load1(image + k), sum);
    return scale * nc_warp_sum(sum);
}

struct nc_extras {
    float *score, *product; /* [extras] */
    uint32_t *max;          /* [images] */
    unsigned long long *sum;
};

struct nc_extras nc_infonce_lay_out_extras(const struct nc_infonce *n, char *base, size_t *used);

/* They join their columns. */
int nc_infonce_extras_forward(struct nc_backend *backend, const struct nc_infonce *n,
                              const struct nc_extras *extras);

/* dextra +=; product[e] = its coefficient times its score. */
int nc_infonce_extras_backward(struct nc_backend *backend, const struct nc_infonce *n,
                               const struct nc_extras *extras);

/* ---- Sums ----------------------------------------------------------------------------------- */

/* exp(max + log) += sum exp(most); the sum is 0 where everything was masked. */
static __device__ __forceinline__ void nc_log_add(float *max, float *log, float most, float sum)
{
    if (sum == 0)
        return;
    float larger = fmaxf(*max, most);
    *log = logf(expf(*max - larger + *log) + sum * expf(most - larger));
    *max = larger;
}

/* infonce_backward.cu */
size_t nc_infonce_backward_scratch(const struct nc_backend *backend, const struct nc_infonce *n);

#endif
