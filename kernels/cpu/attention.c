/* Causal self-attention over a packed batch.
 *
 * A caption and a head at a time, keys and values gathered along the caption's path into
 * fp32, so that captions that share rows need no case of their own. What is kept for the
 * backward pass is the log-sum-exp of each query (Dao 2023, FlashAttention-2, algorithms 1
 * and 2): probabilities are computed again.
 *
 * With n tokens in a caption and head size d, per head
 *   forward     4 n d elements read and written, 2 n^2 d flops (half of them masked)
 *   backward    8 n d elements, 5 n^2 d flops
 * n is 13 on average: the products are a few hundredths of the block's, and gathering
 * costs as much as they do. */
#include "small_product.h"
#include "workspace.h"
#include "loop_math.h"

#include "nclip/error.h"

#include <omp.h>

enum { MOST_TOKENS = 4096, MOST_HEAD = 256 };

/* One caption's view of the batch. */
struct span {
    const int32_t *path;  /* its rows */
    size_t tokens;        /* of the path */
    size_t first;         /* query tokens are first .. tokens - 1 of the path */
};

static struct span span_of(const struct nc_attention *a, size_t caption)
{
    size_t start = (size_t)a->path_start[caption];
    size_t tokens = (size_t)a->path_start[caption + 1] - start;
    size_t own = (size_t)(a->row_start[caption + 1] - a->row_start[caption]);
    return (struct span){a->path + start, tokens, tokens - (a->last_only ? 1 : own)};
}

/* Where a query's output, statistics and gradient stand. */
static size_t output_row(const struct nc_attention *a, const struct span *span, size_t caption,
                         size_t token)
{
    return a->last_only ? caption : (size_t)span->path[token];
}

/* Buffers of one thread, all fp32; t: tokens, d: head size, both rounded up to lanes. */
struct work {
    float *query, *key, *value;          /* [t, d] */
    float *key_across, *value_across;    /* [d, t] transposed */
    float *score, *dscore;               /* [t, t] */
    float *dout;                         /* [t, d] */
    float *dquery, *dkey, *dvalue;       /* [t, d] */
    size_t d, t;
};

static size_t work_floats(size_t longest, size_t head_size)
{
    size_t t = nc_round_lanes(longest), d = nc_round_lanes(head_size);
    return 9 * t * d + 2 * t * t;
}

static struct work lay_out(float *at, size_t longest, size_t head_size)
{
    size_t t = nc_round_lanes(longest), d = nc_round_lanes(head_size), td = t * d;
    return (struct work){.query = at, .key = at + td, .value = at + 2 * td,
                         .key_across = at + 3 * td, .value_across = at + 4 * td,
                         .dout = at + 5 * td, .dquery = at + 6 * td, .dkey = at + 7 * td,
                         .dvalue = at + 8 * td, .score = at + 9 * td,
                         .dscore = at + 9 * td + t * t, .d = d, .t = t};
}

/* Rows of one head's queries, keys or values, padded with zeros to d. */
static void gather(const struct nc_attention *a, const int32_t *path, size_t tokens, size_t which,
                   size_t head, size_t d, float *to)
{
    size_t width = a->heads * a->head_size;
    for (size_t i = 0; i < tokens; i++) {
        nc_load_row(to + i * d, a->qkv, a->type,
                    (size_t)path[i] * 3 * width + which * width + head * a->head_size, a->head_size);
        for (size_t k = a->head_size; k < d; k++)
            to[i * d + k] = 0;
    }
}

/* [tokens, d] to [d, t], zeros beyond the tokens. */
static void transpose(const float *from, size_t tokens, size_t d, size_t head_size, size_t t, float *to)
{
    size_t padded = nc_round_lanes(tokens);
    for (size_t k = 0; k < head_size; k++) {
        for (size_t i = 0; i < tokens; i++)
            to[k * t + i] = from[i * d + k];
        for (size_t i = tokens; i < padded; i++)
            to[k * t + i] = 0;
    }
}

/* Scores of all queries of the span against all its keys, unscaled. */
static void scores(const struct nc_attention *a, const struct span *span, size_t head, struct work *w)
{
    size_t queries = span->tokens - span->first;
    gather(a, span->path + span->first, queries, 0, head, w->d, w->query);
    gather(a, span->path, span->tokens, 1, head, w->d, w->key);
    gather(a, span->path, span->tokens, 2, head, w->d, w->value);
    transpose(w->key, span->tokens, w->d, a->head_size, w->t, w->key_across);
    nc_small_product(queries, nc_round_lanes(span->tokens), a->head_size, w->query, w->d, 1,
                     w->key_across, w->t, w->score, w->t, false);
}

