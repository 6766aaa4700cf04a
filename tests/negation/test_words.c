/* Which words are found as negations, and which are not. */
#include "nclip/negation/words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
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

/* ---- n't, as it is typed and garbled ---- */

static const char *const apostrophes[] = {
    "'",
    "`",
    "\xc2\xb4",
    "\xca\xbc",
    "\xca\xb9",
    "\xe2\x80\x98",
    "\xe2\x80\x99",
    "\xe2\x80\x9b",
    "\xe2\x80\xb2",
    "\xe2\x80\xb5",
    "\xef\xbc\x87",
    "\xef\xbd\x80",
    "\xcc\x81",
    "\xef\xbf\xbd",
    "?",
    "\"",
    "''",
    "\\'",
    "\\\\'",
    "\\u2019",
    "\\x27",
    "%27",
    "%E2%80%99",
    "%e2%80%99",
    "\xc3\xa2\xe2\x82\xac\xe2\x84\xa2",
    "\xc3\xa2\xe2\x82\xac\xcb\x9c",
    "\xc3\xa2\xc2\x80\xc2\x99",
    "\xc3\xa2??",
    "\xc3\x82\xc2\xb4",
    "\xc3\x95",
    "\x92",
    "\x91",
    "\xb4",
    "\xc2\x92",
    "&#39;",
    "&#039;",
    "&#39",
    "&#x27;",
    "&#X27;",
    "&#x2019;",
    "&#8217;",
    "&#8216;",
    "&#146;",
    "&#180;",
    "&#96;",
    "&apos;",
    "&rsquo;",
    "&lsquo;",
    "&RSQUO;",
    "&acute;",
    "&prime;",
    "&grave;",
    "&quot;",
    "&amp;apos;",
    "&amp;#39;",
    "&amp;amp;#39;",
    "&amp;rsquo;",
    " '",
    " ' ",
    " \xe2\x80\x99",
    " &#39;",
};

static void test_apostrophes(void **state)
{
    (void)state;
    static const char *const words[][2] = {
        {"don", "do"}, {"ISN", "IS"}, {"couldn", "could"}, {"wasn", "was"}};
    for (size_t i = 0; i < sizeof apostrophes / sizeof *apostrophes; i++) {
        for (size_t k = 0; k < 4; k++) {
            char text[128];
            snprintf(text, sizeof text, "a man who %s%s%c here", words[k][0], apostrophes[i],
                     k == 1 ? 'T' : 't');
            struct nc_negation_match match, denial;
            if (!nc_negation_find(text, strlen(text), 0, &match) ||
                !nc_denial_find(text, strlen(text), 0, &denial))
                fail_msg("not found: %s", text);
            assert_string_equal(nc_negation_word(match.word), "n't");
            assert_int_equal(match.start, strlen("a man who "));
            assert_int_equal(match.end, strlen(text) - strlen(" here"));
            assert_int_equal(nc_negation_verb(text, &match), strlen(words[k][1]));
            assert_false(nc_negation_find(text, strlen(text), match.end, &match));
            /* The same where no verb stands, or more than t: nothing. */
            if (strcmp(apostrophes[i], "'") != 0 && strcmp(apostrophes[i], "\xe2\x80\x99") != 0) {
                snprintf(text, sizeof text, "a pen%st, don%sts", apostrophes[i], apostrophes[i]);
                if (nc_negation_find(text, strlen(text), 0, &match))
                    fail_msg("found: %s", text);
            }
        }
    }
}

/* Without an apostrophe: no word of the list, but a denial. */
static void test_lost_apostrophes(void **state)
{
    (void)state;
    static const char *const lost[] = {"dont",  "Isnt",  "CANT",  "wont",    "doesnt",
                                       "didnt", "arent", "wasnt", "couldnt", "hasnt",
                                       "don t", "isn t", "don-t", "doesn t"};
    for (size_t i = 0; i < sizeof lost / sizeof *lost; i++) {
        char text[64];
        snprintf(text, sizeof text, "they %s walk", lost[i]);
        struct nc_negation_match match;
        assert_false(nc_negation_find(text, strlen(text), 0, &match));
        if (!nc_denial_find(text, strlen(text), 0, &match))
            fail_msg("not found: %s", text);
        assert_false(match.listed);
        assert_int_equal(match.start, 5);
        assert_int_equal(match.end, strlen(text) - 5);
    }
    static const char *const none[] = {"can t shirt", "a don t-shirt", "a front t", "in t",
                                       "elephant",    "want",          "canton",    "don tom"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        struct nc_negation_match match;
        if (nc_denial_find(none[i], strlen(none[i]), 0, &match))
            fail_msg("found: %s", none[i]);
    }
}

