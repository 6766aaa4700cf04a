/* Causal and full attention over packed captions, against padded captions one by one. */
#include "kernels.h"
#include "nclip/captions/packing.h"
#include "reference.h"

static const enum nc_type types[] = {NC_FLOAT32, NC_BFLOAT16};

struct shape {
    const char *name;
    size_t captions, heads, size;
    size_t lengths[8];
};

static const struct shape shapes[] = {
    {"one", 1, 1, 32, {1}},
    {"caption", 8, 3, 64, {13, 7, 1, 20, 9, 16, 17, 13}},
    {"context", 4, 2, 64, {77, 1, 77, 40}},
    {"odd40", 4, 2, 40, {13, 5, 32, 33}},
    {"odd80", 3, 2, 80, {13, 18, 77}},
    {"head128", 2, 1, 128, {5, 30}},
    {"long", 2, 1, 32, {130, 300}},
    {"tiles64", 5, 5, 64, {1, 16, 17, 77, 130}}, /* one, a tile and one more, heads in groups */
    {"tiles96", 4, 1, 96, {32, 33, 48, 49}},
    {"head8", 3, 2, 8, {16, 40, 3}},
};

/* A batch and its attention on a backend; everything in double beside it. */
struct batch {
    struct nc_packing packing;
    struct nc_attention a;
    bool full;                     /* no mask */
    size_t width, outputs;         /* outputs: rows of out */
    double *qkv, *dout;            /* [rows, 3, width], [outputs, width] */
    double *out, *lse, *dqkv;      /* references */
    float *guard;                  /* [GUARD] behind the scratch; NULL without one */
};

enum { GUARD = 1 << 14 };
static const float untouched = 12345;

/* Scratch of the size that is asked for, and behind it what nobody may write. */
static void make_scratch(struct nc_ops *ops, struct batch *b)
{
    size_t bytes = (ops->attention_scratch(ops->backend, &b->a) + 3) / 4 * 4;
    b->a.scratch = b->guard = NULL;
    if (!bytes)
        return;
    b->a.scratch = bytes_on_device(ops, bytes + GUARD * sizeof(float));
    b->guard = (float *)((char *)b->a.scratch + bytes);
    must(ops->fill(ops->backend, b->guard, untouched, GUARD));
}

static void assert_guard_untouched(struct nc_ops *ops, const struct batch *b)
{
    if (!b->guard)
        return;
    double *guard = from_device(ops, b->guard, GUARD, NC_FLOAT32);
    for (size_t i = 0; i < GUARD; i++)
        if (guard[i] != (double)untouched)
            fail_msg("%s: attention wrote %zu bytes behind its scratch", ops->name,
                     i * sizeof(float));
    free(guard);
}

static void pack(struct batch *b, const int32_t *tokens, const size_t *lengths, size_t captions,
                 bool share)
{
    b->full = false;
    must(nc_packing_create(captions, 1024, &b->packing));
    for (size_t c = 0; c < captions; tokens += lengths[c++])
        must(nc_packing_add(&b->packing, tokens, lengths[c], share));
}

/* Rows of a caption out of a packed matrix, and back (adding). */
static void pick(const struct batch *b, size_t caption, size_t part, double *to)
{
    size_t start = (size_t)b->packing.path_start[caption];
    for (size_t i = start; i < (size_t)b->packing.path_start[caption + 1]; i++)
        memcpy(to + (i - start) * b->width,
               b->qkv + ((size_t)b->packing.path[i] * 3 + part) * b->width, b->width * sizeof *to);
}

static void put_back(const struct batch *b, size_t caption, size_t part, const double *from)
{
    size_t start = (size_t)b->packing.path_start[caption];
    for (size_t i = start; i < (size_t)b->packing.path_start[caption + 1]; i++)
        for (size_t k = 0; k < b->width; k++)
            b->dqkv[((size_t)b->packing.path[i] * 3 + part) * b->width + k] +=
                from[(i - start) * b->width + k];
}

/* Every caption by itself; of a shared row the caption that brought it is the reference, and
 * only that one passes the row's gradient on. */
