/* A share of right choices and how sure it is. */
#include "nclip/evaluate.h"

#include "nclip/error.h"

#include <stdlib.h>

/* SplitMix64: the interval must not change from run to run. */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int nc_share_bootstrap(const bool *right, size_t n, size_t resamples, struct nc_share *share)
{
    size_t correct = 0;
    for (size_t i = 0; i < n; i++)
        correct += right[i];
    *share = (struct nc_share){.n = n, .score = n ? (double)correct / (double)n : 0};
    if (!n || !resamples)
        return NC_OK;
    double *scores = malloc(resamples * sizeof *scores);
    if (!scores)
        return nc_error(NC_FAILED, "evaluate: no memory");
    uint64_t state = 0;
    for (size_t r = 0; r < resamples; r++) {
        size_t sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += right[(size_t)((unsigned __int128)next(&state) * n >> 64)];
        scores[r] = (double)sum / (double)n;
    }
    qsort(scores, resamples, sizeof *scores, by_value);
    share->low = scores[(size_t)(0.025 * (double)(resamples - 1) + 0.5)];
    share->high = scores[(size_t)(0.975 * (double)(resamples - 1) + 0.5)];
    free(scores);
    return NC_OK;
}
