/* The operations' cases: ragged shapes first (one token, 77 tokens, a batch that is no multiple of
 * any tile, the last entry of a table), then those of ViT-L/14's text tower. */
#include "cases.h"

#include "nclip/support/error.h"

#include <math.h>
#include <stdlib.h>

/* ---- Products ------------------------------------------------------------------------------ */

static void linear(struct check_world *w, const struct check_case *c)
{
    struct nc_ops *ops = w->ops;
    size_t rows = c->a, in = c->b, out = c->c;
    struct nc_linear l = {.type = w->type, .rows = rows, .in = in, .out = out,
                          .x = check_numbers(w, rows * in, w->type, 1),
                          .weight = check_numbers(w, out * in, w->type, 0.1),
                          .bias = check_numbers(w, out, NC_FLOAT32, 1),
                          .y = check_memory(w, rows * out, w->type), .y_type = w->type};
    struct nc_linear added = l, activated = l;
    added.residual = check_numbers(w, rows * out, NC_FLOAT32, 1);
    added.y = check_memory(w, rows * out, NC_FLOAT32);
    added.y_type = NC_FLOAT32;
    activated.activate = true;
    activated.activation = NC_GELU;
    activated.y = check_memory(w, rows * out, w->type);
    const struct nc_linear *all[] = {&l, &added, &activated};
    for (size_t i = 0; i < 3 && w->status == NC_OK; i++) {
        check_call(w, ops->linear(ops->backend, all[i]));
        check_put_out(w, all[i]->y, rows * out, all[i]->y_type);
    }
}

static void linear_backward(struct check_world *w, const struct check_case *c)
{
    struct nc_ops *ops = w->ops;
    size_t rows = c->a, in = c->b, out = c->c;
    struct nc_linear_backward_input input = {
        .type = w->type, .rows = rows, .in = in, .out = out,
        .dy = check_numbers(w, rows * out, w->type, 1),
        .weight = check_numbers(w, out * in, w->type, 0.1),
        .dx = check_memory(w, rows * in, w->type)};
    struct nc_linear_backward_weight weight = {
        .type = w->type, .rows = rows, .in = in, .out = out,
        .x = check_numbers(w, rows * in, w->type, 1), .dy = input.dy,
        .dweight = check_memory(w, out * in, NC_FLOAT32),
        .dbias = check_memory(w, out, NC_FLOAT32)};
    if (w->status == NC_OK)
        check_call(w, ops->linear_backward_input(ops->backend, &input));
    for (int again = 0; again < 2 && w->status == NC_OK; again++) {
        weight.accumulate = again;
        check_call(w, ops->linear_backward_weight(ops->backend, &weight));
    }
    check_put_out(w, input.dx, rows * in, w->type);
    check_put_out(w, weight.dweight, out * in, NC_FLOAT32);
    check_put_out(w, weight.dbias, out, NC_FLOAT32);
}

/* ---- Attention ------------------------------------------------------------------------------ */

/* a captions, from 1 to b tokens, which share beginnings where c is odd; c / 2 heads of 64. */
static void attention(struct check_world *w, const struct check_case *c)
{
    struct nc_ops *ops = w->ops;
    size_t captions = c->a, heads = c->c / 2, width = heads * 64;
    struct nc_packing p = {0};
    int32_t tokens[128] = {0};
    check_call(w, nc_packing_create(captions, captions * c->b, &p));
    for (size_t i = 0; i < captions && w->status == NC_OK; i++) {
        size_t length = i + 1 == captions ? c->b : 1 + i * 7 % c->b;
        for (size_t k = 0; k < length; k++)
            tokens[k] = (int32_t)(k < 4 ? k : 10 + i);
        check_call(w, nc_packing_add(&p, tokens, length, c->c % 2));
    }
    for (int last_only = 0; last_only < 2 && w->status == NC_OK; last_only++) {
        size_t outputs = last_only ? p.captions : p.rows;
        struct nc_attention a = {
            .type = w->type, .rows = p.rows, .captions = p.captions, .longest = p.longest,
            .heads = heads, .head_size = 64, .repeated = p.repeated, .last_only = last_only,
            .row_start = check_upload(w, p.row_start, (captions + 1) * sizeof(int32_t)),
            .path_start = check_upload(w, p.path_start, (captions + 1) * sizeof(int32_t)),
            .path = check_upload(w, p.path, p.tokens * sizeof(int32_t)),
            .qkv = check_numbers(w, p.rows * 3 * width, w->type, 2),
            .out = check_memory(w, outputs * width, w->type),
            .lse = check_memory(w, outputs * heads, NC_FLOAT32),
            .dout = check_numbers(w, outputs * width, w->type, 1),
            .dqkv = check_memory(w, p.rows * 3 * width, w->type)};
        size_t scratch = ops->attention_scratch(ops->backend, &a);
        a.scratch = check_memory(w, (scratch + 3) / 4, NC_FLOAT32);
        if (w->status == NC_OK)
            check_call(w, ops->attention_forward(ops->backend, &a));
        if (w->status == NC_OK)
            check_call(w, ops->attention_backward(ops->backend, &a));
        check_put_out(w, a.out, outputs * width, w->type);
        check_put_out(w, a.lse, outputs * heads, NC_FLOAT32);
        check_put_out(w, a.dqkv, p.rows * 3 * width, w->type);
    }
    nc_packing_destroy(&p);
}

