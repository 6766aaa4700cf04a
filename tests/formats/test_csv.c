/* CSV as pandas writes it, and Python's lists of strings. */
#include "nclip/formats/csv.h"

#include "../support/temporary_folder.h"
#include "nclip/support/error.h"

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
        {"a,b\n1,\0\n", "zero byte at 6 (line 2)", 8},
        {"a,b\n\"1\" x,2\n", "line 2: text behind a closing quote", 0},
        {"a\0,\0b\0\n\0", "UTF-16", 8},
        {"version https://git-lfs.github.com/spec/v1\n", "git lfs pull", 0},
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

/* The records of a text, each as its fields between bars, "!" before a wrong one. */
static void record_all(const struct nc_csv_form *given, const char *text, size_t size, size_t step,
                       char *out)
{
    struct nc_csv_form form = *given;
    struct nc_csv_field fields[8];
    struct nc_csv_record record;
    size_t at = 0;
    *out = 0;
    /* As a stream gives it: ever more, until a record's end is there. */
    for (size_t end = step < size ? step : size; at < size;) {
        if (!nc_csv_next(&form, text + at, text + end, end == size, 0, fields, 8, &record)) {
            end = end + step < size ? end + step : size;
            continue;
        }
        if (!form.columns)
            form.columns = record.fields;
        out += sprintf(out, "%s", record.wrong ? "!" : "");
        for (size_t i = 0; i < record.fields; i++) {
            char cell[256];
            cell[nc_csv_unquote(&fields[i], cell)] = 0;
            out += sprintf(out, "%s|", cell);
        }
        out += sprintf(out, ";");
        at = (size_t)(record.end - text);
    }
}

static void records_end_where_they_should(void **state)
{
    (void)state;
    static const struct nc_csv_form csv = {',', NC_CSV_QUOTED, 0}, tsv = {'\t', NC_CSV_FITTING, 0},
                                    plain = {'\t', NC_CSV_UNQUOTED, 0};
    static const struct {
        const struct nc_csv_form *form;
        const char *text, *records;
    } cases[] = {
        {&csv, "a,b\r\n1,2\r3,4\n", "a|b|;1|2|;3|4|;"},
        {&csv, "a,b\n\"x\n,\"\"y\",2\n", "a|b|;x\n,\"y|2|;"},
        {&csv, "a,b\n1,house, no cat\n2\n3,4", "a|b|;!1|house| no cat|;!2|;3|4|;"},
        /* A lone quote costs its line, not those behind it. */
        {&csv, "a,b\n1,\"x\n2,y\n3,\"z\n4,w\n", "a|b|;!;2|y|;!;4|w|;"},
        {&csv, "a,b\n1,\"x\n2,y\n", "a|b|;!;2|y|;"},
        {&csv, "a,b\n\"x\" y,2\n3,4\n", "a|b|;!;3|4|;"},
        {&csv, "a,b\n1,\n,\n", "a|b|;1||;||;"},
        {&tsv, "u1\t\"A house\" red\nu2\t\"An old car\nu3\ta dog\nu4\tthe \"big\" one\n",
         "u1|\"A house\" red|;u2|\"An old car|;u3|a dog|;u4|the \"big\" one|;"},
        {&tsv, "\"no dog\tu1\na cat\"\tu2\n", "\"no dog|u1|;a cat\"|u2|;"},
        /* As pandas writes it. */
        {&tsv, "id\tc\n1\t\"x\ny \"\"z\"\"\"\n2\t\"w\"\n", "id|c|;1|x\ny \"z\"|;2|w|;"},
        {&tsv, "id\tc\td\n1\t\"x\ny\"\t3\n4\t5\t6\n", "id|c|d|;1|x\ny|3|;4|5|6|;"},
        {&tsv, "id\tc\n1\t\"a\tb\"\n", "id|c|;1|a\tb|;"},
        {&tsv, "id\tc\n1\t\"x\ny\n", "id|c|;1|\"x|;!y|;"},
        {&tsv, "c\n\"x\ny\"\n", "c|;\"x|;y\"|;"},
        {&tsv, "a\tb\n1\t2\t3\n", "a|b|;!1|2|3|;"},
        {&plain, "a\tb\n\"1\"\t\"2\n", "a|b|;\"1\"|\"2|;"},
    };
    char out[512];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size = strlen(cases[i].text);
        for (size_t step = 1; step <= size; step++) {
            char *copy = malloc(size); /* the sanitizer sees each byte too many */
            memcpy(copy, cases[i].text, size);
            record_all(cases[i].form, copy, size, step, out);
            free(copy);
            if (strcmp(out, cases[i].records) != 0)
                fail_msg("case %zu in steps of %zu: %s", i, step, out);
        }
    }
}

static void tsv_and_returns_are_read(void **state)
{
    (void)state;
    struct nc_csv csv;
    assert_int_equal(load("a\tb\r1\tx \"y\r2\tz\r", 15, &csv), NC_OK);
    assert_int_equal(csv.columns, 2);
    assert_int_equal(csv.rows, 2);
    assert_string_equal(nc_csv_cell(&csv, 0, 1), "x \"y");
    assert_int_equal(csv.lines[2], 3);
    nc_csv_free(&csv);
}

/* Many columns take as long as many rows. */
static void wide_tables_are_read(void **state)
{
    (void)state;
    enum { COLUMNS = 300000 };
    char *text = malloc(4 * COLUMNS + 2);
    size_t used = 0, index;
    for (int row = 0; row < 2; row++) {
        for (int i = 0; i < COLUMNS; i++) {
            text[used++] = (char)('a' + row);
            text[used++] = ',';
        }
        text[used - 1] = '\n';
    }
    text[used - 2] = 'z';
    struct nc_csv csv;
    assert_int_equal(load(text, used, &csv), NC_OK);
    free(text);
    assert_int_equal(csv.columns, COLUMNS);
    assert_string_equal(nc_csv_cell(&csv, 0, COLUMNS - 1), "z");
    assert_false(nc_csv_find(&csv, "z", &index));
    nc_csv_free(&csv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads),
        cmocka_unit_test(refuses),
        cmocka_unit_test(records_end_where_they_should),
        cmocka_unit_test(tsv_and_returns_are_read),
        cmocka_unit_test(wide_tables_are_read),
        cmocka_unit_test(python_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
