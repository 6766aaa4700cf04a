/* Requests as a server wants them: what is sent otherwise since it refused something. What it
 * wants is read from its refusal by refusal.c. */
#include "parts.h"
#include "refusal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Bodies -------------------------------------------------------------------------------- */

static cJSON *get(cJSON *object, const char *name)
{
    return nc_json_member(object, name);
}

static bool is_role(cJSON *message, const char *role)
{
    const cJSON *item = get(message, "role");
    return cJSON_IsString(item) && strcmp(item->valuestring, role) == 0;
}

/* The message's text: its content, or the last of its parts that is text. */
static cJSON *text_of(cJSON *message)
{
    cJSON *content = get(message, "content"), *part, *found = NULL;
    if (cJSON_IsString(content))
        return content;
    cJSON_ArrayForEach(part, content)
    {
        cJSON *text = get(part, "text");
        if (cJSON_IsString(text))
            found = text;
    }
    return found;
}

/* False without memory. */
static bool join_system(cJSON *root)
{
    cJSON *messages = get(root, "messages"), *first = cJSON_GetArrayItem(messages, 0);
    cJSON *second = cJSON_GetArrayItem(messages, 1);
    cJSON *instruction = is_role(first, "system") ? text_of(first) : NULL;
    cJSON *asked = second ? text_of(second) : NULL;
    char *joined = NULL;
    if (!instruction || !asked)
        return true;
    if (asprintf(&joined, "%s\n\n%s", instruction->valuestring, asked->valuestring) < 0)
        return false;
    bool set = cJSON_SetValuestring(asked, joined) != NULL;
    free(joined);
    cJSON_DeleteItemFromArray(messages, 0);
    return set;
}

static void leave_out(cJSON *item, const char *name)
{
    cJSON_DeleteItemFromObjectCaseSensitive(item, name);
    for (cJSON *child = item->child; child; child = child->next)
        if (cJSON_IsObject(child) || cJSON_IsArray(child))
            leave_out(child, name);
}

static bool change_name(cJSON *root, const char *name, const char *to)
{
    cJSON *item = cJSON_DetachItemFromObjectCaseSensitive(root, name);
    if (!item || get(root, to)) {
        cJSON_Delete(item);
        return true;
    }
    if (cJSON_AddItemToObject(root, to, item))
        return true;
    cJSON_Delete(item);
    return false;
}

/* False without memory. */
static bool apply_one(const struct chat_change *change, cJSON *root)
{
    cJSON *item = get(root, change->name);
    switch (change->kind) {
    case CHAT_RENAME:
        return change_name(root, change->name, change->to);
    case CHAT_LEAVE_OUT:
        leave_out(root, change->name);
        return true;
    case CHAT_BOUND:
        if (cJSON_IsNumber(item))
            cJSON_SetNumberValue(item, fmin(fmax(item->valuedouble, change->least), change->most));
        return true;
    case CHAT_SWITCH_ON:
        return !item || cJSON_ReplaceItemInObjectCaseSensitive(root, change->name,
                                                              cJSON_CreateTrue());
    case CHAT_NO_SYSTEM:
        return join_system(root);
    }
    return true;
}

char *chat_changes_apply(const struct chat_changes *changes, size_t count, const char *body,
                         size_t room, bool reasons)
{
    cJSON *root = nc_json_try(body, strlen(body));
    bool made = root != NULL;
    cJSON *limit = made ? get(root, "max_tokens") : NULL;
    if (limit && room)
        cJSON_SetNumberValue(limit, limit->valuedouble + (double)room);
    if (made && reasons)
        cJSON_DeleteItemFromObjectCaseSensitive(root, "stop");
    for (size_t i = 0; i < count && made; i++)
        made = changes->items[i].taken_back || apply_one(&changes->items[i], root);
    char *text = made ? cJSON_PrintUnformatted(root) : NULL;
    cJSON_Delete(root);
    return text;
}

/* ---- What is remembered ---------------------------------------------------------------------- */

static bool is_known(const struct chat_changes *changes, const struct chat_change *change)
{
    for (size_t i = 0; i < changes->count; i++) {
        const struct chat_change *old = &changes->items[i];
        if (!old->taken_back && old->kind == change->kind && strcmp(old->name, change->name) == 0 &&
            strcmp(old->to, change->to) == 0 && old->least >= change->least &&
            old->most <= change->most)
            return true;
    }
    return false;
}

enum chat_lesson chat_changes_learn(struct chat_changes *changes, const char *sent, size_t room,
                                    const struct chat_complaint *complaint, const void *from)
{
    struct chat_change change = {.least = -INFINITY, .most = INFINITY, .from = from};
    cJSON *root = nc_json_try(sent, strlen(sent));
    enum chat_lesson lesson =
        root ? chat_refusal_read(root, room, complaint, &change) : CHAT_LEARNED_NOTHING;
    cJSON_Delete(root);
    if (lesson != CHAT_LEARNED)
        return lesson;
    if (is_known(changes, &change) || changes->count == CHAT_MOST_CHANGES)
        return CHAT_LEARNED_NOTHING;
    changes->items[changes->count++] = change;
    return CHAT_LEARNED;
}

void chat_changes_take_back(struct chat_changes *changes, const void *from)
{
    for (size_t i = 0; i < changes->count; i++) {
        struct chat_change *change = &changes->items[i];
        if (change->from == from && !change->proved)
            change->taken_back = true;
    }
}

void chat_changes_prove(struct chat_changes *changes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        changes->items[i].proved = true;
}

void chat_changes_describe(const struct chat_changes *changes, char *text, size_t capacity)
{
    size_t used = 0;
    *text = 0;
    for (size_t i = 0; i < changes->count && used < capacity; i++) {
        const struct chat_change *change = &changes->items[i];
        char what[160] = "";
        if (change->taken_back)
            continue;
        if (change->kind == CHAT_RENAME)
            snprintf(what, sizeof what, "%s is sent", change->to);
        else if (change->kind == CHAT_BOUND && change->least == change->most)
            snprintf(what, sizeof what, "%g is sent", change->least);
        else if (change->kind == CHAT_BOUND && isinf(change->most))
            snprintf(what, sizeof what, "%g or more is sent", change->least);
        else if (change->kind == CHAT_BOUND && isinf(change->least))
            snprintf(what, sizeof what, "%g or less is sent", change->most);
        else if (change->kind == CHAT_BOUND)
            snprintf(what, sizeof what, "%g to %g is sent", change->least, change->most);
        else if (change->kind == CHAT_SWITCH_ON)
            snprintf(what, sizeof what, "asked for");
        else if (change->kind == CHAT_NO_SYSTEM)
            snprintf(what, sizeof what, "it stands before what the user says");
        else
            snprintf(what, sizeof what, "left out");
        used += (size_t)snprintf(text + used, capacity - used, "%s%s (%s)", used ? ", " : "",
                                 change->name, what);
    }
}