static void attention_full(struct check_world *w, const struct check_case *c)
{
    struct nc_ops *ops = w->ops;
    size_t rows = c->a * c->b, width = c->c * 64;
    struct nc_attention_full a = {.type = w->type, .pictures = c->a, .tokens = c->b, .heads = c->c,
                                  .head_size = 64,
                                  .qkv = check_numbers(w, rows * 3 * width, w->type, 2),
                                  .out = check_memory(w, rows * width, w->type)};
    if (w->status == NC_OK)
        check_call(w, ops->attention_full(ops->backend, &a));
    check_put_out(w, a.out, rows * width, w->type);
}

/* ---- Norms, activations, rows --------------------------------------------------------------- */

static void layernorm(struct check_world *w, const struct check_case *c)
{
    struct nc_ops *ops = w->ops;
    size_t rows = c->a, width = c->b, count = rows * width;
    struct nc_layernorm n = {.rows = rows, .width = width,
                             .x = check_numbers(w, count, NC_FLOAT32, 2),
                             .residual = check_numbers(w, count, NC_FLOAT32, 1),
                             .sum = check_memory(w, count, NC_FLOAT32),
                             .weight = check_numbers(w, width, NC_FLOAT32, 1),
                             .bias = check_numbers(w, width, NC_FLOAT32, 1), .epsilon = 1e-5f,
                             .y_type = w->type, .y = check_memory(w, count, w->type),
                             .mean = check_memory(w, rows, NC_FLOAT32),
                             .rstd = check_memory(w, rows, NC_FLOAT32)};
    if (w->status == NC_OK)
        check_call(w, ops->layernorm_forward(ops->backend, &n));
    size_t scratch = ops->layernorm_scratch(ops->backend, rows, width);
    struct nc_layernorm_backward b = {
        .rows = rows, .width = width, .x = n.sum, .mean = n.mean, .rstd = n.rstd,
        .weight = n.weight, .dy_type = w->type, .dy = check_numbers(w, count, w->type, 1),
        .dx = check_numbers(w, count, NC_FLOAT32, 1), .accumulate = true,
        .dx_copy = check_memory(w, count, NC_BFLOAT16), .overwrite = true,
        .dweight = check_memory(w, width, NC_FLOAT32), .dbias = check_memory(w, width, NC_FLOAT32),
        .scratch = check_memory(w, (scratch + 3) / 4, NC_FLOAT32)};
    if (w->status == NC_OK)
        check_call(w, ops->layernorm_backward(ops->backend, &b));
    check_put_out(w, n.y, count, w->type);
    check_put_out(w, b.dx, count, NC_FLOAT32);
    check_put_out(w, b.dweight, width, NC_FLOAT32);
    check_put_out(w, b.dbias, width, NC_FLOAT32);
}