/* score becomes exp(scale * score - lse) up to and with the query's own token, 0 beyond. */
static void probabilities(float *score, size_t visible, size_t padded, float scale, float lse)
{
#pragma omp simd
    for (size_t k = 0; k < visible; k++)
        score[k] = nc_exp(score[k] * scale - lse);
    for (size_t k = visible; k < padded; k++)
        score[k] = 0;
}

static float log_sum_exp(const float *score, size_t visible, float scale)
{
    float most = -INFINITY, sum = 0;
#pragma omp simd reduction(max : most)
    for (size_t k = 0; k < visible; k++)
        most = score[k] > most ? score[k] : most;
#pragma omp simd reduction(+ : sum)
    for (size_t k = 0; k < visible; k++)
        sum += nc_exp((score[k] - most) * scale);
    return most * scale + logf(sum);
}

static void forward_span(const struct nc_attention *a, size_t caption, size_t head, struct work *w)
{
    struct span span = span_of(a, caption);
    size_t queries = span.tokens - span.first, padded = nc_round_lanes(span.tokens);
    float scale = 1.0f / sqrtf((float)a->head_size);
    if (!queries)
        return;
    scores(a, &span, head, w);
    for (size_t q = 0; q < queries; q++) {
        size_t visible = span.first + q + 1;
        float *score = w->score + q * w->t, lse = log_sum_exp(score, visible, scale);
        probabilities(score, visible, padded, scale, lse);
        a->lse[output_row(a, &span, caption, span.first + q) * a->heads + head] = lse;
    }
    nc_small_product(queries, w->d, span.tokens, w->score, w->t, 1, w->value, w->d, w->query, w->d, false);
    for (size_t q = 0; q < queries; q++) {
        size_t row = output_row(a, &span, caption, span.first + q);
        nc_store_row(a->out, a->type, (row * a->heads + head) * a->head_size, w->query + q * w->d,
                     a->head_size);
    }
}

static int check(const char *operation, const struct nc_attention *a)
{
    if (a->longest > MOST_TOKENS || a->head_size > MOST_HEAD)
        return nc_error(NC_FAILED, "%s: captions of %zu tokens with head size %zu are more than %d and %d",
                        operation, a->longest, a->head_size, MOST_TOKENS, MOST_HEAD);
    return NC_OK;
}

int nc_cpu_attention_forward(struct nc_backend *backend, const struct nc_attention *a)
{
    char *base;
    size_t stride;
    int status = check("attention_forward", a);
    if (status == NC_OK)
        status = nc_cpu_workspace(backend,
                                  work_floats(a->longest, a->head_size) * sizeof(float), &base, &stride);
    if (status != NC_OK)
        return status;
#pragma omp parallel num_threads(backend->threads)
    {
        struct work w = lay_out((float *)(base + (size_t)omp_get_thread_num() * stride), a->longest,
                                a->head_size);
#pragma omp for schedule(dynamic, 8)
        for (size_t caption = 0; caption < a->captions; caption++)
            for (size_t head = 0; head < a->heads; head++)
                forward_span(a, caption, head, &w);
    }
    return NC_OK;
}

/* ---- Backward -------------------------------------------------------------------------- */

size_t nc_cpu_attention_scratch(struct nc_backend *backend, const struct nc_attention *a)
{
    (void)backend;
    (void)a;
    return 0; /* the workspace holds the sums of one head a thread */
}

/* Adds the gradients of one caption and head to sums[rows, 3, d], whose first row is row
 * `base` of the batch. */
