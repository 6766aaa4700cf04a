/* libnclip: a CLIP from C. The only header that is installed; everything else is internal.
 *
 *     nc_clip *clip;
 *     if (nc_clip_open("runs/first/best", NC_CLIP_TEXT | NC_CLIP_IMAGES, &clip) != 0)
 *         fprintf(stderr, "%s\n", nc_clip_error());
 *
 * Compile with `pkg-config --cflags --libs nclip`.
 *
 * Results     Functions return 0, or one of NC_CLIP_FAILED ..; then nc_clip_error() says in one
 *             sentence what is wrong, and outputs are undefined.
 * Memory      The caller owns all arrays that it gives; the library owns what nc_clip_open()
 *             made until nc_clip_close().
 * Threads     A nc_clip is used by one thread at a time; it computes on all cores by itself
 *             (OMP_NUM_THREADS limits them). Several may be open.
 * Stability   Functions and constants are only ever added while NC_CLIP_VERSION_MAJOR stays.
 *             Flags that this version does not know are refused.
 */
#ifndef NCLIP_NCLIP_H
#define NCLIP_NCLIP_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define NC_CLIP_API __attribute__((visibility("default")))
#else
#define NC_CLIP_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum {
    NC_CLIP_VERSION_MAJOR = 0,
    NC_CLIP_VERSION_MINOR = 1,
};
NC_CLIP_API const char *nc_clip_version(void); /* "0.1.0", of the library that runs */

enum {
    NC_CLIP_OK = 0,
    NC_CLIP_FAILED = 1,    /* the machine's fault: no memory, a file cannot be read */
    NC_CLIP_USAGE = 2,     /* the call is wrong: an unknown flag, a tower that was not opened */
    NC_CLIP_BAD_INPUT = 3, /* a model, a text or a picture is wrong */
};
/* The calling thread's last message; "" before the first. Valid until its next call. */
NC_CLIP_API const char *nc_clip_error(void);

typedef struct nc_clip nc_clip;

enum {
    NC_CLIP_TEXT = 1,   /* load the text tower and the tokenizer */
    NC_CLIP_IMAGES = 2, /* load the vision tower */
    NC_CLIP_BF16 = 4,   /* compute in bf16 instead of fp32 */
};
/* `folder` is a Hugging Face CLIP folder, such as the RUN/best of nclip train. */
NC_CLIP_API int nc_clip_open(const char *folder, unsigned flags, nc_clip **clip);
NC_CLIP_API void nc_clip_close(nc_clip *clip); /* NULL is allowed */

NC_CLIP_API size_t nc_clip_dimension(const nc_clip *clip);  /* numbers of a feature */
NC_CLIP_API size_t nc_clip_context(const nc_clip *clip);    /* tokens that a text can have */
NC_CLIP_API size_t nc_clip_image_size(const nc_clip *clip); /* pixels a side */
NC_CLIP_API float nc_clip_logit_scale(const nc_clip *clip); /* a factor of cosines, such as 100 */

/* ids[context], of which *count are set: start of text, tokens, end of text. Longer texts are cut
 * and keep their end. */
NC_CLIP_API int nc_clip_tokenize(nc_clip *clip, const char *text, int32_t *ids, size_t *count);

/* features[count, dimension], each of length 1. Texts are UTF-8, zero-terminated. */
NC_CLIP_API int nc_clip_encode_texts(nc_clip *clip, const char *const *texts, size_t count,
                                     float *features);

/* The same for pictures in files (JPEG, PNG). */
NC_CLIP_API int nc_clip_encode_image_files(nc_clip *clip, const char *const *paths, size_t count,
                                           float *features);

/* One picture of rows of red, green, blue bytes; `stride` bytes from row to row (0: 3 x width).
 * Of any size: it is resized and cropped as the model wants it. */
NC_CLIP_API int nc_clip_encode_rgb(nc_clip *clip, const uint8_t *pixels, size_t width,
                                   size_t height, size_t stride, float *feature);

/* scores[texts, images] = cosines of features of length 1. */
NC_CLIP_API void nc_clip_cosines(const nc_clip *clip, const float *text_features, size_t texts,
                                 const float *image_features, size_t images, float *scores);

/* probabilities[choices] = softmax(logit scale x cosines): which of several texts a picture shows,
 * or which of several pictures a text describes. May be `cosines` itself. */
NC_CLIP_API void nc_clip_probabilities(const nc_clip *clip, const float *cosines, size_t choices,
                                       float *probabilities);

#ifdef __cplusplus
}
#endif
#endif
