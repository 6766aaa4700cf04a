#include "resize.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/formats/json.h"
#include "nclip/support/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading preprocessor_config.json ---- */

void nc_preprocess_default(size_t image_size, struct nc_preprocess *preprocess)
{
    *preprocess = (struct nc_preprocess){
        .do_resize = true,
        .shortest_edge = image_size,
        .resample = NC_RESAMPLE_BICUBIC,
        .do_center_crop = true,
        .crop_width = image_size,
        .crop_height = image_size,
        .do_rescale = true,
        .rescale_factor = 1.0 / 255.0,
        .do_normalize = true,
        .image_mean = {0.48145466f, 0.4578275f, 0.40821073f},
        .image_std = {0.26862954f, 0.26130258f, 0.27577711f},
    };
}

static int edge(const char *where, const char *key, const cJSON *item, size_t *value)
{
    double number = cJSON_IsNumber(item) ? item->valuedouble : 0;
    if (!(number >= 1 && number <= NC_IMAGE_MAX_EDGE) || number != floor(number))
        return nc_error(NC_BAD_INPUT, "%s: \"%s\" is not a size of 1 to %d pixels", where, key,
                        NC_IMAGE_MAX_EDGE);
    *value = (size_t)number;
    return NC_OK;
}

/* A number, {"shortest_edge"}, {"height", "width"} or [height, width]. Leaves `shortest`
 * or the other two at 0; a number is the shortest edge when `shortest` is not NULL. */
static int read_size(const char *where, const char *key, const cJSON *item, size_t *shortest,
                     size_t *height, size_t *width)
{
    size_t one = 0;
    *height = *width = 0;
    if (shortest)
        *shortest = 0;
    if (cJSON_IsNumber(item)) {
        int status = edge(where, key, item, &one);
        if (shortest)
            *shortest = one;
        else
            *height = *width = one;
        return status;
    }
    const cJSON *tall = NULL, *wide = NULL;
    if (cJSON_IsObject(item)) {
        const cJSON *shorter = nc_json_member(item, "shortest_edge");
        const cJSON *member;
        cJSON_ArrayForEach(member, item)
        {
            if (strcmp(member->string, "shortest_edge") != 0 &&
                strcmp(member->string, "height") != 0 && strcmp(member->string, "width") != 0 &&
                !cJSON_IsNull(member))
                return nc_error(NC_BAD_INPUT,
                                "%s: \"%s\" asks for \"%s\", which CLIP does not "
                                "know (shortest_edge, or height and width)",
                                where, key, member->string);
        }
        if (shorter && !cJSON_IsNull(shorter) && shortest)
            return edge(where, key, shorter, shortest);
        tall = nc_json_member(item, "height");
        wide = nc_json_member(item, "width");
    } else if (cJSON_GetArraySize(item) == 2 && cJSON_IsArray(item)) {
        tall = cJSON_GetArrayItem(item, 0);
        wide = cJSON_GetArrayItem(item, 1);
    }
    if (!tall || !wide)
        return nc_error(NC_BAD_INPUT, "%s: \"%s\" is neither a number nor holds %s", where, key,
                        shortest ? "shortest_edge, or height and width" : "height and width");
    int status = edge(where, key, tall, height);
    return status == NC_OK ? edge(where, key, wide, width) : status;
}

static int read_colors(const char *where, const char *key, const cJSON *object, float colors[3])
{
    const cJSON *item = nc_json_member(object, key);
    if (!item || cJSON_IsNull(item))
        return NC_OK;
    for (int i = 0; i < 3; i++) {
        const cJSON *number = cJSON_IsArray(item) ? cJSON_GetArrayItem(item, i) : item;
        if (!cJSON_IsNumber(number) || !isfinite((float)number->valuedouble) ||
            (cJSON_IsArray(item) && cJSON_GetArraySize(item) != 3))
            return nc_error(NC_BAD_INPUT, "%s: \"%s\" is not three numbers", where, key);
        colors[i] = (float)number->valuedouble;
    }
    return NC_OK;
}

static int read_resample(const char *where, const cJSON *object, enum nc_resample *resample)
{
    double number = *resample;
    int status = nc_json_optional_number(where, object, "resample", &number);
    if (status != NC_OK)
        return status;
    if (number != NC_RESAMPLE_LANCZOS && number != NC_RESAMPLE_BILINEAR &&
        number != NC_RESAMPLE_BICUBIC)
        return nc_error(NC_BAD_INPUT,
                        "%s: \"resample\" is %g, not 1 (Lanczos), 2 (bilinear) or 3 "
                        "(bicubic)",
                        where, number);
    *resample = (enum nc_resample)number;
    return NC_OK;
}

