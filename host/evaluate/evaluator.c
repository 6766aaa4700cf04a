/* Embeds the texts and pictures that benchmarks name, with one model: pictures from a store where
 * there is one, or from another model's features where the vision towers are equal. */
#include "nclip/evaluate/evaluate.h"

#include "nclip/encoder/encoder.h"
#include "nclip/pictures/damage.h"
#include "nclip/pictures/source.h"
#include "nclip/store/store.h"
#include "nclip/support/error.h"
#include "nclip/support/progress.h"
#include "views.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOW_PROGRESS_FROM = 2000 /* texts */ };

struct nc_evaluator {
    struct nc_evaluator_options options;
    struct nc_ops *ops;
    struct nc_model *model;
    struct nc_encoder *text, *vision; /* vision: NULL until a picture must be encoded */
    struct nc_embedding_store *store; /* or NULL */
    struct nc_image_source *source;   /* of nc_evaluator_pictures() without a store */
    struct nc_picture_cache *cache;
    size_t slot;
    struct nc_damage damaged, unreadable; /* pictures */
};

int nc_evaluator_open(const struct nc_evaluator_options *options, struct nc_evaluator **out)
{
    *out = NULL;
    struct nc_evaluator *evaluator = calloc(1, sizeof *evaluator);
    if (!evaluator)
        return nc_error(NC_FAILED, "evaluate: no memory");
    evaluator->options = *options;
    struct nc_encoder_options text = {.precision = options->precision, .text = true};
    char hash[17];
    int status = nc_model_open(options->model, &evaluator->model);
    if (status == NC_OK && options->embeddings)
        status = nc_embedding_store_open(options->embeddings, &evaluator->store);
    if (status == NC_OK && options->embeddings)
        status = nc_model_vision_hash(evaluator->model, hash);
    if (status == NC_OK && options->embeddings)
        status =
            nc_embedding_store_expect(evaluator->store, hash, nc_evaluator_embedding(evaluator));
    if (status == NC_OK)
        status = nc_ops_create(options->device, (int)options->device_number, &evaluator->ops);
    if (status == NC_OK)
        status = nc_encoder_create(evaluator->ops, evaluator->model, &text, &evaluator->text);
    if (status != NC_OK) {
        nc_evaluator_close(evaluator);
        return status;
    }
    *out = evaluator;
    return NC_OK;
}

void nc_evaluator_close(struct nc_evaluator *evaluator)
{
    if (!evaluator)
        return;
    nc_encoder_destroy(evaluator->text);
    nc_encoder_destroy(evaluator->vision);
    nc_embedding_store_close(evaluator->store);
    nc_image_source_close(evaluator->source);
    nc_ops_destroy(evaluator->ops);
    nc_model_close(evaluator->model);
    nc_damage_free(&evaluator->damaged);
    nc_damage_free(&evaluator->unreadable);
    free(evaluator);
}

size_t nc_evaluator_unreadable(const struct nc_evaluator *evaluator)
{
    return evaluator->unreadable.count;
}

void nc_evaluator_tell(const struct nc_evaluator *evaluator)
{
    nc_damage_tell(&evaluator->damaged, NC_DAMAGED_READ);
    nc_damage_tell(&evaluator->unreadable, "pictures could not be read and were passed over");
}

const struct nc_evaluator_options *nc_evaluator_options(const struct nc_evaluator *evaluator)
{
    return &evaluator->options;
}

size_t nc_evaluator_embedding(const struct nc_evaluator *evaluator)
{
    return nc_model_shape(evaluator->model)->embedding;
}

struct nc_ops *nc_evaluator_ops(struct nc_evaluator *evaluator)
{
    return evaluator->ops;
}

int nc_evaluator_texts(struct nc_evaluator *evaluator, const char *const *texts, size_t count,
                       float *features)
{
    enum { PART = 256 };
    size_t embedding = nc_evaluator_embedding(evaluator);
    struct nc_progress *progress =
        count >= SHOW_PROGRESS_FROM ? nc_progress_start("evaluate", "texts", 0, count) : NULL;
    int status = NC_OK;
    for (size_t i = 0; i < count && status == NC_OK; i += PART) {
        size_t part = count - i < PART ? count - i : PART;
        status =
            nc_encoder_texts(evaluator->text, texts + i, part, false, features + i * embedding);
        nc_progress_update(progress, i + part, NULL);
    }
    nc_progress_finish(progress);
    return status;
}

/* ---- Pictures ------------------------------------------------------------------------------- */

struct search {
    const struct nc_embedding_store *store;
    size_t *row; /* of the name asked for last */
    int *status; /* the first failure */
};

