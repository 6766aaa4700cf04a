/* Measures how often plain captions find their pictures, and how much less often after fine-
 * tuning. */
#include "nclip/evaluate/guard.h"

#include "nclip/captions/captions.h"
#include "nclip/encoder/encoder.h"
#include "nclip/negation/words.h"
#include "nclip/store/store.h"
#include "nclip/support/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TILE = 256 }; /* captions that are scored against all pictures at once */

struct nc_guard {
    const char *captions_path, *store_path; /* the caller's, for messages while loading */
    struct nc_captions captions;
    const char **texts; /* [count] without a negation word */
    size_t *own;        /* [count] row of the caption's picture in `pictures` */
    size_t count, negated, picture_count, dimension;
    float *pictures; /* [picture_count, dimension], normalised */
    char hash[17];
};

static int no_memory(void)
{
    return nc_error(NC_FAILED, "guard: no memory");
}

static int load_pictures(struct nc_guard *guard, const struct nc_embedding_store *store)
{
    const struct nc_captions *captions = &guard->captions;
    size_t bytes;
    guard->picture_count = captions->image_count;
    if (__builtin_mul_overflow(captions->image_count, guard->dimension * sizeof(float), &bytes) ||
        !(guard->pictures = malloc(bytes)))
        return no_memory();
    for (size_t i = 0; i < captions->image_count; i++) {
        size_t row;
        float *out = guard->pictures + i * guard->dimension;
        int status = nc_embedding_store_find(store, captions->images[i], &row);
        if (status == NC_OK && row == NC_EMBEDDING_NONE)
            return nc_error(NC_BAD_INPUT,
                            "%s: \"%.200s\" has no embedding in %s; embed the captions' pictures "
                            "first",
                            guard->captions_path, captions->images[i], guard->store_path);
        if (status == NC_OK)
            status = nc_embedding_store_row_unit(store, row, out);
        if (status != NC_OK)
            return status;
    }
    return NC_OK;
}

static int choose_captions(struct nc_guard *guard)
{
    const struct nc_captions *captions = &guard->captions;
    guard->texts = malloc((captions->count + 1) * sizeof *guard->texts);
    guard->own = malloc((captions->count + 1) * sizeof *guard->own);
    if (!guard->texts || !guard->own)
        return no_memory();
    for (size_t i = 0; i < captions->count; i++) {
        struct nc_negation_match match;
        const char *text = captions->items[i].text;
        if (nc_denial_find(text, strlen(text), 0, &match)) {
            guard->negated++;
            continue;
        }
        guard->texts[guard->count] = text;
        guard->own[guard->count++] = captions->items[i].image;
    }
    if (!guard->count || guard->picture_count < 2)
        return nc_error(NC_BAD_INPUT,
                        "%s: the guard needs captions without a negation word, of two pictures or "
                        "more; there are %zu, of %zu",
                        guard->captions_path, guard->count, guard->picture_count);
    return NC_OK;
}

int nc_guard_create(const char *captions, const char *store_path, const struct nc_model *model,
                    struct nc_guard **out)
{
    *out = NULL;
    struct nc_embedding_store *store = NULL;
    struct nc_guard *guard = calloc(1, sizeof *guard);
    if (!guard)
        return no_memory();
    guard->captions_path = captions;
    guard->store_path = store_path;
    guard->dimension = nc_model_shape(model)->embedding;
    int status = nc_model_vision_hash(model, guard->hash);
    if (status == NC_OK)
        status = nc_embedding_store_open(store_path, &store);
    if (status == NC_OK)
        status = nc_embedding_store_expect(store, guard->hash, guard->dimension);
    if (status == NC_OK)
        status = nc_captions_load(captions, &guard->captions);
    if (status == NC_OK)
        status = load_pictures(guard, store);
    if (status == NC_OK)
        status = choose_captions(guard);
    nc_embedding_store_close(store);
    if (status == NC_OK)
        *out = guard;
    else
        nc_guard_destroy(guard);
    return status;
}

void nc_guard_destroy(struct nc_guard *guard)
{
    if (!guard)
        return;
    nc_captions_free(&guard->captions);
    free(guard->texts);
    free(guard->own);
    free(guard->pictures);
    free(guard);
}

size_t nc_guard_captions(const struct nc_guard *guard)
{
    return guard->count;
}

size_t nc_guard_negated(const struct nc_guard *guard)
{
    return guard->negated;
}