int nc_preprocess_parse(const char *where, const cJSON *object, size_t image_size,
                        struct nc_preprocess *preprocess)
{
    struct nc_preprocess p;
    nc_preprocess_default(image_size, &p);
    if (!cJSON_IsObject(object))
        return nc_error(NC_BAD_INPUT, "%s: not an object of preprocessing settings", where);

    bool do_pad = false;
    const cJSON *size = nc_json_member(object, "size");
    const cJSON *crop = nc_json_member(object, "crop_size");
    int status = nc_json_optional_bool(where, object, "do_resize", &p.do_resize);
    if (status == NC_OK && size && !cJSON_IsNull(size))
        status =
            read_size(where, "size", size, &p.shortest_edge, &p.resize_height, &p.resize_width);
    if (status == NC_OK)
        status = read_resample(where, object, &p.resample);
    if (status == NC_OK)
        status = nc_json_optional_bool(where, object, "do_center_crop", &p.do_center_crop);
    if (status == NC_OK && crop && !cJSON_IsNull(crop))
        status = read_size(where, "crop_size", crop, NULL, &p.crop_height, &p.crop_width);
    if (status == NC_OK)
        status = nc_json_optional_bool(where, object, "do_rescale", &p.do_rescale);
    if (status == NC_OK)
        status = nc_json_optional_number(where, object, "rescale_factor", &p.rescale_factor);
    if (status == NC_OK)
        status = nc_json_optional_bool(where, object, "do_normalize", &p.do_normalize);
    if (status == NC_OK)
        status = read_colors(where, "image_mean", object, p.image_mean);
    if (status == NC_OK)
        status = read_colors(where, "image_std", object, p.image_std);
    if (status == NC_OK)
        status = nc_json_optional_bool(where, object, "do_pad", &do_pad);
    if (status != NC_OK)
        return status;

    if (do_pad)
        return nc_error(NC_BAD_INPUT, "%s: \"do_pad\" is set, which CLIP does not know", where);
    if (!isfinite(p.rescale_factor))
        return nc_error(NC_BAD_INPUT, "%s: \"rescale_factor\" is not finite", where);
    for (int i = 0; p.do_normalize && i < 3; i++)
        if (p.image_std[i] == 0)
            return nc_error(NC_BAD_INPUT, "%s: \"image_std\" is 0", where);
    size_t width = p.do_center_crop ? p.crop_width : p.do_resize ? p.resize_width : 0;
    size_t height = p.do_center_crop ? p.crop_height : p.do_resize ? p.resize_height : 0;
    if (!width)
        return nc_error(NC_BAD_INPUT,
                        "%s: without a crop, pictures would have many sizes, but the "
                        "vision tower takes %zu x %zu",
                        where, image_size, image_size);
    if (width != image_size || height != image_size)
        return nc_error(NC_BAD_INPUT,
                        "%s: pictures would be %zu x %zu, but the vision tower takes "
                        "%zu x %zu",
                        where, width, height, image_size, image_size);
    *preprocess = p;
    return NC_OK;
}

/* The settings in `folder`/`name`, in its member `member` when that is not NULL.
 * *found tells whether they are there. */
static int load_from(const char *folder, const char *name, const char *member, size_t image_size,
                     struct nc_preprocess *preprocess, bool *found)
{
    *found = false;
    char *path = nc_path_join(folder, name);
    if (!path)
        return nc_error(NC_FAILED, "%s: no memory", folder);
    cJSON *root = NULL;
    int status = NC_OK;
    if (nc_file_exists(path)) {
        status = nc_json_load(path, &root);
        const cJSON *object = member ? nc_json_member(root, member) : root;
        if (status == NC_OK && object) {
            *found = true;
            status = nc_preprocess_parse(path, object, image_size, preprocess);
        }
    }
    cJSON_Delete(root);
    free(path);
    return status;
}

int nc_preprocess_load(const char *folder, size_t image_size, struct nc_preprocess *preprocess)
{
    bool found;
    nc_preprocess_default(image_size, preprocess);
    int status = load_from(folder, "processor_config.json", "image_processor", image_size,
                           preprocess, &found);
    if (status == NC_OK && !found)
        status =
            load_from(folder, "preprocessor_config.json", NULL, image_size, preprocess, &found);
    return status;
}

static const char *truth(bool value)
{
    return value ? "true" : "false";
}

static int write_colors(struct nc_writer *writer, const char *key, const float colors[3])
{
    char text[3][NC_NUMBER_SIZE];
    for (int i = 0; i < 3; i++)
        nc_float_text(colors[i], text[i]);
    return nc_writer_printf(writer, ",\n  \"%s\": [%s, %s, %s]", key, text[0], text[1], text[2]);
}

