/* nclip-bench scale: a training step on many ranks: what it computes, what it sends, and how much
 * of the sending is hidden; from that, what 8, 64 and 512 GPUs would do. */
#include "../host/train/step/parts.h"
#include "bench.h"
#include "nclip/support/error.h"
#include "nclip/support/process.h"
#include "nclip/support/progress.h"
#include "scale_model.h"
#include "workload.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

static const struct nc_help help = {
    .usage = "[mpirun -n N] nclip-bench scale [--shape NAME] [--batch N] [--steps N]",
    .purpose = "Times training steps on the ranks that mpirun or srun started, or on one. Three "
               "things are "
               "measured, each by itself: the link between the ranks; the step of a rank with its "
               "share of "
               "the batch, all ranks computing at once and none sending; and the step of all "
               "together, with "
               "the bytes of each kind of exchange and the time that was waited for them. The "
               "model predicts "
               "the third from the first two, and GPUs from published figures, which are printed.",
    .examples = "mpirun -n 2 nclip-bench scale --batch 256\n"
                "nclip-bench scale --batch 65536 --micro-batch 256 --steps 1 --cold",
};

struct request {
    const char *shape, *precision;
    size_t batch, micro_batch, steps;
    bool shard, cold, plan, json;
};

struct measurement {
    size_t ranks, elements, last_elements;
    double seconds, alone;                  /* a step of all together; of a rank by itself */
    double forward, backward, loss, update; /* of a rank by itself */
    struct scale_link link;
    struct nc_communicator_statistics sent; /* of a step */
    size_t planned_bytes, peak_bytes;
    double last_loss;
    struct scale_prediction predicted;
};

static int load_config(const struct request *r, size_t batch, struct nc_config **config)
{
    char size[64], micro[64], precision[64], shard[64];
    snprintf(size, sizeof size, "batch_size=%zu", batch);
    snprintf(micro, sizeof micro, "micro_batch_size=%zu", r->micro_batch);
    snprintf(precision, sizeof precision, "precision=%s", r->precision);
    snprintf(shard, sizeof shard, "shard_optimizer=%s", r->shard ? "true" : "false");
    const char *overrides[] = {size,
                               micro,
                               precision,
                               shard,
                               "drop_last=true",
                               "epochs=1",
                               "validation_fraction=0",
                               "trainable=all",
                               "gradient_clip=1"};
    return nc_config_load("default", overrides, sizeof overrides / sizeof *overrides, config);
}

/* ---- The link ------------------------------------------------------------------------------ */

static int time_exchange(struct nc_communicator *ranks, size_t bytes, size_t times, double *seconds)
{
    char *out = calloc(1, bytes), *in = calloc(1, bytes);
    int status =
        out && in ? nc_communicator_barrier(ranks) : nc_error(NC_FAILED, "bench: no memory");
    double began = nc_seconds();
    for (size_t i = 0; i < times && status == NC_OK; i++) {
        nc_ticket ticket;
        status = nc_communicator_exchange(ranks, out, bytes, in, bytes, &ticket);
        if (status == NC_OK)
            status = nc_communicator_wait(ranks, ticket);
    }
    *seconds = (nc_seconds() - began) / (double)times;
    free(out);
    free(in);
    return status;
}

/* An all-reduce's bandwidth holds its additions. */
static int time_all_reduce(struct nc_communicator *ranks, size_t bytes, size_t times,
                           double *seconds)
{
    float *data = calloc(1, bytes);
    int status = data ? nc_communicator_barrier(ranks) : nc_error(NC_FAILED, "bench: no memory");
    double began = 0;
    for (size_t i = 0; i <= times && status == NC_OK; i++) {
        nc_ticket ticket;
        began = i == 1 ? nc_seconds() : began; /* the first one allocates */
        status = nc_communicator_all_reduce(ranks, data, bytes / sizeof(float), &ticket);
        if (status == NC_OK)
            status = nc_communicator_wait(ranks, ticket);
    }
    *seconds = (nc_seconds() - began) / (double)times;
    free(data);
    return status;
}

static int measure_link(struct nc_communicator *ranks, struct scale_link *link)
{
    enum { LARGE = 1 << 24 };
    double small = 0, large = 0, others = (double)ranks->size - 1;
    int status = time_exchange(ranks, 64, 300, &small);
    if (status == NC_OK)
        status = time_all_reduce(ranks, LARGE, 10, &large);
    link->latency = small;
    link->bandwidth = 2 * others / (double)ranks->size * LARGE / large;
    return status;
}

