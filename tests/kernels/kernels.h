/* Inputs and checks of the operations' tests. A test program runs its tests once for every backend
 * of this build, and holds each result against a reference in double precision
 * (reference.h); the tolerance is a multiple of the error that PyTorch makes on the same
 * numbers (torch_error.h, made by measure_torch_error.py). */
#ifndef NCLIP_TESTS_KERNELS_H
#define NCLIP_TESTS_KERNELS_H

#include "nclip/ops.h"
#include "nclip/support/error.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* *state of each test is the backend's struct nc_ops. Which ones: backends.h. */
int run_on_all_backends(const struct CMUnitTest *tests, size_t count);
#define RUN_ON_ALL_BACKENDS(tests) run_on_all_backends(tests, sizeof tests / sizeof *tests)

/* Bell-shaped numbers around 0, of standard deviation `size`; the same in Python. As doubles
 * that are exact in `type`, so that every precision computes with the same inputs. The
 * caller frees them. */
double *numbers(uint64_t seed, size_t count, double size, enum nc_type type);
double *zeros(size_t count);

/* Memory of the backend, holding `values` as `type` (NULL: NaNs, so that what is read
 * before it is written shows). Exactly as large as its elements, where the host can read it:
 * a sanitizer then sees what lies behind. Released by release_all, which runs after each test. */
void *on_device(struct nc_ops *ops, const double *values, size_t count, enum nc_type type);
int32_t *indices_on_device(struct nc_ops *ops, const int32_t *values, size_t count);
void *bytes_on_device(struct nc_ops *ops, size_t bytes); /* NULL for 0 */

/* The other way; the caller frees. */
double *from_device(struct nc_ops *ops, const void *data, size_t count, enum nc_type type);

void must(int status); /* fails the test with the recorded message unless NC_OK */

/* Fails where `actual` is further from `expected` than twice PyTorch's error on `output` of
 * this case, in the root of the mean square or at worst, both relative to the root mean
 * square of `expected`; an output's own rounding is allowed in any case. */
void assert_as_torch(const char *output, const char *name, enum nc_type type,
                     const double *actual, const double *expected, size_t count);

/* The same, with what the test itself measured of fp32 arithmetic beside PyTorch's error, which is
 * that of one order of its sums: the larger one counts. */
struct error {
    double mean, worst;
};
struct error error_of(const double *actual, const double *expected, size_t count);
void assert_as_arithmetic(const char *output, const char *name, enum nc_type type,
                          const double *actual, const double *expected, size_t count,
                          struct error measured);

/* Sums of products, whatever their order. Of `terms` products of mean 0 whose squares add up to
 * magnitude^2, the first k have a sum of about magnitude sqrt(k / terms). Each addition of fp32 rounds
 * it by 2^-24 of itself: terms additions one behind another, the worst order there is, come to
 * magnitude 2^-24 sqrt(terms / 6). Tensor cores, which factors in bf16 or fp16 take, cut off
 * what is below 2^-23 after every 8 products (sm_80) or 16 (sm_90; tests/emulated/sums.h), and all of
 * these errors point to zero: magnitude 2^-24 terms / 30. Allowed is twice as much in the mean, 12
 * times for a single element; `more` rounding errors of 2^-24 of the result (a bias, a residual, an activation); and the
 * result's own rounding to `type`. */
struct sums {
    enum nc_type factors, type;
    size_t terms;
    double more;
};
void assert_sums(const char *what, const struct sums *sums, const double *actual,
                 const double *expected, const double *magnitude, size_t count);

/* Fails where they differ by more than `tolerance` of the largest expected number. */
void assert_close(const char *what, const double *actual, const double *expected, size_t count,
                  double tolerance);

#endif