static void activation(struct check_world *w, const struct check_case *c)
{
    struct nc_ops *ops = w->ops;
    size_t count = c->a * c->b;
    for (enum nc_activation kind = NC_QUICK_GELU; kind <= NC_GELU; kind++) {
        struct nc_activation_forward f = {.activation = kind, .type = w->type, .rows = c->a,
                                          .width = c->b,
                                          .x = check_numbers(w, count, w->type, 4),
                                          .y = check_memory(w, count, w->type)};
        struct nc_activation_backward b = {.activation = kind, .type = w->type, .rows = c->a,
                                           .width = c->b, .x = f.x,
                                           .dy = check_numbers(w, count, w->type, 1),
                                           .dx = check_memory(w, count, w->type),
                                           .y = check_memory(w, count, w->type)};
        if (w->status == NC_OK)
            check_call(w, ops->activation_forward(ops->backend, &f));
        if (w->status == NC_OK)
            check_call(w, ops->activation_backward(ops->backend, &b));
        check_put_out(w, f.y, count, w->type);
        check_put_out(w, b.dx, count, w->type);
        check_put_out(w, b.y, count, w->type);
    }
}

/* a rows of b columns, a table of c entries; half of all rows are of one entry. */
static void embedding(struct check_world *w, const struct check_case *c)
{
    struct nc_ops *ops = w->ops;
    size_t rows = c->a, width = c->b, entries = c->c;
    int32_t *token = malloc(rows * sizeof *token), *position = malloc(rows * sizeof *position);
    if (!token || !position)
        check_call(w, nc_error(NC_FAILED, "check: no memory"));
    for (size_t r = 0; token && position && r < rows; r++) {
        token[r] = (int32_t)(r % 2 ? entries - 1 : r * 7919 % entries);
        position[r] = (int32_t)(r % 77);
    }
    struct nc_embedding e = {
        .rows = rows, .width = width, .vocabulary = entries, .context = 77,
        .token = check_upload(w, token, rows * sizeof *token),
        .position = check_upload(w, position, rows * sizeof *position),
        .token_table = check_numbers(w, entries * width, NC_FLOAT32, 1),
        .position_table = check_numbers(w, 77 * width, NC_FLOAT32, 1),
        .x = check_memory(w, rows * width, NC_FLOAT32)};
    size_t scratch = ops->embedding_scratch(ops->backend, rows);
    struct nc_embedding_backward b = {
        .rows = rows, .width = width, .vocabulary = entries, .context = 77, .token = e.token,
        .position = e.position, .dx = e.x,
        .dtoken_table = check_filled(w, entries * width, 0),
        .dposition_table = check_filled(w, 77 * width, 0),
        .scratch = check_memory(w, (scratch + 3) / 4, NC_FLOAT32)};
    if (w->status == NC_OK)
        check_call(w, ops->embedding_forward(ops->backend, &e));
    if (w->status == NC_OK)
        check_call(w, ops->embedding_backward(ops->backend, &b));
    check_put_out(w, e.x, rows * width, NC_FLOAT32);
    check_put_out(w, b.dtoken_table, entries * width, NC_FLOAT32);
    check_put_out(w, b.dposition_table, 77 * width, NC_FLOAT32);
    free(token);
    free(position);
}

static void rows(struct check_world *w, const struct check_case *c)
{
    struct nc_ops *ops = w->ops;
    size_t count = c->a, width = c->b, all = 2 * count;
    int32_t *row = malloc(count * sizeof *row);
    if (!row)
        check_call(w, nc_error(NC_FAILED, "check: no memory"));
    for (size_t i = 0; row && i < count; i++)
        row[i] = (int32_t)(i % 5 ? i * 2 : all - 1); /* some repeat */
    struct nc_gather g = {.count = count, .width = width, .rows = all,
                          .row = check_upload(w, row, count * sizeof *row),
                          .x = check_numbers(w, all * width, NC_FLOAT32, 1),
                          .y = check_memory(w, count * width, NC_FLOAT32)};
    struct nc_scatter s = {.count = count, .width = width, .rows = all, .row = g.row, .dy = g.y,
                           .dx = check_filled(w, all * width, 1)};
    struct nc_normalize n = {.rows = count, .width = width, .x = g.y,
                             .y = check_memory(w, count * width, NC_FLOAT32),
                             .inverse_norm = check_memory(w, count, NC_FLOAT32)};
    struct nc_normalize_backward b = {.rows = count, .width = width, .y = n.y,
                                      .inverse_norm = n.inverse_norm,
                                      .dy = check_numbers(w, count * width, NC_FLOAT32, 1),
                                      .dx_type = w->type,
                                      .dx = check_memory(w, count * width, w->type)};
    if (w->status == NC_OK)
        check_call(w, ops->gather(ops->backend, &g));
    if (w->status == NC_OK)
        check_call(w, ops->scatter(ops->backend, &s));
    if (w->status == NC_OK)
        check_call(w, ops->normalize_forward(ops->backend, &n));
    if (w->status == NC_OK)
        check_call(w, ops->normalize_backward(ops->backend, &b));
    check_put_out(w, g.y, count * width, NC_FLOAT32);
    check_put_out(w, s.dx, all * width, NC_FLOAT32);
    check_put_out(w, n.y, count * width, NC_FLOAT32);
    check_put_out(w, b.dx, count * width, w->type);
    free(row);
}

