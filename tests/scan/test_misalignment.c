/* Stripping negations, and measuring whether captions fit their pictures. */
#include "../chat/chat_server.h"
#include "../support/temporary_folder.h"
#include "nclip/negation/strip.h"
#include "nclip/negation/words.h"
#include "nclip/scan/misalignment.h"
#include "nclip/scan/misalignment_judge.h"
#include "nclip/support/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const stripped[][2] = {
    {"a street with no cars", "a street with cars"},
    {"No cars on the street", "Cars on the street"},
    {"A table without any plates.", "A table with some plates."},
    {"the man isn't wearing a hat", "the man is wearing a hat"},
    {"the man isn\xe2\x80\x99t wearing a hat", "the man is wearing a hat"},
    {"he CAN'T, won't and shan't go; it ain't so", "he can, will and shall go; it is so"},
    {"you couldn't've known", "you could've known"},
    {"it does not have any wheels", "it does have some wheels"},
    {"a dog but not a cat", "a dog and a cat"},
    {"a dog, but no cat", "a dog, and cat"},
    {"a red car, not blue.", "a red car, blue."},
    {"no one is on the beach", "someone is on the beach"},
    {"No one is here", "Someone is here"},
    {"nobody is there and nothing moves", "somebody is there and something moves"},
    {"it is no longer red", "it is red"},
    {"none of the boats has a sail", "some of the boats has a sail"},
    {"neither a dog nor a cat", "a dog and a cat"},
    {"Neither of them smiles", "Both of them smiles"},
    {"a sky that lacks clouds", "a sky that has clouds"},
    {"trees lacking leaves", "trees having leaves"},
    {"it lacked colour", "it had colour"},
    {"the lack of light", "the presence of light"},
    {"they lack light", "they have light"},
    {"an absence of people, cars absent", "a presence of people, cars present"},
    {"a bird that cannot fly and never sings", "a bird that can fly and sings"},
    {"a train going nowhere", "a train going somewhere"},
    {"it is not!", "it is!"},
    {"a sign that says \"no\"", "a sign that says \"\""},
    {"any dog without any anything", "any dog with some something"},
    {"a sign, \xe2\x80\x9cno parking\xe2\x80\x9d", "a sign, \xe2\x80\x9cparking\xe2\x80\x9d"},
    {"a room\xe2\x80\x94no people", "a room\xe2\x80\x94people"},
    {"\xe2\x80\x9cisn\xe2\x80\x99t red\xe2\x80\x9d", "\xe2\x80\x9cis red\xe2\x80\x9d"},
    {"it isn&#39;t red, it don\xc2\xb4t fly, it wont", "it is red, it do fly, it will"},
    {"a No. 5 bus without doors", "a No. 5 bus with doors"},
    {"caf\xc3\xa9 without caf\xc3\xa9s", "caf\xc3\xa9 with caf\xc3\xa9s"},
};

static void strips_negations(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof stripped / sizeof *stripped; i++) {
        const char *reason = NULL;
        char *text = nc_negation_strip(stripped[i][0], &reason);
        if (!text)
            fail_msg("%s: %s", stripped[i][0], reason);
        assert_null(reason);
        assert_string_equal(text, stripped[i][1]);
        free(text);
    }
    static const char *const left[] = {
        "", "a dog", "not only a dog but a cat", "no", "No!", "n't", "not just red", "No. 5",
        "isn't she lovely"};
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
        const char *reason = NULL;
        char *text = nc_negation_strip(left[i], &reason);
        if (text)
            fail_msg("%s -> %s", left[i], text);
        assert_non_null(reason);
    }
}

/* The list of negation words and the rules must not part. */
static void every_word_is_stripped(void **state)
{
    (void)state;
    for (size_t i = 0; i < nc_negation_word_count(); i++) {
        char caption[64];
        const char *reason, *word = nc_negation_word(i);
        struct nc_negation_match match;
        snprintf(caption, sizeof caption, "dogs %s cats", strcmp(word, "n't") ? word : "aren't");
        char *text = nc_negation_strip(caption, &reason);
        if (!text)
            fail_msg("%s: %s", caption, reason);
        if (nc_negation_find(text, strlen(text), 0, &match))
            fail_msg("%s -> %s", caption, text);
        free(text);
    }
}

