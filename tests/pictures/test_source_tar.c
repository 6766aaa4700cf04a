/* Tars as tar, Python and webdataset write them, and tars that lie. */
#include "nclip/pictures/source.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "support/temporary_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { BLOCK = 512 };

struct tar {
    uint8_t bytes[64 * BLOCK];
    size_t size;
};

static void seal(uint8_t *header)
{
    unsigned sum = 0;
    memset(header + 148, ' ', 8);
    for (size_t i = 0; i < BLOCK; i++)
        sum += header[i];
    snprintf((char *)header + 148, 8, "%06o", sum);
}

/* Adds a member; returns its header, to be damaged. */
static uint8_t *add(struct tar *tar, const char *name, char type, const char *content)
{
    size_t length = strlen(content);
    uint8_t *header = tar->bytes + tar->size;
    memset(header, 0, BLOCK);
    memcpy(header, name, strlen(name) < 100 ? strlen(name) : 100);
    snprintf((char *)header + 100, 8, "0000644");
    snprintf((char *)header + 124, 12, "%011o", (unsigned)length);
    snprintf((char *)header + 136, 12, "%011o", 0);
    header[156] = (uint8_t)type;
    memcpy(header + 257, "ustar\00000", 8);
    seal(header);
    memset(header + BLOCK, 0, (length + BLOCK - 1) / BLOCK * BLOCK);
    memcpy(header + BLOCK, content, length);
    tar->size += BLOCK + (length + BLOCK - 1) / BLOCK * BLOCK;
    assert_true(tar->size + 2 * BLOCK <= sizeof tar->bytes);
    return header;
}

static char *write_tar(void **state, const struct tar *tar, size_t zeros)
{
    static const uint8_t end[2 * BLOCK];
    char *path = nc_path_join(*state, "shard.tar");
    struct nc_writer *writer;
    assert_int_equal(nc_writer_create(path, &writer), NC_OK);
    assert_int_equal(nc_writer_write(writer, tar->bytes, tar->size), NC_OK);
    assert_int_equal(nc_writer_write(writer, end, zeros), NC_OK);
    assert_int_equal(nc_writer_commit(writer), NC_OK);
    return path;
}

static struct nc_image_source *open_tar(void **state, const struct tar *tar)
{
    struct nc_image_source *source;
    char *path = write_tar(state, tar, 2 * BLOCK);
    if (nc_image_source_open(path, &source) != NC_OK)
        fail_msg("%s", nc_error_message());
    free(path);
    return source;
}

static void refuses(void **state, const struct tar *tar, const char *because)
{
    struct nc_image_source *source;
    char *path = write_tar(state, tar, 0);
    assert_int_equal(nc_image_source_open(path, &source), NC_BAD_INPUT);
    assert_null(source);
    if (!strstr(nc_error_message(), because) || !strstr(nc_error_message(), path))
        fail_msg("\"%s\" does not say \"%s\"", nc_error_message(), because);
    free(path);
}

static void holds(const struct nc_image_source *source, size_t index, const char *key,
                  const char *content)
{
    uint8_t *bytes;
    size_t size;
    assert_string_equal(nc_image_source_key(source, index), key);
    if (nc_image_source_read(source, index, &bytes, &size) != NC_OK)
        fail_msg("%s", nc_error_message());
    assert_int_equal(size, strlen(content));
    assert_memory_equal(bytes, content, size);
    free(bytes);
}

static int setup(void **state)
{
    *state = temporary_folder_create();
    return 0;
}

static int teardown(void **state)
{
    temporary_folder_remove(*state);
    return 0;
}

static void pictures_in_the_order_of_the_file(void **state)
{
    struct tar tar = {.size = 0};
    add(&tar, "./sample/", '5', "");
    add(&tar, "./sample/000.jpg", '0', "first");
    add(&tar, "sample/000.txt", '0', "a caption");
    add(&tar, "sample/000.json", '0', "{}");
    add(&tar, "sample/001.png", 0, "second");
    add(&tar, "sample/link.jpg", '2', "");
    add(&tar, "sample/._002.jpg", '0', "hidden");
    add(&tar, "a.jpg", '0', "");
    struct nc_image_source *source = open_tar(state, &tar);
    assert_int_equal(nc_image_source_count(source), 3);
    holds(source, 0, "sample/000.jpg", "first");
    holds(source, 1, "sample/001.png", "second");
    holds(source, 2, "a.jpg", "");
    size_t index;
    assert_true(nc_image_source_find(source, "sample/001.png", &index));
    assert_int_equal(index, 1);
    nc_image_source_close(source);
}

