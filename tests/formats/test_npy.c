/* .npy files: what NumPy writes, in all its versions, and what is none. The headers are NumPy's. */
#include "nclip/formats/npy.h"

#include "../support/temporary_folder.h"
#include "nclip/support/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { LARGEST = 1 << 12 };

/* A file with `header` for its text, padded to 118 bytes, and `bytes` of rows: 0, 1, 2, ... */
static size_t make(uint8_t file[LARGEST], int version, const char *header, size_t bytes)
{
    size_t length = 118, at = 6;
    memcpy(file, "\x93NUMPY", 6);
    file[at++] = (uint8_t)version;
    file[at++] = 0;
    file[at++] = (uint8_t)length;
    for (int i = 1; i < (version == 1 ? 2 : 4); i++)
        file[at++] = 0;
    memset(file + at, ' ', length);
    memcpy(file + at, header, strlen(header));
    file[at + length - 1] = '\n';
    at += length;
    for (size_t i = 0; i < bytes; i++)
        file[at + i] = (uint8_t)i;
    return at + bytes;
}

static int open_bytes(const void *bytes, size_t size, struct nc_npy *npy)
{
    static char *path;
    char *folder = temporary_folder_create();
    free(path);
    path = nc_path_join(folder, "x.npy");
    if (nc_file_write(path, bytes, size) != NC_OK)
        fail_msg("%s", nc_error_message());
    int status = nc_npy_open(path, npy);
    temporary_folder_remove(folder);
    return status;
}

static int open_header(int version, const char *header, size_t bytes, struct nc_npy *npy)
{
    uint8_t file[LARGEST];
    return open_bytes(file, make(file, version, header, bytes), npy);
}

static void reads(void **state)
{
    (void)state;
    static const struct {
        int version;
        const char *header;
        enum nc_type type;
        size_t count, columns;
    } good[] = {
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }", NC_FLOAT32, 3, 2},
        {2, "{'descr': '<f2', 'fortran_order': False, 'shape': (3, 2), }", NC_FLOAT16, 3, 2},
        {3, "{'shape': (1, 4), 'descr': '<f2', 'fortran_order': False}", NC_FLOAT16, 1, 4},
        {1, "{\"descr\":\"<f4\",\"fortran_order\":True,\"shape\":(1,5)}", NC_FLOAT32, 1, 5},
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3L, 2L), }", NC_FLOAT32, 3, 2},
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 768), }", NC_FLOAT32, 0, 768},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct nc_npy npy;
        size_t bytes = good[i].count * good[i].columns * nc_type_size(good[i].type);
        if (open_header(good[i].version, good[i].header, bytes, &npy) != NC_OK)
            fail_msg("%s: %s", good[i].header, nc_error_message());
        assert_int_equal(npy.type, good[i].type);
        assert_int_equal(npy.count, good[i].count);
        assert_int_equal(npy.columns, good[i].columns);
        assert_int_equal(npy.offset, good[i].version == 1 ? 128 : 130);
        for (size_t k = 0; k < bytes; k++)
            assert_int_equal(npy.rows[k], k);
        nc_npy_close(&npy);
    }
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        int version;
        const char *header;
        size_t bytes;
        const char *message;
    } bad[] = {
        {1, "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }", 48, "\"<f8\""},
        {1, "{'descr': '>f4', 'fortran_order': False, 'shape': (3, 2), }", 24, "\">f4\""},
        {1, "{'descr': '|O', 'fortran_order': False, 'shape': (3, 2), }", 24, "\"|O\""},
        {1, "{'descr': '<f4', 'fortran_order': True, 'shape': (3, 2), }", 24, "Fortran"},
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }", 24, "1 dimension,"},
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (), }", 4, "0 dimensions"},
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 2), }", 24, "3 dimensions"},
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }", 23, "ends before its 3"},
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }", 25, "1 bytes stand behind"},
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 18446744073709551615), }", 24,
         "ends before"},
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (18446744073709551615, 2), }", 24,
         "ends before"},
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 2), }", 24,
         "damaged"},
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (-3, 2), }", 24, "damaged"},
        {1, "{'descr': '<f4', 'fortran_order': False}", 24, "damaged"},
        {1, "{'descr': '<f4', 'fortran_order': Perhaps, 'shape': (3, 2), }", 24, "damaged"},
        {1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3, 2), }", 24, "damaged"},
        {1, "", 24, "damaged"},
        {1, "{'descr': '<f4", 24, "damaged"},
        {4, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }", 24, "version 4"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct nc_npy npy;
        assert_int_equal(open_header(bad[i].version, bad[i].header, bad[i].bytes, &npy), NC_BAD_INPUT);
        if (!strstr(nc_error_message(), bad[i].message) || !strstr(nc_error_message(), "x.npy"))
            fail_msg("%s: %s", bad[i].header, nc_error_message());
        assert_null(npy.mapping.data);
    }
}

static void refuses_other_files(void **state)
{
    (void)state;
    uint8_t file[LARGEST];
    struct nc_npy npy;
    size_t size = make(file, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }", 24);
    for (size_t cut = 0; cut < size; cut++) { /* every prefix of a good file */
        assert_int_equal(open_bytes(file, cut, &npy), NC_BAD_INPUT);
        assert_non_null(strstr(nc_error_message(), "x.npy"));
    }
    assert_int_equal(open_bytes("PK\3\4 something else", 18, &npy), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "zip"));
    memset(file + 8, 0xff, 4); /* a header longer than the file */
    file[6] = 2;
    assert_int_equal(open_bytes(file, size, &npy), NC_BAD_INPUT);
}

static void writes_what_it_reads(void **state)
{
    (void)state;
    static const float rows[6] = {0, 1, -2, 0.5f, 1e30f, -0.f};
    char *folder = temporary_folder_create(), *path = nc_path_join(folder, "x.npy");
    struct nc_npy npy;
    assert_int_equal(nc_npy_write(path, rows, 2, 3), NC_OK);
    assert_int_equal(nc_npy_open(path, &npy), NC_OK);
    assert_int_equal(npy.count, 2);
    assert_int_equal(npy.columns, 3);
    assert_int_equal(npy.offset % 64, 0);
    assert_memory_equal(npy.rows, rows, sizeof rows);
    nc_npy_close(&npy);
    free(path);
    temporary_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads),
        cmocka_unit_test(refuses),
        cmocka_unit_test(refuses_other_files),
        cmocka_unit_test(writes_what_it_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
