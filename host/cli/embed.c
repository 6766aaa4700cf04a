/* nclip embed: each picture through the vision tower, once, into an embedding store. */
#include "nclip/cli/command.h"
#include "nclip/encoder/encoder.h"
#include "nclip/formats/json.h"
#include "nclip/pictures/image.h"
#include "nclip/pictures/source.h"
#include "nclip/store/store.h"
#include "nclip/support/error.h"
#include "nclip/support/progress.h"
#include "nclip/support/signals.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct nc_help help = {
    .usage = "nclip embed --model DIR --images DIR|LIST|TAR --out STORE",
    .purpose =
        "Puts every picture through the frozen vision tower once and keeps the embeddings in a "
        "store, from which training streams them. A folder is searched with everything below it; a "
        "list has one path a line; a tar is read as a webdataset. The key of a picture, by which "
        "captions "
        "find it, is its path relative to the folder, its line in the list, or its name in the "
        "tar.\n\nCan be stopped and started again: what is in the store stays. "
        "Pictures that cannot be read are skipped and listed in STORE/skipped.jsonl; damaged ones "
        "that PIL reads are read as it reads them and listed in STORE/damaged.jsonl (--strict skips "
        "them).",
    .examples = "nclip embed --model clip-vit-large-patch14 --images coco/train2014 --out store",
};

struct job {
    struct nc_model *model;
    struct nc_ops *ops;
    struct nc_image_source *source;
    struct nc_embedding_writer *writer;
    struct nc_encoder *encoder;
    struct nc_preprocess preprocess;
    size_t batch, values, embedding; /* values: floats of one preprocessed picture */
    float *pixels, *features;
    struct slot *slots;            /* [batch] */
    size_t embedded;               /* by this call */
    size_t rows, skipped, damaged; /* of the store, when it is closed */
};

/* A picture of the batch at hand. */
struct slot {
    size_t index; /* in the source */
    int status;   /* NC_BAD_INPUT: it is skipped; NC_FAILED, the machine's fault, ends the run */
    char *reason; /* why */
    char damage[NC_IMAGE_DAMAGE];
};

static void prepare(struct job *job, size_t number)
{
    struct slot *slot = &job->slots[number];
    slot->status = nc_image_source_preprocess(job->source, slot->index, &job->preprocess,
                                              job->pixels + number * job->values, slot->damage);
    slot->reason = slot->status != NC_OK ? strdup(nc_error_message()) : NULL;
    if (slot->status != NC_OK && !slot->reason)
        slot->status = NC_FAILED;
}

/* What is known of a picture before it is computed: skipped, damaged or neither. */
static int note(struct job *job, const struct slot *slot)
{
    const char *key = nc_image_source_key(job->source, slot->index);
    if (slot->status == NC_BAD_INPUT)
        return nc_embedding_writer_skip(job->writer, key, slot->reason);
    if (slot->status != NC_OK)
        return nc_error(slot->status, "%s", slot->reason ? slot->reason : "embed: no memory");
    return slot->damage[0] ? nc_embedding_writer_note_damage(job->writer, key, slot->damage)
                           : NC_OK;
}

/* A row that the store's type cannot hold is the picture's failure, not the run's. */
static int store(struct job *job, const char *key, const float *row)
{
    int status = nc_embedding_writer_append(job->writer, key, row);
    job->embedded += status == NC_OK;
    if (status != NC_BAD_INPUT)
        return status;
    char *reason = strdup(nc_error_message());
    if (!reason)
        return nc_error(NC_FAILED, "embed: no memory");
    status = nc_embedding_writer_skip(job->writer, key, reason);
    free(reason);
    return status;
}

static int embed_batch(struct job *job, size_t count)
{
#pragma omp parallel for schedule(dynamic)
    for (size_t slot = 0; slot < count; slot++)
        prepare(job, slot);

    /* Pictures that can be embedded move together; the others are noted. */
    size_t good = 0;
    int status = NC_OK;
    for (size_t i = 0; i < count && status == NC_OK; i++) {
        status = note(job, &job->slots[i]);
        if (job->slots[i].status != NC_OK)
            continue;
        if (good != i)
            memcpy(job->pixels + good * job->values, job->pixels + i * job->values,
                   job->values * sizeof(float));
        job->slots[good++].index = job->slots[i].index;
    }
    for (size_t i = 0; i < count; i++)
        free(job->slots[i].reason);
    if (status == NC_OK)
        status = nc_encoder_pictures(job->encoder, job->pixels, good, false, job->features);
    for (size_t i = 0; i < good && status == NC_OK; i++)
        status = store(job, nc_image_source_key(job->source, job->slots[i].index),
                       job->features + i * job->embedding);
    return status;
}

