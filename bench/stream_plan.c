/* Prints the plan of a large run, each number with what it rests on (stream_plan.h). */
#include "stream_plan.h"

#include "nclip/formats/json.h"
#include "nclip/store/store.h"
#include "nclip/support/error.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int stream_plan_parse(const char *text, uint64_t *rows, uint64_t *dimension)
{
    char *end;
    double count = strtod(text, &end);
    double columns = *end == 'x' ? strtod(end + 1, &end) : 0;
    if (*end || !(count >= 1 && count <= 1e12) || !(columns >= 1 && columns <= NC_EMBEDDING_MAX_DIMENSION))
        return nc_error(NC_USAGE, "--plan %s: it must be rows x columns, as 400000000x768", text);
    *rows = (uint64_t)count;
    *dimension = (uint64_t)columns;
    return NC_OK;
}

struct bytes {
    double embeddings, keys, index, heads, tokens;
};

static struct bytes bytes_of(uint64_t rows, uint64_t dimension, const struct stream_rates *r)
{
    enum { KEY = 16 + 1 + 8, INDEX = 16, HEAD = 8 + 4 + 2 + 1 };
    double n = (double)rows;
    return (struct bytes){.embeddings = n * (double)dimension * 2, .keys = n * KEY,
                          .index = n * INDEX, .heads = n * HEAD, .tokens = n * r->tokens * 2};
}

/* An epoch on so many GPUs. */
struct epoch {
    size_t gpus;
    double compute, exchange, disk, seconds; /* of an epoch: each alone, and together */
    double mine, all; /* bytes a second that a node and all nodes read when nothing waits */
};

enum { NODE = 8 }; /* GPUs */

/* Ranks exchange text features forward, again with their gradient backward, and the gradients of the
 * parameters, twice over: all but the last piece while they compute. */
static struct epoch epoch_on(size_t gpus, uint64_t rows, uint64_t dimension,
                             const struct bytes *b, const struct stream_rates *r)
{
    struct epoch e = {.gpus = gpus};
    double steps = (double)rows / r->batch, nodes = ceil((double)gpus / NODE);
    double features = r->batch * (double)dimension * (4 + 4 + 4), gradients = 2 * 4 * r->parameters;
    double data = b->embeddings + b->tokens + b->heads;
    e.compute = (double)rows / (r->train * (double)gpus);
    e.exchange = gpus > NODE ? steps * (features + gradients) / r->link : 0;
    e.all = (data + (double)(gpus - 1) * b->heads) / fmax(e.compute, e.exchange);
    e.mine = e.all / nodes;
    double rate = fmin(r->disk * nodes, fmax(r->disk, r->file_system));
    e.disk = (data + (double)(gpus - 1) * b->heads) / rate;
    e.seconds = fmax(e.compute, fmax(e.exchange, e.disk));
    return e;
}

static const char *time_text(double seconds, char text[32])
{
    if (seconds < 600)
        snprintf(text, 32, "%.0f s", seconds);
    else if (seconds < 36000)
        snprintf(text, 32, "%.0f min", seconds / 60);
    else if (seconds < 48 * 3600)
        snprintf(text, 32, "%.1f h", seconds / 3600);
    else
        snprintf(text, 32, "%.1f days", seconds / 86400);
    return text;
}

static const size_t gpu_counts[] = {1, 8, 64};
enum { COUNTS = sizeof gpu_counts / sizeof *gpu_counts };

static double embed_seconds(uint64_t rows, size_t gpus, const struct stream_rates *r)
{
    return (double)rows / ((double)gpus * fmin(r->embed, r->decode * r->cores));
}

static double prepare_seconds(uint64_t rows, const struct stream_rates *r)
{
    return (double)rows / (r->prepare * r->cores);
}

