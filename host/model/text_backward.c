/* The text tower's backward pass: gradients by the chain rule, block by block,
 * from the features down to the embeddings or to the lowest trained block. */
#include "text_tower.h"

#include "nclip/support/error.h"

/* Which gradients are wanted, and where they go. */
struct pass {
    struct nc_text_tower *tower;
    const struct nc_weights *weights;
    const struct nc_packing *packing;
    const bool *trainable;
    bool accumulate;
    float *gradients;
};

static bool wanted(const struct pass *p, enum nc_role role, int block)
{
    const struct nc_parameter *row = nc_parameter_find(p->tower->table, NC_TOWER_TEXT, role, block);
    return row && p->trainable[row - p->tower->table->rows];
}

/* Where the gradient of a role goes; NULL when it is frozen. */
static float *gradient(const struct pass *p, enum nc_role role, int block)
{
    return wanted(p, role, block)
               ? p->gradients + nc_parameter_offset(p->tower->table, NC_TOWER_TEXT, role, block)
               : NULL;
}

static bool block_trains(const struct pass *p, int block)
{
    for (int role = NC_LN1_WEIGHT; role <= NC_FC2_BIAS; role++)
        if (wanted(p, role, block))
            return true;
    return false;
}

/* Sets a gradient to zero where the operation that fills it only adds; and a norm's of which only
 * one part is trained, which stays zero. */
static int zero_added(const struct pass *p)
{
    static const struct {
        enum nc_role role, beside; /* a norm's other part */
    } added[] = {{NC_TOKEN_EMBEDDING, NC_ROLES},        {NC_POSITION_EMBEDDING, NC_ROLES},
                 {NC_LN1_WEIGHT, NC_LN1_BIAS},          {NC_LN1_BIAS, NC_LN1_WEIGHT},
                 {NC_LN2_WEIGHT, NC_LN2_BIAS},          {NC_LN2_BIAS, NC_LN2_WEIGHT},
                 {NC_FINAL_LN_WEIGHT, NC_FINAL_LN_BIAS}, {NC_FINAL_LN_BIAS, NC_FINAL_LN_WEIGHT}};
    const struct nc_parameter_table *table = p->tower->table;
    struct nc_ops *ops = p->tower->ops;
    for (size_t i = 0; i < table->count; i++) {
        const struct nc_parameter *row = &table->rows[i];
        if (row->tower != NC_TOWER_TEXT || !p->trainable[i])
            continue;
        for (size_t k = 0; k < sizeof added / sizeof *added; k++) {
            if (row->role != added[k].role ||
                (added[k].beside != NC_ROLES && wanted(p, added[k].beside, row->block)))
                continue;
            int status = ops->zero(ops->backend, p->gradients + row->offset,
                                   row->count * sizeof(float));
            if (status != NC_OK)
                return status;
        }
    }
    return NC_OK;
}

/* dweight and dbias of a linear layer, where they are wanted. The bias comes with the
 * weight's product; `x` is the layer's input, `dy` its output's gradient. */
static int linear_gradient(const struct pass *p, enum nc_role weight, enum nc_role bias, int block,
                           size_t rows, size_t in, size_t out, const void *x, const void *dy)
{
    struct nc_ops *ops = p->tower->ops;
    struct nc_linear_backward_weight linear = {
        .type = p->tower->type, .rows = rows, .in = in, .out = out, .x = x, .dy = dy,
        .accumulate = p->accumulate, .dweight = gradient(p, weight, block),
        .dbias = gradient(p, bias, block)};
    if (!linear.dweight)
        return NC_OK;
    return ops->linear_backward_weight(ops->backend, &linear);
}

static int linear_input(const struct pass *p, size_t weight_offset, size_t rows, size_t in,
                        size_t out, const void *dy, void *dx)
{
    struct nc_ops *ops = p->tower->ops;
    struct nc_linear_backward_input linear = {
        .type = p->tower->type, .rows = rows, .in = in, .out = out, .dy = dy,
        .weight = nc_weight(p->weights, p->tower->type, weight_offset), .dx = dx};
    return ops->linear_backward_input(ops->backend, &linear);
}

