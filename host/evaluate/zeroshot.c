/* zeroshot: the class of a picture, chosen by the cosine with each class's features.
 *
 * As CLIP does it (Radford et al. 2021, section 3.1.4) and clip_benchmark
 * (metrics/zeroshot_classification.py): a class's features are the mean over templates of the
 * normalised features of "a photo of a NAME." and so on, normalised; ImageNet with OpenAI's names
 * and 80 templates. The score is top-1 accuracy; parts: top-5 (with five classes or more) and the
 * mean over classes of the accuracy within each.
 */
#include "zeroshot.h"

#include "choice_items.h"
#include "nclip/support/error.h"
#include "ranking.h"
#include "samples.h"
#include "views.h"

#include <stdlib.h>
#include <string.h>

enum { TOP = 5 };

struct work {
    const char **pictures;
    size_t count, *of; /* the class of each picture */
    size_t *number;    /* where it stands among all of them, unreadable ones included */
    bool *missing;
    struct nc_view *views;
    float *features, *weights;
    struct ranking *rankings;
    bool *right;
    struct classes classes;
};

static void work_free(struct work *work)
{
    free(work->pictures);
    free(work->of);
    free(work->number);
    free(work->missing);
    free(work->views);
    free(work->features);
    free(work->weights);
    free(work->rankings);
    free(work->right);
    classes_free(&work->classes);
}

static int allocate(struct work *work, size_t embedding)
{
    work->of = malloc(work->count * sizeof *work->of);
    work->number = malloc(work->count * sizeof *work->number);
    work->missing = malloc(work->count);
    work->views = calloc(work->count, sizeof *work->views);
    work->features = malloc(work->count * embedding * sizeof(float));
    work->weights = malloc(work->classes.count * embedding * sizeof(float));
    work->rankings = malloc(work->count * sizeof *work->rankings);
    work->right = malloc(work->count * sizeof *work->right);
    return work->of && work->number && work->missing && work->views && work->features &&
                   work->weights && work->rankings && work->right
               ? NC_OK
               : nc_error(NC_FAILED, "evaluate: no memory for %zu pictures", work->count);
}

/* What could be read moves together. */
static void leave_out(struct work *work, size_t embedding, struct nc_result *result)
{
    size_t kept = views_keep(work->missing, work->count, work->number);
    for (size_t i = 0; i < kept; i++) {
        size_t from = work->number[i];
        work->pictures[i] = work->pictures[from];
        work->of[i] = work->of[from];
        memmove(work->features + i * embedding, work->features + from * embedding,
                embedding * sizeof(float));
    }
    result->left_out = work->count - kept;
    work->count = kept;
}

static int score(struct work *work, struct nc_result *result)
{
    struct nc_share share;
    for (size_t i = 0; i < work->count; i++) {
        const struct ranking *ranking = &work->rankings[i];
        work->right[i] = false;
        for (size_t k = 0; k < TOP && k < ranking->count; k++)
            work->right[i] |= ranking->index[k] == work->of[i];
    }
    int status = nc_share_bootstrap(work->right, work->count, NC_RESAMPLES, &share);
    if (status == NC_OK && work->classes.count >= TOP)
        status = nc_result_add(result, "top-5", &share);
    for (size_t i = 0; i < work->count; i++)
        work->right[i] = work->rankings[i].count && work->rankings[i].index[0] == work->of[i];
    if (status == NC_OK)
        status = nc_share_bootstrap(work->right, work->count, NC_RESAMPLES, &result->score);
    if (status == NC_OK)
        status = nc_mean_bootstrap(work->right, work->of, work->count, work->classes.count,
                                   NC_RESAMPLES, &share);
    return status == NC_OK ? nc_result_add(result, "mean per class", &share) : status;
}

static int add_samples(const struct work *work, struct nc_samples *samples)
{
    int status = NC_OK;
    for (size_t i = 0; i < work->count && status == NC_OK; i++) {
        size_t chosen = work->rankings[i].index[0], right = work->of[i];
        if (samples_want(samples, i, work->count))
            status = samples_add(
                samples, i, (struct sample_side){.picture = work->pictures[i]},
                (struct sample_side){.text = work->classes.names[right]}, (struct sample_side){0},
                (struct sample_side){.text = work->classes.names[chosen]}, chosen == right);
    }
    return status;
}

static int evaluate(struct nc_evaluator *evaluator, const struct nc_request *request,
                    struct work *work, struct nc_result *result)
{
    size_t embedding = nc_evaluator_embedding(evaluator);
    int status = nc_evaluator_pictures(evaluator, request->images, &work->pictures, &work->count);
    if (status == NC_OK)
        status = classes_load(request->classes, work->pictures, work->count, &work->classes);
    if (status == NC_OK)
        status = allocate(work, embedding);
    if (status == NC_OK)
        status = classes_assign(&work->classes, work->pictures, work->count, work->of);
    for (size_t i = 0; i < work->count && status == NC_OK; i++)
        work->views[i].image = i;
    struct nc_views views = {work->views, work->count, work->pictures, work->count};
    if (status == NC_OK)
        status = classes_embed(&work->classes, request->templates, evaluator, work->weights);
    if (status == NC_OK)
        status =
            nc_evaluator_views(evaluator, &views, request->images, work->features, work->missing);
    if (status == NC_OK)
        leave_out(work, embedding, result);
    if (status == NC_OK)
        status =
            ranking_compute(nc_evaluator_ops(evaluator), work->features, work->count, work->weights,
                            work->classes.count, embedding, work->rankings, NULL);
    if (status == NC_OK)
        status = score(work, result);
    for (size_t i = 0; i < work->count && status == NC_OK && request->items; i++) {
        const struct ranking *ranking = &work->rankings[i];
        status =
            item_write(request->items, work->number[i], ranking->index[0], work->of[i],
                       ranking->score, ranking->index, ranking->count < TOP ? ranking->count : TOP);
    }
    return status == NC_OK ? add_samples(work, request->samples) : status;
}

static int run(const struct nc_benchmark *benchmark, struct nc_evaluator *evaluator,
               const struct nc_request *request, struct nc_result *result)
{
    struct work work = {0};
    (void)benchmark;
    int status = evaluate(evaluator, request, &work, result);
    work_free(&work);
    return status;
}

const struct nc_benchmark nc_benchmark_zeroshot = {
    .name = "zeroshot",
    .definition = "share of pictures whose class has the highest cosine (top-1), a class being the "
                  "normalised mean of its name's features in all templates",
    .annotations = false,
    .annotations_help = "none",
    .run = run,
};
