/* Reading, mapping, writing and publishing, on full disks and beside other processes. */
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "support/temporary_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

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

static char *inside(void **state, const char *name)
{
    return nc_path_join(*state, name);
}

static size_t entries(const char *folder)
{
    size_t count = 0;
    DIR *directory = opendir(folder);
    assert_non_null(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count - 2;
}

static void holds(const char *path, const char *expected)
{
    char *data;
    size_t size;
    if (nc_file_read(path, 1 << 20, &data, &size) != NC_OK)
        fail_msg("%s", nc_error_message());
    assert_int_equal(size, strlen(expected));
    assert_string_equal(data, expected);
    free(data);
}

static void write_text(const char *path, const char *text)
{
    if (nc_file_write(path, text, strlen(text)) != NC_OK)
        fail_msg("%s", nc_error_message());
}

static void reading_stops_at_the_limit(void **state)
{
    char *path = inside(state, "file"), *data;
    size_t size;
    write_text(path, "0123456789");
    assert_int_equal(nc_file_read(path, 10, &data, &size), NC_OK);
    assert_int_equal(size, 10);
    assert_int_equal(data[10], 0);
    free(data);
    assert_int_equal(nc_file_read(path, 9, &data, &size), NC_BAD_INPUT);
    assert_null(data);
    assert_non_null(strstr(nc_error_message(), path));
    assert_non_null(strstr(nc_error_message(), "9 bytes"));
    write_text(path, "");
    assert_int_equal(nc_file_read(path, 0, &data, &size), NC_OK);
    assert_int_equal(size, 0);
    assert_string_equal(data, "");
    free(data);
    assert_int_equal(nc_file_read(*state, 100, &data, &size), NC_BAD_INPUT); /* a folder */
    free(path);
    path = inside(state, "gone");
    assert_int_equal(nc_file_read(path, 100, &data, &size), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), path));
    free(path);
}

/* Standard input has no size, and comes in pieces. */
static void standard_input_is_read_whole(void **state)
{
    (void)state;
    enum { SIZE = 300000 };
    int ends[2], saved = dup(STDIN_FILENO);
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        char block[1000];
        memset(block, 'x', sizeof block);
        for (size_t i = 0; i < SIZE / sizeof block; i++) {
            if (write(ends[1], block, sizeof block) != sizeof block)
                _exit(1);
        }
        _exit(0);
    }
    close(ends[1]);
    dup2(ends[0], STDIN_FILENO);
    close(ends[0]);
    char *data;
    size_t size;
    int status = nc_file_read("-", 1 << 20, &data, &size);
    dup2(saved, STDIN_FILENO);
    close(saved);
    waitpid(child, NULL, 0);
    assert_int_equal(status, NC_OK);
    assert_int_equal(size, SIZE);
    assert_int_equal(strspn(data, "x"), SIZE);
    free(data);
}

static void files_are_mapped(void **state)
{
    char *path = inside(state, "file");
    struct nc_mapping mapping;
    write_text(path, "abc");
    assert_int_equal(nc_file_map(path, &mapping), NC_OK);
    assert_int_equal(mapping.size, 3);
    assert_memory_equal(mapping.data, "abc", 3);
    nc_file_unmap(&mapping);
    assert_null(mapping.data);
    nc_file_unmap(&mapping);
    write_text(path, "");
    assert_int_equal(nc_file_map(path, &mapping), NC_OK);
    assert_int_equal(mapping.size, 0);
    assert_non_null(mapping.data);
    nc_file_unmap(&mapping);
    assert_int_equal(nc_file_map(*state, &mapping), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "not a regular file"));
    free(path);
}

static void a_file_appears_at_commit(void **state)
{
    char *path = inside(state, "file");
    struct nc_writer *writer;
    write_text(path, "old");
    assert_int_equal(nc_writer_create(path, &writer), NC_OK);
    assert_int_equal(nc_writer_write(writer, "new", 3), NC_OK);
    assert_int_equal(nc_writer_printf(writer, " %d", 42), NC_OK);
    assert_int_equal(nc_writer_position(writer), 6);
    holds(path, "old");
    assert_int_equal(nc_writer_commit(writer), NC_OK);
    holds(path, "new 42");
    assert_int_equal(entries(*state), 1);

    assert_int_equal(nc_writer_create(path, &writer), NC_OK);
    assert_int_equal(nc_writer_write(writer, "dropped", 7), NC_OK);
    nc_writer_abort(writer);
    nc_writer_abort(NULL);
    holds(path, "new 42");
    assert_int_equal(entries(*state), 1);
    free(path);

    path = inside(state, "gone/file");
    assert_int_equal(nc_writer_create(path, &writer), NC_FAILED);
    assert_non_null(strstr(nc_error_message(), path));
    free(path);
}

