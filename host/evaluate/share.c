/* The 95% interval of a share by the bootstrap (Efron 1979) with percentiles. */
#include "nclip/evaluate/evaluate.h"

#include "nclip/support/error.h"
#include "nclip/support/random.h"

#include <stdlib.h>
#include <string.h>

size_t nc_bootstrap_draw(uint64_t *state, size_t n)
{
    return (size_t)((unsigned __int128)nc_random_next(state) * n >> 64);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void nc_bootstrap_interval(double *scores, size_t resamples, struct nc_share *share)
{
    qsort(scores, resamples, sizeof *scores, by_value);
    share->low = scores[(size_t)(0.025 * (double)(resamples - 1) + 0.5)];
    share->high = scores[(size_t)(0.975 * (double)(resamples - 1) + 0.5)];
}

int nc_share_bootstrap(const bool *right, size_t n, size_t resamples, struct nc_share *share)
{
    size_t *one_group = calloc(n ? n : 1, sizeof *one_group);
    if (!one_group)
        return nc_error(NC_FAILED, "evaluate: no memory");
    int status = nc_mean_bootstrap(right, one_group, n, 1, resamples, share);
    free(one_group);
    return status;
}

/* The items sorted by group: those of group g are sorted[start[g]] .. sorted[start[g + 1] - 1]. */
struct strata {
    bool *sorted;
    size_t *start, groups, filled;
};

static int sort_strata(const bool *right, const size_t *group, size_t n, size_t groups,
                       struct strata *strata)
{
    strata->sorted = malloc(n ? n : 1);
    strata->start = calloc(groups + 2, sizeof *strata->start);
    strata->groups = groups;
    strata->filled = 0;
    if (!strata->sorted || !strata->start)
        return nc_error(NC_FAILED, "evaluate: no memory");
    for (size_t i = 0; i < n; i++)
        strata->start[group[i] + 2]++;
    for (size_t g = 0; g < groups; g++) {
        strata->filled += strata->start[g + 2] != 0;
        strata->start[g + 2] += strata->start[g + 1];
    }
    for (size_t i = 0; i < n; i++)
        strata->sorted[strata->start[group[i] + 1]++] = right[i];
    return NC_OK;
}

static double mean_of_strata(const struct strata *strata, uint64_t *state)
{
    double sum = 0;
    for (size_t g = 0; g < strata->groups; g++) {
        size_t first = strata->start[g], count = strata->start[g + 1] - first, hits = 0;
        for (size_t i = 0; i < count; i++)
            hits += strata->sorted[first + (state ? nc_bootstrap_draw(state, count) : i)];
        sum += count ? (double)hits / (double)count : 0;
    }
    return strata->filled ? sum / (double)strata->filled : 0;
}

int nc_mean_bootstrap(const bool *right, const size_t *group, size_t n, size_t groups,
                      size_t resamples, struct nc_share *share)
{
    struct strata strata;
    uint64_t state = 0;
    double *scores = malloc((resamples ? resamples : 1) * sizeof *scores);
    int status = sort_strata(right, group, n, groups, &strata);
    if (!scores)
        status = nc_error(NC_FAILED, "evaluate: no memory");
    if (status == NC_OK) {
        *share = (struct nc_share){.n = n, .score = mean_of_strata(&strata, NULL)};
        for (size_t r = 0; r < resamples && n; r++)
            scores[r] = mean_of_strata(&strata, &state);
        if (resamples && n)
            nc_bootstrap_interval(scores, resamples, share);
    }
    free(scores);
    free(strata.sorted);
    free(strata.start);
    return status;
}

int nc_cluster_bootstrap(const size_t *hits, const size_t *items, size_t clusters,
                         size_t resamples, struct nc_share *share)
{
    uint64_t state = 0;
    size_t hit = 0, n = 0;
    double *scores = malloc((resamples ? resamples : 1) * sizeof *scores);
    if (!scores)
        return nc_error(NC_FAILED, "evaluate: no memory");
    for (size_t i = 0; i < clusters; i++) {
        hit += hits[i];
        n += items[i];
    }
    *share = (struct nc_share){.n = n, .score = n ? (double)hit / (double)n : 0};
    for (size_t r = 0; r < resamples && n; r++) {
        hit = n = 0;
        for (size_t i = 0; i < clusters; i++) {
            size_t drawn = nc_bootstrap_draw(&state, clusters);
            hit += hits[drawn];
            n += items[drawn];
        }
        scores[r] = n ? (double)hit / (double)n : 0;
    }
    if (resamples && share->n)
        nc_bootstrap_interval(scores, resamples, share);
    free(scores);
    return NC_OK;
}
