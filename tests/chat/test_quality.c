/* Answers of models that are accepted, cleaned or rejected. */
#include "nclip/chat/quality.h"
#include "nclip/support/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct nc_synonyms *synonyms;

static int set_up(void **context)
{
    (void)context;
    if (nc_synonyms_load(NULL, &synonyms) != NC_OK)
        fail_msg("%s", nc_error_message());
    return 0;
}

static int tear_down(void **context)
{
    (void)context;
    nc_synonyms_destroy(synonyms);
    return 0;
}

static void test_mentions(void **context)
{
    (void)context;
    static const struct {
        const char *caption, *object;
        bool mentioned;
    } cases[] = {
        {"A woman with two dogs.", "dog", true},
        {"A dog in a park", "dogs", true},
        {"Two puppies on a sofa", "puppy", true},
        {"Puppy love", "puppies", true},
        {"Some sandwiches and potatoes", "sandwich", true},
        {"Some sandwiches and potatoes", "potato", true},
        {"A glass of water", "glasses", true},
        {"Buses on a street", "bus", true},
        {"Three men at a table", "man", true},
        {"A man at a table", "men", true},
        {"Knives on a board", "knife", true},
        {"Wolves in the snow", "wolf", true},
        {"A settee in a living room", "couch", true},
        {"A bicycle against a wall", "bike", true},
        {"Bikes against a wall", "bicycle", true},
        {"A cell phone on a desk", "telephone", true},
        {"An airplane on the runway", "planes", true},
        {"A player with a tennis racquet", "racket", true},
        {"A man with a racket", "tennis racket", true},
        {"A mail box at a road", "mailbox", true},
        {"A mailbox at a road", "mail box", true},
        {"A surfer on a wave", "person", true},
        {"A person on a wave", "surfer", true},
        {"A poodle in a basket", "animal", true},
        {"A mechanic under a car", "man", true},
        {"A taxi in traffic", "vehicle", true},
        {"A man's hat", "hat", true},
        {"HATS FOR SALE", "Hat", true},
        {"A caf\xc3\xa9 at night", "caf\xc3\xa9", true},
        {"A cat on a mat", "dog", false},
        {"A man on a horse", "woman", false},
        {"A category of things", "cat", false},
        {"A carpet in a room", "car", false},
        {"A hatch in the floor", "hat", false},
        {"A bus on a street", "truck", false},
        {"", "dog", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (nc_synonyms_mention(synonyms, cases[i].caption, cases[i].object) != cases[i].mentioned)
            fail_msg("\"%s\" %s \"%s\"", cases[i].caption,
                     cases[i].mentioned ? "mentions" : "does not mention", cases[i].object);
    }
}

static void test_objects(void **context)
{
    (void)context;
    static const struct {
        const char *answer;
        bool cut;
        enum nc_quality quality;
        const char *clean;
    } cases[] = {
        {"Hat", false, NC_QUALITY_GOOD, "hat"},
        {" \"A hat.\"\n", false, NC_QUALITY_GOOD, "hat"},
        {"**Hat**", false, NC_QUALITY_GOOD, "hat"},
        {"Object: traffic light", false, NC_QUALITY_GOOD, "traffic light"},
        {"\xe2\x80\x9cThe umbrella\xe2\x80\x9d", false, NC_QUALITY_GOOD, "umbrella"},
        {"T-shirt", false, NC_QUALITY_GOOD, "t-shirt"},
        {"", false, NC_QUALITY_EMPTY, NULL},
        {" \n\t ", false, NC_QUALITY_EMPTY, NULL},
        {"\"\".", false, NC_QUALITY_EMPTY, NULL},
        {"I'm sorry, but I cannot see the image.", false, NC_QUALITY_REFUSED, NULL},
        {"As an AI, I can't", false, NC_QUALITY_REFUSED, NULL},
        {"Sure! A hat", false, NC_QUALITY_REFUSED, NULL},
        {"an object that could be there", false, NC_QUALITY_RUN_ON, NULL},
        {"hat, umbrella", false, NC_QUALITY_RUN_ON, NULL},
        {"hat\numbrella", false, NC_QUALITY_RUN_ON, NULL},
        {"hat", true, NC_QUALITY_RUN_ON, NULL},
        {"yes", false, NC_QUALITY_NO_OBJECT, NULL},
        {"Nothing", false, NC_QUALITY_NO_OBJECT, NULL},
        {"42", false, NC_QUALITY_NO_OBJECT, NULL},
        {"an object", false, NC_QUALITY_NO_OBJECT, NULL},
        {"horse", false, NC_QUALITY_MENTIONED, NULL},
        {"Fields", false, NC_QUALITY_MENTIONED, NULL},
        {"hat<|im_end|>", false, NC_QUALITY_NOT_TEXT, NULL},
        {"machine\xe3\x82\xb3\xe3\x83\xb3", false, NC_QUALITY_NOT_TEXT, NULL},
        {"h\xff", false, NC_QUALITY_NOT_TEXT, NULL},
        {"hat\x1b[2J", false, NC_QUALITY_NOT_TEXT, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *clean;
        enum nc_quality quality = nc_quality_object(synonyms, "A woman riding a horse in a field.",
                                                    cases[i].answer, cases[i].cut, &clean);
        if (quality != cases[i].quality || (cases[i].clean && strcmp(clean, cases[i].clean) != 0))
            fail_msg("\"%s\" is %s (\"%s\"), expected %s", cases[i].answer,
                     nc_quality_name(quality), clean ? clean : "",
                     nc_quality_name(cases[i].quality));
        free(clean);
    }
}

/* An answer counts as "no" only when it says no. */
static void test_verdicts(void **context)
{
    (void)context;
    static const char *const absent[] = {"no",
                                         "No.",
                                         " NO\n",
                                         "\"No\"",
                                         "No, there is no hat.",
                                         "There is no hat in this image.",
                                         "There isn't a hat.",
                                         "No\n\nThe woman wears nothing."};
    static const char *const present[] = {"yes", "Yes.", "Yes, there is a hat.", "YES!"};
    static const char *const unsure[] = {"maybe",
                                         "I'm not sure",
                                         "No idea.",
                                         "not clear",
                                         "No, yes",
                                         "Yes and no",
                                         "none that I can tell",
                                         "nope",
                                         "It is hard to say",
                                         "No, but it is hidden",
                                         "The answer is yes",
                                         "know",
                                         "north"};
    static const char *const bad[] = {"", "I'm sorry, I cannot", "...", "\xff",
                                      "No, but I cannot see all of it"};
    bool is_absent;
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
        if (nc_quality_verdict(absent[i], &is_absent) != NC_QUALITY_GOOD || !is_absent)
            fail_msg("\"%s\" says no", absent[i]);
    }
    for (size_t i = 0; i < sizeof present / sizeof *present; i++) {
        if (nc_quality_verdict(present[i], &is_absent) != NC_QUALITY_GOOD || is_absent)
            fail_msg("\"%s\" says yes", present[i]);
    }
    for (size_t i = 0; i < sizeof unsure / sizeof *unsure; i++) {
        if (nc_quality_verdict(unsure[i], &is_absent) != NC_QUALITY_UNSURE || is_absent)
            fail_msg("\"%s\" says neither yes nor no", unsure[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (nc_quality_verdict(bad[i], &is_absent) == NC_QUALITY_GOOD || is_absent)
            fail_msg("\"%s\" is no answer", bad[i]);
    }
}

static void test_statements(void **context)
{
    (void)context;
    static const struct {
        const char *answer;
        enum nc_quality quality;
    } cases[] = {
        {"a woman riding a horse in a field with no hat", NC_QUALITY_GOOD},
        {"A woman without a hat rides a horse in a field.", NC_QUALITY_GOOD},
        {"A woman who isn't wearing a hat riding a horse in a field", NC_QUALITY_GOOD},
        {"Caption: \"a woman riding a horse in a field, a hat is absent\"", NC_QUALITY_GOOD},
        {"a woman riding a horse in a field, and a hat is not there", NC_QUALITY_GOOD},
        {"a hatless woman riding a horse in a field", NC_QUALITY_NO_NEGATION},
        {"a woman riding a horse in a field with a hat", NC_QUALITY_NO_NEGATION},
        {"a woman riding a horse in a field with no saddle", NC_QUALITY_NOT_DENIED},
        {"a woman with a hat riding a horse in a field with no trees", NC_QUALITY_NOT_DENIED},
        {"a woman in a hat and no shoes riding a horse in a field", NC_QUALITY_NOT_DENIED},
        {"there is no hat", NC_QUALITY_CONTENT_LOST},
        {"a woman in a field with no hat", NC_QUALITY_CONTENT_LOST},
        {"a woman riding a horse in a field with no hat and a red barn", NC_QUALITY_ADDED},
        {"a woman riding a horse in a field with no hat\nand more", NC_QUALITY_RUN_ON},
        {"a woman riding a horse in a field with no hat and so on and on and on and on and on and "
         "on and on and on and on and on and on and on and on and on",
         NC_QUALITY_RUN_ON},
        {"Here is the updated caption: a woman riding a horse with no hat", NC_QUALITY_REFUSED},
        {"I can't help with that.", NC_QUALITY_REFUSED},
        {"", NC_QUALITY_EMPTY},
        {"a woman riding a horse in a field with no hat<|im_end|>", NC_QUALITY_NOT_TEXT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *clean;
        enum nc_quality quality =
            nc_quality_statement(synonyms, "A woman riding a horse in a field.", "hat", NULL,
                                 cases[i].answer, false, NULL, &clean);
        if (quality != cases[i].quality)
            fail_msg("\"%s\" is %s, expected %s", cases[i].answer, nc_quality_name(quality),
                     nc_quality_name(cases[i].quality));
        free(clean);
    }
}

/* A caption that denies something already must deny one thing more. */
static void test_second_negation(void **context)
{
    (void)context;
    static const char caption[] = "A man with no shirt on a beach";
    char *clean;
    assert_int_equal(nc_quality_statement(synonyms, caption, "hat", NULL,
                                          "A man with no shirt on a beach with a hat", false, NULL,
                                          &clean),
                     NC_QUALITY_NO_NEGATION);
    free(clean);
    assert_int_equal(nc_quality_statement(synonyms, caption, "hat", NULL,
                                          "A man with no shirt and no hat on a beach", false, NULL,
                                          &clean),
                     NC_QUALITY_GOOD);
    assert_string_equal(clean, "A man with no shirt and no hat on a beach");
    free(clean);
}

static void test_too_long(void **context)
{
    (void)context;
    struct nc_tokenizer *tokenizer;
    if (nc_tokenizer_load("../configs/quickstart/model", NC_TOKENIZER_TRANSFORMERS, &tokenizer) !=
        NC_OK)
        fail_msg("%s", nc_error_message());
    char caption[600] = "a dog", answer[640], *clean;
    for (int i = 0; i < 80; i++)
        strcat(caption, " red");
    snprintf(answer, sizeof answer, "%s with no hat", caption);
    assert_int_equal(
        nc_quality_statement(synonyms, caption, "hat", NULL, answer, false, NULL, &clean),
        NC_QUALITY_GOOD);
    free(clean);
    assert_int_equal(
        nc_quality_statement(synonyms, caption, "hat", NULL, answer, false, tokenizer, &clean),
        NC_QUALITY_TOO_LONG);
    free(clean);
    assert_int_equal(nc_quality_statement(synonyms, "a dog", "hat", NULL, "a dog with no hat",
                                          false, tokenizer, &clean),
                     NC_QUALITY_GOOD);
    free(clean);
    nc_tokenizer_destroy(tokenizer);
}

/* Any bytes may come from a model. */
static void test_hostile_answers(void **context)
{
    (void)context;
    char *huge = malloc(1 << 20), *clean;
    bool absent;
    memset(huge, 'a', 1 << 20);
    huge[(1 << 20) - 1] = 0;
    assert_int_equal(nc_quality_object(synonyms, "a dog", huge, false, &clean), NC_QUALITY_RUN_ON);
    free(clean);
    assert_int_equal(nc_quality_verdict(huge, &absent), NC_QUALITY_RUN_ON);
    assert_int_equal(
        nc_quality_statement(synonyms, huge, "hat", NULL, "no hat", false, NULL, &clean),
        NC_QUALITY_CONTENT_LOST);
    free(clean);
    unsigned long state = 1;
    for (int i = 0; i < 20000; i++) {
        char bytes[64];
        size_t length = (size_t)(state >> 33) % sizeof bytes;
        for (size_t k = 0; k < length; k++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            bytes[k] = "no hat'\"\xe2\x80\x99\xff\x80.:\n*"[(state >> 40) % 18];
        }
        bytes[length] = 0;
        nc_quality_object(synonyms, bytes, bytes, false, &clean);
        free(clean);
        nc_quality_statement(synonyms, bytes, "hat", bytes, bytes, false, NULL, &clean);
        free(clean);
        nc_quality_verdict(bytes, &absent);
    }
    free(huge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mentions),        cmocka_unit_test(test_objects),
        cmocka_unit_test(test_verdicts),        cmocka_unit_test(test_statements),
        cmocka_unit_test(test_second_negation), cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_hostile_answers),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
