/* Loads captions and joins each with its picture's embedding; holds out the validation part. */
#include "examples.h"

#include "nclip/captions/captions.h"
#include "nclip/model/towers.h"
#include "nclip/support/error.h"
#include "nclip/tokenizer/tokenizer.h"
#include "files.h"
#include "random.h"
#include "sources.h"
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

/* All texts of the roles in `roles`, one role after the other; first[role][i] is the first of caption
 * i, or NC_NO_TEXT. */
static int gather_texts(const struct nc_captions *captions, unsigned roles,
                        uint32_t *first[NC_TEXT_ROLES], struct text **texts, size_t *text_count)
{
    size_t most = 0, count, at = 0;
    for (int role = 0; role < NC_TEXT_ROLES; role++)
        for (size_t i = 0; i < captions->count && roles & 1u << role; i++, most += count)
            (void)nc_caption_texts(&captions->items[i], role, &count);
    *texts = array(most, sizeof **texts);
    if (!*texts)
        return nc_error(NC_FAILED, "captions: no memory");
    if (most > UINT32_MAX / 2)
        return nc_error(NC_BAD_INPUT, "captions: more texts than this program counts");
    for (int role = 0; role < NC_TEXT_ROLES; role++) {
        if (!(roles & 1u << role))
            continue;
        first[role] = array(captions->count, sizeof *first[role]);
        if (!first[role])
            return nc_error(NC_FAILED, "captions: no memory");
        for (size_t i = 0; i < captions->count; i++) {
            const char *const *list = nc_caption_texts(&captions->items[i], role, &count);
            first[role][i] = count ? (uint32_t)at : NC_NO_TEXT;
            for (size_t k = 0; k < count; k++)
                (*texts)[at++].string = list[k];
        }
    }
    *text_count = at;
    return NC_OK;
}

/* Lays the kept texts end to end. */
static int lay_texts(const struct text *texts, size_t text_count, struct nc_examples *e)
{
    size_t total = 0, at = 0;
    for (size_t i = 0; i < text_count; i++)
        total += texts[i].count;
    e->texts = text_count;
    e->tokens = array(total, sizeof *e->tokens);
    e->token_start = array(text_count + 1, sizeof *e->token_start);
    if (!e->tokens || !e->token_start)
        return nc_error(NC_FAILED, "captions: no memory");
    for (size_t i = 0; i < text_count; i++) {
        e->token_start[i] = at;
        if (texts[i].count)
            memcpy(e->tokens + at, texts[i].ids, texts[i].count * sizeof *e->tokens);
        at += texts[i].count;
    }
    e->token_start[text_count] = at;
    return NC_OK;
}

int nc_examples_allocate(const struct nc_losses *losses, size_t count, struct nc_examples *e)
{
    bool made = true;
    for (int role = 0; role < NC_TEXT_ROLES; role++) {
        if (role > NC_TEXT_CONTRADICTION && !(losses->roles & 1u << role))
            continue;
        e->text[role] = array(count, sizeof *e->text[role]);
        made = made && e->text[role];
    }
    if (losses->roles & 1u << NC_TEXT_CHOICES)
        made = (e->choices = array(count, sizeof *e->choices)) && made;
    e->embedding = array(count, sizeof *e->embedding);
    e->image = array(count, sizeof *e->image);
    if (losses->distractors) {
        e->distractor_embedding = array(count, sizeof *e->distractor_embedding);
        e->distractor_image = array(count, sizeof *e->distractor_image);
        made = made && e->distractor_embedding && e->distractor_image;
    }
    return made && e->embedding && e->image ? NC_OK : nc_error(NC_FAILED, "captions: no memory");
}

bool nc_examples_lack(const struct nc_losses *losses, const struct nc_examples *e, size_t i,
                      bool distractor)
{
    size_t source = e->source ? e->source[i] + 1u : 0;
    bool lacks = losses->needs_distractor[source] && !distractor;
    for (int role = 0; role < NC_TEXT_ROLES; role++)
        lacks = lacks || (losses->needed[source] & 1u << role && e->text[role][i] == NC_NO_TEXT);
    return lacks;
}

/* The roles of caption i as those of example e->count. Texts that were left out as too long are none,
 * and with one of them a caption's choices, which must all be there. */
