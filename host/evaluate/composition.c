/* Composes a caption's features from those of what it affirms and of what it denies. */
#include "nclip/evaluate/composition.h"

#include "nclip/evaluate/evaluate.h"
#include "nclip/support/error.h"
#include "splits.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const nc_method_names[NC_METHODS + 1] = {"plain", "difference", "space", NULL};

int nc_composition_check(const struct nc_composition *composition)
{
    if (composition->method == NC_METHOD_PLAIN)
        return composition->splits ? nc_error(NC_USAGE, "--splits says how captions are split: "
                                                        "give --method difference or space too")
                                   : NC_OK;
    if (!(composition->weight >= 0 && isfinite(composition->weight)))
        return nc_error(NC_USAGE, "--denied-weight: %g is no weight from 0 on",
                        composition->weight);
    if (!(composition->threshold > 0 && composition->threshold < 1))
        return nc_error(NC_USAGE, "--threshold: %g is no cosine between 0 and 1",
                        composition->threshold);
    return NC_OK;
}

/* ---- Two features ---- */

static double dot(const float *a, const float *b, size_t size)
{
    double sum = 0;
    for (size_t i = 0; i < size; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* x a + y n, of length one; false when it is (nearly) nothing. */
static bool combine(double x, const float *a, double y, const float *n, size_t size, float *out)
{
    double squares = 0;
    for (size_t i = 0; i < size; i++) {
        double value = x * (double)a[i] + y * (double)n[i];
        squares += value * value;
    }
    double length = sqrt(squares);
    for (size_t i = 0; i < size && length > 1e-6; i++)
        out[i] = (float)((x * (double)a[i] + y * (double)n[i]) / length);
    return length > 1e-6;
}

static bool compose_space(double threshold, const float *a, const float *n, size_t size, float *out)
{
    double cosine = fmin(1, fmax(-1, dot(a, n, size)));
    double alpha = acos(threshold), theta = acos(cosine), delta = alpha + theta / 2;
    if (theta >= 2 * alpha || sin(theta) < 1e-6)
        return false;
    double along = sin(delta) / sin(theta);
    return combine(along, a, cos(delta) - along * cosine, n, size, out);
}

void nc_compose(const struct nc_composition *composition, const float *a, const float *n,
                size_t size, float *out)
{
    bool done = composition->method == NC_METHOD_DIFFERENCE
                    ? combine(1, a, -composition->weight, n, size, out)
                    : composition->method == NC_METHOD_SPACE &&
                          compose_space(composition->threshold, a, n, size, out);
    if (!done)
        memcpy(out, a, size * sizeof *out);
}

/* ---- Texts ---- */

struct parts {
    struct nc_negation_split *splits; /* [count] */
    const char **affirmed, **denied;  /* [count], [denied_count] */
    float *features;                  /* [denied_count, embedding] */
    size_t count, denied_count;
};

static void parts_free(struct parts *parts)
{
    for (size_t i = 0; i < parts->count && parts->splits; i++)
        nc_negation_split_free(&parts->splits[i]);
    free(parts->splits);
    free(parts->affirmed);
    free(parts->denied);
    free(parts->features);
}

static int split_all(const struct nc_composition *composition, const char *const *texts,
                     size_t count, size_t embedding, struct parts *parts)
{
    struct splits *splits = NULL;
    *parts = (struct parts){.count = count};
    parts->splits = calloc(count + 1, sizeof *parts->splits);
    parts->affirmed = calloc(count + 1, sizeof *parts->affirmed);
    parts->denied = calloc(count + 1, sizeof *parts->denied);
    int status = parts->splits && parts->affirmed && parts->denied
                     ? splits_load(composition->splits, &splits)
                     : nc_error(NC_FAILED, "evaluate: no memory for %zu captions", count);
    for (size_t i = 0; i < count && status == NC_OK; i++) {
        struct nc_negation_split *split = &parts->splits[i];
        status = splits_find(splits, texts[i], split);
        if (split->denied)
            parts->denied[parts->denied_count++] = split->denied;
        parts->affirmed[i] = !split->denied    ? texts[i]
                             : split->affirmed ? split->affirmed
                                               : "A photo of something";
    }
    splits_free(splits);
    if (status == NC_OK)
        parts->features = malloc((parts->denied_count * embedding + 1) * sizeof(float));
    return status == NC_OK && !parts->features
               ? nc_error(NC_FAILED, "evaluate: no memory for %zu captions", count)
               : status;
}

int nc_composed_texts(struct nc_evaluator *evaluator, const struct nc_composition *composition,
                      const char *const *texts, size_t count, float *features, size_t *composed)
{
    size_t embedding = nc_evaluator_embedding(evaluator);
    struct parts parts;
    if (composed)
        *composed = 0;
    if (composition->method == NC_METHOD_PLAIN)
        return nc_evaluator_texts(evaluator, texts, count, features);
    int status = split_all(composition, texts, count, embedding, &parts);
    if (status == NC_OK)
        status = nc_evaluator_texts(evaluator, parts.affirmed, count, features);
    if (status == NC_OK && parts.denied_count)
        status = nc_evaluator_texts(evaluator, parts.denied, parts.denied_count, parts.features);
    float *affirmed = status == NC_OK ? malloc((embedding + 1) * sizeof *affirmed) : NULL;
    if (status == NC_OK && !affirmed)
        status = nc_error(NC_FAILED, "evaluate: no memory");
    for (size_t i = 0, k = 0; i < count && status == NC_OK; i++) {
        if (!parts.splits[i].denied)
            continue;
        memcpy(affirmed, features + i * embedding, embedding * sizeof *affirmed);
        nc_compose(composition, affirmed, parts.features + k++ * embedding, embedding,
                   features + i * embedding);
    }
    if (composed && status == NC_OK)
        *composed = parts.denied_count;
    free(affirmed);
    parts_free(&parts);
    return status;
}
