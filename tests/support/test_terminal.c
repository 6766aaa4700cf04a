/* Control characters on their way to a terminal. */
#include "nclip/support/terminal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *text, *kept, *tamed;
} cases[] = {
    {"", "", ""},
    {"a street with no cars", "", "a street with no cars"},
    {"\x1b[31mred\x07\x7f", "", "?[31mred??"},
    {"two\r\nlines\tand\vmore\f", "", "two  lines and more "},
    {"two\r\nlines\tand\x01", "\n\t", "two \nlines\tand?"},
    {"caf\xc3\xa9 \xe2\x80\x9cno\xe2\x80\x9d \xc2\xa0", "", "caf\xc3\xa9 \xe2\x80\x9cno\xe2\x80\x9d \xc2\xa0"},
    {"\xc2\x9b" "31mred\xc2\x80", "\n", "?31mred?"}, /* U+009B is an escape and a bracket in one */
    {"cut \xc2", "", "cut \xc2"},
};

static void tames(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = strdup(cases[i].text), *printed = NULL;
        size_t size;
        nc_terminal_tame(text, cases[i].kept);
        assert_string_equal(text, cases[i].tamed);
        free(text);
        FILE *out = open_memstream(&printed, &size);
        nc_terminal_print(out, cases[i].text);
        fclose(out);
        if (!*cases[i].kept)
            assert_string_equal(printed, cases[i].tamed);
        assert_null(strpbrk(printed, "\x1b\x07\r\n"));
        free(printed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tames)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
