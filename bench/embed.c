/* nclip-bench embed: decoding alone, the device alone, and both in nclip's pipeline. */
#include "nclip/embed/embed.h"
#include "../host/embed/pipeline.h"
#include "bench.h"
#include "embed_data.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/progress.h"

#include <cjson/cJSON.h>
#include <omp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct nc_help help = {
    .usage = "nclip-bench embed [--shape NAME] [--pictures N]",
    .purpose =
        "Times nclip embed in its parts, on generated JPEGs of 640 x 480 in a tar and a vision "
        "tower with random parameters: reading, decoding and resizing to 224 on one core and on "
        "all; the tower on pictures that are ready; and the whole command. Each number is the "
        "best of --runs. The files lie in $TMPDIR, or in --data, where they stay.",
    .examples =
        "nclip-bench embed --shape ViT-L/14 --precision bf16\n"
        "nclip-bench embed --device cuda --precision bf16 --shape ViT-L/14 --pictures 20000 "
        "--batch 256",
};

struct request {
    const char *shape, *device, *precision, *data;
    size_t pictures, batch, runs;
    bool json;
};

struct rates { /* pictures a second */
    double decode_one, decode_all, device, both;
    double decode_cpu; /* pictures a second of processor time: what other programs do not change */
    const char *limit; /* of both */
};

/* ---- decoding ---- */

struct decoding {
    const struct nc_image_source *source;
    size_t next;
    size_t good;
};

static int feed(void *context, struct embed_batch *batch, size_t most)
{
    struct decoding *d = context;
    batch->source = d->source;
    while (batch->count < most && d->next < nc_image_source_count(d->source))
        batch->slots[batch->count++].index = d->next++;
    return NC_OK;
}

static int store(void *context, struct embed_batch *batch)
{
    ((struct decoding *)context)->good += batch->good;
    return NC_OK;
}

static void tell(void *context, const struct nc_embed_stages *stages)
{
    (void)context;
    (void)stages;
}

static bool stop(void *context)
{
    (void)context;
    return false;
}

static double processor_seconds(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + 1e-9 * (double)used.tv_nsec;
}

static int time_decoding(const struct request *r, const char *tar, size_t threads, double *rate,
                         double *cpu_rate)
{
    struct nc_image_source *source = NULL;
    struct nc_preprocess preprocess;
    struct nc_embed_stages stages;
    nc_preprocess_default(224, &preprocess);
    int status = nc_image_source_open(tar, &source);
    struct embed_pipeline_options options = {.preprocess = &preprocess,
                                             .batch = r->batch,
                                             .values = (size_t)3 * 224 * 224,
                                             .embedding = 1,
                                             .threads = threads};
    for (size_t run = 0; run < r->runs && status == NC_OK; run++) {
        struct decoding d = {.source = source};
        const struct embed_work work = {&d, feed, store, NULL, tell, stop};
        double began = nc_seconds(), used = processor_seconds();
        status = embed_pipeline_run(&options, &work, &stages);
        double now = (double)d.good / (nc_seconds() - began);
        double of_cpu = (double)d.good / (processor_seconds() - used);
        *cpu_rate = of_cpu > *cpu_rate ? of_cpu : *cpu_rate;
        if (status == NC_OK && d.good != nc_image_source_count(source))
            status = nc_error(NC_FAILED, "%zu pictures were decoded, not all", d.good);
        *rate = now > *rate ? now : *rate;
    }
    nc_image_source_close(source);
    return status;
}

/* ---- the device ---- */