/* A norm's output: *y where it was kept, else once more. */
static int norm_again(const struct pass *p, size_t rows, const float *x, size_t weight, size_t bias,
                      const void **y)
{
    struct nc_ops *ops = p->tower->ops;
    if (p->tower->capacity.keep_norms)
        return NC_OK;
    *y = p->tower->normed;
    struct nc_layernorm norm = {.rows = rows, .width = p->tower->shape->text.width, .x = x,
                                .weight = p->weights->master + weight,
                                .bias = p->weights->master + bias,
                                .epsilon = p->tower->shape->text.epsilon,
                                .y_type = p->tower->type, .y = p->tower->normed};
    return ops->layernorm_forward(ops->backend, &norm);
}

static int norm_backward(const struct pass *p, size_t rows, const float *x, const float *mean,
                         const float *rstd, size_t weight, enum nc_role weight_role,
                         enum nc_role bias_role, int block, const void *dy, float *dx,
                         bool accumulate, void *dx_copy)
{
    struct nc_ops *ops = p->tower->ops;
    float *dweight = gradient(p, weight_role, block), *dbias = gradient(p, bias_role, block);
    struct nc_layernorm_backward norm = {
        .rows = rows, .width = p->tower->shape->text.width, .x = x, .mean = mean, .rstd = rstd,
        .weight = p->weights->master + weight, .dy_type = p->tower->type, .dy = dy, .dx = dx,
        .accumulate = accumulate, .dx_copy = dx_copy, .dweight = dweight && dbias ? dweight : NULL,
        .dbias = dweight && dbias ? dbias : NULL, .overwrite = !p->accumulate,
        .scratch = p->tower->scratch};
    return ops->layernorm_backward(ops->backend, &norm);
}

/* Features to the last block's output: normalisation, projection, final norm. */
static int project_backward(const struct pass *p, const float *dfeatures)
{
    struct nc_text_tower *tower = p->tower;
    struct nc_ops *ops = tower->ops;
    size_t captions = p->packing->captions, width = tower->shape->text.width;
    size_t embedding = tower->shape->embedding;
    struct nc_normalize_backward normalize = {
        .rows = captions, .width = embedding, .y = tower->normalized,
        .inverse_norm = tower->inverse_norm, .dy = dfeatures, .dx_type = tower->type,
        .dx = tower->dprojected};
    int status = ops->normalize_backward(ops->backend, &normalize);
    if (status == NC_OK)
        status = linear_gradient(p, NC_PROJECTION, NC_PROJECTION_BIAS, NC_NO_BLOCK, captions, width,
                                 embedding, tower->end_normed, tower->dprojected);
    if (status == NC_OK)
        status = linear_input(
            p, nc_parameter_offset(tower->table, NC_TOWER_TEXT, NC_PROJECTION, NC_NO_BLOCK),
            captions, width, embedding, tower->dprojected, tower->dnarrow);
    if (status == NC_OK)
        status = norm_backward(
            p, captions, tower->end_y, tower->end_mean, tower->end_rstd,
            nc_parameter_offset(tower->table, NC_TOWER_TEXT, NC_FINAL_LN_WEIGHT, NC_NO_BLOCK),
            NC_FINAL_LN_WEIGHT, NC_FINAL_LN_BIAS, NC_NO_BLOCK, tower->dnarrow, tower->dend, false,
            tower->dend_copy);
    return status;
}

/* The MLP of a block over `rows` rows; dx (and its copy) go from the block's output to its middle.
 */
