/* Claims that the rules read from questions, and their sentences. */
#include "nclip/generate/vqa.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct example {
    const char *question, *answer;
    struct nc_vqa_claim claim;
};

/* NC_VQA_EXISTENCE unless it says otherwise. */
static const struct example examples[] = {
    {"is there a red shape?", "no", {.thing = "red shape"}},
    {"Is there a red shape in the image?", "yes", {.thing = "red shape", .holds = true}},
    {"is there not a red shape?", "yes", {.thing = "red shape"}},
    {"is there not a red shape in the image?", "no", {.thing = "red shape", .holds = true}},
    {"does the image contain a circle?", "no", {.thing = "circle"}},
    {"does the image not contain a circle?", "yes", {.thing = "circle"}},
    {"is a circle present?", "no", {.thing = "circle"}},
    {"is no circle present?", "yes", {.thing = "circle"}},
    {"is no circle present?", "no", {.thing = "circle", .holds = true}},
    {"Are there any dogs in this photo?", "no", {.thing = "dogs", .plural = true, .bare = true}},
    {"Is there any water in the picture?", "no", {.thing = "water", .bare = true}},
    {"Isn't there an apple here?", "yes", {.thing = "apple"}},
    {"are there no clouds in the picture?",
     "yes",
     {.thing = "clouds", .plural = true, .bare = true}},
    {"Are there an even number of people?", "no", {NC_VQA_STATEMENT}},
    {"Is there somewhere to sit?", "no", {NC_VQA_STATEMENT}},
    {"is there a cat on the old couch?", "No.", {.thing = "cat on the old couch"}},
    {"is the dog black?", "no", {NC_VQA_QUALITY, .subject = "dog", .quality = "black"}},
    {"is the shape not a circle?",
     "yes",
     {NC_VQA_QUALITY, .subject = "shape", .quality = "circle", .noun = true, .bare = false}},
    {"what color is the circle?",
     "blue",
     {NC_VQA_VALUE, true, .subject = "circle", .quality = "blue", .attribute = "color"}},
    {"what is the color of the shape?",
     "teal",
     {NC_VQA_VALUE, true, .subject = "shape", .quality = "teal", .attribute = "color"}},
    {"what shape is in the image?",
     "circle",
     {NC_VQA_VALUE, true, .subject = "shape", .quality = "circle"}},
    {"what shape does the image contain?",
     "circle",
     {NC_VQA_VALUE, true, .subject = "shape", .quality = "circle"}},
    {"what is the red shape?",
     "circle",
     {NC_VQA_VALUE, true, .subject = "shape", .thing = "red", .quality = "circle"}},
};

static void reads_questions(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        const struct example *example = &examples[i];
        struct nc_vqa_claim claim;
        const char *reason = "";
        if (!nc_vqa_read(example->question, example->answer, &claim, &reason))
            fail_msg("%s %s: %s", example->question, example->answer, reason);
        const struct nc_vqa_claim *expected = &example->claim;
        if (claim.kind != expected->kind || claim.holds != expected->holds ||
            claim.plural != expected->plural || claim.bare != expected->bare ||
            claim.noun != expected->noun)
            fail_msg("%s %s: wrong kind or flags", example->question, example->answer);
        assert_string_equal(claim.thing, expected->thing);
        assert_string_equal(claim.subject, expected->subject);
        assert_string_equal(claim.quality, expected->quality);
        assert_string_equal(claim.attribute, expected->attribute);
    }
}

/* Where the parts of a form would not say it well, the grammar's statement does. */
static void restates_the_rest(void **state)
{
    (void)state;
    static const char *const questions[][2] = {
        {"is the man wearing a hat?", "the man is not wearing a hat"},
        {"are there 2 dogs?", "there are not 2 dogs"},
        {"is this chinese food?", "this is not chinese food"},
        {"is there another dog?", "there is not another dog"},
        {"is there anyone here?", "there is no one here"},
    };
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
        struct nc_vqa_claim claim;
        const char *reason = "";
        if (!nc_vqa_read(questions[i][0], "no", &claim, &reason))
            fail_msg("%s: %s", questions[i][0], reason);
        assert_int_equal(claim.kind, NC_VQA_STATEMENT);
        assert_false(claim.holds);
        assert_string_equal(claim.statement.denied, questions[i][1]);
    }
    struct nc_vqa_claim claim;
    const char *reason = "";
    assert_true(nc_vqa_read("is there clouds in the sky?", "no", &claim, &reason));
    assert_true(claim.kind == NC_VQA_EXISTENCE && claim.plural && claim.bare);
}

