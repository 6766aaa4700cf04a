/* CC-Neg (Singh et al., "Learning the Power of 'No'", WACV 2025; github.com/jaisidhsingh/CoN-CLIP):
 * the caption of a CC-3M picture and the same caption with a part of it negated. The evaluation
 * (README, src/data/evaluation_datasets.py) takes the last 40,000 pairs, drops the commas of the
 * negated caption, and counts a pair when the caption scores at least as high: the first of equals
 * wins.
 *
 * It is published as a PyTorch file; this makes the JSON that is read here:
 *
 *     python3 -c 'import json, torch; json.dump(torch.load("ccneg_preprocessed.pt",
 *         weights_only=False), open("ccneg.json", "w"))'
 *
 *     {"image_paths": ["/workspace/datasets/cc3m/.../1.jpg", ...], "annotations":
 *      [{"json": {"caption": "..."}, "sop_data": {"negative-prompt": "..."}}, ...]}
 */
#include "foils.h"

#include "../known_files.h"
#include "items.h"
#include "nclip/support/error.h"

#include <stdio.h>

enum { EVALUATED = 40000 };

bool foils_is_ccneg(const struct foils_file *file)
{
    return nc_json_member(file->root, "image_paths") &&
           nc_json_member(file->root, "annotations");
}

static void drop_commas(char *text)
{
    char *to = text;
    for (; *text; text++)
        if (*text != ',')
            *to++ = *text;
    *to = 0;
}

static int read_pair(const char *where, const cJSON *path, const cJSON *annotation,
                     struct nc_choice_items *items)
{
    const cJSON *caption_of, *foil_of;
    const char *caption, *foil;
    if (!cJSON_IsString(path))
        return nc_error(NC_BAD_INPUT, "%s: its entry of \"image_paths\" is no string", where);
    int status = nc_json_object(where, annotation, "json", &caption_of);
    if (status == NC_OK)
        status = nc_json_string(where, caption_of, "caption", &caption);
    if (status == NC_OK)
        status = nc_json_object(where, annotation, "sop_data", &foil_of);
    if (status == NC_OK)
        status = nc_json_string(where, foil_of, "negative-prompt", &foil);
    if (status != NC_OK)
        return status;
    drop_commas(nc_json_member(foil_of, "negative-prompt")->valuestring);
    return foils_add(items, where, "", false, path->valuestring, NULL, caption, &foil, 1);
}

int foils_read_ccneg(const struct foils_file *file, struct nc_choice_items *items)
{
    const cJSON *paths, *annotations;
    int status = nc_json_array(file->path, file->root, "image_paths", &paths);
    if (status == NC_OK)
        status = nc_json_array(file->path, file->root, "annotations", &annotations);
    if (status != NC_OK)
        return status;
    size_t count = (size_t)cJSON_GetArraySize(paths);
    if (count != (size_t)cJSON_GetArraySize(annotations))
        return nc_error(NC_BAD_INPUT, "%s: has %zu image_paths but %d annotations", file->path,
                        count, cJSON_GetArraySize(annotations));
    const cJSON *path = paths->child, *annotation = annotations->child;
    for (size_t i = 0; i < count && status == NC_OK; i++) {
        char where[512];
        snprintf(where, sizeof where, "%s: annotations[%zu]", file->path, i);
        if (i + EVALUATED >= count)
            status = read_pair(where, path, annotation, items);
        path = path->next;
        annotation = annotation->next;
    }
    if (status == NC_OK)
        known_file_check(file->path, "ccneg.json", items->count);
    return status;
}
