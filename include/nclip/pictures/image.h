/* Pictures: from the bytes of a file to the input of the vision tower.
 *
 * The result is what CLIP's published preprocessing gives, bit for bit: PIL opens the
 * picture and converts it to RGB, PIL resizes it, transformers' CLIPImageProcessor (its
 * PIL backend) crops, rescales and normalises it.
 *
 * All functions are thread-safe and single-threaded: callers run pictures in
 * parallel, not rows. Failures are NC_BAD_INPUT, except missing memory (NC_FAILED).
 */
#ifndef NCLIP_PICTURES_IMAGE_H
#define NCLIP_PICTURES_IMAGE_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    NC_IMAGE_MAX_EDGE = 65535,       /* pixels; JPEG cannot say more */
    NC_IMAGE_MAX_PIXELS = 178956970, /* where PIL calls it a decompression bomb */
    NC_IMAGE_MAX_BYTES = 1 << 28,    /* of a file */
};

/* What becomes of transparent pixels. */
enum nc_transparency {
    NC_TRANSPARENCY_DROP,  /* alpha is left out, not blended: OpenAI's CLIP, open_clip, transformers
                              up to 4 */
    NC_TRANSPARENCY_WHITE, /* the picture is put on white: transformers 5 */
};
const char *nc_transparency_name(enum nc_transparency transparency); /* "drop", "white" */
extern const char *const nc_transparency_names[];                    /* ends with NULL */

/* Where readers of pictures differ. {0} is how PIL reads. */
struct nc_image_reading {
    enum nc_transparency transparency;
    bool strict; /* damage that PIL passes over is NC_BAD_INPUT */
};

enum { NC_IMAGE_DAMAGE = 96 };

struct nc_image {
    size_t width, height;
    uint8_t *pixels; /* [height, width, 3], red green blue, no padding; owned */
    char
        damage[NC_IMAGE_DAMAGE]; /* what was wrong with the file and passed over; "" when nothing */
};

/* Decodes a JPEG (8 bits; grey, colour or CMYK), PNG or WebP to 8-bit RGB as PIL's
 * Image.open(...).convert("RGB") does:
 *
 * - alpha is dropped, or the picture put on white, as reading->transparency says;
 * - grey and palette are expanded; of 16-bit colour the upper byte is kept, but 16-bit
 *   grey saturates above 255;
 * - CMYK is taken as inverted (Adobe's convention);
 * - of an animation the first picture is taken;
 * - EXIF orientation and colour profiles are not applied.
 *
 * PIL reads some damaged files without a word: a JPEG whose data end before its end marker or
 * skip a restart marker, a PNG with wrong checksums behind its header or without its end. These are
 * read to the same pixels, and `damage` names what is wrong; where reading->strict, they are
 * refused. (Of a progressive JPEG that lacks its later scans, libjpeg smooths the blocks, and its
 * releases do that a little differently.) What PIL refuses (a file cut short, a PNG whose pixels do not match their own
 * checksum) is refused, and so are other kinds of file, by name, and a header that claims more
 * pixels than the file's bytes can hold.
 *
 * JPEG is libjpeg-turbo's (host/pictures/jpeg.c says why), WebP libwebp's; PNG is inflated by zlib
 * and expanded by stb_image. `reading` NULL: as PIL. The caller calls nc_image_free(); on failure
 * *image is {0}. */
int nc_image_decode(const char *where, const void *bytes, size_t size,
                    const struct nc_image_reading *reading, struct nc_image *image);
int nc_image_load(const char *path, const struct nc_image_reading *reading, struct nc_image *image);
void nc_image_free(struct nc_image *image); /* sets it to {0}; {0} is allowed */

/* The numbers are PIL's, as "resample" in preprocessor_config.json has them. */
enum nc_resample {
    NC_RESAMPLE_LANCZOS = 1,
    NC_RESAMPLE_BILINEAR = 2,
    NC_RESAMPLE_BICUBIC = 3,
};

/* image.resize((width, height), resample) of PIL, bit for bit: the filter's
 * support grows with the reduction (antialiasing), coefficients have 22 fractional
 * bits, and between the two passes values are rounded and clipped to 8 bits. Columns
 * come first, except where rows shrink by more than twice as many pixels as columns
 * (Pillow 13; older versions always begin with columns, which changes a level here and
 * there). Source: Pillow src/libImaging/Resample.c. */
int nc_image_resize(const struct nc_image *image, size_t width, size_t height,
                    enum nc_resample resample, struct nc_image *resized);

/* What preprocessor_config.json says. */
struct nc_preprocess {
    bool do_resize;
    size_t shortest_edge;               /* 0: to exactly resize_width x resize_height */
    size_t resize_width, resize_height; /* when shortest_edge is 0 */
    enum nc_resample resample;
    bool do_center_crop;
    size_t crop_width, crop_height;
    bool do_rescale;
    double rescale_factor;
    bool do_normalize;
    float image_mean[3], image_std[3]; /* red, green, blue, after rescaling */
    struct nc_image_reading reading;   /* how the file is decoded before all that */
};

/* CLIP's published values: shortest edge to `image_size` by bicubic, centre crop,
 * /255, OpenAI's mean and standard deviation. */
void nc_preprocess_default(size_t image_size, struct nc_preprocess *preprocess);

/* From the "image_processor" member of `folder`/processor_config.json (transformers 5),
 * else from `folder`/preprocessor_config.json, else the defaults. Absent keys keep CLIP's
 * defaults; a processor of another type must leave none of them out. A key that may change pixels is followed, or refused by name; pictures are always
 * converted to RGB. Transparency is dropped, but put on white for processor_config.json, which
 * only transformers 5 writes; "transparency": "drop" or "white" says otherwise. The result
 * must be image_size x image_size pictures, image_size being the vision tower's; anything
 * else is refused, naming both sizes. */
int nc_preprocess_load(const char *folder, size_t image_size, struct nc_preprocess *preprocess);
int nc_preprocess_parse(const char *where, const cJSON *object, size_t image_size,
                        struct nc_preprocess *preprocess);

/* What the command line says beside that: --transparency (NULL: as the model has it) and --strict.
 * False for a name that is none of nc_transparency_names. */
bool nc_preprocess_choose(struct nc_preprocess *preprocess, const char *transparency, bool strict);

/* Writes `path` so that nc_preprocess_parse() and transformers' CLIPImageProcessor read it back. */
int nc_preprocess_write(const char *path, const struct nc_preprocess *preprocess);

/* One line that is equal exactly when the preprocessing is, such as
 * "rgb, shortest edge 224 bicubic, centre 224x224, times 0.0039215686274509803, mean ...".
 * Kept in the header of an embedding store. The caller frees it; NULL without
 * memory. */
char *nc_preprocess_describe(const struct nc_preprocess *preprocess);

/* The picture, or the part of it in `box` ({x, y, width, height} in pixels, NULL:
 * all of it), as the vision tower takes it: out is [3, size, size] fp32, overwritten.
 *
 * The box means PIL's image.crop((x, y, x + width, y + height)): the four edges are
 * rounded to the nearest pixel, halves to even, and what lies outside the picture
 * is black. A box that is not finite or rounds to nothing is NC_BAD_INPUT. Messages do
 * not name the picture: the caller puts its name before them (nc_error_prefix()). */
int nc_image_preprocess(const struct nc_preprocess *preprocess, const struct nc_image *image,
                        const double box[4], float *out);

#endif
