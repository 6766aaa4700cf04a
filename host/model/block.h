/* One pre-norm transformer block, forward: shared by both towers.
 *
 *     middle = x + out(attention(qkv(ln1(x))))
 *     y      = middle + fc2(act(fc1(ln2(middle))))
 */
#ifndef NCLIP_MODEL_BLOCK_H
#define NCLIP_MODEL_BLOCK_H

#include "nclip/model/towers.h"

/* A weight as the products read it: from the shadow in bf16. */
const void *nc_weight(const struct nc_weights *weights, enum nc_type type, size_t offset);

/* Where a block's parameters lie in its tower's buffer. */
struct nc_block_offsets {
    size_t ln1_weight, ln1_bias, qkv_weight, qkv_bias, out_weight, out_bias;
    size_t ln2_weight, ln2_bias, fc1_weight, fc1_bias, fc2_weight, fc2_bias;
};
struct nc_block_offsets nc_block_offsets(const struct nc_parameter_table *table,
                                         enum nc_tower tower, int block);

/* Buffers of one block; several may be the same memory when nothing is kept. */
struct nc_block_buffers {
    float *x;            /* [rows, width] input */
    float *ln1_mean, *ln1_rstd, *ln2_mean, *ln2_rstd; /* or all NULL */
    void *normed;        /* [rows, width] T, ln1's output */
    void *middle_normed; /* [rows, width] T, ln2's; may be normed */
    void *qkv;           /* [rows, 3 width] T */
    void *attended;      /* [rows, width] T */
    float *middle;       /* [rows, width]; may be x */
    void *fc1;           /* [rows, mlp] T: before the activation when kept, else scratch */
    void *activated;     /* [rows, mlp] T, scratch; NULL: the activation rides on fc1's product */
    float *y;            /* [rows, width] output; may be middle */
};

/* ln1 and the query-key-value product. */
int nc_block_attention_input(struct nc_ops *ops, const struct nc_tower_shape *shape,
                             const struct nc_weights *weights, enum nc_type type,
                             const struct nc_block_offsets *offsets, size_t rows,
                             const struct nc_block_buffers *b);

/* From what was attended to the block's output; `residual` is the block's input at
 * the same rows. */
int nc_block_output(struct nc_ops *ops, const struct nc_tower_shape *shape,
                    const struct nc_weights *weights, enum nc_type type,
                    const struct nc_block_offsets *offsets, size_t rows, const float *residual,
                    const struct nc_block_buffers *b);

#endif