/* A process that dies in the middle leaves the old file as it was. */
static void a_torn_write_is_never_seen(void **state)
{
    char *path = inside(state, "file");
    write_text(path, "old");
    pid_t child = fork();
    if (child == 0) {
        struct nc_writer *writer;
        char block[100000] = {0};
        if (nc_writer_create(path, &writer) == NC_OK)
            (void)nc_writer_write(writer, block, sizeof block);
        _exit(0); /* no commit, no flush */
    }
    waitpid(child, NULL, 0);
    holds(path, "old");
    assert_int_equal(entries(*state), 2); /* the torn one lies beside it under its own name */
    write_text(path, "new");              /* and is in nobody's way */
    holds(path, "new");
    free(path);
}

/* The partial file leads to a device that is always full. */
static void a_full_disk_is_reported_and_cleaned_up(void **state)
{
    char *path = inside(state, "file"), partial[4200];
    char block[100000] = {0};
    write_text(path, "old");
    snprintf(partial, sizeof partial, "%s.partial-%ld", path, (long)getpid());
    for (int large = 0; large < 2; large++) { /* fails in write, or only at the flush */
        struct nc_writer *writer;
        assert_int_equal(symlink("/dev/full", partial), 0);
        assert_int_equal(nc_writer_create(path, &writer), NC_OK);
        int status = nc_writer_write(writer, block, large ? sizeof block : 10);
        assert_int_equal(status, large ? NC_FAILED : NC_OK);
        if (large) {
            assert_int_equal(nc_writer_write(writer, block, 1), NC_FAILED);
            assert_int_equal(nc_writer_printf(writer, "x"), NC_FAILED);
        }
        assert_int_equal(nc_writer_commit(writer), NC_FAILED);
        assert_non_null(strstr(nc_error_message(), path));
        assert_non_null(strstr(nc_error_message(), "No space left on device"));
        holds(path, "old");
        assert_int_equal(entries(*state), 1);
    }
    assert_int_equal(symlink("/dev/full", partial), 0);
    assert_int_equal(nc_file_write(path, block, sizeof block), NC_FAILED);
    assert_int_equal(entries(*state), 1);
    free(path);
}

/* As root, a rename would take the device's place. */
static void a_device_is_written_to(void **state)
{
    struct stat information;
    char *pipe = inside(state, "pipe");
    assert_int_equal(nc_file_write("/dev/null", "x", 1), NC_OK);
    assert_int_equal(nc_file_write("/dev/full", "x", 1), NC_FAILED);
    assert_int_equal(stat("/dev/full", &information), 0);
    assert_true(S_ISCHR(information.st_mode));
    assert_int_equal(mkfifo(pipe, 0600), 0);
    int reader = open(pipe, O_RDONLY | O_NONBLOCK);
    assert_int_equal(nc_file_write(pipe, "hello", 5), NC_OK);
    char text[8];
    assert_int_equal(read(reader, text, sizeof text), 5);
    close(reader);
    assert_int_equal(entries(*state), 1);
    unlink(pipe);
    free(pipe);
}

static void one_process_locks_a_folder(void **state)
{
    int first, second;
    assert_int_equal(nc_folder_lock(*state, "reading", &first), NC_OK);
    assert_int_equal(nc_folder_lock(*state, "reading", &second), NC_FAILED);
    assert_non_null(strstr(nc_error_message(), "another process is reading there"));
    close(first);
    assert_int_equal(nc_folder_lock(*state, "reading", &second), NC_OK);
    close(second);
}

static void folders_are_created_and_removed(void **state)
{
    char *deep = inside(state, "a/b//c/"), *top = inside(state, "a"), *file = inside(state, "file");
    assert_int_equal(nc_folder_create(deep), NC_OK);
    assert_int_equal(nc_folder_create(deep), NC_OK); /* existing is fine */
    assert_true(nc_folder_exists(deep));
    assert_false(nc_file_exists(deep));
    write_text(file, "outside");
    char *link = inside(state, "a/b/link"), *inner = inside(state, "a/b/c/file");
    write_text(inner, "inside");
    assert_int_equal(symlink(*state, link), 0); /* is removed, not followed */
    assert_int_equal(nc_folder_remove(top), NC_OK);
    assert_false(nc_folder_exists(top));
    holds(file, "outside");
    assert_int_equal(nc_folder_remove(top), NC_OK); /* missing is fine */
    assert_int_equal(nc_folder_remove(file), NC_FAILED);
    holds(file, "outside");
    char *under_file = inside(state, "file/a");
    assert_int_equal(nc_folder_create(under_file), NC_FAILED);
    assert_int_equal(nc_folder_create(file), NC_FAILED);
    assert_non_null(strstr(nc_error_message(), file));
    assert_int_equal(nc_folder_create(""), NC_FAILED);
    free(under_file);
    free(inner);
    free(link);
    free(file);
    free(top);
    free(deep);
}

