/* SugarCrepe (Hsieh et al., NeurIPS 2023; github.com/RAIVNLab/sugar-crepe, data/): a caption of a
 * COCO val2017 picture and a fluent caption that does not fit it. Right when the caption scores
 * strictly above (main_eval.py). Seven pieces: add, replace and swap of objects, attributes,
 * relations; the score is the mean over them.
 *
 *     {"0": {"filename": "000000085329.jpg", "caption": "...", "negative_caption": "..."}, ...}
 */
#include "foils.h"

#include "../known_files.h"
#include "items.h"
#include "nclip/support/error.h"

#include <stdio.h>

bool foils_is_sugarcrepe(const struct foils_file *file)
{
    const cJSON *first = cJSON_IsObject(file->root) ? file->root->child : NULL;
    return nc_json_member(first, "negative_caption") &&
           nc_json_member(first, "filename");
}

int foils_read_sugarcrepe(const struct foils_file *file, struct nc_choice_items *items)
{
    size_t entries = 0;
    const cJSON *entry;
    cJSON_ArrayForEach(entry, file->root)
    {
        char where[512];
        const char *image, *caption, *foil;
        snprintf(where, sizeof where, "%s: \"%.100s\"", file->path, entry->string);
        int status = nc_json_string(where, entry, "filename", &image);
        if (status == NC_OK)
            status = nc_json_string(where, entry, "caption", &caption);
        if (status == NC_OK)
            status = nc_json_string(where, entry, "negative_caption", &foil);
        if (status == NC_OK)
            status = foils_add(items, where, file->piece, true, image, NULL, caption, &foil, 1);
        if (status != NC_OK)
            return status;
        entries++;
    }
    known_file_check(file->path, NULL, entries);
    return NC_OK;
}
