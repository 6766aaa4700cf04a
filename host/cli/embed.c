/* nclip embed: each picture through the vision tower, once, into an embedding store. */
#include "nclip/command.h"
#include "nclip/embedding_store.h"
#include "nclip/encoder.h"
#include "nclip/error.h"
#include "nclip/image.h"
#include "nclip/image_source.h"
#include "nclip/progress.h"

#include <cjson/cJSON.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct nc_help help = {
    .usage = "nclip embed --model DIR --images DIR|LIST|TAR --out STORE",
    .purpose =
        "Puts every picture through the frozen vision tower once and keeps the embeddings in a "
        "store, from which training streams them. A folder is searched with everything below it; a "
        "list has one path a line; a tar is read as a webdataset. The key of a picture is its path "
        "relative to the folder.\n\nCan be stopped and started again: what is in the store stays. "
        "Pictures that cannot be read are skipped and listed in STORE/skipped.jsonl.",
    .examples = "nclip embed --model clip-vit-large-patch14 --images coco/train2014 --out store",
};

/* The handler's only voice; read between batches. */
static volatile sig_atomic_t stop_signal;

static void note_signal(int number)
{
    stop_signal = number;
}

struct job {
    struct nc_image_source *source;
    struct nc_embedding_writer *writer;
    struct nc_encoder *encoder;
    struct nc_preprocess preprocess;
    size_t batch, values, embedding; /* values: floats of one preprocessed picture */
    float *pixels, *features;
    size_t *index;  /* [batch] source index of each picture of the batch */
    char **reasons; /* [batch] why it cannot be embedded, or NULL */
    size_t embedded;
};

/* Reads, decodes and preprocesses picture `slot`; a failure is its reason to be skipped. */
static void prepare(struct job *job, size_t slot)
{
    uint8_t *bytes = NULL;
    size_t size;
    struct nc_image image = {0};
    const char *key = nc_image_source_key(job->source, job->index[slot]);
    int status = nc_image_source_read(job->source, job->index[slot], &bytes, &size);
    if (status == NC_OK)
        status = nc_image_decode(key, bytes, size, &image);
    if (status == NC_OK)
        status = nc_image_preprocess(&job->preprocess, &image, NULL, job->pixels + slot * job->values);
    if (status != NC_OK)
        job->reasons[slot] = strdup(nc_error_message());
    nc_image_free(&image);
    free(bytes);
}

static int embed_batch(struct job *job, size_t count)
{
#pragma omp parallel for schedule(dynamic)
    for (size_t slot = 0; slot < count; slot++)
        prepare(job, slot);

    /* Pictures that can be embedded move together; the others are noted. */
    size_t good = 0;
    int status = NC_OK;
    for (size_t slot = 0; slot < count && status == NC_OK; slot++) {
        const char *key = nc_image_source_key(job->source, job->index[slot]);
        if (job->reasons[slot]) {
            status = nc_embedding_writer_skip(job->writer, key, job->reasons[slot]);
            continue;
        }
        if (good != slot)
            memcpy(job->pixels + good * job->values, job->pixels + slot * job->values,
                   job->values * sizeof(float));
        job->index[good++] = job->index[slot];
    }
    for (size_t slot = 0; slot < count; slot++) {
        free(job->reasons[slot]);
        job->reasons[slot] = NULL;
    }
    if (status == NC_OK)
        status = nc_encoder_pictures(job->encoder, job->pixels, good, false, job->features);
    for (size_t i = 0; i < good && status == NC_OK; i++)
        status = nc_embedding_writer_append(job->writer,
                                            nc_image_source_key(job->source, job->index[i]),
                                            job->features + i * job->embedding);
    job->embedded += good;
    return status;
}

/* The second picture of one key, as a list may have it, is not new work. */
static bool wanted(const struct job *job, size_t index)
{
    const char *key = nc_image_source_key(job->source, index);
    size_t first;
    return !nc_embedding_writer_has(job->writer, key) &&
           nc_image_source_find(job->source, key, &first) && first == index;
}

static int embed_all(struct job *job)
{
    size_t total = nc_image_source_count(job->source), done = 0, count = 0;
    for (size_t i = 0; i < total; i++)
        done += !wanted(job, i);
    struct nc_progress *progress = nc_progress_start("embed", "pictures", done, total);
    int status = NC_OK;
    for (size_t i = 0; i < total && status == NC_OK && !stop_signal; i++) {
        if (wanted(job, i))
            job->index[count++] = i;
        if (!count || (count < job->batch && i + 1 < total))
            continue;
        char note[48] = "";
        status = embed_batch(job, count);
        done += count;
        count = 0;
        if (nc_embedding_writer_skipped(job->writer))
            snprintf(note, sizeof note, "%zu skipped", nc_embedding_writer_skipped(job->writer));
        nc_progress_update(progress, done, note);
    }
    nc_progress_finish(progress);
    return status;
}

static int allocate(struct job *job, const struct nc_model_shape *shape)
{
    job->embedding = shape->embedding;
    job->values = shape->channels * shape->image_size * shape->image_size;
    job->pixels = malloc(job->batch * job->values * sizeof(float));
    job->features = malloc(job->batch * job->embedding * sizeof(float));
    job->index = calloc(job->batch, sizeof *job->index);
    job->reasons = calloc(job->batch, sizeof *job->reasons);
    return job->pixels && job->features && job->index && job->reasons
               ? NC_OK : nc_error(NC_FAILED, "embed: no memory for %zu pictures at once", job->batch);
}