/* ---- Steps --------------------------------------------------------------------------------- */

struct bench_step {
    struct nc_arena *arena;
    struct nc_step *step;
    bool *trainable;
    uint32_t *order;
};

static int open_step(const struct workload *w, const struct nc_config *config, struct nc_ops *ops,
                     struct nc_communicator *ranks, struct bench_step *b)
{
    const char *all = "all";
    float *master = NULL;
    b->order = malloc(w->examples.training_count * sizeof *b->order);
    int status = b->order ? NC_OK : nc_error(NC_FAILED, "bench: no memory");
    if (status == NC_OK) {
        nc_examples_order(&w->examples, config->seed, 0, b->order);
        status = nc_trainable_parse(&all, 1, &w->table, &w->shape, &b->trainable);
    }
    if (status == NC_OK)
        status = nc_arena_create(&b->arena);
    if (status == NC_OK)
        status = nc_step_create(ops, &w->shape, &w->table, config, b->trainable, &w->examples,
                                ranks, b->arena, &b->step);
    if (status == NC_OK)
        status = nc_arena_commit(b->arena, ops);
    if (status == NC_OK)
        status = workload_parameters(w, &master);
    if (status == NC_OK)
        status = nc_step_set_parameters(b->step, master);
    free(master);
    return status;
}

static void close_step(struct bench_step *b)
{
    nc_step_destroy(b->step);
    nc_arena_destroy(b->arena);
    free(b->trainable);
    free(b->order);
    *b = (struct bench_step){0};
}

/* A rank's own share, with nobody to send to; its parts by the clock. */
static int measure_alone(const struct request *r, const struct workload *w, struct nc_ops *ops,
                         size_t ranks, struct measurement *m)
{
    struct nc_config *config = NULL;
    struct bench_step b = {0};
    size_t share = r->batch / ranks;
    int status = load_config(r, share, &config);
    if (status == NC_OK)
        status = open_step(w, config, ops, NULL, &b);
    for (size_t i = 0; i <= r->steps && status == NC_OK; i++) {
        struct nc_batch batch = nc_step_batch(b.step, &w->examples, b.order + i * share, share, 0);
        const struct nc_adamw_pace pace = {1e-6, 0.1, 0.001};
        const struct nc_paces paces = {pace, pace};
        batch.pace = &paces;
        double times[4] = {nc_seconds()};
        status = nc_step_loss_forward(b.step, &batch, true);
        times[1] = nc_seconds();
        if (status == NC_OK)
            status = nc_step_loss_backward(b.step, &batch);
        times[2] = nc_seconds();
        if (status == NC_OK)
            status = nc_step_update(b.step);
        times[3] = nc_seconds();
        if (!i) /* builds oneDNN's programs */
            continue;
        m->forward += (times[1] - times[0]) / (double)r->steps;
        m->backward += (times[2] - times[1]) / (double)r->steps;
        m->update += (times[3] - times[2]) / (double)r->steps;
    }
    m->alone = m->forward + m->backward + m->update;
    close_step(&b);
    nc_config_free(config);
    return status;
}

/* The loss of a rank's pictures against the captions of all, as blocks of one. */
static int measure_loss(struct nc_ops *ops, const struct workload *w, size_t share, size_t ranks,
                        double *seconds)
{
    size_t width = w->shape.embedding, numbers = share * width;
    struct nc_infonce n = {.type = NC_FLOAT32,
                           .captions = share,
                           .images = share,
                           .width = width,
                           .total = share * ranks};
    size_t scratch = ops->infonce_scratch(ops->backend, &n);
    float *memory = calloc(3 * numbers + 5 * share + 32, sizeof(float));
    n.scratch = aligned_alloc(64, (scratch + 127) / 64 * 64);
    if (!memory || !n.scratch) {
        free(memory);
        free(n.scratch);
        return nc_error(NC_FAILED, "bench: no memory");
    }
    float scale = 2.66f, dscale = 0, *rest = memory + 3 * numbers;
    n.text = memory;
    n.image = memory + numbers;
    n.dtext = memory + 2 * numbers;
    n.logit_scale = &scale;
    n.dlogit_scale = &dscale;
    n.row_max = rest;
    n.row_log = rest + share;
    n.column_max = rest + 2 * share;
    n.column_log = rest + 3 * share;
    n.positive = rest + 4 * share;
    double began = 0;
    int status = NC_OK;
    for (int i = 0; i < 2 && status == NC_OK; i++) {
        began = nc_seconds();
        status = ops->infonce_forward(ops->backend, &n);
        if (status == NC_OK)
            status = ops->infonce_backward(ops->backend, &n);
    }
    *seconds = (nc_seconds() - began) * (double)ranks;
    free(memory);
    free(n.scratch);
    return status;
}

