/* Saves and loads what a call of nclip prepare needs to go on where an earlier one stopped. */
#include "prepare.h"

#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE_FILE "state.json"

const char *prepare_reason_name(enum prepare_reason reason)
{
    static const char *const names[PREPARE_REASONS] = {
        [PREPARE_MALFORMED] = "malformed",
        [PREPARE_PICTURE_MISSING] = "picture_not_in_store",
        [PREPARE_TOO_LONG + NC_TEXT_CAPTION] = "caption_too_long",
        [PREPARE_TOO_LONG + NC_TEXT_CONTRADICTION] = "contradiction_too_long",
        [PREPARE_TOO_LONG + NC_TEXT_ABSENCE] = "absence_too_long",
        [PREPARE_TOO_LONG + NC_TEXT_PARAPHRASE] = "paraphrase_too_long",
        [PREPARE_TOO_LONG + NC_TEXT_CHOICES] = "choice_too_long",
        [PREPARE_DISTRACTOR_MISSING] = "distractor_not_in_store",
    };
    return names[reason];
}

/* The numbers of a state, each under its key. */
struct number {
    const char *key;
    uint64_t *value;
};
enum { NUMBERS = 15 };

static void list_numbers(struct prepare_state *s, struct number numbers[NUMBERS])
{
    struct prepare_counts *c = &s->counts;
    const struct number list[NUMBERS] = {
        {"records", &s->records},
        {"spill_bytes", &s->spill.bytes},
        {"spill_chunks", &s->spill.chunks},
        {"next_block", &s->next_block},
        {"shards", &s->shards},
        {"examples", &c->examples},
        {"texts", &c->texts},
        {"tokens", &c->tokens},
        {"distractors", &c->distractors},
        {"truncated", &c->truncated},
        {"negation_lost", &c->negation_lost},
        {"longest_text", &c->longest_text},
        {"longest_example", &c->longest_example},
        {"pictures", &c->pictures},
        {"largest_block", &c->largest_block},
    };
    memcpy(numbers, list, sizeof list);
}

static bool add_bits(cJSON *object, const char *key, uint64_t bits)
{
    char text[17];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)bits);
    return cJSON_AddStringToObject(object, key, text) != NULL;
}

/* What must be the same in the call that goes on. */
static cJSON *describe_call(const struct prepare *p)
{
    const struct nc_set_info *info = &p->info;
    cJSON *call = cJSON_CreateObject();
    bool made = call && add_bits(call, "embeddings", info->store_fingerprint) &&
                add_bits(call, "tokenizer", info->tokenizer) &&
                nc_json_add_count(call, "vocabulary", info->vocabulary) &&
                nc_json_add_count(call, "context", info->context) &&
                cJSON_AddStringToObject(call, "too long", info->too_long) &&
                cJSON_AddBoolToObject(call, "skip malformed", p->options->skip_malformed);
    cJSON *sources = made ? cJSON_AddArrayToObject(call, "captions") : NULL;
    made = sources != NULL;
    for (size_t i = 0; i < info->source_count && made; i++) {
        cJSON *item = cJSON_CreateString(info->sources[i]);
        made = item && cJSON_AddItemToArray(sources, item);
    }
    if (made)
        return call;
    cJSON_Delete(call);
    return NULL;
}

int prepare_save(struct prepare *p)
{
    struct number numbers[NUMBERS];
    int status = p->state.joined ? NC_OK : spill_sync(p->spill, &p->state.spill);
    if (status != NC_OK)
        return status;
    char *path = nc_path_join(p->work, STATE_FILE);
    cJSON *root = cJSON_CreateObject(), *call = describe_call(p);
    bool made = path && root && call && cJSON_AddItemToObject(root, "call", call) &&
                cJSON_AddBoolToObject(root, "joined", p->state.joined) &&
                add_bits(root, "hash", p->state.hash) &&
                nc_json_add_count(root, "roles", p->state.counts.roles);
    list_numbers(&p->state, numbers);
    for (size_t i = 0; i < NUMBERS && made; i++)
        made = nc_json_add_count(root, numbers[i].key, *numbers[i].value);
    cJSON *left_out = made ? cJSON_AddArrayToObject(root, "left_out") : NULL;
    made = left_out != NULL;
    for (size_t i = 0; i < PREPARE_REASONS && made; i++) {
        cJSON *item = cJSON_CreateObject();
        made = item && cJSON_AddItemToArray(left_out, item) &&
               nc_json_add_count(item, "count", p->state.counts.left_out[i].count) &&
               cJSON_AddStringToObject(item, "first", p->state.counts.left_out[i].first);
    }
    if (path) {
        status = nc_json_write(path, root, made);
    } else {
        cJSON_Delete(root);
        status = nc_error(NC_FAILED, "%s: no memory", p->work);
    }
    free(path);
    p->saved = nc_seconds();
    return status;
}