int nc_preprocess_write(const char *path, const struct nc_preprocess *p)
{
    char factor[NC_NUMBER_SIZE], size[80];
    struct nc_writer *writer;
    int status = nc_writer_create(path, &writer);
    if (status != NC_OK)
        return status;
    if (p->shortest_edge)
        snprintf(size, sizeof size, "\"shortest_edge\": %zu", p->shortest_edge);
    else
        snprintf(size, sizeof size, "\"height\": %zu, \"width\": %zu", p->resize_height,
                 p->resize_width);
    /* Failures are remembered until commit. */
    (void)nc_writer_printf(writer,
                           "{\n  \"image_processor_type\": \"CLIPImageProcessor\",\n"
                           "  \"do_convert_rgb\": true,\n  \"do_resize\": %s,\n"
                           "  \"size\": {%s},\n  \"resample\": %d,\n  \"do_center_crop\": %s",
                           truth(p->do_resize), size, (int)p->resample, truth(p->do_center_crop));
    if (p->do_center_crop)
        (void)nc_writer_printf(writer, ",\n  \"crop_size\": {\"height\": %zu, \"width\": %zu}",
                               p->crop_height, p->crop_width);
    (void)nc_writer_printf(writer,
                           ",\n  \"do_rescale\": %s,\n  \"rescale_factor\": %s,\n"
                           "  \"do_normalize\": %s",
                           truth(p->do_rescale), nc_number_text(p->rescale_factor, factor),
                           truth(p->do_normalize));
    (void)write_colors(writer, "image_mean", p->image_mean);
    (void)write_colors(writer, "image_std", p->image_std);
    (void)nc_writer_printf(writer, "\n}\n");
    return nc_writer_commit(writer);
}

static const char *resample_name(enum nc_resample resample)
{
    return resample == NC_RESAMPLE_LANCZOS    ? "lanczos"
           : resample == NC_RESAMPLE_BILINEAR ? "bilinear"
                                              : "bicubic";
}

/* Nine digits tell all floats apart, seventeen all doubles. */
char *nc_preprocess_describe(const struct nc_preprocess *p)
{
    char resize[80] = "not resized", crop[64] = "not cropped", rescale[48] = "not rescaled";
    char normalize[160] = "not normalised", *line;
    if (p->do_resize && p->shortest_edge)
        snprintf(resize, sizeof resize, "shortest edge %zu %s", p->shortest_edge,
                 resample_name(p->resample));
    else if (p->do_resize)
        snprintf(resize, sizeof resize, "resized to %zux%zu %s", p->resize_width, p->resize_height,
                 resample_name(p->resample));
    if (p->do_center_crop)
        snprintf(crop, sizeof crop, "centre %zux%zu", p->crop_width, p->crop_height);
    if (p->do_rescale)
        snprintf(rescale, sizeof rescale, "times %.17g", p->rescale_factor);
    if (p->do_normalize)
        snprintf(normalize, sizeof normalize, "mean %.9g %.9g %.9g, std %.9g %.9g %.9g",
                 (double)p->image_mean[0], (double)p->image_mean[1], (double)p->image_mean[2],
                 (double)p->image_std[0], (double)p->image_std[1], (double)p->image_std[2]);
    if (asprintf(&line, "rgb, %s, %s, %s, %s", resize, crop, rescale, normalize) < 0)
        return NULL;
    return line;
}

/* ---- pictures ---- */

/* What the 256 levels of each colour become, rounded where numpy rounds: the product
 * in double, then fp32. */
static void make_levels(const struct nc_preprocess *p, float levels[3][256])
{
    for (int c = 0; c < 3; c++) {
        for (int level = 0; level < 256; level++) {
            float value = p->do_rescale ? (float)(level * p->rescale_factor) : (float)level;
            levels[c][level] =
                p->do_normalize ? (value - p->image_mean[c]) / p->image_std[c] : value;
        }
    }
}

/* The part of `image` in `box`. Where that lies inside, a view of the image itself;
 * otherwise of *copy, which the caller frees. */