static void print_text(uint64_t rows, uint64_t dimension, const struct stream_rates *r)
{
    struct bytes b = bytes_of(rows, dimension, r);
    char text[32];
    printf("%llu pairs of %llu columns\n\nbytes\n", (unsigned long long)rows,
           (unsigned long long)dimension);
    printf("  store       %9.1f GB embeddings in bf16, %.1f GB keys, %.1f GB index of keys\n",
           b.embeddings / 1e9, b.keys / 1e9, b.index / 1e9);
    printf("  set         %9.1f GB tokens, %.1f GB heads\n", b.tokens / 1e9, b.heads / 1e9);
    printf("  an epoch    %9.1f GB are read, and %.1f GB for each further rank\n",
           (b.embeddings + b.tokens + b.heads) / 1e9, b.heads / 1e9);
    printf("\ntime          %12s %12s %12s\n", "1 GPU", "8 GPUs", "64 GPUs");
    printf("  embed       ");
    for (size_t i = 0; i < COUNTS; i++)
        printf(" %12s", time_text(embed_seconds(rows, gpu_counts[i], r), text));
    printf("   (%s)\n", r->embed < r->decode * r->cores ? "the GPUs limit" : "decoding limits");
    printf("  prepare     ");
    for (size_t i = 0; i < COUNTS; i++)
        printf(" %12s", time_text(prepare_seconds(rows, r), text));
    printf("   (one node)\n");
    struct epoch e[COUNTS];
    for (size_t i = 0; i < COUNTS; i++)
        e[i] = epoch_on(gpu_counts[i], rows, dimension, &b, r);
    printf("  an epoch    ");
    for (size_t i = 0; i < COUNTS; i++)
        printf(" %12s", time_text(e[i].seconds, text));
    printf("\n    computing ");
    for (size_t i = 0; i < COUNTS; i++)
        printf(" %12s", time_text(e[i].compute, text));
    printf("\n    exchange  ");
    for (size_t i = 0; i < COUNTS; i++)
        printf(" %12s", e[i].exchange > 0 ? time_text(e[i].exchange, text) : "in a node");
    printf("\n    reading   ");
    for (size_t i = 0; i < COUNTS; i++)
        printf(" %12s", time_text(e[i].disk, text));
    printf("\n    read by a node, MB/s");
    for (size_t i = 0; i < COUNTS; i++)
        printf(i ? " %12.0f" : " %6.0f", e[i].mine / 1e6);
    printf("\n\nassumed, each to be set by its option\n");
    printf("  --disk %.0f          MB/s that a node reads%s\n", r->disk / 1e6,
           r->measured_disk ? ", measured here in block order in this run" : ", stated");
    printf("  --file-system %.0f   MB/s of all nodes together, stated\n", r->file_system / 1e6);
    printf("  --link %.0f          MB/s between GPUs of different nodes, each, stated\n", r->link / 1e6);
    printf("  --decode %.0f        pictures a second and core, decoded and resized, stated\n", r->decode);
    printf("  --cores %.0f         cores for each GPU, stated; a node of prepare has as many\n", r->cores);
    printf("  --embed %.0f         pictures a second and GPU through the vision tower, stated\n", r->embed);
    printf("  --prepare %.0f       captions a second and core%s\n", r->prepare,
           r->measured_prepare ? ", measured here in this run" : ", stated");
    printf("  --train %.0f         captions a second and GPU in training, stated\n", r->train);
    printf("  --global-batch %.0f  captions a step of all GPUs, stated\n", r->batch);
    printf("  %.1f tokens a caption; %.0f million parameters train; 8 GPUs a node\n", r->tokens,
           r->parameters / 1e6);
    printf("Computing, exchange and reading go on side by side: an epoch is as long as the longest.\n");
}

static void print_json(uint64_t rows, uint64_t dimension, const struct stream_rates *r)
{
    struct bytes b = bytes_of(rows, dimension, r);
    cJSON *root = cJSON_CreateObject(), *bytes = cJSON_AddObjectToObject(root, "bytes");
    cJSON_AddNumberToObject(root, "rows", (double)rows);
    cJSON_AddNumberToObject(root, "dimension", (double)dimension);
    cJSON_AddNumberToObject(bytes, "embeddings", b.embeddings);
    cJSON_AddNumberToObject(bytes, "keys", b.keys);
    cJSON_AddNumberToObject(bytes, "index", b.index);
    cJSON_AddNumberToObject(bytes, "tokens", b.tokens);
    cJSON_AddNumberToObject(bytes, "heads", b.heads);
    cJSON *plans = cJSON_AddArrayToObject(root, "gpus");
    for (size_t i = 0; i < COUNTS; i++) {
        struct epoch e = epoch_on(gpu_counts[i], rows, dimension, &b, r);
        cJSON *plan = cJSON_CreateObject();
        cJSON_AddNumberToObject(plan, "gpus", (double)e.gpus);
        cJSON_AddNumberToObject(plan, "embed_seconds", embed_seconds(rows, e.gpus, r));
        cJSON_AddNumberToObject(plan, "prepare_seconds", prepare_seconds(rows, r));
        cJSON_AddNumberToObject(plan, "epoch_seconds", e.seconds);
        cJSON_AddNumberToObject(plan, "computing_seconds", e.compute);
        cJSON_AddNumberToObject(plan, "exchange_seconds", e.exchange);
        cJSON_AddNumberToObject(plan, "reading_seconds", e.disk);
        cJSON_AddNumberToObject(plan, "node_bytes_per_second", e.mine);
        cJSON_AddItemToArray(plans, plan);
    }
    cJSON *assumed = cJSON_AddObjectToObject(root, "assumed");
    const struct {
        const char *name;
        double value;
    } values[] = {{"disk", r->disk},       {"file_system", r->file_system}, {"link", r->link},
                  {"decode", r->decode},   {"cores", r->cores},             {"embed", r->embed},
                  {"prepare", r->prepare}, {"train", r->train},             {"global_batch", r->batch},
                  {"tokens", r->tokens},   {"parameters", r->parameters}};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        cJSON_AddNumberToObject(assumed, values[i].name, values[i].value);
    char *text = cJSON_PrintUnformatted(root);
    if (text)
        puts(text);
    cJSON_free(text);
    cJSON_Delete(root);
}

void stream_plan_print(uint64_t rows, uint64_t dimension, const struct stream_rates *rates, bool json)
{
    (json ? print_json : print_text)(rows, dimension, rates);
}