static int measure_together(const struct request *r, const struct workload *w, struct nc_ops *ops,
                            struct nc_communicator *ranks, struct measurement *m)
{
    struct nc_config *config = NULL;
    struct bench_step b = {0};
    size_t warm = r->cold ? 0 : 1;
    int status = load_config(r, r->batch, &config);
    if (status == NC_OK)
        status = open_step(w, config, ops, ranks, &b);
    if (status == NC_OK) {
        m->planned_bytes = nc_arena_bytes(b.arena) + ops->own_bytes;
        if (!ranks || ranks->rank == 0)
            nc_arena_print(b.arena, stderr);
    }
    if (r->plan) {
        close_step(&b);
        nc_config_free(config);
        return status;
    }
    double began = nc_seconds();
    for (size_t i = 0; i < warm + r->steps && status == NC_OK; i++) {
        struct nc_step_result result;
        if (i == warm && ranks) {
            status = nc_communicator_barrier(ranks);
            memset(&ranks->statistics, 0, sizeof ranks->statistics);
        }
        began = i == warm ? nc_seconds() : began;
        if (status == NC_OK)
            status = nc_step_train(b.step, &w->examples, b.order + i * r->batch, r->batch, i + 1,
                                   1e-6, &result);
        m->last_loss = result.loss;
    }
    m->seconds = (nc_seconds() - began) / (double)r->steps;
    if (ranks)
        m->sent = ranks->statistics;
    m->peak_bytes = nc_process_peak_bytes();
    close_step(&b);
    nc_config_free(config);
    return status;
}

/* The slowest rank's times; the mean of all is as good where each has a core of its own. */
static int average(struct nc_communicator *ranks, struct measurement *m)
{
    double values[] = {m->forward, m->backward, m->update, m->loss, m->seconds};
    enum { COUNT = sizeof values / sizeof *values };
    int status = nc_communicator_sum(ranks, values, COUNT);
    for (size_t i = 0; i < COUNT; i++)
        values[i] /= (double)ranks->size;
    m->forward = values[0];
    m->backward = values[1];
    m->update = values[2];
    m->loss = values[3];
    m->seconds = values[4];
    m->alone = m->forward + m->backward + m->update;
    return status;
}

/* ---- What follows from it ------------------------------------------------------------------- */

static struct scale_work describe_work(const struct request *r, const struct workload *w,
                                       const struct measurement *m, size_t ranks, size_t batch)
{
    return (struct scale_work){.ranks = ranks,
                               .batch = batch,
                               .width = w->shape.embedding,
                               .feature_bytes = 4,
                               .gradient_bytes = 4.0 * (double)m->elements,
                               .last_bytes = 4.0 * (double)m->last_elements,
                               .bucket_bytes = 1 << 24,
                               .sharded = r->shard};
}

/* The part of the alone step's time that was its own small loss is replaced by that over all. */
static void predict_here(const struct request *r, const struct workload *w, struct measurement *m)
{
    double own = m->loss / (double)m->ranks;
    struct scale_rank rank = {.towers = m->forward + m->backward - own,
                              .backward = m->backward,
                              .loss = m->loss,
                              .update = m->update,
                              .serial = 1 /* one core a rank: it copies and adds as well */};
    struct scale_work work = describe_work(r, w, m, m->ranks, r->batch);
    m->predicted = scale_predict(&work, &rank, &m->link);
}

/* Published figures of one GPU of a DGX H100, and how much of them is taken to be reached. */
static const struct {
    double flops, reached;         /* dense bf16; the share that products reach over a step */
    double nvlink, network, wires; /* bytes a second each way of one GPU; the share reached */
    double nvlink_latency, network_latency;
    double memory; /* bytes a second */
} gpu = {989e12, 0.40, 450e9, 50e9, 0.80, 3e-6, 10e-6, 3.35e12};
enum {
    GPUS_OF_A_HOST = 8,
    UPDATE_BYTES = 34 /* of a parameter: read 4 numbers, write 3, and bf16 */
};

