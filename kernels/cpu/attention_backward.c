/* Causal or full attention over a packed batch, backward (Dao 2023, FlashAttention-2, algorithm 2).
 *
 *     p  = exp(q k^T scale - lse)              the probabilities, once more
 *     dv = p^T dout         dp = dout v^T
 *     ds = p (dp - delta)                      delta = sum over keys of p dp = dout . out
 *     dq = scale ds k       dk = scale ds^T q
 *
 * Bytes a row: 7 width T (qkv and dout read, dqkv written; out too where a caption is longer
 * than a tile). Flops: 10 head_size for each pair of a query and a key it sees.
 *
 * A row that lies on one path only belongs to its caption, whose gradients are written
 * straight away. Rows that captions share get a sum in fp32 each, to which the captions add
 * in order; the sums are written at the end. */
#include "attention.h"

#include "nclip/support/error.h"
#include "vector_math.h"

#include <math.h>

/* One thread's tiles; d = nc_round_up(head_size), n = nc_round_up(queries of the tile). */
struct tiles {
    float *query, *queries;        /* [n, d] scaled, [d, n] */
    float *dout, *douts;           /* [n, d], [d, n] */
    float *key, *value;            /* [keys, d] */
    float *dquery, *dkey, *dvalue; /* [n, d], [keys, d] */
    float *p, *ds;                 /* [keys, n]; p holds scores first, ds holds dp */
    float *lse, *delta;            /* [n] */
};

static struct tiles lay_out(float **at, size_t n, size_t keys, size_t d)
{
    struct tiles t;
    t.query = nc_take_tile(at, n, d);
    t.queries = nc_take_tile(at, d, n);
    t.dout = nc_take_tile(at, n, d);
    t.douts = nc_take_tile(at, d, n);
    t.key = nc_take_tile(at, keys, d);
    t.value = nc_take_tile(at, keys, d);
    t.dquery = nc_take_tile(at, n, d);
    t.dkey = nc_take_tile(at, keys, d);
    t.dvalue = nc_take_tile(at, keys, d);
    t.p = nc_take_tile(at, keys, n);
    t.ds = nc_take_tile(at, keys, n);
    t.lse = nc_take_tile(at, 1, n);
    t.delta = nc_take_tile(at, 1, n);
    return t;
}

/* What lay_out takes at most; the forward pass takes less. */
size_t nc_cpu_attention_workspace(void)
{
    enum { PADDING = 13 * 32 };
    size_t heads = 9 * (size_t)NC_QUERY_TILE * NC_MOST_HEAD_SIZE;
    size_t scores = 2 * (size_t)NC_KEY_TILE * NC_QUERY_TILE + 2 * NC_QUERY_TILE;
    return (heads + scores + PADDING) * sizeof(float);
}

/* ---- Where gradients go --------------------------------------------------------------- */

/* Sums of shared rows: [groups, shared, 3, heads, d] behind the rows' numbers. Captions are
 * cut into groups, each with sums of its own, where there are too few heads to keep the
 * threads busy; how many depends on the heads alone. */
struct sums {
    int32_t *number; /* [rows] of a shared row among them, or NOT_SHARED; NULL: no row is shared */
    float *data;
    size_t shared, groups;
};

enum { NOT_SHARED = -1, CAPTIONS_TOGETHER = 8, ENOUGH_HEADS = 6 };

static size_t groups_of(const struct nc_attention *a)
{
    if (!a->repeated)
        return (a->captions + CAPTIONS_TOGETHER - 1) / CAPTIONS_TOGETHER;
    return (ENOUGH_HEADS + a->heads - 1) / a->heads;
}

static size_t number_bytes(size_t rows)
{
    return (rows * sizeof(int32_t) + 63) / 64 * 64;
}

