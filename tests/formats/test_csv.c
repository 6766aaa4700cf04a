/* CSV as pandas writes it, and Python's lists of strings. */
#include "nclip/formats/csv.h"

#include "nclip/support/error.h"
#include "../support/temporary_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int load(const char *text, size_t size, struct nc_csv *csv)
{
    static char *path; /* named in messages after the folder is gone */
    char *folder = temporary_folder_create();
    free(path);
    path = nc_path_join(folder, "a.csv");
    if (nc_file_write(path, text, size) != NC_OK)
        fail_msg("%s", nc_error_message());
    int status = nc_csv_load(path, csv);
    temporary_folder_remove(folder);
    return status;
}

static void reads(void **state)
{
    (void)state;
    static const char text[] = "\xef\xbb\xbfname,\"the, list\",n\r\n"
                               "a,\"one \"\"quoted\"\", word\",1\r\n"
                               "\r\n"
                               "\"two\nlines\",,-2.5\n"
                               "\"\",x\"y,1e3"; /* no line feed at the end */
    struct nc_csv csv;
    size_t column, size;
    double number;
    if (load(text, sizeof text - 1, &csv) != NC_OK)
        fail_msg("%s", nc_error_message());
    assert_int_equal(csv.columns, 3);
    assert_int_equal(csv.rows, 3);
    assert_true(nc_csv_find(&csv, "the, list", &column) && column == 1);
    assert_false(nc_csv_find(&csv, "gone", &column));
    assert_string_equal(nc_csv_cell(&csv, 0, 1), "one \"quoted\", word");
    assert_string_equal(nc_csv_cell(&csv, 1, 0), "two\nlines");
    assert_string_equal(nc_csv_cell(&csv, 1, 1), "");
    assert_string_equal(nc_csv_cell(&csv, 2, 0), "");
    assert_string_equal(nc_csv_cell(&csv, 2, 1), "x\"y");
    assert_true(nc_csv_number(&csv, 1, 2, &number) == NC_OK && number == -2.5);
    assert_true(nc_csv_size(&csv, 2, 2, &size) == NC_OK && size == 1000);
    assert_int_equal(nc_csv_size(&csv, 1, 2, &size), NC_BAD_INPUT);
    assert_int_equal(nc_csv_number(&csv, 1, 1, &number), NC_BAD_INPUT);
    assert_non_null(
        strstr(nc_error_message(), "a.csv line 4: \"the, list\" is \"\" (expected a number)"));
    nc_csv_free(&csv);
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
        size_t size;
    } cases[] = {
        {"", "expected a CSV file", 0},
        {"a,b\n", "expected a CSV file", 0},
        {"a,b\n1\n", "line 2: has 1 fields, but the first line names 2", 0},
        {"a,b\n1,2\n\n1,2,3\n", "line 4: has 3 fields", 0},
        {"a,b\n1,\"2\n3\n", "line 2: a quote is never closed", 0},
        {"a,b\n1,\"2\"\"", "line 2: a quote is never closed", 0},
        {"a,b\n1,\0\n", "zero byte", 8},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct nc_csv csv;
        size_t size = cases[i].size ? cases[i].size : strlen(cases[i].text);
        assert_int_equal(load(cases[i].text, size, &csv), NC_BAD_INPUT);
        if (!strstr(nc_error_message(), cases[i].message))
            fail_msg("case %zu: \"%s\" is not in: %s", i, cases[i].message, nc_error_message());
        assert_null(csv.text);
    }
}

static void python_lists(void **state)
{
    (void)state;
    static const struct {
        const char *cell;
        size_t count;
        const char *strings[3];
    } good[] = {
        {"[]", 0, {0}},
        {" ( ) ", 0, {0}},
        {"['a', \"it's\", 'say \"x\"']", 3, {"a", "it's", "say \"x\""}},
        {"('a',)", 1, {"a"}},
        {"['\\'\\\\\\n\\t', '\\xe9\\u20ac\\U0001f600',]",
         2,
         {"'\\\n\t", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"}},
        {"['', '']", 2, {"", ""}},
    };
    static const char *const bad[] = {
        "",        "a",       "[",      "['a'",     "['a' 'b']",   "['a",       "[1]",
        "['a'] x", "['\\q']", "[,]",    "['\\x4']", "['\\ud800']", "['\\x00']", "['\\U00110000']",
        "['a\\",   "['a')",   "[['a']]"};
    const char **strings;
    size_t count;
    char cell[128];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        strcpy(cell, good[i].cell);
        if (nc_python_strings("a cell", cell, &strings, &count) != NC_OK)
            fail_msg("%s: %s", good[i].cell, nc_error_message());
        assert_int_equal(count, good[i].count);
        for (size_t k = 0; k < count; k++)
            assert_string_equal(strings[k], good[i].strings[k]);
        free(strings);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        strcpy(cell, bad[i]);
        if (nc_python_strings("a cell", cell, &strings, &count) != NC_BAD_INPUT)
            fail_msg("taken: %s", bad[i]);
        assert_string_equal(
            nc_error_message(),
            "a cell: expected a list of strings as Python writes it, ['...', '...']");
        assert_null(strings);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads), cmocka_unit_test(refuses),
                                       cmocka_unit_test(python_lists)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