/* ---- Loss and optimizer --------------------------------------------------------------------- */

/* a pairs of b columns, with c contradictions. */
static void infonce(struct check_world *w, const struct check_case *c)
{
    struct nc_ops *ops = w->ops;
    size_t pairs = c->a, width = c->b, extras = c->c;
    double size = sqrt(3.0 / (double)width); /* rows of length 1 or so */
    int32_t *place = calloc(extras + 1, sizeof *place);
    if (!place)
        check_call(w, nc_error(NC_FAILED, "check: no memory"));
    for (size_t e = 0; place && e < extras; e++)
        place[e] = (int32_t)(e * 3 % pairs);
    struct nc_infonce n = {
        .type = w->type, .captions = pairs, .images = pairs, .width = width, .total = pairs,
        .text = check_numbers(w, pairs * width, w->type, size),
        .image = check_numbers(w, pairs * width, w->type, size),
        .logit_scale = check_filled(w, 1, 2.5f), .extras = extras,
        .extra = extras ? check_numbers(w, extras * width, w->type, size) : NULL,
        .extra_image = check_upload(w, place, (extras + 1) * sizeof *place),
        .row_max = check_filled(w, pairs, -INFINITY), .row_log = check_filled(w, pairs, -INFINITY),
        .column_max = check_filled(w, pairs, -INFINITY),
        .column_log = check_filled(w, pairs, -INFINITY),
        .positive = check_memory(w, pairs, NC_FLOAT32), .dtext = check_filled(w, pairs * width, 0),
        .dextra = check_filled(w, (extras + 1) * width, 0), .dlogit_scale = check_filled(w, 1, 0)};
    size_t scratch = ops->infonce_scratch(ops->backend, &n);
    n.scratch = check_memory(w, (scratch + 3) / 4, NC_FLOAT32);
    struct nc_infonce_loss loss = {.pairs = pairs, .total = pairs, .row_max = n.row_max,
                                   .row_log = n.row_log, .column_max = n.column_max,
                                   .column_log = n.column_log, .positive = n.positive,
                                   .loss = check_filled(w, 1, 0)};
    if (w->status == NC_OK)
        check_call(w, ops->infonce_forward(ops->backend, &n));
    if (w->status == NC_OK)
        check_call(w, ops->infonce_loss(ops->backend, &loss));
    if (w->status == NC_OK)
        check_call(w, ops->infonce_backward(ops->backend, &n));
    check_put_out(w, loss.loss, 1, NC_FLOAT32);
    check_put_out(w, n.dlogit_scale, 1, NC_FLOAT32);
    check_put_out(w, n.dtext, pairs * width, NC_FLOAT32);
    if (extras)
        check_put_out(w, n.dextra, extras * width, NC_FLOAT32);
    free(place);
}

