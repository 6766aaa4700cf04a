/* Reads a server's answer: the text without the model's reasoning, and how it ended. */
#include "parts.h"

#include "nclip/support/text_stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const cJSON *member(const cJSON *object, const char *name)
{
    return nc_json_member(object, name);
}

static bool is_text(const cJSON *item)
{
    return cJSON_IsString(item) && *item->valuestring;
}

static bool contains(const cJSON *item, const char *const pieces[], size_t count)
{
    for (size_t i = 0; i < count && cJSON_IsString(item); i++)
        if (strcasestr(item->valuestring, pieces[i]))
            return true;
    return false;
}

/* "length", "max_tokens", "MAX_TOKENS", "model_length", ... */
static bool says_cut(const cJSON *finish)
{
    static const char *const pieces[] = {"length", "max_", "token"};
    return contains(finish, pieces, sizeof pieces / sizeof *pieces);
}

/* "content_filter", "SAFETY", "refusal", ... */
static bool says_refused(const cJSON *finish)
{
    static const char *const pieces[] = {"filter", "safety", "refus", "prohibit", "block", "recit"};
    return contains(finish, pieces, sizeof pieces / sizeof *pieces);
}

/* ---- The parts of an answer ---------------------------------------------------------------- */

/* A string, nothing, or a list of parts whose texts belong together. *wrong: something else; NULL
 * and not *wrong: no memory. */
static char *content_text(const cJSON *content, bool *thoughts, bool *wrong)
{
    struct nc_text_stream stream;
    if (cJSON_IsString(content))
        return strdup(content->valuestring);
    if (!content || cJSON_IsNull(content))
        return strdup("");
    *wrong = !cJSON_IsArray(content);
    if (*wrong)
        return NULL;
    nc_text_stream_open(&stream);
    if (!stream.file)
        return NULL;
    const cJSON *part;
    cJSON_ArrayForEach(part, content)
    {
        static const char *const kinds[] = {"think", "reason", "thought"};
        const cJSON *piece = member(part, "text");
        if (contains(member(part, "type"), kinds, 3) || cJSON_IsTrue(member(part, "thought")))
            *thoughts = true;
        else if (cJSON_IsString(piece))
            fputs(piece->valuestring, stream.file);
        else if (cJSON_IsString(part))
            fputs(part->valuestring, stream.file);
    }
    return nc_text_stream_close(&stream);
}

/* Members beside the content in which servers keep reasoning apart, and what they count of it. */
static bool tells_of_reasoning(const cJSON *message, const cJSON *usage, double *tokens)
{
    static const char *const texts[] = {"reasoning_content", "reasoning", "thinking",
                                        "reasoning_text", "thought"};
    static const char *const lists[] = {"reasoning_details", "thinking_blocks", "reasoning"};
    static const char *const details[] = {"completion_tokens_details", "output_tokens_details"};
    const cJSON *count = member(usage, "reasoning_tokens");
    bool found = false;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        found |= is_text(member(message, texts[i]));
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        found |= cJSON_GetArraySize(member(message, lists[i])) > 0;
    for (size_t i = 0; i < sizeof details / sizeof *details && !cJSON_IsNumber(count); i++)
        count = member(member(usage, details[i]), "reasoning_tokens");
    *tokens = cJSON_IsNumber(count) && count->valuedouble > 0 ? count->valuedouble : 0;
    return found || *tokens > 0;
}

static bool add_tokens(cJSON *answer, const char *name, double value)
{
    return !(value >= 0 && value < 1e9) ||
           cJSON_AddNumberToObject(answer, name, (double)(size_t)value);
}

static bool add_usage(cJSON *answer, const cJSON *usage, const char *name)
{
    const cJSON *number = member(usage, name);
    return !cJSON_IsNumber(number) || add_tokens(answer, name, number->valuedouble);
}