static void report(const struct job *job, const char *store, size_t count, size_t skipped,
                   double seconds, bool json)
{
    double rate = seconds > 0 ? (double)job->embedded / seconds : 0;
    if (!json) {
        printf("%zu pictures embedded in %.1f s (%.1f pictures/s); %s holds %zu", job->embedded,
               seconds, rate, store, count);
        printf(skipped ? "; %zu skipped, see %s/skipped.jsonl\n" : "\n", skipped, store);
        return;
    }
    cJSON *root = cJSON_CreateObject();
    cJSON_AddNumberToObject(root, "embedded", (double)job->embedded);
    cJSON_AddNumberToObject(root, "rows", (double)count);
    cJSON_AddNumberToObject(root, "skipped", (double)skipped);
    cJSON_AddNumberToObject(root, "seconds", seconds);
    cJSON_AddNumberToObject(root, "pictures_per_second", rate);
    char *text = cJSON_PrintUnformatted(root);
    if (text)
        puts(text);
    cJSON_free(text);
    cJSON_Delete(root);
}

static int run(int argc, char **argv)
{
    const char *model_folder = NULL, *images = NULL, *out = NULL, *device = "cpu";
    const char *precision = "fp32", *type = "fp32";
    size_t batch = 64, device_number = 0;
    bool json = false;
    static const char *const precisions[] = {"fp32", "bf16", NULL};
    static const char *const types[] = {"fp32", "bf16", "fp16", NULL};
    const struct nc_option table[] = {
        {"--model", "DIR", "Hugging Face folder of a CLIP", NC_OPTION_STRING, &model_folder, .required = true},
        {"--images", "DIR|LIST|TAR", "the pictures", NC_OPTION_STRING, &images, .required = true},
        {"--out", "STORE", "folder of the embedding store", NC_OPTION_STRING, &out, .required = true},
        {"--precision", "TYPE", "of the computation (default: fp32)", NC_OPTION_STRING, &precision, .choices = precisions},
        {"--store-type", "TYPE", "of the stored numbers (default: fp32)", NC_OPTION_STRING, &type, .choices = types},
        {"--batch", "N", "pictures at once (default: 64)", NC_OPTION_SIZE, &batch},
        {"--device", "NAME", "backend to compute on (default: cpu)", NC_OPTION_STRING, &device, .choices = nc_ops_names()},
        {"--device-number", "N", "which of several GPUs (default: 0)", NC_OPTION_SIZE, &device_number},
        {"--json", NULL, "print the result as one JSON object", NC_OPTION_FLAG, &json},
        {0},
    };
    struct nc_arguments arguments;
    int status = nc_options_parse(&help, table, argc, argv, &arguments);
    if (status != NC_OK || arguments.help_shown)
        return status;

    struct job job = {.batch = batch ? batch : 1};
    struct nc_ops *ops = NULL;
    struct nc_model *model = NULL;
    char hash[17], *preprocessing = NULL;
    double began = nc_seconds();
    status = nc_model_open(model_folder, &model);
    if (status == NC_OK)
        status = nc_preprocess_load(model_folder, nc_model_shape(model)->image_size, &job.preprocess);
    if (status == NC_OK)
        status = nc_image_source_open(images, &job.source);
    if (status == NC_OK)
        status = nc_model_vision_hash(model, hash);
    if (status == NC_OK && !(preprocessing = nc_preprocess_describe(&job.preprocess)))
        status = nc_error(NC_FAILED, "embed: no memory");
    if (status == NC_OK) {
        struct nc_embedding_info info = {
            .model_hash = hash, .preprocessing = preprocessing,
            .dimension = nc_model_shape(model)->embedding,
            .type = strcmp(type, "fp32") == 0 ? NC_FLOAT32 : strcmp(type, "bf16") == 0 ? NC_BFLOAT16 : NC_FLOAT16,
            .normalized = true};
        status = nc_embedding_writer_open(out, &info, 0, &job.writer);
    }
    if (status == NC_OK)
        status = allocate(&job, nc_model_shape(model));
    if (status == NC_OK)
        status = nc_ops_create(device, (int)device_number, &ops);
    if (status == NC_OK) {
        struct nc_encoder_options options = {
            .precision = strcmp(precision, "bf16") == 0 ? NC_BFLOAT16 : NC_FLOAT32, .vision = true,
            .batch = job.batch};
        status = nc_encoder_create(ops, model, &options, &job.encoder);
    }
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (status == NC_OK)
        status = embed_all(&job);

    /* What is embedded is kept, whatever happened after it. */
    if (job.writer) {
        char *message = status != NC_OK ? strdup(nc_error_message()) : NULL;
        size_t count = nc_embedding_writer_count(job.writer);
        size_t skipped = nc_embedding_writer_skipped(job.writer);
        int closed = nc_embedding_writer_close(job.writer);
        if (status == NC_OK)
            status = closed;
        else if (message)
            nc_error(status, "%s", message);
        free(message);
        if (status == NC_OK && stop_signal)
            status = nc_error(NC_FAILED, "stopped by a signal with %zu pictures in %s; the same command goes on", count, out);
        if (status == NC_OK)
            report(&job, out, count, skipped, nc_seconds() - began, json);
    }
    nc_encoder_destroy(job.encoder);
    nc_ops_destroy(ops);
    nc_image_source_close(job.source);
    nc_model_close(model);
    free(preprocessing);
    free(job.pixels);
    free(job.features);
    free(job.index);
    free(job.reasons);
    nc_arguments_free(&arguments, table);
    return status;
}

const struct nc_command nc_command_embed = {"embed", "put pictures through the vision tower, once", run};
