/* Reads Karpathy's JSON, NegBench's CSV, and the captions that nclip trains on, for retrieval. */
#include "retrieval.h"

#include "known_files.h"
#include "nclip/captions/captions.h"
#include "nclip/formats/text.h"
#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

enum { CAPTIONS_PER_PICTURE = 5 }; /* a few pictures of COCO have six or seven */

static int add_caption(struct retrieval *retrieval, const char *text, size_t picture)
{
    if (retrieval->count == retrieval->capacity) {
        size_t larger = retrieval->capacity ? 2 * retrieval->capacity : 256;
        struct retrieval_caption *captions =
            realloc(retrieval->captions, larger * sizeof *captions);
        if (!captions)
            return nc_error(NC_FAILED, "evaluate: no memory");
        retrieval->captions = captions;
        retrieval->capacity = larger;
    }
    struct retrieval_caption *caption = &retrieval->captions[retrieval->count];
    int status = choice_items_phrase(&retrieval->set, text, &caption->text);
    caption->picture = picture;
    retrieval->count += status == NC_OK;
    return status;
}

/* The published files have five captions a picture. A picture without one would be a miss to
 * clip_benchmark and BLIP (image to text), and does not exist for VSE++: there is no right number.
 */
static int no_caption(const char *where, const char *key)
{
    return nc_error(NC_BAD_INPUT,
                    "%s: \"%s\" is empty: no caption is of this picture; take it out of the file",
                    where, key);
}

/* ---- Karpathy and Fei-Fei's splits (CVPR 2015): dataset_coco.json, dataset_flickr30k.json ---- */

static int read_karpathy_image(const char *where, const cJSON *image, const char *split,
                               struct retrieval *retrieval)
{
    const char *of_split, *folder = "", *name, *text;
    const cJSON *sentences, *sentence;
    char *path = NULL;
    size_t picture, number = 0;
    int status = nc_json_string(where, image, "split", &of_split);
    if (status != NC_OK || strcmp(of_split, split) != 0)
        return status;
    status = nc_json_optional_string(where, image, "filepath", &folder);
    if (status == NC_OK)
        status = nc_json_string(where, image, "filename", &name);
    if (status == NC_OK)
        status = nc_json_array(where, image, "sentences", &sentences);
    if (status == NC_OK && !sentences->child)
        status = no_caption(where, "sentences");
    if (status == NC_OK && !(path = nc_path_join(folder, name)))
        status = nc_error(NC_FAILED, "evaluate: no memory");
    if (status == NC_OK)
        status = choice_items_keep(&retrieval->set, path, free);
    if (status == NC_OK)
        status = choice_items_view(&retrieval->set, path, NULL, &picture);
    if (status != NC_OK)
        return status;
    cJSON_ArrayForEach(sentence, sentences)
    {
        if (number++ == CAPTIONS_PER_PICTURE)
            break;
        status = nc_json_string(where, sentence, "raw", &text);
        if (status == NC_OK)
            status = add_caption(retrieval, text, picture);
        if (status != NC_OK)
            return status;
    }
    return NC_OK;
}

static int read_karpathy(const char *path, cJSON *root, const char *split,
                         struct retrieval *retrieval)
{
    const cJSON *images, *image;
    size_t index = 0;
    int status = nc_json_array(path, root, "images", &images);
    if (status != NC_OK)
        return status;
    cJSON_ArrayForEach(image, images)
    {
        char where[512];
        snprintf(where, sizeof where, "%s: images[%zu]", path, index++);
        status = read_karpathy_image(where, image, split, retrieval);
        if (status != NC_OK)
            return status;
    }
    if (!retrieval->count)
        return nc_error(NC_BAD_INPUT, "%s: has no captions of the split \"%s\"", path, split);
    if (strcmp(split, "test") == 0)
        known_file_check(path, NULL, retrieval->set.views.count);
    return NC_OK;
}

/* ---- NegBench (Alhamoud et al., CVPR 2025): filepath, captions (a Python list) ------------- */

static int read_negbench(const char *path, struct retrieval *retrieval)
{
    struct nc_csv *csv;
    size_t name_column, captions_column, picture, count;
    int status = choice_items_load_csv(&retrieval->set, path, &csv);
    if (status == NC_OK)
        status = nc_csv_column(csv, "filepath", &name_column);
    if (status == NC_OK)
        status = nc_csv_column(csv, "captions", &captions_column);
    for (size_t row = 0; status == NC_OK && row < csv->rows; row++) {
        const char **captions = NULL, *name = nc_csv_cell(csv, row, name_column);
        char where[512];
        snprintf(where, sizeof where, "%s line %zu", path, csv->lines[row + 1]);
        status = *name ? nc_csv_strings(csv, row, captions_column, &captions, &count)
                       : nc_error(NC_BAD_INPUT, "%s: the picture's name is empty", where);
        if (status == NC_OK && !count)
            status = no_caption(where, "captions");
        if (status == NC_OK)
            status = choice_items_view(&retrieval->set, name, NULL, &picture);
        for (size_t i = 0; status == NC_OK && i < count; i++)
            status = add_caption(retrieval, captions[i], picture);
        free(captions);
    }
    return status;
}

/* ---- COCO's captions, or JSONL ------------------------------------------------------------- */

static void release_captions(void *captions)
{
    nc_captions_free(captions);
    free(captions);
}

static int read_captions(const char *path, struct retrieval *retrieval)
{
    struct nc_captions *captions = calloc(1, sizeof *captions);
    if (!captions)
        return nc_error(NC_FAILED, "evaluate: no memory");
    int status = nc_captions_load(path, captions);
    if (status != NC_OK) {
        free(captions);
        return status;
    }
    status = choice_items_keep(&retrieval->set, captions, release_captions);
    for (size_t i = 0; status == NC_OK && i < captions->count; i++) {
        size_t picture;
        status = choice_items_view(&retrieval->set, captions->images[captions->items[i].image],
                                   NULL, &picture);
        if (status == NC_OK)
            status = add_caption(retrieval, captions->items[i].text, picture);
    }
    return status;
}

/* ---- Which of them it is ------------------------------------------------------------------- */

int retrieval_load(const char *path, const char *split, struct retrieval *retrieval)
{
    *retrieval = (struct retrieval){0};
    int status = choice_items_begin(&retrieval->set);
    if (status != NC_OK)
        return status;
    cJSON *root = NULL;
    bool karpathy = false, table;
    enum nc_kind kind = NC_KIND_UNKNOWN;
    status = choice_items_is_table(path, &table);
    if (status == NC_OK && !table && strcmp(path, "-") != 0)
        status = nc_text_kind_of_file(path, &kind);
    if (status != NC_OK) {
        /* it cannot be read */
    } else if (table) {
        status = read_negbench(path, retrieval);
    } else if (kind == NC_KIND_JSON) {
        status = choice_items_load_json(&retrieval->set, path, &root);
        if (status == NC_OK) {
            const cJSON *images = nc_json_member(root, "images");
            karpathy =
                !nc_json_member(root, "annotations") && cJSON_IsArray(images);
            status = karpathy ? read_karpathy(path, root, split, retrieval)
                              : read_captions(path, retrieval);
        }
    } else {
        status = read_captions(path, retrieval);
    }
    if (status == NC_OK && !retrieval->count)
        status = nc_error(NC_BAD_INPUT, "%s: holds no captions", path);
    if (status != NC_OK)
        retrieval_free(retrieval);
    return status;
}

void retrieval_free(struct retrieval *retrieval)
{
    nc_choice_items_free(&retrieval->set);
    free(retrieval->captions);
    *retrieval = (struct retrieval){0};
}
