/* nclip embed: each picture through the vision tower, once, into an embedding store. */
#include "nclip/embed/embed.h"
#include "nclip/cli/command.h"
#include "nclip/formats/json.h"
#include "nclip/ops.h"
#include "nclip/pictures/image.h"
#include "nclip/ranks/communicator.h"
#include "nclip/support/error.h"

#include <stdio.h>
#include <string.h>

static const struct nc_help help = {
    .usage = "nclip embed --model DIR --images DIR|LIST|TAR [--images ...] --out STORE",
    .purpose =
        "Puts every picture through the frozen vision tower once and keeps the embeddings in a "
        "store, from which training streams them. A folder is searched with everything below it; "
        "a list has one path a line; a tar is read as a webdataset. The key of a picture, by "
        "which captions find it, is its path relative to the folder, its line in the list, or "
        "its name in the tar (--keys path: behind the path of the folder, list or tar).\n\nMany "
        "sources: give --images several times, a pattern in quotes ('laion/*.tar') or a range "
        "('laion/{00000..41454}.tar'). They are read one after the other; started by mpirun or "
        "srun, the ranks divide them, each on the GPU of its number on its host, and write one "
        "store, the same for any number of ranks. Of pictures with one key the first source's "
        "stays; the others are counted and listed in STORE/skipped.jsonl. With --also-text the "
        "captions that lie beside the pictures (the sample's .txt in a webdataset, or "
        "\"caption\" in its .json) are written as JSONL for nclip train.\n\nCan be stopped and "
        "started again: what is in the store stays, and a source that is complete is not opened "
        "again. Pictures that cannot be read are skipped and listed in STORE/skipped.jsonl; "
        "damaged ones that PIL reads are read as it reads them and listed in STORE/damaged.jsonl "
        "(--strict skips them). The last line tells what limits: reading, decoding, the device "
        "or writing.",
    .examples = "nclip embed --model clip-vit-large-patch14 --images coco/train2014 --out store\n"
                "mpirun -n 8 nclip embed --model clip-vit-large-patch14 --device cuda \\\n"
                "    --precision bf16 --store-type bf16 --images 'laion/{00000..41454}.tar' \\\n"
                "    --also-text captions.jsonl --out store",
};

static void print_text(const struct nc_embed_options *o, const struct nc_embed_result *r)
{
    printf("%zu pictures embedded in %.1f s (%.1f pictures/s); %s holds %zu", r->embedded,
           r->seconds, r->pictures_per_second, o->store, r->rows);
    if (r->present)
        printf("; %zu were there before", r->present);
    if (r->skipped)
        printf("; %zu skipped, see %s/skipped.jsonl", r->skipped, o->store);
    if (r->repeated)
        printf(", %zu of them because another source has their name (%s)", r->repeated,
               r->repeated_first ? r->repeated_first : "");
    if (r->damaged)
        printf("; %zu damaged, see %s/damaged.jsonl", r->damaged, o->store);
    if (r->missing)
        printf("; %zu sources are missing", r->missing);
    if (o->also_text)
        printf("; %zu captions in %s", r->captions, o->also_text);
    if (r->stages.pictures)
        printf("; %s limits", nc_embed_stage_names[nc_embed_limit(&r->stages)]);
    printf("\n");
}

static int print_json(const struct nc_embed_options *o, const struct nc_embed_result *r)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddNumberToObject(root, "embedded", (double)r->embedded);
    cJSON_AddNumberToObject(root, "rows", (double)r->rows);
    cJSON_AddNumberToObject(root, "skipped", (double)r->skipped);
    cJSON_AddNumberToObject(root, "damaged", (double)r->damaged);
    cJSON_AddNumberToObject(root, "seconds", r->seconds);
    cJSON_AddNumberToObject(root, "pictures_per_second", r->pictures_per_second);
    cJSON_AddNumberToObject(root, "present", (double)r->present);
    cJSON_AddNumberToObject(root, "sources", (double)r->sources);
    cJSON_AddNumberToObject(root, "missing", (double)r->missing);
    cJSON_AddNumberToObject(root, "repeated", (double)r->repeated);
    if (r->repeated_first)
        cJSON_AddStringToObject(root, "repeated_first", r->repeated_first);
    if (o->also_text)
        cJSON_AddNumberToObject(root, "captions", (double)r->captions);
    if (r->stages.pictures) {
        cJSON_AddStringToObject(root, "limit", nc_embed_stage_names[nc_embed_limit(&r->stages)]);
        cJSON *busy = cJSON_AddObjectToObject(root, "busy_seconds");
        for (int stage = 0; stage < NC_EMBED_STAGES; stage++)
            cJSON_AddNumberToObject(busy, nc_embed_stage_names[stage], r->stages.busy[stage]);
    }
    return nc_json_print(stdout, root, true);
}

