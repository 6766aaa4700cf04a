/* Loads towers into a backend, and runs texts and pictures through them in batches. */
#include "nclip/encoder/encoder.h"

#include "nclip/arena.h"
#include "nclip/model/towers.h"
#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

enum { DEFAULT_BATCH = 64 };

/* One tower's parameters in the backend's memory. */
struct loaded {
    float *master;
    nc_bfloat16 *shadow;
};

struct nc_encoder {
    struct nc_ops *ops;
    const struct nc_model *model;
    struct nc_encoder_options options;
    struct nc_arena *arena;
    struct loaded towers[2]; /* by enum nc_tower */
    float *features;         /* [batch, embedding] in the backend's memory */
    struct nc_text_tower *text;
    struct nc_vision_tower *vision;
    struct nc_tokenizer *tokenizer;
    struct nc_packing packing;
    struct nc_tokens tokens;
    struct nc_encoder_counts counts;
};

static int load_tower(struct nc_encoder *encoder, enum nc_tower tower)
{
    struct nc_ops *ops = encoder->ops;
    size_t count = nc_model_table(encoder->model)->tower_elements[tower];
    struct loaded *loaded = &encoder->towers[tower];
    float *host = malloc(count * sizeof *host);
    if (!host)
        return nc_error(NC_FAILED, "%s: no memory for its parameters",
                        nc_model_folder(encoder->model));
    int status = nc_model_load(encoder->model, tower, host);
    if (status == NC_OK)
        status = ops->upload(ops->backend, loaded->master, host, count * sizeof *host);
    if (status == NC_OK)
        status = ops->synchronize(ops->backend);
    free(host);
    if (status == NC_OK && loaded->shadow)
        status = ops->convert(ops->backend, loaded->shadow, NC_BFLOAT16, loaded->master, NC_FLOAT32,
                              count);
    return status;
}

static int reserve_tower(struct nc_encoder *encoder, enum nc_tower tower)
{
    size_t count = nc_model_table(encoder->model)->tower_elements[tower];
    struct loaded *loaded = &encoder->towers[tower];
    int status = nc_arena_reserve(encoder->arena, "parameters", count * sizeof(float),
                                  (void **)&loaded->master);
    if (status == NC_OK && encoder->options.precision != NC_FLOAT32)
        status = nc_arena_reserve(encoder->arena, "parameters", count * sizeof(nc_bfloat16),
                                  (void **)&loaded->shadow);
    return status;
}

static int create_text(struct nc_encoder *encoder)
{
    const struct nc_model_shape *shape = nc_model_shape(encoder->model);
    const struct nc_encoder_options *o = &encoder->options;
    size_t tokens = o->batch * shape->context;
    struct nc_text_capacity capacity = {o->batch, tokens, tokens, tokens, false};
    int status =
        o->ids ? NC_OK
               : nc_tokenizer_load(o->tokenizer ? o->tokenizer : nc_model_folder(encoder->model),
                                   o->rules, &encoder->tokenizer);
    if (status == NC_OK)
        status = nc_packing_create(capacity.captions, capacity.tokens, &encoder->packing);
    if (status == NC_OK)
        status = reserve_tower(encoder, NC_TOWER_TEXT);
    if (status == NC_OK)
        status = nc_text_tower_create(encoder->ops, shape, nc_model_table(encoder->model),
                                      o->precision, &capacity, encoder->arena, &encoder->text);
    return status;
}

static int create_vision(struct nc_encoder *encoder)
{
    int status = reserve_tower(encoder, NC_TOWER_VISION);
    if (status == NC_OK)
        status = nc_vision_tower_create(encoder->ops, nc_model_shape(encoder->model),
                                        nc_model_table(encoder->model), encoder->options.precision,
                                        encoder->options.batch, encoder->arena, &encoder->vision);
    return status;
}

