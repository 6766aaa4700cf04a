/* nclip merge: blends a base model and its fine-tuned one, and warns when the blend finds the
 * pictures of plain captions less often. */
#include "nclip/checkpoints/exchange.h"
#include "nclip/cli/command.h"
#include "nclip/evaluate/guard.h"
#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/support/number.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct nc_help help = {
    .usage = "nclip merge --base DIR --tuned DIR --alpha A [--alpha B ...] --out DIR",
    .purpose =
        "Interpolates the weights: (1 - A) x base + A x tuned, in fp32. 0 is the base, 1 the tuned "
        "model, exactly; between them lie models that keep more of the base's generality. With "
        "several "
        "alphas each becomes OUT/alpha-A. merge.json in the folder records A, and "
        "`nclip info` shows it.\n\n"
        "The guard warns when generality drops: with --guard CAPTIONS and --embeddings STORE (of "
        "nclip embed, by the same vision tower) it measures how often a caption finds its own "
        "picture (recall at 1), for base and merged, on the captions without a negation word. A "
        "drop of more than --tolerance is a warning on stderr; the folder is written all the same.",
    .examples = "nclip merge --base clip-l14 --tuned runs/first/best --alpha 0.5 --out half\n"
                "nclip merge --base clip-l14 --tuned runs/first/best --alpha 0.25 --alpha 0.5 "
                "--alpha 0.75 \\\n"
                "    --guard captions_val2014.json --embeddings stores/val-l14 --out between",
};

struct merged {
    double alpha;
    char *folder;
    struct nc_guard_drop drop;
};

struct job {
    const char *out, *captions, *store;
    double tolerance;
    struct merged *items;
    size_t count;
    struct nc_model *base, *tuned;
    struct nc_ops *ops;
    struct nc_guard *guard;
    bool *before, *after;
};

static int read_alphas(struct job *job, const struct nc_string_list *list)
{
    job->items = calloc(list->count, sizeof *job->items);
    if (!job->items)
        return nc_error(NC_FAILED, "merge: no memory");
    for (size_t i = 0; i < list->count; i++) {
        char *end, text[NC_NUMBER_SIZE];
        struct merged *item = &job->items[job->count++];
        item->alpha = strtod(list->items[i], &end);
        if (end == list->items[i] || *end || !(item->alpha >= 0 && item->alpha <= 1))
            return nc_error(NC_USAGE, "merge: --alpha %s is no number from 0 (base) to 1 (tuned)",
                            list->items[i]);
        for (size_t k = 0; k < i; k++)
            if (job->items[k].alpha == item->alpha)
                return nc_error(NC_USAGE, "merge: --alpha %s is given twice", list->items[i]);
        nc_number_text(item->alpha, text);
        if (list->count == 1)
            item->folder = strdup(job->out);
        else if (asprintf(&item->folder, "%s/alpha-%s", job->out, text) < 0)
            item->folder = NULL;
        if (!item->folder)
            return nc_error(NC_FAILED, "merge: no memory");
    }
    return NC_OK;
}

static int prepare_guard(struct job *job, const char *device, int device_number)
{
    int status = nc_guard_create(job->captions, job->store, job->base, &job->guard);
    if (status != NC_OK)
        return status;
    size_t count = nc_guard_captions(job->guard);
    job->before = malloc(count * sizeof *job->before);
    job->after = malloc(count * sizeof *job->after);
    status = job->before && job->after ? nc_ops_create(device, device_number, &job->ops)
                                       : nc_error(NC_FAILED, "merge: no memory");
    return status == NC_OK ? nc_guard_measure(job->guard, job->ops, job->base, job->before)
                           : status;
}

static int guard_one(struct job *job, struct merged *item)
{
    struct nc_model *model = NULL;
    int status = nc_model_open(item->folder, &model);
    if (status == NC_OK)
        status = nc_guard_measure(job->guard, job->ops, model, job->after);
    if (status == NC_OK)
        item->drop = nc_guard_compare(job->before, job->after, nc_guard_captions(job->guard));
    nc_model_close(model);
    if (status == NC_OK && item->drop.drop > job->tolerance)
        fprintf(stderr,
                "warning: %s: generality drops by %.2f points (95%%: %.2f to %.2f), more than the "
                "%.2f allowed; a smaller alpha keeps more of it\n",
                item->folder, 100 * item->drop.drop, 100 * item->drop.low, 100 * item->drop.high,
                100 * job->tolerance);
    return status;
}

static void print_table(const struct job *job)
{
    for (size_t i = 0; i < job->count; i++)
        printf("%s: alpha %g\n", job->items[i].folder, job->items[i].alpha);
    if (!job->guard)
        return;
    printf("\nGuard: %zu captions without a negation word (%zu with one left out) among %zu "
           "pictures\n\n  alpha   own picture first   drop in points (95%%)\n   base   %16.2f%%\n",
           nc_guard_captions(job->guard), nc_guard_negated(job->guard),
           nc_guard_pictures(job->guard), 100 * job->items[0].drop.before);
    for (size_t i = 0; i < job->count; i++) {
        const struct nc_guard_drop *d = &job->items[i].drop;
        printf("  %5g   %16.2f%%   %.2f (%.2f to %.2f)%s\n", job->items[i].alpha, 100 * d->after,
               100 * d->drop, 100 * d->low, 100 * d->high,
               d->drop > job->tolerance ? "   warning" : "");
    }
}

