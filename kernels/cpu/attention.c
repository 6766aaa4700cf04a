/* Attention, forward: causal or full over a packed batch, and full over pictures.
 *
 *     out = softmax(q k^T / sqrt(head_size)) v         (Vaswani et al. 2017)
 *
 * A thread computes one head of a caption (or of some queries of a picture) at a time, tile
 * by tile with a running softmax (Dao 2023, FlashAttention-2, algorithm 1). It keeps lse, the
 * logarithm of the softmax's denominator, for the backward pass. Captions that share rows
 * are no special case: keys and values are read along the caption's path.
 *
 * Bytes a row: 4 width T (3 read, 1 written). Flops: 4 head_size for each pair of a query
 * and a key it sees, and one exponential. Captions are short (13 tokens, 7 keys a query):
 * there moving rows costs as much as the products; for pictures products decide. */
#include "attention.h"

#include "nclip/support/error.h"
#include "vector_math.h"

#include <math.h>

/* One thread's tiles; d = nc_round_up(head_size), n = nc_round_up(queries of the tile). */
struct tiles {
    float *query;   /* [n, d], scaled; then the tile's output */
    float *queries; /* [d, n] transposed */
    float *key, *value; /* [keys, d] */
    float *score;   /* [keys, n] */
    float *most, *sum, *fade; /* [n] running maximum, running sum, worth of earlier sums */
};

static struct tiles lay_out(float *at, size_t n, size_t keys, size_t d)
{
    struct tiles t;
    t.query = nc_take_tile(&at, n, d);
    t.queries = nc_take_tile(&at, d, n);
    t.key = nc_take_tile(&at, keys, d);
    t.value = nc_take_tile(&at, keys, d);
    t.score = nc_take_tile(&at, keys, n);
    t.most = nc_take_tile(&at, 1, n);
    t.sum = nc_take_tile(&at, 1, n);
    t.fade = nc_take_tile(&at, 1, n);
    return t;
}

/* ---- Rows in and out ----------------------------------------------------------------- */

NC_INLINE void load_head(const void *from, size_t index, enum nc_type type, size_t count,
                         float factor, float *to)
{
    for (size_t k = 0; k < count; k += NC_LANES)
        nc_store(to, k, NC_FLOAT32, nc_load_of(from, index + k, type, count - k) * factor);
}

void nc_cpu_load_head(const void *from, size_t index, enum nc_type type, size_t count, float factor,
                      float *to)
{
    if (type == NC_FLOAT32)
        load_head(from, index, NC_FLOAT32, count, factor, to);
    else
        load_head(from, index, NC_BFLOAT16, count, factor, to);
}

NC_INLINE void store_head(void *to, size_t index, enum nc_type type, size_t count, float factor,
                          const float *from)
{
    for (size_t k = 0; k < count; k += NC_LANES)
        nc_store_of(to, index + k, type, nc_load(from, k, NC_FLOAT32) * factor, count - k);
}

void nc_cpu_store_head(void *to, size_t index, enum nc_type type, size_t count, float factor,
                       const float *from)
{
    if (type == NC_FLOAT32)
        store_head(to, index, NC_FLOAT32, count, factor, from);
    else
        store_head(to, index, NC_BFLOAT16, count, factor, from);
}

void nc_cpu_load_heads(const struct nc_span *span, size_t part, size_t first, size_t count,
                       size_t padded, float factor, float *to)
{
    size_t d = nc_round_up(span->head_size), column = part * span->width + span->column;
    for (size_t i = 0; i < count; i++)
        nc_cpu_load_head(span->qkv, nc_span_row(span, first + i) * 3 * span->width + column,
                         span->type, span->head_size, factor, to + i * d);
    if (padded > count)
        memset(to + count * d, 0, (padded - count) * d * sizeof *to);
}

struct nc_span nc_cpu_caption_span(const struct nc_attention *a, size_t caption)
{
    size_t start = (size_t)a->path_start[caption];
    return (struct nc_span){
        .type = a->type,
        .qkv = a->qkv,
        .width = a->heads * a->head_size,
        .head_size = a->head_size,
        .path = a->path + start,
        .tokens = (size_t)a->path_start[caption + 1] - start,
        .queries = a->last_only ? 1 : (size_t)(a->row_start[caption + 1] - a->row_start[caption]),
    };
}

