/* Damaged benchmark files: whatever stands in them, a reader takes them or says NC_BAD_INPUT in one
 * sentence that names the file. The files of references/ are cut and changed at many places. */
#include "../../host/evaluate/retrieval.h"
#include "../support/temporary_folder.h"
#include "nclip/evaluate/comparison.h"
#include "nclip/evaluate/evaluate.h"
#include "nclip/support/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FOLDER "evaluate/references/"

enum { DAMAGES = 60 };

static int read_choices(const char *path)
{
    struct nc_choice_items items;

    int status = nc_choice_items_load(path, &items);
    if (status == NC_OK)
        nc_choice_items_free(&items);
    return status;
}

static int read_foils(const char *path)
{
    struct nc_choice_items items;

    int status = nc_foils_load(path, &items);
    if (status == NC_OK)
        nc_choice_items_free(&items);
    return status;
}

static int read_retrieval(const char *path)
{
    struct retrieval retrieval;

    int status = retrieval_load(path, "test", &retrieval);
    if (status == NC_OK)
        retrieval_free(&retrieval);
    return status;
}

static int read_suite(const char *path)
{
    struct nc_suite suite;

    int status = nc_suite_load(path, "data", &suite);
    if (status == NC_OK)
        nc_suite_free(&suite);
    return status;
}

static const struct {
    const char *path, *name;
    int (*read)(const char *path);
} files[] = {
    {FOLDER "negrefcocog.json", "a.json", read_choices},
    {FOLDER "valse/existence.json", "a.json", read_foils},
    {FOLDER "sugarcrepe.json", "a.json", read_foils},
    {FOLDER "ccneg.json", "a.json", read_foils},
    {FOLDER "crepe.csv", "a.csv", read_foils},
    {FOLDER "negbench.csv", "a.csv", read_foils},
    {FOLDER "karpathy.json", "a.json", read_retrieval},
    {FOLDER "negated.csv", "a.csv", read_retrieval},
    {"../configs/benchmarks.json", "a.json", read_suite},
};

static void damage(char *text, size_t *size, unsigned *seed)
{
    static const char letters[] = "\"'[]{},:\\0-e.n \n\xff";
    *seed = *seed * 1664525u + 1013904223u;
    size_t at = (*seed >> 8) % *size;
    if (*seed >> 31)
        *size = at; /* cut */
    for (size_t k = 0; k < 3 && *size; k++) {
        *seed = *seed * 1664525u + 1013904223u;
        text[(*seed >> 8) % *size] = letters[(*seed >> 4) % (sizeof letters - 1)];
    }
}

static void damaged_files_are_refused(void **state)
{
    (void)state;
    char *folder = temporary_folder_create();
    size_t refused = 0;
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        char *text, *path = nc_path_join(folder, files[f].name);
        size_t size;
        unsigned seed = (unsigned)f;
        if (nc_file_read(files[f].path, 1 << 24, &text, &size) != NC_OK)
            fail_msg("%s", nc_error_message());
        if (files[f].read(files[f].path) != NC_OK)
            fail_msg("%s", nc_error_message());
        for (size_t i = 0; i < DAMAGES; i++) {
            char *copy = malloc(size);
            size_t left = size;
            memcpy(copy, text, size);
            damage(copy, &left, &seed);
            if (nc_file_write(path, copy, left) != NC_OK)
                fail_msg("%s", nc_error_message());
            int status = files[f].read(path);
            assert_true(status == NC_OK || status == NC_BAD_INPUT);
            refused += status != NC_OK;
            if (status != NC_OK && !strstr(nc_error_message(), path))
                fail_msg("the file is not named: %s", nc_error_message());
            free(copy);
        }
        free(text);
        free(path);
    }
    assert_true(refused > DAMAGES * sizeof files / sizeof *files / 2);
    temporary_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(damaged_files_are_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
