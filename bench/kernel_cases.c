/* Builds the cases of nclip-bench kernels: their inputs, their calls, and the bytes and flops that
 * they need. */
#include "kernel_cases.h"

#include "kernel_inputs.h"
#include "nclip/support/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- The shapes ------------------------------------------------------------------------ */

static const struct shape {
    const char *name;
    size_t width, heads;                              /* text tower */
    size_t vision_width, vision_heads, vision_tokens; /* vision tower */
    size_t parameters;                                /* of the text tower */
} shapes[] = {
#ifdef NCLIP_REHEARSAL /* what a processor that plays the GPU can do, to rehearse */
    {"tiny", 128, 2, 64, 1, 10, 20000},
#else
    {"ViT-B/32", 512, 8, 768, 12, 50, 63428097},
    {"ViT-B/16", 512, 8, 768, 12, 197, 63428097},
    {"ViT-L/14", 768, 12, 1024, 16, 257, 123650305},
#endif
};

enum { CONTEXT = 77, PICTURES = 64, VOCABULARY = 49408 };
static const struct {
    size_t count;
    const char *name;
} pair_counts[] = {
#ifdef NCLIP_REHEARSAL
    {64, "B=64 D=768"},
#else
    {512, "B=512 D=768"},
    {8192, "B=8192 D=768"},
    {65536, "B=65536 D=768"},
    {1048576, "B=1048576 D=768"},
#endif
};
static const float epsilon = 1e-5f;

/* A case being made; its state. */
struct work {
    struct kernel_inputs in;
    const struct shape *shape;
    size_t rows, pairs, parameters;
    union {
        struct nc_attention attention;
        struct nc_attention_full full;
        struct nc_layernorm norm;
        struct nc_layernorm_backward norm_backward;
        struct nc_activation_forward activation;
        struct nc_activation_backward activation_backward;
        struct nc_embedding embedding;
        struct nc_embedding_backward embedding_backward;
        struct nc_adamw adamw;
        struct nc_rmsprop rmsprop;
        struct nc_sgd sgd;
        struct nc_infonce infonce;
        struct nc_sigmoid sigmoid;
        struct nc_linear linear;
        struct nc_linear_backward_input linear_input;
        struct nc_linear_backward_weight linear_weight;
        struct {
            const float *data;
            size_t count;
            double *sum;
        } norm_of;
    } op;
};

#define BF16 NC_BFLOAT16

/* ---- Attention -------------------------------------------------------------------------- */

/* A query sees itself and what stands before it. */
static double causal_pairs(const struct nc_packing *p)
{
    double pairs = 0;
    for (size_t i = 0; i < p->captions; i++) {
        double tokens = p->path_start[i + 1] - p->path_start[i];
        pairs += tokens * (tokens + 1) / 2;
    }
    return pairs;
}

static void make_attention(struct work *w, struct kernel_case *c, bool backward)
{
    struct kernel_inputs *in = &w->in;
    const struct nc_packing *p = &in->packing;
    size_t width = w->shape->width, heads = w->shape->heads;
    struct nc_attention *a = &w->op.attention;
    *a = (struct nc_attention){
        .type = BF16, .rows = p->rows, .captions = p->captions, .longest = p->longest,
        .repeated = p->repeated, .heads = heads, .head_size = width / heads,
        .row_start = kernel_upload(in, p->row_start, (p->captions + 1) * sizeof(int32_t)),
        .path_start = kernel_upload(in, p->path_start, (p->captions + 1) * sizeof(int32_t)),
        .path = kernel_upload(in, p->path, p->tokens * sizeof(int32_t)),
        .qkv = kernel_numbers(in, p->rows * 3 * width, BF16, 1),
        .out = kernel_memory(in, p->rows * width * 2),
        .lse = kernel_memory(in, p->rows * heads * sizeof(float))};
    double pairs = causal_pairs(p) * (double)width, row = (double)p->rows * (double)width * 2;
    c->bytes = 4 * row; /* query, key, value; what was attended */
    c->flops = 4 * pairs;
    if (!backward)
        return;
    a->dout = kernel_numbers(in, p->rows * width, BF16, 1);
    a->dqkv = kernel_memory(in, p->rows * 3 * width * 2);
    a->scratch = kernel_memory(in, in->ops->attention_scratch(in->ops->backend, a));
    c->bytes += 7 * row; /* qkv and dout; dqkv */
    c->flops += 10 * pairs;
}