static void finds_what_is_denied(void **state)
{
    (void)state;
    static const char *const things[][2] = {
        {"a street with no parked cars on it", "parked cars"},
        {"A dog without a collar and a cat", "collar"},
        {"the absence of any people", "people"},
        {"a sky that lacks clouds.", "clouds"},
        {"it is not red, with no wheels", "wheels"},
        {"a man wearing no hat", "hat"},
        {"it isn't red", NULL},
        {"no one is here", NULL},
        {"no longer red", NULL},
        {"no", NULL},
    };
    for (size_t i = 0; i < sizeof things / sizeof *things; i++) {
        char thing[64] = "";
        bool found = nc_negated_thing(things[i][0], thing, sizeof thing);
        assert_int_equal(found, things[i][1] != NULL);
        if (found)
            assert_string_equal(thing, things[i][1]);
    }
    char small[6];
    assert_false(nc_negated_thing("no elephants", small, sizeof small));
}

/* ---- Measuring, with the quick start's small model ---- */

static int judge(void *context, struct nc_misalignment_question *questions, size_t count)
{
    *(size_t *)context = count;
    for (size_t i = 0; i < count; i++)
        questions[i].answer = strcmp(questions[i].thing, "circle") == 0 ? NC_MISALIGNMENT_SHOWN
                              : strcmp(questions[i].thing, "dog") == 0  ? NC_MISALIGNMENT_ABSENT
                                                                        : NC_MISALIGNMENT_UNSURE;
    return NC_OK;
}

static void prefers_what_the_embedding_says(void **state)
{
    (void)state;
    struct nc_model *model = NULL;
    struct nc_ops *ops = NULL;
    struct nc_encoder *encoder = NULL;
    struct nc_embedding_writer *writer;
    struct nc_embedding_store *store;
    struct nc_encoder_options encoding = {.precision = NC_FLOAT32, .text = true};
    if (nc_model_open("../configs/quickstart/model", &model) != NC_OK ||
        nc_ops_create("cpu", 0, &ops) != NC_OK ||
        nc_encoder_create(ops, model, &encoding, &encoder) != NC_OK)
        fail_msg("%s", nc_error_message());
    size_t size = nc_model_shape(model)->embedding;

    /* Pictures whose embeddings are those of a text: the first fits the negated caption, the second
     * the stripped one; the third is of a caption without a rule, the fourth has none. */
    const char *const own[] = {"a red shape with no circle", "a triangle", "x"};
    float *rows = malloc(3 * size * sizeof *rows);
    assert_non_null(rows);
    assert_int_equal(nc_encoder_texts(encoder, own, 3, false, rows), NC_OK);
    for (size_t i = 0; i < size; i++)
        rows[size + i] *= 3; /* a store need not be normalised */
    char *folder = temporary_folder_create(), *path = nc_path_join(folder, "store");
    struct nc_embedding_info info = {.model_hash = "0", .preprocessing = "p", .dimension = size};
    assert_int_equal(nc_embedding_writer_open(path, &info, 0, &writer), NC_OK);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(nc_embedding_writer_append(writer,
                                                    i == 0   ? "a"
                                                    : i == 1 ? "b"
                                                             : "c",
                                                    rows + i * size),
                         NC_OK);
    assert_int_equal(nc_embedding_writer_close(writer), NC_OK);
    assert_int_equal(nc_embedding_store_open(path, &store), NC_OK);

    const char *images[] = {"a", "b", "c", "d"};
    struct nc_caption items[] = {{.text = "a red shape with no circle", .image = 0},
                                 {.text = "no dog", .image = 1},
                                 {.text = "not only x", .image = 2},
                                 {.text = "no x", .image = 3},
                                 {.text = "a plain caption", .image = 0}};
    items[1].text = "not a triangle";
    struct nc_captions captions = {.items = items, .count = 5, .images = images, .image_count = 4};
    size_t asked = 0;
    struct nc_misalignment_judge judging = {judge, &asked};
    struct nc_misalignment_options options = {.examples = 3, .judge = &judging};
    struct nc_misalignment result;
    if (nc_misalignment_measure(&captions, store, encoder, size, &options, &result) != NC_OK)
        fail_msg("%s", nc_error_message());
    assert_int_equal(result.captions, 5);
    assert_int_equal(result.negated, 4);
    assert_int_equal(result.compared, 2);
    assert_int_equal(result.unstripped, 1);
    assert_int_equal(result.unembedded, 1);
    assert_int_equal(result.stripped_preferred, 1);
    assert_int_equal(result.example_count, 1);
    assert_string_equal(result.examples[0].caption, "not a triangle");
    assert_string_equal(result.examples[0].stripped, "a triangle");
    assert_float_equal(result.examples[0].stripped_cosine, 1, 1e-5);
    assert_int_equal(asked, 1);
    assert_int_equal(result.shown, 1);
    assert_int_equal(result.absent, 0);
    nc_misalignment_free(&result);

    captions.count = 1;
    items[0].text = "nothing";
    items[0].image = 3;
    assert_int_equal(nc_misalignment_measure(&captions, store, encoder, size, &options, &result),
                     NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "no caption to compare"));
    nc_embedding_store_close(store);
    nc_encoder_destroy(encoder);
    nc_ops_destroy(ops);
    nc_model_close(model);
    free(rows);
    free(path);
    temporary_folder_remove(folder);
}

