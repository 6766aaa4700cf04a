/* nclip-bench train: whole training steps, and where their time goes. */
#include "../host/train/step/step.h"
#include "bench.h"
#include "matrix_peak.h"
#include "nclip/arena.h"
#include "nclip/support/error.h"
#include "nclip/support/process.h"
#include "nclip/support/progress.h"
#include "timed_ops.h"
#include "workload.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

static const struct nc_help help = {
    .usage = "nclip-bench train [--shape NAME] [--precision fp32|bf16] [--batch N] [--steps N]",
    .purpose =
        "Times training steps of CLIP's text tower on cached picture embeddings: captions a second, "
        "the share of the machine's matrix peak (the best of several measured among the steps), and "
        "each operation's part. "
        "Parameters and embeddings are random, and so are the captions' words unless --captions "
        "names a file; their lengths are those of real captions, of plain ones unless --lengths "
        "asks for others. Steps follow each other as in "
        "training; the first, which builds and chooses programs, are not counted. The operations' "
        "parts are of one more step. On a GPU, where steps are recorded, the nodes of a step's graphs follow, by "
        "kernel.\n\n"
        "With --epochs whole epochs over --pairs captions are timed, a fifth of them held out and "
        "validated on after each, without checkpoints.",
    .examples = "nclip-bench train --shape ViT-L/14 --batch 512 --precision bf16\n"
                "nclip-bench train --device cuda --pairs 229000 --epochs 15",
};

enum { MOST_PARTS = 32, MOST_NAMES = 64, REPLAYED = 3 };

struct request {
    const char *shape, *precision, *captions, *lengths, *tokenizer, *device, *tokens_out;
    size_t batch, micro_batch, steps, pairs, epochs;
    bool share_prefixes, json;
};

struct measurement {
    double peak;     /* flops a second, the best of those measured */
    double seconds;  /* of all counted steps */
    double tokens;   /* of a caption, in the mean */
    double rows;     /* computed tokens of a step, in the mean */
    size_t captions; /* of all counted steps */
    size_t steps;
    double parts_seconds; /* of the step that was taken apart */
    size_t planned_bytes, peak_bytes;
    struct timed_part parts[MOST_PARTS];
    size_t part_count;
    size_t nodes; /* that a step's recordings launch; 0: the backend records nothing */
    size_t early; /* of these, begun before the one before is over */
    struct nc_launches launches[MOST_NAMES];
    size_t launch_names;
};

static int load_config(const struct request *r, struct nc_config **config)
{
    char batch[64], micro[64], precision[64], share[64], epochs[64];
    snprintf(batch, sizeof batch, "batch_size=%zu", r->batch);
    snprintf(micro, sizeof micro, "micro_batch_size=%zu", r->micro_batch);
    snprintf(precision, sizeof precision, "precision=%s", r->precision);
    snprintf(share, sizeof share, "share_prefixes=%s", r->share_prefixes ? "true" : "false");
    snprintf(epochs, sizeof epochs, "epochs=%zu", r->epochs ? r->epochs : 1);
    const char *overrides[] = {batch, micro, precision, share, epochs,
                               r->epochs ? "drop_last=false" : "drop_last=true",
                               "validation_fraction=0", "trainable=all", "gradient_clip=1"};
    return nc_config_load("default", overrides, sizeof overrides / sizeof *overrides, config);
}

static int set_parameters(const struct workload *w, struct nc_step *step)
{
    float *master;
    int status = workload_parameters(w, &master);
    if (status == NC_OK)
        status = nc_step_set_parameters(step, master);
    free(master);
    return status;
}

/* Steps first .. first + count, one behind the other, as training runs them. */
static int run_group(const struct request *r, const struct workload *w, const uint32_t *order,
                     struct nc_step *step, size_t first, size_t count)
{
    struct nc_step_result result;
    int status = NC_OK;
    for (size_t i = first; i < first + count && status == NC_OK; i++) {
        size_t at = i % (r->steps + 1);
        status = nc_step_submit(step, &w->examples, order + at * r->batch, r->batch, i + 1, 1e-6);
        bool ahead = i + 1 != first + count;
        while (status == NC_OK && nc_step_pending(step) > ahead)
            status = nc_step_collect(step, &result);
    }
    return status;
}