/* The second picture of one key, as a list may have it, is not new work. */
static int is_wanted(const struct job *job, size_t index, bool *wanted)
{
    const char *key = nc_image_source_key(job->source, index);
    size_t first;
    bool has;
    int status = nc_embedding_writer_has(job->writer, key, &has);
    *wanted = status == NC_OK && !has && nc_image_source_find(job->source, key, &first) &&
              first == index;
    return status;
}

static int embed_all(struct job *job)
{
    enum { FLUSH_SECONDS = 300 }; /* what a kill or a power cut may lose on a slow machine */
    double flushed = nc_seconds();
    size_t total = nc_image_source_count(job->source), done = 0, count = 0;
    bool wanted;
    int status = NC_OK;
    for (size_t i = 0; i < total && status == NC_OK; i++) {
        status = is_wanted(job, i, &wanted);
        done += !wanted;
    }
    struct nc_progress *progress = nc_progress_start("embed", "pictures", done, total);
    for (size_t i = 0; i < total && status == NC_OK && !nc_signals_stop(); i++) {
        status = is_wanted(job, i, &wanted);
        if (status != NC_OK)
            break;
        if (wanted)
            job->slots[count++].index = i;
        if (!count || (count < job->batch && i + 1 < total))
            continue;
        char note[48] = "";
        status = embed_batch(job, count);
        done += count;
        count = 0;
        if (nc_embedding_writer_skipped(job->writer))
            snprintf(note, sizeof note, "%zu skipped", nc_embedding_writer_skipped(job->writer));
        nc_progress_update(progress, done, note);
        if (status == NC_OK && nc_seconds() - flushed > FLUSH_SECONDS) {
            status = nc_embedding_writer_flush(job->writer);
            flushed = nc_seconds();
        }
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
    job->slots = calloc(job->batch, sizeof *job->slots);
    return job->pixels && job->features && job->slots
               ? NC_OK
               : nc_error(NC_FAILED, "embed: no memory for %zu pictures at once", job->batch);
}

static int report(const struct job *job, const char *folder, double seconds, bool json)
{
    double rate = seconds > 0 ? (double)job->embedded / seconds : 0;
    if (!json) {
        printf("%zu pictures embedded in %.1f s (%.1f pictures/s); %s holds %zu", job->embedded,
               seconds, rate, folder, job->rows);
        if (job->skipped)
            printf("; %zu skipped, see %s/skipped.jsonl", job->skipped, folder);
        if (job->damaged)
            printf("; %zu damaged, see %s/damaged.jsonl", job->damaged, folder);
        printf("\n");
        return NC_OK;
    }
    cJSON *root = cJSON_CreateObject();
    cJSON_AddNumberToObject(root, "embedded", (double)job->embedded);
    cJSON_AddNumberToObject(root, "rows", (double)job->rows);
    cJSON_AddNumberToObject(root, "skipped", (double)job->skipped);
    cJSON_AddNumberToObject(root, "damaged", (double)job->damaged);
    cJSON_AddNumberToObject(root, "seconds", seconds);
    cJSON_AddNumberToObject(root, "pictures_per_second", rate);
    return nc_json_print(stdout, root, true);
}

/* What the command line asks for. */
struct request {
    const char *model, *images, *out, *device, *precision, *type, *transparency;
    size_t batch, device_number;
    bool strict, json;
};

static int open_store(struct job *job, const struct request *r)
{
    char hash[17];
    int status = nc_model_vision_hash(job->model, hash);
    if (status != NC_OK)
        return status;
    char *preprocessing = nc_preprocess_describe(&job->preprocess);
    if (!preprocessing)
        return nc_error(NC_FAILED, "embed: no memory");
    struct nc_embedding_info info = {
        .model_hash = hash, .preprocessing = preprocessing, .normalized = true,
        .dimension = nc_model_shape(job->model)->embedding, .type = nc_type_named(r->type)};
    status = nc_embedding_writer_open(r->out, &info, 0, &job->writer);
    free(preprocessing);
    return status;
}

static int open_job(struct job *job, const struct request *r)
{
    int status = nc_model_open(r->model, &job->model);
    if (status == NC_OK)
        status = nc_model_need_vision(job->model);
    if (status == NC_OK)
        status =
            nc_preprocess_load(r->model, nc_model_shape(job->model)->image_size, &job->preprocess);
    if (status == NC_OK)
        (void)nc_preprocess_choose(&job->preprocess, r->transparency, r->strict);
    if (status == NC_OK)
        status = nc_image_source_open(r->images, &job->source);
    if (status == NC_OK)
        status = open_store(job, r);
    if (status == NC_OK)
        status = allocate(job, nc_model_shape(job->model));
    if (status == NC_OK)
        status = nc_ops_create(r->device, (int)r->device_number, &job->ops);
    struct nc_encoder_options options = {.precision = nc_type_named(r->precision), .vision = true,
                                         .batch = job->batch};
    return status == NC_OK ? nc_encoder_create(job->ops, job->model, &options, &job->encoder)
                           : status;
}

static void close_job(struct job *job)
{
    nc_encoder_destroy(job->encoder);
    nc_ops_destroy(job->ops);
    nc_image_source_close(job->source);
    nc_model_close(job->model);
    free(job->pixels);
    free(job->features);
    free(job->slots);
}

/* What is embedded is kept, whatever happened after it: `status` and its message pass through. */
static int close_store(struct job *job, int status)
{
    if (!job->writer)
        return status;
    char *message = status != NC_OK ? strdup(nc_error_message()) : NULL;
    job->rows = nc_embedding_writer_count(job->writer);
    job->skipped = nc_embedding_writer_skipped(job->writer);
    job->damaged = nc_embedding_writer_damaged(job->writer);
    int closed = nc_embedding_writer_close(job->writer);
    if (message)
        nc_error(status, "%s", message);
    free(message);
    return status == NC_OK ? closed : status;
}

static int embed(const struct request *r)
{
    struct job job = {.batch = r->batch ? r->batch : 1};
    double began = nc_seconds();
    int status = open_job(&job, r);
    nc_signals_catch();
    if (status == NC_OK)
        status = embed_all(&job);
    status = close_store(&job, status);
    if (status == NC_OK && nc_signals_stop())
        status = nc_error(NC_FAILED,
                          "stopped by a signal with %zu pictures in %s; the same command goes on",
                          job.rows, r->out);
    if (status == NC_OK)
        status = report(&job, r->out, nc_seconds() - began, r->json);
    nc_signals_release();
    close_job(&job);
    return status;
}

static int run(int argc, char **argv)
{
    struct request r = {.device = "cpu", .precision = "fp32", .type = "fp32", .batch = 64};
    static const char *const precisions[] = {"fp32", "bf16", NULL};
    static const char *const types[] = {"fp32", "bf16", "fp16", NULL};
    const struct nc_option table[] = {
        {"--model", "DIR", "Hugging Face folder of a CLIP", NC_OPTION_STRING, &r.model,
         .required = true},
        {"--images", "DIR|LIST|TAR", "the pictures", NC_OPTION_STRING, &r.images, .required = true},
        {"--out", "STORE", "folder of the embedding store", NC_OPTION_STRING, &r.out,
         .required = true},
        {"--precision", "TYPE", "of the computation (default: fp32)", NC_OPTION_STRING,
         &r.precision, .choices = precisions},
        {"--store-type", "TYPE", "of the stored numbers (default: fp32)", NC_OPTION_STRING, &r.type,
         .choices = types},
        {"--transparency", "RULE",
         "drop (open_clip, OpenAI) or white (transformers 5); default: the model's, mostly drop",
         NC_OPTION_STRING, &r.transparency, .choices = nc_transparency_names},
        {"--strict", NULL, "skip damaged pictures, also those that PIL reads", NC_OPTION_FLAG,
         &r.strict},
        {"--batch", "N", "pictures at once (default: 64)", NC_OPTION_SIZE, &r.batch},
        {"--device", "NAME", "backend to compute on (default: cpu)", NC_OPTION_STRING, &r.device,
         .choices = nc_ops_names()},
        {"--device-number", "N", "which of several GPUs (default: 0)", NC_OPTION_SIZE,
         &r.device_number},
        {"--json", NULL, "print the result as one JSON object", NC_OPTION_FLAG, &r.json},
        {0},
    };
    struct nc_arguments arguments;
    int status = nc_options_parse(&help, table, argc, argv, &arguments);
    if (status != NC_OK || arguments.help_shown)
        return status;
    status = embed(&r);
    nc_arguments_free(&arguments, table);
    return status;
}

const struct nc_command nc_command_embed = {"embed", "put pictures through the vision tower, once",
                                            run};