size_t nc_cpu_attention_scratch(struct nc_backend *backend, const struct nc_attention *a)
{
    (void)backend;
    if (!a->repeated)
        return 0;
    size_t shared = a->rows < a->repeated ? a->rows : a->repeated; /* each of them came again */
    return number_bytes(a->rows) +
           groups_of(a) * shared * 3 * a->heads * nc_round_up(a->head_size) * sizeof(float);
}

static struct sums make_sums(const struct nc_attention *a)
{
    struct sums sums = {.groups = groups_of(a)};
    if (!a->repeated)
        return sums;
    sums.number = a->scratch;
    sums.data = (float *)((char *)a->scratch + number_bytes(a->rows));
    memset(sums.number, 0, a->rows * sizeof *sums.number);
    for (int32_t i = 0; i < a->path_start[a->captions]; i++)
        sums.number[a->path[i]]++;
    for (size_t r = 0; r < a->rows; r++)
        sums.number[r] = sums.number[r] > 1 ? (int32_t)sums.shared++ : NOT_SHARED;
    return sums;
}

/* The gradient of one head of one row, times `factor`; NULL: zero. */
static void put(const struct nc_attention *a, const struct sums *sums, size_t group,
                const struct nc_span *span, size_t token, size_t part, float factor,
                const float *from)
{
    static const float zeros[NC_MOST_HEAD_SIZE];
    size_t row = nc_span_row(span, token), d = nc_round_up(span->head_size);
    if (sums->number && sums->number[row] != NOT_SHARED) {
        if (!from)
            return;
        size_t head = span->column / span->head_size;
        size_t number = group * sums->shared + (size_t)sums->number[row];
        float *to = sums->data + ((number * 3 + part) * a->heads + head) * d;
        for (size_t k = 0; k < d; k++)
            to[k] += from[k] * factor;
        return;
    }
    nc_cpu_store_head(a->dqkv, (row * 3 + part) * span->width + span->column, a->type,
                      span->head_size, factor, from ? from : zeros);
}

static void write_shared(struct nc_backend *backend, const struct nc_attention *a,
                         const struct sums *sums)
{
    size_t d = nc_round_up(a->head_size), heads = 3 * a->heads, size = heads * d;
#pragma omp parallel for num_threads(backend->threads) schedule(static, 64)
    for (size_t row = 0; row < a->rows; row++) {
        if (sums->number[row] == NOT_SHARED)
            continue;
        float *sum = sums->data + (size_t)sums->number[row] * size;
        for (size_t group = 1; group < sums->groups; group++)
            for (size_t k = 0; k < size; k++)
                sum[k] += sum[group * sums->shared * size + k];
        for (size_t head = 0; head < heads; head++)
            nc_cpu_store_head(a->dqkv, (row * heads + head) * a->head_size, a->type, a->head_size,
                              1, sum + head * d);
    }
}

/* ---- Tiles ---------------------------------------------------------------------------- */

/* Queries first .. first + count of the span. */
static void load_queries(const struct nc_attention *a, const struct nc_span *span, size_t caption,
                         size_t first, size_t count, bool delta, const struct tiles *t)
{
    size_t d = nc_round_up(span->head_size), n = nc_round_up(count);
    size_t token = span->tokens - span->queries + first, head = span->column / span->head_size;
    nc_cpu_load_heads(span, 0, token, count, n, 1.0f / sqrtf((float)span->head_size), t->query);
    nc_cpu_transpose(n, d, t->query, d, t->queries, n);
    for (size_t i = 0; i < count; i++) {
        size_t row = nc_cpu_output_row(a, span, caption, token + i);
        t->lse[i] = a->lse[row * a->heads + head];
        nc_cpu_load_head(a->dout, row * span->width + span->column, a->type, span->head_size, 1,
                         t->dout + i * d);
        if (!delta)
            continue;
        nc_cpu_load_head(a->out, row * span->width + span->column, a->type, span->head_size, 1,
                         t->dquery);
        nc_floats sum = {0};
        for (size_t k = 0; k < d; k += NC_LANES)
            sum += nc_load(t->dout, i * d + k, NC_FLOAT32) * nc_load(t->dquery, k, NC_FLOAT32);
        t->delta[i] = nc_sum(sum);
    }
    memset(t->dout + count * d, 0, (n - count) * d * sizeof(float));
    for (size_t i = count; i < n; i++)
        t->lse[i] = t->delta[i] = 0;
    nc_cpu_transpose(n, d, t->dout, d, t->douts, n);
}

