/* The text tower's state, shared by its forward and backward passes. */
#ifndef NCLIP_MODEL_TEXT_TOWER_H
#define NCLIP_MODEL_TEXT_TOWER_H

#include "block.h"

struct nc_text_tower {
    struct nc_ops *ops;
    const struct nc_model_shape *shape;
    const struct nc_parameter_table *table;
    enum nc_type type;
    struct nc_text_capacity capacity;
    struct nc_block_offsets *offsets; /* [layers] */
    struct nc_block_buffers *blocks;  /* [layers] kept activations */
    float **lse;                      /* [layers] kept attention statistics */
    struct nc_block_buffers passing;  /* when nothing is kept */
    float *passing_lse;
    /* the batch, in the backend's memory */
    int32_t *token, *position, *row_start, *path_start, *path, *last_row;
    void *normed;    /* [rows, width] T: a norm's output, scratch */
    void *activated; /* [rows, mlp] T: an activation's output, scratch */
    /* one row a caption */
    float *end_x, *end_y; /* [captions, width] the last block's input and output */
    void *end_normed;     /* [captions, width] T */
    float *end_mean, *end_rstd, *inverse_norm;
    float *normalized; /* [captions, embedding] */
    void *dprojected;  /* [captions, embedding] T */
    /* backward */
    float *dx;       /* [rows, width] gradient of the residual stream */
    void *dx_copy;   /* the same in bf16; NULL in fp32 */
    float *dend;     /* [captions, width] */
    void *dend_copy;
    void *dwide;     /* [rows, max(mlp, 3 width)] T */
    void *dnarrow;   /* [rows, width] T */
    void *scratch;
    void *attention_scratch; /* keeps what is known of shared rows from block to block */
    nc_gradients_ready ready; /* or NULL */
    void *ready_context;
};

/* The attention of one block, without its buffers. */
struct nc_attention nc_text_tower_attention(const struct nc_text_tower *tower,
                                            const struct nc_packing *packing, size_t block);

#endif
