/* The index of keys and the list of skipped pictures. */
#include "embedding_store_format.h"

#include "nclip/error.h"
#include "nclip/files.h"
#include "nclip/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* ---- key -> number ---- */

struct nc_key_slot {
    uint64_t hash;
    size_t number; /* plus 1; 0: empty */
};

bool nc_key_index_reserve(struct nc_key_index *index, size_t count)
{
    size_t capacity = index->capacity ? index->capacity : 64;
    while (capacity / 2 < count) { /* at most half full */
        if (capacity > SIZE_MAX / 4 / sizeof *index->slots)
            return false;
        capacity *= 2;
    }
    if (capacity == index->capacity)
        return true;
    struct nc_key_slot *slots = calloc(capacity, sizeof *slots);
    if (!slots)
        return false;
    for (size_t i = 0; i < index->capacity; i++) {
        struct nc_key_slot slot = index->slots[i];
        size_t at = (size_t)slot.hash & (capacity - 1);
        while (slot.number && slots[at].number)
            at = (at + 1) & (capacity - 1);
        if (slot.number)
            slots[at] = slot;
    }
    free(index->slots);
    index->slots = slots;
    index->capacity = capacity;
    return true;
}

void nc_key_index_free(struct nc_key_index *index)
{
    free(index->slots);
    *index = (struct nc_key_index){0};
}

/* The slot of the key, or the empty one where it would go. */
static struct nc_key_slot *slot_of(const struct nc_key_index *index, const char *const *keys,
                                   const char *key, uint64_t hash)
{
    size_t at = (size_t)hash & (index->capacity - 1);
    for (;; at = (at + 1) & (index->capacity - 1)) {
        struct nc_key_slot *slot = &index->slots[at];
        if (!slot->number || (slot->hash == hash && strcmp(keys[slot->number - 1], key) == 0))
            return slot;
    }
}

bool nc_key_index_insert(struct nc_key_index *index, const char *const *keys, size_t *number)
{
    const char *key = keys[*number];
    uint64_t hash = XXH3_64bits(key, strlen(key));
    struct nc_key_slot *slot = slot_of(index, keys, key, hash);
    if (slot->number) {
        *number = slot->number - 1;
        return false;
    }
    *slot = (struct nc_key_slot){hash, *number + 1};
    index->count++;
    return true;
}

bool nc_key_index_find(const struct nc_key_index *index, const char *const *keys, const char *key,
                       size_t *number)
{
    if (!index->capacity)
        return false;
    const struct nc_key_slot *slot = slot_of(index, keys, key, XXH3_64bits(key, strlen(key)));
    if (!slot->number)
        return false;
    *number = slot->number - 1;
    return true;
}

/* ---- skipped.jsonl ---- */

enum { SKIPPED_LIMIT = 1 << 30 };

static const char skipped_name[] = "skipped.jsonl";

int nc_skipped_note(struct nc_skipped *s, const char *key, const char *reason)
{
    size_t number;
    char *copy = strdup(reason);
    if (!copy)
        goto no_memory;
    if (!nc_key_index_find(&s->index, s->keys, key, &number)) {
        if (s->count == s->capacity) {
            size_t capacity = s->capacity ? 2 * s->capacity : 64;
            const char **keys = realloc(s->keys, capacity * sizeof *keys);
            if (keys)
                s->keys = keys;
            char **reasons = realloc(s->reasons, capacity * sizeof *reasons);
            if (reasons)
                s->reasons = reasons;
            if (!keys || !reasons)
                goto no_memory;
            s->capacity = capacity;
        }
        s->keys[s->count] = strdup(key);
        if (!s->keys[s->count] || !nc_key_index_reserve(&s->index, s->count + 1)) {
            free((char *)s->keys[s->count]);
            goto no_memory;
        }
        number = s->count++;
        s->reasons[number] = NULL;
        nc_key_index_insert(&s->index, s->keys, &number);
    }
    s->noted += !s->reasons[number];
    free(s->reasons[number]);
    s->reasons[number] = copy;
    return NC_OK;

no_memory:
    free(copy);
    return nc_error(NC_FAILED, "%s: no memory", key);
}

bool nc_skipped_take_back(struct nc_skipped *s, const char *key)
{
    size_t number;
    if (!nc_key_index_find(&s->index, s->keys, key, &number) || !s->reasons[number])
        return false;
    free(s->reasons[number]);
    s->reasons[number] = NULL;
    s->noted--;
    return true;
}

void nc_skipped_free(struct nc_skipped *s)
{
    for (size_t i = 0; i < s->count; i++) {
        free((char *)s->keys[i]);
        free(s->reasons[i]);
    }
    free(s->keys);
    free(s->reasons);
    nc_key_index_free(&s->index);
    *s = (struct nc_skipped){0};
}

static int load_line(struct nc_skipped *s, const char *where, const char *text, size_t size)
{
    cJSON *object = NULL;
    const char *key = NULL, *reason = NULL;
    int status = nc_json_parse(where, text, size, &object);
    if (status == NC_OK)
        status = nc_json_string(where, object, "key", &key);
    if (status == NC_OK)
        status = nc_json_string(where, object, "reason", &reason);
    if (status == NC_OK)
        status = nc_skipped_note(s, key, reason);
    cJSON_Delete(object);
    return status;
}

int nc_skipped_load(const char *folder, struct nc_skipped *s)
{
    *s = (struct nc_skipped){0};
    char *path = nc_path_join(folder, skipped_name), *text = NULL, *where = NULL;
    size_t size = 0, line = 1;
    int status = path ? NC_OK : nc_error(NC_FAILED, "%s: no memory", folder);
    if (status == NC_OK && nc_file_exists(path))
        status = nc_file_read(path, SKIPPED_LIMIT, &text, &size);
    const char *at = text, *end = text ? text + size : NULL;
    for (; status == NC_OK && at < end; line++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline ? newline : end;
        free(where);
        where = NULL;
        if (asprintf(&where, "%s line %zu", path, line) < 0) {
            where = NULL;
            status = nc_error(NC_FAILED, "%s: no memory", path);
        } else if (stop > at) {
            status = load_line(s, where, at, (size_t)(stop - at));
        }
        at = newline ? newline + 1 : end;
    }
    free(where);
    free(text);
    free(path);
    if (status != NC_OK)
        nc_skipped_free(s);
    return status;
}

static char *line_of(const char *key, const char *reason)
{
    cJSON *object = cJSON_CreateObject();
    char *line = NULL;
    if (object && cJSON_AddStringToObject(object, "key", key) &&
        cJSON_AddStringToObject(object, "reason", reason))
        line = cJSON_PrintUnformatted(object);
    cJSON_Delete(object);
    return line;
}

int nc_skipped_save(const char *folder, const struct nc_skipped *s)
{
    struct nc_writer *writer = NULL;
    char *path = nc_path_join(folder, skipped_name);
    int status =
        path ? nc_writer_create(path, &writer) : nc_error(NC_FAILED, "%s: no memory", folder);
    for (size_t i = 0; status == NC_OK && i < s->count; i++) {
        if (!s->reasons[i])
            continue;
        char *line = line_of(s->keys[i], s->reasons[i]);
        status = line ? nc_writer_printf(writer, "%s\n", line)
                      : nc_error(NC_FAILED, "%s: no memory", path);
        cJSON_free(line);
    }
    if (status == NC_OK)
        status = nc_writer_commit(writer);
    else
        nc_writer_abort(writer);
    free(path);
    return status;
}