static void backward_span(const struct nc_attention *a, size_t caption, size_t head, struct work *w,
                          float *sums, size_t base)
{
    struct span span = span_of(a, caption);
    size_t queries = span.tokens - span.first, padded = nc_round_lanes(span.tokens), d = w->d;
    float scale = 1.0f / sqrtf((float)a->head_size);
    if (!queries)
        return;
    scores(a, &span, head, w);
    transpose(w->value, span.tokens, d, a->head_size, w->t, w->value_across);
    for (size_t q = 0; q < queries; q++) {
        size_t row = output_row(a, &span, caption, span.first + q);
        nc_load_row(w->dout + q * d, a->dout, a->type, (row * a->heads + head) * a->head_size,
                    a->head_size);
        for (size_t k = a->head_size; k < d; k++)
            w->dout[q * d + k] = 0;
    }
    nc_small_product(queries, padded, a->head_size, w->dout, d, 1, w->value_across, w->t, w->dscore,
                     w->t, false);
    for (size_t q = 0; q < queries; q++) {
        size_t row = output_row(a, &span, caption, span.first + q), visible = span.first + q + 1;
        float *p = w->score + q * w->t, *ds = w->dscore + q * w->t, delta = 0;
        probabilities(p, visible, padded, scale, a->lse[row * a->heads + head]);
        /* sum_k p dp = dout . out, of which only this form sees the same rounding as p */
#pragma omp simd reduction(+ : delta)
        for (size_t k = 0; k < padded; k++)
            delta += p[k] * ds[k];
#pragma omp simd
        for (size_t k = 0; k < padded; k++)
            ds[k] = p[k] * (ds[k] - delta) * scale;
    }
    nc_small_product(queries, d, span.tokens, w->dscore, w->t, 1, w->key, d, w->dquery, d, false);
    nc_small_product(span.tokens, d, queries, w->dscore, 1, w->t, w->query, d, w->dkey, d, false);
    nc_small_product(span.tokens, d, queries, w->score, 1, w->t, w->dout, d, w->dvalue, d, false);
    for (size_t i = 0; i < span.tokens; i++) {
        float *to = sums + ((size_t)span.path[i] - base) * 3 * d;
        if (i >= span.first)
            for (size_t k = 0; k < d; k++)
                to[k] += w->dquery[(i - span.first) * d + k];
        for (size_t k = 0; k < d; k++) {
            to[d + k] += w->dkey[i * d + k];
            to[2 * d + k] += w->dvalue[i * d + k];
        }
    }
}

/* Rows that belong to captions first .. end - 1. */
static void backward_block(const struct nc_attention *a, size_t first, size_t end, size_t head,
                           struct work *w, float *sums)
{
    size_t base = (size_t)a->row_start[first], rows = (size_t)a->row_start[end] - base;
    size_t width = a->heads * a->head_size;
    memset(sums, 0, rows * 3 * w->d * sizeof *sums);
    for (size_t caption = first; caption < end; caption++)
        backward_span(a, caption, head, w, sums, base);
    for (size_t r = 0; r < rows; r++)
        for (size_t which = 0; which < 3; which++)
            nc_store_row(a->dqkv, a->type,
                         (base + r) * 3 * width + which * width + head * a->head_size,
                         sums + (r * 3 + which) * w->d, a->head_size);
}

/* Captions that share rows add to the same sums, so a head is one piece of work; without
 * sharing, heads are cut into blocks of captions. Either way the order of additions to a
 * row is that of the captions, whatever the number of threads. */
int nc_cpu_attention_backward(struct nc_backend *backend, const struct nc_attention *a)
{
    char *base;
    size_t stride, blocks = a->shared ? 1 : 8;
    int status = check("attention_backward", a);
    blocks = blocks > a->captions ? a->captions : blocks;
    size_t most_rows = 0;
    for (size_t block = 0; block < blocks; block++) {
        size_t rows = (size_t)(a->row_start[a->captions * (block + 1) / blocks] -
                               a->row_start[a->captions * block / blocks]);
        most_rows = rows > most_rows ? rows : most_rows;
    }
    size_t floats = work_floats(a->longest, a->head_size);
    size_t sums = most_rows * 3 * nc_round_lanes(a->head_size);
    if (status == NC_OK)
        status = nc_cpu_workspace(backend,
                                  (floats + sums) * sizeof(float), &base, &stride);
    if (status != NC_OK)
        return status;
#pragma omp parallel num_threads(backend->threads)
    {
        float *mine = (float *)(base + (size_t)omp_get_thread_num() * stride);
        struct work w = lay_out(mine, a->longest, a->head_size);
#pragma omp for schedule(dynamic) collapse(2)
        for (size_t block = 0; block < blocks; block++)
            for (size_t head = 0; head < a->heads; head++)
                backward_block(a, a->captions * block / blocks, a->captions * (block + 1) / blocks, head,
                               &w, mine + floats);
    }
    return NC_OK;
}
