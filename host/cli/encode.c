/* nclip encode: texts or pictures to features in a .npy file. */
#include "encode_ids.h"

#include "nclip/cli/command.h"
#include "nclip/encoder/encoder.h"
#include "nclip/formats/npy.h"
#include "nclip/formats/text.h"
#include "nclip/pictures/damage.h"
#include "nclip/pictures/image.h"
#include "nclip/pictures/source.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct nc_help help = {
    .usage = "nclip encode --model DIR (--text FILE | --ids FILE | --images DIR|LIST|TAR) --out X.npy",
    .purpose =
        "Writes the features of texts (one a line) or pictures as a NumPy array, float32 "
        "[rows, dimension], L2-normalised unless --raw is given. Row i belongs to line or "
        "picture i: a picture that cannot be read is an error here, since rows must not shift. "
        "--ids takes token ids, one JSON array a line with start and end and without padding, as "
        "nclip tokenize writes them: for a model whose tokenizer is another program's.",
    .examples = "nclip encode --model clip-vit-base-patch32 --text phrases.txt --out text.npy\n"
                "echo 'a street with no cars' | nclip encode --model clip --text - --out text.npy",
};

/* The lines of a file; their ends become zero bytes in place. A last line without an end counts. */
static int split_lines(char *text, size_t size, const char ***lines, size_t *count)
{
    struct nc_lines counted = nc_lines_of(text, size), each = counted;
    const char *line;
    size_t length;
    while (nc_lines_next(&counted, &line, &length))
        ;
    *count = 0;
    *lines = malloc((counted.number + 1) * sizeof **lines);
    if (!*lines)
        return nc_error(NC_FAILED, "encode: no memory for %zu lines", counted.number);
    while ((line = nc_lines_cut(&each, &length)))
        (*lines)[(*count)++] = line;
    return NC_OK;
}

static int encode_texts(struct nc_encoder *encoder, const char *path, size_t embedding, bool raw,
                        const char *out)
{
    char *text = NULL;
    const char **lines = NULL;
    float *features = NULL;
    size_t size, count = 0;
    int status = nc_text_read(path, (size_t)4 << 30, &text, &size);
    if (status == NC_OK)
        status = split_lines(text, size, &lines, &count);
    if (status == NC_OK && !(features = malloc((count ? count : 1) * embedding * sizeof *features)))
        status = nc_error(NC_FAILED, "encode: no memory for %zu texts", count);
    if (status == NC_OK)
        status = nc_encoder_texts(encoder, lines, count, raw, features);
    if (status == NC_OK)
        status = nc_npy_write(out, features, count, embedding);
    struct nc_encoder_counts counts = nc_encoder_counts(encoder);
    if (status == NC_OK && counts.truncated)
        fprintf(stderr, "%zu texts truncated, of which %zu lost their negation word\n",
                counts.truncated, counts.negation_lost);
    free(features);
    free(lines);
    free(text);
    return status;
}

struct pictures {
    const char *path, *transparency;
    bool strict;
};

static int encode_images(struct nc_encoder *encoder, const struct nc_model *model,
                         const struct pictures *pictures, bool raw, const char *out)
{
    enum { BATCH = 64 };
    struct nc_damage damaged = {0};
    const struct nc_model_shape *shape = nc_model_shape(model);
    size_t values = shape->channels * shape->image_size * shape->image_size, count = 0;
    struct nc_image_source *source = NULL;
    struct nc_preprocess preprocess;
    float *pixels = malloc(BATCH * values * sizeof *pixels), *features = NULL;
    int status = pixels ? NC_OK : nc_error(NC_FAILED, "encode: no memory");
    if (status == NC_OK)
        status = nc_preprocess_load(nc_model_folder(model), shape->image_size, &preprocess);
    if (status == NC_OK)
        (void)nc_preprocess_choose(&preprocess, pictures->transparency, pictures->strict);
    if (status == NC_OK)
        status = nc_image_source_open(pictures->path, &source);
    if (status == NC_OK) {
        count = nc_image_source_count(source);
        features = malloc(count * shape->embedding * sizeof *features);
        if (!features)
            status = nc_error(NC_FAILED, "encode: no memory for %zu pictures", count);
    }
    for (size_t i = 0; i < count && status == NC_OK; i += BATCH) {
        size_t part = count - i < BATCH ? count - i : BATCH;
        for (size_t k = 0; k < part && status == NC_OK; k++) {
            char damage[NC_IMAGE_DAMAGE];
            status = nc_image_source_preprocess(source, i + k, &preprocess, pixels + k * values,
                                                damage);
            if (status == NC_OK && damage[0])
                nc_damage_note(&damaged, nc_image_source_key(source, i + k), damage);
        }
        if (status == NC_OK)
            status =
                nc_encoder_pictures(encoder, pixels, part, raw, features + i * shape->embedding);
    }
    if (status == NC_OK)
        status = nc_npy_write(out, features, count, shape->embedding);
    nc_damage_tell(&damaged, NC_DAMAGED_READ);
    nc_damage_free(&damaged);
    nc_image_source_close(source);
    free(features);
    free(pixels);
    return status;
}

