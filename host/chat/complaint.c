/* A server's own words about an error, from the many shapes that they come in:
 *
 *     {"error": {"message": "...", "type": "...", "param": "max_tokens", "code": 503}}   OpenAI
 *     {"error": "model not found"}                                                       Ollama
 *     {"object": "error", "message": "...", "code": 400}                                 vLLM
 *     {"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}   FastAPI
 *     [{"error": {"code": 400, "message": "...", "status": "INVALID_ARGUMENT"}}]         Gemini
 *     {"error": {"message": "Provider returned error", "metadata": {"raw": "..."}}}      OpenRouter
 *     {"success": false, "errors": [{"code": 7003, "message": "..."}]}                   Cloudflare
 */
#include "parts.h"

#include "nclip/support/terminal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { DEEPEST = 5, MOST_SENTENCES = 4 };

static const cJSON *member(const cJSON *object, const char *name)
{
    return nc_json_member(object, name);
}

static void append(char *text, size_t capacity, const char *more)
{
    size_t used = strlen(text);
    if (used + 1 < capacity)
        snprintf(text + used, capacity - used, "%s", more);
}

/* ---- Words -------------------------------------------------------------------------------- */

static bool add_sentences(const cJSON *item, struct chat_complaint *complaint, int depth);

/* "seed: Extra inputs are not permitted" of what FastAPI says. */
static void add_place(const cJSON *item, struct chat_complaint *complaint)
{
    const cJSON *place = member(item, "loc"), *part, *name = NULL;
    cJSON_ArrayForEach(part, place)
    {
        if (cJSON_IsString(part) && strcmp(part->valuestring, "body") != 0)
            name = part;
    }
    if (!name)
        return;
    append(complaint->names, sizeof complaint->names, name->valuestring);
    append(complaint->names, sizeof complaint->names, " ");
    append(complaint->text, sizeof complaint->text, name->valuestring);
    append(complaint->text, sizeof complaint->text, ": ");
}

static bool add_object(const cJSON *item, struct chat_complaint *complaint, int depth)
{
    static const char *const names[] = {"error",         "message",           "msg",
                                        "detail",        "errors",            "error_message",
                                        "error_msg",     "error_description", "errorMessage",
                                        "title",         "reason",            "description"};
    const cJSON *param = member(item, "param"), *raw = member(member(item, "metadata"), "raw");
    bool found = false;
    if (cJSON_IsString(param)) {
        append(complaint->names, sizeof complaint->names, param->valuestring);
        append(complaint->names, sizeof complaint->names, " ");
    }
    add_place(item, complaint);
    for (size_t i = 0; i < sizeof names / sizeof *names && !found; i++)
        found = add_sentences(member(item, names[i]), complaint, depth + 1);
    if (cJSON_IsString(raw)) {
        append(complaint->text, sizeof complaint->text, found ? ": " : "");
        append(complaint->text, sizeof complaint->text, raw->valuestring);
        found = true;
    }
    return found;
}

static bool add_sentences(const cJSON *item, struct chat_complaint *complaint, int depth)
{
    if (depth > DEEPEST)
        return false;
    if (cJSON_IsString(item)) {
        append(complaint->text, sizeof complaint->text, item->valuestring);
        return *item->valuestring;
    }
    if (cJSON_IsObject(item))
        return add_object(item, complaint, depth);
    bool found = false;
    int count = 0;
    const cJSON *part;
    if (!cJSON_IsArray(item))
        return false;
    cJSON_ArrayForEach(part, item)
    {
        if (count++ == MOST_SENTENCES)
            break;
        if (found)
            append(complaint->text, sizeof complaint->text, "; ");
        found |= add_sentences(part, complaint, depth + 1);
    }
    return found;
}

/* ---- Kinds -------------------------------------------------------------------------------- */

static size_t status_of(const cJSON *code)
{
    double value = 0;
    if (cJSON_IsNumber(code))
        value = code->valuedouble;
    else if (cJSON_IsString(code) && strspn(code->valuestring, "0123456789") == 3 &&
             !code->valuestring[3])
        value = atoi(code->valuestring);
    return value >= 400 && value < 600 ? (size_t)value : 0;
}

