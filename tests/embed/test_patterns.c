/* What --images may name: ranges, lists, wildcards, and what looks like them. */
#include "../host/embed/patterns.h"
#include "nclip/support/error.h"
#include "support/temporary_folder.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* The paths of a pattern with a blank between two. */
static void expands_to(const char *pattern, const char *wanted)
{
    struct embed_paths paths = {0};
    char joined[4096] = "";
    if (embed_expand(pattern, &paths) != NC_OK)
        fail_msg("%s: %s", pattern, nc_error_message());
    for (size_t i = 0; i < paths.count; i++) {
        assert_true(strlen(joined) + strlen(paths.items[i]) + 2 < sizeof joined);
        if (i)
            strcat(joined, " ");
        strcat(joined, paths.items[i]);
    }
    assert_string_equal(joined, wanted);
    embed_paths_free(&paths);
}

static void is_refused(const char *pattern, int status, const char *piece)
{
    struct embed_paths paths = {0};
    assert_int_equal(embed_expand(pattern, &paths), status);
    if (!strstr(nc_error_message(), piece))
        fail_msg("%s: no \"%s\" in: %s", pattern, piece, nc_error_message());
    embed_paths_free(&paths);
}

static void test_ranges(void **state)
{
    (void)state;
    expands_to("a", "a");
    expands_to("-", "-");
    expands_to("x/{0..3}.tar", "x/0.tar x/1.tar x/2.tar x/3.tar");
    expands_to("{3..1}", "3 2 1");
    expands_to("{7..7}", "7");
    expands_to("{8..11}", "8 9 10 11");
    expands_to("{08..11}", "08 09 10 11");
    expands_to("{8..011}", "008 009 010 011");
    expands_to("{00009..00011}.tar", "00009.tar 00010.tar 00011.tar");
    expands_to("{0..1}", "0 1");
    expands_to("{00..1}", "00 01");
}

static void test_several_braces(void **state)
{
    (void)state;
    expands_to("{0..1}/{a,b}.tar", "0/a.tar 0/b.tar 1/a.tar 1/b.tar");
    expands_to("{a,b}{1..2}", "a1 a2 b1 b2");
    expands_to("p{,q}", "p pq");
    expands_to("{a,}", "a ");
    expands_to("{0..1}{0..1}{0..1}", "000 001 010 011 100 101 110 111");
    expands_to("a}b", "a}b"); /* no brace is opened */
}

static void test_hostile_braces(void **state)
{
    (void)state;
    is_refused("{0..3", NC_USAGE, "is not closed");
    is_refused("{", NC_USAGE, "is not closed");
    is_refused("x{{0..1}}", NC_USAGE, "is not closed");
    is_refused("{a,{b,c}}", NC_USAGE, "is not closed");
    is_refused("{}", NC_USAGE, "neither a range");
    is_refused("{5}", NC_USAGE, "neither a range");
    is_refused("{..}", NC_USAGE, "neither a range");
    is_refused("{1..}", NC_USAGE, "neither a range");
    is_refused("{..2}", NC_USAGE, "neither a range");
    is_refused("{1...2}", NC_USAGE, "neither a range");
    is_refused("{1..2..3}", NC_USAGE, "neither a range");
    is_refused("{-1..2}", NC_USAGE, "neither a range");
    is_refused("{a..c}", NC_USAGE, "neither a range");
    is_refused("{0..99999999999999999999}", NC_USAGE, "neither a range"); /* more than 64 bits */
    is_refused("{0..999999999999999999}", NC_USAGE, "more than");
    is_refused("{0..10000000}", NC_USAGE, "more than");
    is_refused("{0..9999}{0..9999}{0..9999}{0..9999}", NC_USAGE, "more than");
}

static void touch(const char *folder, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
    assert_true(file >= 0);
    close(file);
}

static void test_wildcards(void **state)
{
    (void)state;
    char *folder = temporary_folder_create();
    const char *const names[] = {"b.tar", "a.tar", "c.txt", "{0..3}", "[x].tar", "d{.tar"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        touch(folder, names[i]);
    assert_int_equal(chdir(folder), 0);
    expands_to("?.tar", "a.tar b.tar");
    expands_to("*.tar", "[x].tar a.tar b.tar d{.tar");
    expands_to("{a,c}.t*", "a.tar c.txt");
    expands_to("[ab].tar", "a.tar b.tar");
    /* What is there means itself. */
    expands_to("{0..3}", "{0..3}");
    expands_to("[x].tar", "[x].tar");
    expands_to("d{.tar", "d{.tar");
    is_refused("*.zip", NC_BAD_INPUT, "matches no file");
    is_refused("{a,z}*.zip", NC_BAD_INPUT, "a*.zip: matches no file");
    assert_int_equal(chdir("/"), 0);
    temporary_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_several_braces),
        cmocka_unit_test(test_hostile_braces),
        cmocka_unit_test(test_wildcards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
