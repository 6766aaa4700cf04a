/* The text tower over packed batches: buffers and the forward pass.
 *
 * Kept for the backward pass, per block and row: the input and the middle of the
 * residual stream, query-key-value, what was attended, and the first product of
 * the MLP. Activations are computed again: they cost less than their memory; norms are, too, unless
 * the plan keeps them. */
#include "text_tower.h"

#include "nclip/support/error.h"

#include <stdlib.h>

struct reserve {
    struct nc_arena *arena;
    int status;
};

static void reserve(struct reserve *r, const char *label, size_t count, size_t size, void *slot)
{
    size_t bytes;
    if (r->status != NC_OK)
        return;
    if (__builtin_mul_overflow(count, size, &bytes))
        r->status =
            nc_error(NC_FAILED, "text tower: %s of %zu elements is too large", label, count);
    else
        r->status = nc_arena_reserve(r->arena, label, bytes, slot);
}

static void reserve_kept_block(struct reserve *r, struct nc_text_tower *tower, size_t block)
{
    const struct nc_tower_shape *shape = &tower->shape->text;
    bool last = block + 1 == shape->layers;
    size_t rows = tower->capacity.rows, t = nc_type_size(tower->type);
    size_t ends = last ? tower->capacity.captions : rows; /* rows of the second half */
    struct nc_block_buffers *b = &tower->blocks[block];
    reserve(r, "residual stream", rows * shape->width, 4, &b->x);
    reserve(r, "norm statistics", rows, 4, &b->ln1_mean);
    reserve(r, "norm statistics", rows, 4, &b->ln1_rstd);
    reserve(r, "norm statistics", ends, 4, &b->ln2_mean);
    reserve(r, "norm statistics", ends, 4, &b->ln2_rstd);
    reserve(r, "query, key, value", rows * 3 * shape->width, t, &b->qkv);
    reserve(r, "attention output", ends * shape->width, t, &b->attended);
    reserve(r, "attention statistics", ends * shape->heads, 4, &tower->lse[block]);
    reserve(r, "residual stream", ends * shape->width, 4, &b->middle);
    reserve(r, "mlp", ends * shape->mlp, t, &b->fc1);
    if (tower->capacity.keep_norms) {
        reserve(r, "norms", rows * shape->width, t, &b->normed);
        reserve(r, "norms", ends * shape->width, t, &b->middle_normed);
    }
}

/* What the forward pass needs when nothing is kept: one set for all blocks. */
static void reserve_passing(struct reserve *r, struct nc_text_tower *tower)
{
    const struct nc_tower_shape *shape = &tower->shape->text;
    size_t rows = tower->capacity.rows, t = nc_type_size(tower->type);
    struct nc_block_buffers *b = &tower->passing;
    reserve(r, "residual stream", rows * shape->width, 4, &b->x);
    reserve(r, "query, key, value", rows * 3 * shape->width, t, &b->qkv);
    reserve(r, "attention output", rows * shape->width, t, &b->attended);
    reserve(r, "attention statistics", rows * shape->heads, 4, &tower->passing_lse);
    reserve(r, "mlp", rows * shape->mlp, t, &b->fc1);
}

static void reserve_backward(struct reserve *r, struct nc_text_tower *tower)
{
    const struct nc_tower_shape *shape = &tower->shape->text;
    size_t rows = tower->capacity.rows, t = nc_type_size(tower->type);
    size_t wide = shape->mlp > 3 * shape->width ? shape->mlp : 3 * shape->width;
    size_t captions = tower->capacity.captions;
    struct nc_attention attention = {.type = tower->type, .rows = rows, .captions = captions,
                                     .longest = tower->shape->context, .heads = shape->heads,
                                     .head_size = shape->width / shape->heads,
                                     .repeated = tower->capacity.repeated};
    struct nc_ops *ops = tower->ops;
    size_t scratch = ops->attention_scratch(ops->backend, &attention);
    size_t norm = ops->layernorm_scratch(ops->backend, rows, shape->width);
    size_t embedding = ops->embedding_scratch(ops->backend, rows);
    if (scratch)
        reserve(r, "backward scratch", scratch, 1, &tower->attention_scratch);
    scratch = norm > embedding ? norm : embedding;
    reserve(r, "backward", rows * shape->width, 4, &tower->dx);
    if (tower->type != NC_FLOAT32)
        reserve(r, "backward", rows * shape->width, t, &tower->dx_copy);
    reserve(r, "backward", captions * shape->width, 4, &tower->dend);
    if (tower->type != NC_FLOAT32)
        reserve(r, "backward", captions * shape->width, t, &tower->dend_copy);
    reserve(r, "backward", rows * wide, t, &tower->dwide);
    reserve(r, "backward", rows * shape->width, t, &tower->dnarrow);
    reserve(r, "backward scratch", scratch, 1, &tower->scratch);
}