/* Seconds of all steps but the first, which builds and chooses programs; on a backend that records,
 * the first three. The matrix peak is measured between groups of them. */
static int run_steps(const struct request *r, const struct workload *w, const uint32_t *order,
                     struct nc_ops *ops, enum nc_type type, struct nc_step *step,
                     struct measurement *m)
{
    size_t uncounted = ops->record_begin ? 3 : 1, groups = r->steps < 4 ? r->steps : 4;
    int status = run_group(r, w, order, step, 0, uncounted);
    for (size_t g = 0; g < groups && status == NC_OK; g++) {
        size_t first = g * r->steps / groups, last = (g + 1) * r->steps / groups;
        double began = nc_seconds();
        status = run_group(r, w, order, step, uncounted + first, last - first);
        m->seconds += nc_seconds() - began;
        if (!g) /* the peak's own matrices do not count */
            m->peak_bytes = nc_process_peak_bytes();
        if (status == NC_OK)
            status = matrix_peak(ops, type, &m->peak);
    }
    m->captions = r->steps * r->batch;
    m->steps = r->steps;
    return status;
}

/* Whole epochs, with the held-out captions after each. */
static int run_epochs(const struct workload *w, const struct nc_config *config, uint32_t *order,
                      struct nc_ops *ops, struct nc_step *step, struct measurement *m)
{
    const struct nc_examples *e = &w->examples;
    size_t batch = (size_t)config->batch_size, number = 0;
    struct nc_step_result result;
    double loss;
    int status = NC_OK;
    for (uint64_t epoch = 0; epoch < config->epochs && status == NC_OK; epoch++) {
        double began = nc_seconds();
        nc_examples_order(e, config->seed, epoch, order);
        for (size_t at = 0; at < e->training_count && status == NC_OK; at += batch) {
            size_t count = e->training_count - at < batch ? e->training_count - at : batch;
            status = nc_step_submit(step, e, order + at, count, ++number, 1e-6);
            bool last = at + count == e->training_count;
            while (status == NC_OK && nc_step_pending(step) > !last)
                status = nc_step_collect(step, &result);
        }
        for (size_t at = 0; at < e->validation_count && status == NC_OK; at += batch) {
            size_t count = e->validation_count - at < batch ? e->validation_count - at : batch;
            status = nc_step_evaluate(step, e, e->validation + at, count, &loss);
        }
        m->seconds += nc_seconds() - began;
        fprintf(stderr, "epoch %llu of %llu: %.1f s\n", (unsigned long long)epoch + 1,
                (unsigned long long)config->epochs, m->seconds);
        if (!epoch)
            m->peak_bytes = nc_process_peak_bytes();
        if (status == NC_OK)
            status = matrix_peak(ops, config->precision, &m->peak);
    }
    m->captions = e->training_count * (size_t)config->epochs;
    m->steps = number;
    return status;
}

/* One step more, each of its operations by itself. */
static int time_parts(const struct request *r, const struct workload *w, const uint32_t *order,
                      struct timed_ops *timed, struct nc_step *step, struct measurement *m)
{
    struct nc_step_result result;
    timed_ops_start(timed, true);
    double began = nc_seconds();
    int status = nc_step_train(step, &w->examples, order, r->batch, 1000000, 1e-6, &result);
    m->parts_seconds = nc_seconds() - began;
    m->part_count = timed_ops_parts(timed, m->parts, MOST_PARTS);
    timed_ops_start(timed, false);
    return status;
}

static int by_count(const void *a, const void *b)
{
    const struct nc_launches *one = a, *other = b;
    return one->count < other->count ? 1 : one->count > other->count ? -1 : strcmp(one->name, other->name);
}

/* The same step until all of it is replayed: its nodes by name. */
static int count_nodes(const struct request *r, const struct workload *w, const uint32_t *order,
                       struct nc_ops *ops, struct nc_step *step, struct measurement *m)
{
    struct nc_step_result result;
    int status = NC_OK;
    for (size_t i = 0; ops->record_launches && i < REPLAYED && status == NC_OK; i++) {
        (void)ops->record_launches(ops->backend, m->launches, 0);
        status = nc_step_train(step, &w->examples, order, r->batch, 1000001 + i, 1e-6, &result);
    }
    if (!ops->record_launches || status != NC_OK)
        return status;
    m->launch_names = ops->record_launches(ops->backend, m->launches, MOST_NAMES);
    m->launch_names = m->launch_names < MOST_NAMES ? m->launch_names : MOST_NAMES;
    qsort(m->launches, m->launch_names, sizeof *m->launches, by_count);
    for (size_t i = 0; i < m->launch_names; i++)
        m->nodes += m->launches[i].count, m->early += m->launches[i].early;
    return NC_OK;
}