int nc_encoder_create(struct nc_ops *ops, const struct nc_model *model,
                      const struct nc_encoder_options *options, struct nc_encoder **out)
{
    *out = NULL;
    int vision = options->vision ? nc_model_need_vision(model) : NC_OK;
    if (vision != NC_OK)
        return vision;
    struct nc_encoder *encoder = calloc(1, sizeof *encoder);
    if (!encoder)
        return nc_error(NC_FAILED, "encoder: no memory");
    encoder->ops = ops;
    encoder->model = model;
    encoder->options = *options;
    if (!encoder->options.batch)
        encoder->options.batch = DEFAULT_BATCH;
    int status = nc_arena_create(&encoder->arena);
    if (status == NC_OK)
        status = nc_arena_reserve(encoder->arena, "features",
                                  encoder->options.batch * nc_model_shape(model)->embedding *
                                      sizeof(float), (void **)&encoder->features);
    if (status == NC_OK && options->text)
        status = create_text(encoder);
    if (status == NC_OK && options->vision)
        status = create_vision(encoder);
    if (status == NC_OK)
        status = nc_arena_commit(encoder->arena, ops);
    if (status == NC_OK && options->text)
        status = load_tower(encoder, NC_TOWER_TEXT);
    if (status == NC_OK && options->vision)
        status = load_tower(encoder, NC_TOWER_VISION);
    if (status != NC_OK) {
        nc_encoder_destroy(encoder);
        return status;
    }
    *out = encoder;
    return NC_OK;
}

void nc_encoder_destroy(struct nc_encoder *encoder)
{
    if (!encoder)
        return;
    nc_text_tower_destroy(encoder->text);
    nc_vision_tower_destroy(encoder->vision);
    nc_packing_destroy(&encoder->packing);
    nc_tokens_free(&encoder->tokens);
    nc_tokenizer_destroy(encoder->tokenizer);
    nc_arena_destroy(encoder->arena);
    free(encoder);
}

const struct nc_tokenizer *nc_encoder_tokenizer(const struct nc_encoder *encoder)
{
    return encoder->tokenizer;
}

struct nc_encoder_counts nc_encoder_counts(const struct nc_encoder *encoder)
{
    return encoder->counts;
}

/* Adds one text to the packed batch. A skipped one adds nothing. */
static int pack(struct nc_encoder *encoder, const char *text, bool *skipped)
{
    const struct nc_model_shape *shape = nc_model_shape(encoder->model);
    struct nc_tokens *tokens = &encoder->tokens;
    int status = nc_tokenizer_encode(encoder->tokenizer, text, strlen(text), shape->context,
                                     encoder->options.too_long, tokens);
    if (status != NC_OK)
        return nc_error_prefix(status, "text \"%.60s\"", text);
    encoder->counts.texts++;
    encoder->counts.truncated += tokens->truncated;
    encoder->counts.skipped += tokens->skipped;
    encoder->counts.negation_lost += tokens->negation_lost;
    *skipped = tokens->skipped;
    if (tokens->skipped)
        return NC_OK;
    for (size_t i = 0; i < tokens->count; i++)
        if (tokens->ids[i] < 0 || (size_t)tokens->ids[i] >= shape->vocabulary)
            return nc_error(NC_BAD_INPUT,
                            "text \"%.60s\": token id %d is outside the model's vocabulary of %zu; "
                            "the tokenizer belongs to another model", text, (int)tokens->ids[i],
                            shape->vocabulary);
    return nc_caption_pack(shape, tokens->ids, tokens->count, true, &encoder->packing);
}

/* The features of the packed captions, [captions, embedding] in host memory. */
static int encode_packed(struct nc_encoder *encoder, bool raw, float *features)
{
    struct nc_ops *ops = encoder->ops;
    size_t row = nc_model_shape(encoder->model)->embedding * sizeof(float);
    struct nc_weights weights = {encoder->towers[NC_TOWER_TEXT].master,
                                 encoder->towers[NC_TOWER_TEXT].shadow};
    int status = nc_text_tower_load(encoder->text, &encoder->packing, NULL);
    if (status == NC_OK)
        status = nc_text_tower_forward(encoder->text, &weights, &encoder->packing, false, raw,
                                       encoder->features);
    if (status == NC_OK && encoder->packing.captions)
        status = ops->download(ops->backend, features, encoder->features,
                               encoder->packing.captions * row);
    return status;
}