static void make_reference(struct batch *b)
{
    const struct nc_packing *p = &b->packing;
    size_t heads = b->a.heads, size = b->a.head_size, most = p->longest * b->width;
    double *q = zeros(most), *k = zeros(most), *v = zeros(most), *out = zeros(most);
    double *dout = zeros(most), *dq = zeros(most), *dk = zeros(most), *dv = zeros(most);
    double *lse = zeros(p->longest * heads);
    b->out = zeros(b->outputs * b->width);
    b->lse = zeros(b->outputs * heads);
    b->dqkv = zeros(p->rows * 3 * b->width);
    for (size_t c = 0; c < p->captions; c++) {
        size_t start = (size_t)p->path_start[c], tokens = (size_t)p->path_start[c + 1] - start;
        size_t own = (size_t)(p->row_start[c + 1] - p->row_start[c]);
        pick(b, c, 0, q);
        pick(b, c, 1, k);
        pick(b, c, 2, v);
        reference_attention(tokens, heads, size, !b->a.full, q, k, v, out, lse);
        memset(dout, 0, most * sizeof *dout);
        for (size_t i = b->a.last_only ? tokens - 1 : tokens - own; i < tokens; i++) {
            size_t row = b->a.last_only ? c : (size_t)p->path[start + i];
            memcpy(b->out + row * b->width, out + i * b->width, b->width * sizeof *out);
            memcpy(b->lse + row * heads, lse + i * heads, heads * sizeof *lse);
            memcpy(dout + i * b->width, b->dout + row * b->width, b->width * sizeof *dout);
        }
        memset(dq, 0, most * sizeof *dq);
        memset(dk, 0, most * sizeof *dk);
        memset(dv, 0, most * sizeof *dv);
        reference_attention_backward(tokens, heads, size, !b->a.full, q, k, v, dout, dq, dk, dv);
        put_back(b, c, 0, dq);
        put_back(b, c, 1, dk);
        put_back(b, c, 2, dv);
    }
    double *all[] = {q, k, v, out, dout, dq, dk, dv, lse};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static void open_batch(struct nc_ops *ops, struct batch *b, size_t heads, size_t size,
                       bool last_only, enum nc_type type)
{
    struct nc_packing *p = &b->packing;
    b->width = heads * size;
    b->outputs = last_only ? p->captions : p->rows;
    b->qkv = numbers(10, p->rows * 3 * b->width, 1.5, type);
    b->dout = numbers(11, b->outputs * b->width, 1, type);
    b->a = (struct nc_attention){
        .type = type, .rows = p->rows, .captions = p->captions, .longest = p->longest,
        .heads = heads, .head_size = size,
        .row_start = indices_on_device(ops, p->row_start, p->captions + 1),
        .path_start = indices_on_device(ops, p->path_start, p->captions + 1),
        .path = indices_on_device(ops, p->path, p->tokens),
        .repeated = p->repeated, .last_only = last_only, .full = b->full,
        .qkv = on_device(ops, b->qkv, p->rows * 3 * b->width, type),
        .out = on_device(ops, NULL, b->outputs * b->width, type),
        .lse = on_device(ops, NULL, b->outputs * heads, NC_FLOAT32),
        .dout = on_device(ops, b->dout, b->outputs * b->width, type),
        .dqkv = on_device(ops, NULL, p->rows * 3 * b->width, type)};
    make_scratch(ops, b);
    make_reference(b);
    must(ops->attention_forward(ops->backend, &b->a));
    must(ops->attention_backward(ops->backend, &b->a));
}

static void close_batch(struct batch *b)
{
    nc_packing_destroy(&b->packing);
    double *all[] = {b->qkv, b->dout, b->out, b->lse, b->dqkv};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

/* Against the reference, with a tolerance of our own where PyTorch has no such case. */
static void compare(struct nc_ops *ops, struct batch *b, const char *name)
{
    size_t count = b->packing.rows * 3 * b->width;
    assert_guard_untouched(ops, b);
    double *out = from_device(ops, b->a.out, b->outputs * b->width, b->a.type);
    double *lse = from_device(ops, b->a.lse, b->outputs * b->a.heads, NC_FLOAT32);
    double *dqkv = from_device(ops, b->a.dqkv, count, b->a.type);
    assert_close("lse", lse, b->lse, b->outputs * b->a.heads, 1e-6);
    if (name) {
        assert_as_torch("attention.out", name, b->a.type, out, b->out, b->outputs * b->width);
        assert_as_torch("attention.dqkv", name, b->a.type, dqkv, b->dqkv, count);
    } else {
        double tolerance = b->a.type == NC_FLOAT32 ? 2e-6 : 8e-3;
        assert_close("out", out, b->out, b->outputs * b->width, tolerance);
        assert_close("dqkv", dqkv, b->dqkv, count, tolerance);
    }
    free(out);
    free(lse);
    free(dqkv);
}

static void packed_equals_padded(void **state)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t t = 0; t < 2; t++) {
            struct batch b;
            int32_t tokens[1024];
            for (int32_t k = 0; k < 1024; k++)
                tokens[k] = k;
            pack(&b, tokens, shapes[i].lengths, shapes[i].captions, false);
            open_batch(*state, &b, shapes[i].heads, shapes[i].size, false, types[t]);
            /* A lone query's gradient is 0, and all that is left of it is rounding. */
            compare(*state, &b, i ? shapes[i].name : NULL);
            close_batch(&b);
        }
}

