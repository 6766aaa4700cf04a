/* Writes and reads set.json, which says what a prepared set is. */
#include "set_format.h"

#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char format_name[] = "nclip examples";

/* ---- writing ---- */

static bool add_text(cJSON *object, const char *key, const char *text)
{
    return cJSON_AddStringToObject(object, key, text) != NULL;
}

/* 64 bits, which JSON's numbers do not hold everywhere. */
static bool add_bits(cJSON *object, const char *key, uint64_t bits)
{
    char text[17];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)bits);
    return add_text(object, key, text);
}

static bool add_item(cJSON *array, cJSON *item)
{
    if (item && cJSON_AddItemToArray(array, item))
        return true;
    cJSON_Delete(item);
    return false;
}

static bool add_store(cJSON *root, const struct nc_set_info *info)
{
    cJSON *store = cJSON_AddObjectToObject(root, "store");
    return store && add_text(store, "path", info->store) &&
           add_bits(store, "fingerprint", info->store_fingerprint) &&
           nc_json_add_count(store, "rows", info->store_rows) &&
           nc_json_add_count(store, "blocks", info->blocks) &&
           nc_json_add_count(store, "dimension", info->dimension) &&
           add_text(store, "element_type", nc_type_name(info->type)) &&
           add_text(store, "model_hash", info->model_hash);
}

static bool add_counts(cJSON *root, const struct nc_set_info *info)
{
    cJSON *counts = cJSON_AddObjectToObject(root, "counts");
    return counts && nc_json_add_count(counts, "captions", info->captions) &&
           nc_json_add_count(counts, "examples", info->examples) &&
           nc_json_add_count(counts, "texts", info->texts) &&
           nc_json_add_count(counts, "tokens", info->tokens) &&
           nc_json_add_count(counts, "pictures", info->pictures) &&
           nc_json_add_count(counts, "distractors", info->distractors) &&
           nc_json_add_count(counts, "truncated", info->truncated) &&
           nc_json_add_count(counts, "negation_lost", info->negation_lost) &&
           nc_json_add_count(counts, "longest_text", info->longest_text) &&
           nc_json_add_count(counts, "longest_example", info->longest_example) &&
           nc_json_add_count(counts, "largest_block", info->largest_block);
}

static bool add_lists(cJSON *root, const struct nc_set_info *info)
{
    cJSON *roles = cJSON_AddArrayToObject(root, "roles");
    bool complete = roles != NULL;
    for (unsigned role = 0; role < NC_TEXT_ROLES && complete; role++)
        if (info->roles >> role & 1)
            complete = add_item(roles, cJSON_CreateString(nc_text_role_name(role)));
    cJSON *left_out = cJSON_AddArrayToObject(root, "left_out");
    complete = complete && left_out;
    for (size_t i = 0; i < info->left_out_count && complete; i++) {
        cJSON *item = cJSON_CreateObject();
        complete = item && add_text(item, "reason", info->left_out[i].reason) &&
                   nc_json_add_count(item, "count", info->left_out[i].count) &&
                   add_text(item, "first", info->left_out[i].first);
        complete = add_item(left_out, item) && complete;
    }
    cJSON *sources = cJSON_AddArrayToObject(root, "sources");
    complete = complete && sources;
    for (size_t i = 0; i < info->source_count && complete; i++) {
        cJSON *item = cJSON_CreateObject();
        complete = item && add_text(item, "path", info->sources[i]) &&
                   nc_json_add_count(item, "bytes", info->source_bytes[i]);
        complete = add_item(sources, item) && complete;
    }
    return complete;
}

static bool add_shards(cJSON *root, const struct set_listed *shards, size_t count)
{
    cJSON *array = cJSON_AddArrayToObject(root, "shards");
    bool complete = array != NULL;
    for (size_t i = 0; i < count && complete; i++) {
        char *path = set_shard_path("", i);
        cJSON *item = cJSON_CreateObject();
        complete = path && item && add_text(item, "file", path) &&
                   nc_json_add_count(item, "first_block", shards[i].first_block) &&
                   nc_json_add_count(item, "blocks", shards[i].blocks) &&
                   add_bits(item, "sum", shards[i].sum);
        complete = add_item(array, item) && complete;
        free(path);
    }
    return complete;
}

int set_write_info(const char *folder, const struct nc_set_info *info,
                   const struct set_listed *shards, size_t count)
{
    char *path = nc_path_join(folder, NC_SET_FILE);
    cJSON *root = cJSON_CreateObject();
    bool complete = path && root && add_text(root, "format", format_name) &&
                    nc_json_add_count(root, "version", SET_VERSION) && add_store(root, info) &&
                    add_bits(root, "tokenizer", info->tokenizer) &&
                    nc_json_add_count(root, "vocabulary", info->vocabulary) &&
                    nc_json_add_count(root, "context", info->context) &&
                    nc_json_add_count(root, "id_bytes", info->id_bytes) &&
                    add_text(root, "too_long", info->too_long) &&
                    cJSON_AddBoolToObject(root, "distractors", info->has_distractors) &&
                    add_counts(root, info) && add_lists(root, info) &&
                    add_shards(root, shards, count);
    int status;
    if (path) {
        status = nc_json_write(path, root, complete);
    } else {
        cJSON_Delete(root);
        status = nc_error(NC_FAILED, "%s: no memory", folder);
    }
    free(path);
    return status;
}

