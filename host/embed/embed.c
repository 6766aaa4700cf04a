/* One source or many: decides, and measures the whole. */
#include "nclip/embed/embed.h"

#include "job.h"
#include "many.h"
#include "nclip/support/error.h"
#include "nclip/support/progress.h"
#include "nclip/support/signals.h"
#include "one.h"
#include "sources.h"

#include <stdlib.h>

/* Whether there is one source in a store of one: rank 0's word. */
static int decide(const struct nc_embed_options *options, const struct embed_paths *paths,
                  bool *one)
{
    uint64_t word = paths->count == 1 && !embed_has_list(options->store);
    int status = options->ranks ? nc_communicator_share(options->ranks, &word, sizeof word) : NC_OK;
    *one = word != 0;
    return status;
}

/* Only rank 0 has work; the others wait for it. */
static int embed_alone(struct embed_job *job, const struct embed_paths *paths)
{
    struct nc_communicator *ranks = job->options->ranks;
    int status = NC_OK;
    if (embed_is_first(job)) {
        status = embed_job_open(job);
        if (status == NC_OK)
            status = embed_one(job, paths->items[0]);
    }
    double stopped = job->result->stopped;
    if (status == NC_OK && ranks)
        status = nc_communicator_sum(ranks, &stopped, 1);
    job->result->stopped = stopped > 0;
    return status;
}

int nc_embed(const struct nc_embed_options *given, struct nc_embed_result *result)
{
    struct nc_embed_options options = *given;
    struct embed_job job = {.options = &options, .result = result};
    struct embed_paths paths = {0};
    bool one = false;
    double began = nc_seconds();
    *result = (struct nc_embed_result){0};
    options.batch = options.batch ? options.batch : 1;
    int status =
        embed_is_first(&job) ? embed_find_sources(&options, &paths, &result->missing) : NC_OK;
    if (status == NC_OK)
        status = decide(&options, &paths, &one);
    if (status == NC_OK && one) {
        status = embed_alone(&job, &paths);
    } else if (status == NC_OK) {
        status = embed_job_open(&job);
        if (status == NC_OK)
            status = embed_many(&job, &paths);
    }
    result->seconds = nc_seconds() - began;
    if (result->seconds > 0)
        result->pictures_per_second = (double)result->embedded / result->seconds;
    if (status == NC_OK && result->stopped)
        status = nc_error(NC_FAILED,
                          one ? "stopped by a signal with %zu pictures in %s; the same "
                                "command goes on"
                              : "stopped by a signal with %zu pictures more in %s; the "
                                "same command goes on",
                          one ? result->rows : result->embedded, options.store);
    embed_job_close(&job);
    embed_paths_free(&paths);
    return status;
}

void nc_embed_result_free(struct nc_embed_result *result)
{
    free(result->repeated_first);
    result->repeated_first = NULL;
}
