/* attributes: CelebA's case study (Park et al., ICCV 2025): for each of 40 attributes of a face
 * (Liu et al., ICCV 2015) a prompt with it against a prompt that denies it. A picture is said to
 * have the attribute when its cosine with the first is at least that with the second; an
 * attribute's balanced accuracy is the mean of the shares that are right among the pictures with
 * it and among those without. The score is the mean over attributes (CLIP: 60.8% in the paper).
 *
 * Files: list_attr_celeba.txt (a count, the names, then "000001.jpg -1 1 ..." a line) and beside
 * it list_eval_partition.txt ("000001.jpg 0": train 0, valid 1, test 2), of which the test
 * partition counts; the prompts are in configs/celeba.txt.
 */
#include "built_in_files.h"
#include "celeba.h"
#include "choice_items.h"
#include "nclip/support/error.h"
#include "samples.h"
#include "views.h"

#include <stdlib.h>
#include <string.h>

/* ---- Prompts ------------------------------------------------------------------------------- */

/* prompts[attribute_count, 2]: with it, and without. */
static int find_prompts(const struct nc_fields *lines, const struct faces *faces,
                        const char **prompts)
{
    for (size_t a = 0; a < faces->attribute_count; a++) {
        const struct nc_fields_line *found = NULL;
        for (size_t i = 0; i < lines->count; i++)
            if (strcmp(lines->lines[i].fields[0], faces->attributes[a]) == 0)
                found = &lines->lines[i];
        if (!found)
            return nc_error(NC_BAD_INPUT, "%s: has no prompts for the attribute \"%s\"",
                            lines->name, faces->attributes[a]);
        prompts[2 * a] = found->fields[1];
        prompts[2 * a + 1] = found->fields[2];
    }
    return NC_OK;
}

/* ---- Deciding and counting ----------------------------------------------------------------- */

struct work {
    struct nc_view *views;
    const char **prompts;
    float *prompt_features, *features;
    size_t *number; /* where a picture stands among all of them, unreadable ones included */
    bool *missing;
    float *scores;     /* [pictures, attributes, 2] */
    bool *right;       /* [pictures, attributes] */
    double *resampled; /* [attributes + 1, NC_RESAMPLES]; the last is the mean */
};

static void work_free(struct work *work)
{
    free(work->views);
    free(work->prompts);
    free(work->prompt_features);
    free(work->features);
    free(work->number);
    free(work->missing);
    free(work->scores);
    free(work->right);
    free(work->resampled);
}

static int allocate(const struct faces *faces, size_t embedding, struct work *work)
{
    size_t n = faces->count, attributes = faces->attribute_count;
    work->views = calloc(n, sizeof *work->views);
    work->prompts = malloc(2 * attributes * sizeof *work->prompts);
    work->prompt_features = malloc(2 * attributes * embedding * sizeof(float));
    work->features = malloc(n * embedding * sizeof(float));
    work->number = malloc(n * sizeof *work->number);
    work->missing = malloc(n);
    work->scores = malloc(2 * n * attributes * sizeof(float));
    work->right = malloc(n * attributes);
    work->resampled = malloc((attributes + 1) * NC_RESAMPLES * sizeof *work->resampled);
    return work->views && work->prompts && work->number && work->missing && work->prompt_features &&
                   work->features && work->scores && work->right && work->resampled
               ? NC_OK
               : nc_error(NC_FAILED, "evaluate: no memory for %zu pictures", n);
}

/* What could be read moves together. */
static void leave_out(struct faces *faces, size_t embedding, struct work *work,
                      struct nc_result *result)
{
    size_t attributes = faces->attribute_count;
    size_t kept = views_keep(work->missing, faces->count, work->number);
    for (size_t i = 0; i < kept; i++) {
        size_t from = work->number[i];
        faces->pictures[i] = faces->pictures[from];
        memmove(faces->labels + i * attributes, faces->labels + from * attributes, attributes);
        memmove(work->features + i * embedding, work->features + from * embedding,
                embedding * sizeof(float));
    }
    result->left_out = (faces->count - kept) * attributes;
    faces->count = kept;
}

static void decide(const struct faces *faces, size_t embedding, struct work *work)
{
    size_t attributes = faces->attribute_count;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < faces->count; i++) {
        for (size_t k = 0; k < 2 * attributes; k++) {
            const float *a = work->features + i * embedding,
                        *b = work->prompt_features + k * embedding;
            float dot = 0;
            for (size_t d = 0; d < embedding; d++)
                dot += a[d] * b[d];
            work->scores[2 * i * attributes + k] = dot;
        }
        for (size_t a = 0; a < attributes; a++) {
            const float *pair = work->scores + 2 * (i * attributes + a);
            work->right[i * attributes + a] =
                (pair[0] >= pair[1]) == faces->labels[i * attributes + a];
        }
    }
}

/* Balanced accuracies of the pictures that `state` draws (NULL: all of them, once), `stride` apart,
 * and behind them their mean. */
