/* nclip store import: embeddings that other programs made. */
#include "nclip/cli/command.h"
#include "nclip/checkpoints/folder.h"
#include "nclip/encoder/encoder.h"
#include "nclip/formats/json.h"
#include "nclip/formats/npy.h"
#include "nclip/pictures/image.h"
#include "nclip/store/exchange.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/signals.h"
#include "store_kinds.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct nc_help help = {
    .usage = "nclip store import SOURCE --out STORE (--model DIR | --made-by TEXT)",
    .purpose =
        "Makes a store of embeddings that are there. SOURCE is the folder that clip-retrieval or "
        "LAION made (img_emb/img_emb_N.npy beside metadata/metadata_N.parquet; row i of the one is "
        "row i of the other), a folder of .npy files with tables beside them, or one .npy file with "
        "--keys FILE. Rows are in fp16 or fp32 and stay so. Tables are Parquet, CSV, TSV, JSON "
        "lines, or lines of keys.\n\n"
        "The key of a row, by which captions find it, is its image_path, or what --key-column names; "
        "`--key-column row` makes keys of the rows' own numbers (img_emb_0000/17), where none are "
        "unique. --captions-out writes the table's captions as JSON lines for nclip prepare and "
        "train, in the same pass.\n\n"
        "Whose embeddings they are, no .npy file tells: say it with --model (its number of columns "
        "is then checked, and with --check some rows against pictures), or in words with --made-by, "
        "for models that nclip import --text-only --embeddings STORE takes.\n\n"
        "--link copies no rows: they stay in the .npy files, which must then stay where and as they "
        "are. Can be stopped and started again.",
    .examples = "nclip store import laion400m --model clip-b32 --captions-out laion.jsonl \\\n"
                "            --out stores/laion --link\n"
                "nclip store import features.npy --keys names.txt --made-by \"OpenCLIP ConvNeXt\" \\\n"
                "            --out stores/convnext",
    .positional_least = 1,
    .positional_most = 1,
};

struct request {
    const char *source, *out, *model, *made_by, *keys, *key_column, *caption_column, *captions_out;
    const char *normalized, *check;
    bool link, json;
};

/* ---- pictures that are at hand ---------------------------------------------------------------- */

/* Float16, another library's JPEG decoder and resizing leave cosines above 0.99; another model, or
 * rows in another order, give far less. */
enum { CHECKED = 8, CANDIDATES = 4096 };
static const double LEAST_COSINE = 0.97;

struct check {
    size_t pictures;
    double least; /* cosine */
};

/* The picture of a key: below the folder under its name, or with an ending. */
static char *find_picture(const char *folder, const char *key)
{
    static const char *const endings[] = {"", ".jpg", ".jpeg", ".png", ".webp"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        char *path;
        if (nc_path_climbs(key) || asprintf(&path, "%s/%s%s", folder, key, endings[i]) < 0)
            return NULL;
        if (nc_file_exists(path))
            return path;
        free(path);
    }
    return NULL;
}

static double cosine(const float *a, const float *b, size_t count)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < count; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

static int encode_picture(struct nc_encoder *encoder, const struct nc_preprocess *preprocess,
                          const char *path, float *pixels, float *feature)
{
    struct nc_image image;
    int status = nc_image_load(path, &preprocess->reading, &image);
    if (status == NC_OK) {
        status = nc_image_preprocess(preprocess, &image, NULL, pixels);
        if (status != NC_OK)
            nc_error_prefix(status, "%s", path);
    }
    nc_image_free(&image);
    return status == NC_OK ? nc_encoder_pictures(encoder, pixels, 1, false, feature) : status;
}