static int attend(struct nc_ops *ops, struct kernel_case *c)
{
    struct work *w = c->state;
    return ops->attention_forward(ops->backend, &w->op.attention);
}

static int attend_and_back(struct nc_ops *ops, struct kernel_case *c)
{
    struct work *w = c->state;
    int status = attend(ops, c);
    return status == NC_OK ? ops->attention_backward(ops->backend, &w->op.attention) : status;
}

static void attention_forward(struct work *w, struct kernel_case *c)
{
    make_attention(w, c, false);
    c->run = attend;
}

static void attention_both(struct work *w, struct kernel_case *c)
{
    make_attention(w, c, true);
    c->run = attend_and_back;
}

static int attend_full(struct nc_ops *ops, struct kernel_case *c)
{
    struct work *w = c->state;
    return ops->attention_full(ops->backend, &w->op.full);
}

static void attention_full(struct work *w, struct kernel_case *c)
{
    const struct shape *s = w->shape;
    size_t rows = PICTURES * s->vision_tokens, width = s->vision_width;
    w->op.full = (struct nc_attention_full){
        .type = BF16, .pictures = PICTURES, .tokens = s->vision_tokens, .heads = s->vision_heads,
        .head_size = width / s->vision_heads,
        .qkv = kernel_numbers(&w->in, rows * 3 * width, BF16, 1),
        .out = kernel_memory(&w->in, rows * width * 2)};
    c->bytes = 8.0 * (double)rows * (double)width;
    c->flops = 4.0 * (double)rows * (double)s->vision_tokens * (double)width;
    c->ceiling = CEILING_MATRIX;
    c->run = attend_full;
}

/* ---- What memory decides ------------------------------------------------------------------ */

static int normalize(struct nc_ops *ops, struct kernel_case *c)
{
    struct work *w = c->state;
    return ops->layernorm_forward(ops->backend, &w->op.norm);
}

static void layernorm_forward(struct work *w, struct kernel_case *c)
{
    size_t rows = w->rows, width = w->shape->width;
    w->op.norm = (struct nc_layernorm){
        .rows = rows, .width = width, .x = kernel_numbers(&w->in, rows * width, NC_FLOAT32, 2),
        .weight = kernel_numbers(&w->in, width, NC_FLOAT32, 1),
        .bias = kernel_numbers(&w->in, width, NC_FLOAT32, 1), .epsilon = epsilon, .y_type = BF16,
        .y = kernel_memory(&w->in, rows * width * 2),
        .mean = kernel_memory(&w->in, rows * sizeof(float)),
        .rstd = kernel_memory(&w->in, rows * sizeof(float))};
    c->bytes = (double)rows * ((double)width * 6 + 8);
    c->flops = 8.0 * (double)rows * (double)width;
    c->run = normalize;
}

static int normalize_back(struct nc_ops *ops, struct kernel_case *c)
{
    struct work *w = c->state;
    return ops->layernorm_backward(ops->backend, &w->op.norm_backward);
}

static void layernorm_backward(struct work *w, struct kernel_case *c)
{
    size_t rows = w->rows, width = w->shape->width;
    layernorm_forward(w, c);
    struct nc_layernorm forward = w->op.norm;
    if (w->in.status == NC_OK)
        w->in.status = normalize(w->in.ops, c);
    w->op.norm_backward = (struct nc_layernorm_backward){
        .rows = rows, .width = width, .x = forward.x, .mean = forward.mean, .rstd = forward.rstd,
        .weight = forward.weight, .dy_type = BF16,
        .dy = kernel_numbers(&w->in, rows * width, BF16, 1),
        .dx = kernel_filled(&w->in, rows * width, 0), .accumulate = true,
        .dx_copy = kernel_memory(&w->in, rows * width * 2),
        .dweight = kernel_filled(&w->in, width, 0), .dbias = kernel_filled(&w->in, width, 0),
        .scratch = kernel_memory(&w->in, w->in.ops->layernorm_scratch(w->in.ops->backend, rows, width))};
    c->bytes = (double)rows * ((double)width * 16 + 8); /* x, dy; dx read and written, and in bf16 */
    c->flops = 15.0 * (double)rows * (double)width;
    c->run = normalize_back;
}

static int activate(struct nc_ops *ops, struct kernel_case *c)
{
    struct work *w = c->state;
    return ops->activation_forward(ops->backend, &w->op.activation);
}

