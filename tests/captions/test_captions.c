/* Captions from COCO JSON and JSONL; files that are wrong, cut or missing. */
#include "../support/temporary_folder.h"

#include "nclip/captions/captions.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *folder, *path;

static int make_folder(void **state)
{
    (void)state;
    folder = temporary_folder_create();
    path = nc_path_join(folder, "c.json");
    return path ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    temporary_folder_remove(folder);
    free(path);
    return 0;
}

static struct nc_captions load(const char *text)
{
    struct nc_captions captions;
    assert_int_equal(nc_file_write(path, text, strlen(text)), NC_OK);
    if (nc_captions_load(path, &captions) != NC_OK)
        fail_msg("%s", nc_error_message());
    return captions;
}

static void refuse_bytes(const char *text, size_t size, const char *part)
{
    struct nc_captions captions;
    assert_int_equal(nc_file_write(path, text, size), NC_OK);
    int status = nc_captions_load(path, &captions);
    if (status != NC_BAD_INPUT)
        fail_msg("accepted: %s", text);
    if (!strstr(nc_error_message(), part) || !strstr(nc_error_message(), "c.json"))
        fail_msg("\"%s\" is not in: %s", part, nc_error_message());
    assert_null(captions.items);
    assert_null(captions.images);
}

static void refuse(const char *text, const char *part)
{
    refuse_bytes(text, strlen(text), part);
}

static void reads_coco(void **state)
{
    (void)state;
    struct nc_captions captions = load(
        "{\"info\": {\"year\": 2014, \"x\": [1, [2]]}, \"images\": [{\"id\": 7, \"file_name\": "
        "\"b.jpg\"},\n {\"id\": 9, \"file_name\": \"unused.jpg\"}, {\"id\": \"x\", "
        "\"file_name\": \"a.jpg\", \"width\": 3}], \"licenses\": [],\n\"annotations\": ["
        "{\"image_id\": \"x\", \"id\": 1, \"caption\": \"one\"},"
        "{\"image_id\": 7, \"caption\": \"old\", \"updated_caption\": \"two, not three\"},"
        "{\"image_id\": \"7\", \"caption\": \"h\\u00e9 \\ud83d\\ude00\", \"updated_caption\": "
        "null, \"contradiction\": \"no h\"}]}\n");
    assert_int_equal(captions.count, 3);
    assert_int_equal(captions.image_count, 2);
    assert_string_equal(captions.images[0], "a.jpg");
    assert_string_equal(captions.images[1], "b.jpg");
    assert_string_equal(captions.items[0].text, "one");
    assert_int_equal(captions.items[0].image, 0);
    assert_null(captions.items[0].contradiction);
    assert_string_equal(captions.items[1].text, "two, not three");
    assert_int_equal(captions.items[1].image, 1);
    assert_string_equal(captions.items[2].text, "h\xc3\xa9 \xf0\x9f\x98\x80");
    assert_int_equal(captions.items[2].image, 1);
    assert_string_equal(captions.items[2].contradiction, "no h");
    nc_captions_free(&captions);
    nc_captions_free(&captions); /* harmless */
}

static void images_may_come_last(void **state)
{
    (void)state;
    struct nc_captions captions =
        load("\xef\xbb\xbf { \"annotations\" : [ {\"image_id\":1,\"caption\":\"a\"} ] , "
             "\"images\" : [ {\"file_name\":\"p/1.png\",\"id\":1.0} ] } ");
    assert_int_equal(captions.count, 1);
    assert_string_equal(captions.images[captions.items[0].image], "p/1.png");
    nc_captions_free(&captions);
}

static void two_ids_of_one_file_are_one_image(void **state)
{
    (void)state;
    struct nc_captions captions =
        load("{\"images\": [{\"id\": 1, \"file_name\": \"a\"}, {\"id\": 2, \"file_name\": \"a\"}, "
             "{\"id\": 1, \"file_name\": \"a\"}], \"annotations\": [{\"image_id\": 1, \"caption\": "
             "\"x\"}, {\"image_id\": 2, \"caption\": \"y\"}]}");
    assert_int_equal(captions.image_count, 1);
    assert_int_equal(captions.items[1].image, 0);
    nc_captions_free(&captions);
}