static void set_texts(const struct nc_captions *captions, const struct text *texts,
                      uint32_t *const first[NC_TEXT_ROLES], size_t i, struct nc_examples *e)
{
    for (int role = 0; role < NC_TEXT_ROLES; role++) {
        size_t count = 0;
        uint32_t text = first[role] ? first[role][i] : NC_NO_TEXT;
        if (text != NC_NO_TEXT)
            (void)nc_caption_texts(&captions->items[i], role, &count);
        for (size_t k = 0; k < count && text != NC_NO_TEXT; k++)
            if (!texts[text + k].count)
                text = NC_NO_TEXT;
        if (e->text[role])
            e->text[role][e->count] = text;
        if (role == NC_TEXT_CHOICES && e->choices)
            e->choices[e->count] = (uint8_t)(text == NC_NO_TEXT ? 0 : count);
    }
}

/* Notes the examples that have a caption, an embedding, and what the loss needs. */
static int collect(const struct nc_captions *captions, const struct text *texts, size_t text_count,
                   uint32_t *const first[NC_TEXT_ROLES], const uint8_t *file,
                   const size_t *row_of_image, const struct nc_losses *losses,
                   struct nc_examples *e)
{
    int status = lay_texts(texts, text_count, e);
    if (status == NC_OK)
        status = nc_examples_allocate(losses, captions->count, e);
    if (status == NC_OK && file && !(e->source = array(captions->count, sizeof *e->source)))
        status = nc_error(NC_FAILED, "captions: no memory");
    e->captions_in_file = captions->count;
    for (size_t i = 0; i < captions->count && status == NC_OK; i++) {
        const struct nc_caption *caption = &captions->items[i];
        e->truncated += texts[i].truncated;
        e->negation_lost += texts[i].negation_lost;
        size_t row = row_of_image[caption->image];
        bool has_other = caption->distractor != NC_NO_PICTURE &&
                         row_of_image[caption->distractor] != SIZE_MAX;
        set_texts(captions, texts, first, i, e);
        if (e->source)
            e->source[e->count] = file[i];
        if (row == SIZE_MAX) {
            e->without_embedding++;
        } else if (!texts[i].count) {
            e->skipped_too_long++;
        } else if (nc_examples_lack(losses, e, e->count, has_other)) {
            e->without_roles++;
        } else {
            if (losses->distractors) {
                /* one that its source is without stands in no term */
                size_t other = has_other ? caption->distractor : caption->image;
                e->distractor_embedding[e->count] = row_of_image[other];
                e->distractor_image[e->count] = has_other ? (int32_t)other : -1;
            }
            e->embedding[e->count] = row;
            e->image[e->count++] = (int32_t)caption->image;
        }
    }
    return status;
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
    for (int role = 0; role < NC_TEXT_ROLES; role++)
        if (e->text[role])
            hash = XXH64(e->text[role], e->count * sizeof *e->text[role], hash);
    if (e->choices)
        hash = XXH64(e->choices, e->count, hash);
    if (e->source)
        hash = XXH64(e->source, e->count, hash);
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
    return status == NC_OK && e->source ? nc_example_sources_create(config, e) : status;
}