static void note_kind(const char *word, struct chat_complaint *complaint)
{
    static const struct {
        const char *piece;
        size_t status;
    } kinds[] = {
        {"insufficient_quota", 429}, {"billing", 402},       {"invalid_request", 400},
        {"invalid_argument", 400},   {"unsupported", 400},   {"badrequest", 400},
        {"bad_request", 400},        {"authentication", 401}, {"invalid_api_key", 401},
        {"permission", 403},         {"not_found", 404},     {"rate_limit", 429},
        {"resource_exhausted", 429}, {"overloaded", 503},    {"unavailable", 503},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!strcasestr(word, kinds[i].piece))
            continue;
        complaint->paid_up |= i < 2;
        if (!complaint->status)
            complaint->status = kinds[i].status;
    }
}

static void read_kind(const cJSON *item, struct chat_complaint *complaint)
{
    static const char *const names[] = {"code", "status", "status_code", "http_status", "type"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const cJSON *value = member(item, names[i]);
        if (!complaint->status)
            complaint->status = status_of(value);
        if (cJSON_IsString(value))
            note_kind(value->valuestring, complaint);
    }
}

bool chat_complaint_find(const cJSON *root, struct chat_complaint *complaint)
{
    *complaint = (struct chat_complaint){0};
    const cJSON *whole = cJSON_IsArray(root) ? cJSON_GetArrayItem(root, 0) : root;
    const cJSON *error = member(whole, "error"), *errors = member(whole, "errors");
    const cJSON *failed = member(whole, "success"), *object = member(whole, "object");
    bool told = (error && !cJSON_IsNull(error) && !cJSON_IsFalse(error)) ||
                cJSON_GetArraySize(errors) > 0 || cJSON_IsFalse(failed) ||
                (cJSON_IsString(object) && strcmp(object->valuestring, "error") == 0) ||
                (!member(whole, "choices") &&
                 (member(whole, "detail") || member(whole, "message") || member(whole, "msg") ||
                  member(whole, "error_msg") || member(whole, "errorMessage")));
    if (!told)
        return false;
    (void)add_sentences(whole, complaint, 0);
    read_kind(error, complaint);
    read_kind(whole, complaint);
    nc_terminal_tame(complaint->text, "");
    return true;
}

/* ---- Anything ------------------------------------------------------------------------------ */

/* The words of a text or of a page: its tags, scripts and styles left out. The bytes end with a
 * zero. */
static void read_page(const char *bytes, size_t size, char *text, size_t capacity)
{
    size_t used = 0;
    bool page = strcasestr(bytes, "<html") || strcasestr(bytes, "<!doctype");
    bool tag = false, space = true;
    for (size_t i = 0; i < size && used + 1 < capacity; i++) {
        static const char *const dark[] = {"<script", "<style", "<head"};
        static const char *const light[] = {"</script", "</style", "</head"};
        for (size_t k = 0; k < 3 && page && bytes[i] == '<'; k++) {
            if (strncasecmp(bytes + i, dark[k], strlen(dark[k])) != 0)
                continue;
            const char *end = strcasestr(bytes + i, light[k]);
            i = end ? (size_t)(end - bytes) : i;
        }
        char character = bytes[i];
        if (character == '<' && page)
            tag = true;
        bool blank = tag || isspace((unsigned char)character);
        if (!blank || !space)
            text[used++] = blank ? ' ' : character;
        space = blank;
        tag = tag && character != '>';
    }
    while (used && text[used - 1] == ' ')
        used--;
    text[used] = 0;
}

void chat_complaint_read(const char *bytes, size_t size, struct chat_complaint *complaint)
{
    bool whole;
    *complaint = (struct chat_complaint){0};
    cJSON *root = chat_stream_is(bytes, size) ? chat_stream_read(bytes, size, &whole)
                                              : nc_json_try(bytes, size);
    if (!root || !chat_complaint_find(root, complaint) || !*complaint->text) {
        read_page(bytes, size, complaint->text, sizeof complaint->text);
        nc_terminal_tame(complaint->text, "");
    }
    cJSON_Delete(root);
}
