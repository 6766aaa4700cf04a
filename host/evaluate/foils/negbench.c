/* NegBench, multiple choice (Alhamoud et al., CVPR 2025; github.com/m1k2zoo/negbench): a picture
 * and four captions made by templates and rephrased: affirmation, negation, or both (hybrid). The
 * score is the share of questions whose right caption has the highest cosine, the first of equals
 * (benchmarks/src/evaluation/mcq.py); a part for each kind of the right caption.
 *
 * CSV columns: image_path, correct_answer, caption_0 .. caption_3, correct_answer_template
 * (positive, negative, hybrid). The binary set (CheXpert) has two captions and no template.
 */
#include "foils.h"

#include "nclip/support/error.h"

#include <stdio.h>
#include <stdlib.h>

enum { MOST_CAPTIONS = 16 };

bool foils_is_negbench(const struct foils_file *file)
{
    size_t column;
    return file->csv && nc_csv_find(file->csv, "correct_answer", &column) &&
           nc_csv_find(file->csv, "caption_0", &column);
}

struct columns {
    size_t image, answer, template, captions[MOST_CAPTIONS], caption_count;
    bool has_template;
};

static int find_columns(const struct nc_csv *csv, struct columns *columns)
{
    char name[32];
    int status = nc_csv_column(csv, "image_path", &columns->image);
    if (status == NC_OK)
        status = nc_csv_column(csv, "correct_answer", &columns->answer);
    columns->has_template = nc_csv_find(csv, "correct_answer_template", &columns->template);
    for (columns->caption_count = 0; columns->caption_count < MOST_CAPTIONS;
         columns->caption_count++) {
        snprintf(name, sizeof name, "caption_%zu", columns->caption_count);
        if (!nc_csv_find(csv, name, &columns->captions[columns->caption_count]))
            break;
    }
    return status;
}

static int read_row(const struct foils_file *file, size_t row, const struct columns *columns,
                    struct nc_choice_items *items)
{
    const struct nc_csv *csv = file->csv;
    struct nc_choice_item item = {.phrases_vary = true, .first = items->option_count};
    char where[512];
    char *group = NULL;
    size_t index;
    snprintf(where, sizeof where, "%s line %zu", file->path, csv->lines[row + 1]);
    const char *image = nc_csv_cell(csv, row, columns->image);
    int status = *image ? choice_items_view(items, image, NULL, &item.fixed)
                        : nc_error(NC_BAD_INPUT, "%s: the picture's name is empty", where);
    for (size_t i = 0; i < columns->caption_count && status == NC_OK; i++) {
        status = choice_items_phrase(items, nc_csv_cell(csv, row, columns->captions[i]), &index);
        if (status == NC_OK)
            status = choice_items_option(items, index);
    }
    if (status == NC_OK)
        status = nc_csv_size(csv, row, columns->answer, &item.answer);
    if (status == NC_OK &&
        asprintf(&group, "%s%s%s", file->piece, columns->has_template ? "/" : "",
                 columns->has_template ? nc_csv_cell(csv, row, columns->template) : "") < 0)
        status = nc_error(NC_FAILED, "evaluate: no memory");
    if (status == NC_OK)
        status = choice_items_keep(items, group, free);
    return status == NC_OK ? choice_items_add(items, where, group, &item) : status;
}

int foils_read_negbench(const struct foils_file *file, struct nc_choice_items *items)
{
    struct columns columns;
    int status = find_columns(file->csv, &columns);
    for (size_t row = 0; row < file->csv->rows && status == NC_OK; row++)
        status = read_row(file, row, &columns, items);
    return status;
}