static int run(int argc, char **argv)
{
    const char *folder = NULL, *text = NULL, *ids = NULL, *out = NULL, *device = "cpu";
    const char *precision = "fp32", *rules = "transformers", *too_long = "truncate";
    struct pictures pictures = {0};
    bool raw = false;
    size_t device_number = 0;
    static const char *const precisions[] = {"fp32", "bf16", NULL};
    static const char *const rules_names[] = {"transformers", "open_clip", NULL};
    static const char *const too_long_names[] = {"truncate", "error", "skip", NULL};
    const struct nc_option table[] = {
        {"--model", "DIR", "Hugging Face folder of a CLIP", NC_OPTION_STRING, &folder,
         .required = true},
        {"--ids", "FILE", "token ids, one JSON array a line (- for standard input)",
         NC_OPTION_STRING, &ids},
        {"--text", "FILE", "texts, one a line (- for standard input)", NC_OPTION_STRING, &text},
        {"--images", "DIR|LIST|TAR", "pictures", NC_OPTION_STRING, &pictures.path},
        {"--transparency", "RULE",
         "drop (open_clip, OpenAI) or white (transformers 5); default: the model's, mostly drop",
         NC_OPTION_STRING, &pictures.transparency, .choices = nc_transparency_names},
        {"--strict", NULL, "refuse damaged pictures, also those that PIL reads", NC_OPTION_FLAG,
         &pictures.strict},
        {"--out", "X.npy", "file to write", NC_OPTION_STRING, &out, .required = true},
        {"--raw", NULL, "as projected, not normalised", NC_OPTION_FLAG, &raw},
        {"--precision", "TYPE", "of the computation (default: fp32)", NC_OPTION_STRING, &precision,
         .choices = precisions},
        {"--rules", "NAME", "whose tokenizer to equal (default: transformers)", NC_OPTION_STRING,
         &rules, .choices = rules_names},
        {"--too-long", "RULE",
         "what to do with a text of too many tokens (default: truncate); skipped, its row is zeros",
         NC_OPTION_STRING, &too_long, .choices = too_long_names},
        {"--device", "NAME", "backend to compute on (default: cpu)", NC_OPTION_STRING, &device,
         .choices = nc_ops_names()},
        {"--device-number", "N", "which of several GPUs (default: 0)", NC_OPTION_SIZE,
         &device_number},
        {0},
    };
    struct nc_arguments arguments;
    struct nc_ops *ops = NULL;
    struct nc_model *model = NULL;
    struct nc_encoder *encoder = NULL;
    int status = nc_options_parse(&help, table, argc, argv, &arguments);
    if (status != NC_OK || arguments.help_shown)
        return status;
    struct nc_encoder_options options = {
        .precision = nc_type_named(precision),
        .text = text || ids, .ids = ids != NULL, .vision = pictures.path != NULL};
    if ((text != NULL) + (ids != NULL) + (pictures.path != NULL) != 1)
        status = nc_error(NC_USAGE, "encode: give one of --text, --ids and --images");
    if (status == NC_OK)
        status = nc_tokenizer_rules_parse(rules, &options.rules);
    if (status == NC_OK)
        status = nc_truncation_parse(too_long, &options.too_long);
    if (status == NC_OK)
        status = nc_model_open(folder, &model);
    if (status == NC_OK)
        status = nc_ops_create(device, (int)device_number, &ops);
    if (status == NC_OK)
        status = nc_encoder_create(ops, model, &options, &encoder);
    if (status == NC_OK)
        status = text  ? encode_texts(encoder, text, nc_model_shape(model)->embedding, raw, out)
                 : ids ? encode_ids(encoder, ids, nc_model_shape(model)->embedding, raw, out)
                       : encode_images(encoder, model, &pictures, raw, out);
    nc_encoder_destroy(encoder);
    nc_ops_destroy(ops);
    nc_model_close(model);
    nc_arguments_free(&arguments, table);
    return status;
}

const struct nc_command nc_command_encode = {"encode", "texts or pictures to features (.npy)", run};
