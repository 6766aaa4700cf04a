/* libnclip: the functions of nclip.h over the encoder. */
#include "nclip/nclip.h"

#include "nclip/checkpoints/folder.h"
#include "nclip/encoder/encoder.h"
#include "nclip/pictures/image.h"
#include "nclip/support/error.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert((int)NC_CLIP_OK == (int)NC_OK && (int)NC_CLIP_FAILED == (int)NC_FAILED &&
                   (int)NC_CLIP_USAGE == (int)NC_USAGE &&
                   (int)NC_CLIP_BAD_INPUT == (int)NC_BAD_INPUT,
               "the results are the program's exit codes");

enum { BATCH = 32 }; /* pictures decoded before they are computed */

struct nc_clip {
    unsigned flags;
    struct nc_ops *ops;
    struct nc_model *model;
    struct nc_encoder *encoder;
    struct nc_tokens tokens;
    struct nc_preprocess preprocess;
    float logit_scale; /* exp */
    float *pixels;     /* [BATCH, channels, size, size] */
};

const char *nc_clip_version(void)
{
    return NCLIP_VERSION;
}

const char *nc_clip_error(void)
{
    return nc_error_message();
}

static size_t picture_values(const struct nc_clip *clip)
{
    const struct nc_model_shape *shape = nc_model_shape(clip->model);
    return shape->channels * shape->image_size * shape->image_size;
}

static int prepare_images(struct nc_clip *clip)
{
    const char *folder = nc_model_folder(clip->model);
    int status =
        nc_preprocess_load(folder, nc_model_shape(clip->model)->image_size, &clip->preprocess);
    if (status != NC_OK)
        return status;
    clip->pixels = malloc(BATCH * picture_values(clip) * sizeof *clip->pixels);
    return clip->pixels ? NC_OK : nc_error(NC_FAILED, "%s: no memory for pictures", folder);
}

int nc_clip_open(const char *folder, unsigned flags, nc_clip **out)
{
    *out = NULL;
    if (flags & ~(unsigned)(NC_CLIP_TEXT | NC_CLIP_IMAGES | NC_CLIP_BF16) ||
        !(flags & (NC_CLIP_TEXT | NC_CLIP_IMAGES)))
        return nc_error(NC_USAGE,
                        "nc_clip_open: the flags %#x name no tower, or something this version does "
                        "not know; expected NC_CLIP_TEXT, NC_CLIP_IMAGES or both",
                        flags);
    struct nc_clip *clip = calloc(1, sizeof *clip);
    if (!clip)
        return nc_error(NC_FAILED, "%s: no memory", folder);
    clip->flags = flags;
    struct nc_encoder_options options = {.precision =
                                             flags & NC_CLIP_BF16 ? NC_BFLOAT16 : NC_FLOAT32,
                                         .text = flags & NC_CLIP_TEXT,
                                         .vision = flags & NC_CLIP_IMAGES,
                                         .batch = BATCH};
    int status = nc_model_open(folder, &clip->model);
    if (status == NC_OK)
        status = nc_ops_create("cpu", 0, &clip->ops);
    if (status == NC_OK)
        status = nc_encoder_create(clip->ops, clip->model, &options, &clip->encoder);
    if (status == NC_OK)
        clip->logit_scale = expf(nc_model_logit_scale(clip->model));
    if (status == NC_OK && options.vision)
        status = prepare_images(clip);
    if (status == NC_OK)
        *out = clip;
    else
        nc_clip_close(clip);
    return status;
}

void nc_clip_close(nc_clip *clip)
{
    if (!clip)
        return;
    nc_encoder_destroy(clip->encoder);
    nc_tokens_free(&clip->tokens);
    nc_ops_destroy(clip->ops);
    nc_model_close(clip->model);
    free(clip->pixels);
    free(clip);
}

size_t nc_clip_dimension(const nc_clip *clip)
{
    return nc_model_shape(clip->model)->embedding;
}

size_t nc_clip_context(const nc_clip *clip)
{
    return nc_model_shape(clip->model)->context;
}

size_t nc_clip_image_size(const nc_clip *clip)
{
    return nc_model_shape(clip->model)->image_size;
}

float nc_clip_logit_scale(const nc_clip *clip)
{
    return clip->logit_scale;
}

static int need(const nc_clip *clip, unsigned tower, const char *function)
{
    if (clip->flags & tower)
        return NC_OK;
    return nc_error(NC_USAGE, "%s: the model was opened without %s", function,
                    tower == NC_CLIP_TEXT ? "NC_CLIP_TEXT" : "NC_CLIP_IMAGES");
}