static int check_rows(const struct request *r, const struct nc_store_source *source,
                      struct nc_encoder *encoder, const struct nc_preprocess *preprocess,
                      const struct nc_model_shape *shape, struct check *check)
{
    char **keys = NULL;
    size_t count = 0;
    struct nc_npy npy = {0};
    float *pixels = malloc(shape->channels * shape->image_size * shape->image_size * sizeof *pixels);
    float *feature = malloc(2 * shape->embedding * sizeof *feature), *row = feature;
    int status = pixels && feature ? nc_npy_open(source->rows, &npy)
                                   : nc_error(NC_FAILED, "import: no memory");
    if (status == NC_OK)
        status = nc_store_source_keys(source, r->key_column, CANDIDATES, &keys, &count);
    for (size_t i = 0; i < count && check->pictures < CHECKED && status == NC_OK; i++) {
        char *path = find_picture(r->check, keys[i]);
        if (!path)
            continue;
        status = encode_picture(encoder, preprocess, path, pixels, feature + shape->embedding);
        nc_convert(row, NC_FLOAT32, npy.rows + i * npy.columns * nc_type_size(npy.type), npy.type,
                   shape->embedding);
        double near = cosine(row, feature + shape->embedding, shape->embedding);
        if (status == NC_OK && near < LEAST_COSINE)
            status = nc_error(NC_BAD_INPUT,
                              "%s: row %zu is not what %s makes of %s (cosine %.3f): the embeddings "
                              "are of another model, or in another order than their keys",
                              source->rows, i, r->model, path, near);
        check->least = !check->pictures++ || near < check->least ? near : check->least;
        free(path);
    }
    if (status == NC_OK && !check->pictures)
        status = nc_error(NC_BAD_INPUT,
                          "%s: no picture of the first %zu rows (\"%s\", ...) is there to check with",
                          r->check, count, count ? keys[0] : "");
    nc_store_source_keys_free(keys, count);
    nc_npy_close(&npy);
    free(pixels);
    free(feature);
    return status;
}

static int check_pictures(const struct request *r, const struct nc_store_source *source,
                          const struct nc_model *model, struct check *check)
{
    struct nc_encoder_options options = {.precision = NC_FLOAT32, .vision = true, .batch = 1};
    struct nc_ops *ops = NULL;
    struct nc_encoder *encoder = NULL;
    struct nc_preprocess preprocess;
    const struct nc_model_shape *shape = nc_model_shape(model);
    int status = nc_model_need_vision(model);
    if (status == NC_OK)
        status = nc_preprocess_load(r->model, shape->image_size, &preprocess);
    if (status == NC_OK)
        status = nc_ops_create("cpu", 0, &ops);
    if (status == NC_OK)
        status = nc_encoder_create(ops, model, &options, &encoder);
    if (status == NC_OK)
        status = check_rows(r, source, encoder, &preprocess, shape, check);
    nc_encoder_destroy(encoder);
    nc_ops_destroy(ops);
    return status;
}

/* ----------------------------------------------------------------------------------------------- */

/* Whose embeddings they are. */
static int describe(const struct request *r, const struct nc_store_sources *sources,
                    struct nc_store_import *options, char hash[17], char **preprocessing,
                    struct check *check)
{
    struct nc_model *model = NULL;
    if (r->made_by) {
        options->model_hash = r->made_by;
        options->preprocessing = "not known";
        return NC_OK;
    }
    int status = nc_model_open(r->model, &model);
    if (status == NC_OK)
        status = nc_model_vision_hash(model, hash);
    if (status == NC_OK) {
        struct nc_preprocess preprocess;
        options->model_hash = hash;
        options->dimension = nc_model_shape(model)->embedding;
        options->preprocessing = "not known";
        /* A text tower alone has none. */
        if (nc_model_need_vision(model) == NC_OK) {
            status = nc_preprocess_load(r->model, nc_model_shape(model)->image_size, &preprocess);
            if (status == NC_OK && !(*preprocessing = nc_preprocess_describe(&preprocess)))
                status = nc_error(NC_FAILED, "import: no memory");
            options->preprocessing = *preprocessing;
        }
    }
    /* Rows of another length cannot be compared: that is said first. */
    if (status == NC_OK && r->check) {
        struct nc_npy npy;
        status = nc_npy_open(sources->items[0].rows, &npy);
        bool fits = status == NC_OK && npy.columns == options->dimension;
        nc_npy_close(&npy);
        if (fits)
            status = check_pictures(r, &sources->items[0], model, check);
    }
    nc_model_close(model);
    return status;
}

