/* Opens the model and the device, and runs the pipeline. */
#include "job.h"

#include "nclip/support/error.h"
#include "nclip/support/signals.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int embed_job_open(struct embed_job *job)
{
    const struct nc_embed_options *o = job->options;
    int status = nc_model_open(o->model, &job->model);
    if (status == NC_OK)
        status = nc_model_need_vision(job->model);
    if (status == NC_OK)
        status =
            nc_preprocess_load(o->model, nc_model_shape(job->model)->image_size, &job->preprocess);
    if (status == NC_OK)
        (void)nc_preprocess_choose(&job->preprocess, o->transparency, o->strict);
    if (status == NC_OK)
        status = nc_model_vision_hash(job->model, job->hash);
    if (status != NC_OK)
        return status;
    job->preprocessing = nc_preprocess_describe(&job->preprocess);
    if (!job->preprocessing)
        return nc_error(NC_FAILED, "embed: no memory");
    const struct nc_model_shape *shape = nc_model_shape(job->model);
    job->values = shape->channels * shape->image_size * shape->image_size;
    job->info = (struct nc_embedding_info){.model_hash = job->hash,
                                           .preprocessing = job->preprocessing,
                                           .normalized = true,
                                           .dimension = shape->embedding,
                                           .type = o->type};
    return NC_OK;
}

int embed_job_start(struct embed_job *job)
{
    const struct nc_embed_options *o = job->options;
    int status = nc_ops_create(o->device, o->device_number, &job->ops);
    struct nc_encoder_options options = {
        .precision = o->precision, .vision = true, .batch = o->batch};
    if (status == NC_OK)
        status = nc_encoder_create(job->ops, job->model, &options, &job->encoder);
    if (status == NC_OK) {
        nc_signals_catch();
        job->caught = true;
    }
    return status;
}

void embed_job_close(struct embed_job *job)
{
    nc_encoder_destroy(job->encoder);
    nc_ops_destroy(job->ops);
    nc_model_close(job->model);
    free(job->preprocessing);
    if (job->caught)
        nc_signals_release();
}

int embed_job_run(struct embed_job *job, bool captions, const struct embed_work *work)
{
    struct embed_pipeline_options options = {.encoder = job->encoder,
                                             .preprocess = &job->preprocess,
                                             .batch = job->options->batch,
                                             .values = job->values,
                                             .embedding = job->info.dimension,
                                             .threads = (size_t)omp_get_max_threads(),
                                             .captions = captions,
                                             .shared = job->ops->host_memory};
    return embed_pipeline_run(&options, work, &job->result->stages);
}

char *embed_key(const char *path, const struct nc_image_source *source, size_t index, bool by_path,
                const char *prefix)
{
    const char *key = nc_image_source_key(source, index);
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    bool itself = nc_image_source_count(source) == 1 && strcmp(name, key) == 0; /* a picture */
    char *whole;
    int length = by_path ? asprintf(&whole, "%s%s%s%s", prefix ? prefix : "", path,
                                    itself ? "" : "/", itself ? "" : key)
                         : asprintf(&whole, "%s%s", prefix ? prefix : "", key);
    return length < 0 ? NULL : whole;
}

static struct nc_embed_stages since(const struct nc_embed_stages *now,
                                    const struct nc_embed_stages *then)
{
    struct nc_embed_stages part = *now;
    for (int i = 0; i < NC_EMBED_STAGES; i++) {
        part.busy[i] -= then->busy[i];
        part.waited[i] -= then->waited[i];
    }
    return part;
}

void embed_note(struct embed_mark *mark, const struct nc_embed_stages *now, size_t skipped,
                char *note, size_t size)
{
    static const double WINDOW = 5; /* seconds; what is told is of one to two of them */
    if (now->seconds - mark->then.seconds > WINDOW) {
        mark->before = mark->then;
        mark->then = *now;
    }
    struct nc_embed_stages part = since(now, &mark->before);
    const char *limit = nc_embed_stage_names[nc_embed_limit(&part)];
    if (skipped)
        snprintf(note, size, "%zu skipped, %s limits", skipped, limit);
    else
        snprintf(note, size, "%s limits", limit);
}
