#include "examples.h"

#include "nclip/error.h"

#include <stdlib.h>
#include <string.h>

bool examples_want(const struct nc_examples *examples, size_t index, size_t count)
{
    if (!examples)
        return false;
    if (count <= EXAMPLE_CANDIDATES)
        return true;
    size_t nearest = (index * EXAMPLE_CANDIDATES + count - 1) / count; /* the candidate from here on */
    return nearest < EXAMPLE_CANDIDATES && nearest * count / EXAMPLE_CANDIDATES == index;
}

static int copy_side(struct example_side *to, const struct example_side *from)
{
    *to = (struct example_side){0};
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

static void free_side(struct example_side *side)
{
    free((char *)side->text);
    free((char *)side->picture);
    free((double *)side->box);
}

static struct example *find(struct nc_examples *examples, size_t index)
{
    for (size_t i = 0; i < examples->count; i++)
        if (examples->items[i].index == index)
            return &examples->items[i];
    return NULL;
}

int examples_add(struct nc_examples *examples, size_t index, struct example_side query,
                 struct example_side right, struct example_side chosen, bool is_right)
{
    int status = NC_OK;
    struct example *example = find(examples, index);
    if (!example && examples->model == 0 && examples->count < EXAMPLE_CANDIDATES) {
        example = &examples->items[examples->count++];
        *example = (struct example){.index = index};
        status = copy_side(&example->query, &query);
        if (status == NC_OK)
            status = copy_side(&example->right, &right);
    }
    if (status != NC_OK || !example || example->models != examples->model)
        return status;
    struct example_side *sides = realloc(example->chosen, (example->models + 1) * sizeof *sides);
    if (sides)
        example->chosen = sides;
    bool *marks = realloc(example->is_right, (example->models + 1) * sizeof *marks);
    if (marks)
        example->is_right = marks;
    if (!sides || !marks)
        return nc_error(NC_FAILED, "evaluate: no memory");
    marks[example->models] = is_right;
    return copy_side(&sides[example->models++], &chosen);
}

void examples_free(struct nc_examples *examples)
{
    for (size_t i = 0; i < examples->count; i++) {
        struct example *example = &examples->items[i];
        free_side(&example->query);
        free_side(&example->right);
        for (size_t m = 0; m < example->models; m++)
            free_side(&example->chosen[m]);
        free(example->chosen);
        free(example->is_right);
    }
    memset(examples, 0, sizeof *examples);
}