int nc_text_tower_create(struct nc_ops *ops, const struct nc_model_shape *shape,
                         const struct nc_parameter_table *table, enum nc_type type,
                         const struct nc_text_capacity *capacity, struct nc_arena *arena,
                         struct nc_text_tower **out)
{
    *out = NULL;
    size_t layers = shape->text.layers;
    int supported = ops->attention_supported(ops->backend, type, shape->text.heads,
                                             shape->text.width / shape->text.heads);
    if (supported != NC_OK)
        return nc_error_prefix(supported, "text tower");
    struct nc_text_tower *tower = calloc(1, sizeof *tower);
    if (tower) {
        tower->blocks = calloc(layers, sizeof *tower->blocks);
        tower->offsets = calloc(layers, sizeof *tower->offsets);
        tower->lse = calloc(layers, sizeof *tower->lse);
    }
    if (!tower || !tower->blocks || !tower->offsets || !tower->lse) {
        nc_text_tower_destroy(tower);
        return nc_error(NC_FAILED, "text tower: no memory");
    }
    tower->ops = ops;
    tower->shape = shape;
    tower->table = table;
    tower->type = type;
    tower->capacity = *capacity;
    for (size_t block = 0; block < layers; block++)
        tower->offsets[block] = nc_block_offsets(table, NC_TOWER_TEXT, (int)block);

    const struct nc_tower_shape *text = &shape->text;
    size_t captions = capacity->captions, rows = capacity->rows, t = nc_type_size(type);
    struct reserve r = {arena, NC_OK};
    reserve(&r, "batch", rows, 4, &tower->token);
    reserve(&r, "batch", rows, 4, &tower->position);
    reserve(&r, "batch", captions + 1, 4, &tower->row_start);
    reserve(&r, "batch", captions + 1, 4, &tower->path_start);
    reserve(&r, "batch", capacity->tokens, 4, &tower->path);
    reserve(&r, "batch", captions, 4, &tower->last_row);
    reserve(&r, "normed", rows * text->width, t, &tower->normed);
    reserve(&r, "features", captions * text->width, 4, &tower->end_x);
    reserve(&r, "features", captions * text->width, 4, &tower->end_y);
    reserve(&r, "features", captions * text->width, t, &tower->end_normed);
    reserve(&r, "features", captions, 4, &tower->end_mean);
    reserve(&r, "features", captions, 4, &tower->end_rstd);
    reserve(&r, "features", captions, 4, &tower->inverse_norm);
    reserve(&r, "features", captions * shape->embedding, 4, &tower->normalized);
    reserve(&r, "features", captions * shape->embedding, t, &tower->dprojected);
    /* The buffers are shared: no pass without `keep` may run between a forward pass with `keep`
     * and its backward pass. */
    size_t mark = nc_arena_mark(arena);
    reserve_passing(&r, tower);
    if (capacity->backward) {
        nc_arena_rewind(arena, mark);
        for (size_t block = 0; block < layers; block++)
            reserve_kept_block(&r, tower, block);
        reserve(&r, "mlp", rows * text->mlp, t, &tower->activated);
        reserve_backward(&r, tower);
    }
    if (r.status != NC_OK) {
        nc_text_tower_destroy(tower);
        return r.status;
    }
    *out = tower;
    return NC_OK;
}