/* Prefixes, a caption that came before, one that ends inside of another, one beside all. */
static const int32_t shared_tokens[] = {
    1, 2, 3, 4, 9,   1, 2, 3, 9,   1, 2, 3, 4, 9,   1, 9,   1, 2, 3, 4, 5, 6, 7, 8, 9,
    1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 9,   5,   1, 2};
static const size_t shared_lengths[] = {5, 4, 5, 2, 9, 19, 1, 2};
enum { SHARED = sizeof shared_lengths / sizeof *shared_lengths };

static void shared_rows_get_all_captions_gradients(void **state)
{
    const size_t heads[] = {1, 2, 3, 12};
    for (size_t h = 0; h < 4; h++)
        for (size_t t = 0; t < 2; t++)
            for (int last_only = 0; last_only < 2; last_only++) {
                struct batch b;
                pack(&b, shared_tokens, shared_lengths, SHARED, true);
                assert_true(b.packing.rows < b.packing.tokens);
                open_batch(*state, &b, heads[h], 32, last_only, types[t]);
                compare(*state, &b, NULL);
                close_batch(&b);
            }
}

static void last_only_needs_no_shared_rows(void **state)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t t = 0; t < 2; t++) {
            struct batch b;
            int32_t tokens[1024];
            for (int32_t k = 0; k < 1024; k++)
                tokens[k] = k;
            pack(&b, tokens, shapes[i].lengths, shapes[i].captions, false);
            open_batch(*state, &b, shapes[i].heads, shapes[i].size, true, types[t]);
            compare(*state, &b, NULL);
            close_batch(&b);
        }
}

/* Every token sees all of its caption: also those behind it, in other tiles. */
static void full_equals_padded(void **state)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t t = 0; t < 2; t++)
            for (int last_only = 0; last_only < 2; last_only++) {
                struct batch b;
                int32_t tokens[1024];
                for (int32_t k = 0; k < 1024; k++)
                    tokens[k] = k;
                pack(&b, tokens, shapes[i].lengths, shapes[i].captions, false);
                b.full = true;
                open_batch(*state, &b, shapes[i].heads, shapes[i].size, last_only, types[t]);
                compare(*state, &b, NULL);
                close_batch(&b);
            }
}

/* Long captions that share a long prefix: tiles of shared keys. */
static void long_captions_share(void **state)
{
    for (int last_only = 0; last_only < 2; last_only++) {
        struct batch b;
        int32_t tokens[3 * 200];
        const size_t lengths[] = {200, 170, 200};
        for (int32_t k = 0; k < 600; k++)
            tokens[k] = k < 200 ? k : k < 370 ? (k - 200 < 150 ? k - 200 : k) : k - 370 < 140 ? k - 370 : k;
        pack(&b, tokens, lengths, 3, true);
        assert_int_equal(b.packing.rows, 200 + 20 + 60);
        open_batch(*state, &b, 2, 48, last_only, NC_FLOAT32);
        compare(*state, &b, NULL);
        close_batch(&b);
    }
}

