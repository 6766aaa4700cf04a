/* A text tower's features and every one of its gradients. */
#include "cases.h"

#include "nclip/arena.h"
#include "nclip/model/towers.h"
#include "nclip/support/error.h"

#include <stdlib.h>

enum { VOCABULARY = 500, CONTEXT = 77, EMBEDDING = 64 };

static void pack(struct check_world *w, size_t captions, struct nc_packing *p)
{
    int32_t tokens[CONTEXT];
    check_call(w, nc_packing_create(captions, captions * CONTEXT, p));
    for (size_t i = 0; i < captions && w->status == NC_OK; i++) {
        size_t length = i + 1 == captions ? CONTEXT : 2 + i * 5 % 30;
        for (size_t k = 0; k < length; k++)
            tokens[k] = (int32_t)(k + 1 == length ? VOCABULARY - 1
                                  : k             ? (i * 31 + k * 7) % 400
                                                  : 401);
        check_call(w, nc_packing_add(p, tokens, length, true));
    }
}

/* Clips the gradients to a norm of 1 and takes a step with them. Epsilon is far above what is left
 * of them, so that a step is about proportional to its gradient: where it is nothing but rounding,
 * the sign of it would decide about a step's direction. */
static void update(struct check_world *w, float *master, nc_bfloat16 *shadow,
                   const float *gradients, size_t count)
{
    struct nc_ops *ops = w->ops;
    const struct nc_adamw_pace pace = {1, 1 - 0.9, 1 - 0.999}; /* the first step's */
    const double zero = 0;
    double *sum = check_upload(w, &zero, sizeof zero);
    float *factor = check_filled(w, 1, 1);
    struct nc_clipping clip = {.squared_norm = sum, .limit = 1, .factor = factor};
    struct nc_adamw a = {.count = count,
                         .parameter = master,
                         .gradient = gradients,
                         .first = check_filled(w, count, 0),
                         .second = check_filled(w, count, 0),
                         .shadow = shadow,
                         .beta1 = 0.9,
                         .beta2 = 0.999,
                         .epsilon = 0.1,
                         .weight_decay = 0.01,
                         .pace = check_upload(w, &pace, sizeof pace),
                         .gradient_factor = factor};
    if (w->status == NC_OK)
        check_call(w, ops->squared_norm(ops->backend, gradients, count, sum));
    if (w->status == NC_OK)
        check_call(w, ops->clip(ops->backend, &clip));
    if (w->status == NC_OK)
        check_call(w, ops->adamw(ops->backend, &a));
    check_put_out(w, factor, 1, NC_FLOAT32);
}

/* a captions, a tower of c blocks of width b; its features and gradients, or, with a step, its
 * parameters. */
static void train(struct check_world *w, const struct check_case *c, bool step)
{
    struct nc_ops *ops = w->ops;
    const struct nc_model_shape shape = {
        .text = {.width = c->b, .layers = c->c, .heads = c->b / 64, .mlp = 4 * c->b,
                 .activation = NC_QUICK_GELU, .epsilon = 1e-5f},
        .vision = {.width = 64, .layers = 1, .heads = 1, .mlp = 64, .epsilon = 1e-5f}, /* unused */
        .embedding = EMBEDDING, .vocabulary = VOCABULARY, .context = CONTEXT,
        .end_rule = NC_END_ARGMAX, .end_token = VOCABULARY - 1, .image_size = 32, .patch_size = 32,
        .channels = 3, .logit_scale_initial = 2.6592f};
    struct nc_parameter_table table = {0};
    struct nc_text_tower *tower = NULL;
    struct nc_arena *arena = NULL;
    struct nc_packing p = {0};
    bool *trainable = NULL;
    pack(w, c->a, &p);
    struct nc_text_capacity capacity = {p.captions, p.rows, p.tokens, p.repeated, true, true};
    if (w->status == NC_OK)
        check_call(w, nc_parameter_table_create(&shape, &table));
    if (w->status == NC_OK)
        check_call(w, nc_arena_create(&arena));
    if (w->status == NC_OK)
        check_call(w, nc_text_tower_create(ops, &shape, &table, w->type, &capacity, arena, &tower));
    if (w->status == NC_OK)
        check_call(w, nc_arena_commit(arena, ops));
    size_t count = table.tower_elements[NC_TOWER_TEXT];
    float *master = check_numbers(w, count, NC_FLOAT32, 0.1);
    nc_bfloat16 *shadow = check_memory(w, count, NC_BFLOAT16);
    float *gradients = check_filled(w, count, 0);
    float *features = check_memory(w, c->a * EMBEDDING, NC_FLOAT32);
    float *dfeatures = check_numbers(w, c->a * EMBEDDING, NC_FLOAT32, 1);
    struct nc_weights weights = {master, w->type == NC_FLOAT32 ? NULL : shadow};
    trainable = calloc(table.count + 1, sizeof *trainable);
    if (!trainable)
        check_call(w, nc_error(NC_FAILED, "check: no memory"));
    for (size_t i = 0; trainable && i < table.count; i++)
        trainable[i] = table.rows[i].tower == NC_TOWER_TEXT;
    if (w->status == NC_OK)
        check_call(w, ops->convert(ops->backend, shadow, NC_BFLOAT16, master, NC_FLOAT32, count));
    if (w->status == NC_OK)
        check_call(w, nc_text_tower_load(tower, &p, NULL));
    if (w->status == NC_OK)
        check_call(w, nc_text_tower_forward(tower, &weights, &p, true, false, features));
    if (w->status == NC_OK)
        check_call(w, nc_text_tower_backward(tower, &weights, &p, dfeatures, trainable, false,
                                             gradients));
    if (step)
        update(w, master, shadow, gradients, count);
    else
        check_put_out(w, features, c->a * EMBEDDING, NC_FLOAT32);
    check_call(w, ops->synchronize(ops->backend));
    const float *results = step ? master : gradients;
    for (size_t i = 0; w->status == NC_OK && i < table.count; i++)
        if (trainable[i])
            check_put_out(w, results + table.rows[i].offset, table.rows[i].count, NC_FLOAT32);
    nc_text_tower_destroy(tower);
    nc_arena_destroy(arena);
    nc_parameter_table_destroy(&table);
    nc_packing_destroy(&p);
    free(trainable);
}

void check_training(struct check_world *w, const struct check_case *c)
{
    train(w, c, false);
}

void check_training_step(struct check_world *w, const struct check_case *c)
{
    train(w, c, true);
}