static int report(const struct request *r, const struct nc_store_imported *done,
                  const struct check *check)
{
    if (r->json) {
        cJSON *root = cJSON_CreateObject();
        bool made = nc_json_add_count(root, "files", done->files) &&
                    nc_json_add_count(root, "rows", done->rows) &&
                    nc_json_add_count(root, "before", done->before) &&
                    nc_json_add_count(root, "skipped", done->skipped) &&
                    nc_json_add_count(root, "captions", done->captions) &&
                    cJSON_AddBoolToObject(root, "normalized", done->normalized);
        if (check->pictures)
            made = made && nc_json_add_count(root, "checked", check->pictures) &&
                   cJSON_AddNumberToObject(root, "least_cosine", check->least);
        return nc_json_print(stdout, root, made);
    }
    printf("%s: %zu rows of %zu files%s", r->out, done->rows, done->files,
           r->link ? ", linked" : "");
    if (done->before)
        printf("; %zu were there before", done->before);
    if (done->skipped)
        printf("; %zu not finite, left out, see %s/skipped.jsonl", done->skipped, r->out);
    if (r->captions_out)
        printf("; %zu captions in %s", done->captions, r->captions_out);
    if (check->pictures)
        printf("; %zu rows checked against pictures, least cosine %.4f", check->pictures,
               check->least);
    printf("\n");
    return NC_OK;
}

static int import(const struct request *r)
{
    struct nc_store_sources sources;
    struct nc_store_imported done = {0};
    struct check check = {0};
    bool normalized = r->normalized && strcmp(r->normalized, "yes") == 0;
    struct nc_store_import options = {
        .key = r->key_column, .caption = r->caption_column, .captions_out = r->captions_out,
        .link = r->link, .normalized = r->normalized ? &normalized : NULL};
    char hash[17], *preprocessing = NULL;
    int status = nc_store_sources_find(r->source, r->keys, &sources);
    if (status == NC_OK)
        status = describe(r, &sources, &options, hash, &preprocessing, &check);
    nc_signals_catch();
    if (status == NC_OK)
        status = nc_store_import(&sources, &options, r->out, &done);
    nc_signals_release();
    nc_store_sources_free(&sources);
    free(preprocessing);
    return status == NC_OK ? report(r, &done, &check) : status;
}

static int run(int argc, char **argv)
{
    struct request r = {.key_column = "image_path", .caption_column = "caption"};
    static const char *const answers[] = {"yes", "no", NULL};
    const struct nc_option table[] = {
        {"--out", "STORE", "store to make, or to go on with", NC_OPTION_STRING, &r.out,
         .required = true},
        {"--model", "DIR", "the CLIP whose embeddings they are", NC_OPTION_STRING, &r.model},
        {"--made-by", "TEXT", "or its name, where it is no model of nclip's", NC_OPTION_STRING,
         &r.made_by},
        {"--keys", "FILE", "the table of one .npy file", NC_OPTION_STRING, &r.keys},
        {"--key-column", "NAME", "column of the keys (default: image_path), or: row",
         NC_OPTION_STRING, &r.key_column},
        {"--captions-out", "FILE", "write the tables' captions there, as JSON lines",
         NC_OPTION_STRING, &r.captions_out},
        {"--caption-column", "NAME", "column of the captions (default: caption)", NC_OPTION_STRING,
         &r.caption_column},
        {"--link", NULL, "leave the rows in the .npy files", NC_OPTION_FLAG, &r.link},
        {"--normalized", "WHETHER", "rows have length 1 (default: as the first thousand)",
         NC_OPTION_STRING, &r.normalized, .choices = answers},
        {"--check", "DIR", "folder with pictures, some of which are embedded by --model and compared",
         NC_OPTION_STRING, &r.check},
        {"--json", NULL, "print the result as one JSON object", NC_OPTION_FLAG, &r.json},
        {0},
    };
    struct nc_arguments arguments;
    int status = nc_options_parse(&help, table, argc, argv, &arguments);
    if (status != NC_OK || arguments.help_shown)
        return status;
    r.source = arguments.positional[0];
    if (!r.model == !r.made_by)
        status = nc_error(NC_USAGE, "store import: whose embeddings are they? Give either --model DIR "
                                    "or --made-by TEXT");
    else if (r.check && !r.model)
        status = nc_error(NC_USAGE, "store import: --check embeds pictures with --model, which is "
                                    "missing");
    if (strcmp(r.key_column, "row") == 0)
        r.key_column = NULL;
    if (status == NC_OK)
        status = import(&r);
    nc_arguments_free(&arguments, table);
    return status;
}

const struct nc_command store_import = {
    "store import", "embeddings that other programs made: .npy files, clip-retrieval, LAION", run,
    NULL};