/* Queries far from their keys: exponents that overflow without a running maximum. */
static void large_scores_are_safe(void **state)
{
    struct nc_ops *ops = *state;
    struct batch b;
    pack(&b, shared_tokens, shared_lengths, SHARED, false);
    open_batch(ops, &b, 2, 32, false, NC_FLOAT32);
    size_t count = b.packing.rows * 3 * b.width;
    double *large = numbers(12, count, 7, NC_FLOAT32); /* scores of up to 200 */
    b.a.qkv = on_device(ops, large, count, NC_FLOAT32);
    must(ops->attention_forward(ops->backend, &b.a));
    must(ops->attention_backward(ops->backend, &b.a));
    free(b.qkv);
    free(b.out);
    free(b.lse);
    free(b.dqkv);
    b.qkv = large;
    make_reference(&b);
    double *out = from_device(ops, b.a.out, b.outputs * b.width, NC_FLOAT32);
    double *dqkv = from_device(ops, b.a.dqkv, count, NC_FLOAT32);
    assert_close("out", out, b.out, b.outputs * b.width, 1e-4);
    assert_close("dqkv", dqkv, b.dqkv, count, 1e-4);
    free(out);
    free(dqkv);
    close_batch(&b);
}

/* More captions than any block looks at, of three words each way: long lists of shared rows,
 * captions that came before and captions that end inside of others. */
static void many_captions_share(void **state)
{
    enum { CAPTIONS = 600, MOST = 6 };
    for (size_t t = 0; t < 2; t++)
        for (int last_only = 0; last_only < 2; last_only++) {
            struct batch b;
            int32_t tokens[CAPTIONS * MOST], *at = tokens;
            size_t lengths[CAPTIONS];
            uint32_t random = 1;
            for (size_t c = 0; c < CAPTIONS; at += lengths[c++]) {
                lengths[c] = 1 + c % MOST;
                for (size_t i = 0; i < lengths[c]; i++) {
                    random = random * 1664525u + 1013904223u;
                    at[i] = i ? (int32_t)(random >> 24) % 3 : 7;
                }
            }
            b.full = false;
            must(nc_packing_create(CAPTIONS, CAPTIONS * MOST, &b.packing));
            at = tokens;
            for (size_t c = 0; c < CAPTIONS; at += lengths[c++])
                must(nc_packing_add(&b.packing, at, lengths[c], true));
            open_batch(*state, &b, 2, 8, last_only, types[t]);
            compare(*state, &b, NULL);
            close_batch(&b);
        }
}

/* Captions in pairs that differ in their last token: each repeated token makes a row shared, and
 * no row is shared more than once. No batch of as many rows and repeated tokens needs more. */
static void pairs_fill_the_scratch(void **state)
{
    enum { CAPTIONS = 40, TOKENS = 5 };
    int32_t tokens[CAPTIONS * TOKENS];
    size_t lengths[CAPTIONS];
    for (int32_t c = 0; c < CAPTIONS; c++) {
        lengths[c] = TOKENS;
        for (int32_t i = 0; i < TOKENS; i++)
            tokens[c * TOKENS + i] = i == TOKENS - 1 ? 100 + c : c / 2 * TOKENS + i;
    }
    for (size_t t = 0; t < 2; t++)
        for (int last_only = 0; last_only < 2; last_only++) {
            struct batch b;
            pack(&b, tokens, lengths, CAPTIONS, true);
            assert_int_equal(b.packing.repeated, CAPTIONS / 2 * (TOKENS - 1));
            open_batch(*state, &b, 2, 16, last_only, types[t]);
            compare(*state, &b, NULL);
            close_batch(&b);
        }
}

/* Two captions have all but their last token in common, behind many that share nothing: shared rows
 * at the depth of many tokens, and scratch for few. */
