/* Full attention over the patches of pictures, forward only.
 *
 * A picture and a head at a time: keys transposed and values gathered once, then queries
 * in blocks whose scores stay in the cache. With n tokens and head size d, per head
 * 4 n d elements moved and 4 n^2 d flops; n is 50 (B/32) to 577 (L/14 at 336). */
#include "small_product.h"
#include "workspace.h"
#include "loop_math.h"

#include "nclip/error.h"

#include <omp.h>

enum { QUERIES = 16, MOST_TOKENS = 16384, MOST_HEAD = 256 };

struct work {
    float *key_across; /* [d, t] */
    float *value;      /* [t, d] */
    float *query;      /* [QUERIES, d], then the output */
    float *score;      /* [QUERIES, t] */
    size_t t, d;
};

static size_t work_floats(size_t tokens, size_t head_size)
{
    size_t t = nc_round_lanes(tokens), d = nc_round_lanes(head_size);
    return 2 * t * d + QUERIES * (t + d);
}

static void load(const struct nc_attention_full *a, size_t row, size_t which, size_t head, float *to)
{
    size_t width = a->heads * a->head_size;
    nc_load_row(to, a->qkv, a->type, row * 3 * width + which * width + head * a->head_size, a->head_size);
}

static void softmax(float *score, size_t tokens, size_t padded, float scale)
{
    float most = -INFINITY, sum = 0;
#pragma omp simd reduction(max : most)
    for (size_t k = 0; k < tokens; k++)
        most = score[k] > most ? score[k] : most;
#pragma omp simd reduction(+ : sum)
    for (size_t k = 0; k < tokens; k++) {
        score[k] = nc_exp((score[k] - most) * scale);
        sum += score[k];
    }
    float inverse = 1.0f / sum;
    for (size_t k = 0; k < tokens; k++)
        score[k] *= inverse;
    for (size_t k = tokens; k < padded; k++)
        score[k] = 0;
}

static void one_head(const struct nc_attention_full *a, size_t picture, size_t head, struct work *w)
{
    size_t tokens = a->tokens, first = picture * tokens, d = w->d;
    float scale = 1.0f / sqrtf((float)a->head_size), row[MOST_HEAD];
    for (size_t i = 0; i < w->t; i++) {
        if (i < tokens)
            load(a, first + i, 1, head, row);
        for (size_t k = 0; k < a->head_size; k++)
            w->key_across[k * w->t + i] = i < tokens ? row[k] : 0;
        memset(w->value + i * d, 0, d * sizeof(float));
        if (i < tokens)
            load(a, first + i, 2, head, w->value + i * d);
    }
    for (size_t start = 0; start < tokens; start += QUERIES) {
        size_t count = tokens - start < QUERIES ? tokens - start : QUERIES;
        for (size_t q = 0; q < count; q++)
            load(a, first + start + q, 0, head, w->query + q * d);
        nc_small_product(count, w->t, a->head_size, w->query, d, 1, w->key_across, w->t, w->score, w->t, false);
        for (size_t q = 0; q < count; q++)
            softmax(w->score + q * w->t, tokens, w->t, scale);
        nc_small_product(count, d, tokens, w->score, w->t, 1, w->value, d, w->query, d, false);
        for (size_t q = 0; q < count; q++)
            nc_store_row(a->out, a->type, ((first + start + q) * a->heads + head) * a->head_size,
                         w->query + q * d, a->head_size);
    }
}

int nc_cpu_attention_full(struct nc_backend *backend, const struct nc_attention_full *a)
{
    char *base;
    size_t stride, t = nc_round_lanes(a->tokens), d = nc_round_lanes(a->head_size);
    if (a->tokens > MOST_TOKENS || a->head_size > MOST_HEAD)
        return nc_error(NC_FAILED, "attention_full: %zu tokens with head size %zu are more than %d and %d",
                        a->tokens, a->head_size, MOST_TOKENS, MOST_HEAD);
    int status = nc_cpu_workspace(backend,
                                  work_floats(a->tokens, a->head_size) * sizeof(float), &base, &stride);
    if (status != NC_OK)
        return status;
#pragma omp parallel num_threads(backend->threads)
    {
        float *at = (float *)(base + (size_t)omp_get_thread_num() * stride);
        struct work w = {.key_across = at, .value = at + t * d, .query = at + 2 * t * d,
                         .score = at + 2 * t * d + QUERIES * d, .t = t, .d = d};
#pragma omp for schedule(dynamic) collapse(2)
        for (size_t picture = 0; picture < a->pictures; picture++)
            for (size_t head = 0; head < a->heads; head++)
                one_head(a, picture, head, &w);
    }
    return NC_OK;
}