static void activation_forward(struct work *w, struct kernel_case *c)
{
    size_t width = 4 * w->shape->width, count = w->rows * width;
    w->op.activation = (struct nc_activation_forward){
        NC_QUICK_GELU, BF16, w->rows, width, kernel_numbers(&w->in, count, BF16, 3),
        kernel_memory(&w->in, count * 2)};
    c->bytes = 4.0 * (double)count;
    c->run = activate;
}

static int activate_back(struct nc_ops *ops, struct kernel_case *c)
{
    struct work *w = c->state;
    return ops->activation_backward(ops->backend, &w->op.activation_backward);
}

static void activation_backward(struct work *w, struct kernel_case *c)
{
    size_t width = 4 * w->shape->width, count = w->rows * width;
    w->op.activation_backward = (struct nc_activation_backward){
        NC_QUICK_GELU, BF16, w->rows, width, kernel_numbers(&w->in, count, BF16, 3),
        kernel_numbers(&w->in, count, BF16, 1), kernel_memory(&w->in, count * 2),
        kernel_memory(&w->in, count * 2)};
    c->bytes = 8.0 * (double)count;
    c->run = activate_back;
}

static int embed(struct nc_ops *ops, struct kernel_case *c)
{
    struct work *w = c->state;
    return ops->embedding_forward(ops->backend, &w->op.embedding);
}

static void embedding_forward(struct work *w, struct kernel_case *c)
{
    struct kernel_inputs *in = &w->in;
    size_t width = w->shape->width;
    w->op.embedding = (struct nc_embedding){
        .rows = w->rows, .width = width, .vocabulary = VOCABULARY, .context = CONTEXT,
        .token = kernel_upload(in, in->packing.token, w->rows * sizeof(int32_t)),
        .position = kernel_upload(in, in->packing.position, w->rows * sizeof(int32_t)),
        .token_table = kernel_numbers(in, VOCABULARY * width, NC_FLOAT32, 0.05f),
        .position_table = kernel_numbers(in, CONTEXT * width, NC_FLOAT32, 0.05f),
        .x = kernel_memory(in, w->rows * width * sizeof(float))};
    c->bytes = 8.0 * (double)w->rows * (double)width;
    c->run = embed;
}

static int embed_back(struct nc_ops *ops, struct kernel_case *c)
{
    struct work *w = c->state;
    return ops->embedding_backward(ops->backend, &w->op.embedding_backward);
}

static void embedding_backward(struct work *w, struct kernel_case *c)
{
    struct kernel_inputs *in = &w->in;
    size_t width = w->shape->width;
    w->op.embedding_backward = (struct nc_embedding_backward){
        .rows = w->rows, .width = width, .vocabulary = VOCABULARY, .context = CONTEXT,
        .token = kernel_upload(in, in->packing.token, w->rows * sizeof(int32_t)),
        .position = kernel_upload(in, in->packing.position, w->rows * sizeof(int32_t)),
        .dx = kernel_numbers(in, w->rows * width, NC_FLOAT32, 1),
        .dtoken_table = kernel_filled(in, VOCABULARY * width, 0),
        .dposition_table = kernel_filled(in, CONTEXT * width, 0),
        .scratch = kernel_memory(in, in->ops->embedding_scratch(in->ops->backend, w->rows))};
    c->bytes = 12.0 * (double)w->rows * (double)width; /* the gradient; an entry read and written */
    c->run = embed_back;
}

static int update(struct nc_ops *ops, struct kernel_case *c)
{
    struct work *w = c->state;
    return ops->adamw(ops->backend, &w->op.adamw);
}

static void adamw(struct work *w, struct kernel_case *c)
{
    struct kernel_inputs *in = &w->in;
    size_t count = w->parameters;
    const struct nc_adamw_pace pace = {1e-6, 0.1, 0.001};
    w->op.adamw = (struct nc_adamw){
        .count = count, .parameter = kernel_numbers(in, count, NC_FLOAT32, 0.05f),
        .gradient = kernel_numbers(in, count, NC_FLOAT32, 0.01f),
        .first = kernel_filled(in, count, 0.001f), .second = kernel_filled(in, count, 0.0001f),
        .shadow = kernel_memory(in, count * 2), .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8,
        .weight_decay = 0.01, .pace = kernel_upload(in, &pace, sizeof pace),
        .gradient_factor = kernel_filled(in, 1, 1)};
    c->bytes = 30.0 * (double)count;
    c->run = update;
}

static int update_rmsprop(struct nc_ops *ops, struct kernel_case *c)
{
    struct work *w = c->state;
    return ops->rmsprop(ops->backend, &w->op.rmsprop);
}