static void few_share_deep_rows(void **state)
{
    enum { CAPTIONS = 20, TOKENS = 8 };
    int32_t tokens[CAPTIONS * TOKENS];
    size_t lengths[CAPTIONS];
    for (int32_t c = 0; c < CAPTIONS; c++) {
        int32_t begins = c == CAPTIONS - 1 ? c - 1 : c;
        lengths[c] = TOKENS;
        for (int32_t i = 0; i < TOKENS; i++)
            tokens[c * TOKENS + i] = (i == TOKENS - 1 ? c : begins) * TOKENS + i;
    }
    for (size_t t = 0; t < 2; t++)
        for (int last_only = 0; last_only < 2; last_only++) {
            struct batch b;
            pack(&b, tokens, lengths, CAPTIONS, true);
            assert_int_equal(b.packing.repeated, TOKENS - 1);
            open_batch(*state, &b, 2, 16, last_only, types[t]);
            compare(*state, &b, NULL);
            close_batch(&b);
        }
}

/* A batch padded to a larger one: the rows behind its captions have no gradient. */
static void rows_on_no_path_get_zeros(void **state)
{
    enum { PADDING = 37 };
    struct nc_ops *ops = *state;
    for (size_t t = 0; t < 2; t++)
        for (int share = 0; share < 2; share++)
            for (int last_only = 0; last_only < 2; last_only++) {
                struct batch b;
                pack(&b, shared_tokens, shared_lengths, SHARED, share);
                open_batch(ops, &b, 3, 16, last_only, types[t]);
                size_t width = b.width, rows = b.packing.rows + PADDING;
                size_t first = b.packing.rows * 3 * width, count = rows * 3 * width;
                size_t outputs = last_only ? b.outputs : rows;
                double *qkv = numbers(10, count, 1.5, types[t]);
                double *dout = numbers(11, outputs * width, 1, types[t]);
                b.a.rows = rows;
                b.a.qkv = on_device(ops, qkv, count, types[t]);
                b.a.dout = on_device(ops, dout, outputs * width, types[t]);
                b.a.out = on_device(ops, NULL, outputs * width, types[t]);
                b.a.lse = on_device(ops, NULL, outputs * b.a.heads, NC_FLOAT32);
                b.a.dqkv = on_device(ops, NULL, count, types[t]);
                make_scratch(ops, &b);
                must(ops->attention_forward(ops->backend, &b.a));
                must(ops->attention_backward(ops->backend, &b.a));
                compare(ops, &b, NULL); /* the captions' rows are as before */
                double *dqkv = from_device(ops, b.a.dqkv, count, types[t]);
                for (size_t i = first; i < count; i++)
                    assert_true(dqkv[i] == 0);
                free(dqkv);
                free(dout);
                free(qkv);
                close_batch(&b);
            }
}

/* No bit depends on who comes first: the emulated backend runs threads in another order each
 * time. */
static void runs_give_the_same_bits(void **state)
{
    struct nc_ops *ops = *state;
    for (size_t t = 0; t < 2; t++)
        for (int last_only = 0; last_only < 2; last_only++) {
            struct batch b;
            pack(&b, shared_tokens, shared_lengths, SHARED, true);
            open_batch(ops, &b, 3, 32, last_only, types[t]);
            size_t count = b.packing.rows * 3 * b.width;
            double *once = from_device(ops, b.a.dqkv, count, types[t]);
            for (int again = 0; again < 2; again++) {
                b.a.dqkv = on_device(ops, NULL, count, types[t]);
                must(ops->attention_forward(ops->backend, &b.a));
                must(ops->attention_backward(ops->backend, &b.a));
                double *twice = from_device(ops, b.a.dqkv, count, types[t]);
                assert_memory_equal(once, twice, count * sizeof *once);
                free(twice);
            }
            free(once);
            close_batch(&b);
        }
}