static int count_rows(const struct request *r, const struct workload *w, const uint32_t *order,
                      const struct nc_config *config, double *rows)
{
    struct nc_packing packing;
    const struct nc_examples *e = &w->examples;
    int status = nc_packing_create(r->batch, e->token_start[e->texts], &packing);
    *rows = 0;
    size_t batches = e->training_count / r->batch;
    for (size_t i = 0; i < batches && status == NC_OK; i++) {
        status = nc_examples_pack(e, &w->shape, config, order + i * r->batch, r->batch, &packing);
        *rows += (double)packing.rows / (double)batches;
    }
    nc_packing_destroy(&packing);
    return status;
}

static int measure(const struct request *r, struct workload *w, const struct nc_config *config,
                   struct nc_ops *ops, struct measurement *m)
{
    struct timed_ops *timed = NULL;
    struct nc_arena *arena = NULL;
    struct nc_step *step = NULL;
    bool *trainable = NULL;
    const char *all = "all";
    uint32_t *order = malloc(w->examples.training_count * sizeof *order);
    if (!order)
        return nc_error(NC_FAILED, "bench: no memory");
    nc_examples_order(&w->examples, config->seed, 0, order); /* memory is planned for this order */
    int status = count_rows(r, w, order, config, &m->rows);
    if (status == NC_OK)
        status = nc_trainable_parse(&all, 1, &w->table, &w->shape, &trainable);
    if (status == NC_OK)
        status = timed_ops_create(ops, &timed);
    if (status == NC_OK)
        status = nc_arena_create(&arena);
    if (status == NC_OK)
        status = nc_step_create(timed_ops_table(timed), &w->shape, &w->table, config, trainable,
                                &w->examples, NULL, arena, &step);
    if (status == NC_OK)
        status = nc_arena_commit(arena, timed_ops_table(timed));
    if (status == NC_OK) {
        m->planned_bytes = nc_arena_bytes(arena) + ops->own_bytes;
        nc_arena_print(arena, stderr);
        status = set_parameters(w, step);
    }
    if (status == NC_OK) {
        status = r->epochs ? run_epochs(w, config, order, ops, step, m)
                           : run_steps(r, w, order, ops, config->precision, step, m);
    }
    if (status == NC_OK)
        status = time_parts(r, w, order, timed, step, m);
    if (status == NC_OK)
        status = count_nodes(r, w, order, ops, step, m);
    nc_step_destroy(step);
    nc_arena_destroy(arena);
    free(trainable);
    free(order);
    timed_ops_destroy(timed);
    return status;
}

/* Of all counted steps. */
static double product_flops(const struct measurement *m)
{
    double flops = 0;
    for (size_t i = 0; i < m->part_count; i++)
        flops += m->parts[i].flops * (double)m->steps;
    return flops;
}