/* a captions of b columns, with c contradictions; the last picture has no caption here. */
static void sigmoid(struct check_world *w, const struct check_case *c)
{
    struct nc_ops *ops = w->ops;
    size_t captions = c->a, images = captions + 1, width = c->b, extras = c->c;
    double size = sqrt(3.0 / (double)width); /* rows of length 1 or so */
    int32_t *place = calloc(extras + 1, sizeof *place);
    if (!place)
        check_call(w, nc_error(NC_FAILED, "check: no memory"));
    for (size_t e = 0; place && e < extras; e++)
        place[e] = (int32_t)(e * 3 % images);
    struct nc_sigmoid n = {
        .type = w->type, .captions = captions, .images = images, .width = width, .total = captions,
        .text = check_numbers(w, captions * width, w->type, size),
        .image = check_numbers(w, images * width, w->type, size),
        .logit_scale = check_filled(w, 1, 2.5f), .logit_bias = check_filled(w, 1, -10),
        .extras = extras,
        .extra = extras ? check_numbers(w, extras * width, w->type, size) : NULL,
        .extra_image = check_upload(w, place, (extras + 1) * sizeof *place),
        .loss = check_filled(w, 1, 0), .dtext = check_filled(w, captions * width, 0),
        .dextra = check_filled(w, (extras + 1) * width, 0), .dlogit_scale = check_filled(w, 1, 0),
        .dlogit_bias = check_filled(w, 1, 0)};
    size_t scratch = ops->sigmoid_scratch(ops->backend, &n);
    n.scratch = check_memory(w, (scratch + 3) / 4, NC_FLOAT32);
    if (w->status == NC_OK)
        check_call(w, ops->sigmoid(ops->backend, &n));
    check_put_out(w, n.loss, 1, NC_FLOAT32);
    check_put_out(w, n.dlogit_scale, 1, NC_FLOAT32);
    check_put_out(w, n.dlogit_bias, 1, NC_FLOAT32);
    check_put_out(w, n.dtext, captions * width, NC_FLOAT32);
    if (extras)
        check_put_out(w, n.dextra, extras * width, NC_FLOAT32);
    free(place);
}

static void adamw(struct check_world *w, const struct check_case *c)
{
    struct nc_ops *ops = w->ops;
    size_t count = c->a;
    const struct nc_adamw_pace pace = {1e-3, 0.1, 0.001};
    const double zero = 0;
    double *sum = check_upload(w, &zero, sizeof zero);
    struct nc_adamw a = {
        .count = count, .parameter = check_numbers(w, count, NC_FLOAT32, 1),
        .gradient = check_numbers(w, count, NC_FLOAT32, 0.1),
        .first = check_numbers(w, count, NC_FLOAT32, 0.1), .second = check_filled(w, count, 0.01f),
        .shadow = check_memory(w, count, NC_BFLOAT16), .beta1 = 0.9, .beta2 = 0.999,
        .epsilon = 1e-8, .weight_decay = 0.01, .pace = check_upload(w, &pace, sizeof pace),
        .gradient_factor = check_filled(w, 1, 1)};
    struct nc_clipping clip = {.squared_norm = sum, .limit = 1,
                               .factor = (float *)a.gradient_factor};
    if (w->status == NC_OK)
        check_call(w, ops->squared_norm(ops->backend, a.gradient, count, sum));
    if (w->status == NC_OK)
        check_call(w, ops->clip(ops->backend, &clip));
    if (w->status == NC_OK)
        check_call(w, ops->adamw(ops->backend, &a));
    check_put_out(w, clip.factor, 1, NC_FLOAT32);
    check_put_out(w, a.parameter, count, NC_FLOAT32);
    check_put_out(w, a.first, count, NC_FLOAT32);
    check_put_out(w, a.second, count, NC_FLOAT32);
}

static void rmsprop(struct check_world *w, const struct check_case *c)
{
    struct nc_ops *ops = w->ops;
    size_t count = c->a;
    const double rate = 1e-3;
    struct nc_rmsprop r = {
        .count = count, .parameter = check_numbers(w, count, NC_FLOAT32, 1),
        .gradient = check_numbers(w, count, NC_FLOAT32, 0.1),
        .second = check_filled(w, count, 0.01f), .shadow = check_memory(w, count, NC_BFLOAT16),
        .alpha = 0.99, .epsilon = 1e-8, .weight_decay = 0.01,
        .learning_rate = check_upload(w, &rate, sizeof rate),
        .gradient_factor = check_filled(w, 1, 0.5f)};
    if (w->status == NC_OK)
        check_call(w, ops->rmsprop(ops->backend, &r));
    check_put_out(w, r.parameter, count, NC_FLOAT32);
    check_put_out(w, r.second, count, NC_FLOAT32);
}