static void rmsprop(struct work *w, struct kernel_case *c)
{
    struct kernel_inputs *in = &w->in;
    size_t count = w->parameters;
    const double rate = 1e-6;
    w->op.rmsprop = (struct nc_rmsprop){
        .count = count, .parameter = kernel_numbers(in, count, NC_FLOAT32, 0.05f),
        .gradient = kernel_numbers(in, count, NC_FLOAT32, 0.01f),
        .second = kernel_filled(in, count, 0.0001f), .shadow = kernel_memory(in, count * 2),
        .alpha = 0.99, .epsilon = 1e-8, .learning_rate = kernel_upload(in, &rate, sizeof rate),
        .gradient_factor = kernel_filled(in, 1, 1)};
    c->bytes = 22.0 * (double)count;
    c->run = update_rmsprop;
}

static int update_sgd(struct nc_ops *ops, struct kernel_case *c)
{
    struct work *w = c->state;
    return ops->sgd(ops->backend, &w->op.sgd);
}

static void sgd(struct work *w, struct kernel_case *c)
{
    struct kernel_inputs *in = &w->in;
    size_t count = w->parameters;
    const double rate = 1e-6;
    w->op.sgd = (struct nc_sgd){
        .count = count, .parameter = kernel_numbers(in, count, NC_FLOAT32, 0.05f),
        .gradient = kernel_numbers(in, count, NC_FLOAT32, 0.01f),
        .first = kernel_filled(in, count, 0.001f), .shadow = kernel_memory(in, count * 2),
        .momentum = 0.9, .learning_rate = kernel_upload(in, &rate, sizeof rate),
        .gradient_factor = kernel_filled(in, 1, 1)};
    c->bytes = 22.0 * (double)count;
    c->run = update_sgd;
}

static int sum_squares(struct nc_ops *ops, struct kernel_case *c)
{
    struct work *w = c->state;
    return ops->squared_norm(ops->backend, w->op.norm_of.data, w->op.norm_of.count, w->op.norm_of.sum);
}

static void squared_norm(struct work *w, struct kernel_case *c)
{
    const double zero = 0;
    w->op.norm_of.count = w->parameters;
    w->op.norm_of.data = kernel_numbers(&w->in, w->parameters, NC_FLOAT32, 0.01f);
    w->op.norm_of.sum = kernel_upload(&w->in, &zero, sizeof zero);
    c->bytes = 4.0 * (double)w->parameters;
    c->run = sum_squares;
}

/* ---- What products decide ------------------------------------------------------------------ */

static int multiply(struct nc_ops *ops, struct kernel_case *c)
{
    struct work *w = c->state;
    return ops->linear(ops->backend, &w->op.linear);
}

static void linear(struct work *w, struct kernel_case *c)
{
    size_t rows = w->rows, in = w->shape->width, out = 4 * in;
    w->op.linear = (struct nc_linear){
        .type = BF16, .rows = rows, .in = in, .out = out,
        .x = kernel_numbers(&w->in, rows * in, BF16, 1),
        .weight = kernel_numbers(&w->in, out * in, BF16, 0.05f),
        .bias = kernel_numbers(&w->in, out, NC_FLOAT32, 1),
        .y = kernel_memory(&w->in, rows * out * 2), .y_type = BF16};
    c->bytes = 2.0 * ((double)(rows * in) + (double)(in * out) + (double)(rows * out));
    c->flops = 2.0 * (double)rows * (double)in * (double)out;
    c->ceiling = CEILING_MATRIX;
    c->run = multiply;
}

static int multiply_back(struct nc_ops *ops, struct kernel_case *c)
{
    struct work *w = c->state;
    return ops->linear_backward_input(ops->backend, &w->op.linear_input);
}

static void linear_backward_input(struct work *w, struct kernel_case *c)
{
    size_t rows = w->rows, in = w->shape->width, out = 4 * in;
    w->op.linear_input = (struct nc_linear_backward_input){
        .type = BF16, .rows = rows, .in = in, .out = out,
        .dy = kernel_numbers(&w->in, rows * out, BF16, 1),
        .weight = kernel_numbers(&w->in, out * in, BF16, 0.05f),
        .dx = kernel_memory(&w->in, rows * in * 2)};
    c->bytes = 2.0 * ((double)(rows * in) + (double)(in * out) + (double)(rows * out));
    c->flops = 2.0 * (double)rows * (double)in * (double)out;
    c->ceiling = CEILING_MATRIX;
    c->run = multiply_back;
}

