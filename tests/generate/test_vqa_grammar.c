/* Statements that the grammar makes of questions, and questions that it leaves alone. */
#include "nclip/generate/vqa.h"
#include "nclip/negation/lexicon.h"
#include "nclip/support/files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Is `text` one of the alternatives? */
static bool accepted(const char *text, const char *alternatives)
{
    size_t length = strlen(text);
    for (const char *at = alternatives;; at++) {
        size_t part = strcspn(at, "|");
        if (part == length && memcmp(at, text, length) == 0)
            return true;
        at += part;
        if (!*at)
            return false;
    }
}

/* All are answered "no". None may come out wrong; at least `least` % are restated as they should
 * be. Where the expected answer is "refuse" or starts with -, it may as well be refused. */
static void check_file(const char *path, size_t expected_questions, size_t least)
{
    char *text, *line;
    size_t size, questions = 0, right = 0, refused = 0, left = 0, wrong = 0;
    assert_int_equal(nc_file_read(path, 1 << 20, &text, &size), 0);
    for (char *rest = text; (line = strsep(&rest, "\n"));) {
        char *expected = strchr(line, '\t');
        if (line[0] == '#' || !expected)
            continue;
        *expected++ = 0;
        struct nc_vqa_statement statement;
        const char *reason = NULL;
        bool done = nc_vqa_restate(line, &statement, &reason);
        bool should = strcmp(expected, "refuse") != 0 && expected[0] != '-';
        questions++;
        if (done && accepted(statement.denied, expected)) {
            right++;
        } else if (done) {
            wrong++;
            print_message("wrong: %s -> \"%s\", not \"%s\"\n", line, statement.denied, expected);
        } else if (should) {
            left++;
            print_message("left alone: %s (%s)\n", line, reason);
        } else {
            refused++;
        }
        assert_true(done || reason);
    }
    print_message("%zu questions: %zu restated, %zu rightly refused, %zu left alone, %zu wrong\n",
                  questions, right, refused, left, wrong);
    assert_int_equal(questions, expected_questions);
    assert_int_equal(wrong, 0);
    assert_true(right * 100 >= questions * least);
    free(text);
}

static void restates_questions_of_vqa_v2(void **state)
{
    (void)state;
    check_file("generate/vqa_v2_questions.tsv", 200, 85);
}

static void restates_more_of_them(void **state)
{
    (void)state;
    check_file("generate/vqa_v2_more_questions.tsv", 180, 90);
}

static void restates_unseen_ones(void **state)
{
    (void)state;
    check_file("generate/vqa_v2_unseen_questions.tsv", 327, 85);
    check_file("generate/vqa_v2_last_questions.tsv", 100, 85);
    check_file("generate/vqa_v2_final_questions.tsv", 100, 85);
}

/* Where more than one word may start the predicate, or what is asked cannot be denied in one way.
 */
static void refuses_what_has_two_readings(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "Is the man holding the door open?",
        "Is the boy standing with his mouth open?",
        "Is the man painting the wall white?",
        "Is the man riding a horse wearing a hat?",
        "Is the man sitting on the bench reading a book?",
        "Is the sign above the door in English?",
        "Is the wall light blue?",
        "Is this water skiing?",
        "Is the number 7 on the clock red?",
        "Is the letter A on the sign blue?",
        "Is bus 12 moving?",
        "Is the bus 12 moving?",
        "Is the dog the boy is holding brown?",
        "Is the man who looks old smiling?",
        "Is the train going through the mountains fast?",
        "Is there also a cat?",
        "Is there a cat too?",
        "Is there still food on the plate?",
        "Has he already eaten?",
        "Does she still have hair?",
        "Are there a dog in the picture?",
        "Are there any food on the table?",
        "Is this been cooked?",
        "Are these a dog?",
        "Do the man look happy?",
        "Does these dogs bark?",
        "Is this pants?",
        "Is the plane likely going to land?",
        "Is somebody about to eat?",
        "Are the dogs ears up?",
        "Is the man holding the door a guard?",
        "Is this breakfast food?",
        "Is the pizza gluten free?",
        "Is the pizza vegetarian friendly?",
        "Is the dog house trained?",
        "Is the fence around the field chain link?",
        "Is this someone riding a horse?",
        "Are the numbers on the clock roman numerals?",
        "Is the man with his arm up waving?",
        "Is there currently a train?",
        "Is there little traffic?",
        "Are the people in this picture of the same age?",
        "Isnt this a dog?",
        "Isn`t this a dog?",
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct nc_vqa_statement statement;
        const char *reason = NULL;
        if (nc_vqa_restate(refused[i], &statement, &reason))
            fail_msg("%s -> %s", refused[i], statement.denied);
        assert_non_null(reason);
    }
}