static void reads_lines(void **state)
{
    (void)state;
    struct nc_captions captions = load(
        "{\"image\": \"a.jpg\", \"caption\": \"one\"}\r\n"
        "\n   \n"
        "{\"caption\": \"two\", \"contradiction\": \"not two\", \"image\": \"b.jpg\", \"n\": 1}\n"
        "{\"image\": \"a.jpg\", \"caption\": \"x\", \"updated_caption\": \"three\"}");
    assert_int_equal(captions.count, 3);
    assert_int_equal(captions.image_count, 2);
    assert_string_equal(captions.images[1], "b.jpg");
    assert_string_equal(captions.items[1].contradiction, "not two");
    assert_string_equal(captions.items[2].text, "three");
    assert_int_equal(captions.items[2].image, 0);
    nc_captions_free(&captions);

    captions = load("{\"source\": {\"a\": [1]}, \"image\": \"a\", \"caption\": \"\\\\u0000\"}\n");
    assert_string_equal(captions.items[0].text, "\\u0000");
    nc_captions_free(&captions);
}

static void many_captions(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    struct nc_writer *writer;
    assert_int_equal(nc_writer_create(path, &writer), NC_OK);
    nc_writer_printf(writer, "{\"annotations\": [");
    for (int i = 0; i < COUNT; i++)
        nc_writer_printf(writer, "%s{\"image_id\": %d, \"caption\": \"caption %d\"}", i ? "," : "",
                         i / 5, i);
    nc_writer_printf(writer, "], \"images\": [");
    for (int i = 0; i < COUNT / 5; i++)
        nc_writer_printf(writer, "%s{\"id\": %d, \"file_name\": \"%d.jpg\"}", i ? "," : "", i, i);
    nc_writer_printf(writer, "]}");
    assert_int_equal(nc_writer_commit(writer), NC_OK);

    struct nc_captions captions;
    assert_int_equal(nc_captions_load(path, &captions), NC_OK);
    assert_int_equal(captions.count, COUNT);
    assert_int_equal(captions.image_count, COUNT / 5);
    for (int i = 0; i < COUNT; i++) {
        char expected[32];
        snprintf(expected, sizeof expected, "caption %d", i);
        assert_string_equal(captions.items[i].text, expected);
        snprintf(expected, sizeof expected, "%d.jpg", i / 5);
        assert_string_equal(captions.images[captions.items[i].image], expected);
    }
    nc_captions_free(&captions);
}

#define IMAGES "{\"images\": [{\"id\": 1, \"file_name\": \"a\"}], \"annotations\": "

static void bad_coco_is_named(void **state)
{
    (void)state;
    refuse("", "empty");
    refuse(" \n ", "empty");
    refuse("{}", "neither \"annotations\"");
    refuse("[{\"image\": \"a\", \"caption\": \"b\"}]", "JSON array");
    refuse("caption", "neither COCO JSON nor JSONL");
    refuse("{\"images\": []}", "\"annotations\" is missing");
    refuse("{\"annotations\": []}", "\"images\" is missing");
    refuse("{\"annotations\": {}, \"images\": []}", "\"annotations\" is not an array");
    refuse(IMAGES "[]}", "holds no captions");
    refuse(IMAGES "[{\"image_id\": 1, \"caption\": \"x\"}, {\"image_id\": 2, \"caption\": \"y\"}]}",
           "annotations[1]: its image_id 2 is not among the images");
    refuse(IMAGES "[{\"image_id\": 1}]}", "annotations[0]: \"caption\" is missing");
    refuse(IMAGES "[{\"image_id\": 1, \"caption\": 3}]}", "\"caption\" is not a string");
    refuse(IMAGES "[{\"image_id\": 1, \"caption\": \"x\", \"contradiction\": []}]}",
           "annotations[0]: \"contradiction\" is not a string");
    refuse(IMAGES "[{\"image_id\": 1, \"caption\": \"x\", \"updated_caption\": 1}]}",
           "\"updated_caption\" is not a string");
    refuse(IMAGES "[{\"caption\": \"x\"}]}", "\"image_id\" is missing");
    refuse(IMAGES "[{\"caption\": \"x\", \"image_id\": [1]}]}", "neither a number nor a string");
    refuse(IMAGES "[{\"caption\": \"x\", \"image_id\": 12345678901234567890}]}",
           "its image_id 12345678901234567890 is not among");
    refuse(IMAGES "[{\"caption\": \"x\", \"image_id\": 1e25}]}", "too large");
    refuse(IMAGES "[3]}", "annotations[0]: not an object");
    refuse(IMAGES "[{\"image_id\": 1, \"caption\": \"\xff\"}]}", "not UTF-8");
    refuse(IMAGES "[{\"image_id\": 1, \"caption\": \"\xed\xa0\x80\"}]}", "not UTF-8");
    refuse(IMAGES "[{\"image_id\": 1, \"caption\": \"a\\u0000b\"}]}", "zero character");
    refuse(IMAGES "[{\"image_id\": 1, \"caption\": \"x\"}", "not valid JSON");
    refuse(IMAGES "[{\"image_id\": 1, \"caption\": \"x\"}]", "not valid JSON");
    refuse(IMAGES "[{\"image_id\": 1, \"caption\": \"x\"}]} x", "nothing behind");
    refuse(IMAGES "[{\"image_id\": 1,\n \"caption\" \"x\"}]}", "line 2");
    refuse(IMAGES "[{\"image_id\": 1, \"caption\": \"x\"},]}", "not valid JSON");
    refuse(IMAGES "[], \"annotations\": []}", "twice");
    refuse(IMAGES, "not valid JSON in annotations");
    refuse(IMAGES "7}", "\"annotations\" is not an array");
    refuse("{\"images\"", "not valid JSON");
    refuse("{\"images", "not valid JSON");
    refuse("{\"images\": [{\"id\": 1, \"file_name\": \"a\"}, {\"id\": 1, \"file_name\": \"b\"}], "
           "\"annotations\": []}",
           "images[1]: id 1 is already that of a");
    refuse("{\"images\": [{\"id\": 1}], \"annotations\": []}", "images[0]: \"file_name\"");
    refuse("{\"images\": [{\"file_name\": \"a\"}], \"annotations\": []}", "images[0]: \"id\"");
    refuse("{\"images\": [1], \"annotations\": []}", "images[0]: not an object");
    refuse("{\"images\": [{\"id\": 1, \"file_name\": \"\"}], \"annotations\": [{\"image_id\": 1, "
           "\"caption\": \"x\"}]}",
           "file name is empty");
    char deep[20000];
    memset(deep, '[', sizeof deep);
    memcpy(deep, "{\"images\":", 10);
    refuse_bytes(deep, sizeof deep, "not valid JSON");
    refuse_bytes("{\"images\": \0}", 13, "zero byte at 11 (line 1)");
}

