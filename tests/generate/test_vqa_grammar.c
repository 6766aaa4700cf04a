#include "nclip/files.h"
#include "nclip/vqa.h"
#include "../../host/generate/vqa_lexicon.h"

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

/* Each of the 200 is answered "no". */
static void restates_questions_of_vqa_v2(void **state)
{
    (void)state;
    char *text, *line;
    size_t size, questions = 0, right = 0, refused = 0, left = 0, wrong = 0;
    assert_int_equal(nc_file_read("generate/vqa_v2_questions.tsv", 1 << 20, &text, &size), 0);
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
    assert_int_equal(questions, 200);
    assert_int_equal(wrong, 0);
    assert_true(right * 100 >= questions * 80);
    free(text);
}

static void the_lexicon_is_sorted(void **state)
{
    (void)state;
    for (int class = 0; class < VQA_CLASSES; class++) {
        size_t count;
        const char *const *words = vqa_lexicon_words((enum vqa_class)class, &count);
        for (size_t i = 1; i < count; i++)
            assert_true(strcmp(words[i - 1], words[i]) < 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(restates_questions_of_vqa_v2),
        cmocka_unit_test(the_lexicon_is_sorted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