/* The same on every rank; a failure that not all of them have ends the others. */
static int embed(const struct nc_embed_options *options, struct nc_embed_result *result)
{
    int status = nc_embed(options, result);
    struct nc_communicator *ranks = options->ranks;
    if (!ranks)
        return status;
    if (status != NC_OK && !result->stopped)
        nc_communicator_abort(ranks, status);
    /* mpirun kills what is left once the first rank ends: what is to be said is said before. */
    if (result->stopped && !ranks->rank)
        fprintf(stderr, "nclip: %s\n", nc_error_message());
    if (result->stopped)
        (void)nc_communicator_barrier(ranks);
    if (ranks->rank || result->stopped)
        nc_error_silence();
    nc_communicator_destroy(ranks);
    return status;
}

static int run(int argc, char **argv)
{
    struct nc_embed_options o = {.device = "cpu", .batch = 64};
    struct nc_string_list images = {0};
    const char *precision = "fp32", *type = "fp32", *keys = "name";
    size_t device_number = SIZE_MAX;
    bool json = false;
    static const char *const precisions[] = {"fp32", "bf16", NULL};
    static const char *const types[] = {"fp32", "bf16", "fp16", NULL};
    static const char *const key_kinds[] = {"name", "path", NULL};
    const struct nc_option table[] = {
        {"--model", "DIR", "Hugging Face folder of a CLIP", NC_OPTION_STRING, &o.model,
         .required = true},
        {"--images", "DIR|LIST|TAR",
         "the pictures; may be given several times, as a pattern or a range", NC_OPTION_LIST,
         &images, .required = true},
        {"--out", "STORE", "folder of the embedding store", NC_OPTION_STRING, &o.store,
         .required = true},
        {"--also-text", "FILE", "JSONL to write, with the captions beside the pictures",
         NC_OPTION_STRING, &o.also_text},
        {"--keys", "KIND",
         "what names a picture: its name in the source, or behind the source's path "
         "(default: name)",
         NC_OPTION_STRING, &keys, .choices = key_kinds},
        {"--key-prefix", "TEXT", "put before every key", NC_OPTION_STRING, &o.key_prefix},
        {"--skip-missing", NULL, "count sources that are not there, instead of stopping",
         NC_OPTION_FLAG, &o.skip_missing},
        {"--precision", "TYPE", "of the computation (default: fp32)", NC_OPTION_STRING, &precision,
         .choices = precisions},
        {"--store-type", "TYPE", "of the stored numbers (default: fp32)", NC_OPTION_STRING, &type,
         .choices = types},
        {"--transparency", "RULE",
         "drop (open_clip, OpenAI) or white (transformers 5); default: the model's, mostly drop",
         NC_OPTION_STRING, &o.transparency, .choices = nc_transparency_names},
        {"--strict", NULL, "skip damaged pictures, also those that PIL reads", NC_OPTION_FLAG,
         &o.strict},
        {"--batch", "N", "pictures at once (default: 64)", NC_OPTION_SIZE, &o.batch},
        {"--device", "NAME", "backend to compute on (default: cpu)", NC_OPTION_STRING, &o.device,
         .choices = nc_ops_names()},
        {"--device-number", "N",
         "which of several GPUs (default: the rank's number on its host, 0 for one alone)",
         NC_OPTION_SIZE, &device_number},
        {"--json", NULL, "print the result as one JSON object", NC_OPTION_FLAG, &json},
        {0},
    };
    struct nc_arguments arguments;
    struct nc_embed_result result = {0};
    int status = nc_options_parse(&help, table, argc, argv, &arguments);
    if (status != NC_OK || arguments.help_shown)
        return status;
    o.images = images.items;
    o.image_count = images.count;
    o.precision = nc_type_named(precision);
    o.type = nc_type_named(type);
    o.keys_by_path = strcmp(keys, "path") == 0;
    status = nc_communicator_create(&o.ranks);
    bool first = !o.ranks || o.ranks->rank == 0;
    if (device_number == SIZE_MAX)
        device_number = o.ranks ? o.ranks->local_rank : 0;
    o.device_number = (int)device_number;
    if (status == NC_OK)
        status = embed(&o, &result);
    if (status == NC_OK && first && json)
        status = print_json(&o, &result);
    else if (status == NC_OK && first)
        print_text(&o, &result);
    nc_embed_result_free(&result);
    nc_arguments_free(&arguments, table);
    return status;
}

const struct nc_command nc_command_embed = {"embed", "put pictures through the vision tower, once",
                                            run};
