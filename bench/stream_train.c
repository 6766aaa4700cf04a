/* Trains a small tower on a stream (stream_train.h). */
#include "stream_train.h"

#include "../host/train/examples/feed.h"
#include "../host/train/examples/random.h"
#include "../host/train/step/step.h"
#include "nclip/support/error.h"
#include "nclip/support/process.h"
#include "nclip/support/progress.h"

#include <stdio.h>
#include <stdlib.h>

struct trainer {
    struct nc_model_shape shape;
    struct nc_parameter_table table;
    struct nc_config *config;
    struct nc_ops *ops;
    struct nc_feed *feed;
    struct nc_arena *arena;
    struct nc_step *step;
    bool *trainable;
};

static struct nc_model_shape shape_of(const struct stream_data *d, const struct stream_training *t)
{
    const struct nc_set_info *info = nc_set_info(d->set);
    return (struct nc_model_shape){
        .text = {.width = t->width, .layers = t->layers, .heads = t->width / 64,
                 .mlp = 4 * t->width, .activation = NC_QUICK_GELU, .epsilon = 1e-5f},
        .vision = {.width = 64, .layers = 1, .heads = 1, .mlp = 64, .epsilon = 1e-5f}, /* unused */
        .embedding = d->dimension, .vocabulary = info->vocabulary, .context = info->context,
        .end_rule = NC_END_ARGMAX, .end_token = (int32_t)info->vocabulary - 1, .image_size = 32,
        .patch_size = 32, .channels = 3, .logit_scale_initial = 2.6592f};
}

static int configure(const struct stream_training *t, struct nc_config **config)
{
    char batch[32], pool[48];
    uint64_t bytes = t->pool_bytes ? t->pool_bytes : nc_process_free_bytes() / 4;
    snprintf(batch, sizeof batch, "batch_size=%zu", t->batch);
    snprintf(pool, sizeof pool, "pool_bytes=%llu", (unsigned long long)bytes);
    const char *settings[] = {batch, pool, "validation_fraction=0", "epochs=1000"};
    return nc_config_load("default", settings, 4, config);
}

static int set_parameters(struct trainer *t)
{
    size_t count = t->table.tower_elements[NC_TOWER_TEXT];
    float *values = calloc(count, sizeof *values);
    uint64_t state = nc_random_stream(3, 1, 0);
    if (!values)
        return nc_error(NC_FAILED, "bench: no memory");
    for (size_t i = 0; i < count; i++)
        values[i] = ((float)(nc_random_next(&state) >> 40) * 0x1p-23f - 1) * 0.035f;
    for (size_t i = 0; i < t->table.count; i++)
        if (t->table.rows[i].tower == NC_TOWER_TEXT && t->table.rows[i].role == NC_LOGIT_SCALE)
            values[t->table.rows[i].offset] = t->shape.logit_scale_initial;
    int status = nc_step_set_parameters(t->step, values);
    free(values);
    return status;
}

static int make_step(struct trainer *t, const struct nc_step_sample *sample)
{
    int status = nc_arena_create(&t->arena);
    if (status == NC_OK)
        status = nc_step_create_sampled(t->ops, &t->shape, &t->table, t->config, t->trainable,
                                        sample, NULL, t->arena, &t->step);
    return status == NC_OK ? nc_arena_commit(t->arena, t->ops) : status;
}

static int open_all(struct trainer *t, const struct stream_data *d, struct stream_training *asked)
{
    const char *all = "all";
    t->shape = shape_of(d, asked);
    int status = configure(asked, &t->config);
    if (status == NC_OK)
        status = nc_parameter_table_create(&t->shape, &t->table);
    if (status == NC_OK)
        status = nc_ops_create(asked->device, 0, &t->ops);
    if (status == NC_OK)
        status = nc_trainable_parse(&all, 1, &t->table, &t->shape, &t->trainable);
    double begun = nc_seconds();
    asked->pool_bytes = status == NC_OK ? t->config->pool_bytes : 0;
    if (status == NC_OK)
        status = nc_feed_create(d->set, d->store, t->config, 0, 1, &t->feed);
    if (status == NC_OK)
        status = nc_feed_start(t->feed, 0, 0);
    struct nc_step_sample sample = {.batch = asked->batch, .margin = 15};
    if (status == NC_OK) {
        sample.examples = nc_feed_examples(t->feed);
        status = nc_feed_sample(t->feed, &sample.list, &sample.count);
    }
    if (status == NC_OK)
        status = make_step(t, &sample);
    if (status == NC_OK)
        status = set_parameters(t);
    asked->first_batch_seconds = nc_seconds() - begun;
    return status;
}

/* Batches larger than the sample's are left out: it is the stream that is measured. */
static int loop(struct trainer *t, struct stream_training *m)
{
    uint64_t count = nc_feed_training_count(t->feed), number = 0, at = 0;
    double begun = nc_seconds();
    int status = NC_OK;
    while (status == NC_OK && nc_seconds() - begun < m->seconds) {
        const uint32_t *list;
        struct nc_step_result result;
        bool fits;
        if (at + m->batch > count) {
            at = 0;
            nc_feed_turn(t->feed);
        }
        status = nc_feed_take(t->feed, at, m->batch, &list);
        if (status == NC_OK)
            status = nc_step_fits(t->step, nc_feed_examples(t->feed), list, m->batch, &fits);
        if (status == NC_OK && fits)
            status = nc_step_train(t->step, nc_feed_examples(t->feed), list, m->batch, ++number,
                                   1e-6, &result);
        at += m->batch;
        nc_feed_done(t->feed, at);
    }
    m->steps = (size_t)number;
    m->trained = nc_seconds() - begun;
    return status;
}

static size_t anonymous_bytes(void)
{
    char line[256];
    size_t kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "RssAnon: %zu kB", &kilobytes) == 1)
            break;
    if (file)
        fclose(file);
    return kilobytes * 1024;
}

int stream_train(const struct stream_data *d, struct stream_training *m)
{
    struct trainer t = {0};
    int status = m->width && m->width % 64 == 0 && m->layers && m->batch > 1
                     ? NC_OK
                     : nc_error(NC_USAGE, "--width must be a multiple of 64, --layers at least 1, "
                                          "--batch at least 2");
    if (status == NC_OK)
        status = open_all(&t, d, m);
    if (status == NC_OK)
        status = loop(&t, m);
    if (status == NC_OK) {
        struct nc_feed_report report = nc_feed_report(t.feed);
        m->waited = report.waited;
        m->reading = report.reading;
        m->read_bytes = report.bytes;
        m->planned_bytes = nc_arena_bytes(t.arena) + t.ops->own_bytes;
        m->anonymous_bytes = anonymous_bytes();
    }
    nc_step_destroy(t.step);
    nc_arena_destroy(t.arena);
    nc_feed_destroy(t.feed);
    free(t.trainable);
    nc_ops_destroy(t.ops);
    nc_parameter_table_destroy(&t.table);
    nc_config_free(t.config);
    return status;
}