static struct scale_prediction predict_gpus(const struct request *r, const struct workload *w,
                                            const struct measurement *m, size_t gpus, size_t batch)
{
    double width = (double)w->shape.text.width,
           rows = (double)batch / (double)gpus * w->mean_tokens;
    double passes = r->micro_batch ? 4 : 3; /* pieces are run forward twice */
    double products = rows * (double)w->shape.text.layers * 24 * width * width;
    double scores = (double)batch * (double)batch / (double)gpus * (double)w->shape.embedding;
    double rate = gpu.flops * gpu.reached;
    struct scale_rank rank = {.towers = passes * products / rate,
                              .backward = 2 * products / rate,
                              .loss = 8 * scores / rate,
                              .update = UPDATE_BYTES * (double)m->elements / gpu.memory};
    bool far = gpus > GPUS_OF_A_HOST;
    struct scale_link link = {far ? gpu.network_latency : gpu.nvlink_latency,
                              gpu.wires * (far ? gpu.network : gpu.nvlink)};
    struct scale_work work = describe_work(r, w, m, gpus, batch);
    work.feature_bytes = 2;
    return scale_predict(&work, &rank, &link);
}

static const size_t gpu_counts[] = {8, 64, 512};
enum { GPU_COUNTS = sizeof gpu_counts / sizeof *gpu_counts, EACH = 512, WHOLE = 65536 };

static void print_prediction(size_t gpus, size_t batch, const struct scale_prediction *p)
{
    printf("%5zu %8zu %10.2f %8.2f %10.2f %8.2f %9.2f %12.0f %9.0f%%\n", gpus, batch,
           1e3 * p->compute, 1e3 * p->ring, 1e3 * p->gradients, 1e3 * p->gather, 1e3 * p->step,
           (double)batch / p->step, 100 * p->compute / p->step);
}

static void print_text(const struct request *r, const struct workload *w,
                       const struct measurement *m)
{
    printf("%s, %s, batch %zu on %zu rank%s: %.3f s a step, %.1f captions/s, loss %.6f\n", r->shape,
           r->precision, r->batch, m->ranks, m->ranks > 1 ? "s" : "", m->seconds,
           (double)r->batch / m->seconds, m->last_loss);
    printf("memory %.2f GiB planned, %.2f GiB at the peak of a rank\n",
           (double)m->planned_bytes / 0x1p30, (double)m->peak_bytes / 0x1p30);
    if (m->ranks > 1) {
        printf("a rank by itself: %.3f s (forward and loss %.3f, backward %.3f, update %.3f)\n",
               m->alone, m->forward, m->backward, m->update);
        printf("link: %.0f us, %.2f GB/s\n\n%-26s %6s %12s %10s %10s %7s\n", 1e6 * m->link.latency,
               1e-9 * m->link.bandwidth, "a step", "calls", "MB sent", "busy ms", "waited ms",
               "hidden");
        for (size_t i = 0; i < NC_COLLECTIVES; i++) {
            double steps = (double)r->steps, busy = m->sent.kind[i].busy,
                   waited = m->sent.kind[i].waited;
            if (m->sent.kind[i].calls)
                printf("%-26.26s %6.0f %12.2f %10.2f %10.2f %6.0f%%\n", nc_collective_names[i],
                       (double)m->sent.kind[i].calls / steps,
                       1e-6 * (double)m->sent.kind[i].bytes / steps, 1e3 * busy / steps,
                       1e3 * waited / steps, waited < busy ? 100 * (1 - waited / busy) : 0.0);
        }
        printf("\nmodel for these ranks: %.3f s (compute %.3f, ring %.3f, gradients %.3f, gather "
               "%.3f); "
               "measured %.3f s, %+.0f%%\n",
               m->predicted.step, m->predicted.compute, m->predicted.ring, m->predicted.gradients,
               m->predicted.gather, m->seconds, 100 * (m->seconds / m->predicted.step - 1));
    }
    printf("\nmodel for GPUs (never run): H100 at %.0f TFLOP/s dense bf16, %.0f%% of it reached; "
           "NVLink "
           "%.0f GB/s within 8,\nnetwork %.0f GB/s a GPU beyond, each way, %.0f%% reached; latency "
           "%.0f and "
           "%.0f us; captions of %.1f tokens;\nfeatures travel in bf16, gradients in fp32; "
           "optimizer %s\n",
           1e-12 * gpu.flops, 100 * gpu.reached, 1e-9 * gpu.nvlink, 1e-9 * gpu.network,
           100 * gpu.wires, 1e6 * gpu.nvlink_latency, 1e6 * gpu.network_latency, w->mean_tokens,
           r->shard ? "sharded" : "whole on each");
    printf("%5s %8s %10s %8s %10s %8s %9s %12s %10s\n", "GPUs", "batch", "compute ms", "ring",
           "gradients", "gather", "step ms", "captions/s", "computing");
    for (size_t which = 0; which < 2; which++)
        for (size_t i = 0; i < GPU_COUNTS; i++) {
            size_t batch = which ? WHOLE : gpu_counts[i] * EACH;
            struct scale_prediction p = predict_gpus(r, w, m, gpu_counts[i], batch);
            print_prediction(gpu_counts[i], batch, &p);
        }
}