static void balanced(const struct faces *faces, const struct work *work, uint64_t *state,
                     double *accuracy, size_t stride)
{
    size_t attributes = faces->attribute_count;
    uint32_t hits[2][MOST_ATTRIBUTES] = {0}, counts[2][MOST_ATTRIBUTES] = {0};
    for (size_t i = 0; i < faces->count; i++) {
        size_t drawn = (state ? nc_bootstrap_draw(state, faces->count) : i) * attributes;
        for (size_t a = 0; a < attributes; a++) {
            bool label = faces->labels[drawn + a], right = work->right[drawn + a];
            counts[1][a] += label;
            counts[0][a] += !label;
            hits[1][a] += label & right;
            hits[0][a] += !label & right;
        }
    }
    double sum = 0;
    for (size_t a = 0; a < attributes; a++) {
        double of_class = 0;
        for (size_t c = 0; c < 2; c++)
            of_class += counts[c][a] ? (double)hits[c][a] / counts[c][a] : 0;
        int classes = (counts[0][a] > 0) + (counts[1][a] > 0);
        accuracy[a * stride] = classes ? of_class / classes : 0;
        sum += accuracy[a * stride];
    }
    accuracy[attributes * stride] = sum / (double)attributes;
}

static int score(const struct faces *faces, struct work *work, struct nc_result *result)
{
    double accuracy[MOST_ATTRIBUTES + 1];
    int status = NC_OK;
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < NC_RESAMPLES; r++) {
        uint64_t state = r << 40;
        balanced(faces, work, &state, work->resampled + r, NC_RESAMPLES);
    }
    balanced(faces, work, NULL, accuracy, 1);
    for (size_t a = 0; a <= faces->attribute_count && status == NC_OK; a++) {
        struct nc_share share = {.n = faces->count, .score = accuracy[a]};
        nc_bootstrap_interval(work->resampled + a * NC_RESAMPLES, NC_RESAMPLES, &share);
        if (a < faces->attribute_count)
            status = nc_result_add(result, faces->attributes[a], &share);
        else
            result->score = share;
    }
    return status;
}

/* Items are numbered picture by picture; choice 0 is the prompt with the attribute. */
static int write_items(const struct faces *faces, const struct work *work, struct nc_writer *writer)
{
    size_t count = faces->count * faces->attribute_count;
    int status = NC_OK;
    for (size_t i = 0; i < count && status == NC_OK; i++) {
        const float *pair = work->scores + 2 * i;
        size_t picture = work->number[i / faces->attribute_count];
        size_t index = picture * faces->attribute_count + i % faces->attribute_count;
        status = item_write(writer, index, pair[0] < pair[1], !faces->labels[i], pair, NULL, 2);
    }
    return status;
}

static int add_samples(const struct faces *faces, const struct work *work,
                       struct nc_samples *samples)
{
    size_t attributes = faces->attribute_count, count = faces->count * attributes;
    int status = NC_OK;
    for (size_t i = 0; i < count && status == NC_OK; i++) {
        const char **prompts = work->prompts + 2 * (i % attributes);
        const float *pair = work->scores + 2 * i;
        if (samples_want(samples, i, count))
            status = samples_add(
                samples, i, (struct sample_side){.picture = faces->pictures[i / attributes]},
                (struct sample_side){.text = prompts[!faces->labels[i]]},
                (struct sample_side){.text = prompts[faces->labels[i]]},
                (struct sample_side){.text = prompts[pair[0] < pair[1]]}, work->right[i]);
    }
    return status;
}

static int run(const struct nc_benchmark *benchmark, struct nc_evaluator *evaluator,
               const struct nc_request *request, struct nc_result *result)
{
    struct faces faces = {0};
    struct work work = {0};
    struct nc_fields lines = {0};
    (void)benchmark;
    size_t embedding = nc_evaluator_embedding(evaluator);
    int status = faces_load(request->annotations, request->split ? request->split : "test", &faces);
    if (status == NC_OK)
        status = built_in_fields(request->prompts ? request->prompts : "celeba.txt", 3, 3, &lines);
    if (status == NC_OK)
        status = allocate(&faces, embedding, &work);
    if (status == NC_OK)
        status = find_prompts(&lines, &faces, work.prompts);
    for (size_t i = 0; i < faces.count && status == NC_OK; i++)
        work.views[i].image = i;
    struct nc_views views = {work.views, faces.count, faces.pictures, faces.count};
    if (status == NC_OK)
        status = nc_evaluator_texts(evaluator, work.prompts, 2 * faces.attribute_count,
                                    work.prompt_features);
    if (status == NC_OK)
        status =
            nc_evaluator_views(evaluator, &views, request->images, work.features, work.missing);
    if (status == NC_OK) {
        leave_out(&faces, embedding, &work, result);
        decide(&faces, embedding, &work);
        status = score(&faces, &work, result);
    }
    if (status == NC_OK && request->items)
        status = write_items(&faces, &work, request->items);
    if (status == NC_OK)
        status = add_samples(&faces, &work, request->samples);
    work_free(&work);
    nc_fields_free(&lines);
    faces_free(&faces);
    return status;
}

const struct nc_benchmark nc_benchmark_attributes = {
    .name = "attributes",
    .definition = "mean over attributes of the balanced accuracy of the prompt with the attribute "
                  "against the prompt that denies it",
    .annotations = true,
    .annotations_help = "the folder of CelebA's list_attr_celeba.txt and list_eval_partition.txt",
    .run = run,
};