/* ---- reading ---- */

static int wrong(const char *path, const char *what)
{
    return nc_error(NC_BAD_INPUT,
                    "%s: damaged examples: %s; remove the set and run nclip prepare again", path,
                    what);
}

static int read_bits(const char *path, const cJSON *object, const char *key, uint64_t *bits)
{
    const char *text;
    int status = nc_json_string(path, object, key, &text);
    if (status != NC_OK)
        return status;
    if (strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16)
        return nc_error(NC_BAD_INPUT, "%s: \"%s\" is not 16 hexadecimal digits", path, key);
    *bits = strtoull(text, NULL, 16);
    return NC_OK;
}

static int read_count(const char *path, const cJSON *object, const char *key, uint64_t *value)
{
    size_t size = 0;
    int status = nc_json_size(path, object, key, &size);
    *value = size;
    return status;
}

static int read_store(const char *path, const cJSON *root, struct nc_set_info *info)
{
    const cJSON *store;
    const char *type = "";
    int status = nc_json_object(path, root, "store", &store);
    if (status == NC_OK)
        status = nc_json_string(path, store, "path", &info->store);
    if (status == NC_OK)
        status = read_bits(path, store, "fingerprint", &info->store_fingerprint);
    if (status == NC_OK)
        status = nc_json_size(path, store, "rows", &info->store_rows);
    if (status == NC_OK)
        status = nc_json_size(path, store, "blocks", &info->blocks);
    if (status == NC_OK)
        status = nc_json_size(path, store, "dimension", &info->dimension);
    if (status == NC_OK)
        status = nc_json_string(path, store, "element_type", &type);
    if (status == NC_OK)
        status = nc_json_string(path, store, "model_hash", &info->model_hash);
    info->type = nc_type_named(type);
    if (status == NC_OK && (strcmp(nc_type_name(info->type), type) != 0 || !info->dimension ||
                            info->dimension > 1 << 20))
        status = wrong(path, "its store is none of embeddings");
    return status;
}

static int read_counts(const char *path, const cJSON *root, struct nc_set_info *info)
{
    const struct {
        const char *key;
        uint64_t *value;
    } wanted[] = {
        {"captions", &info->captions},   {"examples", &info->examples},
        {"texts", &info->texts},         {"tokens", &info->tokens},
        {"pictures", &info->pictures},   {"distractors", &info->distractors},
        {"truncated", &info->truncated}, {"negation_lost", &info->negation_lost},
    };
    const cJSON *counts;
    int status = nc_json_object(path, root, "counts", &counts);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted && status == NC_OK; i++)
        status = read_count(path, counts, wanted[i].key, wanted[i].value);
    if (status == NC_OK)
        status = nc_json_size(path, counts, "longest_text", &info->longest_text);
    if (status == NC_OK)
        status = nc_json_size(path, counts, "longest_example", &info->longest_example);
    if (status == NC_OK)
        status = nc_json_size(path, counts, "largest_block", &info->largest_block);
    return status;
}

static int read_roles(const char *path, const cJSON *root, unsigned *roles)
{
    const cJSON *array, *item;
    int status = nc_json_array(path, root, "roles", &array);
    if (status != NC_OK)
        return status;
    cJSON_ArrayForEach(item, array)
    {
        unsigned role = 0;
        while (role < NC_TEXT_ROLES && !(cJSON_IsString(item) &&
                                    strcmp(item->valuestring, nc_text_role_name(role)) == 0))
            role++;
        if (role == NC_TEXT_ROLES)
            return wrong(path, "it names a role that this program does not know");
        *roles |= 1u << role;
    }
    return *roles & 1u << NC_TEXT_CAPTION ? NC_OK : wrong(path, "its examples have no captions");
}