static void bad_lines_are_named(void **state)
{
    (void)state;
    const char *good = "{\"image\": \"a\", \"caption\": \"b\"}\n\n";
    static const char *const bad[][2] = {
        {"{\"image\": \"a\", \"caption\": \"b\"", "line 3"},
        {"{\"image\": \"a\"}", "line 3: \"caption\" is missing"},
        {"{\"caption\": \"a\"}", "line 3: \"image\" is missing"},
        {"{\"image\": 1, \"caption\": \"b\"}", "line 3: \"image\" is not a string"},
        {"{\"image\": \"\", \"caption\": \"b\"}", "line 3: the image's file name is empty"},
        {"{\"image\": \"a\", \"caption\": \"b\"} {}", "line 3: not valid JSON"},
        {"{\"image\": \"a\", \"caption\": \"\x80\"}", "line 3: \"caption\" is not UTF-8"},
        {"{\"image\": \"\xc3\", \"caption\": \"\"}", "line 3: \"image\" is not UTF-8"},
        {"{\"image\": \"a\", \"caption\": \"\\u0000\"}", "line 3: holds a zero character (\\u0000) in caption"},
        {"[1]", "line 3: not an object"},
        {"{\"image\": \"a\",\n\"caption\": \"b\"}", "line 3"},
        {"x", "line 3"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[256];
        snprintf(text, sizeof text, "%s%s\n%s", good, bad[i][0], good);
        refuse(text, bad[i][1]);
    }
}

static void missing_file(void **state)
{
    (void)state;
    struct nc_captions captions;
    assert_int_equal(nc_captions_load("/nonexistent/c.json", &captions), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "/nonexistent/c.json"));
}

/* Every beginning of a good file is refused or accepted, never worse. */
static void truncations(void **state)
{
    (void)state;
    const char *files[] = {
        IMAGES "[{\"image_id\": 1, \"caption\": \"h\\u00e9\", \"contradiction\": null}]}",
        "{\"image\": \"a\", \"caption\": \"b\"}\n{\"image\": \"b\", \"caption\": "
        "\"\\ud83d\\ude00\"}\n",
    };
    for (size_t file = 0; file < 2; file++) {
        for (size_t size = 0; size < strlen(files[file]); size++) {
            struct nc_captions captions;
            assert_int_equal(nc_file_write(path, files[file], size), NC_OK);
            int status = nc_captions_load(path, &captions);
            assert_true(status == NC_BAD_INPUT || (file == 1 && status == NC_OK));
            nc_captions_free(&captions);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_coco),
        cmocka_unit_test(images_may_come_last),
        cmocka_unit_test(two_ids_of_one_file_are_one_image),
        cmocka_unit_test(reads_lines),
        cmocka_unit_test(many_captions),
        cmocka_unit_test(bad_coco_is_named),
        cmocka_unit_test(bad_lines_are_named),
        cmocka_unit_test(missing_file),
        cmocka_unit_test(truncations),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
