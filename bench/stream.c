/* nclip-bench stream: a cold store read in block order, beside dd; training steps on a stream of it;
 * and the plan of a run of any size. */
#include "bench.h"
#include "nclip/formats/json.h"
#include "nclip/ops.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/progress.h"
#include "nclip/train/prepare.h"
#include "stream_data.h"
#include "stream_plan.h"
#include "stream_read.h"
#include "stream_train.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_READERS = 2, PREPARED = 300000 };

struct request {
    struct stream_data data;
    size_t readers;
    bool only_make, no_training, json;
    struct stream_training training;
    size_t pool_mib;
    const char *plan;
    struct stream_rates rates;
};

struct measured {
    struct stream_rate sequential, blocks[MOST_READERS];
    size_t readers[MOST_READERS];
    const char *reader;
    double prepare; /* captions a second and core */
};

static double rate_of(const struct stream_rate *rate)
{
    return rate->seconds > 0 ? (double)rate->bytes / rate->seconds : 0;
}

/* ---- Measuring ----------------------------------------------------------------------------- */

static int measure_reading(struct request *r, struct measured *m)
{
    int status = stream_read_sequential(&r->data, &m->sequential);
    for (size_t i = 0; i < MOST_READERS && status == NC_OK; i++) {
        m->readers[i] = i ? r->readers : 1;
        status = stream_read_blocks(&r->data, m->readers[i], &m->blocks[i], &m->reader);
    }
    return status;
}

/* Captions of the store's pictures, in the order of its rows. */
static int write_captions(const struct stream_data *d, const char *path)
{
    static const char *const words[] = {"a",    "man",   "on",  "the",     "street", "with", "no",
                                        "dog",  "red",   "car", "standing", "near",  "two",  "people",
                                        "tree", "without", "in", "front",   "of",     "house"};
    struct nc_writer *writer;
    size_t count = d->rows < PREPARED ? d->rows : PREPARED;
    int status = nc_writer_create(path, &writer);
    if (status != NC_OK)
        return status;
    for (size_t i = 0; i < count; i++) {
        nc_writer_printf(writer, "{\"image\": \"%09zu.jpg\", \"caption\": \"", i);
        for (size_t k = 0; k < 10; k++)
            nc_writer_printf(writer, "%s%s", k ? " " : "", words[(i * 7 + k * k * 3 + i / 20 * k) % 20]);
        nc_writer_printf(writer, "\"}\n");
    }
    return nc_writer_commit(writer);
}

static int measure_prepare(struct request *r, struct measured *m)
{
    char *captions = nc_path_join(r->data.folder, "some.jsonl");
    char *out = nc_path_join(r->data.folder, "some.set");
    char *store = nc_path_join(r->data.folder, "store");
    const char *sources[] = {captions};
    struct nc_prepare_options options = {.captions = sources, .caption_count = 1,
                                         .embeddings = store, .model_folder = r->data.model,
                                         .out = out, .too_long = NC_TRUNCATE, .quiet = true};
    struct nc_prepare_result result;
    int status = captions && out && store ? write_captions(&r->data, captions)
                                          : nc_error(NC_FAILED, "bench: no memory");
    if (status == NC_OK)
        status = nc_folder_remove(out);
    if (status == NC_OK)
        status = nc_prepare(&options, &result);
    if (status == NC_OK) {
        m->prepare = (double)result.captions / result.seconds / omp_get_max_threads();
        remove(captions);
        status = nc_folder_remove(out);
    }
    free(captions);
    free(out);
    free(store);
    return status;
}

/* ---- Printing -------------------------------------------------------------------------------- */

