/* Command lines: what they set, what they refuse, and the help. */
#include "../support/temporary_folder.h"

#include "nclip/cli/command.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/nearest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char *model, *device;
static bool json;
static size_t batch;
static double rate;
static struct nc_string_list set;

static const char *const devices[] = {"cpu", "cuda", NULL};
static const struct nc_option options[] = {
    {"--model", "DIR", "folder of the model", NC_OPTION_STRING, &model, .required = true},
    {"--device", "NAME", "where to compute (default: cpu)", NC_OPTION_STRING, &device,
     .choices = devices},
    {"--json", NULL, "print one JSON object", NC_OPTION_FLAG, &json},
    {"--batch-size", "N", "captions computed at once (default: all)", NC_OPTION_SIZE, &batch},
    {"--rate", "X", "how fast", NC_OPTION_NUMBER, &rate},
    {"--set", "KEY=VALUE", "change a key of the config", NC_OPTION_LIST, &set},
    {0},
};
static const struct nc_help help = {
    .usage = "nclip try --model DIR [FILE [FILE]]",
    .purpose = "Tries the parser with a paragraph that is longer than one line of a terminal, so "
               "that it must be wrapped somewhere.\n\nA second paragraph.",
    .examples = "nclip try --model clip a.txt\nnclip try --model clip -",
    .positional_least = 0,
    .positional_most = 2,
};

static struct nc_arguments arguments;

static int parse(const char *const *words)
{
    char *argv[16] = {(char *)"try"};
    int argc = 1;
    for (; words[argc - 1]; argc++)
        argv[argc] = (char *)words[argc - 1];
    model = "unset";
    device = "cpu";
    json = false;
    batch = 7;
    rate = 0.5;
    nc_error(NC_OK, "%s", "");
    return nc_options_parse(&help, options, argc, argv, &arguments);
}

#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

static void refuse(int status, const char *part)
{
    assert_int_equal(status, NC_USAGE);
    if (!strstr(nc_error_message(), part))
        fail_msg("\"%s\" is not in: %s", part, nc_error_message());
    assert_null(strchr(nc_error_message(), '\n'));
    assert_null(arguments.positional);
    assert_null(set.items);
    nc_arguments_free(&arguments, options); /* harmless */
}

static void reads_all_kinds(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--model", "clip", "a", "--json", "--batch-size=12", "--rate", "-1e-3",
                           "--set", "x=1", "-", "--set=y=2", "--device=cuda"),
                     NC_OK);
    assert_string_equal(model, "clip");
    assert_string_equal(device, "cuda");
    assert_true(json);
    assert_int_equal(batch, 12);
    assert_true(rate == -1e-3);
    assert_int_equal(set.count, 2);
    assert_string_equal(set.items[0], "x=1");
    assert_string_equal(set.items[1], "y=2");
    assert_int_equal(arguments.positional_count, 2);
    assert_string_equal(arguments.positional[0], "a");
    assert_string_equal(arguments.positional[1], "-");
    assert_false(arguments.help_shown);
    nc_arguments_free(&arguments, options);
    assert_null(set.items);
    assert_int_equal(set.count, 0);
}

static void defaults_stay(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--model=m"), NC_OK);
    assert_string_equal(device, "cpu");
    assert_false(json);
    assert_int_equal(batch, 7);
    assert_true(rate == 0.5);
    assert_int_equal(arguments.positional_count, 0);
    nc_arguments_free(&arguments, options);
}

static void last_one_counts(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--model=a", "--model", "b"), NC_OK);
    assert_string_equal(model, "b");
    nc_arguments_free(&arguments, options);
}

static void two_dashes_end_the_options(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--model=", "--", "--json", "--help"), NC_OK);
    assert_string_equal(model, "");
    assert_false(json);
    assert_int_equal(arguments.positional_count, 2);
    assert_string_equal(arguments.positional[0], "--json");
    nc_arguments_free(&arguments, options);
    assert_int_equal(PARSE("--model=--json"), NC_OK);
    assert_string_equal(model, "--json");
    assert_false(json);
    nc_arguments_free(&arguments, options);
}

