/* Finds an evaluation's pictures below a folder, crops their boxes and puts them through the
 * vision tower. */
#include "views.h"

#include "nclip/pictures/image.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/progress.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH = 64 };

struct order {
    size_t image, view;
};

static int by_image(const void *a, const void *b)
{
    const struct order *x = a, *y = b;
    if (x->image != y->image)
        return x->image < y->image ? -1 : 1;
    return x->view < y->view ? -1 : x->view > y->view;
}

const char *views_known_name(const char *name, bool (*exists)(const void *context, const char *),
                             const void *context)
{
    for (const char *end = name;;) {
        if (exists(context, end))
            return end;
        end = strchr(end, '/');
        if (!end || !*(end += strspn(end, "/")))
            return name;
    }
}

static bool in_folder(const void *folder, const char *name)
{
    char *path = nc_path_join(folder, name);
    bool exists = path && nc_file_exists(path);
    free(path);
    return exists;
}

int views_path(const char *folder, const char *name, char **path)
{
    *path = NULL;
    if (nc_path_climbs(name))
        return nc_error(NC_BAD_INPUT, "%s: its \"..\" leads out of the folder of pictures, %s",
                        name, folder);
    name += strspn(name, "/");
    *path = nc_path_join(folder, views_known_name(name, in_folder, folder));
    return *path ? NC_OK : nc_error(NC_FAILED, "%s: no memory", name);
}

/* What came of one picture. */
struct outcome {
    int status;
    bool unreadable; /* the picture itself, not the name or the box that somebody wrote */
    char *message;
    char damage[NC_IMAGE_DAMAGE];
};

/* Preprocesses views order[0 .. count), all of one picture. */
static struct outcome prepare_image(const struct nc_views *views, const char *folder,
                                    const struct nc_preprocess *preprocess,
                                    const struct order *order, size_t count, size_t values,
                                    float *pixels)
{
    struct outcome outcome = {0};
    struct nc_image image = {0};
    char *path;
    int status = views_path(folder, views->images[order[0].image], &path);
    if (status == NC_OK) {
        status = nc_image_load(path, &preprocess->reading, &image);
        outcome.unreadable = status == NC_BAD_INPUT;
        memcpy(outcome.damage, image.damage, sizeof outcome.damage);
    }
    for (size_t i = 0; i < count && status == NC_OK; i++) {
        const struct nc_view *view = &views->items[order[i].view];
        status = nc_image_preprocess(preprocess, &image, view->has_box ? view->box : NULL,
                                     pixels + i * values);
        if (status != NC_OK)
            status = nc_error_prefix(status, "%s", path);
    }
    nc_image_free(&image);
    free(path);
    outcome.status = status;
    outcome.message = status != NC_OK ? strdup(nc_error_message()) : NULL;
    return outcome;
}

/* Notes what came of the picture of views order[0 .. count); `seen`: its beginning was in the batch
 * before. */
static int settle(const struct nc_views *views, const struct views_reading *reading,
                  const struct outcome *outcome, const struct order *order, size_t count, bool seen)
{
    const char *name = views->images[order[0].image];
    const char *message = outcome->message ? outcome->message : "no memory";
    if (outcome->damage[0] && !seen)
        nc_damage_note(reading->damaged, name, outcome->damage);
    if (outcome->status == NC_OK)
        return NC_OK;
    if (!outcome->unreadable || !reading->skip)
        return nc_error(outcome->status, "%s", message);
    if (!seen)
        nc_damage_note(reading->unreadable, name, message);
    for (size_t i = 0; i < count; i++)
        reading->missing[order[i].view] = true;
    return NC_OK;
}

/* Views order[0 .. count) to pixels; runs of one picture are one piece of work. `before`: of the
 * batch before, NULL in the first. */
static int prepare(const struct nc_views *views, const char *folder,
                   const struct views_reading *reading, const struct order *order, size_t count,
                   const struct order *before, size_t values, float *pixels)
{
    size_t starts[BATCH + 1], runs = 0;
    struct outcome outcomes[BATCH];
    for (size_t i = 0; i < count; i++)
        if (!i || order[i].image != order[i - 1].image)
            starts[runs++] = i;
    starts[runs] = count;
#pragma omp parallel for schedule(dynamic)
    for (size_t run = 0; run < runs; run++)
        outcomes[run] =
            prepare_image(views, folder, &reading->preprocess, order + starts[run],
                          starts[run + 1] - starts[run], values, pixels + starts[run] * values);
    int status = NC_OK;
    for (size_t run = 0; run < runs; run++) {
        const struct order *first = order + starts[run];
        bool seen = run == 0 && before && before->image == first->image;
        if (status == NC_OK)
            status =
                settle(views, reading, &outcomes[run], first, starts[run + 1] - starts[run], seen);
        free(outcomes[run].message);
    }
    return status;
}

size_t views_keep(const bool *missing, size_t count, size_t *number)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (!missing[i])
            number[kept++] = i;
    return kept;
}

int views_encode(struct nc_encoder *encoder, const struct nc_model *model,
                 const struct nc_views *views, const bool *wanted, const char *folder,
                 const struct views_reading *reading, float *features)
{
    const struct nc_model_shape *shape = nc_model_shape(model);
    size_t values = shape->channels * shape->image_size * shape->image_size;
    size_t embedding = shape->embedding, count = 0;
    struct order *order = malloc((views->count + 1) * sizeof *order);
    float *pixels = calloc(BATCH * values, sizeof *pixels);
    float *batch = malloc(BATCH * embedding * sizeof *batch);
    int status = order && pixels && batch ? NC_OK : nc_error(NC_FAILED, "evaluate: no memory");
    for (size_t i = 0; i < views->count && status == NC_OK; i++)
        if (!wanted || wanted[i])
            order[count++] = (struct order){views->items[i].image, i};
    if (status == NC_OK)
        qsort(order, count, sizeof *order, by_image);
    struct nc_progress *progress =
        status == NC_OK ? nc_progress_start("evaluate", "pictures", 0, count) : NULL;
    for (size_t i = 0; i < count && status == NC_OK; i += BATCH) {
        size_t part = count - i < BATCH ? count - i : BATCH;
        status = prepare(views, folder, reading, order + i, part, i ? order + i - 1 : NULL, values,
                         pixels);
        if (status == NC_OK)
            status = nc_encoder_pictures(encoder, pixels, part, false, batch);
        for (size_t k = 0; k < part && status == NC_OK; k++)
            memcpy(features + order[i + k].view * embedding, batch + k * embedding,
                   embedding * sizeof *features);
        nc_progress_update(progress, i + part, NULL);
    }
    nc_progress_finish(progress);
    free(order);
    free(pixels);
    free(batch);
    return status;
}