/* ---- Asking a server ---- */

static void see(void *context, const struct server_request *request, struct server_reply *reply)
{
    (void)context;
    const char *answer = strstr(request->body, "circle")   ? "Yes."
                         : strstr(request->body, "square") ? "no"
                                                           : "I cannot tell";
    bool picture = strstr(request->body, "data:image/png;base64,") != NULL;
    reply->body = server_completion(picture ? answer : "there is no picture", "stop");
}

static void asks_a_model_that_sees(void **state)
{
    (void)state;
    char *folder = temporary_folder_create(), *journal = nc_path_join(folder, "journal");
    struct server server;
    char *log = nc_path_join(folder, "log");
    server_start(&server, see, NULL, log);
    struct nc_chat_options options;
    nc_chat_defaults(&options);
    options.servers[NC_CHAT_VISION].url = server.url;
    options.servers[NC_CHAT_VISION].model = "m";
    options.journal = journal;
    struct nc_prompts prompts;
    struct nc_image_source *images = NULL;
    if (nc_prompts_load(NULL, &prompts) != NC_OK ||
        nc_image_source_open("pictures/images", &images) != NC_OK)
        fail_msg("%s", nc_error_message());
    struct misalignment_judge judging = {.images = images, .top_p = 1, .seed = 1};
    judging.prompt = nc_prompts_choose(&prompts, "check", NULL, 0, 0);
    for (int run = 0; run < 2; run++) { /* the second one is answered by the journal */
        struct nc_misalignment_question questions[] = {{"rgb.png", "circle", 0},
                                                       {"rgb.png", "square", 0},
                                                       {"rgb.png", "cloud", 0},
                                                       {"missing.png", "circle", 0}};
        if (nc_chat_create(&options, &judging.chat) != NC_OK ||
            nc_misalignment_judge_ask(&judging, questions, 4) != NC_OK)
            fail_msg("%s", nc_error_message());
        assert_int_equal(questions[0].answer, NC_MISALIGNMENT_SHOWN);
        assert_int_equal(questions[1].answer, NC_MISALIGNMENT_ABSENT);
        assert_int_equal(questions[2].answer, NC_MISALIGNMENT_UNSURE);
        assert_int_equal(questions[3].answer, NC_MISALIGNMENT_UNSURE);
        assert_int_equal(nc_chat_counts(judging.chat)->sent, run ? 0 : 3);
        nc_chat_destroy(judging.chat);
    }
    server_stop(&server);
    nc_image_source_close(images);
    nc_prompts_free(&prompts);
    free(log);
    free(journal);
    temporary_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strips_negations),
        cmocka_unit_test(every_word_is_stripped),
        cmocka_unit_test(finds_what_is_denied),
        cmocka_unit_test(asks_a_model_that_sees), /* first: the server wants one thread */
        cmocka_unit_test(prefers_what_the_embedding_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
