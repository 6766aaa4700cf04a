/* nclip evaluate: the numbers of a benchmark, as it defines them. */
#include "nclip/command.h"
#include "nclip/error.h"
#include "nclip/evaluate.h"
#include "nclip/files.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct nc_help help = {
    .usage = "nclip evaluate choices|negrefcocog --model DIR --annotations JSON --images DIR",
    .purpose =
        "choices: items with one phrase and several pictures or boxes, or one picture and several "
        "phrases, one of them right. The score is the share of items whose right option has the "
        "highest cosine.\n\nnegrefcocog: the published NegRefCOCOg.json over COCO train2014: two "
        "boxes of one picture, each cropped and embedded; right when the referred box has the "
        "highest cosine.\n\nThe 95% interval is a bootstrap over items.",
    .examples = "nclip evaluate negrefcocog --model clip --annotations NegRefCOCOg.json --images coco/train2014\n"
                "nclip evaluate choices --model runs/first/best --annotations items.json --images pictures --json",
    .positional_least = 1,
    .positional_most = 1,
};

enum { RESAMPLES = 1000 };

struct job {
    const char *benchmark;
    struct nc_choice_items items;
    float *phrases, *views, *scores;
    size_t *choices;
    bool *right;
};

static int encode(struct job *job, struct nc_encoder *encoder, const struct nc_model *model,
                  const char *images)
{
    size_t embedding = nc_model_shape(model)->embedding;
    job->phrases = malloc(job->items.phrase_count * embedding * sizeof(float));
    job->views = malloc(job->items.view_count * embedding * sizeof(float));
    job->scores = malloc(job->items.option_count * sizeof(float));
    job->choices = malloc(job->items.count * sizeof *job->choices);
    job->right = malloc(job->items.count * sizeof *job->right);
    if (!job->phrases || !job->views || !job->scores || !job->choices || !job->right)
        return nc_error(NC_FAILED, "evaluate: no memory");
    int status = nc_encoder_texts(encoder, job->items.phrases, job->items.phrase_count, false, job->phrases);
    if (status == NC_OK)
        status = nc_views_encode(encoder, model, &job->items, images, job->views);
    if (status != NC_OK)
        return status;
    nc_choices_decide(&job->items, job->phrases, job->views, embedding, job->scores, job->choices);
    for (size_t i = 0; i < job->items.count; i++)
        job->right[i] = job->choices[i] == job->items.items[i].answer;
    return NC_OK;
}

static int write_items(const struct job *job, const char *path)
{
    struct nc_writer *writer;
    int status = nc_writer_create(path, &writer);
    if (status != NC_OK)
        return status;
    for (size_t i = 0; i < job->items.count && status == NC_OK; i++) {
        const struct nc_choice_item *item = &job->items.items[i];
        status = nc_writer_printf(writer, "{\"index\": %zu, \"choice\": %zu, \"answer\": %zu, \"scores\": [",
                                  i, job->choices[i], item->answer);
        for (size_t k = 0; k < item->count && status == NC_OK; k++)
            status = nc_writer_printf(writer, "%s%.9g", k ? ", " : "", (double)job->scores[item->first + k]);
        if (status == NC_OK)
            status = nc_writer_printf(writer, "]}\n");
    }
    if (status != NC_OK) {
        nc_writer_abort(writer);
        return status;
    }
    return nc_writer_commit(writer);
}

/* The share of one group, or of all items with `group` SIZE_MAX. */
static int share_of(const struct job *job, size_t group, struct nc_share *share)
{
    bool *right = malloc(job->items.count * sizeof *right);
    if (!right)
        return nc_error(NC_FAILED, "evaluate: no memory");
    size_t n = 0;
    for (size_t i = 0; i < job->items.count; i++)
        if (group == SIZE_MAX || job->items.items[i].group == group)
            right[n++] = job->right[i];
    int status = nc_share_bootstrap(right, n, RESAMPLES, share);
    free(right);
    return status;
}

static void add_share(cJSON *object, const struct nc_share *share)
{
    const double interval[2] = {share->low, share->high};
    cJSON_AddNumberToObject(object, "score", share->score);
    cJSON_AddNumberToObject(object, "n", (double)share->n);
    cJSON_AddItemToObject(object, "interval", cJSON_CreateDoubleArray(interval, 2));
}

