/* The object-absence pipeline on a handful of captions, step by step; and questions rewritten by
 * a model. */
#include "../chat/chat_server.h"
#include "../support/temporary_folder.h"
#include "nclip/captions/captions.h"
#include "nclip/formats/json.h"
#include "nclip/generate/absence.h"
#include "nclip/generate/vqa_llm.h"
#include "nclip/support/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char captions_json[] =
    "{\"annotations\": ["
    "{\"id\": 10, \"image_id\": 7, \"caption\": \"A dog on a beach.\"},"
    "{\"id\": 11, \"image_id\": 7, \"caption\": \"A wet dog on the sand.\"},"
    "{\"id\": \"x\", \"image_id\": \"8\", \"caption\": \"A red bus in a street\"},"
    "{\"id\": 13, \"image_id\": 9, \"caption\": \"A cat under a table\"},"
    "{\"id\": 14, \"image_id\": 10, \"caption\": \"A picture that is a text file\"},"
    "{\"id\": 15, \"image_id\": 8, \"caption\": \"A bus at a stop\"},"
    "{\"id\": 16, \"image_id\": 8, \"caption\": \"A bus that refuses\"}],"
    "\"images\": [{\"id\": 7, \"file_name\": \"a.jpg\"}, {\"id\": 8, \"file_name\": \"b.png\"},"
    "{\"id\": 9, \"file_name\": \"missing.jpg\"}, {\"id\": 10, \"file_name\": \"text.jpg\"}]}";

struct bench {
    char *folder, *captions, *images, *out, *journal, *rejects, *log;
    struct server server;
    struct nc_prompts prompts;
    struct nc_synonyms *synonyms;
    struct nc_chat_options chat;
    struct nc_absence_options options;
    struct nc_absence_counts counts;
};

static void put(const char *folder, const char *name, const void *bytes, size_t size)
{
    char *path = nc_path_join(folder, name);
    assert_int_equal(nc_file_write(path, bytes, size), NC_OK);
    free(path);
}

/* Objects: umbrella, but "hat" for buses; only the bus's picture shows a hat on a first question
 * about it; the caption that refuses gets a refusal. */
static void answer(void *context, const struct server_request *request, struct server_reply *reply)
{
    const char *body = request->body, *text = "";
    (void)context;
    if (strstr(body, "Name an object") && strstr(body, "A bus at a stop"))
        text = "Hat";
    else if (strstr(body, "Name an object"))
        text = strstr(body, "refuses") ? "I'm sorry, I cannot help." : "An umbrella.";
    else if (strstr(body, "Is there hat"))
        text = "Yes.";
    else if (strstr(body, "in this image"))
        text = strstr(body, "iVBORw0KGg") && strstr(body, "image/png") ? "Hard to say" : "No";
    else if (strstr(body, "wet dog on the sand'"))
        text = "There is no umbrella.";
    else if (strstr(body, "A dog on a beach'"))
        text = "A dog on a beach without an umbrella.";
    else if (strstr(body, "Question: is there a hat? Answer: no"))
        text = "A dog on a beach with no hat";
    else if (strstr(body, "Question: is there a cat? Answer: no"))
        text = "A dog";
    else
        text = "?";
    reply->body = server_completion(text, "stop");
}

static struct bench *set_up(void)
{
    struct bench *b = calloc(1, sizeof *b);
    b->folder = temporary_folder_create();
    b->images = nc_path_join(b->folder, "images");
    b->captions = nc_path_join(b->folder, "captions.json");
    b->out = nc_path_join(b->folder, "out.json");
    b->journal = nc_path_join(b->folder, "journal");
    b->rejects = nc_path_join(b->folder, "rejects.jsonl");
    b->log = nc_path_join(b->folder, "log");
    assert_int_equal(nc_folder_create(b->images), NC_OK);
    put(b->images, "a.jpg", "\xff\xd8\xff\xe0 jpeg", 9);
    put(b->images, "b.png", "\x89PNG\r\n\x1a\n....", 12);
    put(b->images, "text.jpg", "no picture", 10);
    put(b->folder, "captions.json", captions_json, strlen(captions_json));
    server_start(&b->server, answer, NULL, b->log);
    assert_int_equal(nc_prompts_load(NULL, &b->prompts), NC_OK);
    assert_int_equal(nc_synonyms_load(NULL, &b->synonyms), NC_OK);
    nc_chat_defaults(&b->chat);
    b->chat.servers[NC_CHAT_TEXT].url = b->chat.servers[NC_CHAT_VISION].url = b->server.url;
    b->chat.servers[NC_CHAT_TEXT].model = "writer";
    b->chat.servers[NC_CHAT_VISION].model = "seer";
    b->chat.journal = b->journal;
    b->options = (struct nc_absence_options){.captions = b->captions,
                                             .images = b->images,
                                             .rejects = b->rejects,
                                             .vision_check = true,
                                             .temperature = 0.6,
                                             .top_p = 0.9,
                                             .seed = UINT64_MAX,
                                             .prompts = &b->prompts,
                                             .synonyms = b->synonyms};
    return b;
}