/* As they are written: whole numbers here are raw text in one tree, and numbers in the other. */
static bool same_value(const cJSON *a, const cJSON *b)
{
    char *first = cJSON_PrintUnformatted(a), *second = b ? cJSON_PrintUnformatted(b) : NULL;
    bool same = first && second && strcmp(first, second) == 0;
    cJSON_free(first);
    cJSON_free(second);
    return same;
}

/* Compares the call that the state is of with this one, member by member. */
static int compare_calls(const struct prepare *p, const cJSON *before)
{
    int status = NC_OK;
    cJSON *now = describe_call(p);
    if (!now)
        return nc_error(NC_FAILED, "%s: no memory", p->work);
    for (const cJSON *member = now->child; member && status == NC_OK; member = member->next)
        if (!same_value(member, nc_json_member(before, member->string)))
            status = nc_error(NC_USAGE,
                              "%s: half of a set is there, made with another \"%s\"; go on with "
                              "the same command, give another --out, or remove it",
                              p->options->out, member->string);
    cJSON_Delete(now);
    return status;
}

static int read_state(const char *path, const cJSON *root, struct prepare_state *s)
{
    struct number numbers[NUMBERS];
    const char *hash = NULL;
    const cJSON *left_out = NULL, *item;
    size_t roles = 0;
    int status = nc_json_optional_bool(path, root, "joined", &s->joined);
    if (status == NC_OK)
        status = nc_json_string(path, root, "hash", &hash);
    if (status == NC_OK)
        status = nc_json_size(path, root, "roles", &roles);
    list_numbers(s, numbers);
    for (size_t i = 0; i < NUMBERS && status == NC_OK; i++) {
        size_t value = 0;
        status = nc_json_size(path, root, numbers[i].key, &value);
        *numbers[i].value = value;
    }
    if (status == NC_OK)
        status = nc_json_array(path, root, "left_out", &left_out);
    if (status != NC_OK)
        return status;
    s->hash = strtoull(hash, NULL, 16);
    s->counts.roles = (unsigned)roles;
    if (cJSON_GetArraySize(left_out) != PREPARE_REASONS)
        return nc_error(NC_BAD_INPUT, "%s: of another version; remove its folder", path);
    struct prepare_left_out *reason = s->counts.left_out;
    cJSON_ArrayForEach(item, left_out)
    {
        size_t count = 0;
        const char *first;
        status = nc_json_size(path, item, "count", &count);
        if (status == NC_OK)
            status = nc_json_string(path, item, "first", &first);
        if (status != NC_OK)
            return status;
        reason->count = count;
        snprintf(reason->first, sizeof reason->first, "%s", first);
        reason++;
    }
    return NC_OK;
}

int prepare_load(struct prepare *p, bool *found)
{
    *found = nc_folder_holds(p->work, STATE_FILE);
    if (!*found)
        return NC_OK;
    char *path = nc_path_join(p->work, STATE_FILE);
    cJSON *root = NULL;
    int status = path ? nc_json_load(path, &root) : nc_error(NC_FAILED, "%s: no memory", p->work);
    if (status == NC_OK)
        status = compare_calls(p, nc_json_member(root, "call"));
    if (status == NC_OK)
        status = read_state(path, root, &p->state);
    cJSON_Delete(root);
    free(path);
    return status;
}
