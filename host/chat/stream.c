/* Server-sent events: some servers answer so although no stream was asked for, and some models can
 * be had in no other way. Source: the HTML standard, 9.2.6; the pieces are OpenAI's
 * chat.completion.chunk. */
#include "nclip/formats/text.h"
#include "parts.h"

#include "nclip/support/text_stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stream {
    struct nc_text_stream content, refusal;
    cJSON *usage, *error, *message; /* owned */
    char finish[32];
    bool reasons, named_error, whole, no_memory;
    char *pending; /* data of the event that is read, when it was no JSON by itself */
    size_t pending_size;
};

static const cJSON *member(const cJSON *object, const char *name)
{
    return nc_json_member(object, name);
}

bool chat_stream_is(const char *bytes, size_t size)
{
    static const char *const fields[] = {"data:", "event:", "id:", "retry:", "error:", ":"};
    if (nc_text_mark(bytes, size)) {
        bytes += 3;
        size -= 3;
    }
    while (size && strchr(" \r\n", *bytes) && *bytes) {
        bytes++;
        size--;
    }
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (size >= strlen(fields[i]) && memcmp(bytes, fields[i], strlen(fields[i])) == 0)
            return true;
    return false;
}

/* ---- One event ---------------------------------------------------------------------------- */

static bool is_thought(const cJSON *part)
{
    const cJSON *type = member(part, "type");
    return cJSON_IsString(type) &&
           (strstr(type->valuestring, "think") || strstr(type->valuestring, "reason"));
}

static void add_text(struct stream *stream, FILE *to, const cJSON *content)
{
    const cJSON *part;
    if (cJSON_IsString(content))
        fputs(content->valuestring, to);
    if (!cJSON_IsArray(content))
        return;
    cJSON_ArrayForEach(part, content)
    {
        const cJSON *text = member(part, "text");
        if (is_thought(part))
            stream->reasons = true;
        else if (cJSON_IsString(text))
            fputs(text->valuestring, to);
    }
}

static void replace(struct stream *stream, cJSON **kept, const cJSON *with)
{
    cJSON_Delete(*kept);
    *kept = cJSON_Duplicate(with, true);
    stream->no_memory |= !*kept;
}

static void use_event(struct stream *stream, const cJSON *event)
{
    static const char *const thoughts[] = {"reasoning_content", "reasoning", "thinking"};
    const cJSON *error = member(event, "error"), *usage = member(event, "usage");
    const cJSON *choice = cJSON_GetArrayItem(member(event, "choices"), 0);
    const cJSON *delta = member(choice, "delta"), *finish = member(choice, "finish_reason");
    if (stream->error)
        return;
    if ((error && !cJSON_IsNull(error)) || stream->named_error || member(choice, "error")) {
        replace(stream, &stream->error, member(choice, "error") ? choice : event);
        return;
    }
    if (cJSON_IsObject(usage))
        replace(stream, &stream->usage, usage);
    if (cJSON_IsObject(member(choice, "message")))
        replace(stream, &stream->message, member(choice, "message"));
    for (size_t i = 0; i < sizeof thoughts / sizeof *thoughts; i++) {
        const cJSON *thought = member(delta, thoughts[i]);
        stream->reasons |= cJSON_IsString(thought) && *thought->valuestring;
    }
    add_text(stream, stream->content.file, member(delta, "content"));
    add_text(stream, stream->refusal.file, member(delta, "refusal"));
    if (cJSON_IsString(finish) && *finish->valuestring) {
        snprintf(stream->finish, sizeof stream->finish, "%s", finish->valuestring);
        stream->whole = true;
    }
}

/* The end of an event, or of a line of data that is an event by itself: many servers leave out the
 * empty line. False: this is no JSON. */
static bool use_data(struct stream *stream, const char *data, size_t size)
{
    if (size >= 6 && memcmp(data, "[DONE]", 6) == 0) {
        stream->whole = true;
        return true;
    }
    cJSON *event = nc_json_try(data, size);
    if (event)
        use_event(stream, event);
    cJSON_Delete(event);
    return event != NULL;
}