/* p = exp(score - lse) and ds = p (dp - delta), both 0 where a query does not see. With
 * `whole`, all keys that the queries see are in the tile, and delta is summed here. */
static void coefficients(const struct tiles *t, size_t n, size_t first_key, size_t keys, size_t seen,
                         bool whole)
{
    for (size_t i = 0; i < n; i += NC_LANES) {
        struct nc_view view = nc_view_of(i, first_key, keys, seen);
        nc_floats lse = nc_load(t->lse, i, NC_FLOAT32), sum = {0};
        for (size_t j = 0; j < view.any; j++) {
            nc_floats p = nc_exp(nc_load(t->p, j * n + i, NC_FLOAT32) - lse);
            if (j >= view.all)
                p = nc_select(nc_sees(view, j), p, (nc_floats){0});
            nc_store(t->p, j * n + i, NC_FLOAT32, p);
            sum += p * nc_load(t->ds, j * n + i, NC_FLOAT32);
        }
        nc_floats delta = whole ? sum : nc_load(t->delta, i, NC_FLOAT32);
        for (size_t j = 0; j < view.any; j++) {
            nc_floats p = nc_load(t->p, j * n + i, NC_FLOAT32);
            nc_store(t->ds, j * n + i, NC_FLOAT32,
                     p * (nc_load(t->ds, j * n + i, NC_FLOAT32) - delta));
        }
        for (size_t j = view.any; j < keys; j++) {
            nc_store(t->p, j * n + i, NC_FLOAT32, (nc_floats){0});
            nc_store(t->ds, j * n + i, NC_FLOAT32, (nc_floats){0});
        }
    }
}

/* p and ds of `count` queries, the first of which sees `seen` keys, and the loaded keys. */
static void make_coefficients(const struct nc_span *span, size_t count, size_t first_key,
                              size_t keys, size_t seen, bool whole, const struct tiles *t)
{
    size_t d = nc_round_up(span->head_size), n = nc_round_up(count);
    nc_cpu_product(keys, n, span->head_size, (struct nc_left){t->key, d, 1}, t->queries, n, t->p, n,
                   false);
    nc_cpu_product(keys, n, span->head_size, (struct nc_left){t->value, d, 1}, t->douts, n, t->ds,
                   n, false);
    coefficients(t, n, first_key, keys, seen, whole);
}

/* dkey, dvalue = or += the queries' share. */
static void add_to_keys(const struct nc_span *span, size_t count, size_t first_key, size_t keys,
                        size_t seen, bool add, const struct tiles *t)
{
    size_t d = nc_round_up(span->head_size), n = nc_round_up(count);
    for (size_t j = 0, rows; j < keys; j += rows) {
        rows = nc_rows_together(keys - j);
        size_t begin = first_key + j + 1 > seen ? first_key + j + 1 - seen : 0;
        begin = begin < count ? begin : count;
        struct nc_left p = {t->p + j * n + begin, n, 1}, ds = {t->ds + j * n + begin, n, 1};
        nc_cpu_product(rows, d, count - begin, p, t->dout + begin * d, d, t->dvalue + j * d, d, add);
        nc_cpu_product(rows, d, count - begin, ds, t->query + begin * d, d, t->dkey + j * d, d, add);
    }
}