int nc_clip_tokenize(nc_clip *clip, const char *text, int32_t *ids, size_t *count)
{
    *count = 0;
    int status = need(clip, NC_CLIP_TEXT, "nc_clip_tokenize");
    if (status == NC_OK)
        status = nc_tokenizer_encode(nc_encoder_tokenizer(clip->encoder), text, strlen(text),
                                     nc_clip_context(clip), NC_TRUNCATE, &clip->tokens);
    if (status != NC_OK)
        return status;
    *count = clip->tokens.count;
    memcpy(ids, clip->tokens.ids, *count * sizeof *ids);
    return NC_OK;
}

int nc_clip_encode_texts(nc_clip *clip, const char *const *texts, size_t count, float *features)
{
    int status = need(clip, NC_CLIP_TEXT, "nc_clip_encode_texts");
    return status == NC_OK ? nc_encoder_texts(clip->encoder, texts, count, false, features)
                           : status;
}

int nc_clip_encode_image_files(nc_clip *clip, const char *const *paths, size_t count,
                               float *features)
{
    int status = need(clip, NC_CLIP_IMAGES, "nc_clip_encode_image_files");
    size_t values = status == NC_OK ? picture_values(clip) : 0;
    for (size_t first = 0; first < count && status == NC_OK; first += BATCH) {
        size_t part = count - first < BATCH ? count - first : BATCH;
        for (size_t i = 0; i < part && status == NC_OK; i++) {
            struct nc_image image;
            status = nc_image_load(paths[first + i], &clip->preprocess.reading, &image);
            if (status != NC_OK)
                break;
            status =
                nc_image_preprocess(&clip->preprocess, &image, NULL, clip->pixels + i * values);
            if (status != NC_OK)
                nc_error_prefix(status, "%s", paths[first + i]);
            nc_image_free(&image);
        }
        if (status == NC_OK)
            status = nc_encoder_pictures(clip->encoder, clip->pixels, part, false,
                                         features + first * nc_clip_dimension(clip));
    }
    return status;
}

int nc_clip_encode_rgb(nc_clip *clip, const uint8_t *pixels, size_t width, size_t height,
                       size_t stride, float *feature)
{
    int status = need(clip, NC_CLIP_IMAGES, "nc_clip_encode_rgb");
    if (status != NC_OK)
        return status;
    if (!width || !height || width > NC_IMAGE_MAX_EDGE || height > NC_IMAGE_MAX_EDGE ||
        width * height > NC_IMAGE_MAX_PIXELS || (stride && stride < 3 * width))
        return nc_error(
            NC_BAD_INPUT,
            "nc_clip_encode_rgb: a picture of %zu x %zu pixels, %zu bytes a row, cannot "
            "be",
            width, height, stride);
    uint8_t *dense = NULL;
    struct nc_image image = {width, height, (uint8_t *)pixels}; /* only read */
    if (stride && stride != 3 * width) {
        image.pixels = dense = malloc(3 * width * height);
        if (!dense)
            return nc_error(NC_FAILED, "nc_clip_encode_rgb: no memory");
        for (size_t y = 0; y < height; y++)
            memcpy(dense + y * 3 * width, pixels + y * stride, 3 * width);
    }
    status = nc_image_preprocess(&clip->preprocess, &image, NULL, clip->pixels);
    free(dense);
    return status == NC_OK ? nc_encoder_pictures(clip->encoder, clip->pixels, 1, false, feature)
                           : status;
}

void nc_clip_cosines(const nc_clip *clip, const float *text_features, size_t texts,
                     const float *image_features, size_t images, float *scores)
{
    size_t dimension = nc_clip_dimension(clip);
    for (size_t t = 0; t < texts; t++) {
        for (size_t i = 0; i < images; i++) {
            double sum = 0;
            for (size_t k = 0; k < dimension; k++)
                sum += (double)text_features[t * dimension + k] *
                       (double)image_features[i * dimension + k];
            scores[t * images + i] = (float)sum;
        }
    }
}

void nc_clip_probabilities(const nc_clip *clip, const float *cosines, size_t choices,
                           float *probabilities)
{
    float largest = -INFINITY;
    double sum = 0;
    for (size_t i = 0; i < choices; i++)
        largest = fmaxf(largest, cosines[i]);
    for (size_t i = 0; i < choices; i++) {
        probabilities[i] = expf(clip->logit_scale * (cosines[i] - largest));
        sum += (double)probabilities[i];
    }
    for (size_t i = 0; i < choices; i++)
        probabilities[i] = (float)((double)probabilities[i] / sum);
}