static void use_line(struct stream *stream, const char *line, size_t size)
{
    const char *colon = memchr(line, ':', size);
    size_t name = colon ? (size_t)(colon - line) : size;
    const char *value = line + name + (colon != NULL);
    value += value < line + size && *value == ' ';
    size_t length = (size_t)(line + size - value);
    if (size == 0) { /* the event is complete */
        if (stream->pending_size)
            (void)use_data(stream, stream->pending, stream->pending_size);
        stream->pending_size = 0;
        stream->named_error = false;
    } else if (name == 5 && memcmp(line, "event", 5) == 0) {
        stream->named_error = length == 5 && memcmp(value, "error", 5) == 0;
    } else if (name == 5 && memcmp(line, "error", 5) == 0) { /* llama.cpp */
        stream->named_error = true;
        (void)use_data(stream, value, length);
    } else if (name == 4 && memcmp(line, "data", 4) == 0) {
        if (!stream->pending_size && use_data(stream, value, length))
            return;
        char *longer = realloc(stream->pending, stream->pending_size + length + 1);
        if (!longer) {
            stream->no_memory = true;
            return;
        }
        memcpy(longer + stream->pending_size, value, length);
        longer[stream->pending_size + length] = '\n';
        stream->pending = longer;
        stream->pending_size += length + 1;
    }
}

/* ---- All of them -------------------------------------------------------------------------- */

static cJSON *completion(const struct stream *stream, const char *content, const char *refusal)
{
    cJSON *root = cJSON_CreateObject(), *choices = NULL, *choice = NULL, *message = NULL;
    bool made = root && (choices = cJSON_AddArrayToObject(root, "choices"));
    if (made && (choice = cJSON_CreateObject()))
        made = cJSON_AddItemToArray(choices, choice);
    bool told = stream->message && !*content; /* one piece held all of it */
    if (made && choice && told) {
        message = cJSON_Duplicate(stream->message, true);
        made = message && cJSON_AddItemToObject(choice, "message", message);
    } else if (made && choice) {
        message = cJSON_AddObjectToObject(choice, "message");
        made = message && cJSON_AddStringToObject(message, "content", content) &&
               (!*refusal || cJSON_AddStringToObject(message, "refusal", refusal)) &&
               (!stream->reasons || cJSON_AddStringToObject(message, "reasoning", "..."));
    }
    made = made && choice && cJSON_AddStringToObject(choice, "finish_reason", stream->finish);
    if (made && stream->usage) {
        cJSON *usage = cJSON_Duplicate(stream->usage, true);
        made = usage && cJSON_AddItemToObject(root, "usage", usage);
    }
    if (!made) {
        cJSON_Delete(root);
        root = NULL;
    }
    return root;
}

cJSON *chat_stream_read(const char *bytes, size_t size, bool *whole)
{
    cJSON *root = NULL;
    struct stream stream = {0};
    nc_text_stream_open(&stream.content);
    nc_text_stream_open(&stream.refusal);
    stream.no_memory = !stream.content.file || !stream.refusal.file;
    const char *end = bytes + size;
    bytes += nc_text_mark(bytes, size);
    while (bytes < end && !stream.no_memory) {
        size_t length = 0;
        while (bytes + length < end && bytes[length] != '\n' && bytes[length] != '\r')
            length++;
        use_line(&stream, bytes, length);
        bytes += length;
        if (bytes + 1 < end && bytes[0] == '\r' && bytes[1] == '\n')
            bytes++;
        bytes += bytes < end;
    }
    if (!stream.no_memory)
        use_line(&stream, "", 0);
    char *content = nc_text_stream_close(&stream.content);
    char *refusal = nc_text_stream_close(&stream.refusal);
    bool written = content && refusal;
    *whole = stream.whole || stream.error;
    if (written && !stream.no_memory && stream.error) {
        root = stream.error;
        stream.error = NULL;
    } else if (written && !stream.no_memory) {
        root = completion(&stream, content, refusal);
    }
    cJSON_Delete(stream.usage);
    cJSON_Delete(stream.error);
    cJSON_Delete(stream.message);
    free(stream.pending);
    free(content);
    free(refusal);
    return root;
}
