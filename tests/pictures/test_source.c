/* Pictures from folders, lists and single files: their order, and what is refused. */
#include "nclip/pictures/source.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "support/temporary_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
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

/* Writes `text` to <folder>/<name>, folders included. */
static void put(void **state, const char *name, const char *text)
{
    char *path = nc_path_join(*state, name);
    char *slash = strrchr(path, '/');
    *slash = 0;
    assert_int_equal(nc_folder_create(path), NC_OK);
    *slash = '/';
    assert_int_equal(nc_file_write(path, text, strlen(text)), NC_OK);
    free(path);
}

static struct nc_image_source *open_source(void **state, const char *name)
{
    struct nc_image_source *source;
    char *path = nc_path_join(*state, name);
    if (nc_image_source_open(path, &source) != NC_OK)
        fail_msg("%s", nc_error_message());
    free(path);
    return source;
}

static void refuses(void **state, const char *name, const char *because)
{
    struct nc_image_source *source;
    char *path = nc_path_join(*state, name);
    assert_int_equal(nc_image_source_open(path, &source), NC_BAD_INPUT);
    assert_null(source);
    if (!strstr(nc_error_message(), because) || !strstr(nc_error_message(), path))
        fail_msg("\"%s\" does not say \"%s\" of %s", nc_error_message(), because, path);
    free(path);
}

/* Item `index` has this key and these bytes; NULL: it cannot be read. */
static void holds(const struct nc_image_source *source, size_t index, const char *key,
                  const char *content)
{
    uint8_t *bytes;
    size_t size;
    assert_string_equal(nc_image_source_key(source, index), key);
    int status = nc_image_source_read(source, index, &bytes, &size);
    if (!content) {
        assert_int_equal(status, NC_BAD_INPUT);
        assert_null(bytes);
        assert_non_null(strstr(nc_error_message(), key));
        return;
    }
    if (status != NC_OK)
        fail_msg("%s", nc_error_message());
    assert_int_equal(size, strlen(content));
    assert_memory_equal(bytes, content, size);
    free(bytes);
}

static void a_folder_is_sorted_by_path(void **state)
{
    put(state, "f/b.jpg", "B");
    put(state, "f/a/z.PNG", "Z");
    put(state, "f/a/deep/er.jpeg", "E");
    put(state, "f/a.jpg", "A");
    put(state, "f/c.webp", "W"); /* to be reported, not forgotten */
    put(state, "f/notes.txt", "no");
    put(state, "f/.hidden.jpg", "no");
    put(state, "f/.cache/x.jpg", "no");
    put(state, "f/jpg", "no");
    struct nc_image_source *source = open_source(state, "f");
    assert_int_equal(nc_image_source_count(source), 5);
    holds(source, 0, "a.jpg", "A"); /* '.' sorts before '/' */
    holds(source, 1, "a/deep/er.jpeg", "E");
    holds(source, 2, "a/z.PNG", "Z");
    holds(source, 3, "b.jpg", "B");
    holds(source, 4, "c.webp", "W");
    size_t index;
    assert_true(nc_image_source_find(source, "a/z.PNG", &index));
    assert_int_equal(index, 2);
    assert_false(nc_image_source_find(source, "z.PNG", &index));
    nc_image_source_close(source);
}

static void links_are_followed_but_not_in_circles(void **state)
{
    put(state, "real/x.jpg", "X");
    put(state, "f/y.jpg", "Y");
    char *link = nc_path_join(*state, "f/linked"), *circle = nc_path_join(*state, "f/circle");
    char *dangling = nc_path_join(*state, "f/gone.jpg");
    assert_int_equal(symlink("../real", link), 0);
    assert_int_equal(symlink(".", circle), 0);
    assert_int_equal(symlink("nowhere", dangling), 0);
    struct nc_image_source *source = open_source(state, "f");
    assert_int_equal(nc_image_source_count(source), 3);
    holds(source, 0, "gone.jpg", NULL);
    holds(source, 1, "linked/x.jpg", "X");
    holds(source, 2, "y.jpg", "Y");
    nc_image_source_close(source);
    free(link);
    free(circle);
    free(dangling);
}

static void a_list_keeps_its_order_and_its_broken_lines(void **state)
{
    put(state, "pictures/b.jpg", "B");
    put(state, "pictures/a.jpg", "A");
    char *absolute = nc_path_join(*state, "pictures/a.jpg"), *text;
    assert_true(asprintf(&text, "\xef\xbb\xbfpictures/b.jpg\r\n\n%s\nmissing.jpg\npictures/b.jpg",
                         absolute) > 0);
    put(state, "list.txt", text);
    struct nc_image_source *source = open_source(state, "list.txt");
    assert_int_equal(nc_image_source_count(source), 4);
    holds(source, 0, "pictures/b.jpg", "B");
    holds(source, 1, absolute, "A");
    holds(source, 2, "missing.jpg", NULL);
    holds(source, 3, "pictures/b.jpg", "B");
    size_t index;
    assert_true(nc_image_source_find(source, "pictures/b.jpg", &index));
    assert_int_equal(index, 0);
    nc_image_source_close(source);
    free(text);
    free(absolute);
}

static void one_picture_is_a_source(void **state)
{
    put(state, "f/one.jpg", "\xff\xd8\xff and so on");
    struct nc_image_source *source = open_source(state, "f/one.jpg");
    assert_int_equal(nc_image_source_count(source), 1);
    holds(source, 0, "one.jpg", "\xff\xd8\xff and so on");
    nc_image_source_close(source);
}

static void wrong_sources_are_named(void **state)
{
    put(state, "empty/readme.md", "nothing here");
    refuses(state, "empty", "no picture");
    refuses(state, "missing", "cannot read");
    put(state, "blank.txt", "\n\r\n\n");
    refuses(state, "blank.txt", "no picture");
    put(state, "captions.json", "{\"images\": []}");
    refuses(state, "captions.json", "JSON");
    put(state, "x.tar.gz", "\x1f\x8b\x08 compressed");
    refuses(state, "x.tar.gz", "gunzip");
    char *path = nc_path_join(*state, "binary");
    assert_int_equal(nc_file_write(path, "a\0b", 3), NC_OK);
    refuses(state, "binary", "zero byte at 1");
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_folder_is_sorted_by_path, setup, teardown),
        cmocka_unit_test_setup_teardown(links_are_followed_but_not_in_circles, setup, teardown),
        cmocka_unit_test_setup_teardown(a_list_keeps_its_order_and_its_broken_lines, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(one_picture_is_a_source, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_sources_are_named, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