/* Lists as long as the tree's arrays. */
static int read_lists(const char *path, const cJSON *root, struct set_description *d)
{
    const cJSON *left_out, *sources, *shards, *item;
    int status = nc_json_array(path, root, "left_out", &left_out);
    if (status == NC_OK)
        status = nc_json_array(path, root, "sources", &sources);
    if (status == NC_OK)
        status = nc_json_array(path, root, "shards", &shards);
    if (status != NC_OK)
        return status;
    struct nc_set_info *info = &d->info;
    size_t left = (size_t)cJSON_GetArraySize(left_out), named = (size_t)cJSON_GetArraySize(sources);
    struct nc_set_left_out *reasons;
    uint64_t *bytes;
    const char **paths;
    d->lists = calloc(1, left * sizeof *reasons + named * (sizeof *paths + sizeof *bytes) + 1);
    d->count = (size_t)cJSON_GetArraySize(shards);
    d->shards = calloc(d->count ? d->count : 1, sizeof *d->shards);
    if (!d->lists || !d->shards)
        return nc_error(NC_FAILED, "%s: no memory", path);
    info->left_out = reasons = d->lists;
    info->source_bytes = bytes = (uint64_t *)(reasons + left);
    info->sources = paths = (const char **)(bytes + named);
    cJSON_ArrayForEach(item, left_out)
    {
        struct nc_set_left_out *reason = &reasons[info->left_out_count++];
        status = nc_json_string(path, item, "reason", &reason->reason);
        if (status == NC_OK)
            status = read_count(path, item, "count", &reason->count);
        if (status == NC_OK)
            status = nc_json_string(path, item, "first", &reason->first);
        if (status != NC_OK)
            return status;
    }
    cJSON_ArrayForEach(item, sources)
    {
        status = nc_json_string(path, item, "path", &paths[info->source_count]);
        if (status == NC_OK)
            status = read_count(path, item, "bytes", &bytes[info->source_count++]);
        if (status != NC_OK)
            return status;
    }
    size_t number = 0;
    cJSON_ArrayForEach(item, shards)
    {
        struct set_listed *shard = &d->shards[number++];
        status = nc_json_size(path, item, "first_block", &shard->first_block);
        if (status == NC_OK)
            status = nc_json_size(path, item, "blocks", &shard->blocks);
        if (status == NC_OK)
            status = read_bits(path, item, "sum", &shard->sum);
        if (status != NC_OK)
            return status;
    }
    return NC_OK;
}

static int read_tokens(const char *path, const cJSON *root, struct nc_set_info *info)
{
    int status = read_bits(path, root, "tokenizer", &info->tokenizer);
    if (status == NC_OK)
        status = nc_json_size(path, root, "vocabulary", &info->vocabulary);
    if (status == NC_OK)
        status = nc_json_size(path, root, "context", &info->context);
    if (status == NC_OK)
        status = nc_json_size(path, root, "id_bytes", &info->id_bytes);
    if (status == NC_OK)
        status = nc_json_string(path, root, "too_long", &info->too_long);
    if (status == NC_OK)
        status = nc_json_optional_bool(path, root, "distractors", &info->has_distractors);
    if (status == NC_OK && (!info->vocabulary || info->vocabulary > INT32_MAX || !info->context ||
                            info->context > NC_SET_LONGEST ||
                            (info->id_bytes != 4 &&
                             (info->id_bytes != 2 || info->vocabulary > UINT16_MAX + 1))))
        status = wrong(path, "its vocabulary and context cannot be");
    return status;
}

static int read_tree(const char *path, const cJSON *root, struct set_description *d)
{
    const char *format = NULL;
    size_t version = 0;
    int status = nc_json_string(path, root, "format", &format);
    if (status == NC_OK && strcmp(format, format_name) != 0)
        status = nc_error(NC_BAD_INPUT, "%s: is not that of a prepared set", path);
    if (status == NC_OK)
        status = nc_json_size(path, root, "version", &version);
    if (status == NC_OK && version != SET_VERSION)
        status = nc_error(NC_BAD_INPUT,
                          "%s: a prepared set of format version %zu, but this program reads %d",
                          path, version, SET_VERSION);
    if (status == NC_OK)
        status = read_store(path, root, &d->info);
    if (status == NC_OK)
        status = read_tokens(path, root, &d->info);
    if (status == NC_OK)
        status = read_counts(path, root, &d->info);
    if (status == NC_OK)
        status = read_roles(path, root, &d->info.roles);
    return status == NC_OK ? read_lists(path, root, d) : status;
}

int set_read_info(const char *folder, struct set_description *d)
{
    *d = (struct set_description){0};
    if (!nc_folder_holds(folder, NC_SET_FILE)) {
        char *work = nc_path_join(folder, NC_SET_WORK);
        bool unfinished = work && nc_folder_exists(work);
        free(work);
        if (unfinished)
            return nc_error(NC_BAD_INPUT,
                            "%s: nclip prepare was stopped before the set was complete; the same "
                            "command goes on where it stopped",
                            folder);
        return nc_error(NC_BAD_INPUT,
                        "%s: no prepared set: it holds no " NC_SET_FILE "; make one with nclip "
                        "prepare --captions FILE --embeddings STORE --model DIR --out %s",
                        folder, folder);
    }
    char *path = nc_path_join(folder, NC_SET_FILE);
    cJSON *root = NULL;
    int status = path ? nc_json_load(path, &root) : nc_error(NC_FAILED, "%s: no memory", folder);
    d->tree = root;
    if (status == NC_OK)
        status = read_tree(path, root, d);
    free(path);
    if (status != NC_OK)
        set_free_info(d);
    return status;
}

void set_free_info(struct set_description *d)
{
    cJSON_Delete(d->tree);
    free(d->lists);
    free(d->shards);
    *d = (struct set_description){0};
}