static void tear_down(struct bench *b)
{
    server_stop(&b->server);
    nc_prompts_free(&b->prompts);
    nc_synonyms_destroy(b->synonyms);
    char *const texts[] = {b->captions, b->images, b->out, b->journal, b->rejects, b->log};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free(texts[i]);
    temporary_folder_remove(b->folder);
    free(b);
}

static void generate(struct bench *b)
{
    struct nc_chat *chat;
    if (nc_chat_create(&b->chat, &chat) != NC_OK ||
        nc_absence_generate(&b->options, chat, b->out, &b->counts) != NC_OK)
        fail_msg("%s", nc_error_message());
    nc_chat_destroy(chat);
}

/* Every caption is rejected: an error that tells why, the list of them, and no captions. */
static void generate_none(struct bench *b, const char *why)
{
    struct nc_chat *chat;
    assert_int_equal(nc_chat_create(&b->chat, &chat), NC_OK);
    remove(b->rejects);
    assert_int_equal(nc_absence_generate(&b->options, chat, b->out, &b->counts), NC_FAILED);
    if (!strstr(nc_error_message(), why))
        fail_msg("no \"%s\" in: %s", why, nc_error_message());
    assert_true(b->counts.all_rejected);
    assert_false(nc_file_exists(b->out));
    assert_true(nc_file_exists(b->rejects));
    nc_chat_destroy(chat);
}

static cJSON *annotation(const cJSON *root, int index)
{
    return cJSON_GetArrayItem(cJSON_GetObjectItem(root, "annotations"), index);
}

static const char *member(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItem(object, name);
    return cJSON_IsString(item) ? item->valuestring : "";
}

/* No double is between: the digits of the largest seed are all there. */
static void assert_seed_exact(const char *path)
{
    char *text;
    size_t size;
    assert_int_equal(nc_file_read(path, 1 << 20, &text, &size), NC_OK);
    if (!strstr(text, "\"seed\":18446744073709551615}"))
        fail_msg("another seed in %s", text);
    free(text);
}

static void test_every_outcome(void **context)
{
    (void)context;
    struct bench *b = set_up();
    generate(b);
    assert_int_equal(b->counts.captions, 7);
    assert_int_equal(b->counts.pictures, 4);
    assert_int_equal(b->counts.written, 1);
    assert_int_equal(b->counts.present, 1);
    assert_int_equal(b->counts.rejected[NC_QUALITY_UNSURE], 1);
    assert_int_equal(b->counts.rejected[NC_QUALITY_NO_PICTURE], 2);
    assert_int_equal(b->counts.rejected[NC_QUALITY_CONTENT_LOST], 1);
    assert_int_equal(b->counts.rejected[NC_QUALITY_REFUSED], 1);

    cJSON *root;
    assert_int_equal(nc_json_load(b->out, &root), NC_OK);
    const cJSON *only = annotation(root, 0), *source = cJSON_GetObjectItem(only, "source");
    assert_null(annotation(root, 1));
    assert_int_equal(cJSON_GetObjectItem(only, "id")->valueint, 10);
    assert_int_equal(cJSON_GetObjectItem(only, "image_id")->valueint, 7);
    assert_string_equal(member(only, "caption"), "A dog on a beach.");
    assert_string_equal(member(only, "updated_caption"), "A dog on a beach without an umbrella");
    assert_string_equal(member(source, "object"), "umbrella");
    assert_string_equal(member(source, "objects"), "model");
    assert_string_equal(member(source, "text_model"), "writer");
    assert_string_equal(member(source, "vision_model"), "seer");
    assert_memory_equal(member(source, "phrasing"), "rewrite-", 8);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(source, "prompts")), 3);
    cJSON_Delete(root);
    assert_seed_exact(b->out);

    /* What training reads. */
    struct nc_captions captions;
    assert_int_equal(nc_captions_load(b->out, &captions), NC_OK);
    assert_int_equal(captions.count, 1);
    assert_string_equal(captions.items[0].text, "A dog on a beach without an umbrella");
    assert_string_equal(captions.images[0], "a.jpg");
    nc_captions_free(&captions);

    char *text;
    size_t size;
    assert_int_equal(nc_file_read(b->rejects, 1 << 20, &text, &size), NC_OK);
    const char *order[] = {"\"annotation\":1,",
                           "\"answer\":\"There is no umbrella.\"",
                           "\"content_lost\"",
                           "\"annotation\":2,",
                           "\"Hard to say\"",
                           "\"unsure\"",
                           "\"image\":\"missing.jpg\"",
                           "\"no_picture\"",
                           "\"no_picture\"",
                           "\"object\":\"hat\"",
                           "\"present\"",
                           "\"refused\""};
    const char *at = text;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        at = strstr(at, order[i]);
        if (!at)
            fail_msg("no %s in its place in %s", order[i], text);
        at++;
    }
    free(text);
    tear_down(b);
}

