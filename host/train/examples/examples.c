/* Loads captions and joins each with its picture's embedding; holds out the validation part. */
#include "examples.h"

#include "nclip/captions/captions.h"
#include "nclip/model/towers.h"
#include "nclip/support/error.h"
#include "nclip/tokenizer/tokenizer.h"
#include "random.h"
#include "texts.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { STREAM_SPLIT = 1, STREAM_EPOCH = 2 };

/* Tokens of a run of texts, before they are laid end to end. */
struct text {
    const char *string;
    int32_t *ids;
    size_t count; /* 0: skipped, too long */
    bool truncated, negation_lost;
};

static int tokenize_one(const struct nc_tokenizer *tokenizer, const struct nc_model_shape *shape,
                        const struct nc_config *config, struct nc_tokens *tokens, struct text *text)
{
    static const enum nc_truncation rule[] = {[NC_TOO_LONG_TRUNCATE] = NC_TRUNCATE,
                                              [NC_TOO_LONG_ERROR] = NC_TRUNCATE_ERROR,
                                              [NC_TOO_LONG_SKIP] = NC_TRUNCATE_SKIP};
    int status = nc_text_encode(tokenizer, shape, rule[config->too_long], text->string, tokens,
                                &text->count);
    if (status != NC_OK)
        return status;
    text->truncated = tokens->truncated;
    text->negation_lost = tokens->negation_lost;
    text->ids = malloc((text->count ? text->count : 1) * sizeof *text->ids);
    if (!text->ids)
        return nc_error(NC_FAILED, "captions: no memory");
    if (text->count)
        memcpy(text->ids, tokens->ids, text->count * sizeof *text->ids);
    return NC_OK;
}

static int tokenize(const struct nc_model *model, const struct nc_config *config,
                    struct text *texts, size_t count)
{
    struct nc_tokenizer *tokenizer;
    int status = nc_tokenizer_load(nc_model_folder(model), NC_TOKENIZER_TRANSFORMERS, &tokenizer);
    if (status != NC_OK)
        return status;
    char *message = NULL;
#pragma omp parallel
    {
        struct nc_tokens tokens = {0};
#pragma omp for schedule(dynamic, 256)
        for (size_t i = 0; i < count; i++) {
            int failed;
#pragma omp atomic read
            failed = status;
            if (failed != NC_OK)
                continue;
            failed = tokenize_one(tokenizer, nc_model_shape(model), config, &tokens, &texts[i]);
            if (failed == NC_OK)
                continue;
#pragma omp critical
            if (!message) { /* messages belong to their thread: carry it over */
                message = strdup(nc_error_message());
#pragma omp atomic write
                status = failed;
            }
        }
        nc_tokens_free(&tokens);
    }
    if (status != NC_OK)
        nc_error(status, "%s", message ? message : "captions: cannot be tokenized");
    free(message);
    nc_tokenizer_destroy(tokenizer);
    return status;
}

static void *array(size_t count, size_t size)
{
    return calloc(count ? count : 1, size);
}

/* Lays the kept texts end to end and notes the examples that have both a caption
 * and an embedding. `text_of[i]` is the text of caption i, and behind all captions
 * that of contradiction i. */
static int collect(const struct nc_captions *captions, struct text *texts, size_t text_count,
                   const uint32_t *contradiction_of, const size_t *row_of_image, bool distractors,
                   struct nc_examples *e)
{
    size_t total = 0;
    for (size_t i = 0; i < text_count; i++)
        total += texts[i].count;
    e->texts = text_count;
    e->tokens = array(total, sizeof *e->tokens);
    e->token_start = array(text_count + 1, sizeof *e->token_start);
    e->caption = array(captions->count, sizeof *e->caption);
    e->contradiction = array(captions->count, sizeof *e->contradiction);
    e->embedding = array(captions->count, sizeof *e->embedding);
    e->image = array(captions->count, sizeof *e->image);
    if (distractors) {
        e->distractor_embedding = array(captions->count, sizeof *e->distractor_embedding);
        e->distractor_image = array(captions->count, sizeof *e->distractor_image);
    }
    if (!e->tokens || !e->token_start || !e->caption || !e->contradiction || !e->embedding ||
        !e->image || (distractors && (!e->distractor_embedding || !e->distractor_image)))
        return nc_error(NC_FAILED, "captions: no memory");
    size_t at = 0;
    for (size_t i = 0; i < text_count; i++) {
        e->token_start[i] = at;
        if (texts[i].count)
            memcpy(e->tokens + at, texts[i].ids, texts[i].count * sizeof *e->tokens);
        at += texts[i].count;
    }
    e->token_start[text_count] = at;

