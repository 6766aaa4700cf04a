#include "nclip/evaluate.h"

#include "nclip/error.h"
#include "nclip/json.h"
#include "nclip/string_map.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct owned {
    cJSON *root; /* strings point into it */
    struct nc_string_map *phrases, *images, *groups;
    size_t *last_view; /* [images] newest view of each picture + 1; 0: none */
    size_t *next_view; /* [views] the one before it of the same picture + 1 */
    size_t item_capacity, option_capacity;
};

/* ---- Things that stand in the file many times and are kept once -------------------------- */

/* Makes room for one more element; the capacity doubles. */
static int grow(void **array, size_t *capacity, size_t count, size_t size)
{
    if (count < *capacity)
        return NC_OK;
    size_t larger = *capacity ? 2 * *capacity : 256;
    void *moved = realloc(*array, larger * size);
    if (!moved)
        return nc_error(NC_FAILED, "evaluate: no memory");
    *array = moved;
    *capacity = larger;
    return NC_OK;
}

/* The same for an array whose capacity is the next power of two of its count. */
static int append(void **array, size_t count, const void *value, size_t size)
{
    if ((count & (count - 1)) == 0) {
        void *moved = realloc(*array, (count ? 2 * count : 1) * size);
        if (!moved)
            return nc_error(NC_FAILED, "evaluate: no memory");
        *array = moved;
    }
    memcpy((char *)*array + count * size, value, size);
    return NC_OK;
}

static int add_string(struct nc_string_map *map, const char *text, const char ***strings,
                      size_t *count, size_t *index)
{
    int status = nc_string_map_add(map, text, *count, index);
    if (status != NC_OK || *index != *count)
        return status;
    void *array = *strings;
    status = append(&array, *count, &text, sizeof text);
    *strings = array;
    *count += status == NC_OK;
    return status;
}

static int add_phrase(struct nc_choice_items *items, const char *text, size_t *index)
{
    struct owned *owned = items->owned;
    return add_string(owned->phrases, text, &items->phrases, &items->phrase_count, index);
}

static int add_image(struct nc_choice_items *items, const char *name, size_t *index)
{
    struct owned *owned = items->owned;
    size_t before = items->image_count, none = 0;
    int status = add_string(owned->images, name, &items->images, &items->image_count, index);
    if (status == NC_OK && items->image_count != before) {
        void *heads = owned->last_view;
        status = append(&heads, before, &none, sizeof none);
        owned->last_view = heads;
    }
    return status;
}

static bool view_equal(const struct nc_view *a, const struct nc_view *b)
{
    return a->has_box == b->has_box && (!a->has_box || memcmp(a->box, b->box, sizeof a->box) == 0);
}

static int add_view(struct nc_choice_items *items, const char *image, const double *box, size_t *index)
{
    struct owned *owned = items->owned;
    struct nc_view view = {.has_box = box != NULL};
    int status = add_image(items, image, &view.image);
    if (status != NC_OK)
        return status;
    if (box)
        memcpy(view.box, box, sizeof view.box);
    for (size_t at = owned->last_view[view.image]; at; at = owned->next_view[at - 1]) {
        if (view_equal(&items->views[at - 1], &view)) {
            *index = at - 1;
            return NC_OK;
        }
    }
    void *views = items->views, *links = owned->next_view;
    status = append(&views, items->view_count, &view, sizeof view);
    items->views = views;
    if (status == NC_OK)
        status = append(&links, items->view_count, &owned->last_view[view.image], sizeof(size_t));
    owned->next_view = links;
    if (status != NC_OK)
        return status;
    *index = items->view_count++;
    owned->last_view[view.image] = items->view_count;
    return NC_OK;
}

/* ---- Reading ------------------------------------------------------------------------------ */

static int add_option(struct nc_choice_items *items, size_t index)
{
    struct owned *owned = items->owned;
    void *options = items->option;
    int status = grow(&options, &owned->option_capacity, items->option_count, sizeof index);
    items->option = options;
    if (status == NC_OK)
        items->option[items->option_count++] = index;
    return status;
}

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
            status = add_phrase(items, entry->valuestring, &index);
        else if (status == NC_OK)
            status = add_view(items, box_image ? box_image : entry->valuestring,
                              box_image ? box : NULL, &index);
        if (status == NC_OK)
            status = add_option(items, index);
        if (status != NC_OK)
            return status;
    }
    return NC_OK;
}

/* NegRefCOCOg says the answer by its box. */
static int find_reference(const char *where, const cJSON *object, const cJSON *boxes, size_t *answer)
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
    return status == NC_OK ? nc_error(NC_BAD_INPUT, "%s: \"ref_bbox\" is not in \"bbox_list\"", where) : status;
}

