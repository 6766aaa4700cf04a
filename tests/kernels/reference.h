/* The operations once more, in double precision and as plainly as the formulas. */
#ifndef NCLIP_TESTS_REFERENCE_H
#define NCLIP_TESTS_REFERENCE_H

#include "nclip/ops.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* y[rows, out] = x[rows, in] weight[out, in]^T; bias may be NULL */
void reference_linear(size_t rows, size_t in, size_t out, const double *x, const double *weight,
                      const double *bias, double *y);

/* Attention of one sequence: q, k, v, out [tokens, heads * size]; lse [tokens, heads]. */
void reference_attention(size_t tokens, size_t heads, size_t size, bool causal, const double *q,
                         const double *k, const double *v, double *out, double *lse);
/* dq, dk, dv are added to. */
void reference_attention_backward(size_t tokens, size_t heads, size_t size, bool causal,
                                  const double *q, const double *k, const double *v,
                                  const double *dout, double *dq, double *dk, double *dv);

void reference_layernorm(size_t rows, size_t width, const double *x, const double *weight,
                         const double *bias, double epsilon, double *y);
/* dx, dweight, dbias are added to. */
void reference_layernorm_backward(size_t rows, size_t width, const double *x, const double *weight,
                                  double epsilon, const double *dy, double *dx, double *dweight,
                                  double *dbias);

double reference_activation(enum nc_activation activation, double x);
double reference_activation_slope(enum nc_activation activation, double x);

void reference_normalize(size_t rows, size_t width, const double *x, double *y);
/* [rows, width] numbers by `seed`, normalised and rounded to `type`; the caller frees them. */
double *reference_unit_rows(uint64_t seed, size_t rows, size_t width, enum nc_type type);
void reference_normalize_backward(size_t rows, size_t width, const double *x, const double *dy,
                                  double *dx);

/* The loss over whole matrices. caption_group NULL: no masks. Gradients may all be NULL. `lanes` other
 * than 0 (at most 16): scores are fp32 sums, that many side by side, and all else is double; what comes
 * of it shows how much these roundings alone matter. */
struct reference_infonce {
    size_t pairs, width, extras, lanes;
    const double *text, *image, *extra;
    double logit_scale;
    const int32_t *group, *extra_image;
    const double *caption_weight, *image_weight; /* [pairs]; NULL: 1 */
    double loss;
    double *dtext, *dextra, dlogit_scale; /* = */
};
void reference_infonce(struct reference_infonce *r);

struct reference_adamw {
    size_t count;
    double *p, *m, *v;
    const double *g;
    double learning_rate, beta1, beta2, epsilon, decay;
    uint64_t step;
};
void reference_adamw(struct reference_adamw *r);

/* Largest difference between `gradient` and the central differences of loss over x, as a
 * part of the gradient's largest element. */
double difference_error(double (*loss)(const double *x, void *context), void *context,
                        const double *x, const double *gradient, size_t count);

#endif
