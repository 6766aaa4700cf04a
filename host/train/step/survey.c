/* Finds how large the batches are that training will see: all of them where they are in memory, else
 * those at hand, with a margin. */
#include "parts.h"

#include "nclip/support/error.h"

#include <stdlib.h>

static size_t most(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How large the shares of a list's batches are. */
static int survey_shares(struct nc_step *step, const struct nc_examples *examples,
                         const uint32_t *list, size_t count, struct nc_step_need *need)
{
    size_t size = (size_t)step->config->batch_size;
    for (size_t start = 0; start < count; start += size) {
        struct nc_batch batch =
            nc_step_batch(step, examples, list + start, least(count - start, size), 0);
        need->batch = most(need->batch, batch.count);
        need->longest = most(need->longest, batch.share ? batch.share->most : 0);
    }
    return NC_OK;
}

/* Packs the micro batches of a batch as training will, and keeps the largest sizes. */
static int survey_batch(struct nc_step *step, const struct nc_batch *batch,
                        struct nc_step_need *need)
{
    struct nc_packing *packing = &step->packing;
    for (size_t at = 0; at < batch->count; at += step->micro) {
        size_t part = least(batch->count - at, step->micro);
        int status = nc_examples_pack(batch->examples, step->shape, step->config, batch->list + at,
                                      part, packing);
        if (status != NC_OK)
            return status;
        need->captions = most(need->captions, packing->captions);
        need->rows = most(need->rows, packing->rows);
        need->tokens = most(need->tokens, packing->tokens);
        need->repeated = most(need->repeated, packing->repeated);
    }
    need->beside = most(need->beside, batch->beside);
    return NC_OK;
}

static int survey(struct nc_step *step, const struct nc_examples *examples, const uint32_t *list,
                  size_t count, struct nc_step_need *need)
{
    size_t size = (size_t)step->config->batch_size;
    int status = NC_OK;
    for (size_t start = 0; start < count && status == NC_OK; start += size) {
        struct nc_batch batch =
            nc_step_batch(step, examples, list + start, least(count - start, size), 0);
        status = survey_batch(step, &batch, need);
    }
    return status;
}

/* Every batch of every epoch, and of the validation; or those of the sample. */
static int survey_all(struct nc_step *step, const struct nc_step_sample *sample, uint32_t *order,
                      int (*look)(struct nc_step *, const struct nc_examples *, const uint32_t *,
                                  size_t, struct nc_step_need *),
                      struct nc_step_need *need)
{
    const struct nc_examples *examples = sample->examples;
    int status = NC_OK;
    if (sample->list)
        return look(step, examples, sample->list, sample->count, need);
    for (uint64_t epoch = 0; epoch < step->config->epochs && status == NC_OK; epoch++) {
        nc_examples_order(examples, step->config->seed, epoch, order);
        status = look(step, examples, order, examples->training_count, need);
        nc_communicator_tick(step->ranks);
    }
    for (size_t k = 0; k < 2 * NC_MOST_SOURCES && step->losses.keeps && status == NC_OK; k++) {
        size_t count; /* nc_step_keep_base's */
        const uint32_t *list = nc_examples_once(examples, k, &count);
        status = list ? look(step, examples, list, count, need) : NC_OK;
    }
    return status == NC_OK ? look(step, examples, examples->validation, examples->validation_count, need)
                           : status;
}

static size_t longest_text(const struct nc_step *step, const struct nc_step_sample *sample)
{
    const struct nc_examples *examples = sample->examples;
    size_t longest = 1;
    if (sample->list) /* others may be longer */
        return step->shape->context;
    for (size_t i = 0; i < examples->texts; i++) {
        size_t start = examples->token_start[i], count = examples->token_start[i + 1] - start;
        longest = most(longest, nc_caption_rows(step->shape, examples->tokens + start, count));
    }
    return longest;
}

static size_t widened(size_t size, size_t extra_percent, size_t limit)
{
    return least(size + (size * extra_percent + 99) / 100, limit);
}

/* What a step was made for is kept: nothing is asked for twice. */
static void keep(struct nc_step_need *need, const struct nc_step_need *before)
{
    if (!before)
        return;
    need->captions = most(need->captions, before->captions);
    need->rows = most(need->rows, before->rows);
    need->tokens = most(need->tokens, before->tokens);
    need->repeated = most(need->repeated, before->repeated);
    need->beside = most(need->beside, before->beside);
}

/* The most texts that an example may bring. */
static size_t most_texts(const struct nc_step *step, const struct nc_step_sample *sample)
{
    size_t texts = 1, choices = sample->list ? NC_MOST_CHOICES : 0;
    for (size_t i = 0; i < sample->examples->count && sample->examples->choices && !sample->list; i++)
        choices = most(choices, sample->examples->choices[i]);
    for (int role = NC_TEXT_CAPTION + 1; role < NC_TEXT_ROLES; role++)
        if (step->losses.roles & 1u << role)
            texts += role == NC_TEXT_CHOICES ? choices : 1;
    return texts;
}

/* A batch that is not at hand may be larger, up to what cannot be exceeded. */
static void widen(const struct nc_step *step, const struct nc_step_sample *sample,
                  struct nc_step_need *need)
{
    size_t most_of_one = most_texts(step, sample), margin = sample->margin;
    size_t texts = step->micro * most_of_one;
    size_t tokens = texts * step->shape->context;
    need->captions = widened(need->captions, margin, texts);
    need->rows = widened(need->rows, margin, tokens);
    need->tokens = widened(need->tokens, margin, tokens);
    need->repeated = widened(need->repeated, margin, tokens);
    need->beside = widened(need->beside, margin, step->batch * (most_of_one - 1));
    keep(need, sample->least);
}

/* A step may be made anew on one rank alone, but the longest share sizes what goes round all ranks: it
 * grows just where a batch exceeds it, which all of them see. */
static void widen_shares(const struct nc_step_sample *sample, struct nc_step_need *need)
{
    const struct nc_step_need *before = sample->least;
    need->batch = widened(need->batch, sample->margin, sample->batch);
    need->batch = before ? most(need->batch, before->batch) : need->batch;
    if (before && need->longest <= before->longest)
        need->longest = before->longest;
    else
        need->longest = widened(need->longest, sample->margin, sample->batch);
}

int nc_step_survey(struct nc_step *step, const struct nc_step_sample *sample,
                   struct nc_step_need *need)
{
    const struct nc_config *config = step->config;
    *need = (struct nc_step_need){0};
    uint32_t *order = malloc(most(1, sample->examples->training_count) * sizeof *order);
    int status = order ? NC_OK : nc_error(NC_FAILED, "train: no memory");
    if (status == NC_OK)
        status = survey_all(step, sample, order, survey_shares, need);
    if (sample->list)
        widen_shares(sample, need);
    need->batch = most(1, need->batch);
    step->batch = need->batch;
    step->micro = config->micro_batch_size && config->micro_batch_size < step->batch
                      ? (size_t)config->micro_batch_size : step->batch;
    size_t texts = step->micro * most_texts(step, sample);
    if (status == NC_OK)
        status = nc_packing_create(texts, texts * longest_text(step, sample), &step->packing);
    if (status == NC_OK)
        status = survey_all(step, sample, order, survey, need);
    free(order);
    if (!need->captions) /* others have all of them */
        need->captions = need->rows = need->tokens = 1;
    if (sample->list)
        widen(step, sample, need);
    if (step->ops->record_begin)
        need->rows = (need->rows + NC_PACKING_BUCKET - 1) / NC_PACKING_BUCKET * NC_PACKING_BUCKET;
    return status;
}

int nc_step_fits(struct nc_step *step, const struct nc_examples *examples, const uint32_t *list,
                 size_t count, bool *fits)
{
    struct nc_batch batch =
        nc_step_batch(step, examples, list, count, step->submitted % NC_STEPS_IN_FLIGHT);
    const struct nc_step_need *has = &step->need;
    struct nc_step_need need = {0};
    *fits = batch.count <= has->batch && (!batch.share || batch.share->most <= has->longest);
    int status = *fits ? survey_batch(step, &batch, &need) : NC_OK;
    *fits = *fits && need.captions <= has->captions && need.rows <= has->rows &&
            need.tokens <= has->tokens && need.repeated <= has->repeated &&
            need.beside <= has->beside;
    return status;
}