/* The two captions of a.jpg ask the same about it: one question. */
static void test_same_picture_once(void **context)
{
    (void)context;
    struct bench *b = set_up();
    char *log;
    size_t size, checks = 0;
    generate(b);
    assert_int_equal(nc_file_read(b->journal, 1 << 20, &log, &size), NC_OK);
    for (const char *at = log; (at = strstr(at, "\"step\":\"check\"")); at++)
        checks++;
    assert_int_equal(checks, 3); /* a.jpg: umbrella; b.png: umbrella, hat */
    free(log);
    tear_down(b);
}

static void test_drawn_objects(void **context)
{
    (void)context;
    static const char list[] = "# things\n\nA dog\nTraffic lights\n";
    struct bench *b = set_up();
    char *path = nc_path_join(b->folder, "objects.txt");
    put(b->folder, "objects.txt", list, strlen(list));
    b->options.objects = NC_ABSENCE_RANDOM;
    b->options.object_list = path;
    b->options.vision_check = false;
    b->options.images = NULL;
    /* Every rewrite is "?" or about an umbrella: none passes. */
    generate_none(b, "all 7 captions were rejected, most often (5) because the rewritten caption "
                     "denies nothing, such as \"");
    assert_int_equal(b->counts.written, 0);
    char *text;
    size_t size;
    assert_int_equal(nc_file_read(b->rejects, 1 << 20, &text, &size), NC_OK);
    /* The dogs' captions never get a dog. */
    assert_non_null(
        strstr(text, "\"caption\":\"A dog on a beach.\",\"object\":\"traffic lights\""));
    assert_non_null(strstr(text, "\"caption\":\"A wet dog on the sand.\",\"object\":\"traffic"));
    free(text);

    put(b->folder, "objects.txt", "dog\nthis is no object at all\n", 29);
    struct nc_chat *chat;
    assert_int_equal(nc_chat_create(&b->chat, &chat), NC_OK);
    assert_int_equal(nc_absence_generate(&b->options, chat, b->out, &b->counts), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "objects.txt line 2"));
    nc_chat_destroy(chat);

    /* Nouns of the captions: never adjectives, never what is mentioned. */
    b->options.object_list = NULL;
    generate_none(b, "all 7 captions were rejected");
    assert_int_equal(nc_file_read(b->rejects, 1 << 20, &text, &size), NC_OK);
    for (const char *at = text; (at = strstr(at, "\"object\":\"")); at++) {
        static const char *const nouns[] = {"dog",   "beach", "street", "cat",
                                            "table", "stop",  "bus"};
        bool found = false;
        for (size_t i = 0; i < sizeof nouns / sizeof *nouns; i++)
            found |= strncmp(at + 10, nouns[i], strlen(nouns[i])) == 0;
        if (!found)
            fail_msg("%.30s is no noun of the captions", at);
    }
    assert_null(strstr(text, "\"caption\":\"A cat under a table\",\"object\":\"cat\""));
    assert_null(strstr(text, "\"caption\":\"A cat under a table\",\"object\":\"table\""));
    free(text);
    free(path);
    tear_down(b);
}

/* ---- Questions ------------------------------------------------------------------------- */

