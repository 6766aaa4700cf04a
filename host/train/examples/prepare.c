/* Prepares a set: opens what it is made of, begins it or goes on with it, and finishes it. */
#include "prepare.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/progress.h"
#include "nclip/support/signals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what it is made of ---- */

static const char *truncation_name(enum nc_truncation truncation)
{
    return truncation == NC_TRUNCATE ? "truncate" : truncation == NC_TRUNCATE_SKIP ? "skip"
                                                                                    : "error";
}

static int describe_sources(struct prepare *p)
{
    size_t count = p->options->caption_count;
    p->source_bytes = calloc(count ? count : 1, sizeof *p->source_bytes);
    if (!p->source_bytes)
        return nc_error(NC_FAILED, "prepare: no memory");
    for (size_t i = 0; i < count; i++) {
        struct stat information;
        const char *path = p->options->captions[i];
        if (strcmp(path, "-") != 0 && stat(path, &information) == 0 &&
            S_ISREG(information.st_mode))
            p->source_bytes[i] = (uint64_t)information.st_size;
    }
    p->info.sources = p->options->captions;
    p->info.source_bytes = p->source_bytes;
    p->info.source_count = count;
    return NC_OK;
}

static int describe_model(struct prepare *p)
{
    const char *folder = p->options->model_folder;
    p->shape = nc_model_shape(p->model);
    p->info.vocabulary = p->shape->vocabulary;
    p->info.context = p->shape->context;
    p->info.id_bytes = p->shape->vocabulary > (size_t)UINT16_MAX + 1 ? 4 : 2;
    p->info.too_long = truncation_name(p->options->too_long);
    if (p->shape->context > NC_SET_LONGEST)
        return nc_error(NC_BAD_INPUT,
                        "%s: a context of %zu tokens; a prepared set holds texts of %d at most",
                        folder, p->shape->context, NC_SET_LONGEST);
    int status = nc_tokenizer_load(folder, NC_TOKENIZER_TRANSFORMERS, &p->tokenizer);
    if (status == NC_OK)
        p->info.tokenizer = nc_tokenizer_fingerprint(p->tokenizer);
    return status;
}

static int describe_store(struct prepare *p)
{
    char hash[17];
    int status = nc_model_vision_hash(p->model, hash);
    if (status == NC_OK)
        status = nc_embedding_store_open(p->options->embeddings, &p->store);
    if (status == NC_OK)
        status = nc_embedding_store_expect(p->store, hash, p->shape->embedding);
    if (status != NC_OK)
        return status;
    const struct nc_embedding_info *info = nc_embedding_store_info(p->store);
    p->store_path = realpath(p->options->embeddings, NULL);
    if (!p->store_path)
        return nc_error_read(p->options->embeddings);
    p->info.store = p->store_path;
    p->info.store_fingerprint = nc_embedding_store_fingerprint(p->store);
    p->info.store_rows = nc_embedding_store_count(p->store);
    p->info.blocks = nc_embedding_store_blocks(p->store);
    p->info.dimension = info->dimension;
    p->info.type = info->type;
    p->info.model_hash = info->model_hash;
    return NC_OK;
}

/* ---- a set that is complete already ---- */

static const char *find_difference(const struct nc_set_info *a, const struct nc_set_info *b)
{
    bool same = a->source_count == b->source_count;
    for (size_t i = 0; i < a->source_count && same; i++)
        same = strcmp(a->sources[i], b->sources[i]) == 0 &&
               a->source_bytes[i] == b->source_bytes[i];
    return !same                                          ? "captions"
           : a->store_fingerprint != b->store_fingerprint ? "embeddings"
           : a->tokenizer != b->tokenizer || a->vocabulary != b->vocabulary ||
                   a->context != b->context
               ? "tokenizer"
           : strcmp(a->too_long, b->too_long) != 0 ? "rule for long captions"
                                                   : NULL;
}

static int check_complete(struct prepare *p)
{
    struct nc_set *set;
    int status = nc_set_open(p->options->out, &set);
    if (status != NC_OK)
        return status;
    const char *what = find_difference(nc_set_info(set), &p->info);
    nc_set_close(set);
    if (what)
        return nc_error(NC_USAGE,
                        "%s: a prepared set is there, made with other %s; give another --out, or "
                        "remove it",
                        p->options->out, what);
    p->result->before = true;
    return nc_folder_remove(p->work); /* of a call that was killed at its very end */
}

/* ---- the work ---- */

static int begin(struct prepare *p)
{
    bool found;
    int status = prepare_load(p, &found);
    if (status != NC_OK)
        return status;
    p->result->resumed = found;
    if (!found) { /* nothing, or what was killed before its first state */
        status = nc_folder_remove(p->work);
        if (status == NC_OK && !nc_folder_is_empty(p->options->out))
            status = nc_error(NC_USAGE,
                              "%s: holds something else already; give another --out, a new or an "
                              "empty folder",
                              p->options->out);
        if (status == NC_OK)
            status = nc_folder_create(p->work);
    }
    size_t buckets = p->info.blocks < SPILL_BUCKETS ? p->info.blocks : SPILL_BUCKETS;
    if (status == NC_OK)
        status = spill_open(p->work, buckets, &p->state.spill, &p->spill);
    p->saved = nc_seconds();
    return status;
}

