/* keys.index: made, used, made anew; equal hashes, doubled keys; memory that does not grow. */
#define XXH_INLINE_ALL /* for its secret */
#include "fixture.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DIMENSION = 2, ROWS = 2000 };

static const struct nc_embedding_info info = {"model", "as it is", DIMENSION, NC_FLOAT32, false};

struct place {
    char *folder, *store, *index;
};

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    place->folder = temporary_folder_create();
    place->store = nc_path_join(place->folder, "store");
    place->index = nc_path_join(place->store, "keys.index");
    write_rows(place->store, &info, 300, 0, ROWS);
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;
    temporary_folder_remove(place->folder);
    free(place->store);
    free(place->index);
    free(place);
    return 0;
}

/* Finds one key that is not behind the one before it, so that the index is asked. */
static int ask(const char *folder, size_t n)
{
    struct nc_embedding_store *store;
    char key[32];
    size_t row;
    key_of(n, key);
    CHECK(nc_embedding_store_open(folder, &store));
    int status = nc_embedding_store_find(store, key, &row);
    if (status == NC_OK)
        assert_int_equal(row, n);
    nc_embedding_store_close(store);
    return status;
}

static uint64_t changed(const char *path)
{
    struct stat now;
    assert_int_equal(stat(path, &now), 0);
    return (uint64_t)now.st_ino ^ (uint64_t)now.st_mtim.tv_nsec << 20;
}

static void it_is_made_once(void **state)
{
    const struct place *place = *state;
    assert_true(nc_file_exists(place->index));
    assert_int_equal(file_size(place->index), ROWS * 16 + 8 * 16 + 48);
    uint64_t before = changed(place->index);
    CHECK(ask(place->store, 1234));
    holds(place->store, &info, ROWS, 7, 0);
    assert_true(changed(place->index) == before);

    /* In the order of the rows it is not asked at all. */
    assert_int_equal(unlink(place->index), 0);
    struct nc_embedding_store *store;
    CHECK(nc_embedding_store_open(place->store, &store));
    for (size_t n = 0, row; n < ROWS; n++) {
        char key[32];
        key_of(n, key);
        CHECK(nc_embedding_store_find(store, key, &row));
        assert_int_equal(row, n);
    }
    nc_embedding_store_close(store);
    assert_false(nc_file_exists(place->index));
    CHECK(ask(place->store, 1234));
    assert_true(nc_file_exists(place->index));
}

static void of_other_shards_it_is_made_anew(void **state)
{
    const struct place *place = *state;
    char *kept = nc_path_join(place->folder, "kept");
    assert_int_equal(rename(place->index, kept), 0);
    write_rows(place->store, &info, 300, ROWS, ROWS + 700); /* without one to add to */
    holds(place->store, &info, ROWS + 700, 10, 0);
    uint64_t before = changed(place->index);
    write_rows(place->store, &info, 300, ROWS + 700, ROWS + 900); /* with one */
    assert_true(changed(place->index) != before);
    assert_int_equal(file_size(place->index), (ROWS + 900) * 16 + 16 * 16 + 48);
    before = changed(place->index);
    holds(place->store, &info, ROWS + 900, 11, 0);
    assert_true(changed(place->index) == before);
    assert_int_equal(rename(kept, place->index), 0); /* the oldest one */
    holds(place->store, &info, ROWS + 900, 11, 0);
    assert_true(changed(place->index) != before);
    free(kept);
}

/* Damage is noticed, or of no effect: no key is ever lost. */
static void a_damaged_one_hides_nothing(void **state)
{
    const struct place *place = *state;
    size_t size = file_size(place->index), refused = 0;
    char *data;
    CHECK(nc_file_read(place->index, 1 << 20, &data, &size));
    for (size_t at = 0; at < size; at += at < ROWS * 16 ? 997 : 13) {
        flip(place->index, at);
        for (size_t n = 0; n < ROWS; n += 61) {
            if (ask(place->store, n) == NC_OK)
                continue;
            refused++;
            says("keys.index");
            says("remove");
        }
        CHECK(nc_file_write(place->index, data, size));
    }
    assert_true(refused > 100);
    for (size_t cut = 0; cut < size; cut += 1 + cut / 3) {
        assert_int_equal(truncate(place->index, (off_t)cut), 0);
        CHECK(ask(place->store, 77));
        assert_int_equal(file_size(place->index), size);
    }
    free(data);
}