static bool in_store(const void *context, const char *name)
{
    const struct search *search = context;
    if (*search->status == NC_OK)
        *search->status = nc_embedding_store_find(search->store, name, search->row);
    return *search->status == NC_OK && *search->row != NC_EMBEDDING_NONE;
}

/* Whole pictures from the store; wanted[views->count]: which views are not. What embed could not
 * read is in no store. */
static int from_store(struct nc_evaluator *evaluator, const struct nc_views *views,
                      const char *folder, bool *wanted, float *features, bool *missing)
{
    size_t row;
    int status = NC_OK;
    const struct search search = {evaluator->store, &row, &status};
    size_t embedding = nc_evaluator_embedding(evaluator);
    for (size_t i = 0; i < views->count; i++) {
        const struct nc_view *view = &views->items[i];
        const char *name = views_known_name(views->images[view->image], in_store, &search);
        wanted[i] = view->has_box || !in_store(&search, name);
        if (status != NC_OK)
            return status;
        if (wanted[i] && !folder && !view->has_box && evaluator->options.skip_unreadable) {
            wanted[i] = false;
            missing[i] = true;
            nc_damage_note(&evaluator->unreadable, name, "not in the store");
            continue;
        }
        if (wanted[i] && !folder)
            return nc_error(NC_BAD_INPUT,
                            view->has_box ? "%s: a store holds whole pictures, but this benchmark "
                                            "looks at a part of %s: give --images"
                                          : "%s: does not hold %s: embed it, or give --images too",
                            evaluator->options.embeddings, name);
        if (wanted[i])
            continue;
        status = nc_embedding_store_row_unit(evaluator->store, row, features + i * embedding);
        if (status != NC_OK)
            return status;
    }
    return NC_OK;
}

/* Where pictures are decoded; a store needs none of it. */
static int load_preprocessing(struct nc_evaluator *evaluator, struct nc_preprocess *preprocess)
{
    const struct nc_evaluator_options *options = &evaluator->options;
    int status = nc_preprocess_load(options->model, nc_model_shape(evaluator->model)->image_size,
                                    preprocess);
    if (status == NC_OK)
        (void)nc_preprocess_choose(preprocess, options->transparency, options->strict);
    return status;
}

/* Pictures of a store and pictures of files in one score should have been prepared alike. */
static void compare_preprocessing(const struct nc_evaluator *evaluator,
                                  const struct nc_preprocess *preprocess)
{
    char *here = nc_preprocess_describe(preprocess);
    const char *there = nc_embedding_store_info(evaluator->store)->preprocessing;
    if (here && strcmp(here, there) != 0)
        fprintf(stderr,
                "warning: %s: its pictures were preprocessed as \"%s\", the others now as \"%s\"\n",
                evaluator->options.embeddings, there, here);
    free(here);
}

static int encode_views(struct nc_evaluator *evaluator, const struct nc_views *views,
                        const char *folder, float *features, bool *missing)
{
    struct views_reading reading = {.skip = evaluator->options.skip_unreadable,
                                    .missing = missing,
                                    .damaged = &evaluator->damaged,
                                    .unreadable = &evaluator->unreadable};
    bool *wanted = malloc(views->count + 1);
    if (!wanted)
        return nc_error(NC_FAILED, "evaluate: no memory");
    memset(wanted, true, views->count + 1);
    int status = NC_OK;
    if (evaluator->store)
        status = from_store(evaluator, views, folder, wanted, features, missing);
    else if (!folder)
        status =
            nc_error(NC_USAGE, "evaluate: needs --images, or --embeddings with a store of them");
    bool any = status == NC_OK && memchr(wanted, true, views->count);
    struct nc_encoder_options vision = {.precision = evaluator->options.precision, .vision = true};
    if (any)
        status = load_preprocessing(evaluator, &reading.preprocess);
    if (any && status == NC_OK && evaluator->store)
        compare_preprocessing(evaluator, &reading.preprocess);
    if (any && status == NC_OK && !evaluator->vision)
        status = nc_encoder_create(evaluator->ops, evaluator->model, &vision, &evaluator->vision);
    if (any && status == NC_OK)
        status = views_encode(evaluator->vision, evaluator->model, views, wanted, folder, &reading,
                              features);
    free(wanted);
    size_t embedding = nc_evaluator_embedding(evaluator);
    for (size_t i = 0; i < views->count && status == NC_OK; i++)
        if (missing[i])
            memset(features + i * embedding, 0, embedding * sizeof *features);
    if (status == NC_OK && views->count && !memchr(missing, false, views->count))
        status = nc_error(NC_BAD_INPUT, "no picture could be read; of the first: %s",
                          evaluator->unreadable.named[0] ? evaluator->unreadable.named[0] : "?");
    return status;
}