static int text_batch(struct nc_encoder *encoder, const char *const *texts, size_t count, bool raw,
                      float *features)
{
    size_t embedding = nc_model_shape(encoder->model)->embedding, row = embedding * sizeof(float);
    bool *skipped = calloc(count, sizeof *skipped);
    if (!skipped)
        return nc_error(NC_FAILED, "encoder: no memory");
    nc_packing_clear(&encoder->packing);
    int status = NC_OK;
    for (size_t i = 0; i < count && status == NC_OK; i++)
        status = pack(encoder, texts[i], &skipped[i]);
    if (status == NC_OK)
        status = encode_packed(encoder, raw, features);
    /* Spread the packed rows over the texts, from the back, so that none is overwritten. */
    size_t from = encoder->packing.captions;
    for (size_t i = count; i > 0 && status == NC_OK; i--) {
        if (skipped[i - 1])
            memset(features + (i - 1) * embedding, 0, row);
        else if (--from != i - 1)
            memmove(features + (i - 1) * embedding, features + from * embedding, row);
    }
    free(skipped);
    return status;
}

int nc_encoder_texts(struct nc_encoder *encoder, const char *const *texts, size_t count, bool raw,
                     float *features)
{
    size_t embedding = nc_model_shape(encoder->model)->embedding, batch = encoder->options.batch;
    int status = NC_OK;
    for (size_t i = 0; i < count && status == NC_OK; i += batch)
        status = text_batch(encoder, texts + i, count - i < batch ? count - i : batch, raw,
                            features + i * embedding);
    return status;
}

/* Whether the caption has the token that features are read at. */
static bool has_end(const struct nc_model_shape *shape, const int32_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ids[i] == shape->end_token)
            return true;
    return shape->end_rule != NC_END_FIRST ||
           (shape->end_token == shape->pad_token && count < shape->context);
}

static int pack_ids(struct nc_encoder *encoder, const int32_t *ids, size_t count, size_t number)
{
    const struct nc_model_shape *shape = nc_model_shape(encoder->model);
    if (!count || count > shape->context)
        return nc_error(NC_BAD_INPUT, "caption %zu: %zu token ids; the model reads 1 to %zu", number,
                        count, shape->context);
    for (size_t i = 0; i < count; i++)
        if (ids[i] < 0 || (size_t)ids[i] >= shape->vocabulary)
            return nc_error(NC_BAD_INPUT,
                            "caption %zu: token id %d is outside the model's vocabulary of %zu",
                            number, (int)ids[i], shape->vocabulary);
    if (!has_end(shape, ids, count))
        return nc_error(NC_BAD_INPUT,
                        "caption %zu: ends nowhere: token %d, which the model reads features at, is "
                        "not in it",
                        number, (int)shape->end_token);
    encoder->counts.texts++;
    return nc_caption_pack(shape, ids, count, true, &encoder->packing);
}

int nc_encoder_ids(struct nc_encoder *encoder, const int32_t *ids, const size_t *start,
                   size_t count, size_t first, bool raw, float *features)
{
    size_t embedding = nc_model_shape(encoder->model)->embedding, batch = encoder->options.batch;
    int status = NC_OK;
    for (size_t i = 0; i < count && status == NC_OK; i += batch) {
        nc_packing_clear(&encoder->packing);
        for (size_t k = i; k < count && k < i + batch && status == NC_OK; k++)
            status = pack_ids(encoder, ids + start[k], start[k + 1] - start[k], first + k);
        if (status == NC_OK)
            status = encode_packed(encoder, raw, features + i * embedding);
    }
    return status;
}

int nc_encoder_pictures(struct nc_encoder *encoder, const float *pixels, size_t count, bool raw,
                        float *features)
{
    struct nc_ops *ops = encoder->ops;
    const struct nc_model_shape *shape = nc_model_shape(encoder->model);
    struct nc_weights weights = {encoder->towers[NC_TOWER_VISION].master,
                                 encoder->towers[NC_TOWER_VISION].shadow};
    size_t values = shape->channels * shape->image_size * shape->image_size;
    size_t embedding = shape->embedding, batch = encoder->options.batch;
    int status = NC_OK;
    for (size_t i = 0; i < count && status == NC_OK; i += batch) {
        size_t part = count - i < batch ? count - i : batch;
        status = nc_vision_tower_forward(encoder->vision, &weights, pixels + i * values, part, raw,
                                         encoder->features);
        if (status == NC_OK)
            status = ops->download(ops->backend, features + i * embedding, encoder->features,
                                   part * embedding * sizeof(float));
    }
    return status;
}