/* The first line, where one was asked for. True: the text went on behind it. */
static bool first_line(char *text)
{
    size_t blank = strspn(text, " \t\r\n"), length = strcspn(text + blank, "\r\n");
    bool more = text[blank + length];
    memmove(text, text + blank, length);
    text[length] = 0;
    return more && length;
}

static bool make_answer(char *text, bool one_line, const cJSON *choice, const cJSON *usage,
                        bool thoughts, struct chat_reading *reading, cJSON **answer)
{
    const cJSON *message = member(choice, "message"), *finish = member(choice, "finish_reason");
    const cJSON *refusal = member(message, "refusal");
    double tokens;
    struct chat_reasoning removed = chat_reasoning_remove(text);
    bool line_ended = one_line && !removed.open && first_line(text);
    bool blank = !text[strspn(text, " \t\r\n")];
    bool cut = (says_cut(finish) && !line_ended) || removed.open;
    reading->reasons = tells_of_reasoning(message, usage, &tokens) || thoughts || removed.found ||
                       (cut && blank); /* the tokens went somewhere */
    reading->starved = cut && reading->reasons;

    cJSON *root = *answer = cJSON_CreateObject();
    bool declined = says_refused(finish) || (blank && is_text(refusal));
    return root && cJSON_AddStringToObject(root, "answer", text) &&
           cJSON_AddStringToObject(root, "finish",
                                   cut                      ? "length"
                                   : line_ended             ? "stop"
                                   : cJSON_IsString(finish) ? finish->valuestring
                                                            : "") &&
           (!declined || cJSON_AddNumberToObject(root, "refused", 200)) &&
           (!declined || !is_text(refusal) ||
            cJSON_AddStringToObject(root, "refusal", refusal->valuestring)) &&
           (!reading->reasons || cJSON_AddTrueToObject(root, "reasoning")) &&
           add_usage(root, usage, "prompt_tokens") && add_usage(root, usage, "completion_tokens") &&
           (tokens == 0 || add_tokens(root, "reasoning_tokens", tokens));
}

/* ---- Responses ------------------------------------------------------------------------------ */

/* Halves of characters outside the first 65536 and zeros, which no text may hold, become U+FFFD.
 * Models write them where a token ends inside a character. */
static void mend_escapes(char *bytes, size_t size)
{
    for (size_t i = 0; i + 6 <= size; i++) {
        unsigned code = 0, other = 0;
        char digits[5] = "";
        if (bytes[i] != '\\')
            continue;
        if (bytes[i + 1] != 'u') {
            i++;
            continue;
        }
        memcpy(digits, bytes + i + 2, 4);
        if (strspn(digits, "0123456789abcdefABCDEF") != 4 || sscanf(digits, "%x", &code) != 1)
            continue;
        bool high = code >= 0xd800 && code < 0xdc00, low = code >= 0xdc00 && code < 0xe000;
        if (high && i + 12 <= size && bytes[i + 6] == '\\' && bytes[i + 7] == 'u') {
            memcpy(digits, bytes + i + 8, 4);
            if (strspn(digits, "0123456789abcdefABCDEF") == 4 &&
                sscanf(digits, "%x", &other) == 1 && other >= 0xdc00 && other < 0xe000) {
                i += 11;
                continue;
            }
        }
        if (high || low || code == 0)
            memcpy(bytes + i + 2, "fffd", 4);
        i += 5;
    }
}

static struct chat_reading unreadable(const char *reason)
{
    return (struct chat_reading){.kind = CHAT_UNREADABLE, .reason = reason};
}

