/* VALSE (Parcalabescu et al., ACL 2022; github.com/Heidelberg-NLP/VALSE, data/): a caption and a
 * foil that differs from it in one phenomenon. `existence` is the piece about negation.
 *
 * The score is the paper's pairwise ranking accuracy acc_r (section 5.2): the share of valid items
 * whose caption scores strictly above its foil. Valid (section 4.4) are those for which at least
 * two of three annotators chose the caption, and not the foil: mturk.caption >= 2. Several pieces:
 * the mean over them.
 *
 *     {"existence_visual7w_2371044": {"image_file": "v7w_2371044.jpg", "caption": "...",
 *      "foil": "...", "mturk": {"caption": 3, "foil": 0, "other": 0}, ...}, ...}
 */
#include "foils.h"

#include "../known_files.h"
#include "items.h"
#include "nclip/support/error.h"

#include <stdio.h>

bool foils_is_valse(const struct foils_file *file)
{
    const cJSON *first = cJSON_IsObject(file->root) ? file->root->child : NULL;
    return nc_json_member(first, "foil") &&
           nc_json_member(first, "image_file");
}

static int read_entry(const struct foils_file *file, const char *where, const cJSON *entry,
                      struct nc_choice_items *items)
{
    enum { VALID_FROM = 2 };
    const char *image, *caption, *foil;
    const cJSON *votes;
    size_t chosen;
    int status = nc_json_object(where, entry, "mturk", &votes);
    if (status == NC_OK)
        status = nc_json_size(where, votes, "caption", &chosen);
    if (status == NC_OK)
        status = nc_json_string(where, entry, "image_file", &image);
    if (status == NC_OK)
        status = nc_json_string(where, entry, "caption", &caption);
    if (status == NC_OK)
        status = nc_json_string(where, entry, "foil", &foil);
    if (status != NC_OK || chosen < VALID_FROM)
        return status;
    return foils_add(items, where, file->piece, true, image, NULL, caption, &foil, 1);
}

int foils_read_valse(const struct foils_file *file, struct nc_choice_items *items)
{
    size_t entries = 0;
    const cJSON *entry;
    cJSON_ArrayForEach(entry, file->root)
    {
        char where[512];
        snprintf(where, sizeof where, "%s: \"%.100s\"", file->path, entry->string);
        int status = read_entry(file, where, entry, items);
        if (status != NC_OK)
            return status;
        entries++;
    }
    known_file_check(file->path, NULL, entries);
    return NC_OK;
}