void nc_cpu_ask_ahead(const struct nc_ahead *ahead, size_t part, size_t parts, const void *data,
                      size_t blocks, bool write)
{
    const struct nc_attention *a = ahead->attention;
    if (ahead->caption >= a->captions)
        return;
    size_t first = (size_t)a->row_start[ahead->caption];
    size_t rows = (size_t)a->row_start[ahead->caption + 1] - first;
    size_t width = a->heads * a->head_size, size = nc_type_size(a->type);
    for (size_t row = first + rows * part / parts; row < first + rows * (part + 1) / parts; row++)
        for (size_t block = 0; block < blocks; block++) {
            const char *at =
                (const char *)data + ((row * blocks + block) * width + ahead->first) * size;
            for (size_t byte = 0; byte < ahead->count * size; byte += 64) {
                if (write)
                    __builtin_prefetch(at + byte, 1, 2);
                else
                    __builtin_prefetch(at + byte, 0, 2);
            }
        }
}

int nc_cpu_attention_check(const char *operation, size_t heads, size_t head_size)
{
    if (!heads || !head_size || head_size > NC_MOST_HEAD_SIZE)
        return nc_error(NC_FAILED, "%s: %zu heads of size %zu are not supported; sizes are 1 to %d",
                        operation, heads, head_size, NC_MOST_HEAD_SIZE);
    return NC_OK;
}

int nc_cpu_attention_supported(struct nc_backend *backend, enum nc_type type, size_t heads,
                               size_t head_size)
{
    (void)backend, (void)type;
    return nc_cpu_attention_check("attention", heads, head_size);
}

/* ---- One tile of queries ------------------------------------------------------------- */

/* Turns scores into exp(score - most), 0 where a query does not see the key, and updates most, sum
 * and fade. */
static void softmax(const struct tiles *t, size_t n, size_t first_key, size_t keys, size_t seen)
{
    for (size_t i = 0; i < n; i += NC_LANES) {
        struct nc_view view = nc_view_of(i, first_key, keys, seen);
        nc_floats earlier = nc_load(t->most, i, NC_FLOAT32), most = earlier, sum = {0};
        for (size_t j = 0; j < view.all; j++)
            most = nc_max(nc_load(t->score, j * n + i, NC_FLOAT32), most);
        for (size_t j = view.all; j < view.any; j++) {
            nc_floats s = nc_load(t->score, j * n + i, NC_FLOAT32);
            s = nc_select(nc_sees(view, j), s, nc_all(-INFINITY));
            nc_store(t->score, j * n + i, NC_FLOAT32, s);
            most = nc_max(s, most);
        }
        for (size_t j = 0; j < view.any; j++) {
            nc_floats p = nc_exp(nc_load(t->score, j * n + i, NC_FLOAT32) - most);
            nc_store(t->score, j * n + i, NC_FLOAT32, p);
            sum += p;
        }
        for (size_t j = view.any; j < keys; j++)
            nc_store(t->score, j * n + i, NC_FLOAT32, (nc_floats){0});
        nc_floats fade = nc_exp(earlier - most); /* 0 in the first tile: earlier is -infinity */
        nc_store(t->fade, i, NC_FLOAT32, fade);
        nc_store(t->sum, i, NC_FLOAT32, nc_load(t->sum, i, NC_FLOAT32) * fade + sum);
        nc_store(t->most, i, NC_FLOAT32, most);
    }
}

/* The keys that a query of the whole sequence sees, if attention is causal. */
static size_t keys_seen(const struct nc_span *span, bool causal, size_t query)
{
    return causal ? span->tokens - span->queries + query + 1 : span->tokens;
}

/* Queries first .. first + count of the span. Their outputs are left in `query`, their
 * maxima and sums in `most` and `sum`. */
static struct tiles attend(const struct nc_span *span, bool causal, size_t first, size_t count,
                           float *workspace)
{
    size_t d = nc_round_up(span->head_size), n = nc_round_up(count);
    size_t most_keys = span->tokens < NC_KEY_TILE ? span->tokens : NC_KEY_TILE;
    struct tiles tiles = lay_out(workspace, n, most_keys, d), *t = &tiles;
    float scale = 1.0f / sqrtf((float)span->head_size);
    nc_cpu_load_heads(span, 0, span->tokens - span->queries + first, count, n, scale, t->query);
    nc_cpu_transpose(n, d, t->query, d, t->queries, n);
    for (size_t i = 0; i < n; i++) {
        t->most[i] = -INFINITY;
        t->sum[i] = 0;
    }
    size_t end = keys_seen(span, causal, first + count - 1);
    for (size_t key = 0; key < end; key += NC_KEY_TILE) {
        size_t keys = end - key < NC_KEY_TILE ? end - key : NC_KEY_TILE;
        nc_cpu_load_heads(span, 1, key, keys, keys, 1, t->key);
        nc_cpu_load_heads(span, 2, key, keys, keys, 1, t->value);
        nc_cpu_product(keys, n, span->head_size, (struct nc_left){t->key, d, 1}, t->queries, n,
                       t->score, n, false);
        /* Without a mask every query sees more keys than there are. */
        softmax(t, n, key, keys, causal ? keys_seen(span, true, first) : span->tokens);
        for (size_t i = 0, rows; i < count; i += rows) {
            rows = nc_rows_together(count - i);
            size_t last = keys_seen(span, causal, first + i + rows - 1);
            size_t used = last < key ? 0 : last - key < keys ? last - key : keys;
            if (key)
                for (size_t r = i; r < i + rows; r++)
                    for (size_t k = 0; k < d; k++)
                        t->query[r * d + k] *= t->fade[r];
            nc_cpu_product(rows, d, used, (struct nc_left){t->score + i, 1, n}, t->value, d,
                           t->query + i * d, d, key > 0);
        }
    }
    return tiles;
}

