/* Building NegRefCOCOg from RefCOCOg (Mao et al., CVPR 2016; the umd split of
 * github.com/lichengunc/refer), by the rule of Park et al. (ICCV 2025, section 4): expressions that
 * hold a negation word (not, no, without) and whose picture holds another object of the same
 * category.
 *
 * What the paper leaves open was read off its published file: every item has two boxes, the
 * referred one first, so pictures with exactly two objects of the category are taken (crowds do not
 * count); the counts by word (200, 144, 99) are of words, of which an expression may hold several;
 * and the boxes look enlarged by 100 pixels on every side, within the picture, which is the default
 * margin. RefCOCOg itself is not at hand here to confirm that this gives the same 440 items.
 *
 *     refs       a JSON form of "refs(umd).p":
 *                python3 -c 'import json, pickle; json.dump(pickle.load(open("refs(umd).p", "rb")),
 *                    open("refs.json", "w"))'
 *                [{"ann_id": 1, "sentences": [{"sent": "..."}], ...}, ...]
 *     instances  instances.json beside it, as of COCO: images (id, file_name, width, height),
 *                annotations (id, image_id, category_id, bbox, iscrowd)
 */
#include "nclip/evaluate/evaluate.h"

#include "nclip/formats/json.h"
#include "nclip/negation/words.h"
#include "nclip/support/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct picture {
    size_t id;
    const char *name;
    double width, height;
    bool used;
};

struct object {
    size_t id, picture_id, category;
    double box[4];
    bool crowd;
};

struct instances {
    struct picture *pictures;           /* by id */
    struct object *by_id, *by_category; /* both hold all objects; by picture, category and id */
    size_t picture_count, object_count;
};

/* ---- Reading instances --------------------------------------------------------------------- */

static int read_picture(const char *where, const cJSON *entry, struct picture *picture)
{
    int status = nc_json_id_number(where, entry, "id", &picture->id);
    if (status == NC_OK)
        status = nc_json_string(where, entry, "file_name", &picture->name);
    if (status == NC_OK)
        status = nc_json_number(where, entry, "width", &picture->width);
    if (status == NC_OK)
        status = nc_json_number(where, entry, "height", &picture->height);
    return status;
}

static int read_object(const char *where, const cJSON *entry, struct object *object)
{
    const cJSON *box, *number;
    size_t crowd = 0, i = 0;
    int status = nc_json_id_number(where, entry, "id", &object->id);
    if (status == NC_OK)
        status = nc_json_id_number(where, entry, "image_id", &object->picture_id);
    if (status == NC_OK)
        status = nc_json_id_number(where, entry, "category_id", &object->category);
    if (status == NC_OK)
        status = nc_json_optional_size(where, entry, "iscrowd", &crowd);
    if (status == NC_OK)
        status = nc_json_array(where, entry, "bbox", &box);
    if (status != NC_OK)
        return status;
    object->crowd = crowd != 0;
    cJSON_ArrayForEach(number, box)
    {
        if (i < 4 && cJSON_IsNumber(number) && isfinite(number->valuedouble))
            object->box[i] = number->valuedouble;
        else
            i = 4;
        i++;
    }
    return i == 4 ? NC_OK
                  : nc_error(NC_BAD_INPUT, "%s: \"bbox\" is not four numbers: x, y, width, height",
                             where);
}

static int compare(size_t a, size_t b)
{
    return (a > b) - (a < b);
}

static int picture_order(const void *a, const void *b)
{
    return compare(((const struct picture *)a)->id, ((const struct picture *)b)->id);
}

static int object_order(const void *a, const void *b)
{
    return compare(((const struct object *)a)->id, ((const struct object *)b)->id);
}

static int category_order(const void *a, const void *b)
{
    const struct object *x = a, *y = b;
    int order = compare(x->picture_id, y->picture_id);
    return order ? order : compare(x->category, y->category);
}