static int mlp_backward(const struct pass *p, int block, size_t rows, float *dx, void *dx_copy)
{
    struct nc_text_tower *tower = p->tower;
    struct nc_ops *ops = tower->ops;
    const struct nc_tower_shape *shape = &tower->shape->text;
    const struct nc_block_offsets *offsets = &tower->offsets[block];
    struct nc_block_buffers *b = &tower->blocks[block];
    const void *dy = dx_copy ? dx_copy : dx, *normed = b->middle_normed;

    int status =
        linear_input(p, offsets->fc2_weight, rows, shape->mlp, shape->width, dy, tower->dwide);
    if (status != NC_OK)
        return status;
    struct nc_activation_backward activation = {
        .activation = shape->activation, .type = tower->type, .rows = rows, .width = shape->mlp,
        .x = b->fc1, .dy = tower->dwide, .dx = tower->dwide, .y = tower->activated};
    status = ops->activation_backward(ops->backend, &activation);
    if (status == NC_OK)
        status = linear_gradient(p, NC_FC2_WEIGHT, NC_FC2_BIAS, block, rows, shape->mlp,
                                 shape->width, tower->activated, dy);
    if (status == NC_OK && wanted(p, NC_FC1_WEIGHT, block))
        status =
            norm_again(p, rows, b->middle, offsets->ln2_weight, offsets->ln2_bias, &normed);
    if (status == NC_OK)
        status = linear_gradient(p, NC_FC1_WEIGHT, NC_FC1_BIAS, block, rows, shape->width,
                                 shape->mlp, normed, tower->dwide);
    if (status == NC_OK)
        status = linear_input(p, offsets->fc1_weight, rows, shape->width, shape->mlp, tower->dwide,
                              tower->dnarrow);
    if (status == NC_OK)
        status =
            norm_backward(p, rows, b->middle, b->ln2_mean, b->ln2_rstd, offsets->ln2_weight,
                          NC_LN2_WEIGHT, NC_LN2_BIAS, block, tower->dnarrow, dx, true, dx_copy);
    return status;
}

/* From the middle of a block to its input. In the last block the middle has one row a
 * caption, and its gradient is spread over the rows first. */
static int attention_half_backward(const struct pass *p, int block, float *dmiddle,
                                   void *dmiddle_copy)
{
    struct nc_text_tower *tower = p->tower;
    struct nc_ops *ops = tower->ops;
    const struct nc_tower_shape *shape = &tower->shape->text;
    const struct nc_block_offsets *offsets = &tower->offsets[block];
    struct nc_block_buffers *b = &tower->blocks[block];
    bool last = (size_t)block + 1 == shape->layers;
    size_t width = shape->width, rows = p->packing->rows;
    size_t ends = last ? p->packing->captions : rows;
    const void *dy = dmiddle_copy ? dmiddle_copy : dmiddle, *normed = b->normed;

    int status = linear_gradient(p, NC_OUT_WEIGHT, NC_OUT_BIAS, block, ends, width, width,
                                 b->attended, dy);
    if (status == NC_OK)
        status = linear_input(p, offsets->out_weight, ends, width, width, dy, tower->dnarrow);
    if (status != NC_OK)
        return status;
    struct nc_attention attention = nc_text_tower_attention(tower, p->packing, (size_t)block);
    attention.qkv = b->qkv;
    attention.out = b->attended;
    attention.lse = tower->lse[block];
    attention.dout = tower->dnarrow;
    attention.dqkv = tower->dwide;
    attention.scratch = tower->attention_scratch;
    attention.indexed = block + 2 < (int)shape->layers; /* the last block's is another */
    status = ops->attention_backward(ops->backend, &attention);
    if (status == NC_OK && wanted(p, NC_QUERY_WEIGHT, block))
        status = norm_again(p, rows, b->x, offsets->ln1_weight, offsets->ln1_bias, &normed);
    if (status == NC_OK)
        status = linear_gradient(p, NC_QUERY_WEIGHT, NC_QUERY_BIAS, block, rows, width, 3 * width,
                                 normed, tower->dwide);
    if (status == NC_OK)
        status = linear_input(p, offsets->qkv_weight, rows, width, 3 * width, tower->dwide,
                              tower->dnarrow);
    if (status == NC_OK && last) {
        status = ops->zero(ops->backend, tower->dx, rows * width * sizeof(float));
        struct nc_scatter scatter = {.count = ends, .width = width, .rows = rows,
                                     .row = tower->last_row, .dy = dmiddle, .dx = tower->dx};
        if (status == NC_OK)
            status = ops->scatter(ops->backend, &scatter);
    }
    if (status == NC_OK)
        status = norm_backward(p, rows, b->x, b->ln1_mean, b->ln1_rstd, offsets->ln1_weight,
                               NC_LN1_WEIGHT, NC_LN1_BIAS, block, tower->dnarrow, tower->dx, true,
                               tower->dx_copy);
    return status;
}