static void tells_where_a_subject_ends(void **state)
{
    (void)state;
    static const char *const asked[][3] = {
        {"Is this good for you?", "this is not good for you", "this is good for you"},
        {"Is this too big?", "this is not too big", "this is too big"},
        {"Is this all one color?", "this is not all one color", "this is all one color"},
        {"Has this been cut?", "this has not been cut", "this has been cut"},
        {"Does any person have a hat?", "no person has a hat", "some person has a hat"},
        {"Is there somewhere to sit?", "there is nowhere to sit", "there is somewhere to sit"},
        {"Is there two dogs?", "there are not two dogs", "there are two dogs"},
        {"Are there an even number of people?", "there are not an even number of people",
         "there are an even number of people"},
        {"Is the food shown healthy?", "the food shown is not healthy",
         "the food shown is healthy"},
        {"Is the man pictured wearing a hat?", "the man pictured is not wearing a hat",
         "the man pictured is wearing a hat"},
        {"Is the dog held by the woman brown?", "the dog held by the woman is not brown",
         "the dog held by the woman is brown"},
        {"Is the food in the bowl soup?", "the food in the bowl is not soup",
         "the food in the bowl is soup"},
        {"Is the person on the bike Asian?", "the person on the bike is not Asian",
         "the person on the bike is Asian"},
        {"Does the water slide have a ladder?", "the water slide does not have a ladder",
         "the water slide has a ladder"},
        {"Does the front cover look old?", "the front cover does not look old",
         "the front cover looks old"},
        {"Is the man and woman holding hands?", "the man and woman are not holding hands",
         "the man and woman are holding hands"},
        {"Is everyone in the boat asleep?", "not everyone in the boat is asleep",
         "everyone in the boat is asleep"},
        {"Are those pine trees?", "those are not pine trees", "those are pine trees"},
        {"Are these two giraffes related?", "these two giraffes are not related",
         "these two giraffes are related"},
        {"Is the man over 6 feet tall?", "the man is not over 6 feet tall",
         "the man is over 6 feet tall"},
        {"Is the man past the finish line?", "the man is not past the finish line",
         "the man is past the finish line"},
        {"Is the man in white holding a bat?", "the man in white is not holding a bat",
         "the man in white is holding a bat"},
        {"Is this sheep shaved?", "this sheep is not shaved", "this sheep is shaved"},
        {"Is this Mexican food?", "this is not Mexican food", "this is Mexican food"},
        {"Is this New York?", "this is not New York", "this is New York"},
        {"Is there too much food?", "there is not too much food", "there is too much food"},
        {"Is there a great deal of snow?", "there is not a great deal of snow",
         "there is a great deal of snow"},
        {"Is this man's tie red?", "this man's tie is not red", "this man's tie is red"},
    };
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        struct nc_vqa_statement statement;
        const char *reason = NULL;
        if (!nc_vqa_restate(asked[i][0], &statement, &reason))
            fail_msg("%s: %s", asked[i][0], reason);
        assert_string_equal(statement.denied, asked[i][1]);
        assert_string_equal(statement.affirmed, asked[i][2]);
    }
}

/* Hostile: no crash, and a reason. */
static void survives_anything(void **state)
{
    (void)state;
    static const char *const parts[] = {
        "is",  "are", "the", "a",   "dog",  "there", "on",     "who",   "and",  "wearing", "parked",
        "any", "of",  "one", "all", "does", "have",  "than",   "this",  "no",   "'s",      "?",
        "big", "or",  "it",  "can", "see",  "two",   "handed", "right", "water"};
    uint64_t random = 7;
    size_t done = 0;
    for (int round = 0; round < 200000; round++) {
        char text[512] = "";
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        size_t count = random >> 60;
        for (size_t i = 0; i <= count; i++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
            strcat(text, parts[(random >> 33) % (sizeof parts / sizeof *parts)]);
            strcat(text, " ");
        }
        struct nc_vqa_statement statement;
        const char *reason = NULL;
        if (!nc_vqa_restate(text, &statement, &reason)) {
            assert_non_null(reason);
            continue;
        }
        done++;
        assert_true(strlen(statement.denied) > 0 && strlen(statement.affirmed) > 0);
        assert_string_not_equal(statement.denied, statement.affirmed);
    }
    assert_true(done > 100);
}

static void the_lexicon_is_sorted(void **state)
{
    (void)state;
    for (int class = 0; class < NC_WORD_CLASSES; class ++) {
        size_t count;
        const char *const *words = nc_lexicon_words((enum nc_word_class) class, &count);
        for (size_t i = 1; i < count; i++)
            assert_true(strcmp(words[i - 1], words[i]) < 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(restates_questions_of_vqa_v2),
        cmocka_unit_test(restates_more_of_them),
        cmocka_unit_test(restates_unseen_ones),
        cmocka_unit_test(refuses_what_has_two_readings),
        cmocka_unit_test(tells_where_a_subject_ends),
        cmocka_unit_test(survives_anything),
        cmocka_unit_test(the_lexicon_is_sorted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
