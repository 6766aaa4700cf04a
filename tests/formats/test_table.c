/* Columns of strings: the same cells from every kind of table, and what is none. */
#include "nclip/formats/table.h"

#include "../support/temporary_folder.h"
#include "nclip/formats/parquet.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int read_text(const char *name, const char *text, struct nc_table_column *columns,
                     size_t count, struct nc_table *table)
{
    static char *path;
    char *folder = temporary_folder_create();
    free(path);
    path = nc_path_join(folder, name);
    if (nc_file_write(path, text, strlen(text)) != NC_OK)
        fail_msg("%s", nc_error_message());
    int status = nc_table_read(path, columns, count, table);
    temporary_folder_remove(folder);
    return status;
}

static void check_cells(const struct nc_table *table)
{
    const struct nc_table_column *c = table->columns;
    assert_int_equal(table->rows, 3);
    assert_true(c[0].found && c[1].found && !c[2].found);
    assert_string_equal(c[0].cells[0], "a.jpg");
    assert_string_equal(c[0].cells[1], "42");
    assert_string_equal(c[0].cells[2], "caf\xc3\xa9.jpg");
    assert_string_equal(c[1].cells[0], "a \"cat\", no dog");
    assert_string_equal(c[1].cells[2], "");
    assert_null(c[2].cells[1]);
}

#define COLUMNS                                                                                    \
    {{.name = "image_path"}, {.name = "caption", .optional = true},                                \
     {.name = "gone", .optional = true}}

static void reads_every_kind(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
    } files[] = {
        {"a.jsonl", "{\"image_path\": \"a.jpg\", \"caption\": \"a \\\"cat\\\", no dog\", \"n\": 1.5}\n"
                    "{\"image_path\": 42, \"caption\": null}\n\n"
                    "{\"caption\": \"\", \"image_path\": \"caf\\u00e9.jpg\"}\n"},
        {"a.csv", "n,image_path,caption\r\n1,a.jpg,\"a \"\"cat\"\", no dog\"\r\n2,42,x\r\n"
                  "3,caf\xc3\xa9.jpg,\r\n"},
        {"a.tsv", "image_path\tcaption\na.jpg\ta \"cat\", no dog\n42\tx\ncaf\xc3\xa9.jpg\t\n"},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct nc_table_column columns[] = COLUMNS;
        struct nc_table table;
        if (read_text(files[i].name, files[i].text, columns, 3, &table) != NC_OK)
            fail_msg("%s: %s", files[i].name, nc_error_message());
        check_cells(&table);
        nc_table_free(&table);
    }
}

static void reads_lines(void **state)
{
    (void)state;
    struct nc_table_column columns[] = {{.name = "anything"}, {.name = "more", .optional = true}};
    struct nc_table table;
    assert_int_equal(read_text("keys.txt", "one picture.jpg\r\n\ntwo.jpg", columns, 2, &table), NC_OK);
    assert_true(table.plain);
    assert_int_equal(table.rows, 2);
    assert_string_equal(columns[0].cells[0], "one picture.jpg");
    assert_string_equal(columns[0].cells[1], "two.jpg");
    assert_null(columns[1].cells[0]);
    nc_table_free(&table);
    assert_int_equal(read_text("keys.csv", "anything\nanything\nb\n", columns, 2, &table), NC_OK);
    assert_int_equal(table.rows, 2);
    assert_string_equal(columns[0].cells[0], "anything");
    nc_table_free(&table);
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *message;
    } bad[] = {
        {"a.jsonl", "{\"image\": \"a\"}\n{\"image\": \"b\"}\n", "\"image_path\""},
        {"a.jsonl", "{\"image_path\": \"a\"}\n{\"image_path\": [1]}\n", "line 2"},
        {"a.jsonl", "{\"image_path\": \"a\"}\n[]\n", "line 2"},
        {"a.csv", "image,caption\na,b\nc,d\n", "image_path"},
        {"a.npy", "\x93NUMPY\1", "a NumPy array, not Parquet, CSV"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct nc_table_column columns[] = COLUMNS;
        struct nc_table table;
        assert_int_equal(read_text(bad[i].name, bad[i].text, columns, 3, &table), NC_BAD_INPUT);
        if (!strstr(nc_error_message(), bad[i].message) || !strstr(nc_error_message(), bad[i].name))
            fail_msg("%s", nc_error_message());
        assert_null(columns[0].cells);
    }
}

static void reads_parquet(void **state)
{
    (void)state;
    char *folder = temporary_folder_create(), *path = nc_path_join(folder, "a.parquet");
    const char *keys[] = {"a.jpg", "42", "caf\xc3\xa9.jpg"};
    const char *captions[] = {"a \"cat\", no dog", NULL, ""};
    const struct nc_table_column written[] = {{.name = "caption", .cells = captions},
                                              {.name = "image_path", .cells = keys}};
    struct nc_table_column columns[] = COLUMNS;
    struct nc_table table;
    if (!nc_parquet_supported()) {
        assert_int_equal(nc_parquet_write(path, written, 2, 3), NC_USAGE);
        assert_false(nc_file_exists(path));
        assert_int_equal(nc_file_write(path, "PAR1....PAR1", 12), NC_OK);
        assert_int_equal(nc_table_read(path, columns, 3, &table), NC_BAD_INPUT);
        assert_non_null(strstr(nc_error_message(), "to_json"));
        print_message("SKIPPED: reading Parquet: this build has no Apache Arrow\n");
    } else {
        assert_int_equal(nc_parquet_write(path, written, 2, 3), NC_OK);
        if (nc_table_read(path, columns, 3, &table) != NC_OK)
            fail_msg("%s", nc_error_message());
        check_cells(&table);
        assert_null(columns[1].cells[1]);
        nc_table_free(&table);
        struct nc_table_column missing[] = {{.name = "key"}};
        assert_int_equal(nc_table_read(path, missing, 1, &table), NC_BAD_INPUT);
        assert_non_null(strstr(nc_error_message(), "it has caption, image_path"));
        assert_int_equal(nc_file_write(path, "PAR1....PAR1", 12), NC_OK);
        assert_int_equal(nc_table_read(path, missing, 1, &table), NC_BAD_INPUT);
        assert_non_null(strstr(nc_error_message(), "a.parquet"));
    }
    free(path);
    temporary_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_kind),
        cmocka_unit_test(reads_lines),
        cmocka_unit_test(refuses),
        cmocka_unit_test(reads_parquet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
