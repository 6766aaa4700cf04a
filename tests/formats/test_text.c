/* Texts, packed or not, and their lines. */
#include "nclip/formats/text.h"

#include "../support/temporary_folder.h"
#include "nclip/formats/byte_stream.h"
#include "nclip/support/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

static char *folder, *path;

static int make_folder(void **state)
{
    (void)state;
    folder = temporary_folder_create();
    path = nc_path_join(folder, "a.txt");
    return path ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    temporary_folder_remove(folder);
    free(path);
    return 0;
}

static void put(const void *bytes, size_t size)
{
    assert_int_equal(nc_file_write(path, bytes, size), NC_OK);
}

static void reads(const char *expected)
{
    char *text;
    size_t size;
    if (nc_text_read(path, 1 << 20, &text, &size) != NC_OK)
        fail_msg("%s", nc_error_message());
    assert_int_equal(size, strlen(expected));
    assert_string_equal(text, expected);
    free(text);
}

static void refuses(const void *bytes, size_t size, const char *part)
{
    char *text;
    put(bytes, size);
    assert_int_equal(nc_text_read(path, 1 << 20, &text, &size), NC_BAD_INPUT);
    assert_null(text);
    if (!strstr(nc_error_message(), part) || !strstr(nc_error_message(), path))
        fail_msg("\"%s\" is not in: %s", part, nc_error_message());
}

static void lines_end_in_three_ways(void **state)
{
    (void)state;
    static const struct {
        const char *text, *lines;
    } cases[] = {
        {"", ""},
        {"a", "a|"},
        {"a\n", "a|"},
        {"a\r\nb\rc\n\nd", "a|b|c||d|"},
        {"\r\r\n\n", "|||"},
        {"a\r", "a|"},
        {"a\r\n", "a|"},
        {"\n\r", "||"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char found[64] = "", *copy = strdup(cases[i].text);
        struct nc_lines lines = nc_lines_of(copy, strlen(copy)), cut = lines;
        const char *line;
        size_t length, count = 0;
        while (nc_lines_next(&lines, &line, &length)) {
            strncat(found, line, length);
            strcat(found, "|");
            assert_int_equal(lines.number, ++count);
        }
        assert_string_equal(found, cases[i].lines);
        *found = 0;
        for (char *own; (own = nc_lines_cut(&cut, &length));) {
            assert_int_equal(strlen(own), length);
            strcat(strcat(found, own), "|");
        }
        assert_string_equal(found, cases[i].lines);
        free(copy);
    }
}

static void marks_are_no_text(void **state)
{
    (void)state;
    put("\xef\xbb\xbf" "a dog\n", 9);
    reads("a dog\n");
    put("", 0);
    reads("");
    put("\xef\xbb\xbf", 3);
    reads("");
    put("caf\xe9\n", 5); /* an older code is not refused here */
    reads("caf\xe9\n");
}

static void what_is_no_text_is_named(void **state)
{
    (void)state;
    refuses("\xff\xfe" "a\0", 4, "UTF-16 text, not text in UTF-8; convert it with `iconv -f UTF-16");
    refuses("a\0 \0d\0o\0g\0\n\0", 12, "UTF-16");
    refuses("one\ntwo\nth\0ree and more\n", 24, "zero byte at 10 (line 3)");
    refuses("version https://git-lfs.github.com/spec/v1\n", 43, "git lfs pull");
    refuses("<!DOCTYPE html><html></html>", 28, "an HTML page");
    refuses("\xff\xd8\xff\xe0", 4, "a JPEG picture");
    refuses("\1\2\3\4", 4, "does not know");
    char *text;
    size_t size;
    put("0123456789", 10);
    assert_int_equal(nc_text_read(path, 9, &text, &size), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "allowed"));
    refuses("\xfd" "7zXZ\0....", 10, "packed with xz, not with gzip or zstd");
    refuses("BZh91AY&SY...", 13, "bunzip2");
}