static void print_text(const struct request *r, const struct measured *m)
{
    const struct stream_training *t = &r->training;
    double sequential = rate_of(&m->sequential), row = 2.0 * (double)r->data.dimension;
    printf("%zu rows of %zu columns in bf16, %.2f GB, read by %s\n", r->data.rows, r->data.dimension,
           (double)m->sequential.bytes / 1e9, m->reader);
    if (r->data.store_seconds > 0)
        printf("made in %.0f s, the set in %.0f s\n", r->data.store_seconds, r->data.set_seconds);
    printf("%-28s %8.0f MB/s\n", "dd, direct, file after file", sequential / 1e6);
    for (size_t i = 0; i < MOST_READERS; i++)
        printf("block order, %zu reader%s %*s %8.0f MB/s %12.0f rows/s  %5.1f%% of dd\n",
               m->readers[i], m->readers[i] == 1 ? " " : "s", 5, "", rate_of(&m->blocks[i]) / 1e6,
               rate_of(&m->blocks[i]) / row, 100 * rate_of(&m->blocks[i]) / sequential);
    if (r->no_training)
        return;
    printf("training (%zu layer%s of %zu, batch %zu): %.0f captions/s in %.1f s, %.2f%% of it waiting\n",
           t->layers, t->layers == 1 ? "" : "s", t->width, t->batch,
           (double)(t->steps * t->batch) / t->trained, t->trained, 100 * t->waited / t->trained);
    printf("first batch after %.2f s; %.2f GB read, %.0f MB/s while reading; pool %.2f GiB, "
           "anonymous memory %.2f GiB, the step's %.2f GiB\n",
           t->first_batch_seconds, (double)t->read_bytes / 1e9,
           (double)t->read_bytes / t->reading / 1e6, (double)t->pool_bytes / 0x1p30,
           (double)t->anonymous_bytes / 0x1p30, (double)t->planned_bytes / 0x1p30);
}

static void print_json(const struct request *r, const struct measured *m)
{
    const struct stream_training *t = &r->training;
    double sequential = rate_of(&m->sequential), row = 2.0 * (double)r->data.dimension;
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "benchmark", "stream");
    cJSON_AddStringToObject(root, "program", "nclip " NCLIP_VERSION);
    cJSON_AddNumberToObject(root, "rows", (double)r->data.rows);
    cJSON_AddNumberToObject(root, "dimension", (double)r->data.dimension);
    cJSON_AddNumberToObject(root, "bytes", (double)m->sequential.bytes);
    cJSON_AddStringToObject(root, "reader", m->reader);
    if (r->data.store_seconds > 0)
        cJSON_AddNumberToObject(root, "store_seconds", r->data.store_seconds);
    if (r->data.set_seconds > 0)
        cJSON_AddNumberToObject(root, "set_seconds", r->data.set_seconds);
    cJSON_AddNumberToObject(root, "sequential_bytes_per_second", sequential);
    cJSON *blocks = cJSON_AddArrayToObject(root, "block_order");
    for (size_t i = 0; i < MOST_READERS; i++) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddNumberToObject(one, "readers", (double)m->readers[i]);
        cJSON_AddNumberToObject(one, "bytes_per_second", rate_of(&m->blocks[i]));
        cJSON_AddNumberToObject(one, "rows_per_second", rate_of(&m->blocks[i]) / row);
        cJSON_AddNumberToObject(one, "of_sequential", rate_of(&m->blocks[i]) / sequential);
        cJSON_AddItemToArray(blocks, one);
    }
    if (m->prepare > 0)
        cJSON_AddNumberToObject(root, "prepare_captions_per_second_and_core", m->prepare);
    if (!r->no_training) {
        cJSON *training = cJSON_AddObjectToObject(root, "training");
        cJSON_AddNumberToObject(training, "layers", (double)t->layers);
        cJSON_AddNumberToObject(training, "width", (double)t->width);
        cJSON_AddNumberToObject(training, "batch", (double)t->batch);
        cJSON_AddNumberToObject(training, "pool_bytes", (double)t->pool_bytes);
        cJSON_AddNumberToObject(training, "first_batch_seconds", t->first_batch_seconds);
        cJSON_AddNumberToObject(training, "seconds", t->trained);
        cJSON_AddNumberToObject(training, "captions_per_second",
                                (double)(t->steps * t->batch) / t->trained);
        cJSON_AddNumberToObject(training, "waited_share", t->waited / t->trained);
        cJSON_AddNumberToObject(training, "read_bytes", (double)t->read_bytes);
        cJSON_AddNumberToObject(training, "reading_seconds", t->reading);
        cJSON_AddNumberToObject(training, "anonymous_bytes", (double)t->anonymous_bytes);
        cJSON_AddNumberToObject(training, "planned_bytes", (double)t->planned_bytes);
    }
    char *text = cJSON_PrintUnformatted(root);
    if (text)
        puts(text);
    cJSON_free(text);
    cJSON_Delete(root);
}