static int read_item(struct nc_choice_items *items, const char *where, const cJSON *object)
{
    struct owned *owned = items->owned;
    struct nc_choice_item item = {.first = items->option_count};
    const char *phrase = NULL, *image = NULL, *group = "";
    const cJSON *options = NULL;
    if (!cJSON_IsObject(object))
        return nc_error(NC_BAD_INPUT, "%s: is not an object", where);
    const cJSON *phrases = cJSON_GetObjectItemCaseSensitive(object, "phrases");
    const cJSON *images = cJSON_GetObjectItemCaseSensitive(object, "images");
    const cJSON *boxes = cJSON_GetObjectItemCaseSensitive(object, "boxes");
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(object, "bbox_list");
    item.phrases_vary = phrases != NULL;
    int status = nc_json_optional_string(where, object, "group", &group);
    if (status == NC_OK && !images)
        status = nc_json_string(where, object, "image", &image);
    if (status == NC_OK && !phrases)
        status = nc_json_string(where, object, "phrase", &phrase);
    if (status == NC_OK)
        status = phrases  ? nc_json_array(where, object, "phrases", &options)
                 : images ? nc_json_array(where, object, "images", &options)
                 : boxes  ? nc_json_array(where, object, "boxes", &options)
                          : nc_json_array(where, object, "bbox_list", &options);
    if (status == NC_OK)
        status = item.phrases_vary ? add_view(items, image, NULL, &item.fixed)
                                   : add_phrase(items, phrase, &item.fixed);
    if (status == NC_OK)
        status = read_options(items, where, options, phrases || images ? NULL : image, item.phrases_vary);
    if (status == NC_OK)
        status = list && !boxes && !images && !phrases
                     ? find_reference(where, object, list, &item.answer)
                     : nc_json_size(where, object, "answer", &item.answer);
    item.count = items->option_count - item.first;
    if (status == NC_OK && item.count < 2)
        status = nc_error(NC_BAD_INPUT, "%s: has %zu options; choosing needs two", where, item.count);
    if (status == NC_OK && item.answer >= item.count)
        status = nc_error(NC_BAD_INPUT, "%s: \"answer\" is %zu, but the options are numbered 0 to %zu",
                          where, item.answer, item.count - 1);
    if (status == NC_OK)
        status = add_string(owned->groups, group, &items->groups, &items->group_count, &item.group);
    if (status == NC_OK) {
        void *array = items->items;
        status = grow(&array, &owned->item_capacity, items->count, sizeof item);
        items->items = array;
    }
    if (status == NC_OK)
        items->items[items->count++] = item;
    return status;
}

int nc_choice_items_load(const char *path, struct nc_choice_items *items)
{
    *items = (struct nc_choice_items){0};
    struct owned *owned = calloc(1, sizeof *owned);
    if (!owned)
        return nc_error(NC_FAILED, "evaluate: no memory");
    items->owned = owned;
    size_t index = 0;
    int status = nc_json_load(path, &owned->root);
    if (status == NC_OK && (!cJSON_IsArray(owned->root) || !owned->root->child))
        status = nc_error(NC_BAD_INPUT, "%s: expected a JSON array of items", path);
    if (status == NC_OK)
        status = nc_string_map_create(&owned->phrases);
    if (status == NC_OK)
        status = nc_string_map_create(&owned->images);
    if (status == NC_OK)
        status = nc_string_map_create(&owned->groups);
    if (status == NC_OK)
        status = add_string(owned->groups, "", &items->groups, &items->group_count, &index);
    const cJSON *object = status == NC_OK ? owned->root->child : NULL;
    for (index = 0; object && status == NC_OK; object = object->next, index++) {
        char where[512];
        snprintf(where, sizeof where, "%s item %zu", path, index);
        status = read_item(items, where, object);
    }
    if (status != NC_OK)
        nc_choice_items_free(items);
    return status;
}

void nc_choice_items_free(struct nc_choice_items *items)
{
    struct owned *owned = items->owned;
    if (owned) {
        cJSON_Delete(owned->root);
        nc_string_map_destroy(owned->phrases);
        nc_string_map_destroy(owned->images);
        nc_string_map_destroy(owned->groups);
        free(owned->last_view);
        free(owned->next_view);
        free(owned);
    }
    free(items->items);
    free(items->option);
    free(items->phrases);
    free(items->views);
    free(items->images);
    free(items->groups);
    *items = (struct nc_choice_items){0};
}

/* ---- Deciding ------------------------------------------------------------------------------ */

void nc_choices_decide(const struct nc_choice_items *items, const float *phrase_features,
                       const float *view_features, size_t embedding, float *scores, size_t *choices)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < items->count; i++) {
        const struct nc_choice_item *item = &items->items[i];
        const float *fixed = (item->phrases_vary ? view_features : phrase_features) + item->fixed * embedding;
        const float *varying = item->phrases_vary ? phrase_features : view_features;
        choices[i] = 0;
        for (size_t k = 0; k < item->count; k++) {
            const float *other = varying + items->option[item->first + k] * embedding;
            float dot = 0;
            for (size_t d = 0; d < embedding; d++)
                dot += fixed[d] * other[d];
            scores[item->first + k] = dot;
            if (dot > scores[item->first + choices[i]])
                choices[i] = k;
        }
    }
}