/* dquery = or += the keys' share. */
static void add_to_queries(const struct nc_span *span, size_t count, size_t first_key, size_t keys,
                           size_t seen, bool add, const struct tiles *t)
{
    size_t d = nc_round_up(span->head_size), n = nc_round_up(count);
    for (size_t i = 0, rows; i < count; i += rows) {
        rows = nc_rows_together(count - i);
        size_t last = seen + i + rows - 1;
        size_t used = last < first_key ? 0 : last - first_key < keys ? last - first_key : keys;
        nc_cpu_product(rows, d, used, (struct nc_left){t->ds + i, 1, n}, t->key, d,
                       t->dquery + i * d, d, add);
    }
}

/* ---- One head of one caption ------------------------------------------------------------ */

/* Where the gradients of a caption's head go. */
struct target {
    const struct nc_attention *attention;
    const struct sums *sums;
    size_t group;
};

static void put_keys(const struct target *to, const struct nc_span *span, size_t first_key,
                     size_t keys, const struct tiles *t)
{
    size_t d = nc_round_up(span->head_size);
    for (size_t j = 0; j < keys; j++) {
        put(to->attention, to->sums, to->group, span, first_key + j, 1, 1, t->dkey + j * d);
        put(to->attention, to->sums, to->group, span, first_key + j, 2, 1, t->dvalue + j * d);
    }
}

static void put_queries(const struct target *to, const struct nc_span *span, size_t first,
                        size_t count, const struct tiles *t)
{
    size_t d = nc_round_up(span->head_size), token = span->tokens - span->queries + first;
    float scale = 1.0f / sqrtf((float)span->head_size);
    for (size_t i = 0; i < count; i++)
        put(to->attention, to->sums, to->group, span, token + i, 0, scale, t->dquery + i * d);
}

static void load_keys(const struct nc_span *span, size_t first, size_t count, const struct tiles *t)
{
    nc_cpu_load_heads(span, 1, first, count, count, 1, t->key);
    nc_cpu_load_heads(span, 2, first, count, count, 1, t->value);
}

/* Keys that query `first` of the span's sees; the next one sees one more, if there is one. */
static size_t keys_seen(const struct target *to, const struct nc_span *span, size_t first)
{
    return to->attention->full ? span->tokens : span->tokens - span->queries + first + 1;
}

/* All queries and keys fit a tile: everything is made at once. */
static void backward_short(const struct target *to, const struct nc_span *span, size_t caption,
                           const struct tiles *t)
{
    size_t seen = keys_seen(to, span, 0);
    load_queries(to->attention, span, caption, 0, span->queries, false, t);
    load_keys(span, 0, span->tokens, t);
    make_coefficients(span, span->queries, 0, span->tokens, seen, true, t);
    add_to_keys(span, span->queries, 0, span->tokens, seen, false, t);
    add_to_queries(span, span->queries, 0, span->tokens, seen, false, t);
    put_keys(to, span, 0, span->tokens, t);
    put_queries(to, span, 0, span->queries, t);
}

static size_t tile_length(size_t count, size_t first, size_t most)
{
    return count - first < most ? count - first : most;
}

/* Keys tile by tile with all their queries, then queries tile by tile with all their keys. */
static void backward_long(const struct target *to, const struct nc_span *span, size_t caption,
                          const struct tiles *t)
{
    for (size_t key = 0; key < span->tokens; key += NC_KEY_TILE) {
        size_t keys = tile_length(span->tokens, key, NC_KEY_TILE);
        load_keys(span, key, keys, t);
        bool add = false;
        for (size_t first = 0; first < span->queries; first += NC_QUERY_TILE) {
            size_t count = tile_length(span->queries, first, NC_QUERY_TILE);
            size_t seen = keys_seen(to, span, first);
            if (seen + count - 1 <= key)
                continue; /* none of them sees these keys */
            load_queries(to->attention, span, caption, first, count, true, t);
            make_coefficients(span, count, key, keys, seen, false, t);
            add_to_keys(span, count, key, keys, seen, add, t);
            add = true;
        }
        put_keys(to, span, key, keys, t);
    }
    for (size_t first = 0; first < span->queries; first += NC_QUERY_TILE) {
        size_t count = tile_length(span->queries, first, NC_QUERY_TILE);
        size_t seen = keys_seen(to, span, first), end = seen + count - 1;
        end = end < span->tokens ? end : span->tokens;
        load_queries(to->attention, span, caption, first, count, true, t);
        for (size_t key = 0; key < end; key += NC_KEY_TILE) {
            size_t keys = tile_length(end, key, NC_KEY_TILE);
            load_keys(span, key, keys, t);
            make_coefficients(span, count, key, keys, seen, false, t);
            add_to_queries(span, count, key, keys, seen, key > 0, t);
        }
        put_queries(to, span, first, count, t);
    }
}