/* ---- The command --------------------------------------------------------------------------- */

static int plan(struct request *r, const struct measured *m)
{
    uint64_t rows, dimension;
    int status = stream_plan_parse(r->plan, &rows, &dimension);
    if (status != NC_OK)
        return status;
    struct stream_rates rates = r->rates;
    rates.disk *= 1e6;
    rates.file_system *= 1e6;
    rates.link *= 1e6;
    rates.parameters = 123e6; /* of ViT-L/14's text tower */
    rates.tokens = 13;
    if (rate_of(&m->blocks[0]) > 0) {
        rates.disk = rate_of(&m->blocks[0]);
        rates.measured_disk = true;
    }
    if (m->prepare > 0) {
        rates.prepare = m->prepare;
        rates.measured_prepare = true;
    }
    stream_plan_print(rows, dimension, &rates, r->json);
    return NC_OK;
}

static int bench(struct request *r)
{
    struct measured m = {.reader = ""};
    int status = NC_OK;
    if (r->data.folder) {
        status = stream_data_open(&r->data);
        if (status != NC_OK || r->only_make) {
            stream_data_close(&r->data);
            return status;
        }
        status = measure_reading(r, &m);
        if (status == NC_OK && r->data.model)
            status = measure_prepare(r, &m);
        if (status == NC_OK && !r->no_training && !r->plan)
            status = stream_train(&r->data, &r->training);
        if (status == NC_OK && !r->plan)
            (r->json ? print_json : print_text)(r, &m);
    }
    if (status == NC_OK && r->plan)
        status = plan(r, &m);
    stream_data_close(&r->data);
    return status;
}

static const struct nc_help help = {
    .usage = "nclip-bench stream --folder DIR [--rows N] [--dimension N] | --plan ROWSxCOLUMNS [--folder DIR]",
    .purpose =
        "Generates a store and a prepared set in DIR unless they are there, reads the cold store file "
        "after file with dd and block by block in a random order, both past the page cache, and trains "
        "a small tower on a stream of it.\n\n--plan prints what a data set takes in bytes and in time on "
        "1, 8 and 64 GPUs, and each number that this rests on; with --folder the disk is measured, and "
        "with --model what nclip prepare does in a second.",
    .examples = "nclip-bench stream --folder /scratch/bench --rows 20000000 --dimension 768\n"
                "nclip-bench stream --plan 400000000x768 --disk 2000",
};

