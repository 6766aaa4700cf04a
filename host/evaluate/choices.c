/* choices and negrefcocog: one phrase and several pictures or boxes, or one picture and several
 * phrases, one of them right. The score is the share of right choices; the highest cosine is
 * chosen, the first of equals.
 *
 * NegRefCOCOg (Park et al., "Know 'No' Better", ICCV 2025, section 4; NegRefCOCOg.json and
 * negrefcocog_eval.py of github.com/parkquasar/NegationCLIP): 440 items over 402 pictures of COCO
 * train2014, two boxes each. A box is cropped out, then preprocessed like any picture; right when
 * the chosen box is ref_bbox.
 */
#include "choice_items.h"

#include "known_files.h"
#include "nclip/support/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int read_box(const char *where, const cJSON *array, double box[4])
{
    if (!cJSON_IsArray(array) || cJSON_GetArraySize(array) != 4)
        return nc_error(NC_BAD_INPUT, "%s: a box is four numbers: x, y, width, height", where);
    for (int i = 0; i < 4; i++) {
        const cJSON *number = cJSON_GetArrayItem(array, i);
        if (!cJSON_IsNumber(number) || !isfinite(number->valuedouble))
            return nc_error(NC_BAD_INPUT, "%s: a box is four numbers: x, y, width, height", where);
        box[i] = number->valuedouble;
    }
    return NC_OK;
}

/* The options of one item: strings of pictures or phrases, or boxes. */
static int read_options(struct nc_choice_items *items, const char *where, const cJSON *array,
                        const char *box_image, bool phrases)
{
    const cJSON *entry;
    cJSON_ArrayForEach(entry, array)
    {
        size_t index;
        double box[4];
        int status = NC_OK;
        if (box_image)
            status = read_box(where, entry, box);
        else if (!cJSON_IsString(entry))
            status = nc_error(NC_BAD_INPUT, "%s: \"%s\" must hold strings", where,
                              phrases ? "phrases" : "images");
        if (status == NC_OK && phrases)
            status = choice_items_phrase(items, entry->valuestring, &index);
        else if (status == NC_OK)
            status = choice_items_view(items, box_image ? box_image : entry->valuestring,
                                       box_image ? box : NULL, &index);
        if (status == NC_OK)
            status = choice_items_option(items, index);
        if (status != NC_OK)
            return status;
    }
    return NC_OK;
}

/* NegRefCOCOg says the answer by its box. */
static int find_reference(const char *where, const cJSON *object, const cJSON *boxes,
                          size_t *answer)
{
    double reference[4], box[4];
    const cJSON *array, *entry;
    int status = nc_json_array(where, object, "ref_bbox", &array);
    if (status == NC_OK)
        status = read_box(where, array, reference);
    size_t index = 0;
    cJSON_ArrayForEach(entry, boxes)
    {
        if (status == NC_OK)
            status = read_box(where, entry, box);
        if (status != NC_OK)
            return status;
        if (memcmp(box, reference, sizeof box) == 0) {
            *answer = index;
            return NC_OK;
        }
        index++;
    }
    return status == NC_OK
               ? nc_error(NC_BAD_INPUT, "%s: \"ref_bbox\" is not in \"bbox_list\"", where)
               : status;
}

static int read_item(struct nc_choice_items *items, const char *where, const cJSON *object)
{
    struct nc_choice_item item = {.first = items->option_count};
    const char *phrase = NULL, *image = NULL, *group = "";
    const cJSON *options = NULL;
    if (!cJSON_IsObject(object))
        return nc_error(NC_BAD_INPUT, "%s: is not an object", where);
    const cJSON *phrases = nc_json_member(object, "phrases");
    const cJSON *images = nc_json_member(object, "images");
    const cJSON *boxes = nc_json_member(object, "boxes");
    const cJSON *list = nc_json_member(object, "bbox_list");
    item.phrases_vary = phrases != NULL;
    int status = nc_json_optional_string(where, object, "group", &group);
    if (status == NC_OK && (phrases || !images))
        status = nc_json_string(where, object, "image", &image);
    if (status == NC_OK && !phrases)
        status = nc_json_string(where, object, "phrase", &phrase);
    if (status == NC_OK)
        status = phrases  ? nc_json_array(where, object, "phrases", &options)
                 : images ? nc_json_array(where, object, "images", &options)
                 : boxes  ? nc_json_array(where, object, "boxes", &options)
                          : nc_json_array(where, object, "bbox_list", &options);
    if (status == NC_OK)
        status = item.phrases_vary ? choice_items_view(items, image, NULL, &item.fixed)
                                   : choice_items_phrase(items, phrase, &item.fixed);
    if (status == NC_OK)
        status = read_options(items, where, options, phrases || images ? NULL : image,
                              item.phrases_vary);
    if (status == NC_OK)
        status = list && !boxes && !images && !phrases
                     ? find_reference(where, object, list, &item.answer)
                     : nc_json_size(where, object, "answer", &item.answer);
    return status == NC_OK ? choice_items_add(items, where, group, &item) : status;
}

int nc_choice_items_load(const char *path, struct nc_choice_items *items)
{
    cJSON *root = NULL;
    int status = choice_items_begin(items);
    if (status != NC_OK)
        return status;
    status = choice_items_load_json(items, path, &root);
    if (status == NC_OK && (!cJSON_IsArray(root) || !root->child))
        status = nc_error(NC_BAD_INPUT, "%s: expected a JSON array of items", path);
    const cJSON *object = status == NC_OK ? root->child : NULL;
    for (size_t index = 0; object && status == NC_OK; object = object->next, index++) {
        char where[512];
        snprintf(where, sizeof where, "%s item %zu", path, index);
        status = read_item(items, where, object);
    }
    if (status != NC_OK)
        nc_choice_items_free(items);
    return status;
}

static int run(const struct nc_benchmark *benchmark, struct nc_evaluator *evaluator,
               const struct nc_request *request, struct nc_result *result)
{
    struct nc_choice_items items;
    int status = nc_choice_items_load(request->annotations, &items);
    if (status != NC_OK)
        return status;
    if (strcmp(benchmark->name, "negrefcocog") == 0)
        known_file_check(request->annotations, "NegRefCOCOg.json", items.count);
    status = choice_items_evaluate(&items, evaluator, request, result);
    nc_choice_items_free(&items);
    return status;
}

const struct nc_benchmark nc_benchmark_choices = {
    .name = "choices",
    .definition = "share of items whose right option has the highest cosine",
    .annotations = true,
    .composes = true,
    .annotations_help =
        "a JSON array of items: {\"phrase\", \"images\", \"answer\"}, "
        "{\"phrase\", \"image\", \"boxes\", \"answer\"} or {\"image\", \"phrases\", \"answer\"}",
    .run = run,
};

const struct nc_benchmark nc_benchmark_negrefcocog = {
    .name = "negrefcocog",
    .definition = "share of items whose referred box, cropped out of the picture, has the highest "
                  "cosine with the phrase, of two boxes (Park et al. 2025)",
    .annotations = true,
    .composes = true,
    .annotations_help = "NegRefCOCOg.json, whose pictures are COCO's train2014",
    .run = run,
};