void nc_text_tower_destroy(struct nc_text_tower *tower)
{
    if (!tower)
        return;
    free(tower->blocks);
    free(tower->offsets);
    free(tower->lse);
    free(tower);
}

int nc_text_tower_load(struct nc_text_tower *tower, const struct nc_packing *packing,
                       const struct nc_packing *staged)
{
    struct nc_ops *ops = tower->ops;
    const struct nc_text_capacity *capacity = &tower->capacity;
    if (packing->captions > capacity->captions || packing->rows > capacity->rows ||
        packing->tokens > capacity->tokens || packing->repeated > capacity->repeated)
        return nc_error(NC_FAILED,
                        "text tower: a batch of %zu captions in %zu rows is larger than planned",
                        packing->captions, packing->rows);
    if (packing->longest > tower->shape->context)
        return nc_error(
            NC_BAD_INPUT,
            "text tower: a caption of %zu tokens is longer than the model's context of %zu",
            packing->longest, tower->shape->context);
    const struct nc_packing *from = staged ? staged : packing;
    struct {
        int32_t *to;
        const int32_t *from;
        size_t count;
    } parts[] = {
        {tower->token, from->token, packing->rows},
        {tower->position, from->position, packing->rows},
        {tower->row_start, from->row_start, packing->captions + 1},
        {tower->path_start, from->path_start, packing->captions + 1},
        {tower->path, from->path, packing->tokens},
        {tower->last_row, from->last_row, packing->captions},
    };
    int status = NC_OK;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && status == NC_OK; i++)
        status = (staged ? ops->copy : ops->upload)(ops->backend, parts[i].to, parts[i].from,
                                                    parts[i].count * sizeof(int32_t));
    return status;
}

struct nc_attention nc_text_tower_attention(const struct nc_text_tower *tower,
                                            const struct nc_packing *packing, size_t block)
{
    const struct nc_tower_shape *shape = &tower->shape->text;
    return (struct nc_attention){
        .type = tower->type, .rows = packing->rows, .captions = packing->captions,
        .longest = packing->longest, .heads = shape->heads,
        .head_size = shape->width / shape->heads, .row_start = tower->row_start,
        .path_start = tower->path_start, .path = tower->path,
        /* The planned numbers, not this batch's: a recording must be valid for every batch that it
         * is replayed for. */
        .repeated = packing->repeated ? tower->capacity.repeated : 0,
        .last_only = block + 1 == shape->layers,
        .full = tower->shape->mask != NC_MASK_CAUSAL};
}

/* The end-of-text rows of the last block's output, to features. */
static int project(struct nc_text_tower *tower, const struct nc_weights *weights, size_t captions,
                   const float *x, bool raw, float *features)
{
    struct nc_ops *ops = tower->ops;
    const struct nc_parameter_table *table = tower->table;
    size_t width = tower->shape->text.width, embedding = tower->shape->embedding;
    size_t norm_weight =
        nc_parameter_offset(table, NC_TOWER_TEXT, NC_FINAL_LN_WEIGHT, NC_NO_BLOCK);
    size_t norm_bias = nc_parameter_offset(table, NC_TOWER_TEXT, NC_FINAL_LN_BIAS, NC_NO_BLOCK);
    size_t projection = nc_parameter_offset(table, NC_TOWER_TEXT, NC_PROJECTION, NC_NO_BLOCK);
    const struct nc_parameter *bias =
        nc_parameter_find(table, NC_TOWER_TEXT, NC_PROJECTION_BIAS, NC_NO_BLOCK);
    struct nc_layernorm norm = {.rows = captions, .width = width, .x = x,
                                .weight = weights->master + norm_weight,
                                .bias = weights->master + norm_bias,
                                .epsilon = tower->shape->text.epsilon, .y_type = tower->type,
                                .y = tower->end_normed, .mean = tower->end_mean,
                                .rstd = tower->end_rstd};
    int status = ops->layernorm_forward(ops->backend, &norm);
    if (status != NC_OK)
        return status;
    struct nc_linear linear = {.type = tower->type, .rows = captions, .in = width, .out = embedding,
                               .x = tower->end_normed,
                               .weight = nc_weight(weights, tower->type, projection),
                               .bias = bias ? weights->master + bias->offset : NULL,
                               .y = raw ? features : tower->normalized, .y_type = NC_FLOAT32};
    status = ops->linear(ops->backend, &linear);
    if (status != NC_OK || raw)
        return status;
    struct nc_normalize normalize = {.rows = captions, .width = embedding, .x = tower->normalized,
                                     .y = tower->normalized, .inverse_norm = tower->inverse_norm};
    status = ops->normalize_forward(ops->backend, &normalize);
    if (status != NC_OK)
        return status;
    return ops->copy(ops->backend, features, tower->normalized,
                     captions * embedding * sizeof(float));
}