static void print_text(const struct request *r, const struct measurement *m)
{
    double flops = product_flops(m), named = 0;
    printf("%s, %s, batch %zu, %s: %.1f captions/s (%.2f s a step)\n", r->shape, r->precision, r->batch,
           r->share_prefixes ? "shared prefixes" : "nothing shared", (double)m->captions / m->seconds,
           m->seconds / (double)m->steps);
    printf("%s captions of %.1f tokens, %.0f rows computed a step\n",
           r->captions ? "real" : r->lengths, m->tokens, m->rows);
    printf("dense products %.0f GFLOP/s over the whole step, %.0f%% of the %.0f measured among the steps\n",
           flops / m->seconds * 1e-9, 100 * flops / m->seconds / m->peak, m->peak * 1e-9);
    printf("memory %.2f GiB planned, %.2f GiB at the peak\n\n", (double)m->planned_bytes / 0x1p30,
           (double)m->peak_bytes / 0x1p30);
    printf("%-24s %9s %7s %7s %10s %8s\n", "operation", "ms", "share", "calls", "GFLOP/s", "of peak");
    for (size_t i = 0; i < m->part_count; i++) {
        const struct timed_part *p = &m->parts[i];
        named += p->seconds;
        printf("%-24s %9.3f %6.1f%% %7zu", p->name, 1e3 * p->seconds,
               100 * p->seconds / m->parts_seconds, p->calls);
        if (p->flops > 0)
            printf(" %10.0f %7.0f%%", p->flops / p->seconds * 1e-9, 100 * p->flops / p->seconds / m->peak);
        printf("\n");
    }
    printf("%-24s %9.3f %6.1f%%\n", "everything else", 1e3 * (m->parts_seconds - named),
           100 * (m->parts_seconds - named) / m->parts_seconds);
    if (m->nodes)
        printf("\n%zu nodes a step in recorded graphs\n%zu of them may begin early\n", m->nodes, m->early);
    for (size_t i = 0; i < m->launch_names; i++)
        printf("%6zu  %s%s\n", m->launches[i].count, m->launches[i].name,
               m->launches[i].early ? ", early" : "");
}

static void print_json(const struct request *r, const struct measurement *m)
{
    cJSON *root = cJSON_CreateObject(), *parts = cJSON_AddArrayToObject(root, "operations");
    cJSON_AddStringToObject(root, "benchmark", "train");
    cJSON_AddStringToObject(root, "program", "nclip " NCLIP_VERSION);
    cJSON_AddStringToObject(root, "device", r->device);
    cJSON_AddStringToObject(root, "shape", r->shape);
    cJSON_AddStringToObject(root, "precision", r->precision);
    cJSON_AddStringToObject(root, "captions", r->captions ? "from a file" : "generated");
    cJSON_AddStringToObject(root, "lengths", r->captions ? "from a file" : r->lengths);
    cJSON_AddNumberToObject(root, "batch", (double)r->batch);
    cJSON_AddNumberToObject(root, "micro_batch", (double)r->micro_batch);
    cJSON_AddNumberToObject(root, "steps", (double)m->steps);
    if (r->epochs) {
        cJSON_AddNumberToObject(root, "epochs", (double)r->epochs);
        cJSON_AddNumberToObject(root, "pairs", (double)r->pairs);
        cJSON_AddNumberToObject(root, "seconds", m->seconds);
    }
    cJSON_AddBoolToObject(root, "share_prefixes", r->share_prefixes);
    cJSON_AddNumberToObject(root, "tokens_per_caption", m->tokens);
    cJSON_AddNumberToObject(root, "rows_per_step", m->rows);
    cJSON_AddNumberToObject(root, "captions_per_second", (double)m->captions / m->seconds);
    cJSON_AddNumberToObject(root, "seconds_per_step", m->seconds / (double)m->steps);
    cJSON_AddNumberToObject(root, "matrix_peak_gflops", m->peak * 1e-9);
    cJSON_AddNumberToObject(root, "matrix_peak_share", product_flops(m) / m->seconds / m->peak);
    cJSON_AddNumberToObject(root, "planned_bytes", (double)m->planned_bytes);
    cJSON_AddNumberToObject(root, "peak_bytes", (double)m->peak_bytes);
    for (size_t i = 0; i < m->part_count; i++) {
        cJSON *part = cJSON_CreateObject();
        cJSON_AddStringToObject(part, "name", m->parts[i].name);
        cJSON_AddNumberToObject(part, "seconds_per_step", m->parts[i].seconds);
        if (m->parts[i].flops > 0)
            cJSON_AddNumberToObject(part, "gflops", m->parts[i].flops / m->parts[i].seconds * 1e-9);
        cJSON_AddItemToArray(parts, part);
    }
    if (m->nodes) {
        cJSON *nodes = cJSON_AddObjectToObject(root, "nodes_by_kernel");
        cJSON_AddNumberToObject(root, "nodes_per_step", (double)m->nodes);
        cJSON_AddNumberToObject(root, "early_nodes_per_step", (double)m->early);
        for (size_t i = 0; i < m->launch_names; i++)
            cJSON_AddNumberToObject(nodes, m->launches[i].name, (double)m->launches[i].count);
    }
    char *text = cJSON_PrintUnformatted(root);
    if (text)
        puts(text);
    cJSON_free(text);
    cJSON_Delete(root);
}