static int embedding_backward(const struct pass *p)
{
    struct nc_text_tower *tower = p->tower;
    struct nc_ops *ops = tower->ops;
    struct nc_embedding_backward embedding = {
        .rows = p->packing->rows, .width = tower->shape->text.width,
        .vocabulary = tower->shape->vocabulary, .context = tower->shape->context,
        .token = tower->token, .position = tower->position, .dx = tower->dx,
        .dtoken_table = gradient(p, NC_TOKEN_EMBEDDING, NC_NO_BLOCK),
        .dposition_table = gradient(p, NC_POSITION_EMBEDDING, NC_NO_BLOCK),
        .scratch = tower->scratch};
    return ops->embedding_backward(ops->backend, &embedding);
}

void nc_text_tower_watch_gradients(struct nc_text_tower *tower, nc_gradients_ready ready,
                                   void *context)
{
    tower->ready = ready;
    tower->ready_context = context;
}

/* Parameters lie in the buffer in the order of the forward pass. */
static int ready_from(const struct pass *p, enum nc_role role, int block)
{
    const struct nc_text_tower *tower = p->tower;
    return tower->ready
               ? tower->ready(tower->ready_context,
                              nc_parameter_offset(tower->table, NC_TOWER_TEXT, role, block))
               : NC_OK;
}

int nc_text_tower_backward(struct nc_text_tower *tower, const struct nc_weights *weights,
                           const struct nc_packing *packing, const float *dfeatures,
                           const bool *trainable, bool accumulate, float *gradients)
{
    struct pass p = {tower, weights, packing, trainable, accumulate, gradients};
    int layers = (int)tower->shape->text.layers, lowest = layers;
    bool embeddings = wanted(&p, NC_TOKEN_EMBEDDING, NC_NO_BLOCK) ||
                      wanted(&p, NC_POSITION_EMBEDDING, NC_NO_BLOCK);
    for (int block = layers - 1; block >= 0; block--)
        if (embeddings || block_trains(&p, block))
            lowest = block;

    int status = accumulate ? NC_OK : zero_added(&p);
    if (status == NC_OK)
        status = project_backward(&p, dfeatures);
    if (status == NC_OK)
        status = ready_from(&p, NC_FINAL_LN_WEIGHT, NC_NO_BLOCK);
    for (int block = layers - 1; block >= lowest && status == NC_OK; block--) {
        bool last = block + 1 == layers;
        size_t rows = last ? packing->captions : packing->rows;
        float *dx = last ? tower->dend : tower->dx;
        void *dx_copy = last ? tower->dend_copy : tower->dx_copy;
        status = mlp_backward(&p, block, rows, dx, dx_copy);
        if (status == NC_OK)
            status = attention_half_backward(&p, block, dx, dx_copy);
        if (status == NC_OK)
            status = ready_from(&p, NC_LN1_WEIGHT, block);
    }
    if (status == NC_OK && embeddings)
        status = embedding_backward(&p);
    return status == NC_OK ? ready_from(&p, NC_TOKEN_EMBEDDING, NC_NO_BLOCK) : status;
}
