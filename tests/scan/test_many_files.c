/* Scanning folders by several threads, and drawing examples from them. */
#include "scanning.h"

#include "nclip/support/error.h"
#include "support/temporary_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The first file at fault is named, and a folder is read in the order of names. */
static void folders_and_many_files(void **state)
{
    (void)state;
    char *folder = temporary_folder_create(), name[64];
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "%02d.txt", i);
        free(write_bytes(folder, name, "no dog\na cat\n", 13));
    }
    free(write_bytes(folder, "picture.jpg", "no", 2));
    free(write_bytes(folder, ".hidden.txt", "no", 2));
    char *first = NULL;
    for (size_t threads = 1; threads < 9; threads++) {
        struct nc_scan_options options = {.threads = threads, .examples = 4, .seed = 7};
        struct nc_scan_result result = scan(folder, &options);
        assert_int_equal(result.captions, 80);
        assert_int_equal(result.negated, 40);
        assert_int_equal(result.files, 40);
        char found[256];
        snprintf(found, sizeof found, "%s %s %s %s", result.examples[0].file,
                 result.examples[1].file, result.examples[2].file, result.examples[3].file);
        if (!first)
            first = strdup(found);
        assert_string_equal(found, first);
        nc_scan_result_free(&result);
    }
    struct nc_scan_options other = {.examples = 4, .seed = 8};
    struct nc_scan_result result = scan(folder, &other);
    char found[256];
    snprintf(found, sizeof found, "%s %s %s %s", result.examples[0].file, result.examples[1].file,
             result.examples[2].file, result.examples[3].file);
    assert_string_not_equal(found, first);
    nc_scan_result_free(&result);
    free(first);
    /* The first one takes longest to fail. */
    char *slow = malloc(1 << 22);
    memset(slow, ' ', 1 << 22);
    slow[0] = '{';
    free(write_bytes(folder, "03.json", slow, 1 << 22));
    free(slow);
    free(write_bytes(folder, "17.json", "{", 1));
    free(write_bytes(folder, "35.json", "{", 1));
    for (size_t threads = 1; threads < 9; threads++)
        refuses(folder, &(struct nc_scan_options){.threads = threads}, NC_BAD_INPUT, "03.json");
    temporary_folder_remove(folder);
}

/* From all of a file, each caption as likely as any other: the mean place of many is the middle. */
static void examples_come_from_everywhere(void **state)
{
    (void)state;
    char *folder = temporary_folder_create();
    enum { LINES = 4000, LINE = 14 };
    static char text[LINES * LINE + 1];
    for (int i = 0; i < LINES; i++)
        snprintf(text + i * LINE, LINE + 1, "no dog %06d\n", i);
    char *path = write_bytes(folder, "a.txt", text, LINES * LINE);
    double sum = 0;
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct nc_scan_options options = {.examples = 40, .seed = seed};
        struct nc_scan_result result = scan(path, &options);
        assert_int_equal(result.example_count, 40);
        for (size_t i = 0; i < 40; i++) {
            sum += (double)result.examples[i].offset / (LINES * LINE) / 400;
            assert_true(!i || result.examples[i].offset > result.examples[i - 1].offset);
        }
        nc_scan_result_free(&result);
    }
    assert_float_equal(sum, 0.5, 0.06); /* four standard deviations */
    free(path);
    temporary_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_and_many_files),
        cmocka_unit_test(examples_come_from_everywhere),
    };
    return cmocka_run_group_tests(tests, scanning_begin, scanning_end);
}
