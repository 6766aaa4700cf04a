/* How long a large store takes: opened, verified, indexed, asked for keys. What must hold is
 * checked, the figures are printed. A measurement, which begins with no page of the files in
 * memory:
 *
 *     NCLIP_STORE_SHARDS=50000 NCLIP_STORE_MB=8000 NCLIP_STORE_KEYS=20000000 \
 *         TMPDIR=/disk build/tests/store_test_store_scale
 */
#include "../../host/store/shard_write.h"
#include "fixture.h"
#include "nclip/support/progress.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static size_t size_of(const char *variable, size_t usual)
{
    const char *text = getenv(variable);
    return text ? (size_t)strtoull(text, NULL, 10) : usual;
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

/* A shard as the writer writes it, but not synced to the disk, which takes a hundred times as long.
 */
static void write_shard(const char *folder, const struct nc_embedding_info *info, size_t number,
                        size_t first, size_t rows)
{
    static const uint8_t zeros[NC_EMBEDDING_ALIGNMENT];
    size_t row_bytes = info->dimension * nc_type_size(info->type), head_size;
    uint8_t *data = malloc(rows * row_bytes), *head;
    uint64_t *ends = malloc(rows * sizeof *ends), seed = first + 1;
    char *text = malloc(rows * 32), *path = shard_path(folder, number), *end = text;
    for (size_t i = 0; i < rows * row_bytes; i += 8) {
        seed = seed * 6364136223846793005 + 1442695040888963407;
        uint64_t finite = seed & 0x3fff3fff3fff3fff;
        memcpy(data + i, &finite, rows * row_bytes - i < 8 ? rows * row_bytes - i : 8);
    }
    for (size_t i = 0; i < rows; i++) {
        key_of(first + i, end);
        end += strlen(end) + 1;
        ends[i] = (uint64_t)(end - text);
    }
    struct nc_shard_header h;
    struct nc_shard_content content = {.info = info,
                                       .rows = rows,
                                       .row_data = data,
                                       .key_ends = ends,
                                       .key_text = text,
                                       .key_text_bytes = (size_t)(end - text)};
    CHECK(nc_shard_make_head(path, &content, &head, &head_size, &h));
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fwrite(head, 1, head_size, file);
    fwrite(zeros, 1, (size_t)h.rows_offset - head_size, file);
    fwrite(data, 1, rows * row_bytes, file);
    fwrite(zeros, 1, (size_t)(h.keys_offset - h.rows_offset) - rows * row_bytes, file);
    fwrite(ends, 1, rows * sizeof *ends, file);
    fwrite(text, 1, (size_t)(end - text), file);
    assert_int_equal(fclose(file), 0);
    free(data);
    free(head);
    free(ends);
    free(text);
    free(path);
}

/* In a measurement: syncing what others write may take long. */
static void forget_pages(const char *folder, size_t shards)
{
    if (!getenv("NCLIP_STORE_MB"))
        return;
    sync();
    for (size_t i = 0; i < shards; i++) {
        char *path = shard_path(folder, i);
        int file = open(path, O_RDONLY);
        posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
        close(file);
        free(path);
    }
}

static void opening_reads_heads_only(void **state)
{
    const struct nc_embedding_info info = {"model", "as it is", 4, NC_FLOAT32, false};
    size_t shards = size_of("NCLIP_STORE_SHARDS", 10000), rows = 3;
    struct nc_embedding_store *store;
    char key[32];
    for (size_t i = 0; i < shards; i++)
        write_shard(*state, &info, i, i * rows, rows);
    double seconds[2];
    for (int warm = 0; warm < 2; warm++) {
        if (!warm)
            forget_pages(*state, shards);
        double began = nc_seconds();
        CHECK(nc_embedding_store_open(*state, &store));
        seconds[warm] = nc_seconds() - began;
        assert_int_equal(nc_embedding_store_count(store), shards * rows);
        if (!warm)
            nc_embedding_store_close(store);
    }
    printf("opening: %zu shards in %.3f s, once more in %.3f s\n", shards, seconds[0], seconds[1]);
    assert_true(seconds[1] * 10000 / (double)shards < 2);
    size_t row;
    key_of(shards * rows - 2, key);
    CHECK(nc_embedding_store_find(store, key, &row));
    assert_int_equal(row, shards * rows - 2);
    nc_embedding_store_close(store);
}

/* Every byte of the shards, in order, with direct I/O where there is some. */
static double read_plainly(const char *folder, size_t shards, bool direct, double *bytes)
{
    enum { PART = 4 << 20 };
    void *buffer = NULL;
    assert_int_equal(posix_memalign(&buffer, 4096, PART), 0);
    double began = nc_seconds();
    *bytes = 0;
    for (size_t i = 0; i < shards; i++) {
        char *path = shard_path(folder, i);
        int file = open(path, O_RDONLY | (direct ? O_DIRECT : 0));
        if (file < 0)
            file = open(path, O_RDONLY);
        for (ssize_t count; (count = read(file, buffer, PART)) > 0;)
            *bytes += (double)count;
        close(file);
        free(path);
    }
    free(buffer);
    return nc_seconds() - began;
}

static void verify_is_as_fast_as_reading(void **state)
{
    const struct nc_embedding_info info = {"model", "as it is", 768, NC_BFLOAT16, false};
    size_t megabytes = size_of("NCLIP_STORE_MB", 50), rows = 8192;
    size_t shards = megabytes * 1000000 / (rows * 1536) + 1;
    struct nc_embedding_store *store;
    struct nc_embedding_verified verified;
    for (size_t i = 0; i < shards; i++)
        write_shard(*state, &info, i, i * rows, rows);
    CHECK(nc_embedding_store_open(*state, &store));
    for (int round = 0; round < 2; round++) {
        double bytes, direct, plain;
        forget_pages(*state, shards);
        direct = read_plainly(*state, shards, true, &bytes);
        forget_pages(*state, shards);
        plain = read_plainly(*state, shards, false, &bytes);
        forget_pages(*state, shards);
        CHECK(nc_embedding_store_verify(store, &verified));
        printf("verify: %.0f MB/s from the disk; plain read of the same %.0f MB: %.0f MB/s, with "
               "direct I/O %.0f MB/s\n",
               1e-6 * (double)verified.bytes / verified.seconds, 1e-6 * bytes, 1e-6 * bytes / plain,
               1e-6 * bytes / direct);
    }
    nc_embedding_store_close(store);
}

/* In a process of its own, whose peak is that of the index. */
static void make_index(const char *folder, size_t keys)
{
    struct nc_embedding_store *store;
    struct rusage before, after;
    CHECK(nc_embedding_store_open(folder, &store));
    getrusage(RUSAGE_SELF, &before);
    double began = nc_seconds();
    CHECK(nc_embedding_store_index(store));
    double seconds = nc_seconds() - began;
    getrusage(RUSAGE_SELF, &after);
    printf("index: %zu keys in %.2f s, %.2f million/s; resident at the peak %.0f MB more, mapped "
           "files included\n",
           keys, seconds, 1e-6 * (double)keys / seconds,
           1e-3 * (double)(after.ru_maxrss - before.ru_maxrss));
    enum { ASKED = 200000 };
    size_t found = 0, row;
    for (int random = 0; random < 2; random++) {
        began = nc_seconds();
        for (size_t i = 0; i < ASKED; i++) {
            char key[32];
            size_t n = random ? i * 2654435761 % keys : i % keys;
            key_of(n, key);
            CHECK(nc_embedding_store_find(store, key, &row));
            found += row == n;
        }
        printf("find: %.2f million/s %s\n", 1e-6 * ASKED / (nc_seconds() - began),
               random ? "at random" : "in the order of the rows");
    }
    assert_int_equal(found, 2 * ASKED);
    nc_embedding_store_close(store);
    fflush(stdout);
}

static void many_keys_are_found(void **state)
{
    const struct nc_embedding_info info = {"model", "as it is", 1, NC_BFLOAT16, false};
    size_t keys = size_of("NCLIP_STORE_KEYS", 300000), rows = 8192;
    for (size_t first = 0; first < keys; first += rows)
        write_shard(*state, &info, first / rows, first, keys - first < rows ? keys - first : rows);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        make_index(*state, keys);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(many_keys_are_found, setup,
                                        teardown), /* before threads are */
        cmocka_unit_test_setup_teardown(opening_reads_heads_only, setup, teardown),
        cmocka_unit_test_setup_teardown(verify_is_as_fast_as_reading, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