static int multiply_weight(struct nc_ops *ops, struct kernel_case *c)
{
    struct work *w = c->state;
    return ops->linear_backward_weight(ops->backend, &w->op.linear_weight);
}

static void linear_backward_weight(struct work *w, struct kernel_case *c)
{
    size_t rows = w->rows, in = w->shape->width, out = 4 * in;
    w->op.linear_weight = (struct nc_linear_backward_weight){
        .type = BF16, .rows = rows, .in = in, .out = out,
        .x = kernel_numbers(&w->in, rows * in, BF16, 1),
        .dy = kernel_numbers(&w->in, rows * out, BF16, 1),
        .dweight = kernel_memory(&w->in, out * in * sizeof(float)),
        .dbias = kernel_memory(&w->in, out * sizeof(float))};
    c->bytes = 2.0 * ((double)(rows * in) + (double)(rows * out)) + 4.0 * (double)(in * out);
    c->flops = 2.0 * (double)rows * (double)in * (double)out;
    c->ceiling = CEILING_MATRIX;
    c->run = multiply_weight;
}

static int contrast(struct nc_ops *ops, struct kernel_case *c)
{
    struct work *w = c->state;
    const struct nc_infonce *n = &w->op.infonce;
    float *running[] = {n->row_max, n->row_log, n->column_max, n->column_log};
    int status = NC_OK;
    for (size_t i = 0; i < 4 && status == NC_OK; i++)
        status = ops->fill(ops->backend, running[i], -INFINITY, w->pairs);
    if (status == NC_OK)
        status = ops->infonce_forward(ops->backend, n);
    return status == NC_OK ? ops->infonce_backward(ops->backend, n) : status;
}

static void infonce(struct work *w, struct kernel_case *c)
{
    struct kernel_inputs *in = &w->in;
    size_t pairs = w->pairs, width = 768;
    struct nc_infonce *n = &w->op.infonce;
    *n = (struct nc_infonce){
        .type = BF16, .captions = pairs, .images = pairs, .width = width, .total = pairs,
        .text = kernel_unit_rows(in, pairs, width, BF16),
        .image = kernel_unit_rows(in, pairs, width, BF16),
        .logit_scale = kernel_filled(in, 1, 4.6f), .row_max = kernel_filled(in, pairs, 0),
        .row_log = kernel_filled(in, pairs, 0), .column_max = kernel_filled(in, pairs, 0),
        .column_log = kernel_filled(in, pairs, 0), .positive = kernel_filled(in, pairs, 0),
        .dtext = kernel_filled(in, pairs * width, 0), .dlogit_scale = kernel_filled(in, 1, 0)};
    n->scratch = kernel_memory(in, in->ops->infonce_scratch(in->ops->backend, n));
    c->bytes = (double)pairs * (double)width * (2 * 2 + 2 * 4);
    c->flops = 6.0 * (double)pairs * (double)pairs * (double)width;
    c->ceiling = CEILING_MATRIX;
    c->run = contrast;
}

static int question(struct nc_ops *ops, struct kernel_case *c)
{
    struct work *w = c->state;
    return ops->sigmoid(ops->backend, &w->op.sigmoid);
}

static void sigmoid(struct work *w, struct kernel_case *c)
{
    struct kernel_inputs *in = &w->in;
    size_t pairs = w->pairs, width = 768;
    struct nc_sigmoid *n = &w->op.sigmoid;
    *n = (struct nc_sigmoid){
        .type = BF16, .captions = pairs, .images = pairs, .width = width, .total = pairs,
        .text = kernel_unit_rows(in, pairs, width, BF16),
        .image = kernel_unit_rows(in, pairs, width, BF16),
        .logit_scale = kernel_filled(in, 1, 4.6f), .logit_bias = kernel_filled(in, 1, -10),
        .loss = kernel_filled(in, 1, 0), .dtext = kernel_filled(in, pairs * width, 0),
        .dlogit_scale = kernel_filled(in, 1, 0), .dlogit_bias = kernel_filled(in, 1, 0)};
    n->scratch = kernel_memory(in, in->ops->sigmoid_scratch(in->ops->backend, n));
    c->bytes = (double)pairs * (double)width * (2 * 2 + 2 * 4);
    c->flops = 4.0 * (double)pairs * (double)pairs * (double)width;
    c->ceiling = CEILING_MATRIX;
    c->run = question;
}

/* ---- The list ------------------------------------------------------------------------------ */