static void sgd(struct check_world *w, const struct check_case *c)
{
    struct nc_ops *ops = w->ops;
    size_t count = c->a;
    const double rate = 1e-2;
    struct nc_sgd s = {
        .count = count, .parameter = check_numbers(w, count, NC_FLOAT32, 1),
        .gradient = check_numbers(w, count, NC_FLOAT32, 0.1),
        .first = check_numbers(w, count, NC_FLOAT32, 0.1),
        .shadow = check_memory(w, count, NC_BFLOAT16), .momentum = 0.9, .weight_decay = 0.01,
        .learning_rate = check_upload(w, &rate, sizeof rate),
        .gradient_factor = check_filled(w, 1, 0.5f)};
    if (w->status == NC_OK)
        check_call(w, ops->sgd(ops->backend, &s));
    check_put_out(w, s.parameter, count, NC_FLOAT32);
    check_put_out(w, s.first, count, NC_FLOAT32);
}

/* ---- The list ------------------------------------------------------------------------------- */

const struct check_case check_cases[] = {
    {"linear", "1 row, 64 to 32", false, false, 1, 64, 32, linear},
    {"linear", "33 rows, 96 to 50", false, false, 33, 96, 50, linear},
    {"linear", "22 rows, 2048 to 512", false, false, 22, 2048, 512, linear},
    {"linear", "6912 rows, 768 to 3072", false, true, 6912, 768, 3072, linear},
    {"linear_backward", "1 row, 64 to 32", false, false, 1, 64, 32, linear_backward},
    {"linear_backward", "33 rows, 96 to 50", false, false, 33, 96, 50, linear_backward},
    {"linear_backward", "6912 rows, 768 to 3072", false, true, 6912, 768, 3072, linear_backward},
    {"attention", "5 captions of 1 to 16 tokens", false, false, 5, 16, 4, attention},
    {"attention", "7 captions of 1 to 77 tokens", false, false, 7, 77, 4, attention},
    {"attention", "7 that share beginnings", false, false, 7, 77, 5, attention},
    {"attention", "512 captions, 12 heads", false, true, 512, 77, 25, attention},
    {"attention_full", "2 pictures of 50", false, false, 2, 50, 2, attention_full},
    {"attention_full", "8 pictures of 257", false, true, 8, 257, 16, attention_full},
    {"layernorm", "1 row of 40", false, false, 1, 40, 0, layernorm},
    {"layernorm", "77 rows of 512", false, false, 77, 512, 0, layernorm},
    {"layernorm", "6912 rows of 768", false, true, 6912, 768, 0, layernorm},
    {"activation", "3 rows of 37", false, false, 3, 37, 0, activation},
    {"activation", "6912 rows of 3072", false, true, 6912, 3072, 0, activation},
    {"embedding", "1 row of 32", true, false, 1, 32, 1, embedding},
    {"embedding", "333 rows of 100", true, false, 333, 100, 40, embedding},
    {"embedding", "6912 rows of 768", true, true, 6912, 768, 49408, embedding},
    {"rows", "11 rows of 40", false, false, 11, 40, 0, rows},
    {"rows", "512 rows of 768", false, true, 512, 768, 0, rows},
    {"infonce", "3 pairs of 64", false, false, 3, 64, 1, infonce},
    {"infonce", "131 pairs of 96", false, false, 131, 96, 7, infonce},
    {"infonce", "2048 pairs of 768", false, true, 2048, 768, 33, infonce},
    {"sigmoid", "3 captions of 64", false, false, 3, 64, 1, sigmoid},
    {"sigmoid", "131 captions of 96", false, false, 131, 96, 7, sigmoid},
    {"sigmoid", "2048 captions of 768", false, true, 2048, 768, 33, sigmoid},
    {"adamw", "1003 parameters", true, false, 1003, 0, 0, adamw},
    {"adamw", "4 million parameters", true, true, 4000001, 0, 0, adamw},
    {"rmsprop", "1003 parameters", true, false, 1003, 0, 0, rmsprop},
    {"rmsprop", "4 million parameters", true, true, 4000001, 0, 0, rmsprop},
    {"sgd", "1003 parameters", true, false, 1003, 0, 0, sgd},
    {"sgd", "4 million parameters", true, true, 4000001, 0, 0, sgd},
    {"training", "2 blocks of 128, 9 captions", false, false, 9, 128, 2, check_training},
    {"training step", "2 blocks of 128, 9 captions", false, false, 9, 128, 2, check_training_step},
};
const size_t check_case_count = sizeof check_cases / sizeof *check_cases;
