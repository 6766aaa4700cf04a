/* The door to oneDNN. Its releases 2 and 3 (2.5 is the oldest that was read) differ in how things
 * are described to it: what differs stands in onednn.c alone. dnnl_sgemm, which is the same in all of
 * them, is called where it is needed.
 *
 * A status is oneDNN's own number, 0 when all went well; the caller makes a sentence of it. */
#ifndef NCLIP_KERNELS_CPU_ONEDNN_H
#define NCLIP_KERNELS_CPU_ONEDNN_H

#include "nclip/devices.h"
#include "nclip/ops.h"

struct nc_onednn;         /* its engine for this processor, and a stream */
struct nc_onednn_product; /* one product of one shape, ready to run */

int nc_onednn_create(struct nc_onednn **out);
void nc_onednn_destroy(struct nc_onednn *onednn); /* NULL: nothing */

/* Whether the processor multiplies bf16 and oneDNN has it do so. What oneDNN has beside that for
 * older processors is slower than fp32. */
bool nc_onednn_multiplies_bf16(void);

/* The fields of `support` that oneDNN decides. */
void nc_onednn_describe(struct nc_cpu_support *support);

/* A residual that is y itself must be a sum: long products lay partial sums into y, and
 * whatever else reads y there reads those. */
enum nc_residual { NC_NO_RESIDUAL, NC_RESIDUAL_ELSEWHERE, NC_RESIDUAL_IN_PLACE };

enum nc_product_kind { NC_PRODUCT_FORWARD, NC_PRODUCT_BACKWARD_INPUT, NC_PRODUCT_BACKWARD_WEIGHT };

/* A product of bf16 matrices (nclip/ops.h: linear layers). */
struct nc_product_shape {
    enum nc_product_kind kind;
    size_t rows, in, out;
    enum nc_type result_type; /* of y or dx; a weight's gradient is fp32 always */
    bool bias;                /* added to y, or summed up beside dweight */
    int activation;           /* enum nc_activation, or NC_NO_ACTIVATION */
    enum nc_residual residual;
};
enum { NC_NO_ACTIVATION = -1 };

/* Once `reorder`, the weight is brought into the layout that oneDNN prefers at each run; the run
 * then needs nc_onednn_product_packed() bytes, which is 0 where the layout is right as it is. */
int nc_onednn_product_create(struct nc_onednn *onednn, const struct nc_product_shape *shape,
                             bool reorder, struct nc_onednn_product **out);
void nc_onednn_product_destroy(struct nc_onednn_product *product); /* NULL: nothing */
size_t nc_onednn_product_packed(const struct nc_onednn_product *product);

/* forward: y = x W, with bias and residual; backward input: dx = dy W; backward weight:
 * dW = dy^T x and dbias. */
struct nc_product_operands {
    const void *left;      /* x | dy | dy */
    const void *right;     /* W | W | x */
    void *result;          /* y | dx | dW: overwritten, but for a residual in place */
    const float *residual; /* NC_RESIDUAL_ELSEWHERE only */
    const float *bias;     /* forward */
    float *dbias;          /* backward weight: overwritten */
    void *packed;
};
int nc_onednn_product_run(struct nc_onednn *onednn, struct nc_onednn_product *product,
                          const struct nc_product_operands *operands);

#endif
