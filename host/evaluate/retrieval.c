/* retrieval: recall at 1, 5 and 10 of pictures by their captions and of captions by their
 * pictures.
 *
 * A query is right at k when something of its own is among the k highest cosines: its one picture
 * (text to image), or any of its captions (image to text), as CLIP (Radford et al. 2021, section
 * 3.1.2 and appendix), clip_benchmark (metrics/zeroshot_retrieval.py) and NegBench (Alhamoud et al.
 * 2025, retrieval.py) count. The score is text to image at 5. COCO: Karpathy's test split of 5,000
 * pictures with their first five captions; Flickr30k: 1,000 pictures with five. NegBench's negated
 * retrieval is COCO val2017 with a negation added to the captions.
 *
 * The interval of text to image draws pictures with all their captions.
 */
#include "retrieval.h"

#include "nclip/support/error.h"
#include "ranking.h"
#include "samples.h"
#include "views.h"

#include <stdlib.h>
#include <string.h>

static const size_t depths[] = {1, 5, RANKED};
enum { DEPTHS = sizeof depths / sizeof *depths, SCORE = 1 };

struct work {
    float *texts, *captions, *pictures; /* features; texts: each once */
    struct ranking *by_caption, *by_picture;
    size_t *caption_count, *hits, *first;    /* [pictures] */
    bool *right, *missing;                   /* [pictures] */
    size_t *picture_number, *caption_number; /* where each stands among all, also the left out */
    size_t all_captions;
};

static void work_free(struct work *work)
{
    free(work->texts);
    free(work->captions);
    free(work->pictures);
    free(work->by_caption);
    free(work->by_picture);
    free(work->caption_count);
    free(work->hits);
    free(work->first);
    free(work->right);
    free(work->missing);
    free(work->picture_number);
    free(work->caption_number);
}

static int allocate(const struct retrieval *r, size_t embedding, struct work *work)
{
    size_t pictures = r->set.views.count;
    work->texts = malloc(r->set.phrase_count * embedding * sizeof(float));
    work->captions = malloc(r->count * embedding * sizeof(float));
    work->pictures = malloc(pictures * embedding * sizeof(float));
    work->by_caption = malloc(r->count * sizeof *work->by_caption);
    work->by_picture = malloc(pictures * sizeof *work->by_picture);
    work->caption_count = calloc(pictures, sizeof *work->caption_count);
    work->hits = calloc(pictures, sizeof *work->hits);
    work->first = calloc(pictures, sizeof *work->first);
    work->right = calloc(pictures, sizeof *work->right);
    work->missing = malloc(pictures + 1);
    work->picture_number = malloc((pictures + 1) * sizeof *work->picture_number);
    work->caption_number = malloc((r->count + 1) * sizeof *work->caption_number);
    return work->texts && work->captions && work->pictures && work->by_caption &&
                   work->by_picture && work->caption_count && work->hits && work->first &&
                   work->right && work->missing && work->picture_number && work->caption_number
               ? NC_OK
               : nc_error(NC_FAILED, "evaluate: no memory for %zu captions", r->count);
}

/* What could be read moves together, and captions of other pictures leave. */
static void leave_out(struct retrieval *r, size_t embedding, struct work *work,
                      struct nc_result *result)
{
    struct nc_views *views = &r->set.views;
    size_t pictures = views_keep(work->missing, views->count, work->picture_number), captions = 0;
    work->all_captions = r->count;
    for (size_t i = 0; i < pictures; i++) {
        size_t from = work->picture_number[i];
        work->first[from] = i; /* for now: its new number */
        views->images[i] = views->images[from];
        memmove(work->pictures + i * embedding, work->pictures + from * embedding,
                embedding * sizeof(float));
    }
    for (size_t i = 0; i < r->count; i++) {
        size_t picture = r->captions[i].picture;
        if (work->missing[picture])
            continue;
        r->captions[captions] =
            (struct retrieval_caption){r->captions[i].text, work->first[picture]};
        work->caption_number[captions++] = i;
    }
    memset(work->first, 0, views->count * sizeof *work->first);
    result->left_out = r->count - captions + views->count - pictures;
    r->count = captions;
    views->count = pictures;
}

static int embed(struct nc_evaluator *evaluator, const struct nc_request *request,
                 struct retrieval *r, struct work *work, struct nc_result *result)
{
    size_t embedding = nc_evaluator_embedding(evaluator);
    result->texts = r->set.phrase_count;
    int status = nc_composed_texts(evaluator, &request->composition, r->set.phrases,
                                   r->set.phrase_count, work->texts, &result->composed);
    if (status == NC_OK)
        status = nc_evaluator_views(evaluator, &r->set.views, request->images, work->pictures,
                                    work->missing);
    if (status == NC_OK)
        leave_out(r, embedding, work, result);
    for (size_t i = 0; i < r->count && status == NC_OK; i++)
        memcpy(work->captions + i * embedding, work->texts + r->captions[i].text * embedding,
               embedding * sizeof(float));
    return status;
}

/* Whether the picture's own caption is among the first `depth`. */
static bool picture_right(const struct retrieval *r, const struct ranking *ranking, size_t picture,
                          size_t depth)
{
    for (size_t k = 0; k < depth && k < ranking->count; k++)
        if (r->captions[ranking->index[k]].picture == picture)
            return true;
    return false;
}

static bool caption_right(const struct ranking *ranking, size_t picture, size_t depth)
{
    for (size_t k = 0; k < depth && k < ranking->count; k++)
        if (ranking->index[k] == picture)
            return true;
    return false;
}