static bool add_guard(cJSON *object, const struct job *job, const struct nc_guard_drop *drop)
{
    const double interval[2] = {drop->low, drop->high};
    cJSON *guard = cJSON_AddObjectToObject(object, "guard");
    return guard && cJSON_AddNumberToObject(guard, "before", drop->before) &&
           cJSON_AddNumberToObject(guard, "after", drop->after) &&
           cJSON_AddNumberToObject(guard, "drop", drop->drop) &&
           cJSON_AddItemToObject(guard, "interval", cJSON_CreateDoubleArray(interval, 2)) &&
           cJSON_AddNumberToObject(guard, "captions", (double)nc_guard_captions(job->guard)) &&
           cJSON_AddNumberToObject(guard, "pictures", (double)nc_guard_pictures(job->guard)) &&
           cJSON_AddBoolToObject(guard, "warning", drop->drop > job->tolerance);
}

static int print_json(const struct job *job)
{
    cJSON *root = cJSON_CreateObject(), *models = cJSON_AddArrayToObject(root, "models");
    bool complete = models != NULL;
    for (size_t i = 0; i < job->count && complete; i++) {
        cJSON *object = cJSON_CreateObject();
        complete = cJSON_AddItemToArray(models, object) &&
                   cJSON_AddStringToObject(object, "out", job->items[i].folder) &&
                   cJSON_AddNumberToObject(object, "alpha", job->items[i].alpha) &&
                   (!job->guard || add_guard(object, job, &job->items[i].drop));
    }
    return nc_json_print(stdout, root, complete);
}

static void job_free(struct job *job)
{
    for (size_t i = 0; i < job->count; i++)
        free(job->items[i].folder);
    free(job->items);
    free(job->before);
    free(job->after);
    nc_guard_destroy(job->guard);
    nc_ops_destroy(job->ops);
    nc_model_close(job->base);
    nc_model_close(job->tuned);
}

static int run(int argc, char **argv)
{
    const char *base = NULL, *tuned = NULL, *dtype = NULL, *device = "cpu";
    struct nc_string_list alphas = {0};
    struct job job = {.tolerance = 0.01};
    size_t device_number = 0;
    bool json = false;
    static const char *const types[] = {"fp32", "bf16", "fp16", NULL};
    const struct nc_option table[] = {
        {"--base", "DIR", "the model that was fine-tuned", NC_OPTION_STRING, &base,
         .required = true},
        {"--tuned", "DIR", "what became of it", NC_OPTION_STRING, &tuned, .required = true},
        {"--alpha", "A", "0 (base) to 1 (tuned)", NC_OPTION_LIST,
         &alphas, .required = true},
        {"--out", "DIR", "folder to write; new or empty", NC_OPTION_STRING, &job.out,
         .required = true},
        {"--dtype", "TYPE", "of all parameters (default: fp32 where the two differ)",
         NC_OPTION_STRING, &dtype, .choices = types},
        {"--guard", "FILE", "captions that training has not seen, COCO's JSON or JSONL",
         NC_OPTION_STRING, &job.captions},
        {"--embeddings", "STORE", "the pictures of these captions", NC_OPTION_STRING, &job.store},
        {"--tolerance", "SHARE", "drop of generality that is no warning (default: 0.01)",
         NC_OPTION_NUMBER, &job.tolerance},
        {"--device", "NAME", "backend of the guard (default: cpu)", NC_OPTION_STRING, &device,
         .choices = nc_ops_names()},
        {"--device-number", "N", "which of several GPUs (default: 0)", NC_OPTION_SIZE,
         &device_number},
        {"--json", NULL, "print one JSON object", NC_OPTION_FLAG, &json},
        {0},
    };
    struct nc_arguments arguments;
    int status = nc_options_parse(&help, table, argc, argv, &arguments);
    if (status != NC_OK || arguments.help_shown)
        return status;
    enum nc_type type = dtype ? nc_type_named(dtype) : NC_FLOAT32;
    status = read_alphas(&job, &alphas);
    if (status == NC_OK && !job.captions != !job.store)
        status = nc_error(NC_USAGE, "merge: the guard needs both --guard and --embeddings");
    if (status == NC_OK)
        status = nc_model_open(base, &job.base);
    if (status == NC_OK)
        status = nc_model_open(tuned, &job.tuned);
    if (status == NC_OK && job.captions)
        status = prepare_guard(&job, device, (int)device_number);
    for (size_t i = 0; i < job.count && status == NC_OK; i++) {
        status = nc_model_merge(job.base, job.tuned, job.items[i].alpha, dtype ? &type : NULL,
                                job.items[i].folder);
        if (status == NC_OK && job.guard)
            status = guard_one(&job, &job.items[i]);
    }
    if (status == NC_OK && json)
        status = print_json(&job);
    else if (status == NC_OK)
        print_table(&job);
    job_free(&job);
    nc_arguments_free(&arguments, table);
    return status;
}

const struct nc_command nc_command_merge = {"merge", "models between a base and a fine-tuned one",
                                            run};