enum axis { AXIS_LENGTHS, AXIS_SHAPE, AXIS_PAIRS }; /* shapes and lengths; shapes; pairs */

static const struct {
    const char *name;
    enum axis axis;
    void (*make)(struct work *w, struct kernel_case *c);
} operations[] = {
    {"attention_forward", AXIS_LENGTHS, attention_forward},
    {"attention_both", AXIS_LENGTHS, attention_both},
    {"attention_full", AXIS_SHAPE, attention_full},
    {"layernorm_forward", AXIS_LENGTHS, layernorm_forward},
    {"layernorm_backward", AXIS_LENGTHS, layernorm_backward},
    {"activation_forward", AXIS_LENGTHS, activation_forward},
    {"activation_backward", AXIS_LENGTHS, activation_backward},
    {"embedding_forward", AXIS_LENGTHS, embedding_forward},
    {"embedding_backward", AXIS_LENGTHS, embedding_backward},
    {"linear", AXIS_LENGTHS, linear},
    {"linear_backward_input", AXIS_LENGTHS, linear_backward_input},
    {"linear_backward_weight", AXIS_LENGTHS, linear_backward_weight},
    {"adamw", AXIS_SHAPE, adamw},
    {"rmsprop", AXIS_SHAPE, rmsprop},
    {"sgd", AXIS_SHAPE, sgd},
    {"squared_norm", AXIS_SHAPE, squared_norm},
    {"infonce", AXIS_PAIRS, infonce},
    {"sigmoid", AXIS_PAIRS, sigmoid},
};
enum {
    OPERATIONS = sizeof operations / sizeof *operations,
    SHAPES = sizeof shapes / sizeof *shapes,
    PAIRS = sizeof pair_counts / sizeof *pair_counts,
    VARIANTS = 2 * SHAPES, /* of an operation at most; PAIRS is not more */
};
_Static_assert(PAIRS <= (int)VARIANTS, "an index names an operation and one of its variants");

const char *kernel_operation(size_t i)
{
    return i < OPERATIONS ? operations[i].name : NULL;
}

/* The variant's place in the list, or false where there is none or the choice leaves it out. */
static bool select_variant(const struct kernel_choice *choice, size_t operation, size_t variant,
                           struct work *w, struct kernel_case *c)
{
    enum axis axis = operations[operation].axis;
    c->operation = operations[operation].name;
    if (choice->operation && strcmp(choice->operation, c->operation) != 0)
        return false;
    if (axis == AXIS_PAIRS) {
        w->pairs = variant < PAIRS ? pair_counts[variant].count : SIZE_MAX;
        c->shape = variant < PAIRS ? pair_counts[variant].name : "";
        return w->pairs <= choice->most_pairs &&
               (!choice->shape || strcmp(choice->shape, c->shape) == 0);
    }
    w->shape = &shapes[variant % SHAPES];
    c->shape = w->shape->name;
    c->lengths = axis == AXIS_LENGTHS ? (variant < SHAPES ? "real" : "77") : NULL;
    return (axis == AXIS_LENGTHS || variant < SHAPES) &&
           (!choice->shape || strcmp(choice->shape, c->shape) == 0);
}

int kernel_case_open(struct nc_ops *ops, const struct kernel_choice *choice, size_t *index,
                     struct kernel_case *c)
{
    struct work *w = calloc(1, sizeof *w);
    *c = (struct kernel_case){.state = w};
    if (!w)
        return nc_error(NC_FAILED, "bench: no memory");
    while (*index < OPERATIONS * (size_t)VARIANTS) {
        size_t operation = *index / VARIANTS, variant = (*index)++ % VARIANTS;
        if (!select_variant(choice, operation, variant, w, c))
            continue;
        kernel_inputs_open(&w->in, ops);
        if (c->lengths)
            kernel_pack(&w->in, choice->captions, strcmp(c->lengths, "real") == 0 ? 0 : CONTEXT);
        w->rows = w->in.packing.rows;
        w->parameters = choice->parameters || !w->shape ? choice->parameters : w->shape->parameters;
        operations[operation].make(w, c);
        int status = w->in.status;
        if (status != NC_OK)
            kernel_case_close(ops, c);
        return status;
    }
    kernel_case_close(ops, c);
    return NC_OK;
}

void kernel_case_close(struct nc_ops *ops, struct kernel_case *c)
{
    struct work *w = c->state;
    (void)ops;
    if (w) {
        if (w->in.ops)
            kernel_inputs_close(&w->in);
        free(w);
    }
    c->state = NULL;
    c->run = NULL;
}