size_t nc_guard_pictures(const struct nc_guard *guard)
{
    return guard->picture_count;
}

/* scores[rows, pictures] of captions first .. first + rows. */
static int decide(const struct nc_guard *guard, const float *scores, size_t first, size_t rows,
                  bool *found)
{
    for (size_t i = 0; i < rows; i++) {
        const float *row = scores + i * guard->picture_count;
        float own = row[guard->own[first + i]];
        size_t higher = 0;
        for (size_t k = 0; k < guard->picture_count; k++)
            higher += row[k] > own;
        found[first + i] = higher == 0;
    }
    return NC_OK;
}

static int score(const struct nc_guard *guard, struct nc_ops *ops, const float *features,
                 bool *found)
{
    size_t picture_bytes = guard->picture_count * guard->dimension * sizeof(float);
    size_t text_bytes = TILE * guard->dimension * sizeof(float);
    size_t score_bytes = TILE * guard->picture_count * sizeof(float);
    void *pictures = NULL, *texts = NULL, *scores = NULL;
    float *host = malloc(score_bytes);
    int status = host ? ops->allocate(ops->backend, picture_bytes, &pictures) : no_memory();
    if (status == NC_OK)
        status = ops->allocate(ops->backend, text_bytes, &texts);
    if (status == NC_OK)
        status = ops->allocate(ops->backend, score_bytes, &scores);
    if (status == NC_OK)
        status = ops->upload(ops->backend, pictures, guard->pictures, picture_bytes);
    for (size_t first = 0; first < guard->count && status == NC_OK; first += TILE) {
        size_t rows = guard->count - first < TILE ? guard->count - first : TILE;
        const struct nc_linear product = {.type = NC_FLOAT32,
                                          .rows = rows,
                                          .in = guard->dimension,
                                          .out = guard->picture_count,
                                          .x = texts,
                                          .weight = pictures,
                                          .y = scores,
                                          .y_type = NC_FLOAT32};
        status = ops->upload(ops->backend, texts, features + first * guard->dimension,
                             rows * guard->dimension * sizeof(float));
        if (status == NC_OK)
            status = ops->linear(ops->backend, &product);
        if (status == NC_OK)
            status = ops->download(ops->backend, host, scores,
                                   rows * guard->picture_count * sizeof(float));
        if (status == NC_OK)
            status = decide(guard, host, first, rows, found);
    }
    if (pictures)
        ops->release(ops->backend, pictures, picture_bytes);
    if (texts)
        ops->release(ops->backend, texts, text_bytes);
    if (scores)
        ops->release(ops->backend, scores, score_bytes);
    free(host);
    return status;
}

int nc_guard_measure(const struct nc_guard *guard, struct nc_ops *ops, const struct nc_model *model,
                     bool *found)
{
    char hash[17];
    const struct nc_encoder_options options = {.precision = NC_FLOAT32, .text = true};
    struct nc_encoder *encoder = NULL;
    float *features = malloc(guard->count * guard->dimension * sizeof *features);
    int status = features ? nc_model_vision_hash(model, hash) : no_memory();
    if (status == NC_OK && strcmp(hash, guard->hash) != 0)
        status = nc_error(NC_BAD_INPUT,
                          "%s: its vision tower is not the one that the guard's pictures were "
                          "embedded with; the guard compares text towers",
                          nc_model_folder(model));
    if (status == NC_OK)
        status = nc_encoder_create(ops, model, &options, &encoder);
    if (status == NC_OK)
        status = nc_encoder_texts(encoder, guard->texts, guard->count, false, features);
    if (status == NC_OK)
        status = score(guard, ops, features, found);
    nc_encoder_destroy(encoder);
    free(features);
    return status;
}

struct nc_guard_drop nc_guard_compare(const bool *before, const bool *after, size_t count)
{
    size_t lost = 0, won = 0, both = 0;
    for (size_t i = 0; i < count; i++) {
        lost += before[i] && !after[i];
        won += !before[i] && after[i];
        both += before[i] && after[i];
    }
    double n = (double)count, drop = ((double)lost - (double)won) / n;
    double variance = (((double)lost + (double)won) / n - drop * drop) / n;
    double half = 1.959964 * sqrt(variance > 0 ? variance : 0);
    return (struct nc_guard_drop){.before = (double)(both + lost) / n,
                                  .after = (double)(both + won) / n,
                                  .drop = drop,
                                  .low = drop - half,
                                  .high = drop + half};
}
