/* Counts the right choices before and after training, by group and part. */
#include "nclip/evaluate/report.h"
#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/terminal.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct reading {
    const struct nc_choice_items *items;
    size_t *choices, answered;
};

static int read_choice(void *context, const char *where, const cJSON *line)
{
    struct reading *reading = context;
    const struct nc_choice_items *items = reading->items;
    size_t index, choice;
    int status = nc_json_size(where, line, "index", &index);
    if (status == NC_OK)
        status = nc_json_size(where, line, "choice", &choice);
    if (status != NC_OK)
        return status;
    if (index >= items->count || choice >= items->items[index].count ||
        reading->choices[index] != SIZE_MAX)
        return nc_error(NC_BAD_INPUT,
                        "%s: item %zu with choice %zu does not belong to these items, or came "
                        "twice",
                        where, index, choice);
    reading->choices[index] = choice;
    reading->answered++;
    return NC_OK;
}

static int read_choices(const char *path, const struct nc_choice_items *items, size_t **choices)
{
    *choices = malloc((items->count + 1) * sizeof **choices);
    if (!*choices)
        return nc_error(NC_FAILED, "%s: no memory for %zu items", path, items->count);
    for (size_t i = 0; i < items->count; i++)
        (*choices)[i] = SIZE_MAX;
    struct reading reading = {items, *choices, 0};
    int status = nc_json_lines_load(path, false, read_choice, &reading);
    if (status == NC_OK && reading.answered != items->count)
        status = nc_error(NC_BAD_INPUT, "%s: answers %zu of the %zu items", path, reading.answered,
                          items->count);
    return status;
}

static struct nc_report_group *find(struct nc_report_scores *scores, const char *name,
                                    const char *part)
{
    for (size_t i = 0; i < scores->group_count; i++) {
        if (strcmp(scores->groups[i].name, name) == 0 && strcmp(scores->groups[i].part, part) == 0)
            return &scores->groups[i];
    }
    return NULL;
}

static int split_name(const char *group, struct nc_report_group *split)
{
    size_t length = strcspn(group, "/");
    const char *part = group[length] ? group + length + 1 : "rest";
    *split = (struct nc_report_group){0};
    if (length >= sizeof split->name || strlen(part) >= sizeof split->part)
        return nc_error(NC_BAD_INPUT, "the group \"%.40s...\" has a name of over %d bytes", group,
                        NC_REPORT_NAME - 1);
    memcpy(split->name, group, length);
    memcpy(split->part, part, strlen(part));
    return NC_OK;
}

static int by_name(const void *a, const void *b, void *context)
{
    const struct nc_report_scores *scores = context;
    const struct nc_report_group *first = a, *second = b;
    if (strcmp(first->name, second->name) == 0) /* equal names keep their order of appearance */
        return (int)(first->items > second->items) - (int)(first->items < second->items);
    for (size_t i = 0; i < scores->items.group_count; i++) {
        const char *group = scores->items.groups[i];
        size_t length = strcspn(group, "/");
        if (strlen(first->name) == length && memcmp(group, first->name, length) == 0)
            return -1;
        if (strlen(second->name) == length && memcmp(group, second->name, length) == 0)
            return 1;
    }
    return 0;
}

/* Wholes and parts, empty. `items` holds the order until they are counted. */
static int list_groups(struct nc_report_scores *scores)
{
    const struct nc_choice_items *items = &scores->items;
    scores->groups = calloc(2 * items->group_count + 1, sizeof *scores->groups);
    bool *used = calloc(items->group_count + 1, sizeof *used);
    int status = scores->groups && used ? NC_OK : nc_error(NC_FAILED, "no memory for the groups");
    for (size_t i = 0; i < items->count && status == NC_OK; i++)
        used[items->items[i].group] = true;
    for (size_t i = 0; i < items->group_count && status == NC_OK; i++) {
        struct nc_report_group split, whole;
        if (!used[i])
            continue;
        if ((status = split_name(items->groups[i], &split)) != NC_OK)
            break;
        whole = split;
        whole.part[0] = 0;
        if (!find(scores, whole.name, "")) {
            whole.items = scores->group_count;
            scores->groups[scores->group_count++] = whole;
        }
        split.items = scores->group_count;
        scores->groups[scores->group_count++] = split;
    }
    free(used);
    if (status == NC_OK)
        qsort_r(scores->groups, scores->group_count, sizeof *scores->groups, by_name, scores);
    for (size_t i = 0; i < scores->group_count; i++)
        scores->groups[i].items = 0;
    return status;
}