static size_t gzip(const char *text, uint8_t *out)
{
    z_stream stream = {0};
    assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, 0), Z_OK);
    stream.next_in = (Bytef *)text;
    stream.avail_in = (uInt)strlen(text);
    stream.next_out = out;
    stream.avail_out = 1000;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    deflateEnd(&stream);
    return stream.total_out;
}

static void gzip_in_all_its_forms(void **state)
{
    (void)state;
    uint8_t bytes[4096];
    size_t first = gzip("\xef\xbb\xbfone\n", bytes);
    put(bytes, first);
    reads("one\n");
    size_t both = first + gzip("two\n", bytes + first);
    put(bytes, both);
    reads("one\ntwo\n");
    memset(bytes + both, 0, 512); /* tapes were padded so */
    put(bytes, both + 512);
    reads("one\ntwo\n");
    memcpy(bytes + both, "garbage", 7);
    refuses(bytes, both + 7, "something that is not gzip stands behind its end");
    refuses(bytes, both - 1, "cut off");
    refuses(bytes, first + 3, "cut off");
    bytes[first - 6] ^= 1; /* the checksum */
    refuses(bytes, both, "damaged gzip data");
}

static void zstd_in_all_its_forms(void **state)
{
    (void)state;
    static const uint8_t skipped[] = {0x53, 0x2a, 0x4d, 0x18, 5, 0, 0, 0, 'h', 'e', 'l', 'l', 'o'};
    uint8_t bytes[4096];
    size_t used = sizeof skipped;
    memcpy(bytes, skipped, used);
    used += ZSTD_compress(bytes + used, 1000, "one\n", 4, 3);
    memcpy(bytes + used, skipped, sizeof skipped);
    used += sizeof skipped;
    used += ZSTD_compress(bytes + used, 1000, "two\n", 4, 3);
    put(bytes, used);
    reads("one\ntwo\n");
    memcpy(bytes + used, skipped, sizeof skipped);
    put(bytes, used + sizeof skipped);
    reads("one\ntwo\n");
    refuses(bytes, used + sizeof skipped - 1, "cut off");
    memcpy(bytes + used, "garbage", 7);
    refuses(bytes, used + 7, "something that is not zstd stands behind its end");
    refuses(bytes, used - 1, "cut off");
    put(skipped, sizeof skipped);
    reads("");
    /* A window of 2 GiB. */
    static const uint8_t large[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00};
    refuses(large, sizeof large, "unzstd --long=31");
}

/* Peeking takes nothing away. */
static void streams_are_peeked_at(void **state)
{
    (void)state;
    enum { SIZE = 300000 };
    char *bytes = malloc(SIZE), *back = malloc(SIZE + 1);
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (char)('a' + i * i % 23);
    put(bytes, SIZE);
    static const size_t skips[] = {0, 1, 1000, 1 << 16, 70000, 200000};
    for (size_t i = 0; i < sizeof skips / sizeof *skips; i++) {
        struct nc_byte_stream *stream;
        const void *head;
        size_t size, got;
        bool whole;
        assert_int_equal(nc_byte_stream_open(path, &stream), NC_OK);
        for (int again = 0; again < 2; again++) {
            assert_int_equal(nc_byte_stream_peek(stream, &head, &size, &whole), NC_OK);
            assert_true(size == 1 << 16 && !whole);
            assert_memory_equal(head, bytes, size);
        }
        assert_int_equal(nc_byte_stream_skip(stream, skips[i]), NC_OK);
        assert_int_equal(nc_byte_stream_read(stream, back, SIZE + 1, &got), NC_OK);
        assert_int_equal(got, SIZE - skips[i]);
        assert_memory_equal(back, bytes + skips[i], got);
        nc_byte_stream_close(stream);
    }
    free(bytes);
    free(back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_end_in_three_ways), cmocka_unit_test(marks_are_no_text),
        cmocka_unit_test(what_is_no_text_is_named), cmocka_unit_test(gzip_in_all_its_forms),
        cmocka_unit_test(zstd_in_all_its_forms),   cmocka_unit_test(streams_are_peeked_at),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
