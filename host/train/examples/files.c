/* Loads several files of captions, and numbers their pictures together. */
#include "files.h"

#include "nclip/support/error.h"
#include "nclip/support/string_map.h"

#include <stdlib.h>

/* The number of each of a file's pictures among all of them. */
static int number_pictures(const struct nc_captions *file, struct nc_string_map *map,
                           struct nc_captions *all, size_t *numbers)
{
    int status = NC_OK;
    for (size_t i = 0; i < file->image_count && status == NC_OK; i++) {
        status = nc_string_map_add(map, file->images[i], all->image_count, &numbers[i]);
        if (status == NC_OK && numbers[i] == all->image_count)
            all->images[all->image_count++] = file->images[i];
    }
    return status;
}

static int add_file(struct nc_caption_files *f, size_t number, struct nc_string_map *map)
{
    const struct nc_captions *file = &f->files[number];
    size_t *numbers = calloc(file->image_count + 1, sizeof *numbers);
    int status = numbers ? number_pictures(file, map, &f->all, numbers)
                         : nc_error(NC_FAILED, "captions: no memory");
    for (size_t i = 0; i < file->count && status == NC_OK; i++) {
        struct nc_caption caption = file->items[i];
        caption.image = numbers[caption.image];
        if (caption.distractor != NC_NO_PICTURE)
            caption.distractor = numbers[caption.distractor];
        f->file[f->all.count] = (uint8_t)number;
        f->all.items[f->all.count++] = caption;
    }
    free(numbers);
    return status;
}

int nc_caption_files_load(const char *const *paths, size_t count, struct nc_caption_files *f)
{
    struct nc_string_map *map = NULL;
    size_t captions = 0, images = 0;
    if (count > UINT8_MAX)
        return nc_error(NC_USAGE, "%zu files of captions, and %d are the most", count, UINT8_MAX);
    f->files = calloc(count, sizeof *f->files);
    if (!f->files)
        return nc_error(NC_FAILED, "captions: no memory");
    if (count == 1) { /* as it is */
        f->count = 1;
        int one = nc_captions_load(paths[0], &f->files[0]);
        f->all = f->files[0];
        f->files[0] = (struct nc_captions){0};
        return one;
    }
    int status = nc_string_map_create(&map);
    for (; f->count < count && status == NC_OK; f->count++) {
        status = nc_captions_load(paths[f->count], &f->files[f->count]);
        captions += f->files[f->count].count;
        images += f->files[f->count].image_count;
    }
    f->all.items = calloc(captions + 1, sizeof *f->all.items);
    f->all.images = calloc(images + 1, sizeof *f->all.images);
    f->file = calloc(captions + 1, sizeof *f->file);
    if (status == NC_OK && (!f->all.items || !f->all.images || !f->file))
        status = nc_error(NC_FAILED, "captions: no memory");
    for (size_t i = 0; i < count && status == NC_OK; i++)
        status = add_file(f, i, map);
    nc_string_map_destroy(map);
    return status;
}

void nc_caption_files_free(struct nc_caption_files *f)
{
    for (size_t i = 0; i < f->count; i++)
        nc_captions_free(&f->files[i]);
    if (f->count == 1)
        nc_captions_free(&f->all);
    free(f->files);
    free(f->all.items);
    free(f->all.images);
    free(f->file);
    *f = (struct nc_caption_files){0};
}