int nc_cpu_zero_padding(struct nc_backend *backend, const struct nc_attention *a, void *data,
                        size_t values)
{
    size_t first = (size_t)a->row_start[a->captions], row = values * nc_type_size(a->type);
    return nc_cpu_zero(backend, (char *)data + first * row, (a->rows - first) * row);
}

int nc_cpu_attention_forward(struct nc_backend *backend, const struct nc_attention *a)
{
    int status = nc_cpu_attention_check("attention_forward", a->heads, a->head_size);
    if (status != NC_OK)
        return status;
#pragma omp parallel num_threads(backend->threads)
    {
        float *workspace = nc_cpu_thread_workspace(backend);
        size_t d = nc_round_up(a->head_size);
#pragma omp for schedule(dynamic, 4)
        for (size_t caption = 0; caption < a->captions; caption++) {
            struct nc_span span = nc_cpu_caption_span(a, caption);
            struct nc_ahead ahead = {a, caption + 1, 0, span.width};
            for (size_t head = 0; head < a->heads; head++) {
                span.column = head * a->head_size;
                nc_cpu_ask_ahead(&ahead, head, a->heads, a->qkv, 3, false);
                if (!a->last_only)
                    nc_cpu_ask_ahead(&ahead, head, a->heads, a->out, 1, true);
                for (size_t first = 0; first < span.queries; first += NC_QUERY_TILE) {
                    size_t count = span.queries - first < NC_QUERY_TILE ? span.queries - first
                                                                        : NC_QUERY_TILE;
                    struct tiles t = attend(&span, !a->full, first, count, workspace);
                    for (size_t i = 0; i < count; i++) {
                        size_t row = nc_cpu_output_row(a, &span, caption,
                                                       span.tokens - span.queries + first + i);
                        nc_cpu_store_head(a->out, row * span.width + span.column, a->type,
                                          a->head_size, 1.0f / t.sum[i], t.query + i * d);
                        a->lse[row * a->heads + head] = t.most[i] + logf(t.sum[i]);
                    }
                }
            }
        }
    }
    return a->last_only ? NC_OK : nc_cpu_zero_padding(backend, a, a->out, a->heads * a->head_size);
}

int nc_cpu_attention_full(struct nc_backend *backend, const struct nc_attention_full *a)
{
    enum { QUERIES = 64 }; /* with these and their scores, a tile of keys fits the second cache */
    int status = nc_cpu_attention_check("attention_full", a->heads, a->head_size);
    if (status != NC_OK)
        return status;
#pragma omp parallel num_threads(backend->threads)
    {
        float *workspace = nc_cpu_thread_workspace(backend);
        size_t d = nc_round_up(a->head_size);
#pragma omp for schedule(dynamic) collapse(3)
        for (size_t picture = 0; picture < a->pictures; picture++)
            for (size_t head = 0; head < a->heads; head++)
                for (size_t first = 0; first < a->tokens; first += QUERIES) {
                    struct nc_span span = {
                        .type = a->type, .qkv = a->qkv, .width = a->heads * a->head_size,
                        .head_size = a->head_size, .column = head * a->head_size,
                        .first_row = picture * a->tokens, .tokens = a->tokens, .queries = a->tokens};
                    size_t count = a->tokens - first < QUERIES ? a->tokens - first : QUERIES;
                    struct tiles t = attend(&span, false, first, count, workspace);
                    for (size_t i = 0; i < count; i++)
                        nc_cpu_store_head(a->out,
                                          (span.first_row + first + i) * span.width + span.column,
                                          a->type, a->head_size, 1.0f / t.sum[i], t.query + i * d);
                }
    }
    return NC_OK;
}