static int recall_of_pictures(const struct retrieval *r, struct work *work, size_t depth,
                              struct nc_share *share)
{
    memset(work->hits, 0, r->set.views.count * sizeof *work->hits);
    for (size_t i = 0; i < r->count; i++)
        work->hits[r->captions[i].picture] +=
            caption_right(&work->by_caption[i], r->captions[i].picture, depth);
    return nc_cluster_bootstrap(work->hits, work->caption_count, r->set.views.count, NC_RESAMPLES,
                                share);
}

static int recall_of_captions(const struct retrieval *r, struct work *work, size_t depth,
                              struct nc_share *share)
{
    for (size_t p = 0; p < r->set.views.count; p++)
        work->right[p] = picture_right(r, &work->by_picture[p], p, depth);
    return nc_share_bootstrap(work->right, r->set.views.count, NC_RESAMPLES, share);
}

static int score(const struct retrieval *r, struct work *work, struct nc_result *result)
{
    struct nc_share share;
    char name[64];
    int status = NC_OK;
    for (size_t i = 0; i < r->count; i++)
        work->caption_count[r->captions[i].picture]++;
    for (size_t d = 0; d < DEPTHS && status == NC_OK; d++) {
        snprintf(name, sizeof name, "text to image, recall at %zu", depths[d]);
        status = recall_of_pictures(r, work, depths[d], &share);
        if (status == NC_OK)
            status = nc_result_add(result, name, &share);
        if (d == SCORE)
            result->score = share;
    }
    for (size_t d = 0; d < DEPTHS && status == NC_OK; d++) {
        snprintf(name, sizeof name, "image to text, recall at %zu", depths[d]);
        status = recall_of_captions(r, work, depths[d], &share);
        if (status == NC_OK)
            status = nc_result_add(result, name, &share);
    }
    return status;
}

/* Captions first, then pictures, numbered on; a picture's answer is the chosen caption when that is
 * its own, else its first one. */
static int write_item(struct nc_writer *writer, size_t index, size_t answer,
                      const struct ranking *ranking, const size_t *number)
{
    size_t options[RANKED];
    for (size_t k = 0; k < ranking->count; k++)
        options[k] = number[ranking->index[k]];
    return item_write(writer, index, options[0], number[answer], ranking->score, options,
                      ranking->count);
}

static int write_items(const struct retrieval *r, const struct work *work, struct nc_writer *writer)
{
    int status = NC_OK;
    for (size_t i = r->count; i > 0; i--)
        work->first[r->captions[i - 1].picture] = i - 1;
    for (size_t i = 0; i < r->count && status == NC_OK; i++) {
        const struct ranking *ranking = &work->by_caption[i];
        status = write_item(writer, work->caption_number[i], r->captions[i].picture, ranking,
                            work->picture_number);
    }
    for (size_t p = 0; p < r->set.views.count && status == NC_OK; p++) {
        const struct ranking *ranking = &work->by_picture[p];
        bool right = picture_right(r, ranking, p, 1);
        status =
            write_item(writer, work->all_captions + work->picture_number[p],
                       right ? ranking->index[0] : work->first[p], ranking, work->caption_number);
    }
    return status;
}

static int add_samples(const struct retrieval *r, const struct work *work,
                       struct nc_samples *samples)
{
    const char **pictures = r->set.views.images;
    int status = NC_OK;
    for (size_t i = 0; i < r->count && status == NC_OK; i++) {
        size_t chosen = work->by_caption[i].index[0], right = r->captions[i].picture;
        if (samples_want(samples, i, r->count))
            status = samples_add(
                samples, i, (struct sample_side){.text = r->set.phrases[r->captions[i].text]},
                (struct sample_side){.picture = pictures[right]}, (struct sample_side){0},
                (struct sample_side){.picture = pictures[chosen]}, chosen == right);
    }
    return status;
}

static int run(const struct nc_benchmark *benchmark, struct nc_evaluator *evaluator,
               const struct nc_request *request, struct nc_result *result)
{
    struct retrieval r;
    struct work work = {0};
    (void)benchmark;
    int status = retrieval_load(request->annotations, request->split ? request->split : "test", &r);
    if (status != NC_OK)
        return status;
    size_t embedding = nc_evaluator_embedding(evaluator);
    status = allocate(&r, embedding, &work);
    if (status == NC_OK)
        status = embed(evaluator, request, &r, &work, result);
    if (status == NC_OK && !r.count)
        status = nc_error(NC_BAD_INPUT, "no picture with a caption could be read");
    if (status == NC_OK)
        status = ranking_compute(nc_evaluator_ops(evaluator), work.captions, r.count, work.pictures,
                                 r.set.views.count, embedding, work.by_caption, work.by_picture);
    if (status == NC_OK)
        status = score(&r, &work, result);
    if (status == NC_OK && request->items)
        status = write_items(&r, &work, request->items);
    if (status == NC_OK)
        status = add_samples(&r, &work, request->samples);
    work_free(&work);
    retrieval_free(&r);
    return status;
}

const struct nc_benchmark nc_benchmark_retrieval = {
    .name = "retrieval",
    .definition = "share of captions whose picture is among the 5 highest cosines (text to image, "
                  "recall at 5)",
    .annotations = true,
    .composes = true,
    .annotations_help =
        "dataset_coco.json, dataset_flickr30k.json, NegBench's retrieval CSV, or captions",
    .run = run,
};