static void errors_teach(void **state)
{
    (void)state;
    refuse(PARSE("a"), "try needs --model DIR: see `nclip try --help`");
    refuse(PARSE("--modle", "x"), "no option --modle: did you mean --model?");
    refuse(PARSE("--modle=x"), "no option --modle: did you mean --model?");
    refuse(PARSE("--quantize"), "no option --quantize: `nclip try --help` lists them");
    refuse(PARSE("-x"), "no option -x");
    refuse(PARSE("--model"), "--model needs a value: --model DIR");
    refuse(PARSE("--set", "a=b", "--model", "--json"), "--model needs a value");
    refuse(PARSE("--model=m", "--json=yes"), "--json takes no value");
    refuse(PARSE("--model=m", "--device", "tpu"), "--device takes cpu or cuda, not \"tpu\"");
    refuse(PARSE("--model=m", "--device", "cdua"), "did you mean cuda?");
    refuse(PARSE("--model=m", "--set=a", "x", "y", "z"), "does not expect \"z\"");
    static const char *const sizes[] = {"-1", "", " 1", "+1", "1.5", "1e3", "0x10", "12 ", "x"};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        refuse(PARSE("--model=m", "--batch-size", sizes[i]), "--batch-size takes a whole number");
    refuse(PARSE("--model=m", "--batch-size=99999999999999999999"), "too large");
    static const char *const numbers[] = {"", "x", "1x", "nan", "inf", "1e999"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        refuse(PARSE("--model=m", "--rate", numbers[i]), "--rate takes a number");
}

static void too_few_positionals(void **state)
{
    (void)state;
    struct nc_help strict = help;
    strict.positional_least = strict.positional_most = 1;
    char *argv[] = {(char *)"try", (char *)"--model=m", NULL};
    refuse(nc_options_parse(&strict, options, 2, argv, &arguments), "needs an argument");
}

/* The help goes to stdout, and nothing else is looked at. */
static void help_is_made_from_the_table(void **state)
{
    (void)state;
    char *folder = temporary_folder_create(), *file = nc_path_join(folder, "help");
    int saved = dup(STDOUT_FILENO);
    fflush(stdout);
    assert_non_null(freopen(file, "w", stdout));
    int status = PARSE("--bogus", "--help");
    bool shown = arguments.help_shown;
    fflush(stdout);
    assert_true(dup2(saved, STDOUT_FILENO) >= 0);
    close(saved);
    assert_int_equal(status, NC_OK);
    assert_true(shown);
    nc_arguments_free(&arguments, options);

    char *text;
    size_t size;
    assert_int_equal(nc_file_read(file, 1 << 16, &text, &size), NC_OK);
    assert_string_equal(
        text, "Usage: nclip try --model DIR [FILE [FILE]]\n"
              "\n"
              "Tries the parser with a paragraph that is longer than one line of a terminal, so\n"
              "that it must be wrapped somewhere.\n"
              "\n"
              "A second paragraph.\n"
              "\n"
              "Options:\n"
              "  --model DIR           folder of the model (required)\n"
              "  --device NAME         where to compute (default: cpu) [cpu, cuda]\n"
              "  --json                print one JSON object\n"
              "  --batch-size N        captions computed at once (default: all)\n"
              "  --rate X              how fast\n"
              "  --set KEY=VALUE       change a key of the config (may be given several times)\n"
              "  --help                show this\n"
              "\n"
              "Examples:\n"
              "  nclip try --model clip a.txt\n"
              "  nclip try --model clip -\n");
    free(text);
    free(file);
    temporary_folder_remove(folder);
}

static void nearest_names(void **state)
{
    (void)state;
    static const char *const names[] = {"train", "tokenize", "evaluate", "report"};
    assert_int_equal(nc_edit_distance("", ""), 0);
    assert_int_equal(nc_edit_distance("abc", ""), 3);
    assert_int_equal(nc_edit_distance("kitten", "sitting"), 3);
    assert_int_equal(nc_edit_distance("trian", "train"), 1);
    assert_int_equal(nc_edit_distance("Train", "train"), 0);
    assert_string_equal(nc_nearest("trian", names, 4), "train");
    assert_string_equal(nc_nearest("tokenise", names, 4), "tokenize");
    assert_string_equal(nc_nearest("eval", names, 4), "evaluate");
    static const char *const alike[] = {"--captions", "--captured"};
    assert_null(nc_nearest("--capt", alike, 2)); /* could be either */
    assert_null(nc_nearest("x", names, 4));
    assert_null(nc_nearest("", names, 4));
    char longer[200];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    assert_int_equal(nc_edit_distance(longer, "a"), 62);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_all_kinds),
        cmocka_unit_test(defaults_stay),
        cmocka_unit_test(last_one_counts),
        cmocka_unit_test(two_dashes_end_the_options),
        cmocka_unit_test(errors_teach),
        cmocka_unit_test(too_few_positionals),
        cmocka_unit_test(help_is_made_from_the_table),
        cmocka_unit_test(nearest_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
