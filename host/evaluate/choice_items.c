/* Collects a benchmark's items, encodes their pictures and phrases, chooses by the highest cosine
 * and writes the result. */
#include "choice_items.h"

#include "nclip/formats/text.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/string_map.h"
#include "samples.h"

#include <stdlib.h>
#include <string.h>

struct kept {
    struct kept *next;
    void *data;
    void (*release)(void *);
};

struct owned {
    struct kept *kept; /* strings point into it */
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

int choice_items_phrase(struct nc_choice_items *items, const char *text, size_t *index)
{
    struct owned *owned = items->owned;
    return add_string(owned->phrases, text, &items->phrases, &items->phrase_count, index);
}

static int add_image(struct nc_choice_items *items, const char *name, size_t *index)
{
    struct owned *owned = items->owned;
    struct nc_views *views = &items->views;
    size_t before = views->image_count, none = 0;
    int status = add_string(owned->images, name, &views->images, &views->image_count, index);
    if (status == NC_OK && views->image_count != before) {
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

int choice_items_view(struct nc_choice_items *items, const char *image, const double *box,
                      size_t *index)
{
    struct owned *owned = items->owned;
    struct nc_views *views = &items->views;
    struct nc_view view = {.has_box = box != NULL};
    int status = add_image(items, image, &view.image);
    if (status != NC_OK)
        return status;
    if (box)
        memcpy(view.box, box, sizeof view.box);
    for (size_t at = owned->last_view[view.image]; at; at = owned->next_view[at - 1]) {
        if (view_equal(&views->items[at - 1], &view)) {
            *index = at - 1;
            return NC_OK;
        }
    }
    void *array = views->items, *links = owned->next_view;
    status = append(&array, views->count, &view, sizeof view);
    views->items = array;
    if (status == NC_OK)
        status = append(&links, views->count, &owned->last_view[view.image], sizeof(size_t));
    owned->next_view = links;
    if (status != NC_OK)
        return status;
    *index = views->count++;
    owned->last_view[view.image] = views->count;
    return NC_OK;
}

/* ---- Items ---------------------------------------------------------------------------------- */

int choice_items_begin(struct nc_choice_items *items)
{
    *items = (struct nc_choice_items){0};
    struct owned *owned = calloc(1, sizeof *owned);
    if (!owned)
        return nc_error(NC_FAILED, "evaluate: no memory");
    items->owned = owned;
    size_t index;
    int status = nc_string_map_create(&owned->phrases);
    if (status == NC_OK)
        status = nc_string_map_create(&owned->images);
    if (status == NC_OK)
        status = nc_string_map_create(&owned->groups);
    if (status == NC_OK)
        status = add_string(owned->groups, "", &items->groups, &items->group_count, &index);
    if (status != NC_OK)
        nc_choice_items_free(items);
    return status;
}

int choice_items_keep(struct nc_choice_items *items, void *data, void (*release)(void *))
{
    struct owned *owned = items->owned;
    struct kept *kept = malloc(sizeof *kept);
    if (!kept) {
        release(data);
        return nc_error(NC_FAILED, "evaluate: no memory");
    }
    *kept = (struct kept){owned->kept, data, release};
    owned->kept = kept;
    return NC_OK;
}

int choice_items_is_table(const char *path, bool *table)
{
    enum nc_kind kind = NC_KIND_JSON; /* of standard input, which is read once */
    int status = strcmp(path, "-") == 0 ? NC_OK : nc_text_kind_of_file(path, &kind);
    /* A table that is not well-formed is told by its name, and its reader says what is wrong. */
    *table = kind == NC_KIND_CSV || kind == NC_KIND_TSV ||
             (kind == NC_KIND_TEXT && nc_path_ends(path, ".csv")) ||
             (kind == NC_KIND_EMPTY && nc_path_ends(path, ".csv"));
    return status;
}

static void release_json(void *root)
{
    cJSON_Delete(root);
}

int choice_items_load_json(struct nc_choice_items *items, const char *path, cJSON **root)
{
    int status = nc_json_load(path, root);
    return status == NC_OK ? choice_items_keep(items, *root, release_json) : status;
}

static void release_csv(void *csv)
{
    nc_csv_free(csv);
    free(csv);
}

int choice_items_load_csv(struct nc_choice_items *items, const char *path, struct nc_csv **csv)
{
    *csv = calloc(1, sizeof **csv);
    if (!*csv)
        return nc_error(NC_FAILED, "evaluate: no memory");
    int status = nc_csv_load(path, *csv);
    if (status == NC_OK)
        return choice_items_keep(items, *csv, release_csv);
    free(*csv);
    *csv = NULL;
    return status;
}

int choice_items_option(struct nc_choice_items *items, size_t index)
{
    struct owned *owned = items->owned;
    void *options = items->option;
    int status = grow(&options, &owned->option_capacity, items->option_count, sizeof index);
    items->option = options;
    if (status == NC_OK)
        items->option[items->option_count++] = index;
    return status;
}

int choice_items_add(struct nc_choice_items *items, const char *where, const char *group,
                     struct nc_choice_item *item)
{
    struct owned *owned = items->owned;
    item->count = items->option_count - item->first;
    if (item->count < 2)
        return nc_error(NC_BAD_INPUT, "%s: has %zu options; choosing needs two", where,
                        item->count);
    if (item->answer >= item->count)
        return nc_error(NC_BAD_INPUT,
                        "%s: \"answer\" is %zu, but the options are numbered 0 to %zu", where,
                        item->answer, item->count - 1);
    int status =
        add_string(owned->groups, group, &items->groups, &items->group_count, &item->group);
    if (status == NC_OK) {
        void *array = items->items;
        status = grow(&array, &owned->item_capacity, items->count, sizeof *item);
        items->items = array;
    }
    if (status == NC_OK)
        items->items[items->count++] = *item;
    return status;
}

void nc_choice_items_free(struct nc_choice_items *items)
{
    struct owned *owned = items->owned;
    if (owned) {
        for (struct kept *kept = owned->kept, *next; kept; kept = next) {
            next = kept->next;
            kept->release(kept->data);
            free(kept);
        }
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
    free(items->views.items);
    free(items->views.images);
    free(items->groups);
    *items = (struct nc_choice_items){0};
}

/* ---- Deciding ------------------------------------------------------------------------------- */

void nc_choices_decide(const struct nc_choice_items *items, const float *phrase_features,
                       const float *view_features, size_t embedding, float *scores, size_t *choices)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < items->count; i++) {
        const struct nc_choice_item *item = &items->items[i];
        const float *fixed =
            (item->phrases_vary ? view_features : phrase_features) + item->fixed * embedding;
        const float *varying = item->phrases_vary ? phrase_features : view_features;
        choices[i] = 0;
        for (size_t k = 0; k < item->count; k++) {
            const float *other = varying + items->option[item->first + k] * embedding;
            float dot = 0;
            for (size_t d = 0; d < embedding; d++)
                dot += fixed[d] * other[d];
            scores[item->first + k] = dot;
            float best = scores[item->first + choices[i]];
            if (dot > best || (item->strict && dot == best && choices[i] == item->answer))
                choices[i] = k;
        }
    }
}

/* ---- Evaluating ----------------------------------------------------------------------------- */

int item_write(struct nc_writer *writer, size_t index, size_t choice, size_t answer,
               const float *scores, const size_t *options, size_t count)
{
    int status =
        nc_writer_printf(writer, "{\"index\": %zu, \"choice\": %zu, \"answer\": %zu, \"scores\": [",
                         index, choice, answer);
    for (size_t k = 0; k < count && status == NC_OK; k++)
        status = nc_writer_printf(writer, "%s%.9g", k ? ", " : "", (double)scores[k]);
    for (size_t k = 0; options && k < count && status == NC_OK; k++)
        status = nc_writer_printf(writer, "%s%zu", k ? ", " : "], \"options\": [", options[k]);
    return status == NC_OK ? nc_writer_printf(writer, "]}\n") : status;
}

struct decisions {
    float *phrases, *views, *scores;
    size_t *choices;
    bool *missing; /* [views] */
    size_t count,
        *group; /* items whose pictures could all be read; the group and outcome of each */
    bool *right, *part;
};

static void decisions_free(struct decisions *made)
{
    free(made->phrases);
    free(made->views);
    free(made->scores);
    free(made->choices);
    free(made->group);
    free(made->right);
    free(made->part);
    free(made->missing);
}

static struct sample_side side_of(const struct nc_choice_items *items, bool phrase, size_t index)
{
    const struct nc_view *view = phrase ? NULL : &items->views.items[index];
    return phrase ? (struct sample_side){.text = items->phrases[index]}
                  : (struct sample_side){.picture = items->views.images[view->image],
                                         .box = view->has_box ? view->box : NULL};
}

static int add_sample(const struct nc_choice_items *items, size_t index, size_t choice,
                      struct nc_samples *samples)
{
    const struct nc_choice_item *item = &items->items[index];
    const size_t *options = items->option + item->first;
    return samples_add(samples, index, side_of(items, !item->phrases_vary, item->fixed),
                       side_of(items, item->phrases_vary, options[item->answer]),
                       side_of(items, item->phrases_vary, options[item->answer == 0]),
                       side_of(items, item->phrases_vary, options[choice]), choice == item->answer);
}

/* Whether all its pictures could be read. */
static bool readable(const struct nc_choice_items *items, const struct nc_choice_item *item,
                     const bool *missing)
{
    bool all = item->phrases_vary ? !missing[item->fixed] : true;
    for (size_t k = 0; k < item->count && !item->phrases_vary; k++)
        all &= !missing[items->option[item->first + k]];
    return all;
}

static int decide(const struct nc_choice_items *items, struct nc_evaluator *evaluator,
                  const struct nc_request *request, struct nc_result *result,
                  struct decisions *made)
{
    size_t embedding = nc_evaluator_embedding(evaluator), count = items->count;
    made->phrases = malloc(items->phrase_count * embedding * sizeof(float));
    made->views = malloc(items->views.count * embedding * sizeof(float));
    made->scores = malloc(items->option_count * sizeof(float));
    made->choices = malloc(count * sizeof *made->choices);
    made->group = malloc(count * sizeof *made->group);
    made->right = malloc(count * sizeof *made->right);
    made->part = malloc(count * sizeof *made->part);
    made->missing = malloc(items->views.count + 1);
    if (!made->phrases || !made->views || !made->scores || !made->choices || !made->group ||
        !made->right || !made->part || !made->missing)
        return nc_error(NC_FAILED, "evaluate: no memory for %zu items", count);
    result->texts = items->phrase_count;
    int status = nc_composed_texts(evaluator, &request->composition, items->phrases,
                                   items->phrase_count, made->phrases, &result->composed);
    if (status == NC_OK)
        status = nc_evaluator_views(evaluator, &items->views, request->images, made->views,
                                    made->missing);
    if (status != NC_OK)
        return status;
    nc_choices_decide(items, made->phrases, made->views, embedding, made->scores, made->choices);
    for (size_t i = 0; i < count && status == NC_OK; i++) {
        const struct nc_choice_item *item = &items->items[i];
        if (!readable(items, item, made->missing))
            continue;
        made->right[made->count] = made->choices[i] == item->answer;
        made->group[made->count++] = item->group;
        if (request->items)
            status = item_write(request->items, i, made->choices[i], item->answer,
                                made->scores + item->first, NULL, item->count);
        if (status == NC_OK && samples_want(request->samples, i, count))
            status = add_sample(items, i, made->choices[i], request->samples);
    }
    return status;
}

int choice_items_evaluate(const struct nc_choice_items *items, struct nc_evaluator *evaluator,
                          const struct nc_request *request, struct nc_result *result)
{
    struct decisions made = {0};
    struct nc_share share;
    int status = decide(items, evaluator, request, result, &made);
    if (status == NC_OK && !made.count)
        status = nc_error(NC_BAD_INPUT, "of no item could all pictures be read");
    result->left_out = items->count - made.count;
    if (status == NC_OK)
        status = items->mean_over_groups
                     ? nc_mean_bootstrap(made.right, made.group, made.count, items->group_count,
                                         NC_RESAMPLES, &result->score)
                     : nc_share_bootstrap(made.right, made.count, NC_RESAMPLES, &result->score);
    if (items->mean_over_groups && items->group_count == 2)
        goto done; /* the one piece is all there is */
    for (size_t g = 1; g < items->group_count && status == NC_OK; g++) {
        size_t n = 0;
        for (size_t i = 0; i < made.count; i++)
            if (made.group[i] == g)
                made.part[n++] = made.right[i];
        if (!n)
            continue;
        status = nc_share_bootstrap(made.part, n, NC_RESAMPLES, &share);
        if (status == NC_OK)
            status = nc_result_add(result, items->groups[g], &share);
    }
done:
    decisions_free(&made);
    return status;
}
