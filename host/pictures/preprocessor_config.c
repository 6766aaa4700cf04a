/* Reads and writes the preprocessing that a model's folder asks for (preprocessor_config.json). */
#include "nclip/pictures/image.h"

#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* Every key that transformers' image processors of this kind have, and that this program writes. */
static const char *const followed[] = {
    "do_resize",      "size",           "default_to_square", "use_square_size",
    "resample",       "crop_size",      "do_rescale",        "rescale_factor",
    "do_center_crop", "do_normalize",   "image_mean",        "image_std",
    "do_pad",         "do_convert_rgb", "transparency",      NULL};

/* Keys that leave the pixels of one picture alone. pad_size needs do_pad. */
static const char *const idle[] = {
    "image_processor_type", "feature_extractor_type", "processor_class",   "auto_map",
    "transformers_version", "name_or_path",           "tokenizer_class",   "pad_size",
    "data_format",          "input_data_format",      "return_tensors",    "device",
    "disable_grouping",     "image_seq_length",       "model_input_names", NULL};

static bool is_one_of(const char *const *names, const char *name)
{
    while (*names && strcmp(*names, name) != 0)
        names++;
    return *names;
}

/* A key that is read past may change pixels. */
static int check_keys(const char *where, const cJSON *object)
{
    const cJSON *member;
    cJSON_ArrayForEach(member, object)
    {
        bool off = cJSON_IsNull(member) || cJSON_IsFalse(member);
        if (off || member->string[0] == '_' || is_one_of(followed, member->string) ||
            is_one_of(idle, member->string))
            continue;
        return nc_error(NC_BAD_INPUT,
                        "%s: \"%.60s\" may change pixels, and nclip does not know how; take it out "
                        "if it does not",
                        where, member->string);
    }
    return NC_OK;
}

/* CLIP's processors crop, and have CLIP's values where a key is absent. Others do not crop unless
 * they say so, and have values of their own: what they leave out is not known here. */
static int read_type(const char *where, const cJSON *object, struct nc_preprocess *p)
{
    static const char *const needed[] = {"size",         "resample",   "rescale_factor",
                                         "do_normalize", "image_mean", "image_std",
                                         "do_resize",    "do_rescale", NULL};
    const char *type = NULL;
    int status = nc_json_optional_string(where, object, "feature_extractor_type", &type);
    if (status == NC_OK)
        status = nc_json_optional_string(where, object, "image_processor_type", &type);
    if (status != NC_OK || !type || strncmp(type, "CLIP", 4) == 0)
        return status;
    p->do_center_crop = false;
    for (size_t i = 0; needed[i]; i++) {
        const cJSON *item = nc_json_member(object, needed[i]);
        if (!item || cJSON_IsNull(item))
            return nc_error(
                NC_BAD_INPUT,
                "%s: leaves \"%s\" to the defaults of %.60s, which are not CLIP's; write "
                "it out",
                where, needed[i], type);
    }
    return NC_OK;
}

static int read_resizing(const char *where, const cJSON *object, struct nc_preprocess *p)
{
    const cJSON *size = nc_json_member(object, "size");
    bool square_number = !p->do_center_crop; /* of CLIP's processors false, of the others true */
    bool square = false;                     /* KOSMOS-2's name */
    int status = nc_json_optional_bool(where, object, "do_resize", &p->do_resize);
    if (status == NC_OK)
        status = nc_json_optional_bool(where, object, "default_to_square", &square_number);
    if (status == NC_OK)
        status = nc_json_optional_bool(where, object, "use_square_size", &square);
    if (status == NC_OK && size && !cJSON_IsNull(size))
        status =
            read_size(where, "size", size, &p->shortest_edge, &p->resize_height, &p->resize_width);
    if (status == NC_OK && p->shortest_edge &&
        (square || (square_number && cJSON_IsNumber(size)))) {
        p->resize_height = p->resize_width = p->shortest_edge;
        p->shortest_edge = 0;
    }
    return status == NC_OK ? read_resample(where, object, &p->resample) : status;
}