static int crop_box(const struct nc_image *image, const double box[4], struct nc_image_view *view,
                    uint8_t **copy)
{
    double left = rint(box[0]), top = rint(box[1]);
    double right = rint(box[0] + box[2]), bottom = rint(box[1] + box[3]);
    double limit = 2 * NC_IMAGE_MAX_EDGE; /* false for NaN */
    if (!(fabs(left) <= limit && fabs(top) <= limit && fabs(right) <= limit &&
          fabs(bottom) <= limit))
        return nc_error(NC_BAD_INPUT,
                        "the box [%g, %g, %g, %g] is far outside a picture of %zu x "
                        "%zu pixels",
                        box[0], box[1], box[2], box[3], image->width, image->height);
    if (left >= right || top >= bottom)
        return nc_error(NC_BAD_INPUT, "the box [%g, %g, %g, %g] holds no pixel", box[0], box[1],
                        box[2], box[3]);
    ptrdiff_t x = (ptrdiff_t)left, y = (ptrdiff_t)top;
    size_t width = (size_t)(right - left), height = (size_t)(bottom - top);
    if (x >= 0 && y >= 0 && (size_t)x + width <= image->width &&
        (size_t)y + height <= image->height) {
        view->pixels = image->pixels + ((size_t)y * image->width + (size_t)x) * 3;
        view->width = width;
        view->height = height;
        view->stride = image->width * 3;
        return NC_OK;
    }
    if (width * height > NC_IMAGE_MAX_PIXELS)
        return nc_error(NC_BAD_INPUT, "the box [%g, %g, %g, %g] is larger than any picture", box[0],
                        box[1], box[2], box[3]);
    *copy = calloc(width * height, 3);
    if (!*copy)
        return nc_error(NC_FAILED, "no memory for %zu x %zu pixels", width, height);
    ptrdiff_t from = x < 0 ? 0 : x, to = x + (ptrdiff_t)width;
    if (to > (ptrdiff_t)image->width)
        to = (ptrdiff_t)image->width;
    for (size_t row = 0; row < height && from < to; row++) {
        ptrdiff_t source = y + (ptrdiff_t)row;
        if (source >= 0 && source < (ptrdiff_t)image->height)
            memcpy(*copy + (row * width + (size_t)(from - x)) * 3,
                   image->pixels + ((size_t)source * image->width + (size_t)from) * 3,
                   (size_t)(to - from) * 3);
    }
    *view = (struct nc_image_view){*copy, width, height, width * 3};
    return NC_OK;
}

/* One axis of the centre crop: `have` pixels to `want`. Too few are centred in black,
 * the odd one in front, as in transformers' center_crop(). */
static void center(size_t have, size_t want, size_t *skip, size_t *pad, size_t *take)
{
    *skip = have > want ? (have - want) / 2 : 0;
    *pad = have < want ? (want - have + 1) / 2 : 0;
    *take = have < want ? have : want;
}

int nc_image_preprocess(const struct nc_preprocess *p, const struct nc_image *image,
                        const double box[4], float *out)
{
    struct nc_image_view view = {image->pixels, image->width, image->height, image->width * 3};
    uint8_t *copy = NULL, *pixels = NULL, *window_pixels = NULL;
    int status = NC_OK;
    if (!image->pixels || !image->width || !image->height)
        return nc_error(NC_BAD_INPUT, "a picture without pixels");
    if (box)
        status = crop_box(image, box, &view, &copy);
    if (status != NC_OK)
        goto done;

    size_t width = view.width, height = view.height;
    if (p->do_resize && p->shortest_edge) {
        /* int(size * long / short) in Python: the exact quotient, rounded once, cut. */
        bool upright = width <= height;
        size_t shorter = upright ? width : height, longer = upright ? height : width;
        longer = (size_t)((double)(p->shortest_edge * longer) / (double)shorter);
        width = upright ? p->shortest_edge : longer;
        height = upright ? longer : p->shortest_edge;
    } else if (p->do_resize) {
        width = p->resize_width;
        height = p->resize_height;
    }
    size_t out_width = p->do_center_crop ? p->crop_width : width;
    size_t out_height = p->do_center_crop ? p->crop_height : height;
    struct nc_window window;
    size_t pad_left, pad_top;
    center(width, out_width, &window.left, &pad_left, &window.width);
    center(height, out_height, &window.top, &pad_top, &window.height);

    size_t count = out_width * out_height;
    bool padded = window.width < out_width || window.height < out_height;
    pixels = padded ? calloc(count, 3) : malloc(count * 3);
    window_pixels = padded ? malloc(window.width * window.height * 3) : pixels;
    if (!pixels || !window_pixels) {
        status = nc_error(NC_FAILED, "no memory for %zu x %zu pixels", out_width, out_height);
        goto done;
    }
    status = nc_resize_window(&view, width, height, p->resample, &window, window_pixels);
    if (status != NC_OK)
        goto done;
    for (size_t y = 0; padded && y < window.height; y++)
        memcpy(pixels + ((pad_top + y) * out_width + pad_left) * 3,
               window_pixels + y * window.width * 3, window.width * 3);

    float levels[3][256];
    make_levels(p, levels);
    for (size_t i = 0; i < count; i++)
        for (size_t c = 0; c < 3; c++)
            out[c * count + i] = levels[c][pixels[3 * i + c]];
done:
    if (window_pixels != pixels)
        free(window_pixels);
    free(pixels);
    free(copy);
    return status;
}