int nc_examples_load(const struct nc_model *model, const struct nc_config *config,
                     const char *const *paths, size_t path_count, const char *store_path,
                     struct nc_examples *e)
{
    *e = (struct nc_examples){0};
    struct nc_caption_files files = {0};
    struct nc_captions captions = {0};
    const char *captions_path = paths[0];
    struct text *texts = NULL;
    uint32_t *first[NC_TEXT_ROLES] = {NULL};
    struct nc_losses losses;
    size_t *row_of_image = NULL, text_count = 0, missing = 0;
    const char *first_missing = NULL;
    char hash[17], needs[200];
    int status = nc_model_vision_hash(model, hash);
    if (status == NC_OK)
        status = nc_embedding_store_open(store_path, &e->store);
    if (status == NC_OK)
        status = nc_embedding_store_expect(e->store, hash, nc_model_shape(model)->embedding);
    if (status == NC_OK && config->source_count && config->source_count != path_count)
        status = nc_error(NC_BAD_INPUT, "train: sources draws from %u files of captions, and %zu are "
                          "given", config->source_count, path_count);
    if (status == NC_OK)
        status = nc_caption_files_load(paths, path_count, &files);
    captions = files.all;
    if (status != NC_OK)
        goto cleanup;
    nc_losses_of(config, &losses);
    if (captions.count > UINT32_MAX / 2 || captions.image_count > INT32_MAX) {
        status =
            nc_error(NC_BAD_INPUT, "%s: more captions than this program counts", captions_path);
        goto cleanup;
    }
    row_of_image = array(captions.image_count, sizeof *row_of_image);
    if (!row_of_image) {
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
    status = gather_texts(&captions, losses.roles | 1u << NC_TEXT_CAPTION, first, &texts, &text_count);
    if (status == NC_OK)
        status = tokenize(model, config, texts, text_count);
    if (status == NC_OK)
        status = collect(&captions, texts, text_count, first,
                         config->source_count ? files.file : NULL, row_of_image, &losses, e);
    if (status == NC_OK && !e->count && e->without_roles)
        status = nc_error(NC_BAD_INPUT, "%s: no caption has %s, which the loss needs", captions_path,
                          nc_losses_needs(&losses, needs, sizeof needs));
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
    for (int role = 0; role < NC_TEXT_ROLES; role++)
        free(first[role]);
    free(row_of_image);
    nc_caption_files_free(&files);
    if (status != NC_OK)
        nc_examples_free(e);
    return status;
}

void nc_examples_free(struct nc_examples *e)
{
    free(e->tokens);
    free(e->token_start);
    for (int role = 0; role < NC_TEXT_ROLES; role++)
        free(e->text[role]);
    free(e->choices);
    free(e->embedding);
    free(e->image);
    free(e->distractor_embedding);
    free(e->distractor_image);
    free(e->source);
    nc_example_sources_free(e->sources);
    free(e->training);
    free(e->validation);
    nc_embedding_store_close(e->store);
    *e = (struct nc_examples){0};
}

void nc_examples_order(const struct nc_examples *e, uint64_t seed, uint64_t epoch, uint32_t *order)
{
    if (e->sources) {
        nc_example_sources_order(e, seed, epoch, order);
        return;
    }
    memcpy(order, e->training, e->training_count * sizeof *order);
    uint64_t state = nc_random_stream(seed, STREAM_EPOCH, epoch);
    nc_random_shuffle(&state, order, e->training_count);
}

const uint32_t *nc_examples_once(const struct nc_examples *e, size_t list, size_t *count)
{
    size_t number = list / 2;
    bool held_out = list % 2;
    if (e->sources && number < e->sources->count) {
        *count = held_out ? e->sources->held_out_count[number] : e->sources->drawn_count[number];
        return held_out ? e->sources->held_out[number] : e->sources->drawn[number];
    }
    *count = held_out ? e->validation_count : e->training_count;
    return e->sources || number ? NULL : held_out ? e->validation : e->training;
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

size_t nc_examples_count_texts(const struct nc_examples *e, const uint32_t *list, size_t count,
                               size_t counts[NC_TEXT_ROLES])
{
    size_t beside = 0;
    counts[NC_TEXT_CAPTION] = count;
    for (int role = NC_TEXT_CAPTION + 1; role < NC_TEXT_ROLES; role++) {
        size_t texts;
        counts[role] = 0;
        for (size_t i = 0; i < count && e->text[role]; i++) {
            (void)nc_examples_text(e, role, list[i], &texts);
            counts[role] += texts;
        }
        beside += counts[role];
    }
    return beside;
}

int nc_examples_pack(const struct nc_examples *e, const struct nc_model_shape *shape,
                     const struct nc_config *config, const uint32_t *list, size_t count,
                     struct nc_packing *packing)
{
    nc_packing_clear(packing);
    int status = NC_OK;
    for (int role = 0; role < NC_TEXT_ROLES; role++)
        for (size_t i = 0; i < count && e->text[role] && status == NC_OK; i++) {
            size_t texts;
            uint32_t text = nc_examples_text(e, role, list[i], &texts);
            for (size_t k = 0; k < texts && status == NC_OK; k++, text++) {
                size_t start = e->token_start[text], end = e->token_start[text + 1];
                status = nc_caption_pack(shape, e->tokens + start, end - start,
                                         config->share_prefixes, packing);
            }
        }
    return status;
}
