/* Reads the file of phrasings and pairs of words that no caption may hold. */
#include "nclip/formats/json.h"
#include "nclip/generate/vqa.h"
#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

static bool is_phrasing(const char *name)
{
    size_t count;
    const struct nc_vqa_phrasing *phrasings = nc_vqa_phrasings(&count);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(phrasings[i].denied, name) == 0)
            return true;
    }
    return false;
}

int nc_vqa_held_out_load(const char *path, struct nc_vqa_held_out *held_out)
{
    *held_out = (struct nc_vqa_held_out){0};
    cJSON *root;
    const cJSON *phrasings, *pairs, *entry;
    int status = nc_json_load(path, &root);
    if (status != NC_OK)
        return status;
    held_out->owned = root;
    if ((status = nc_json_array(path, root, "phrasings", &phrasings)) != NC_OK ||
        (status = nc_json_array(path, root, "pairs", &pairs)) != NC_OK)
        goto done;
    held_out->phrasings = calloc((size_t)cJSON_GetArraySize(phrasings) + 1, sizeof(char *));
    held_out->pairs = calloc((size_t)cJSON_GetArraySize(pairs) + 1, sizeof *held_out->pairs);
    if (!held_out->phrasings || !held_out->pairs) {
        status = nc_error(NC_FAILED, "%s: no memory", path);
        goto done;
    }
    cJSON_ArrayForEach(entry, phrasings)
    {
        if (!cJSON_IsString(entry) || !is_phrasing(entry->valuestring)) {
            status = nc_error(NC_BAD_INPUT, "%s: phrasing %zu is none that the rules have", path,
                              held_out->phrasing_count);
            goto done;
        }
        held_out->phrasings[held_out->phrasing_count++] = entry->valuestring;
    }
    cJSON_ArrayForEach(entry, pairs)
    {
        const cJSON *first = cJSON_GetArrayItem(entry, 0), *second = cJSON_GetArrayItem(entry, 1);
        if (!cJSON_IsString(first) || !cJSON_IsString(second) || second->next) {
            status =
                nc_error(NC_BAD_INPUT, "%s: pair %zu is not two words", path, held_out->pair_count);
            goto done;
        }
        held_out->pairs[held_out->pair_count][0] = first->valuestring;
        held_out->pairs[held_out->pair_count++][1] = second->valuestring;
    }
done:
    if (status != NC_OK)
        nc_vqa_held_out_free(held_out);
    return status;
}

void nc_vqa_held_out_free(struct nc_vqa_held_out *held_out)
{
    free(held_out->phrasings);
    free((void *)held_out->pairs);
    cJSON_Delete(held_out->owned);
    *held_out = (struct nc_vqa_held_out){0};
}