static void many_threads_read(void **state)
{
    struct tar tar = {.size = 0};
    char name[32], content[1200];
    for (int i = 0; i < 16; i++) {
        snprintf(name, sizeof name, "%02d.jpg", i);
        memset(content, 'a' + i, 1000 + (size_t)i);
        content[1000 + i] = 0;
        add(&tar, name, '0', content);
    }
    struct nc_image_source *source = open_tar(state, &tar);
    int wrong = 0;
#pragma omp parallel for num_threads(4) reduction(+ : wrong)
    for (size_t round = 0; round < 800; round++) {
        uint8_t *bytes;
        size_t size, index = round % 16;
        wrong += nc_image_source_read(source, index, &bytes, &size) != NC_OK ||
                 size != 1000 + index || bytes[0] != 'a' + index || bytes[size - 1] != bytes[0];
        free(bytes);
    }
    assert_int_equal(wrong, 0);
    nc_image_source_close(source);
}

static void long_names(void **state)
{
    char deep[161], path[200], record[260];
    memset(deep, 'd', 160);
    deep[160] = 0;
    snprintf(path, sizeof path, "%s/x.jpg", deep);

    struct tar tar = {.size = 0};
    add(&tar, "././@LongLink", 'L', path); /* GNU: the name may lack its zero */
    add(&tar, path, '0', "gnu");
    snprintf(record, sizeof record, "%zu path=%s\n", strlen(path) + 10, path);
    add(&tar, "pax_global_header", 'g', "52 comment=0123456789012345678901234567890123456789\n");
    add(&tar, "PaxHeaders/x", 'x', record);
    add(&tar, "short.txt", '0', "pax");
    uint8_t *header = add(&tar, "y.jpg", '0', "prefix");
    memcpy(header + 345, "pre/fix", 7);
    seal(header);
    header = add(&tar, "old.jpg", '0', "old gnu");
    memcpy(header + 257, "ustar  ", 8);
    memcpy(header + 345, "01234567", 8); /* a time */
    seal(header);
    struct nc_image_source *source = open_tar(state, &tar);
    assert_int_equal(nc_image_source_count(source), 4);
    holds(source, 0, path, "gnu");
    holds(source, 1, path, "pax");
    holds(source, 2, "pre/fix/y.jpg", "prefix");
    holds(source, 3, "old.jpg", "old gnu");
    nc_image_source_close(source);
}

static void other_ways_to_write_a_size(void **state)
{
    struct tar tar = {.size = 0};
    uint8_t *header = add(&tar, "a.jpg", '0', "binary size");
    memset(header + 124, 0, 12);
    header[124] = 0x80;
    header[135] = 11;
    seal(header);
    header = add(&tar, "b.jpg", '0', "spaces");
    memcpy(header + 124, "          6 ", 12);
    seal(header);
    add(&tar, "x", 'x', "10 size=8\n");
    header = add(&tar, "c.jpg", '0', "pax size");
    memcpy(header + 124, "00000000000", 12);
    seal(header);
    struct nc_image_source *source = open_tar(state, &tar);
    holds(source, 0, "a.jpg", "binary size");
    holds(source, 1, "b.jpg", "spaces");
    holds(source, 2, "c.jpg", "pax size");
    nc_image_source_close(source);
}

static void lying_sizes_are_refused(void **state)
{
    static const char sizes[][13] = {"77777777777\0", "00000002001\0",
                                     "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff",
                                     "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct tar tar = {.size = 0};
        add(&tar, "a.jpg", '0', "good");
        uint8_t *header = add(&tar, "b.jpg", '0', "lies");
        memcpy(header + 124, sizes[i], 12);
        seal(header);
        refuses(state, &tar, "at byte 1024");
    }
    struct tar tar = {.size = 0};
    uint8_t *header = add(&tar, "a.jpg", '0', "x");
    memcpy(header + 124, "0000000zz01\0", 12);
    seal(header);
    refuses(state, &tar, "byte 0");
}