static int print_json(const struct job *job, const struct nc_share *all, const struct nc_share *groups)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "benchmark", job->benchmark);
    add_share(root, all);
    if (job->items.group_count > 1) {
        cJSON *object = cJSON_AddObjectToObject(root, "groups");
        for (size_t g = 1; g < job->items.group_count; g++)
            add_share(cJSON_AddObjectToObject(object, job->items.groups[g]), &groups[g]);
    }
    char *text = cJSON_Print(root);
    cJSON_Delete(root);
    if (!text)
        return nc_error(NC_FAILED, "evaluate: no memory");
    puts(text);
    cJSON_free(text);
    return NC_OK;
}

static void print_line(const char *name, const struct nc_share *share)
{
    printf("%-32s %6.2f%%  (95%%: %.2f to %.2f)  %zu items\n", name, 100 * share->score,
           100 * share->low, 100 * share->high, share->n);
}

static int report(const struct job *job, bool json)
{
    struct nc_share all, *groups = calloc(job->items.group_count, sizeof *groups);
    if (!groups)
        return nc_error(NC_FAILED, "evaluate: no memory");
    int status = share_of(job, SIZE_MAX, &all);
    for (size_t g = 1; g < job->items.group_count && status == NC_OK; g++)
        status = share_of(job, g, &groups[g]);
    if (status == NC_OK && json) {
        status = print_json(job, &all, groups);
    } else if (status == NC_OK) {
        print_line(job->benchmark, &all);
        for (size_t g = 1; g < job->items.group_count; g++)
            print_line(job->items.groups[g], &groups[g]);
        printf("Score: share of items whose right option has the highest cosine.\n");
    }
    free(groups);
    return status;
}

static int run(int argc, char **argv)
{
    const char *folder = NULL, *annotations = NULL, *images = NULL, *items_out = NULL, *device = "cpu";
    const char *precision = "fp32";
    size_t device_number = 0;
    bool json = false;
    static const char *const precisions[] = {"fp32", "bf16", NULL};
    const struct nc_option table[] = {
        {"--model", "DIR", "Hugging Face folder of a CLIP", NC_OPTION_STRING, &folder, .required = true},
        {"--annotations", "JSON", "the benchmark's items", NC_OPTION_STRING, &annotations, .required = true},
        {"--images", "DIR", "folder that the items' pictures are in", NC_OPTION_STRING, &images, .required = true},
        {"--items", "FILE", "write each item's choice and scores, one JSON object a line", NC_OPTION_STRING, &items_out},
        {"--precision", "TYPE", "of the computation (default: fp32)", NC_OPTION_STRING, &precision, .choices = precisions},
        {"--device", "NAME", "backend to compute on (default: cpu)", NC_OPTION_STRING, &device, .choices = nc_ops_names()},
        {"--device-number", "N", "which of several GPUs (default: 0)", NC_OPTION_SIZE, &device_number},
        {"--json", NULL, "print the result as one JSON object", NC_OPTION_FLAG, &json},
        {0},
    };
    struct nc_arguments arguments;
    struct job job = {0};
    struct nc_ops *ops = NULL;
    struct nc_model *model = NULL;
    struct nc_encoder *encoder = NULL;
    int status = nc_options_parse(&help, table, argc, argv, &arguments);
    if (status != NC_OK || arguments.help_shown)
        return status;
    job.benchmark = arguments.positional[0];
    if (strcmp(job.benchmark, "choices") != 0 && strcmp(job.benchmark, "negrefcocog") != 0)
        status = nc_error(NC_USAGE, "evaluate: there is no benchmark \"%s\" here; there are choices and negrefcocog",
                          job.benchmark);
    if (status == NC_OK)
        status = nc_choice_items_load(annotations, &job.items);
    if (status == NC_OK)
        status = nc_model_open(folder, &model);
    if (status == NC_OK)
        status = nc_ops_create(device, (int)device_number, &ops);
    struct nc_encoder_options options = {
        .precision = nc_type_named(precision), .text = true, .vision = true};
    if (status == NC_OK)
        status = nc_encoder_create(ops, model, &options, &encoder);
    if (status == NC_OK)
        status = encode(&job, encoder, model, images);
    if (status == NC_OK && items_out)
        status = write_items(&job, items_out);
    if (status == NC_OK)
        status = report(&job, json);
    nc_encoder_destroy(encoder);
    nc_ops_destroy(ops);
    nc_model_close(model);
    nc_choice_items_free(&job.items);
    free(job.phrases);
    free(job.views);
    free(job.scores);
    free(job.choices);
    free(job.right);
    nc_arguments_free(&arguments, table);
    return status;
}

const struct nc_command nc_command_evaluate = {"evaluate", "measure a model on a benchmark", run};
