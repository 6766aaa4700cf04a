/* Answers the built-in prompts by rule. */
#include "rule_model.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The text of the last message. */
static const char *last_text(const cJSON *root)
{
    const cJSON *messages = cJSON_GetObjectItem(root, "messages");
    const cJSON *content = cJSON_GetObjectItem(
        cJSON_GetArrayItem(messages, cJSON_GetArraySize(messages) - 1), "content");
    if (cJSON_IsArray(content))
        content = cJSON_GetObjectItem(cJSON_GetArrayItem(content, 1), "text");
    return cJSON_IsString(content) ? content->valuestring : "";
}

/* What stands between two texts, "" when they are not there. */
static char *between(const char *text, const char *before, const char *behind)
{
    const char *start = strstr(text, before);
    start = start ? start + strlen(before) : "";
    const char *end = strstr(start, behind);
    for (const char *next = end; next && *next; next = strstr(next + 1, behind))
        end = next; /* the last one: captions hold apostrophes */
    return strndup(start, end ? (size_t)(end - start) : strlen(start));
}

static char *make_object(unsigned long hash, const char *question, int wrong)
{
    static const char *const objects[] = {"hat",  "umbrella", "Dog.",      "a bicycle", "kite",
                                          "boat", "clock",    "\"fence\"", "Elephant",  "vase"};
    static const char *const bad[] = {"", "I'm sorry, I cannot see the image.", "yes",
                                      "There could be many things in the picture, such as a hat",
                                      "hat\n\nThis object is likely"};
    if (!wrong)
        return strdup(objects[hash % 10]);
    if (hash % 6 == 5) { /* a word of the caption */
        char *caption = between(question, "caption '", "'"), *space = strrchr(caption, ' ');
        char *word = strdup(space ? space + 1 : caption);
        free(caption);
        return word;
    }
    return strdup(bad[hash % 5]);
}

static char *make_verdict(unsigned long hash, int wrong)
{
    static const char *const good[] = {"No", "no.", "No, there is no such thing.", "Yes", "No"};
    static const char *const bad[] = {"Maybe", "I'm not sure.", "", "The picture shows a street."};
    return strdup(wrong ? bad[hash % 4] : good[hash % 5]);
}

static char *make_rewrite(unsigned long hash, const char *question, int wrong)
{
    char *object = between(question, "absence of the ", " to the caption"), *rewrite = NULL;
    char *caption = between(question, "caption '", "'");
    static const char *const good[] = {"%s with no %s", "%s without a %s", "%s, and a %s is absent",
                                       "\"%s that lacks a %s\"", "Caption: %s, there is no %s."};
    static const char *const bad[] = {"%s and a %s", "Sure, here is the caption: %s with no %s",
                                      "%s with no %s and a beautiful sunset over the mountains"};
    int made = 0;
    if (!wrong)
        made = asprintf(&rewrite, good[hash % 5], caption, object);
    else if (hash % 4 < 3)
        made = asprintf(&rewrite, bad[hash % 4], caption, object);
    else
        made = asprintf(&rewrite, "There is no %s.", object);
    if (made < 0)
        abort();
    free(object);
    free(caption);
    return rewrite;
}

/* Every way to fail that a client must survive. */
static void fail(unsigned long hash, struct server_reply *reply)
{
    switch (hash % 12) {
    case 0:
        reply->delay = 20 + hash / 12 % 100;
        break;
    case 1:
        reply->status = 429;
        if (hash / 12 % 60 == 0)
            reply->headers = "Retry-After: 1\r\n";
        break;
    case 2:
        reply->status = 500;
        break;
    case 3:
        reply->status = 503;
        break;
    case 4:
        reply->cut = CUT_BEFORE;
        break;
    case 5:
    case 6:
        reply->cut = CUT_MIDDLE;
        break;
    case 7:
        reply->body[strlen(reply->body) / 3] = 0;
        break;
    case 8:
        free(reply->body);
        reply->body = strdup("<html>Bad gateway</html>");
        reply->type = "text/html";
        break;
    case 9:
        free(reply->body);
        reply->body = strdup("{\"error\": {\"message\": \"overloaded\"}}");
        break;
    case 10:
        free(reply->body);
        reply->body = strdup("{\"choices\": [{\"message\": {\"content\": 7}}]}");
        break;
    case 11:
        if (hash / 12 % 40 == 0)
            reply->padding = 5 << 20;
        else
            reply->status = 502;
        break;
    }
    if (hash % 12 != 0)
        snprintf(reply->note, sizeof reply->note, "fault");
}

void rule_model_answer(void *context, const struct server_request *request,
                       struct server_reply *reply)
{
    const struct rule_model *model = context;
    cJSON *root = cJSON_Parse(request->body);
    const char *question = last_text(root);
    unsigned long hash = server_hash(model->seed, request->key, NULL);
    int wrong = hash % 100 < model->wrong;
    char *text = strncmp(question, "Name", 4) == 0 ? make_object(hash / 100, question, wrong)
                 : strncmp(question, "Is there", 8) == 0
                     ? make_verdict(hash / 100, wrong)
                     : make_rewrite(hash / 100, question, wrong);
    reply->body = server_completion(text, "stop");
    snprintf(reply->note, sizeof reply->note, "answered");
    unsigned long fault = server_hash(model->seed + 1 + request->attempt, request->key, NULL);
    if (request->attempt < 3 && fault % 100 < model->faults)
        fail(fault / 100, reply);
    free(text);
    cJSON_Delete(root);
}