static void wrong_extensions_are_refused(void **state)
{
    static const char *const records[] = {"path=x.jpg\n",
                                          "99 path=x.jpg\n",
                                          "3 \n",
                                          "15 path=x.jpg!!",
                                          "18446744073709551617 path=x.jpg\n",
                                          "12 sizeX12\n",
                                          "11 size=-1\n",
                                          "30 size=9999999999999999999999\n",
                                          "19 size=99999999999\n"};
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        struct tar tar = {.size = 0};
        add(&tar, "x", 'x', records[i]);
        add(&tar, "a.jpg", '0', "x");
        refuses(state, &tar, "damaged tar");
    }
    struct tar tar = {.size = 0};
    uint8_t *header = add(&tar, "x", 'L', "x");
    memcpy(header + 124, "00010000000\0", 12);
    seal(header);
    refuses(state, &tar, "damaged tar");
    tar.size = 0;
    add(&tar, "a.jpg", 'S', "sparse");
    refuses(state, &tar, "sparse");
}

/* A key is a name below a folder. */
static void names_that_lead_out_are_refused(void **state)
{
    static const char *const names[] = {"../a.jpg", "/etc/a.jpg", "x/../../a.jpg", "./../a.jpg"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct tar tar = {.size = 0};
        add(&tar, "good.jpg", '0', "x");
        add(&tar, names[i], '0', "x");
        refuses(state, &tar, "leads out of the folder");
        assert_non_null(strstr(nc_error_message(), names[i] + (i == 3 ? 2 : 0)));
    }
    struct tar tar = {.size = 0};
    add(&tar, "../notes.txt", '0', "x"); /* is not read */
    add(&tar, "x/..y/a..jpg", '0', "x");
    struct nc_image_source *source = open_tar(state, &tar);
    assert_int_equal(nc_image_source_count(source), 1);
    nc_image_source_close(source);
}

/* Cut anywhere: the members before the cut, or an error; never more. */
static void truncated_tars(void **state)
{
    struct tar tar = {.size = 0};
    add(&tar, "a.jpg", '0', "first");
    add(&tar, "PaxHeaders/x", 'x', "17 path=long.jpg\n");
    add(&tar, "b.jpg", '0', "second");
    for (size_t cut = BLOCK; cut < tar.size; cut += 37) {
        struct tar part = tar;
        part.size = cut;
        struct nc_image_source *source;
        char *path = write_tar(state, &part, 0);
        int status = nc_image_source_open(path, &source);
        if (cut % BLOCK)
            assert_int_equal(status, NC_BAD_INPUT);
        if (status == NC_OK)
            assert_true(nc_image_source_count(source) < 2);
        nc_image_source_close(source);
        free(path);
    }
}

static void damaged_headers(void **state)
{
    struct tar tar = {.size = 0};
    add(&tar, "a.jpg", '0', "first");
    uint8_t *header = add(&tar, "b.jpg", '0', "second");
    header[3] ^= 1; /* the checksum no longer fits */
    refuses(state, &tar, "no member's header at byte 1024");

    uint32_t random = 1;
    struct tar good = {.size = 0};
    add(&good, "a.jpg", '0', "first");
    add(&good, "PaxHeaders/x", 'x', "17 path=long.jpg\n");
    add(&good, "b.jpg", '0', "second");
    for (int round = 0; round < 400; round++) {
        struct tar damaged = good;
        for (int change = 0; change < 3; change++) {
            random = random * 1664525 + 1013904223;
            damaged.bytes[(random >> 8) % damaged.size] = (uint8_t)(random >> 24);
        }
        for (size_t at = 0; at < damaged.size && round % 2; at += 2 * BLOCK)
            seal(damaged.bytes + at);
        struct nc_image_source *source;
        char *path = write_tar(state, &damaged, 0);
        if (nc_image_source_open(path, &source) == NC_OK) {
            for (size_t i = 0; i < nc_image_source_count(source); i++) {
                uint8_t *bytes;
                size_t size;
                if (nc_image_source_read(source, i, &bytes, &size) == NC_OK)
                    assert_true(size <= damaged.size);
                free(bytes);
            }
        }
        nc_image_source_close(source);
        free(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pictures_in_the_order_of_the_file, setup, teardown),
        cmocka_unit_test_setup_teardown(many_threads_read, setup, teardown),
        cmocka_unit_test_setup_teardown(long_names, setup, teardown),
        cmocka_unit_test_setup_teardown(other_ways_to_write_a_size, setup, teardown),
        cmocka_unit_test_setup_teardown(lying_sizes_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_extensions_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(names_that_lead_out_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(truncated_tars, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_headers, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