static int bench(const struct request *r)
{
    struct nc_ops *ops = NULL;
    struct nc_config *config = NULL;
    struct workload workload = {0};
    struct measurement m = {0};
    int status = load_config(r, &config);
    if (status == NC_OK)
        status = nc_ops_create(r->device, 0, &ops);
    if (status == NC_OK)
        status = workload_create(r->shape, r->epochs ? r->pairs : (r->steps + 1) * r->batch, r->captions,
                                 r->tokenizer, r->lengths, &workload);
    if (status == NC_OK && r->epochs)
        status = workload_hold_out(&workload, 0.2);
    if (status == NC_OK && r->tokens_out)
        status = workload_write_tokens(&workload, r->tokens_out);
    if (status == NC_OK)
        status = matrix_peak(ops, config->precision, &m.peak);
    if (status == NC_OK)
        status = measure(r, &workload, config, ops, &m);
    m.tokens = workload.mean_tokens;
    if (status == NC_OK)
        (r->json ? print_json : print_text)(r, &m);
    workload_destroy(&workload);
    nc_ops_destroy(ops);
    nc_config_free(config);
    return status;
}

static int run(int argc, char **argv)
{
    static const char *const precisions[] = {"fp32", "bf16", NULL};
    struct request r = {.shape = "ViT-L/14", .precision = "bf16", .device = "cpu", .batch = 512,
                        .lengths = "plain", .steps = 0, .pairs = 229000};
    const struct nc_option table[] = {
        {"--shape", "NAME", "whose text tower (default: ViT-L/14)", NC_OPTION_STRING, &r.shape,
         .choices = workload_shapes},
        {"--precision", "TYPE", "default: bf16", NC_OPTION_STRING, &r.precision, .choices = precisions},
        {"--batch", "N", "captions a step (default: 512)", NC_OPTION_SIZE, &r.batch},
        {"--micro-batch", "N", "captions computed at once (default: all)", NC_OPTION_SIZE, &r.micro_batch},
        {"--steps", "N", "counted steps (default: 3; on a GPU 100)", NC_OPTION_SIZE, &r.steps},
        {"--epochs", "N", "whole epochs with validation instead of steps", NC_OPTION_SIZE, &r.epochs},
        {"--pairs", "N", "captions of an epoch (default: 229000, the paper's)", NC_OPTION_SIZE, &r.pairs},
        {"--share-prefixes", NULL, "compute equal beginnings of captions once, as nclip train does",
         NC_OPTION_FLAG, &r.share_prefixes},
        {"--captions", "FILE", "real captions: COCO JSON or JSONL", NC_OPTION_STRING, &r.captions},
        {"--lengths", "NAME", "of generated captions: plain (default), negated, or a file of captions or of lines "
         "\"length number\"", NC_OPTION_STRING, &r.lengths},
        {"--tokenizer", "PATH", "CLIP's tokenizer, for files of captions", NC_OPTION_STRING, &r.tokenizer},
        {"--tokens-out", "FILE", "write the captions' tokens, for a peer", NC_OPTION_STRING, &r.tokens_out},
        {"--device", "NAME", "backend (default: cpu)", NC_OPTION_STRING, &r.device, .choices = nc_ops_names()},
        {"--json", NULL, "print one JSON object", NC_OPTION_FLAG, &r.json},
        {0},
    };
    struct nc_arguments arguments;
    int status = nc_options_parse(&help, table, argc, argv, &arguments);
    if (status != NC_OK || arguments.help_shown)
        return status;
    if (!r.steps)
        r.steps = strcmp(r.device, "cpu") == 0 ? 3 : 100;
    if (r.batch < 2 || (r.epochs && r.pairs < 2 * r.batch))
        status = nc_error(NC_USAGE, "--batch must be at least 2, and --pairs two batches");
    else if (r.captions && strcmp(r.lengths, "plain") != 0)
        status = nc_error(NC_USAGE, "--captions have lengths of their own: leave out --lengths");
    else
        status = bench(&r);
    nc_arguments_free(&arguments, table);
    return status;
}

const struct nc_command bench_train = {"train", "training steps on cached embeddings", run};
