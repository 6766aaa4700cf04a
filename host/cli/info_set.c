/* What nclip info and nclip prepare tell of a prepared set. */
#include "info_set.h"

#include "nclip/captions/set.h"
#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/support/terminal.h"

#include <stdio.h>

static bool add_roles(cJSON *root, unsigned roles)
{
    cJSON *array = cJSON_AddArrayToObject(root, "roles");
    bool made = array != NULL;
    for (unsigned role = 0; role < NC_TEXT_ROLES && made; role++)
        if (roles >> role & 1)
            made = cJSON_AddItemToArray(array, cJSON_CreateString(nc_text_role_name(role)));
    return made;
}

static bool add_left_out(cJSON *root, const struct nc_set_info *info)
{
    cJSON *array = cJSON_AddArrayToObject(root, "left_out");
    bool made = array != NULL;
    for (size_t i = 0; i < info->left_out_count && made; i++) {
        const struct nc_set_left_out *left = &info->left_out[i];
        cJSON *item = cJSON_CreateObject();
        made = cJSON_AddItemToArray(array, item) &&
               cJSON_AddStringToObject(item, "reason", left->reason) &&
               nc_json_add_count(item, "count", left->count) &&
               cJSON_AddStringToObject(item, "first", left->first);
    }
    return made;
}

static int print_json(const char *folder, const struct nc_set *set,
                      const struct nc_prepare_result *result)
{
    const struct nc_set_info *info = nc_set_info(set);
    cJSON *root = cJSON_CreateObject();
    bool made = cJSON_AddStringToObject(root, "kind", "set") &&
                cJSON_AddStringToObject(root, "folder", folder) &&
                nc_json_add_count(root, "captions", info->captions) &&
                nc_json_add_count(root, "examples", info->examples) &&
                nc_json_add_count(root, "pictures", info->pictures) &&
                nc_json_add_count(root, "texts", info->texts) &&
                nc_json_add_count(root, "tokens", info->tokens) &&
                nc_json_add_count(root, "distractors", info->distractors) &&
                nc_json_add_count(root, "truncated", info->truncated) &&
                nc_json_add_count(root, "negation_lost", info->negation_lost) &&
                nc_json_add_count(root, "longest_text", info->longest_text) &&
                nc_json_add_count(root, "context", info->context) &&
                cJSON_AddStringToObject(root, "too_long", info->too_long) &&
                cJSON_AddStringToObject(root, "embeddings", info->store) &&
                nc_json_add_count(root, "rows", info->store_rows) &&
                cJSON_AddStringToObject(root, "model_hash", info->model_hash) &&
                nc_json_add_count(root, "blocks", info->blocks) &&
                nc_json_add_count(root, "shards", nc_set_shards(set)) &&
                add_roles(root, info->roles) && add_left_out(root, info);
    if (result && made)
        made = cJSON_AddNumberToObject(root, "seconds", result->seconds) &&
               cJSON_AddNumberToObject(
                   root, "captions_per_second",
                   result->seconds > 0 ? (double)result->captions / result->seconds : 0) &&
               cJSON_AddBoolToObject(root, "resumed", result->resumed);
    return nc_json_print(stdout, root, made);
}

static void print_line(const char *name, const char *text)
{
    printf("  %-14s ", name);
    nc_terminal_print(stdout, text);
    printf("\n");
}

static void print(const char *folder, const struct nc_set *set)
{
    const struct nc_set_info *info = nc_set_info(set);
    double texts = info->texts ? (double)info->texts : 1;
    printf("%s: %llu examples of %llu pictures, prepared for training\n\n", folder,
           (unsigned long long)info->examples, (unsigned long long)info->pictures);
    printf("  captions       %llu given\n", (unsigned long long)info->captions);
    printf("  texts          %llu (", (unsigned long long)info->texts);
    for (unsigned role = 0, any = 0; role < NC_TEXT_ROLES; role++)
        if (info->roles >> role & 1)
            printf("%s%s", any++ ? ", " : "", nc_text_role_name(role));
    printf(")\n");
    printf("  tokens         %llu, %.1f a text, %zu at most of %zu\n",
           (unsigned long long)info->tokens, (double)info->tokens / texts, info->longest_text,
           info->context);
    if (info->truncated)
        printf("  truncated      %llu captions, of which %llu lost a negation word\n",
               (unsigned long long)info->truncated, (unsigned long long)info->negation_lost);
    if (info->distractors)
        printf("  distractors    %llu\n", (unsigned long long)info->distractors);
    print_line("embeddings", info->store);
    print_line("model", info->model_hash);
    printf("  blocks         %zu in %zu shards, of %zu rows\n", info->blocks, nc_set_shards(set),
           info->store_rows);
    for (size_t i = 0; i < info->left_out_count; i++) {
        const struct nc_set_left_out *left = &info->left_out[i];
        printf("%s  %12llu  %s, first ", i ? "" : "\n  left out\n",
               (unsigned long long)left->count, left->reason);
        nc_terminal_print(stdout, left->first);
        printf("\n");
    }
}

int info_set(const char *folder, bool json, const struct nc_prepare_result *result)
{
    struct nc_set *set;
    int status = nc_set_open(folder, &set);
    if (status != NC_OK)
        return status;
    if (json)
        status = print_json(folder, set, result);
    else
        print(folder, set);
    nc_set_close(set);
    return status;
}