static void leaves_other_questions_alone(void **state)
{
    (void)state;
    static const char *const questions[][2] = {
        {"", "no"},
        {"?", "no"},
        {"why is the man laughing?", "no"},
        {"is there a red shape?", "maybe"},
        {"is there a red shape?", ""},
        {"what color is the shape?", "yes"},
        {"is there the dog?", "no"},
        {"is the dog?", "no"},
        {"is there", "no"},
        {"is there a", "no"},
        {"is the man wearing a hat?", "two"},
        {"is the man wearing a hat or a cap?", "no"},
        {"is there a caf\xc3\xa9?", "no"},
        {"is there a dog; or <b>cat</b>?", "no"},
        {"is there a a a a a a a a a a a a a a a a a a a a a a a a a a dog?", "no"},
    };
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
        struct nc_vqa_claim claim;
        const char *reason = NULL;
        if (nc_vqa_read(questions[i][0], questions[i][1], &claim, &reason))
            fail_msg("read: %s", questions[i][0]);
        assert_non_null(reason);
    }
    /* Longer than a part of a question, and than all of it, may be. */
    char text[4096] = "is there a ";
    for (size_t words = 0; words < 12; words++)
        strcat(text, "abcdefghijklmnopqrst ");
    struct nc_vqa_claim claim;
    const char *reason = NULL;
    assert_false(nc_vqa_read(text, "no", &claim, &reason));
    memset(text, 'a', 4000);
    text[4000] = 0;
    assert_false(nc_vqa_read(text, "no", &claim, &reason));
}

static void check_fill(const char *sentence, const struct nc_vqa_slots *slots, const char *expected)
{
    char *text = nc_vqa_fill(sentence, slots);
    if (expected) {
        assert_non_null(text);
        assert_string_equal(text, expected);
    } else {
        assert_null(text);
    }
    free(text);
}

static void fills_sentences(void **state)
{
    (void)state;
    struct nc_vqa_slots slots = {.thing = "orange shape", .subject = "shape", .quality = "orange"};
    check_fill("there {is} no {thing}", &slots, "there is no orange shape");
    check_fill("not {a thing}", &slots, "not an orange shape");
    check_fill("{a subject} that is not {quality}", &slots, "a shape that is not orange");
    check_fill("{a known}, not {quality}", &slots, NULL);
    check_fill("{caption}, with no {thing}", &slots, NULL);
    slots = (struct nc_vqa_slots){.thing = "circle",
                                  .quality = "circle",
                                  .noun = true,
                                  .known = "red shape",
                                  .caption = "A lamp on a desk. \n"};
    check_fill("{a known}, not {quality}", &slots, "a red shape, not a circle");
    check_fill("{caption}, with no {thing}", &slots, "A lamp on a desk, with no circle");
    check_fill("the {subject} is not {quality}", &slots, NULL);
    slots = (struct nc_vqa_slots){.thing = "dogs", .plural = true, .bare = true};
    check_fill("there {is} no {thing}", &slots, "there are no dogs");
    check_fill("a picture without {a thing}", &slots, "a picture without dogs");
}

/* A held-out file names phrasings by their sentence: each must be there once. */
static void phrasings_differ(void **state)
{
    (void)state;
    size_t count;
    const struct nc_vqa_phrasing *phrasings = nc_vqa_phrasings(&count);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(phrasings[i].denied, phrasings[k].denied);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_questions),
        cmocka_unit_test(restates_the_rest),
        cmocka_unit_test(leaves_other_questions_alone),
        cmocka_unit_test(fills_sentences),
        cmocka_unit_test(phrasings_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
