#include "nclip/negation/lexicon.h"
#include "nclip/support/files.h"
#include "nclip/generate/vqa.h"

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

/* All are answered "no". None may come out wrong; at least 80% are restated as they should be. */
static void check_file(const char *path, size_t expected_questions)
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
        bool should = strcmp(expected, "refuse") != 0;
        questions++;
        if (done && should && accepted(statement.denied, expected)) {
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
    assert_true(right * 100 >= questions * 80);
    free(text);
}

static void restates_questions_of_vqa_v2(void **state)
{
    (void)state;
    check_file("generate/vqa_v2_questions.tsv", 200);
}

static void restates_more_of_them(void **state)
{
    (void)state;
    check_file("generate/vqa_v2_more_questions.tsv", 180);
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
    for (int class = 0; class < VQA_CLASSES; class ++) {
        size_t count;
        const char *const *words = vqa_lexicon_words((enum vqa_class) class, &count);
        for (size_t i = 1; i < count; i++)
            assert_true(strcmp(words[i - 1], words[i]) < 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(restates_questions_of_vqa_v2),
        cmocka_unit_test(restates_more_of_them),
        cmocka_unit_test(survives_anything),
        cmocka_unit_test(the_lexicon_is_sorted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