static void add_prediction(cJSON *object, const struct scale_prediction *p)
{
    cJSON_AddNumberToObject(object, "compute", p->compute);
    cJSON_AddNumberToObject(object, "ring", p->ring);
    cJSON_AddNumberToObject(object, "gradients", p->gradients);
    cJSON_AddNumberToObject(object, "gather", p->gather);
    cJSON_AddNumberToObject(object, "step", p->step);
}

static void print_json(const struct request *r, const struct workload *w,
                       const struct measurement *m)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "benchmark", "scale");
    cJSON_AddStringToObject(root, "program", "nclip " NCLIP_VERSION);
    cJSON_AddStringToObject(root, "shape", r->shape);
    cJSON_AddStringToObject(root, "precision", r->precision);
    cJSON_AddNumberToObject(root, "ranks", (double)m->ranks);
    cJSON_AddNumberToObject(root, "batch", (double)r->batch);
    cJSON_AddNumberToObject(root, "micro_batch", (double)r->micro_batch);
    cJSON_AddNumberToObject(root, "steps", (double)r->steps);
    cJSON_AddBoolToObject(root, "shard_optimizer", r->shard);
    cJSON_AddNumberToObject(root, "seconds_per_step", m->seconds);
    cJSON_AddNumberToObject(root, "captions_per_second", (double)r->batch / m->seconds);
    cJSON_AddNumberToObject(root, "loss", m->last_loss);
    cJSON_AddNumberToObject(root, "planned_bytes", (double)m->planned_bytes);
    cJSON_AddNumberToObject(root, "peak_bytes", (double)m->peak_bytes);
    if (m->ranks > 1) {
        cJSON_AddNumberToObject(root, "alone_seconds", m->alone);
        cJSON_AddNumberToObject(root, "link_latency", m->link.latency);
        cJSON_AddNumberToObject(root, "link_bandwidth", m->link.bandwidth);
        cJSON *list = cJSON_AddArrayToObject(root, "collectives");
        for (size_t i = 0; i < NC_COLLECTIVES; i++) {
            cJSON *one = cJSON_CreateObject();
            cJSON_AddStringToObject(one, "name", nc_collective_names[i]);
            cJSON_AddNumberToObject(one, "calls_per_step",
                                    (double)m->sent.kind[i].calls / (double)r->steps);
            cJSON_AddNumberToObject(one, "bytes_per_step",
                                    (double)m->sent.kind[i].bytes / (double)r->steps);
            cJSON_AddNumberToObject(one, "busy_per_step", m->sent.kind[i].busy / (double)r->steps);
            cJSON_AddNumberToObject(one, "waited_per_step",
                                    m->sent.kind[i].waited / (double)r->steps);
            cJSON_AddItemToArray(list, one);
        }
        add_prediction(cJSON_AddObjectToObject(root, "predicted"), &m->predicted);
        cJSON_AddNumberToObject(root, "measured_to_predicted", m->seconds / m->predicted.step);
    }
    cJSON *model = cJSON_AddArrayToObject(root, "gpu_model");
    for (size_t which = 0; which < 2; which++)
        for (size_t i = 0; i < GPU_COUNTS; i++) {
            size_t batch = which ? WHOLE : gpu_counts[i] * EACH;
            struct scale_prediction p = predict_gpus(r, w, m, gpu_counts[i], batch);
            cJSON *one = cJSON_CreateObject();
            cJSON_AddNumberToObject(one, "gpus", (double)gpu_counts[i]);
            cJSON_AddNumberToObject(one, "batch", (double)batch);
            add_prediction(one, &p);
            cJSON_AddItemToArray(model, one);
        }
    char *text = cJSON_PrintUnformatted(root);
    if (text)
        puts(text);
    cJSON_free(text);
    cJSON_Delete(root);
}

