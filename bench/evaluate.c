/* nclip-bench evaluate: the matrix products of zero-shot classification and retrieval, from a
 * store. */
#include "../host/evaluate/ranking.h"
#include "bench.h"
#include "matrix_peak.h"
#include "nclip/store/store.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/progress.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static const struct nc_help help = {
    .usage = "nclip-bench evaluate [--dimension D]",
    .purpose =
        "Times what an evaluation does once everything is embedded, on random embeddings in a "
        "store: "
        "50,000 pictures against 1,000 classes (the five best of each), and 5,000 pictures against "
        "25,000 captions (the ten best of both). Each time is from opening the store to the ranks: "
        "checksums, "
        "reading, products, ranking; the best of --runs. The stores lie in $TMPDIR.",
    .examples = "nclip-bench evaluate --dimension 768",
};

struct request {
    const char *device;
    size_t dimension, runs;
    bool json;
};

struct task {
    const char *name;
    size_t pictures, texts;
    bool both;                        /* the best pictures of each text too */
    double open, read, rank, seconds; /* of the fastest run */
};

static float draw(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (float)(int32_t)(*state >> 32) * 0x1p-31f;
}

static void draw_row(uint64_t *state, size_t dimension, float *row)
{
    double sum = 0;
    for (size_t d = 0; d < dimension; d++) {
        row[d] = draw(state);
        sum += (double)row[d] * (double)row[d];
    }
    for (size_t d = 0; d < dimension; d++)
        row[d] *= (float)(1 / sqrt(sum));
}

static int write_store(const char *folder, size_t rows, size_t dimension)
{
    struct nc_embedding_info info = {.model_hash = "bench",
                                     .preprocessing = "none",
                                     .dimension = dimension,
                                     .type = NC_FLOAT32,
                                     .normalized = true};
    struct nc_embedding_writer *writer;
    uint64_t state = 1;
    char key[32];
    float *row = malloc(dimension * sizeof *row);
    if (!row)
        return nc_error(NC_FAILED, "no memory");
    int status = nc_embedding_writer_open(folder, &info, 0, &writer);
    for (size_t i = 0; i < rows && status == NC_OK; i++) {
        draw_row(&state, dimension, row);
        snprintf(key, sizeof key, "%08zu.jpg", i);
        status = nc_embedding_writer_append(writer, key, row);
    }
    free(row);
    return status == NC_OK ? nc_embedding_writer_close(writer) : status;
}

static int time_once(const struct request *r, struct nc_ops *ops, const char *folder,
                     const float *texts, float *pictures, struct ranking *by_text,
                     struct ranking *by_picture, struct task *task)
{
    struct nc_embedding_store *store;
    double began = nc_seconds();
    int status = nc_embedding_store_open(folder, &store);
    if (status != NC_OK)
        return status;
    double opened = nc_seconds();
    for (size_t i = 0; i < task->pictures && status == NC_OK; i++)
        status = nc_embedding_store_row_float(store, i, pictures + i * r->dimension);
    double read = nc_seconds();
    if (status != NC_OK) {
        nc_embedding_store_close(store);
        return status;
    }
    if (task->both) /* as retrieval does: captions are rows */
        status = ranking_compute(ops, texts, task->texts, pictures, task->pictures, r->dimension,
                                 by_text, by_picture);
    else
        status = ranking_compute(ops, pictures, task->pictures, texts, task->texts, r->dimension,
                                 by_picture, NULL);
    double done = nc_seconds();
    nc_embedding_store_close(store);
    if (task->seconds == 0 || done - began < task->seconds) {
        task->open = opened - began;
        task->read = read - opened;
        task->rank = done - read;
        task->seconds = done - began;
    }
    return status;
}

static int measure(const struct request *r, struct nc_ops *ops, const char *folder,
                   struct task *task)
{
    float *pictures = malloc(task->pictures * r->dimension * sizeof *pictures);
    float *texts = malloc(task->texts * r->dimension * sizeof *texts);
    struct ranking *by_text = malloc(task->texts * sizeof *by_text);
    struct ranking *by_picture = malloc(task->pictures * sizeof *by_picture);
    char *path = nc_path_join(folder, task->name);
    uint64_t state = 2;
    int status = pictures && texts && by_text && by_picture && path
                     ? write_store(path, task->pictures, r->dimension)
                     : nc_error(NC_FAILED, "no memory");
    for (size_t i = 0; i < task->texts && status == NC_OK; i++)
        draw_row(&state, r->dimension, texts + i * r->dimension);
    for (size_t run = 0; run < r->runs && status == NC_OK; run++)
        status = time_once(r, ops, path, texts, pictures, by_text, by_picture, task);
    free(pictures);
    free(texts);
    free(by_text);
    free(by_picture);
    free(path);
    return status;
}

static double flops(const struct request *r, const struct task *task)
{
    return 2.0 * (double)task->pictures * (double)task->texts * (double)r->dimension;
}