static void drop_single_parts(struct nc_report_scores *scores)
{
    size_t kept = 0;
    for (size_t i = 0; i < scores->group_count; i++) {
        const struct nc_report_group *group = &scores->groups[i];
        const struct nc_report_group *whole = find(scores, group->name, "");
        if (!group->part[0] || whole->items != group->items)
            scores->groups[kept++] = *group;
    }
    scores->group_count = kept;
}

int nc_report_scores_load(const char *items, const char *before, const char *after,
                          struct nc_report_scores *scores)
{
    *scores = (struct nc_report_scores){0};
    int status = nc_choice_items_load(items, &scores->items);
    if (status == NC_OK)
        status = read_choices(before, &scores->items, &scores->before);
    if (status == NC_OK)
        status = read_choices(after, &scores->items, &scores->after);
    if (status == NC_OK && (status = list_groups(scores)) != NC_OK)
        status = nc_error_prefix(status, "%s", items);
    for (size_t i = 0; i < scores->items.count && status == NC_OK; i++) {
        const struct nc_choice_item *item = &scores->items.items[i];
        struct nc_report_group split;
        status = split_name(scores->items.groups[item->group], &split);
        struct nc_report_group *counted[2] = {find(scores, split.name, ""),
                                              find(scores, split.name, split.part)};
        for (size_t k = 0; k < 2; k++) {
            counted[k]->items++;
            counted[k]->before += scores->before[i] == item->answer;
            counted[k]->after += scores->after[i] == item->answer;
        }
    }
    if (status == NC_OK)
        drop_single_parts(scores);
    else
        nc_report_scores_free(scores);
    return status;
}

void nc_report_scores_free(struct nc_report_scores *scores)
{
    nc_choice_items_free(&scores->items);
    free(scores->before);
    free(scores->after);
    free(scores->groups);
    *scores = (struct nc_report_scores){0};
}

void nc_report_scores_print(const struct nc_report_scores *scores, FILE *out)
{
    int width = 8;
    for (size_t i = 0; i < scores->group_count; i++) {
        const struct nc_report_group *group = &scores->groups[i];
        int length = group->part[0] ? 2 + (int)strlen(group->part) : (int)strlen(group->name);
        width = length > width ? length : width;
    }
    fprintf(out, "%-*s  %6s  %7s  %7s\n", width, "right", "items", "before", "after");
    for (size_t i = 0; i < scores->group_count; i++) {
        const struct nc_report_group *group = &scores->groups[i];
        const char *name = group->part[0] ? group->part : *group->name ? group->name : "all";
        double count = (double)group->items;
        int indent = group->part[0] ? 2 : 0;
        fprintf(out, "%*s", indent, "");
        nc_terminal_print(out, name);
        fprintf(out, "%*s  %6zu  %6.1f%%  %6.1f%%\n", width - indent - (int)strlen(name), "",
                group->items, 100 * (double)group->before / count,
                100 * (double)group->after / count);
    }
}

static bool add_group(cJSON *root, cJSON *parts, const struct nc_report_group *group)
{
    char key[2 * NC_REPORT_NAME + 8];
    double before = (double)group->before / (double)group->items;
    double after = (double)group->after / (double)group->items;
    if (!group->part[0]) {
        const char *name = *group->name ? group->name : "all";
        snprintf(key, sizeof key, "%s_before", name);
        if (!cJSON_AddNumberToObject(root, key, before))
            return false;
        snprintf(key, sizeof key, "%s_after", name);
        return cJSON_AddNumberToObject(root, key, after) != NULL;
    }
    snprintf(key, sizeof key, "%s/%s", group->name, group->part);
    cJSON *part = cJSON_AddObjectToObject(parts, key);
    return part && cJSON_AddNumberToObject(part, "n", (double)group->items) &&
           cJSON_AddNumberToObject(part, "before", before) &&
           cJSON_AddNumberToObject(part, "after", after);
}

int nc_report_scores_write(const struct nc_report_scores *scores, double seconds, const char *path)
{
    cJSON *root = cJSON_CreateObject(), *parts = cJSON_CreateObject();
    bool made = root && parts;
    for (size_t i = 0; i < scores->group_count && made; i++)
        made = add_group(root, parts, &scores->groups[i]);
    if (made && seconds >= 0)
        made = cJSON_AddNumberToObject(root, "seconds", seconds) != NULL;
    if (made && (made = cJSON_AddItemToObject(root, "groups", parts)))
        parts = NULL;
    cJSON_Delete(parts);
    return nc_json_write(path, root, made);
}
