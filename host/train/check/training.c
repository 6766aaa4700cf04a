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

/* a captions, a tower of c blocks of width b. */
void check_training(struct check_world *w, const struct check_case *c)
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
    check_call(w, ops->synchronize(ops->backend));
    check_put_out(w, features, c->a * EMBEDDING, NC_FLOAT32);
    for (size_t i = 0; w->status == NC_OK && i < table.count; i++)
        if (trainable[i])
            check_put_out(w, gradients + table.rows[i].offset, table.rows[i].count, NC_FLOAT32);
    nc_text_tower_destroy(tower);
    nc_arena_destroy(arena);
    nc_parameter_table_destroy(&table);
    nc_packing_destroy(&p);
    free(trainable);
}