static int time_device(const struct request *r, const char *folder, double *rate)
{
    struct nc_model *model = NULL;
    struct nc_ops *ops = NULL;
    struct nc_encoder *encoder = NULL;
    float *pixels = NULL, *features = NULL;
    struct nc_encoder_options options = {
        .precision = nc_type_named(r->precision), .vision = true, .batch = r->batch};
    int status = nc_model_open(folder, &model);
    if (status == NC_OK)
        status = nc_ops_create(r->device, 0, &ops);
    if (status == NC_OK)
        status = nc_encoder_create(ops, model, &options, &encoder);
    size_t values = (size_t)3 * 224 * 224 * r->batch;
    if (status == NC_OK) {
        pixels = malloc(values * sizeof *pixels);
        features = malloc(r->batch * nc_model_shape(model)->embedding * sizeof *features);
        status = pixels && features ? NC_OK : nc_error(NC_FAILED, "no memory");
    }
    for (size_t i = 0; i < values && status == NC_OK; i++)
        pixels[i] = (float)(i * 2654435761u % 1024) / 512 - 1;
    size_t batches = r->pictures / r->batch ? r->pictures / r->batch : 1;
    if (status == NC_OK)
        status = nc_encoder_pictures(encoder, pixels, r->batch, false, features); /* warm */
    for (size_t run = 0; run < r->runs && status == NC_OK; run++) {
        double began = nc_seconds();
        for (size_t i = 0; i < batches && status == NC_OK; i++)
            status = nc_encoder_pictures(encoder, pixels, r->batch, false, features);
        double now = (double)(batches * r->batch) / (nc_seconds() - began);
        *rate = now > *rate ? now : *rate;
    }
    free(pixels);
    free(features);
    nc_encoder_destroy(encoder);
    nc_ops_destroy(ops);
    nc_model_close(model);
    return status;
}

/* ---- both ---- */

/* The rate of the pipeline: without loading the model, as a long run has it. */
static int time_both(const struct request *r, const char *model, const char *tar, const char *out,
                     struct rates *rates)
{
    struct nc_embed_options options = {.model = model,
                                       .images = &tar,
                                       .image_count = 1,
                                       .store = out,
                                       .device = r->device,
                                       .precision = nc_type_named(r->precision),
                                       .type = NC_BFLOAT16,
                                       .batch = r->batch};
    int status = NC_OK;
    for (size_t run = 0; run < r->runs && status == NC_OK; run++) {
        struct nc_embed_result result;
        status = nc_folder_remove(out);
        if (status == NC_OK)
            status = nc_embed(&options, &result);
        if (status != NC_OK)
            break;
        if (result.embedded != r->pictures)
            status = nc_error(NC_FAILED, "%zu pictures were embedded, not %zu", result.embedded,
                              r->pictures);
        double now = (double)result.stages.pictures / result.stages.seconds;
        if (now > rates->both) {
            rates->both = now;
            rates->limit = nc_embed_stage_names[nc_embed_limit(&result.stages)];
        }
        nc_embed_result_free(&result);
    }
    return status;
}

/* ---- all ---- */

static void print(const struct request *r, const struct rates *rates, size_t cores)
{
    printf("%zu JPEGs of %d x %d, %s in %s on %s, batches of %zu, %zu cores; pictures/s:\n\n",
           r->pictures, EMBED_WIDTH, EMBED_HEIGHT, r->shape, r->precision, r->device, r->batch,
           cores);
    printf("%-30s %9.1f  (%.1f a second of processor time)\n", "decoding alone, one core",
           rates->decode_one, rates->decode_cpu);
    printf("%-30s %9.1f  (%.1f a core)\n", "decoding alone, all cores", rates->decode_all,
           rates->decode_all / (double)cores);
    printf("%-30s %9.1f\n", "device alone", rates->device);
    printf("%-30s %9.1f  (%s limits)\n", "both: nclip embed", rates->both, rates->limit);
}

static void print_json(const struct request *r, const struct rates *rates, size_t cores)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "benchmark", "embed");
    cJSON_AddStringToObject(root, "program", "nclip " NCLIP_VERSION);
    cJSON_AddStringToObject(root, "device", r->device);
    cJSON_AddStringToObject(root, "shape", r->shape);
    cJSON_AddStringToObject(root, "precision", r->precision);
    cJSON_AddNumberToObject(root, "pictures", (double)r->pictures);
    cJSON_AddNumberToObject(root, "batch", (double)r->batch);
    cJSON_AddNumberToObject(root, "cores", (double)cores);
    cJSON_AddNumberToObject(root, "decode_one_core", rates->decode_one);
    cJSON_AddNumberToObject(root, "decode_per_processor_second", rates->decode_cpu);
    cJSON_AddNumberToObject(root, "decode_all_cores", rates->decode_all);
    cJSON_AddNumberToObject(root, "device_alone", rates->device);
    cJSON_AddNumberToObject(root, "both", rates->both);
    cJSON_AddStringToObject(root, "limit", rates->limit);
    char *text = cJSON_PrintUnformatted(root);
    if (text)
        puts(text);
    cJSON_free(text);
    cJSON_Delete(root);
}