/* Nothing is left that a later call could go on from, or that would be in another one's way. */
static void undo(struct prepare *p)
{
    spill_close(p->spill);
    p->spill = NULL;
    (void)nc_folder_remove(p->work);
    (void)rmdir(p->options->out);
}

static int refuse_none(struct prepare *p)
{
    const struct prepare_left_out *left = p->state.counts.left_out;
    const struct prepare_left_out *missing = &left[PREPARE_PICTURE_MISSING];
    undo(p);
    if (missing->count)
        return nc_error(NC_BAD_INPUT,
                        "%s: none of the captions' pictures is in it (for one, %s); keys are paths "
                        "relative to the folder that nclip embed was given",
                        p->options->embeddings, missing->first);
    if (left[PREPARE_MALFORMED].count)
        return nc_error(NC_BAD_INPUT, "no caption is left; %llu records cannot be read, for one %s",
                        (unsigned long long)left[PREPARE_MALFORMED].count,
                        left[PREPARE_MALFORMED].first);
    return nc_error(NC_BAD_INPUT,
                    "no caption is left: all are longer than the context of %zu tokens",
                    p->info.context);
}

static int join(struct prepare *p)
{
    int status = prepare_join(p);
    if (status != NC_OK && !p->state.records)
        undo(p);
    if (status == NC_OK)
        status = nc_embedding_store_check(p->store);
    if (status == NC_OK && !p->state.counts.examples)
        status = refuse_none(p);
    if (status == NC_OK)
        status = prepare_save(p);
    if (status != NC_OK)
        return status;
    p->state.joined = true;
    return prepare_save(p);
}

static int finish(struct prepare *p)
{
    const struct prepare_counts *c = &p->state.counts;
    struct nc_set_info info = p->info;
    struct nc_set_left_out left_out[PREPARE_REASONS];
    info.roles = c->roles;
    info.has_distractors = c->distractors > 0;
    info.captions = p->state.records;
    info.examples = c->examples;
    info.texts = c->texts;
    info.tokens = c->tokens;
    info.pictures = c->pictures;
    info.distractors = c->distractors;
    info.truncated = c->truncated;
    info.negation_lost = c->negation_lost;
    info.longest_text = c->longest_text;
    info.longest_example = c->longest_example;
    info.largest_block = c->largest_block;
    info.left_out = left_out;
    for (size_t i = 0; i < PREPARE_REASONS; i++)
        if (c->left_out[i].count)
            left_out[info.left_out_count++] = (struct nc_set_left_out){
                prepare_reason_name((enum prepare_reason)i), c->left_out[i].count,
                c->left_out[i].first};
    int status = nc_embedding_store_check(p->store);
    if (status == NC_OK)
        status = nc_set_finish(p->options->out, &info, p->state.shards);
    return status == NC_OK ? nc_folder_remove(p->work) : status;
}

static int work(struct prepare *p)
{
    int status = begin(p);
    if (status == NC_OK && !p->state.joined)
        status = join(p);
    if (status == NC_OK)
        status = prepare_write_ranges(p);
    return status == NC_OK ? finish(p) : status;
}

int nc_prepare(const struct nc_prepare_options *options, struct nc_prepare_result *result)
{
    struct prepare p = {.options = options, .result = result};
    double began = nc_seconds();
    int lock = -1;
    *result = (struct nc_prepare_result){0};
    p.work = nc_path_join(options->out, NC_SET_WORK);
    int status = p.work ? NC_OK : nc_error(NC_FAILED, "prepare: no memory");
    if (status == NC_OK)
        status = nc_model_open(options->model_folder, &p.model);
    if (status == NC_OK)
        status = describe_model(&p);
    if (status == NC_OK)
        status = describe_store(&p);
    if (status == NC_OK)
        status = describe_sources(&p);
    if (status == NC_OK)
        status = nc_folder_create(options->out);
    if (status == NC_OK)
        status = nc_folder_lock(options->out, "preparing a set", &lock);
    nc_signals_catch();
    if (status == NC_OK)
        status = nc_folder_holds(options->out, NC_SET_FILE) ? check_complete(&p) : work(&p);
    nc_signals_release();
    result->seconds = nc_seconds() - began;
    spill_close(p.spill);
    if (lock >= 0)
        close(lock);
    nc_embedding_store_close(p.store);
    nc_tokenizer_destroy(p.tokenizer);
    nc_model_close(p.model);
    free(p.source_bytes);
    free(p.store_path);
    free(p.work);
    return status;
}
