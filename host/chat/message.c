/* Writes requests of OpenAI's /v1/chat/completions, as vLLM, llama.cpp and Ollama understand it. */
#include "parts.h"

#include "nclip/support/error.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* Stands where the picture will: with its quotes it cannot occur inside a JSON string. */
#define PLACE "\"url\":\"@\""

/* ---- Requests ------------------------------------------------------------------------- */

static cJSON *picture_part(void)
{
    cJSON *part = cJSON_CreateObject();
    cJSON *url = NULL;
    if (cJSON_AddStringToObject(part, "type", "image_url"))
        url = cJSON_AddObjectToObject(part, "image_url");
    if (!cJSON_AddStringToObject(url, "url", "@") ||
        !cJSON_AddStringToObject(url, "detail", "auto")) {
        cJSON_Delete(part);
        part = NULL;
    }
    return part;
}

static bool add_message(cJSON *list, const struct nc_chat_message *message, bool picture)
{
    cJSON *object = cJSON_CreateObject();
    if (!object || !cJSON_AddItemToArray(list, object) ||
        !cJSON_AddStringToObject(object, "role", message->role))
        return false;
    if (!picture)
        return cJSON_AddStringToObject(object, "content", message->text);
    cJSON *parts = cJSON_AddArrayToObject(object, "content"), *image = picture_part();
    if (!parts || !cJSON_AddItemToArray(parts, image)) {
        cJSON_Delete(image);
        return false;
    }
    cJSON *text = cJSON_CreateObject();
    return text && cJSON_AddItemToArray(parts, text) &&
           cJSON_AddStringToObject(text, "type", "text") &&
           cJSON_AddStringToObject(text, "text", message->text);
}

static char *print_body(const struct nc_chat_request *request, const char *model)
{
    cJSON *root = cJSON_CreateObject();
    bool made = root && cJSON_AddStringToObject(root, "model", model);
    cJSON *list = made ? cJSON_AddArrayToObject(root, "messages") : NULL;
    made = list != NULL;
    for (size_t i = 0; i < request->message_count && made; i++)
        made = add_message(list, &request->messages[i],
                           request->picture && i + 1 == request->message_count);
    made = made && cJSON_AddNumberToObject(root, "temperature", request->temperature) &&
           cJSON_AddNumberToObject(root, "top_p", request->top_p) &&
           cJSON_AddNumberToObject(root, "seed", request->seed) &&
           cJSON_AddNumberToObject(root, "max_tokens", (double)request->most_tokens) &&
           cJSON_AddFalseToObject(root, "stream");
    if (made && request->one_line) {
        cJSON *stops = cJSON_AddArrayToObject(root, "stop"), *line_feed = cJSON_CreateString("\n");
        made = stops && line_feed && cJSON_AddItemToArray(stops, line_feed);
    }
    char *text = made ? cJSON_PrintUnformatted(root) : NULL;
    cJSON_Delete(root);
    return text;
}

int chat_message_make(const struct nc_chat_request *request, const char *model, char **body,
                      char key[NC_JOURNAL_KEY])
{
    *body = print_body(request, model);
    if (!*body)
        return nc_error(NC_FAILED, "no memory for a request");
    XXH128_hash_t text = XXH3_128bits(*body, strlen(*body));
    XXH128_hash_t picture = request->picture ? XXH3_128bits(request->picture, request->picture_size)
                                             : (XXH128_hash_t){0};
    char all[128 + 64];
    int length =
        snprintf(all, sizeof all, "%.*s %016" PRIx64 "%016" PRIx64 " %016" PRIx64 "%016" PRIx64, 64,
                 request->step, text.high64, text.low64, picture.high64, picture.low64);
    XXH128_hash_t whole = XXH3_128bits(all, (size_t)length);
    snprintf(key, NC_JOURNAL_KEY, "%016" PRIx64 "%016" PRIx64, whole.high64, whole.low64);
    return NC_OK;
}

void chat_message_key_with_room(const char key[NC_JOURNAL_KEY], size_t room,
                                char with_room[NC_JOURNAL_KEY])
{
    XXH128_hash_t whole = XXH3_128bits_withSeed(key, strlen(key), room);
    snprintf(with_room, NC_JOURNAL_KEY, "%016" PRIx64 "%016" PRIx64, whole.high64, whole.low64);
}

bool nc_chat_can_show(const uint8_t *picture, size_t size)
{
    enum { LARGEST = 1 << 25 };
    return size <= LARGEST && ((size > 3 && memcmp(picture, "\xff\xd8\xff", 3) == 0) ||
                               (size > 8 && memcmp(picture, "\x89PNG\r\n\x1a\n", 8) == 0));
}

static void encode_base64(const uint8_t *bytes, size_t size, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t group = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                         (left > 2 ? bytes[i + 2] : 0);
        *out++ = digits[group >> 18];
        *out++ = digits[group >> 12 & 63];
        *out++ = left > 1 ? digits[group >> 6 & 63] : '=';
        *out++ = left > 2 ? digits[group & 63] : '=';
    }
}

int chat_message_add_picture(const uint8_t *picture, size_t picture_size, char **body)
{
    const char *kind = picture_size > 1 && picture[0] == 0xff ? "data:image/jpeg;base64,"
                                                              : "data:image/png;base64,";
    char *place = strstr(*body, PLACE);
    if (!place)
        return nc_error(NC_FAILED, "a request has no place for its picture");
    place += strlen(PLACE) - 2; /* at the sign */
    size_t before = (size_t)(place - *body), intro = strlen(kind), rest = strlen(place + 1);
    size_t digits = (picture_size + 2) / 3 * 4;
    char *whole = malloc(before + intro + digits + rest + 1);
    if (!whole)
        return nc_error(NC_FAILED, "no memory for a picture of %zu bytes", picture_size);
    memcpy(whole, *body, before);
    memcpy(whole + before, kind, intro);
    encode_base64(picture, picture_size, whole + before + intro);
    memcpy(whole + before + intro + digits, place + 1, rest + 1);
    free(*body);
    *body = whole;
    return NC_OK;
}

cJSON *chat_message_record(const struct nc_chat_request *request, const char *model)
{
    char hash[17];
    cJSON *root = cJSON_CreateObject();
    const char *asked =
        request->message_count ? request->messages[request->message_count - 1].text : "";
    bool made = root && cJSON_AddStringToObject(root, "step", request->step) &&
                cJSON_AddStringToObject(root, "model", model) &&
                cJSON_AddStringToObject(root, "prompt", request->prompt) &&
                cJSON_AddNumberToObject(root, "temperature", request->temperature) &&
                cJSON_AddNumberToObject(root, "top_p", request->top_p) &&
                cJSON_AddNumberToObject(root, "seed", request->seed) &&
                cJSON_AddNumberToObject(root, "most_tokens", (double)request->most_tokens) &&
                cJSON_AddStringToObject(root, "asked", asked);
    if (made && request->picture) {
        snprintf(hash, sizeof hash, "%016" PRIx64,
                 XXH3_64bits(request->picture, request->picture_size));
        made = cJSON_AddStringToObject(root, "picture", hash);
    }
    if (!made) {
        cJSON_Delete(root);
        root = NULL;
    }
    return root;
}