static void instances_free(struct instances *instances)
{
    free(instances->pictures);
    free(instances->by_id);
    free(instances->by_category);
}

static int read_instances(const char *path, const cJSON *root, struct instances *instances)
{
    const cJSON *pictures, *objects, *entry;
    char where[512];
    int status = nc_json_array(path, root, "images", &pictures);
    if (status == NC_OK)
        status = nc_json_array(path, root, "annotations", &objects);
    if (status != NC_OK)
        return status;
    size_t picture_count = (size_t)cJSON_GetArraySize(pictures);
    size_t object_count = (size_t)cJSON_GetArraySize(objects);
    instances->pictures = calloc(picture_count + 1, sizeof *instances->pictures);
    instances->by_id = calloc(object_count + 1, sizeof *instances->by_id);
    instances->by_category = calloc(object_count + 1, sizeof *instances->by_category);
    if (!instances->pictures || !instances->by_id || !instances->by_category)
        return nc_error(NC_FAILED, "%s: no memory", path);
    cJSON_ArrayForEach(entry, pictures)
    {
        snprintf(where, sizeof where, "%s: images[%zu]", path, instances->picture_count);
        status = read_picture(where, entry, &instances->pictures[instances->picture_count++]);
        if (status != NC_OK)
            return status;
    }
    cJSON_ArrayForEach(entry, objects)
    {
        snprintf(where, sizeof where, "%s: annotations[%zu]", path, instances->object_count);
        status = read_object(where, entry, &instances->by_id[instances->object_count++]);
        if (status != NC_OK)
            return status;
    }
    memcpy(instances->by_category, instances->by_id, object_count * sizeof *instances->by_id);
    qsort(instances->pictures, picture_count, sizeof *instances->pictures, picture_order);
    qsort(instances->by_id, object_count, sizeof *instances->by_id, object_order);
    qsort(instances->by_category, object_count, sizeof *instances->by_category, category_order);
    return NC_OK;
}

/* The one other object of the category in the picture; NULL when there is none, or more. */
static const struct object *find_other(const struct instances *instances,
                                       const struct object *object)
{
    const struct object *all = instances->by_category, *other = NULL;
    const struct object *at =
        bsearch(object, all, instances->object_count, sizeof *all, category_order);
    while (at > all && category_order(at - 1, object) == 0)
        at--;
    for (; at < all + instances->object_count && category_order(at, object) == 0; at++) {
        if (at->id == object->id || at->crowd)
            continue;
        if (other)
            return NULL;
        other = at;
    }
    return other;
}

/* ---- Items --------------------------------------------------------------------------------- */

/* Counts the three words; false when there is none. */
static bool count_words(const char *text, struct nc_negrefcocog_counts *counts)
{
    struct nc_negation_match match = {0};
    bool any = false;
    for (size_t from = 0; nc_negation_find(text, strlen(text), from, &match); from = match.end) {
        const char *word = nc_negation_word(match.word);
        size_t *count = strcmp(word, "not") == 0       ? &counts->word_not
                        : strcmp(word, "no") == 0      ? &counts->word_no
                        : strcmp(word, "without") == 0 ? &counts->word_without
                                                       : NULL;
        if (count)
            ++*count;
        any |= count != NULL;
    }
    return any;
}

static cJSON *enlarged_box(const struct object *object, const struct picture *picture,
                           double margin)
{
    double left = fmax(0, object->box[0] - margin), top = fmax(0, object->box[1] - margin);
    double right = fmin(picture->width, object->box[0] + object->box[2] + margin);
    double bottom = fmin(picture->height, object->box[1] + object->box[3] + margin);
    return cJSON_CreateDoubleArray((double[]){left, top, right - left, bottom - top}, 4);
}

