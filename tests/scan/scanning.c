/* Writes files for a test and scans them. */
#include "scanning.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct nc_negation_list *words;

char *path_of(const char *folder, const char *name)
{
    char *path = nc_path_join(folder, name);
    assert_non_null(path);
    return path;
}

void rewrite(const char *path, const char *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

char *write_bytes(const char *folder, const char *name, const char *bytes, size_t size)
{
    char *path = path_of(folder, name);
    rewrite(path, bytes, size);
    return path;
}

struct nc_scan_result scan(const char *path, const struct nc_scan_options *given)
{
    struct nc_scan_options options = *given;
    struct nc_scan_result result;
    if (!options.words)
        options.words = words;
    if (nc_scan(&path, 1, &options, &result) != NC_OK)
        fail_msg("%s", nc_error_message());
    return result;
}

void refuses(const char *path, const struct nc_scan_options *given, int expected,
                    const char *part)
{
    struct nc_scan_options options = *given;
    struct nc_scan_result result;
    options.words = words;
    int status = nc_scan(&path, 1, &options, &result);
    if (status != expected || !strstr(nc_error_message(), part))
        fail_msg("%s: status %d, not %d; \"%s\" is not in: %s", path, status, expected, part,
                 nc_error_message());
}

int scanning_begin(void **state)
{
    (void)state;
    return nc_negation_list_load(NULL, &words);
}

int scanning_end(void **state)
{
    (void)state;
    nc_negation_list_free(words);
    return 0;
}