/* What is planned for the largest batch holds every smaller one, shared or not. */
static void scratch_grows_with_the_batch(void **state)
{
    struct nc_ops *ops = *state;
    struct nc_attention large = {.type = NC_BFLOAT16, .rows = 500, .captions = 64, .longest = 77,
                                 .heads = 12, .head_size = 64, .repeated = 300};
    size_t planned = ops->attention_scratch(ops->backend, &large);
    for (int i = 0; i < 16; i++) {
        struct nc_attention small = large;
        small.rows = i & 1 ? 400 : 500;
        small.captions = i & 2 ? 50 : 64;
        small.longest = i & 4 ? 20 : 77;
        small.repeated = i & 8 ? (i & 4 ? 30 : 300) : 0;
        small.last_only = i % 3 == 0;
        assert_true(ops->attention_scratch(ops->backend, &small) <= planned);
    }
}

struct differentiated {
    size_t tokens, heads, size;
    bool causal;
    const double *dout;
};

static double loss(const double *x, void *context)
{
    const struct differentiated *d = context;
    size_t count = d->tokens * d->heads * d->size;
    double *out = zeros(count), sum = 0;
    reference_attention(d->tokens, d->heads, d->size, d->causal, x, x + count, x + 2 * count, out,
                        NULL);
    for (size_t i = 0; i < count; i++)
        sum += out[i] * d->dout[i];
    free(out);
    return sum;
}

static void reference_agrees_with_differences(void **state)
{
    (void)state;
    for (int causal = 0; causal < 2; causal++) {
        struct differentiated d = {7, 2, 5, causal, NULL};
        size_t count = d.tokens * d.heads * d.size;
        double *x = numbers(13, 3 * count, 1, NC_FLOAT32), *dout = numbers(14, count, 1, NC_FLOAT32);
        double *gradient = zeros(3 * count);
        d.dout = dout;
        reference_attention_backward(d.tokens, d.heads, d.size, causal, x, x + count, x + 2 * count,
                                     dout, gradient, gradient + count, gradient + 2 * count);
        assert_true(difference_error(loss, &d, x, gradient, 3 * count) < 1e-8);
        free(x);
        free(dout);
        free(gradient);
    }
}

static void unsupported_heads_are_named(void **state)
{
    struct nc_ops *ops = *state;
    int32_t zero[] = {0, 0};
    struct nc_attention a = {.type = NC_FLOAT32, .heads = 2, .head_size = 1000,
                             .row_start = indices_on_device(ops, zero, 2),
                             .path_start = indices_on_device(ops, zero, 2)};
    assert_int_equal(ops->attention_forward(ops->backend, &a), NC_FAILED);
    assert_non_null(strstr(nc_error_message(), "attention_forward"));
    assert_non_null(strstr(nc_error_message(), "1000"));
}

static void heads_are_refused_by_size(void **state)
{
    struct nc_ops *ops = *state;
    for (size_t size = 8; size <= 128; size += 8)
        must(ops->attention_supported(ops->backend, NC_FLOAT32, 2, size));
    assert_int_equal(ops->attention_supported(ops->backend, NC_FLOAT32, 2, 136), NC_FAILED);
    assert_non_null(strstr(nc_error_message(), "2 heads of size 136 are not supported"));
    assert_int_equal(ops->attention_supported(ops->backend, NC_FLOAT32, 0, 64), NC_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_agrees_with_differences),
        cmocka_unit_test(packed_equals_padded),
        cmocka_unit_test(full_equals_padded),
        cmocka_unit_test(shared_rows_get_all_captions_gradients),
        cmocka_unit_test(last_only_needs_no_shared_rows),
        cmocka_unit_test(long_captions_share),
        cmocka_unit_test(many_captions_share),
        cmocka_unit_test(pairs_fill_the_scratch),
        cmocka_unit_test(few_share_deep_rows),
        cmocka_unit_test(rows_on_no_path_get_zeros),
        cmocka_unit_test(runs_give_the_same_bits),
        cmocka_unit_test(scratch_grows_with_the_batch),
        cmocka_unit_test(large_scores_are_safe),
        cmocka_unit_test(unsupported_heads_are_named),
        cmocka_unit_test(heads_are_refused_by_size),
    };
    return RUN_ON_ALL_BACKENDS(tests);
}