static void backward_caption(const struct target *to, size_t caption, size_t head,
                             float *workspace)
{
    const struct nc_attention *a = to->attention;
    struct nc_span span = nc_cpu_caption_span(a, caption);
    span.column = head * a->head_size;
    struct tiles t = lay_out(&workspace, nc_round_up(tile_length(span.queries, 0, NC_QUERY_TILE)),
                             tile_length(span.tokens, 0, NC_KEY_TILE), nc_round_up(a->head_size));
    if (span.queries && span.tokens <= NC_KEY_TILE)
        backward_short(to, &span, caption, &t);
    else if (span.queries)
        backward_long(to, &span, caption, &t);
    for (size_t token = 0; token < span.tokens - span.queries; token++)
        put(a, to->sums, to->group, &span, token, 0, 1, NULL);
}

int nc_cpu_attention_backward(struct nc_backend *backend, const struct nc_attention *a)
{
    int status = nc_cpu_attention_check("attention_backward", a->heads, a->head_size);
    if (status != NC_OK)
        return status;
    struct sums sums = make_sums(a);
    if (sums.shared) {
        size_t floats = sums.groups * sums.shared * 3 * a->heads * nc_round_up(a->head_size);
        status = nc_cpu_zero(backend, sums.data, floats * sizeof(float));
        if (status != NC_OK)
            return status;
    }
    /* A head adds to its own sums only, so heads can be shared out in any way: a few
     * neighbours at a time, whose columns share cache lines and pages. */
    size_t threads = (size_t)backend->threads;
    size_t parts = a->repeated ? 3 * threads : 1;
    parts = parts < a->heads ? parts : a->heads;
#pragma omp parallel num_threads(backend->threads)
    {
        float *workspace = nc_cpu_thread_workspace(backend);
#pragma omp for schedule(dynamic) collapse(2)
        for (size_t group = 0; group < sums.groups; group++)
            for (size_t part = 0; part < parts; part++) {
                struct target to = {a, &sums, group};
                size_t first = a->captions * group / sums.groups;
                size_t last = a->captions * (group + 1) / sums.groups;
                size_t first_head = a->heads * part / parts;
                size_t heads = a->heads * (part + 1) / parts - first_head;
                for (size_t caption = first; caption < last; caption++) {
                    struct nc_ahead ahead = {a, caption + 1, first_head * a->head_size,
                                             heads * a->head_size};
                    for (size_t h = 0; h < heads; h++) {
                        nc_cpu_ask_ahead(&ahead, h, heads, a->qkv, 3, false);
                        nc_cpu_ask_ahead(&ahead, h, heads, a->dqkv, 3, true);
                        if (!a->last_only)
                            nc_cpu_ask_ahead(&ahead, h, heads, a->dout, 1, false);
                        backward_caption(&to, caption, first_head + h, workspace);
                    }
                }
            }
    }
    if (sums.shared)
        write_shared(backend, a, &sums);
    return nc_cpu_zero_padding(backend, a, a->dqkv, 3 * a->heads * a->head_size);
}
