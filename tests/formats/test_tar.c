/* Members of tars as tar, Python and webdataset write them, and tars that break off. */
#include "nclip/formats/tar.h"

#include "../support/temporary_folder.h"
#include "nclip/support/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { BLOCK = NC_TAR_BLOCK };

static char *folder, *path;
static struct {
    uint8_t bytes[64 * BLOCK];
    size_t size;
} tar;

static int make_folder(void **state)
{
    (void)state;
    folder = temporary_folder_create();
    path = nc_path_join(folder, "a.tar");
    return path ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    temporary_folder_remove(folder);
    free(path);
    return 0;
}

static void seal(uint8_t *header)
{
    unsigned sum = 0;
    memset(header + 148, ' ', 8);
    for (size_t i = 0; i < BLOCK; i++)
        sum += header[i];
    snprintf((char *)header + 148, 8, "%06o", sum);
}

static uint8_t *add(const char *name, char type, const char *content, const char *link)
{
    size_t length = strlen(content), blocks = (length + BLOCK - 1) / BLOCK;
    uint8_t *header = tar.bytes + tar.size;
    memset(header, 0, (1 + blocks) * BLOCK);
    snprintf((char *)header, 100, "%s", name);
    snprintf((char *)header + 124, 12, "%011o", (unsigned)length);
    header[156] = (uint8_t)type;
    snprintf((char *)header + 157, 100, "%s", link);
    memcpy(header + 257, "ustar\00000", 8);
    seal(header);
    memcpy(header + BLOCK, content, length);
    tar.size += (1 + blocks) * BLOCK;
    return header;
}

static void add_zeros(size_t size)
{
    memset(tar.bytes + tar.size, 0, size);
    tar.size += size;
}

/* Each member as "type name link content;". */
static int walk(char out[1024])
{
    struct nc_byte_stream *stream;
    struct nc_tar *members = NULL;
    struct nc_tar_member member;
    bool more = true;
    *out = 0;
    assert_int_equal(nc_file_write(path, tar.bytes, tar.size), NC_OK);
    assert_int_equal(nc_byte_stream_open(path, &stream), NC_OK);
    assert_int_equal(nc_tar_open(stream, &members), NC_OK);
    int status = nc_tar_next(members, &member, &more);
    for (int i = 0; status == NC_OK && more; i++) {
        char content[64] = "";
        if (member.size && member.size < sizeof content && i % 2 == 0) /* every other one */
            status = nc_tar_read(members, content, (size_t)member.size);
        assert_int_equal(member.content % BLOCK, 0);
        out += sprintf(out, "%d %s %s %s;", member.type, member.name, member.link, content);
        if (status == NC_OK)
            status = nc_tar_next(members, &member, &more);
    }
    nc_tar_close(members);
    nc_byte_stream_close(stream);
    return status;
}

static void holds(const char *expected)
{
    char found[1024];
    if (walk(found) != NC_OK)
        fail_msg("%s", nc_error_message());
    assert_string_equal(found, expected);
}

static void refuses(const char *part)
{
    char found[1024];
    assert_int_equal(walk(found), NC_BAD_INPUT);
    if (!strstr(nc_error_message(), part) || !strstr(nc_error_message(), path))
        fail_msg("\"%s\" is not in: %s", part, nc_error_message());
}

static void members_and_links(void **state)
{
    (void)state;
    tar.size = 0;
    add("./d/", '5', "", "");
    add("./d/a.txt", '0', "first", "");
    add("d/b.txt", '1', "", "d/a.txt");
    add("d/c.txt", '2', "", "a.txt");
    add("@LongLink", 'K', "a/long/target", "");
    add("@LongLink", 'L', "a/long/name", "");
    add("short", '2', "", "cut");
    add("pax", 'x', "20 linkpath=x/y.txt\n16 path=z/w.txt\n", "");
    add("short", '1', "", "cut");
    add_zeros(2 * BLOCK);
    holds("4 d/  ;0 d/a.txt  ;1 d/b.txt d/a.txt ;2 d/c.txt a.txt ;2 a/long/name a/long/target ;"
          "1 z/w.txt x/y.txt ;");
}