/* Runs the last block, whose second half computes only one row a caption. */
static int last_block(struct nc_text_tower *tower, const struct nc_weights *weights,
                      const struct nc_packing *packing, struct nc_block_buffers *b)
{
    struct nc_ops *ops = tower->ops;
    struct nc_gather gather = {.count = packing->captions, .width = tower->shape->text.width,
                               .rows = packing->rows, .row = tower->last_row, .x = b->x,
                               .y = tower->end_x};
    int status = ops->gather(ops->backend, &gather);
    if (status != NC_OK)
        return status;
    b->y = tower->end_y;
    return nc_block_output(ops, &tower->shape->text, weights, tower->type,
                           &tower->offsets[tower->shape->text.layers - 1], packing->captions,
                           tower->end_x, b);
}

int nc_text_tower_forward(struct nc_text_tower *tower, const struct nc_weights *weights,
                          const struct nc_packing *packing, bool keep, bool raw, float *features)
{
    struct nc_ops *ops = tower->ops;
    const struct nc_tower_shape *shape = &tower->shape->text;
    if (keep && !tower->capacity.backward)
        return nc_error(NC_FAILED, "text tower: it was planned without a backward pass");
    if (!packing->captions)
        return NC_OK;
    int status;
    size_t token_table =
        nc_parameter_offset(tower->table, NC_TOWER_TEXT, NC_TOKEN_EMBEDDING, NC_NO_BLOCK);
    size_t position_table =
        nc_parameter_offset(tower->table, NC_TOWER_TEXT, NC_POSITION_EMBEDDING, NC_NO_BLOCK);
    struct nc_embedding embedding = {.rows = packing->rows, .width = shape->width,
                                     .vocabulary = tower->shape->vocabulary,
                                     .context = tower->shape->context, .token = tower->token,
                                     .position = tower->position,
                                     .token_table = weights->master + token_table,
                                     .position_table = weights->master + position_table,
                                     .x = keep ? tower->blocks[0].x : tower->passing.x};
    status = ops->embedding_forward(ops->backend, &embedding);

    for (size_t block = 0; block < shape->layers && status == NC_OK; block++) {
        struct nc_block_buffers b = keep ? tower->blocks[block] : tower->passing;
        bool last = block + 1 == shape->layers;
        if (!keep || !tower->capacity.keep_norms)
            b.normed = b.middle_normed = tower->normed;
        if (keep) {
            b.activated = tower->activated;
            b.y = last ? tower->end_y : tower->blocks[block + 1].x;
        } else {
            b.middle = last ? tower->end_x : b.x;
            b.y = b.middle;
        }
        status = nc_block_attention_input(ops, shape, weights, tower->type, &tower->offsets[block],
                                          packing->rows, &b);
        if (status != NC_OK)
            break;
        struct nc_attention attention = nc_text_tower_attention(tower, packing, block);
        attention.qkv = b.qkv;
        attention.out = b.attended;
        attention.lse = keep ? tower->lse[block] : tower->passing_lse;
        status = ops->attention_forward(ops->backend, &attention);
        if (status != NC_OK)
            break;
        status = last ? last_block(tower, weights, packing, &b)
                      : nc_block_output(ops, shape, weights, tower->type, &tower->offsets[block],
                                        packing->rows, b.x, &b);
    }
    if (status != NC_OK)
        return status;
    return project(tower, weights, packing->captions, tower->end_y, raw, features);
}
