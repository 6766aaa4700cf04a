/* CREPE, productivity (Ma et al., CVPR 2023; github.com/RAIVNLab/CREPE, prod_hard_negatives.zip):
 * a region of a Visual Genome picture, its caption and hard negatives; `negate` is the set about
 * negation, a file for each complexity 4 to 12. The score is the paper's R@1 among caption and
 * negatives (section 4; crepe_eval_utils.py; the sort there leaves the order of equals open, here
 * they count as wrong), and the mean over complexities.
 *
 * CSV columns: image_id, caption, hard_negs (a Python list), x, y, width, height. Pictures are
 * IMAGE_ID.jpg: both folders of Visual Genome (VG_100K, VG_100K_2) in one.
 */
#include "foils.h"

#include "items.h"
#include "nclip/support/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool foils_is_crepe(const struct foils_file *file)
{
    size_t column;
    return file->csv && nc_csv_find(file->csv, "hard_negs", &column) &&
           nc_csv_find(file->csv, "image_id", &column);
}

static int read_row(const struct foils_file *file, size_t row, const size_t columns[7],
                    struct nc_choice_items *items)
{
    const struct nc_csv *csv = file->csv;
    const char **foils = NULL;
    size_t count, id;
    double box[4];
    char where[512];
    char *image = NULL;
    snprintf(where, sizeof where, "%s line %zu", file->path, csv->lines[row + 1]);
    int status = nc_csv_size(csv, row, columns[0], &id);
    for (size_t i = 0; i < 4 && status == NC_OK; i++)
        status = nc_csv_number(csv, row, columns[3 + i], &box[i]);
    if (status == NC_OK)
        status = nc_csv_strings(csv, row, columns[2], &foils, &count);
    if (status == NC_OK && asprintf(&image, "%zu.jpg", id) < 0)
        status = nc_error(NC_FAILED, "evaluate: no memory");
    if (status == NC_OK)
        status = choice_items_keep(items, image, free);
    if (status == NC_OK)
        status = foils_add(items, where, file->piece, true, image, box,
                           nc_csv_cell(csv, row, columns[1]), foils, count);
    free(foils);
    return status;
}

int foils_read_crepe(const struct foils_file *file, struct nc_choice_items *items)
{
    static const char *const names[7] = {"image_id", "caption", "hard_negs", "x",
                                         "y",        "width",   "height"};
    size_t columns[7];
    int status = NC_OK;
    for (size_t i = 0; i < 7 && status == NC_OK; i++)
        status = nc_csv_column(file->csv, names[i], &columns[i]);
    for (size_t row = 0; row < file->csv->rows && status == NC_OK; row++)
        status = read_row(file, row, columns, items);
    return status;
}