static void make_folder(const char *folder, const char *content)
{
    char *file = nc_path_join(folder, "file");
    assert_int_equal(nc_folder_create(folder), NC_OK);
    write_text(file, content);
    free(file);
}

static void folder_holds(const char *folder, const char *content)
{
    char *file = nc_path_join(folder, "file");
    holds(file, content);
    free(file);
}

static void a_folder_is_published_in_one_step(void **state)
{
    char *staged = inside(state, "staged"), *final = inside(state, "final");
    make_folder(staged, "first"); /* nothing there */
    assert_int_equal(nc_folder_publish(staged, final), NC_OK);
    folder_holds(final, "first");
    assert_int_equal(entries(*state), 1);

    make_folder(staged, "second"); /* an older one there */
    char *old = nc_path_join(final, "only the old one has this");
    write_text(old, "");
    assert_int_equal(nc_folder_publish(staged, final), NC_OK);
    folder_holds(final, "second");
    assert_int_equal(entries(final), 1);
    assert_int_equal(entries(*state), 1);
    free(old);

    assert_int_equal(nc_folder_remove(final), NC_OK); /* an empty one there */
    assert_int_equal(nc_folder_create(final), NC_OK);
    make_folder(staged, "third");
    assert_int_equal(nc_folder_publish(staged, final), NC_OK);
    folder_holds(final, "third");

    assert_int_equal(nc_folder_publish(staged, final), NC_FAILED); /* nothing staged */
    folder_holds(final, "third");
    assert_int_equal(nc_folder_remove(final), NC_OK); /* a file there */
    write_text(final, "a file");
    make_folder(staged, "fourth");
    assert_int_equal(nc_folder_publish(staged, final), NC_FAILED);
    assert_non_null(strstr(nc_error_message(), final));
    holds(final, "a file");
    folder_holds(staged, "fourth");
    free(staged);
    free(final);
}

/* While one process publishes again and again, another always finds a whole folder. */
static void readers_never_miss_a_published_folder(void **state)
{
    char *staged = inside(state, "staged"), *final = inside(state, "final");
    make_folder(final, "whole");
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 50; i++) {
            make_folder(staged, "whole");
            if (nc_folder_publish(staged, final) != NC_OK)
                _exit(1);
        }
        _exit(0);
    }
    /* Hold the folder first, as a reader does that opens several files of it. */
    int status = 0;
    size_t seen = 0;
    while (waitpid(child, &status, WNOHANG) == 0) {
        int folder = open(final, O_RDONLY | O_DIRECTORY);
        assert_true(folder >= 0);
        close(folder);
        seen++;
    }
    assert_int_equal(status, 0);
    assert_true(seen > 0);
    free(staged);
    free(final);
}

static void paths_are_joined(void **state)
{
    (void)state;
    const struct {
        const char *folder, *name, *expected;
    } cases[] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"},
        {"/", "b", "/b"},  {"a", "/b", "/b"},  {".", "b/c", "./b/c"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *path = nc_path_join(cases[i].folder, cases[i].name);
        assert_string_equal(path, cases[i].expected);
        free(path);
    }
}

static void paths_that_climb(void **state)
{
    (void)state;
    static const char *const climbing[] = {"..", "../a", "a/../b", "a/..", "//..", "a//../", "./.."};
    static const char *const others[] = {"", "/", "a", "..a", "a..", "a/..b/c", "a/...", "/a/./b."};
    for (size_t i = 0; i < sizeof climbing / sizeof *climbing; i++)
        assert_true(nc_path_climbs(climbing[i]));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(nc_path_climbs(others[i]));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(reading_stops_at_the_limit),
        TEST(standard_input_is_read_whole),
        TEST(files_are_mapped),
        TEST(a_file_appears_at_commit),
        TEST(a_torn_write_is_never_seen),
        TEST(a_full_disk_is_reported_and_cleaned_up),
        TEST(a_device_is_written_to),
        TEST(one_process_locks_a_folder),
        TEST(folders_are_created_and_removed),
        TEST(a_folder_is_published_in_one_step),
        TEST(readers_never_miss_a_published_folder),
        TEST(paths_are_joined),
        cmocka_unit_test(paths_that_climb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