static int add_item(cJSON *items, const char *phrase, const struct picture *picture,
                    const struct object *object, const struct object *other, double margin)
{
    cJSON *item = cJSON_CreateObject(), *boxes;
    bool made = item && cJSON_AddItemToArray(items, item) &&
                cJSON_AddStringToObject(item, "image", picture->name) &&
                cJSON_AddStringToObject(item, "phrase", phrase) &&
                cJSON_AddItemToObject(item, "ref_bbox", enlarged_box(object, picture, margin)) &&
                (boxes = cJSON_AddArrayToObject(item, "bbox_list")) &&
                cJSON_AddItemToArray(boxes, enlarged_box(object, picture, margin)) &&
                cJSON_AddItemToArray(boxes, enlarged_box(other, picture, margin));
    return made ? NC_OK : nc_error(NC_FAILED, "negrefcocog: no memory");
}

static int read_ref(const char *where, const cJSON *ref, const struct instances *instances,
                    double margin, cJSON *items, struct nc_negrefcocog_counts *counts)
{
    const cJSON *sentences, *sentence;
    const char *phrase;
    struct object key = {0};
    int status = nc_json_id_number(where, ref, "ann_id", &key.id);
    if (status == NC_OK)
        status = nc_json_array(where, ref, "sentences", &sentences);
    if (status != NC_OK)
        return status;
    const struct object *object = bsearch(&key, instances->by_id, instances->object_count,
                                          sizeof *instances->by_id, object_order);
    if (!object)
        return nc_error(NC_BAD_INPUT, "%s: its ann_id %zu is not among the annotations", where,
                        key.id);
    const struct object *other = find_other(instances, object);
    struct picture *picture =
        bsearch(&(struct picture){.id = object->picture_id}, instances->pictures,
                instances->picture_count, sizeof *instances->pictures, picture_order);
    if (!picture)
        return nc_error(NC_BAD_INPUT, "%s: the picture %zu of its object is not among the images",
                        where, object->picture_id);
    cJSON_ArrayForEach(sentence, sentences)
    {
        struct nc_negrefcocog_counts with = *counts;
        status = nc_json_string(where, sentence, "sent", &phrase);
        if (status != NC_OK)
            return status;
        counts->expressions++;
        with.expressions++;
        if (!count_words(phrase, &with))
            continue;
        counts->negated++;
        if (!other)
            continue;
        with.negated++;
        with.items++;
        with.pictures += !picture->used;
        picture->used = true;
        *counts = with;
        status = add_item(items, phrase, picture, object, other, margin);
        if (status != NC_OK)
            return status;
    }
    return NC_OK;
}

int nc_negrefcocog_build(const struct nc_negrefcocog_options *options,
                         struct nc_negrefcocog_counts *counts)
{
    cJSON *refs = NULL, *root = NULL, *items = cJSON_CreateArray();
    struct instances instances = {0};
    size_t index = 0;
    *counts = (struct nc_negrefcocog_counts){0};
    int status = items ? NC_OK : nc_error(NC_FAILED, "negrefcocog: no memory");
    if (status == NC_OK)
        status = nc_json_load(options->instances, &root);
    if (status == NC_OK)
        status = read_instances(options->instances, root, &instances);
    if (status == NC_OK)
        status = nc_json_load(options->refs, &refs);
    if (status == NC_OK && !cJSON_IsArray(refs))
        status = nc_error(NC_BAD_INPUT, "%s: expected a JSON array of refs", options->refs);
    const cJSON *ref = status == NC_OK ? refs->child : NULL;
    for (; ref && status == NC_OK; ref = ref->next, index++) {
        char where[512];
        snprintf(where, sizeof where, "%s: [%zu]", options->refs, index);
        status = read_ref(where, ref, &instances, options->margin, items, counts);
    }
    if (status == NC_OK && !counts->items)
        status =
            nc_error(NC_BAD_INPUT,
                     "%s: no expression holds a negation and has another object of its category",
                     options->refs);
    if (status == NC_OK)
        status = nc_json_write(options->out, items, true);
    else
        cJSON_Delete(items);
    instances_free(&instances);
    cJSON_Delete(refs);
    cJSON_Delete(root);
    return status;
}