static int run(int argc, char **argv)
{
    struct request r = {
        .data = {.rows = 1000000, .dimension = 64}, .readers = 4,
        .training = {.batch = 512, .width = 64, .layers = 1, .seconds = 20, .device = "cpu"},
        /* MB/s; 30% of an H200's 989 TFLOP/s in bf16 are 1,800 pictures of ViT-L/14 and 45,000 captions
         * of 13 tokens; 550 JPEGs a second and core are measured (bench/results/embed-cpu-ViT-B32.json) */
        .rates = {.disk = 2000, .file_system = 40000, .link = 25000, .decode = 550, .cores = 16,
                  .embed = 1800, .prepare = 50000, .train = 45000, .batch = 32768}};
    const struct nc_option table[] = {
        {"--folder", "DIR", "where the store and the set are, or are made", NC_OPTION_STRING, &r.data.folder},
        {"--rows", "N", "of the store (default: 1000000)", NC_OPTION_SIZE, &r.data.rows},
        {"--dimension", "N", "columns, in bf16 (default: 64)", NC_OPTION_SIZE, &r.data.dimension},
        {"--model", "DIR", "make them as of this model, so that nclip train takes them", NC_OPTION_STRING,
         &r.data.model},
        {"--make-only", NULL, "make them, measure nothing", NC_OPTION_FLAG, &r.only_make},
        {"--readers", "N", "several readers at once, beside one (default: 4)", NC_OPTION_SIZE, &r.readers},
        {"--no-training", NULL, "read only", NC_OPTION_FLAG, &r.no_training},
        {"--seconds", "N", "of training (default: 20)", NC_OPTION_NUMBER, &r.training.seconds},
        {"--batch", "N", "captions a step (default: 512)", NC_OPTION_SIZE, &r.training.batch},
        {"--width", "N", "of the trained tower (default: 64)", NC_OPTION_SIZE, &r.training.width},
        {"--layers", "N", "of it (default: 1)", NC_OPTION_SIZE, &r.training.layers},
        {"--pool-mib", "N", "of the stream (default: a quarter of the free memory)", NC_OPTION_SIZE,
         &r.pool_mib},
        {"--device", "NAME", "backend of the training (default: cpu)", NC_OPTION_STRING, &r.training.device,
         .choices = nc_ops_names()},
        {"--plan", "ROWSxCOLUMNS", "print the plan of such a data set", NC_OPTION_STRING, &r.plan},
        {"--disk", "MB/S", "that a node reads (default: measured with --folder, else 2000)",
         NC_OPTION_NUMBER, &r.rates.disk},
        {"--file-system", "MB/S", "of all nodes together (default: 40000)", NC_OPTION_NUMBER,
         &r.rates.file_system},
        {"--link", "MB/S", "between GPUs of different nodes, each (default: 25000)", NC_OPTION_NUMBER,
         &r.rates.link},
        {"--decode", "N", "pictures a second and core (default: 550)", NC_OPTION_NUMBER, &r.rates.decode},
        {"--cores", "N", "for each GPU (default: 16)", NC_OPTION_NUMBER, &r.rates.cores},
        {"--embed", "N", "pictures a second and GPU (default: 1800)", NC_OPTION_NUMBER, &r.rates.embed},
        {"--prepare", "N", "captions a second and core (default: measured with --model, else 50000)",
         NC_OPTION_NUMBER, &r.rates.prepare},
        {"--train", "N", "captions a second and GPU (default: 45000)", NC_OPTION_NUMBER, &r.rates.train},
        {"--global-batch", "N", "captions a step of all GPUs (default: 32768)", NC_OPTION_NUMBER,
         &r.rates.batch},
        {"--json", NULL, "print one JSON object", NC_OPTION_FLAG, &r.json},
        {0},
    };
    struct nc_arguments arguments;
    int status = nc_options_parse(&help, table, argc, argv, &arguments);
    if (status != NC_OK || arguments.help_shown)
        return status;
    r.training.pool_bytes = (uint64_t)r.pool_mib << 20;
    if (!r.data.folder && !r.plan)
        status = nc_error(NC_USAGE, "stream: --folder DIR or --plan ROWSxCOLUMNS is missing");
    else if (!r.data.rows || !r.data.dimension || r.data.dimension > 65536 || !r.readers ||
             r.readers > 256)
        status = nc_error(NC_USAGE, "stream: --rows, --dimension (to 65536) and --readers (to 256) must be "
                                    "at least 1");
    else
        status = bench(&r);
    nc_arguments_free(&arguments, table);
    return status;
}

const struct nc_command bench_stream = {"stream", "a store larger than memory: reading, training, a plan",
                                        run};