    e->captions_in_file = captions->count;
    for (size_t i = 0; i < captions->count; i++) {
        e->truncated += texts[i].truncated;
        e->negation_lost += texts[i].negation_lost;
        size_t row = row_of_image[captions->items[i].image];
        uint32_t other = contradiction_of[i];
        size_t distractor = captions->items[i].distractor;
        size_t other_row = distractor == NC_NO_PICTURE ? SIZE_MAX : row_of_image[distractor];
        bool denied = other != NC_NO_CONTRADICTION && texts[other].count;
        if (row == SIZE_MAX) {
            e->without_embedding++;
        } else if (!texts[i].count) {
            e->skipped_too_long++;
        } else if (distractors && (!denied || other_row == SIZE_MAX)) {
            e->without_distractor++;
        } else {
            if (distractors) {
                e->distractor_embedding[e->count] = other_row;
                e->distractor_image[e->count] = (int32_t)distractor;
            }
            e->caption[e->count] = (uint32_t)i;
            e->contradiction[e->count] = denied ? other : NC_NO_CONTRADICTION;
            e->embedding[e->count] = row;
            e->image[e->count] = (int32_t)captions->items[i].image;
            e->count++;
        }
    }
    return NC_OK;
}

/* Holds out a part: single captions, or all captions of a picture together. */
static int split(const struct nc_config *config, size_t image_count, struct nc_examples *e)
{
    bool by_image = config->split == NC_SPLIT_IMAGE;
    size_t units = by_image ? image_count : e->count;
    uint32_t *order = array(units, sizeof *order);
    bool *held_out = array(units, sizeof *held_out), *present = array(units, sizeof *present);
    e->training = array(e->count, sizeof *e->training);
    e->validation = array(e->count, sizeof *e->validation);
    int status = NC_OK;
    if (!order || !held_out || !present || !e->training || !e->validation) {
        status = nc_error(NC_FAILED, "captions: no memory");
        goto cleanup;
    }
    for (size_t i = 0; i < e->count; i++)
        present[by_image ? (size_t)e->image[i] : i] = true;
    size_t used = 0;
    for (size_t i = 0; i < units; i++)
        if (present[i])
            order[used++] = (uint32_t)i;
    uint64_t state = nc_random_stream(config->seed, STREAM_SPLIT, 0);
    nc_random_shuffle(&state, order, used);
    size_t held = (size_t)((double)used * config->validation_fraction); /* down, as the paper */
    for (size_t i = 0; i < held; i++)
        held_out[order[i]] = true;
    for (size_t i = 0; i < e->count; i++) {
        if (held_out[by_image ? (size_t)e->image[i] : i])
            e->validation[e->validation_count++] = (uint32_t)i;
        else
            e->training[e->training_count++] = (uint32_t)i;
    }
    if (!e->training_count)
        status = nc_error(
            NC_BAD_INPUT,
            "captions: all %zu are held out for validation; lower validation_fraction", e->count);
cleanup:
    free(order);
    free(held_out);
    free(present);
    return status;
}

static uint64_t fingerprint(const struct nc_examples *e)
{
    XXH64_hash_t hash = XXH64(e->tokens, e->token_start[e->texts] * sizeof *e->tokens, 0);
    hash = XXH64(e->token_start, (e->texts + 1) * sizeof *e->token_start, hash);
    hash = XXH64(e->caption, e->count * sizeof *e->caption, hash);
    hash = XXH64(e->contradiction, e->count * sizeof *e->contradiction, hash);
    hash = XXH64(e->embedding, e->count * sizeof *e->embedding, hash);
    return e->distractor_embedding
               ? XXH64(e->distractor_embedding, e->count * sizeof *e->distractor_embedding, hash)
               : hash;
}

int nc_examples_complete(const struct nc_config *config, size_t image_count, struct nc_examples *e)
{
    int status = split(config, image_count, e);
    if (status == NC_OK)
        e->fingerprint = fingerprint(e);
    return status;
}