static int rewrite(struct bench *b, const char *url, const char *questions_path,
                   struct nc_vqa_counts *counts, struct nc_vqa_llm *llm)
{
    struct nc_vqa_questions questions;
    struct nc_chat *chat;
    b->chat.servers[NC_CHAT_TEXT].url = url;
    assert_int_equal(nc_vqa_questions_load(questions_path, NULL, 0.8, &questions), NC_OK);
    assert_int_equal(nc_chat_create(&b->chat, &chat), NC_OK);
    *llm = (struct nc_vqa_llm){
        .chat = chat, .prompts = &b->prompts, .temperature = 0.6, .top_p = 0.9, .seed = UINT64_MAX};
    struct nc_vqa_rewriter rewriter = nc_vqa_llm_rewriter(llm);
    int status = nc_vqa_generate(&questions,
                                 &(struct nc_vqa_options){.image_name = "{id}.jpg",
                                                          .captions = b->captions,
                                                          .rejects = b->rejects,
                                                          .seed = 42,
                                                          .rewriter = &rewriter},
                                 b->out, counts);
    nc_chat_destroy(chat);
    nc_vqa_questions_free(&questions);
    return status;
}

static void test_questions(void **context)
{
    (void)context;
    static const char questions[] = "[[\"is there a hat?\", \"no\", 1], [\"is there a dog?\", "
                                    "\"yes\", 1], [\"is there a cat?\", \"no\", 1]]";
    static const char captions[] = "{\"image\": \"1.jpg\", \"caption\": \"A dog on a beach.\"}\n";
    struct bench *b = set_up();
    struct nc_vqa_counts counts;
    struct nc_vqa_llm llm;
    char *path = nc_path_join(b->folder, "questions.json"), *text, *again;
    size_t size;
    put(b->folder, "questions.json", questions, strlen(questions));
    put(b->folder, "captions.json", captions, strlen(captions));
    if (rewrite(b, b->server.url, path, &counts, &llm) != NC_OK)
        fail_msg("%s", nc_error_message());
    assert_int_equal(counts.negated, 1);
    assert_int_equal(counts.forms[NC_VQA_THERE].asked, 2);
    assert_int_equal(counts.forms[NC_VQA_THERE].written, 1);
    assert_int_equal(llm.written, 1);
    assert_int_equal(llm.rejected[NC_QUALITY_NO_NEGATION], 1);
    cJSON *root;
    assert_int_equal(nc_json_load(b->out, &root), NC_OK);
    const cJSON *only = annotation(root, 0), *source = cJSON_GetObjectItem(only, "source");
    assert_string_equal(member(only, "caption"), "A dog on a beach.");
    assert_string_equal(member(only, "updated_caption"), "A dog on a beach with no hat");
    assert_string_equal(member(source, "rewriter"), "llm");
    assert_string_equal(member(source, "text_model"), "writer");
    assert_string_equal(member(source, "question"), "is there a hat?");
    assert_int_equal(strlen(member(cJSON_GetObjectItem(source, "prompts"), "join")), 16);
    cJSON_Delete(root);
    assert_seed_exact(b->out);
    assert_int_equal(nc_file_read(b->rejects, 1 << 20, &text, &size), NC_OK);
    assert_non_null(strstr(text, "the rewritten caption denies nothing"));
    free(text);

    /* Once more, from the journal. */
    assert_int_equal(nc_file_read(b->out, 1 << 20, &text, &size), NC_OK);
    assert_int_equal(rewrite(b, "http://127.0.0.1:9", path, &counts, &llm), NC_OK);
    assert_int_equal(nc_file_read(b->out, 1 << 20, &again, &size), NC_OK);
    assert_string_equal(again, text);
    free(again);
    free(text);

    /* The only one that denies something is rejected. */
    static const char one[] = "[[\"is there a cat?\", \"no\", 1]]";
    put(b->folder, "questions.json", one, strlen(one));
    remove(b->rejects);
    assert_int_equal(rewrite(b, b->server.url, path, &counts, &llm), NC_FAILED);
    assert_true(llm.all_rejected);
    assert_non_null(strstr(nc_error_message(), "all 1 captions of the language model were rejected, "
                                               "most often (1) because the rewritten caption denies "
                                               "nothing; the first is \"A dog\""));
    assert_true(nc_file_exists(b->rejects));
    free(path);
    tear_down(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_outcome),
        cmocka_unit_test(test_same_picture_once),
        cmocka_unit_test(test_drawn_objects),
        cmocka_unit_test(test_questions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
