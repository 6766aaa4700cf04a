/* Reading blocks in the background, by io_uring and by threads: whole, unaligned, short and damaged
 * files, many at once, and ending in the middle. */
#include "../../host/store/block_ring.h"
#include "../support/temporary_folder.h"
#include "nclip/store/block_reader.h"
#include "nclip/support/error.h"
#include "nclip/support/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>
/* after the headers it needs */
#include <cmocka.h>

enum { BLOCK = 3 * 4096, BLOCKS = 64, BYTES = BLOCK * BLOCKS - 1000, FILES = 3 };

static char *folder, *paths[FILES];
static uint8_t *content[FILES];

static void check(int status)
{
    if (status != NC_OK)
        fail_msg("%s", nc_error_message());
}

static int make_files(void **state)
{
    (void)state;
    uint64_t random = 3;
    folder = temporary_folder_create();
    for (size_t f = 0; f < FILES; f++) {
        char name[16];
        snprintf(name, sizeof name, "file-%zu", f);
        paths[f] = nc_path_join(folder, name);
        content[f] = malloc(BYTES);
        assert_true(paths[f] && content[f]);
        for (size_t i = 0; i < BYTES; i++)
            content[f][i] = (uint8_t)nc_random_next(&random);
        check(nc_file_write(paths[f], content[f], BYTES));
    }
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    for (size_t f = 0; f < FILES; f++) {
        free(paths[f]);
        free(content[f]);
    }
    temporary_folder_remove(folder);
    return 0;
}

/* ---- Both ways of reading ------------------------------------------------------------------- */

static const char *const engines[] = {"threads", "uring"};

/* NULL: this machine has no io_uring. */
static struct nc_block_reader *open_reader(const char *engine, size_t depth)
{
    struct nc_block_ring *ring = nc_block_ring_create(4);
    bool there = ring != NULL;
    struct nc_block_reader *reader;
    nc_block_ring_destroy(ring);
    setenv("NCLIP_READER", engine, 1);
    int status = nc_block_reader_create(depth, &reader);
    unsetenv("NCLIP_READER");
    if (strcmp(engine, "uring") == 0 && !there) {
        assert_int_equal(status, NC_USAGE);
        print_message("io_uring SKIPPED: this machine has none\n");
        return NULL;
    }
    check(status);
    assert_string_equal(nc_block_reader_name(reader),
                        strcmp(engine, "uring") == 0 ? "io_uring" : "threads");
    return reader;
}

static struct nc_block_read describe(size_t f, uint64_t offset, size_t bytes)
{
    struct nc_block_read read = {.path = paths[f], .offset = offset, .bytes = bytes,
                                 .has_sum = true, .sum = XXH3_64bits(content[f] + offset, bytes),
                                 .part = "rows", .block = (size_t)(offset / BLOCK)};
    read.room = aligned_alloc(NC_BLOCK_ALIGNMENT, nc_block_room(offset, bytes));
    assert_non_null(read.room);
    return read;
}

static void on_each(void (*test)(struct nc_block_reader *), size_t depth)
{
    for (size_t i = 0; i < sizeof engines / sizeof *engines; i++) {
        struct nc_block_reader *reader = open_reader(engines[i], depth);
        if (reader)
            test(reader);
        nc_block_reader_destroy(reader);
    }
}

/* ---- What is read -------------------------------------------------------------------------- */

/* Blocks of all files, more than are under way at once, in a scattered order. */
static void read_all(struct nc_block_reader *reader)
{
    static struct nc_block_read reads[FILES * BLOCKS], *read;
    size_t seen = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < FILES * BLOCKS; i++) {
        size_t k = i * 37 % (FILES * BLOCKS), f = k % FILES, b = k / FILES;
        size_t size = b + 1 < BLOCKS ? BLOCK : BYTES - b * BLOCK;
        reads[k] = describe(f, b * BLOCK, size);
        bytes += size;
        reads[k].context = content[f] + b * BLOCK;
        nc_block_reader_start(reader, &reads[k]);
    }
    while (check(nc_block_reader_next(reader, &read)), read) {
        assert_memory_equal(read->data, read->context, read->bytes);
        assert_int_equal((uintptr_t)read->data % 64, 0);
        seen++;
    }
    assert_int_equal(seen, FILES * BLOCKS);
    assert_int_equal(nc_block_reader_pending(reader), 0);
    assert_true(nc_block_reader_bytes(reader) >= bytes);
    for (size_t i = 0; i < FILES * BLOCKS; i++)
        free(reads[i].room);
}

static void test_all(void **state)
{
    (void)state;
    on_each(read_all, 0);
    on_each(read_all, 1);
}

static void read_unaligned(struct nc_block_reader *reader)
{
    static const size_t offsets[] = {0, 1, 64, 128, 4095, 4096, 4097, 80 + 3 * 4096, BYTES - 1},
                        sizes[] = {1, 63, 4096, 5000, BLOCK};
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++)
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            if (offsets[i] + sizes[k] > BYTES)
                continue;
            struct nc_block_read read = describe(1, offsets[i], sizes[k]), *done;
            nc_block_reader_start(reader, &read);
            check(nc_block_reader_next(reader, &done));
            assert_ptr_equal(done, &read);
            assert_memory_equal(read.data, content[1] + offsets[i], sizes[k]);
            assert_int_equal((uintptr_t)read.data % 64, 0);
            free(read.room);
        }
}

