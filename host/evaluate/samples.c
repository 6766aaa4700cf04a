/* Picks evenly spaced items of a benchmark and keeps what each model chose. */
#include "samples.h"

#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

bool samples_want(const struct nc_samples *samples, size_t index, size_t count)
{
    if (!samples)
        return false;
    if (count <= SAMPLES)
        return true;
    size_t nearest = (index * SAMPLES + count - 1) / count; /* the candidate from here on */
    return nearest < SAMPLES && nearest * count / SAMPLES == index;
}

static int copy_side(struct sample_side *to, const struct sample_side *from)
{
    *to = (struct sample_side){0};
    if (from->text)
        to->text = strdup(from->text);
    if (from->picture)
        to->picture = strdup(from->picture);
    if (from->box) {
        double *box = malloc(4 * sizeof *box);
        if (box)
            memcpy(box, from->box, 4 * sizeof *box);
        to->box = box;
    }
    return !from->text == !to->text && !from->picture == !to->picture && !from->box == !to->box
               ? NC_OK
               : nc_error(NC_FAILED, "evaluate: no memory");
}

static void free_side(struct sample_side *side)
{
    free((char *)side->text);
    free((char *)side->picture);
    free((double *)side->box);
}

static struct sample *find(struct nc_samples *samples, size_t index)
{
    for (size_t i = 0; i < samples->count; i++)
        if (samples->items[i].index == index)
            return &samples->items[i];
    return NULL;
}

int samples_add(struct nc_samples *samples, size_t index, struct sample_side query,
                struct sample_side right, struct sample_side other, struct sample_side chosen,
                bool is_right)
{
    int status = NC_OK;
    struct sample *sample = find(samples, index);
    if (!sample && samples->model == 0 && samples->count < SAMPLES) {
        sample = &samples->items[samples->count++];
        *sample = (struct sample){.index = index};
        status = copy_side(&sample->query, &query);
        if (status == NC_OK)
            status = copy_side(&sample->right, &right);
        if (status == NC_OK)
            status = copy_side(&sample->other, &other);
    }
    if (status != NC_OK || !sample || sample->models != samples->model)
        return status;
    struct sample_side *sides = realloc(sample->chosen, (sample->models + 1) * sizeof *sides);
    if (sides)
        sample->chosen = sides;
    bool *marks = realloc(sample->is_right, (sample->models + 1) * sizeof *marks);
    if (marks)
        sample->is_right = marks;
    if (!sides || !marks)
        return nc_error(NC_FAILED, "evaluate: no memory");
    marks[sample->models] = is_right;
    return copy_side(&sides[sample->models++], &chosen);
}

void samples_free(struct nc_samples *samples)
{
    for (size_t i = 0; i < samples->count; i++) {
        struct sample *sample = &samples->items[i];
        free_side(&sample->query);
        free_side(&sample->right);
        free_side(&sample->other);
        for (size_t m = 0; m < sample->models; m++)
            free_side(&sample->chosen[m]);
        free(sample->chosen);
        free(sample->is_right);
    }
    memset(samples, 0, sizeof *samples);
}