int nc_evaluator_pictures(struct nc_evaluator *evaluator, const char *folder, const char ***names,
                          size_t *count)
{
    const struct nc_embedding_store *store = evaluator->store;
    int status = NC_OK;
    *names = NULL;
    *count = 0;
    if (!store && !folder)
        return nc_error(NC_USAGE, "evaluate: needs --images, or --embeddings with a store of them");
    if (!store) {
        nc_image_source_close(evaluator->source);
        evaluator->source = NULL;
        status = nc_image_source_open(folder, &evaluator->source);
    }
    if (status != NC_OK)
        return status;
    *count = store ? nc_embedding_store_count(store) : nc_image_source_count(evaluator->source);
    *names = malloc((*count + 1) * sizeof **names);
    if (!*names)
        return nc_error(NC_FAILED, "evaluate: no memory");
    for (size_t i = 0; i < *count && status == NC_OK; i++) {
        if (store)
            status = nc_embedding_store_key(store, i, &(*names)[i]);
        else
            (*names)[i] = nc_image_source_key(evaluator->source, i);
    }
    if (status != NC_OK) {
        free(*names);
        *names = NULL;
    }
    return status;
}

/* ---- One model's features for the next ------------------------------------------------------ */

struct nc_picture_cache {
    char hash[17];       /* of the vision tower */
    char *preprocessing; /* what it saw */
    size_t slot, values, unreadable;
    float *features;
    bool *missing;
};

int nc_picture_cache_create(struct nc_picture_cache **cache)
{
    *cache = calloc(1, sizeof **cache);
    return *cache ? NC_OK : nc_error(NC_FAILED, "evaluate: no memory");
}

void nc_picture_cache_destroy(struct nc_picture_cache *cache)
{
    if (cache) {
        free(cache->preprocessing);
        free(cache->features);
        free(cache->missing);
    }
    free(cache);
}

void nc_evaluator_use_cache(struct nc_evaluator *evaluator, struct nc_picture_cache *cache,
                            size_t slot)
{
    evaluator->cache = cache;
    evaluator->slot = slot;
}

static bool cached(const struct nc_picture_cache *cache, size_t slot, size_t values,
                   const char *hash, const char *preprocessing)
{
    return cache->features && cache->slot == slot && cache->values == values &&
           strcmp(cache->hash, hash) == 0 && strcmp(cache->preprocessing, preprocessing) == 0;
}

/* Takes over `preprocessing`. Without memory nothing is kept. */
static void keep(const struct nc_evaluator *evaluator, size_t values, const char *hash,
                 char *preprocessing, const float *features, const bool *missing, size_t count)
{
    struct nc_picture_cache *cache = evaluator->cache;
    free(cache->preprocessing);
    free(cache->features);
    free(cache->missing);
    *cache = (struct nc_picture_cache){.slot = evaluator->slot,
                                       .values = values,
                                       .unreadable = evaluator->unreadable.count,
                                       .preprocessing = preprocessing,
                                       .features = malloc((values + 1) * sizeof *features),
                                       .missing = malloc(count + 1)};
    strcpy(cache->hash, hash);
    if (cache->features && cache->missing) {
        memcpy(cache->features, features, values * sizeof *features);
        memcpy(cache->missing, missing, count);
        return;
    }
    free(cache->features);
    cache->features = NULL;
}

int nc_evaluator_views(struct nc_evaluator *evaluator, const struct nc_views *views,
                       const char *folder, float *features, bool *missing)
{
    struct nc_picture_cache *cache = evaluator->cache;
    size_t values = views->count * nc_evaluator_embedding(evaluator);
    char hash[17];
    memset(missing, false, views->count);
    if (!cache)
        return encode_views(evaluator, views, folder, features, missing);
    int status = nc_model_vision_hash(evaluator->model, hash);
    if (status != NC_OK)
        return status;
    struct nc_preprocess preprocess = {0};
    bool store_only = evaluator->store && !folder;
    status = store_only ? NC_OK : load_preprocessing(evaluator, &preprocess);
    if (status != NC_OK)
        return status;
    char *preprocessing = nc_preprocess_describe(&preprocess);
    if (!preprocessing)
        return nc_error(NC_FAILED, "evaluate: no memory");
    if (cached(cache, evaluator->slot, values, hash, preprocessing)) {
        memcpy(features, cache->features, values * sizeof *features);
        memcpy(missing, cache->missing, views->count);
        evaluator->unreadable.count = cache->unreadable;
        free(preprocessing);
        return NC_OK;
    }
    status = encode_views(evaluator, views, folder, features, missing);
    if (status == NC_OK)
        keep(evaluator, values, hash, preprocessing, features, missing, views->count);
    else
        free(preprocessing);
    return status;
}