static void where_nothing_can_be_written(void **state)
{
    const struct place *place = *state;
    char *inside = nc_path_join(place->index, "inside");
    assert_int_equal(unlink(place->index), 0);
    CHECK(nc_folder_create(inside)); /* nobody, not even root, can rename a file over it */
    holds(place->store, &info, ROWS, 7, 0);
    assert_true(nc_folder_exists(inside));
    assert_int_equal(rmdir(inside), 0);
    assert_int_equal(rmdir(place->index), 0);
    assert_int_equal(chmod(place->store, 0555), 0);
    holds(place->store, &info, ROWS, 7, 0);
    assert_int_equal(chmod(place->store, 0755), 0);
    free(inside);
}

/* ---- equal hashes ---- */

/* Two keys of 16 bytes with one XXH3: of such, it is swap(a ^ x) + (b ^ y) + fold((a ^ x) * (b ^
 * y)), mixed, for the halves a and b and two constants; so (x, b) and (swap(b ^ y) ^ x, y) are
 * equal. */
static void equal_hashes(uint64_t seed, char first[17], char second[17])
{
    uint64_t secret[4];
    memcpy(secret, XXH3_kSecret + 24, sizeof secret);
    const uint64_t x = secret[0] ^ secret[1], y = secret[2] ^ secret[3];
    uint64_t b = seed ^ y, a = __builtin_bswap64(seed) ^ x;
    memcpy(first, &x, 8);
    memcpy(first + 8, &b, 8);
    memcpy(second, &a, 8);
    memcpy(second + 8, &y, 8);
    first[16] = second[16] = 0;
}

static void equal_hashes_do_no_harm(void **state)
{
    const struct place *place = *state;
    struct nc_embedding_writer *writer;
    struct nc_embedding_store *store;
    enum { PAIRS = 40 };
    char keys[2 * PAIRS][17];
    float row[DIMENSION] = {0};
    size_t pairs = 0, found;
    for (uint64_t seed = 0x0102030405060708; pairs < PAIRS; seed += 0x0101010101010101) {
        equal_hashes(seed, keys[2 * pairs], keys[2 * pairs + 1]);
        if (memchr(keys[2 * pairs], 0, 16) || memchr(keys[2 * pairs + 1], 0, 16))
            continue;
        assert_true(XXH3_64bits(keys[2 * pairs], 16) == XXH3_64bits(keys[2 * pairs + 1], 16));
        pairs++;
    }
    CHECK(nc_embedding_writer_open(place->store, &info, 30, &writer));
    for (size_t i = 0; i < 2 * PAIRS - 1; i++) {
        bool has;
        CHECK(nc_embedding_writer_has(writer, keys[i], &has));
        assert_false(has); /* though its twin may be there */
        row[0] = (float)i;
        CHECK(nc_embedding_writer_append(writer, keys[i], row));
        CHECK(nc_embedding_writer_has(writer, keys[i], &has));
        assert_true(has);
    }
    CHECK(nc_embedding_writer_close(writer));
    for (int made = 0; made < 2; made++) {
        CHECK(nc_embedding_store_open(place->store, &store));
        for (size_t i = 2 * PAIRS - 1; i-- > 0;) {
            CHECK(nc_embedding_store_find(store, keys[i], &found));
            assert_int_equal(found, ROWS + i);
        }
        CHECK(nc_embedding_store_find(store, keys[2 * PAIRS - 1], &found));
        assert_true(found == NC_EMBEDDING_NONE);
        nc_embedding_store_close(store);
        assert_int_equal(unlink(place->index), 0);
    }
}