int nc_examples_load(const struct nc_model *model, const struct nc_config *config,
                     const char *captions_path, const char *store_path, struct nc_examples *e)
{
    *e = (struct nc_examples){0};
    struct nc_captions captions = {0};
    struct text *texts = NULL;
    uint32_t *contradiction_of = NULL;
    size_t *row_of_image = NULL, text_count = 0, missing = 0;
    const char *first_missing = NULL;
    char hash[17];
    int status = nc_model_vision_hash(model, hash);
    if (status == NC_OK)
        status = nc_embedding_store_open(store_path, &e->store);
    if (status == NC_OK)
        status = nc_embedding_store_expect(e->store, hash, nc_model_shape(model)->embedding);
    if (status == NC_OK)
        status = nc_captions_load(captions_path, &captions);
    bool distractors = config->loss == NC_LOSS_CON_CLIP;
    if (status == NC_OK && distractors && !config->contradictions)
        status = nc_error(NC_BAD_INPUT,
                          "loss con_clip is made of contradictions: set contradictions to true");
    if (status != NC_OK)
        goto cleanup;
    if (captions.count > UINT32_MAX / 2 || captions.image_count > INT32_MAX) {
        status =
            nc_error(NC_BAD_INPUT, "%s: more captions than this program counts", captions_path);
        goto cleanup;
    }
    texts = array(2 * captions.count, sizeof *texts);
    contradiction_of = array(captions.count, sizeof *contradiction_of);
    row_of_image = array(captions.image_count, sizeof *row_of_image);
    if (!texts || !contradiction_of || !row_of_image) {
        status = nc_error(NC_FAILED, "captions: no memory");
        goto cleanup;
    }
    for (size_t i = 0; i < captions.image_count && status == NC_OK; i++) {
        status = nc_embedding_store_find(e->store, captions.images[i], &row_of_image[i]);
        if (row_of_image[i] == NC_EMBEDDING_NONE)
            first_missing = missing++ ? first_missing : captions.images[i];
    }
    if (status != NC_OK)
        goto cleanup;
    text_count = captions.count;
    for (size_t i = 0; i < captions.count; i++) {
        texts[i].string = captions.items[i].text;
        contradiction_of[i] = NC_NO_CONTRADICTION;
        if (config->contradictions && captions.items[i].contradiction) {
            contradiction_of[i] = (uint32_t)text_count;
            texts[text_count++].string = captions.items[i].contradiction;
        }
    }
    status = tokenize(model, config, texts, text_count);
    if (status == NC_OK)
        status = collect(&captions, texts, text_count, contradiction_of, row_of_image,
                         distractors, e);
    if (status == NC_OK && !e->count && e->without_distractor)
        status = nc_error(NC_BAD_INPUT,
                          "%s: no caption has both a contradiction and a distractor whose "
                          "picture is in the store, which loss con_clip needs",
                          captions_path);
    else if (status == NC_OK && !e->count)
        status = missing
                     ? nc_error(NC_BAD_INPUT,
                                "%s: none of its pictures is in the store %s (for one, \"%s\"); "
                                "keys are paths relative to the folder that nclip embed was given",
                                captions_path, store_path, first_missing)
                     : nc_error(NC_BAD_INPUT, "%s: no caption is left to train on", captions_path);
    if (status == NC_OK)
        status = nc_examples_complete(config, captions.image_count, e);
cleanup:
    for (size_t i = 0; i < text_count; i++)
        free(texts[i].ids);
    free(texts);
    free(contradiction_of);
    free(row_of_image);
    nc_captions_free(&captions);
    if (status != NC_OK)
        nc_examples_free(e);
    return status;
}

void nc_examples_free(struct nc_examples *e)
{
    free(e->tokens);
    free(e->token_start);
    free(e->caption);
    free(e->contradiction);
    free(e->embedding);
    free(e->image);
    free(e->distractor_embedding);
    free(e->distractor_image);
    free(e->training);
    free(e->validation);
    nc_embedding_store_close(e->store);
    *e = (struct nc_examples){0};
}

void nc_examples_order(const struct nc_examples *e, uint64_t seed, uint64_t epoch, uint32_t *order)
{
    memcpy(order, e->training, e->training_count * sizeof *order);
    uint64_t state = nc_random_stream(seed, STREAM_EPOCH, epoch);
    nc_random_shuffle(&state, order, e->training_count);
}

int nc_examples_gather(const struct nc_examples *e, const size_t *rows, size_t count, float *out)
{
    const struct nc_embedding_info *info = nc_embedding_store_info(e->store);
    if (e->pool) {
        for (size_t i = 0; i < count; i++)
            nc_convert(out + i * info->dimension, NC_FLOAT32, e->pool + rows[i], info->type,
                       info->dimension);
        return NC_OK;
    }
    return nc_embedding_store_gather(e->store, rows, count, NC_FLOAT32, out);
}

int nc_examples_pack(const struct nc_examples *e, const struct nc_model_shape *shape,
                     const struct nc_config *config, const uint32_t *list, size_t count,
                     struct nc_packing *packing, size_t *extras)
{
    nc_packing_clear(packing);
    *extras = 0;
    int status = NC_OK;
    for (size_t i = 0; i < count && status == NC_OK; i++) {
        size_t start = e->token_start[e->caption[list[i]]];
        size_t end = e->token_start[e->caption[list[i]] + 1];
        status = nc_caption_pack(shape, e->tokens + start, end - start, config->share_prefixes,
                                 packing);
    }
    for (size_t i = 0; i < count && status == NC_OK; i++) {
        uint32_t text = e->contradiction[list[i]];
        if (text == NC_NO_CONTRADICTION)
            continue;
        size_t start = e->token_start[text], end = e->token_start[text + 1];
        status = nc_caption_pack(shape, e->tokens + start, end - start, config->share_prefixes,
                                 packing);
        ++*extras;
    }
    return status;
}