static int read_cropping(const char *where, const cJSON *object, struct nc_preprocess *p)
{
    const cJSON *crop = nc_json_member(object, "crop_size");
    bool pad = false;
    int status = nc_json_optional_bool(where, object, "do_center_crop", &p->do_center_crop);
    if (status == NC_OK && crop && !cJSON_IsNull(crop))
        status = read_size(where, "crop_size", crop, NULL, &p->crop_height, &p->crop_width);
    if (status == NC_OK)
        status = nc_json_optional_bool(where, object, "do_pad", &pad);
    if (status == NC_OK && pad)
        status = nc_error(NC_BAD_INPUT, "%s: \"do_pad\" is set, which CLIP does not know", where);
    return status;
}

static int read_numbers(const char *where, const cJSON *object, struct nc_preprocess *p)
{
    int status = nc_json_optional_bool(where, object, "do_rescale", &p->do_rescale);
    if (status == NC_OK)
        status = nc_json_optional_number(where, object, "rescale_factor", &p->rescale_factor);
    if (status == NC_OK)
        status = nc_json_optional_bool(where, object, "do_normalize", &p->do_normalize);
    if (status == NC_OK)
        status = read_colors(where, "image_mean", object, p->image_mean);
    if (status == NC_OK)
        status = read_colors(where, "image_std", object, p->image_std);
    if (status != NC_OK)
        return status;
    if (!isfinite(p->rescale_factor))
        return nc_error(NC_BAD_INPUT, "%s: \"rescale_factor\" is not finite", where);
    for (int i = 0; p->do_normalize && i < 3; i++)
        if (p->image_std[i] == 0)
            return nc_error(NC_BAD_INPUT, "%s: \"image_std\" is 0", where);
    return NC_OK;
}

static int read_conversion(const char *where, const cJSON *object, struct nc_preprocess *p)
{
    bool convert = true;
    const char *transparency = NULL;
    int status = nc_json_optional_bool(where, object, "do_convert_rgb", &convert);
    if (status == NC_OK)
        status = nc_json_optional_string(where, object, "transparency", &transparency);
    if (status != NC_OK)
        return status;
    if (!convert)
        return nc_error(NC_BAD_INPUT,
                        "%s: \"do_convert_rgb\" is false: grey and transparent pictures would have "
                        "other channels than the vision tower takes; set it to true",
                        where);
    if (transparency && !nc_preprocess_choose(p, transparency, p->reading.strict))
        return nc_error(NC_BAD_INPUT, "%s: \"transparency\" is \"%.40s\", not drop or white", where,
                        transparency);
    return NC_OK;
}

bool nc_preprocess_choose(struct nc_preprocess *preprocess, const char *transparency, bool strict)
{
    preprocess->reading.strict = strict;
    for (size_t i = 0; transparency && nc_transparency_names[i]; i++)
        if (strcmp(transparency, nc_transparency_names[i]) == 0) {
            preprocess->reading.transparency = (enum nc_transparency)i;
            return true;
        }
    return !transparency;
}

int nc_preprocess_parse(const char *where, const cJSON *object, size_t image_size,
                        struct nc_preprocess *preprocess)
{
    struct nc_preprocess p;
    nc_preprocess_default(image_size, &p);
    if (!cJSON_IsObject(object))
        return nc_error(NC_BAD_INPUT, "%s: not an object of preprocessing settings", where);
    int status = check_keys(where, object);
    if (status == NC_OK)
        status = read_type(where, object, &p);
    if (status == NC_OK)
        status = read_resizing(where, object, &p);
    if (status == NC_OK)
        status = read_cropping(where, object, &p);
    if (status == NC_OK)
        status = read_numbers(where, object, &p);
    if (status == NC_OK)
        status = read_conversion(where, object, &p);
    if (status != NC_OK)
        return status;

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
            /* Only transformers 5 writes the processor's parts into one file. */
            if (status == NC_OK && member && !cJSON_HasObjectItem(object, "transparency"))
                preprocess->reading.transparency = NC_TRANSPARENCY_WHITE;
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
    if (p->reading.transparency != NC_TRANSPARENCY_DROP)
        (void)nc_writer_printf(writer, ",\n  \"transparency\": \"%s\"",
                               nc_transparency_name(p->reading.transparency));
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
    const char *rgb = p->reading.transparency == NC_TRANSPARENCY_WHITE ? "rgb on white" : "rgb";
    if (asprintf(&line, "%s, %s, %s, %s, %s", rgb, resize, crop, rescale, normalize) < 0)
        return NULL;
    return line;
}