static void test_entities(void **state)
{
    (void)state;
    check("a &not; b, &amp;not; c", "");
    check("dogs &amp; no cats, &quot;no&quot;, &lt;b&gt;not&lt;/b&gt;", "no no not");
    check("&#39;no dogs&#39;", "no");
}

/* ---- What denies ---- */

static const char *const set_apart[] = {
    "a bottle of Chanel No. 5",
    "a bottle of Chanel No 5",
    "a train with No. 12 on its front",
    "no.1",
    "No.1 in the list",
    "NO. 7A",
    "Item No.: A12",
    "Symphony no. four",
    "No. IV",
    "Model No. RT-55",
    "No # 5",
    "contact no",
    "the villain Dr. No",
    "not only a dog but also a cat",
    "Not just a dog",
    "it isn't only a dog",
    "without doubt a cat",
    "without a doubt",
    "without any doubt",
    "without question",
    "no doubt a cat",
    "no matter the weather",
    "No wonder",
    "nothing but sand",
    "nothing less than gold",
    "I can't wait",
    "I can\xe2\x80\x99t wait",
    "I cannot wait",
    "I can not wait",
    "we ca n't wait",
    "couldn't be happier",
    "cant wait",
    "can&#39;t help but smile",
    "can't get enough",
    "isn't she lovely",
    "Aren't they cute",
    "a forget-me-not",
    "forget me not flowers",
    "a no-brainer",
    "No Man's Land",
    "a no parking sign",
    "NO SMOKING sign",
    "yes or no",
    "whether or not",
    "believe it or not",
    "Why not?",
    "with or without glasses",
    "with and without makeup",
    "without fail",
    "it goes without saying",
    "not to mention the cat",
    "not without charm",
    "never without his hat",
    "never mind",
    "a never-ending road",
    "now or never",
    "like never before",
    "none other than him",
    "second to none",
    "all or nothing",
    "the middle of nowhere",
    "out of nowhere",
    "absent-minded",
    "leave of absence",
    "no lack of dogs",
    "lacks nothing",
    "in no time",
    "for lack of a better word",
};

static const char *const denials[] = {
    "there are no 2 alike",
    "there is no dog",
    "no dogs",
    "with no 5 anywhere",
    "no, it is a cat",
    "not a dog",
    "not justice",
    "without a hat",
    "without doubting",
    "nothing",
    "no one",
    "the man can't swim",
    "can't waiters",
    "he doesn't like it",
    "why isn't she here",
    "no parking",
    "no parking lot",
    "no traffic signs",
    "never",
    "nowhere",
    "a lack of dogs",
    "absent",
    "No people. 5 dogs",
    "not a forget me",
    "no. A dog",
    "no matters",
    "without her",
    "nothing butter",
    "dont walk",
};

static void test_denials(void **state)
{
    (void)state;
    struct nc_negation_match match, plain;
    for (size_t i = 0; i < sizeof set_apart / sizeof *set_apart; i++) {
        size_t length = strlen(set_apart[i]);
        if (nc_denial_find(set_apart[i], length, 0, &match))
            fail_msg("taken for a denial: %s", set_apart[i]);
        if (!nc_negation_find(set_apart[i], length, 0, &plain) && strncmp(set_apart[i], "cant", 4))
            fail_msg("no negation word: %s", set_apart[i]);
    }
    for (size_t i = 0; i < sizeof denials / sizeof *denials; i++)
        if (!nc_denial_find(denials[i], strlen(denials[i]), 0, &match))
            fail_msg("not taken for a denial: %s", denials[i]);
    /* One of each. */
    const char *text = "not only a dog but no cat";
    assert_true(nc_denial_find(text, strlen(text), 0, &match));
    assert_int_equal(match.start, 19);
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
    assert_false(nc_negation_find("isn&#39;t", 7, 0, &match));
    assert_false(nc_denial_find("dont", 3, 0, &match));
    const char open[3] = {'a', '\xe2', '\x80'};
    assert_false(nc_negation_find(open, sizeof open, 0, &match));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_contractions),
        cmocka_unit_test(test_parts_of_words),
        cmocka_unit_test(test_every_word_is_found),
        cmocka_unit_test(test_length),
        cmocka_unit_test(test_apostrophes),
        cmocka_unit_test(test_lost_apostrophes),
        cmocka_unit_test(test_entities),
        cmocka_unit_test(test_denials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