static struct chat_reading read_choice(const cJSON *root, bool one_line, cJSON **answer)
{
    const cJSON *choice = cJSON_GetArrayItem(member(root, "choices"), 0);
    const cJSON *message = member(choice, "message"), *content = member(message, "content");
    const cJSON *finish = member(choice, "finish_reason"), *usage = member(root, "usage");
    struct chat_reading reading = {.kind = CHAT_ANSWERED};
    bool thoughts = false, wrong = false;
    double tokens;
    /* Some leave the content out when all tokens went into reasoning, or when they refuse. */
    bool without = cJSON_IsObject(message) &&
                   (says_cut(finish) || says_refused(finish) ||
                    is_text(member(message, "refusal")) ||
                    tells_of_reasoning(message, usage, &tokens));
    if (!content && !without)
        return unreadable("its answer is no chat completion");
    char *text = content_text(content, &thoughts, &wrong);
    if (wrong)
        return unreadable("its answer is no chat completion: the content is no text");
    if (!text || !make_answer(text, one_line, choice, usage, thoughts, &reading, answer))
        reading.kind = CHAT_NO_MEMORY;
    free(text);
    if (reading.kind == CHAT_NO_MEMORY) {
        cJSON_Delete(*answer);
        *answer = NULL;
    }
    return reading;
}

struct chat_reading chat_answer_read(char *bytes, size_t size, bool one_line, cJSON **answer,
                                     struct chat_complaint *complaint)
{
    bool stream = chat_stream_is(bytes, size), whole = true;
    struct chat_reading reading;
    *answer = NULL;
    mend_escapes(bytes, size);
    cJSON *root = stream ? chat_stream_read(bytes, size, &whole)
                         : nc_json_try(bytes, size);
    const cJSON *choice = cJSON_GetArrayItem(member(root, "choices"), 0);
    const cJSON *error = member(choice, "error");
    if (!root && stream)
        reading = (struct chat_reading){.kind = CHAT_NO_MEMORY};
    else if (!root)
        reading = unreadable("its answer is no JSON");
    else if (chat_complaint_find(cJSON_IsObject(error) ? choice : root, complaint))
        reading = (struct chat_reading){.kind = CHAT_COMPLAINED};
    else if (!whole)
        reading = unreadable("its stream of events ends before the answer does");
    else
        reading = read_choice(root, one_line, answer);
    cJSON_Delete(root);
    return reading;
}

/* ---- Records ------------------------------------------------------------------------------ */

void chat_answer_hide_key(cJSON *answer, const struct chat_address *address)
{
    cJSON *item;
    cJSON_ArrayForEach(item, answer)
    {
        if (cJSON_IsString(item))
            chat_hide_long_key(address, item->valuestring);
    }
}

bool chat_answer_add(cJSON *record, cJSON *answer)
{
    bool made = true;
    while (answer->child && made) {
        cJSON *item = cJSON_DetachItemViaPointer(answer, answer->child);
        char *name = item->string;
        item->string = NULL;
        made = cJSON_AddItemToObject(record, name, item);
        if (!made)
            cJSON_Delete(item);
        cJSON_free(name);
    }
    cJSON_Delete(answer);
    return made;
}

bool chat_answer_starved(cJSON *record, size_t room)
{
    cJSON *text = nc_json_member(record, "answer");
    const cJSON *had = member(record, "room");
    if (cJSON_IsString(text)) {
        struct chat_reasoning removed = chat_reasoning_remove(text->valuestring);
        if (removed.found && !member(record, "reasoning"))
            (void)cJSON_AddTrueToObject(record, "reasoning");
        if (removed.open && !member(record, "open"))
            (void)cJSON_AddTrueToObject(record, "open");
    }
    bool cut = says_cut(member(record, "finish")) || member(record, "open");
    return cut && member(record, "reasoning") &&
           room > (cJSON_IsNumber(had) ? (size_t)had->valuedouble : 0);
}

struct nc_chat_answer chat_answer_of(const cJSON *record)
{
    const cJSON *text = member(record, "answer"), *refusal = member(record, "refusal");
    const cJSON *refused = member(record, "refused");
    return (struct nc_chat_answer){
        .text = is_text(text)      ? text->valuestring
                : is_text(refusal) ? refusal->valuestring
                                   : "",
        .cut = says_cut(member(record, "finish")) || member(record, "open"),
        .refused = cJSON_IsNumber(refused) ? (size_t)refused->valueint : 0,
    };
}