static int measure(const struct request *r, const char *folder)
{
    char *model = nc_path_join(folder, "model"), *tar = nc_path_join(folder, "pictures.tar");
    char *out = nc_path_join(folder, "store");
    size_t cores = (size_t)omp_get_max_threads();
    struct rates rates = {.limit = ""};
    int status = model && tar && out ? NC_OK : nc_error(NC_FAILED, "no memory");
    if (status == NC_OK)
        status = embed_data_pictures(folder, r->pictures);
    if (status == NC_OK)
        status = embed_data_model(model, r->shape);
    if (status == NC_OK)
        status = time_decoding(r, tar, 1, &rates.decode_one, &rates.decode_cpu);
    if (status == NC_OK)
        status = time_decoding(r, tar, cores, &rates.decode_all, &rates.decode_cpu);
    if (status == NC_OK)
        status = time_device(r, model, &rates.device);
    if (status == NC_OK)
        status = time_both(r, model, tar, out, &rates);
    if (status == NC_OK)
        (r->json ? print_json : print)(r, &rates, cores);
    free(model);
    free(tar);
    free(out);
    return status;
}

static int bench(const struct request *r)
{
    const char *parent = getenv("TMPDIR");
    char *folder = r->data
                       ? strdup(r->data)
                       : nc_path_join(parent && *parent ? parent : "/tmp", "nclip-bench-XXXXXX");
    if (!folder || (!r->data && !mkdtemp(folder))) {
        free(folder);
        return nc_error(NC_FAILED, "cannot make a temporary folder");
    }
    int status = nc_folder_create(folder);
    if (status == NC_OK)
        status = measure(r, folder);
    if (!r->data && nc_folder_remove(folder) != NC_OK && status == NC_OK)
        status = NC_FAILED;
    free(folder);
    return status;
}

static int run(int argc, char **argv)
{
    struct request r = {.shape = "ViT-B/32",
                        .device = "cpu",
                        .precision = "fp32",
                        .pictures = 256,
                        .batch = 64,
                        .runs = 3};
    static const char *const precisions[] = {"fp32", "bf16", NULL};
    const struct nc_option table[] = {
        {"--shape", "NAME", "the vision tower (default: ViT-B/32)", NC_OPTION_STRING, &r.shape,
         .choices = embed_data_shapes},
        {"--pictures", "N", "how many (default: 256)", NC_OPTION_SIZE, &r.pictures},
        {"--batch", "N", "pictures at once (default: 64)", NC_OPTION_SIZE, &r.batch},
        {"--precision", "TYPE", "of the tower (default: fp32)", NC_OPTION_STRING, &r.precision,
         .choices = precisions},
        {"--runs", "N", "of which the best counts (default: 3)", NC_OPTION_SIZE, &r.runs},
        {"--device", "NAME", "backend (default: cpu)", NC_OPTION_STRING, &r.device,
         .choices = nc_ops_names()},
        {"--data", "DIR", "where to put the pictures and the model, and leave them",
         NC_OPTION_STRING, &r.data},
        {"--json", NULL, "print one JSON object", NC_OPTION_FLAG, &r.json},
        {0},
    };
    struct nc_arguments arguments;
    int status = nc_options_parse(&help, table, argc, argv, &arguments);
    if (status != NC_OK || arguments.help_shown)
        return status;
    if (r.pictures < 1 || r.pictures > 1000000 || r.batch < 1 || r.runs < 1)
        status = nc_error(NC_USAGE, "--pictures is 1 to 1000000, --batch and --runs at least 1");
    else
        status = bench(&r);
    nc_arguments_free(&arguments, table);
    return status;
}

const struct nc_command bench_embed = {"embed", "decoding and embedding of pictures", run};