static void doubled_keys_are_named(void **state)
{
    const struct place *place = *state;
    char *other = nc_path_join(place->folder, "other");
    write_rows(other, &info, 300, 450, 460);
    char *from = shard_path(other, 0), *to = shard_path(place->store, 9);
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(ask(place->store, 77), NC_BAD_INPUT);
    says("shard-000001");
    says("shard-000009");
    says("folder/45");
    struct nc_embedding_store *store;
    struct nc_embedding_verified verified;
    CHECK(nc_embedding_store_open(place->store, &store));
    assert_int_equal(nc_embedding_store_verify(store, &verified), NC_BAD_INPUT);
    says("shard-000009");
    nc_embedding_store_close(store);
    assert_int_equal(unlink(to), 0);

    write_version_1(place->store, &info, 9, 3, 5); /* also of different versions */
    assert_int_equal(ask(place->store, 77), NC_BAD_INPUT);
    says("shard-000000");
    says("shard-000009");
    free(from);
    free(to);
    free(other);
}

/* ---- many keys ---- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static void memory_does_not_grow(void **state)
{
    (void)state;
    skip(); /* what the sanitizer takes is not the program's */
}
#else
static size_t anonymous_memory(void)
{
    char line[128];
    size_t kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "VmData: %zu", &kilobytes) == 1)
            break;
    fclose(file);
    return kilobytes << 10;
}

/* In a process that may allocate so much more and nothing beside it. */
static int index_within(const char *folder, size_t bytes)
{
    struct nc_embedding_store *store;
    if (nc_embedding_store_open(folder, &store) != NC_OK)
        return 1;
    struct rlimit limit = {anonymous_memory() + bytes, RLIM_INFINITY};
    setrlimit(RLIMIT_DATA, &limit);
    int status = nc_embedding_store_index(store);
    if (status != NC_OK && !strstr(nc_error_message(), "memory"))
        return 2;
    return status == NC_OK ? 0 : 3;
}

static int in_child(const char *folder, size_t bytes)
{
    pid_t child = fork();
    if (child == 0)
        _exit(index_within(folder, bytes));
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void memory_does_not_grow(void **state)
{
    enum { KEYS = 3000000 };
    const struct place *place = *state;
    const struct nc_embedding_info small = {"model", "as it is", 1, NC_BFLOAT16, false};
    char *folder = nc_path_join(place->folder, "large"),
         *index = nc_path_join(folder, "keys.index");
    write_rows(folder, &small, 1 << 18, 0, KEYS); /* several sorted runs */
    assert_int_equal(unlink(index), 0);
    assert_int_equal(in_child(folder, 40 << 20), 0); /* 13 bytes a key */
    assert_int_equal(file_size(index), (size_t)KEYS * 16 + (16384 * 16) + 48);
    assert_int_equal(unlink(index), 0);
    assert_int_equal(in_child(folder, 8 << 20), 3); /* the limit is one */
    struct nc_embedding_store *store;
    CHECK(nc_embedding_store_open(folder, &store));
    for (size_t i = 0; i < 20000; i++) {
        char key[32];
        size_t n = i * 104729 % KEYS, row;
        key_of(n, key);
        CHECK(nc_embedding_store_find(store, key, &row));
        assert_int_equal(row, n);
        key_of(KEYS + n, key);
        CHECK(nc_embedding_store_find(store, key, &row));
        assert_true(row == NC_EMBEDDING_NONE);
    }
    nc_embedding_store_close(store);
    free(folder);
    free(index);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_is_made_once, setup, teardown),
        cmocka_unit_test_setup_teardown(of_other_shards_it_is_made_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_one_hides_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(where_nothing_can_be_written, setup, teardown),
        cmocka_unit_test_setup_teardown(equal_hashes_do_no_harm, setup, teardown),
        cmocka_unit_test_setup_teardown(doubled_keys_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_does_not_grow, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