static int bench(const struct request *r, struct nc_communicator *ranks)
{
    struct nc_ops *ops = NULL;
    struct workload w = {0};
    struct measurement m = {.ranks = ranks ? ranks->size : 1};
    int status = nc_ops_create("cpu", 0, &ops);
    if (status == NC_OK)
        status = workload_create(r->shape, (r->steps + !r->cold) * r->batch, NULL, NULL, NULL, &w);
    if (status == NC_OK) {
        m.elements = w.table.tower_elements[NC_TOWER_TEXT];
        m.last_elements = nc_parameter_offset(&w.table, NC_TOWER_TEXT, NC_LN1_WEIGHT, 0);
    }
    if (status == NC_OK && ranks && !r->plan) {
        status = measure_link(ranks, &m.link);
        if (status == NC_OK)
            status = measure_alone(r, &w, ops, ranks->size, &m);
        if (status == NC_OK)
            status = measure_loss(ops, &w, r->batch / ranks->size, ranks->size, &m.loss);
    }
    if (status == NC_OK)
        status = measure_together(r, &w, ops, ranks, &m);
    if (status == NC_OK && ranks)
        status = average(ranks, &m);
    if (status == NC_OK)
        predict_here(r, &w, &m);
    if (status == NC_OK && !r->plan && (!ranks || ranks->rank == 0))
        (r->json ? print_json : print_text)(r, &w, &m);
    workload_destroy(&w);
    nc_ops_destroy(ops);
    return status;
}

static int run(int argc, char **argv)
{
    static const char *const precisions[] = {"fp32", "bf16", NULL};
    struct request r = {.shape = "ViT-L/14", .precision = "bf16", .batch = 256, .steps = 3};
    const struct nc_option table[] = {
        {"--shape", "NAME", "whose text tower (default: ViT-L/14)", NC_OPTION_STRING, &r.shape,
         .choices = workload_shapes},
        {"--precision", "TYPE", "default: bf16", NC_OPTION_STRING, &r.precision,
         .choices = precisions},
        {"--batch", "N", "captions a step, of all ranks (default: 256)", NC_OPTION_SIZE, &r.batch},
        {"--micro-batch", "N", "captions that a rank computes at once (default: all)",
         NC_OPTION_SIZE, &r.micro_batch},
        {"--steps", "N", "counted steps (default: 3)", NC_OPTION_SIZE, &r.steps},
        {"--plan", NULL, "only print the memory that is planned", NC_OPTION_FLAG, &r.plan},
        {"--cold", NULL, "count the first step too", NC_OPTION_FLAG, &r.cold},
        {"--shard-optimizer", NULL, "each rank updates its part of the parameters", NC_OPTION_FLAG,
         &r.shard},
        {"--json", NULL, "print one JSON object", NC_OPTION_FLAG, &r.json},
        {0},
    };
    struct nc_arguments arguments;
    struct nc_communicator *ranks = NULL;
    int status = nc_options_parse(&help, table, argc, argv, &arguments);
    if (status != NC_OK || arguments.help_shown)
        return status;
    status = nc_communicator_create(&ranks);
    if (status == NC_OK && (r.batch < (ranks ? ranks->size : 1) || r.steps < 1))
        status = nc_error(NC_USAGE, "--batch must be at least the number of ranks, and --steps 1");
    if (status == NC_OK)
        status = bench(&r, ranks);
    if (status != NC_OK && ranks)
        nc_communicator_abort(ranks, status);
    nc_communicator_destroy(ranks);
    nc_arguments_free(&arguments, table);
    return status;
}

const struct nc_command bench_scale = {"scale",
                                       "a training step on many ranks, and a model of more", run};