static void print(const struct request *r, double peak, const struct task *tasks, size_t count)
{
    printf("fp32, %zu dimensions; the machine's matrix peak, measured among the tasks: %.0f GFLOP/s\n\n",
           r->dimension, peak * 1e-9);
    printf("%-10s %9s %9s %7s %7s %7s %9s %11s %8s\n", "", "pictures", "texts", "open", "read",
           "rank", "seconds", "GFLOP/s", "of peak");
    for (size_t i = 0; i < count; i++) {
        const struct task *t = &tasks[i];
        double rate = flops(r, t) / t->rank;
        printf("%-10s %9zu %9zu %7.3f %7.3f %7.3f %9.3f %11.0f %7.0f%%\n", t->name, t->pictures,
               t->texts, t->open, t->read, t->rank, t->seconds, rate * 1e-9, 100 * rate / peak);
    }
}

static void print_json(const struct request *r, double peak, const struct task *tasks, size_t count)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "benchmark", "evaluate");
    cJSON_AddStringToObject(root, "program", "nclip " NCLIP_VERSION);
    cJSON_AddStringToObject(root, "device", r->device);
    cJSON_AddNumberToObject(root, "dimension", (double)r->dimension);
    cJSON_AddNumberToObject(root, "matrix_peak_gflops", peak * 1e-9);
    cJSON *array = cJSON_AddArrayToObject(root, "tasks");
    for (size_t i = 0; i < count; i++) {
        cJSON *task = cJSON_CreateObject();
        cJSON_AddStringToObject(task, "name", tasks[i].name);
        cJSON_AddNumberToObject(task, "pictures", (double)tasks[i].pictures);
        cJSON_AddNumberToObject(task, "texts", (double)tasks[i].texts);
        cJSON_AddNumberToObject(task, "seconds", tasks[i].seconds);
        cJSON_AddNumberToObject(task, "open_seconds", tasks[i].open);
        cJSON_AddNumberToObject(task, "read_seconds", tasks[i].read);
        cJSON_AddNumberToObject(task, "rank_seconds", tasks[i].rank);
        cJSON_AddItemToArray(array, task);
    }
    char *text = cJSON_PrintUnformatted(root);
    if (text)
        puts(text);
    cJSON_free(text);
    cJSON_Delete(root);
}

static int bench(const struct request *r)
{
    struct task tasks[] = {{.name = "zeroshot", .pictures = 50000, .texts = 1000},
                           {.name = "retrieval", .pictures = 5000, .texts = 25000, .both = true}};
    enum { TASKS = sizeof tasks / sizeof *tasks };
    const char *parent = getenv("TMPDIR");
    char *folder = nc_path_join(parent && *parent ? parent : "/tmp", "nclip-bench-XXXXXX");
    struct nc_ops *ops = NULL;
    double peak = 0;
    if (!folder || !mkdtemp(folder)) {
        free(folder);
        return nc_error(NC_FAILED, "cannot make a temporary folder");
    }
    int status = nc_ops_create(r->device, 0, &ops);
    if (status == NC_OK)
        status = matrix_peak(ops, NC_FLOAT32, &peak);
    for (size_t i = 0; i < TASKS && status == NC_OK; i++) {
        status = measure(r, ops, folder, &tasks[i]);
        if (status == NC_OK)
            status = matrix_peak(ops, NC_FLOAT32, &peak);
    }
    if (status == NC_OK)
        (r->json ? print_json : print)(r, peak, tasks, TASKS);
    nc_ops_destroy(ops);
    if (nc_folder_remove(folder) != NC_OK && status == NC_OK)
        status = NC_FAILED;
    free(folder);
    return status;
}

static int run(int argc, char **argv)
{
    struct request r = {.device = "cpu", .dimension = 768, .runs = 3};
    const struct nc_option table[] = {
        {"--dimension", "D", "of the embeddings (default: 768, ViT-L/14's)", NC_OPTION_SIZE,
         &r.dimension},
        {"--runs", "N", "of which the best counts (default: 3)", NC_OPTION_SIZE, &r.runs},
        {"--device", "NAME", "backend (default: cpu)", NC_OPTION_STRING, &r.device,
         .choices = nc_ops_names()},
        {"--json", NULL, "print one JSON object", NC_OPTION_FLAG, &r.json},
        {0},
    };
    struct nc_arguments arguments;
    int status = nc_options_parse(&help, table, argc, argv, &arguments);
    if (status != NC_OK || arguments.help_shown)
        return status;
    if (r.dimension < 1 || r.dimension > 8192 || r.runs < 1)
        status = nc_error(NC_USAGE, "--dimension is 1 to 8192, and --runs at least 1");
    else
        status = bench(&r);
    nc_arguments_free(&arguments, table);
    return status;
}

const struct nc_command bench_evaluate = {"evaluate",
                                          "zero-shot classes and retrieval from a store", run};