static void sparse_members_are_known(void **state)
{
    (void)state;
    tar.size = 0;
    /* GNU's own: a header more for each mark, then the parts that are no holes. */
    uint8_t *header = add("gnu.jpg", 'S', "part", "");
    memmove(header + 2 * BLOCK, header + BLOCK, BLOCK);
    memset(header + BLOCK, 0, BLOCK);
    tar.size += BLOCK;
    header[482] = 1;
    seal(header);
    /* POSIX, as `tar -S --format=posix` writes it: "path" is made up. */
    add("pax", 'x',
        "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n29 GNU.sparse.name=pax/s.jpg\n"
        "30 GNU.sparse.realsize=200000\n",
        "");
    add("GNUSparseFile.1/s.jpg", '0', "1\n0\n4\npart", "");
    /* The older POSIX one keeps the true path. */
    add("pax", 'x', "24 GNU.sparse.size=1000\n26 GNU.sparse.numblocks=1\n16 path=old.jpg\n", "");
    add("x", '0', "part", "");
    add("whole.jpg", '0', "whole", "");
    add_zeros(2 * BLOCK);
    char found[1024];
    if (walk(found) != NC_OK)
        fail_msg("%s", nc_error_message());
    assert_non_null(strstr(found, "3 gnu.jpg"));
    assert_non_null(strstr(found, "3 pax/s.jpg"));
    assert_non_null(strstr(found, "3 old.jpg"));
    assert_non_null(strstr(found, "0 whole.jpg"));
    struct nc_tar_member member = {.name = "a.jpg", .header = 512};
    assert_int_equal(nc_tar_refuse_sparse("p.tar", &member), NC_BAD_INPUT);
    assert_string_equal(nc_error_message(), "p.tar: a.jpg at byte 512 is a sparse member, which is "
                                            "not read: pack the tar anew without --sparse (-S)");
}

static void ends_are_checked(void **state)
{
    (void)state;
    tar.size = 0;
    add("a.txt", '0', "first", "");
    add("b.txt", '0', "second", "");
    refuses("breaks off at byte 2048, without the zeros that end one");
    add_zeros(BLOCK);
    holds("0 a.txt  first;0 b.txt  ;"); /* one block of zeros is enough */
    add_zeros(BLOCK + 100);
    holds("0 a.txt  first;0 b.txt  ;");
    /* cat a.tar b.tar */
    tar.size = 4 * BLOCK + 20 * BLOCK;
    memset(tar.bytes + 4 * BLOCK, 0, 20 * BLOCK);
    add("c.txt", '0', "third", "");
    refuses("breaks off");
    add_zeros(2 * BLOCK);
    holds("0 a.txt  first;0 b.txt  ;0 c.txt  third;");
    tar.bytes[tar.size] = 'x';
    tar.size += BLOCK;
    refuses("something that is no tar stands behind its end");
    tar.size = 3 * BLOCK + 5;
    refuses("a member longer than the file at byte 1024");
    tar.size = 3 * BLOCK - 1;
    refuses("it ends in the middle of a header at byte 1024");
}

static void samples_have_small_suffixes(void **state)
{
    (void)state;
    static const struct {
        const char *name, *key, *suffix;
    } cases[] = {
        {"0.JPG", "0", "jpg"},         {"a.b/0.Txt", "a.b/0", "txt"},
        {"0.seg.PNG", "0", "seg.png"}, {"x/y.averyveryverylongsuffix", "x/y", "averyveryverylo"},
        {"noending", NULL, ""},        {"d/.hidden.txt", NULL, ""},
        {"d/", NULL, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t key;
        char suffix[NC_TAR_SUFFIX];
        bool sample = nc_tar_sample(cases[i].name, &key, suffix);
        assert_int_equal(sample, cases[i].key != NULL);
        if (!sample)
            continue;
        assert_int_equal(key, strlen(cases[i].key));
        assert_string_equal(suffix, cases[i].suffix);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_and_links),
        cmocka_unit_test(sparse_members_are_known),
        cmocka_unit_test(ends_are_checked),
        cmocka_unit_test(samples_have_small_suffixes),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
