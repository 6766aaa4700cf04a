#include "nclip/negation/words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The words found in `text`, with spaces between them. */
static void check(const char *text, const char *expected)
{
    char found[256] = "";
    struct nc_negation_match match = {0};
    while (nc_negation_find(text, strlen(text), match.end, &match)) {
        assert_true(match.start < match.end && match.end <= strlen(text));
        if (*found)
            strcat(found, " ");
        strcat(found, nc_negation_word(match.word));
    }
    assert_string_equal(found, expected);
}

static void test_words(void **state)
{
    (void)state;
    check("", "");
    check("a dog on the grass", "");
    check("no dog", "no");
    check("There is NO dog, but not a cat.", "no not");
    check("a table without a lamp", "without");
    check("Nobody, nothing; neither... nor", "nobody nothing neither nor");
    check("the sky lacks clouds", "lacks");
    check("no", "no");
    check("no-smoking", "no");
}

static void test_contractions(void **state)
{
    (void)state;
    check("it isn't red", "n't");
    check("it ISN'T red", "n't");
    check("it isn\xe2\x80\x99t red", "n't");
    check("don't, won't and can't", "n't n't n't");
    check("a cat's toy, a dog 't", "");
    check("couldn't've, isn'tx, n't", "n't n't");
    struct nc_negation_match match;
    assert_true(nc_negation_find("it isn't", 8, 0, &match));
    assert_int_equal(match.start, 3);
    assert_int_equal(match.end, 8);
}

static void test_parts_of_words(void **state)
{
    (void)state;
    check("a note, a knot, another nose, nonsense", "");
    check("no1 no_one", "");
    check("\xc3\xa9no no\xc3\xa9", "");
    check("'no'", "no");
    check("'no dogs'", "no");
    check("no''", "no");
    check("\xe2\x80\x98no\xe2\x80\x99", "no");
}

static void test_every_word_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < nc_negation_word_count(); i++) {
        const char *word = nc_negation_word(i);
        char text[64] = "was";
        if (strcmp(word, "n't") != 0)
            strcat(text, " ");
        strcat(text, word);
        struct nc_negation_match match;
        assert_true(nc_negation_find(text, strlen(text), 0, &match));
        assert_int_equal(match.word, i);
        assert_int_equal(match.end, strlen(text));
    }
}

/* Not one byte beyond the length is read (AddressSanitizer watches). */
static void test_length(void **state)
{
    (void)state;
    struct nc_negation_match match;
    assert_false(nc_negation_find("not", 0, 0, &match));
    assert_false(nc_negation_find("without", 6, 0, &match));
    assert_true(nc_negation_find("nothing", 3, 0, &match));
    const char open[3] = {'a', '\xe2', '\x80'};
    assert_false(nc_negation_find(open, sizeof open, 0, &match));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),          cmocka_unit_test(test_contractions),
        cmocka_unit_test(test_parts_of_words), cmocka_unit_test(test_every_word_is_found),
        cmocka_unit_test(test_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