static void test_unaligned(void **state)
{
    (void)state;
    on_each(read_unaligned, 0);
}

/* ---- What is wrong with it ---------------------------------------------------------------- */

static void expect(struct nc_block_reader *reader, struct nc_block_read *read, int status,
                   const char *words)
{
    struct nc_block_read *done;
    nc_block_reader_start(reader, read);
    assert_int_equal(nc_block_reader_next(reader, &done), status);
    assert_ptr_equal(done, read);
    if (!strstr(nc_error_message(), words))
        fail_msg("no \"%s\" in: %s", words, nc_error_message());
    if (!strstr(nc_error_message(), read->path))
        fail_msg("no file in: %s", nc_error_message());
}

static void read_wrong(struct nc_block_reader *reader)
{
    struct nc_block_read bad = describe(0, 5 * BLOCK, BLOCK), *done;
    bad.sum ^= 1;
    expect(reader, &bad, NC_BAD_INPUT, "block 5 (rows) is damaged: its bytes have another checksum");
    bad.has_sum = false; /* nobody knows, then */
    nc_block_reader_start(reader, &bad);
    check(nc_block_reader_next(reader, &done));
    free(bad.room);
    struct nc_block_read cut = describe(0, 0, BLOCK);
    cut.offset = BYTES - 100;
    cut.block = 63;
    free(cut.room);
    cut.room = aligned_alloc(NC_BLOCK_ALIGNMENT, nc_block_room(cut.offset, BLOCK));
    expect(reader, &cut, NC_BAD_INPUT, "block 63 (rows) should be the 12288 bytes from byte");
    cut.offset = BYTES + 100 * BLOCK;
    expect(reader, &cut, NC_BAD_INPUT, "it was cut short");
    cut.path = "/nowhere/at all";
    expect(reader, &cut, NC_BAD_INPUT, "No such file");
    free(cut.room);
    struct nc_block_read good = describe(0, 0, BLOCK); /* it goes on after errors */
    nc_block_reader_start(reader, &good);
    check(nc_block_reader_next(reader, &done));
    assert_memory_equal(good.data, content[0], BLOCK);
    free(good.room);
}

static void test_wrong(void **state)
{
    (void)state;
    on_each(read_wrong, 0);
}

/* Of many, one is damaged: that one alone fails, whenever it comes. */
static void read_one_wrong(struct nc_block_reader *reader)
{
    struct nc_block_read reads[BLOCKS - 1], *read;
    size_t failed = 0;
    for (size_t b = 0; b < BLOCKS - 1; b++) {
        reads[b] = describe(2, b * BLOCK, BLOCK);
        reads[b].sum += b == 17;
        nc_block_reader_start(reader, &reads[b]);
    }
    for (;;) {
        int status = nc_block_reader_next(reader, &read);
        if (!read)
            break;
        failed += status != NC_OK;
        assert_int_equal(status != NC_OK, read->block == 17);
    }
    assert_int_equal(failed, 1);
    for (size_t b = 0; b < BLOCKS - 1; b++)
        free(reads[b].room);
}

static void test_one_wrong(void **state)
{
    (void)state;
    on_each(read_one_wrong, 0);
}

static void test_names(void **state)
{
    (void)state;
    struct nc_block_reader *reader;
    setenv("NCLIP_READER", "telepathy", 1);
    assert_int_equal(nc_block_reader_create(0, &reader), NC_USAGE);
    assert_null(reader);
    unsetenv("NCLIP_READER");
}

/* ---- Ending in the middle ------------------------------------------------------------------- */

static size_t open_handles(void)
{
    size_t count = 0;
    for (int i = 0; i < 1024; i++)
        count += lseek(i, 0, SEEK_CUR) >= 0;
    return count;
}

/* The memory is the caller's again at once: address sanitizer sees who still writes. */
static void test_ending(void **state)
{
    (void)state;
    size_t before = open_handles();
    for (size_t round = 0; round < 40; round++) {
        struct nc_block_reader *reader = open_reader(engines[round % 2], round % 3 ? 0 : 2);
        struct nc_block_read reads[BLOCKS - 1], *read;
        if (!reader)
            continue;
        for (size_t b = 0; b < BLOCKS - 1; b++) {
            reads[b] = describe(b % FILES, b * BLOCK, BLOCK);
            reads[b].sum += b % 5 == 0; /* messages that nobody hears */
            nc_block_reader_start(reader, &reads[b]);
        }
        for (size_t taken = 0; taken < round % 7; taken++)
            (void)nc_block_reader_next(reader, &read);
        nc_block_reader_destroy(reader);
        for (size_t b = 0; b < BLOCKS - 1; b++)
            free(reads[b].room);
    }
    assert_int_equal(open_handles(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),       cmocka_unit_test(test_unaligned),
        cmocka_unit_test(test_wrong),     cmocka_unit_test(test_one_wrong),
        cmocka_unit_test(test_names),     cmocka_unit_test(test_ending),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
