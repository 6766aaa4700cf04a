/* A run's page, and its scores before and after training. */
#include "../support/temporary_folder.h"
#include "nclip/evaluate/report.h"
#include "nclip/formats/json.h"
#include "nclip/support/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct files {
    char *folder, *items, *before, *after, *out;
};

static const char item_text[] =
    "[{\"phrase\": \"not <a> cat\", \"images\": [\"a.png\", \"b.png\"], \"answer\": 1,"
    "  \"group\": \"negation\"},"
    " {\"phrase\": \"a cat\", \"images\": [\"a.png\", \"b.png\"], \"answer\": 0, \"group\": "
    "\"plain\"},"
    " {\"phrase\": \"no cat\", \"images\": [\"a.png\", \"b.png\"], \"answer\": 1,"
    "  \"group\": \"negation/held-out\"},"
    " {\"image\": \"a.png\", \"phrases\": [\"no cat\", \"a cat\", \"two cats\"], \"answer\": 1}]";

static char *put(const char *folder, const char *name, const char *text)
{
    char *path = nc_path_join(folder, name);
    assert_non_null(path);
    if (nc_file_write(path, text, strlen(text)) != NC_OK)
        fail_msg("%s", nc_error_message());
    return path;
}

static int setup(void **state)
{
    struct files *files = calloc(1, sizeof *files);
    files->folder = temporary_folder_create();
    files->items = put(files->folder, "items.json", item_text);
    files->before = put(files->folder, "before.jsonl",
                        "{\"index\": 0, \"choice\": 0, \"scores\": [1, 0]}\n"
                        "{\"index\": 1, \"choice\": 0, \"scores\": [1, 0]}\n"
                        "{\"index\": 2, \"choice\": 0, \"scores\": [1, 0]}\n"
                        "{\"index\": 3, \"choice\": 2, \"scores\": [0, 0, 1]}\n");
    files->after = put(files->folder, "after.jsonl",
                       "{\"index\": 3, \"choice\": 1, \"scores\": [0, 1, 0]}\n\n"
                       "{\"index\": 2, \"choice\": 0, \"scores\": [1, 0]}\n"
                       "{\"index\": 1, \"choice\": 0, \"scores\": [1, 0]}\n"
                       "{\"index\": 0, \"choice\": 1, \"scores\": [0, 1]}");
    files->out = nc_path_join(files->folder, "out");
    *state = files;
    return 0;
}

static int teardown(void **state)
{
    struct files *files = *state;
    temporary_folder_remove(files->folder);
    free(files->items);
    free(files->before);
    free(files->after);
    free(files->out);
    free(files);
    return 0;
}

static void counts_by_group(void **state)
{
    struct files *files = *state;
    struct nc_report_scores scores;
    if (nc_report_scores_load(files->items, files->before, files->after, &scores) != NC_OK)
        fail_msg("%s", nc_error_message());
    static const struct nc_report_group expected[] = {
        {"", "", 1, 0, 1},
        {"negation", "", 2, 0, 1},
        {"negation", "rest", 1, 0, 1},
        {"negation", "held-out", 1, 0, 0},
        {"plain", "", 1, 1, 1},
    };
    assert_int_equal(scores.group_count, sizeof expected / sizeof *expected);
    for (size_t i = 0; i < scores.group_count; i++) {
        assert_string_equal(scores.groups[i].name, expected[i].name);
        assert_string_equal(scores.groups[i].part, expected[i].part);
        assert_int_equal(scores.groups[i].items, expected[i].items);
        assert_int_equal(scores.groups[i].before, expected[i].before);
        assert_int_equal(scores.groups[i].after, expected[i].after);
    }

    cJSON *root;
    double value;
    const cJSON *parts, *part;
    assert_int_equal(nc_report_scores_write(&scores, 12.5, files->out), NC_OK);
    assert_int_equal(nc_json_load(files->out, &root), NC_OK);
    assert_int_equal(nc_json_number("result", root, "negation_before", &value), NC_OK);
    assert_true(value == 0);
    assert_int_equal(nc_json_number("result", root, "negation_after", &value), NC_OK);
    assert_true(value == 0.5);
    assert_int_equal(nc_json_number("result", root, "all_after", &value), NC_OK);
    assert_true(value == 1);
    assert_int_equal(nc_json_number("result", root, "seconds", &value), NC_OK);
    assert_true(value == 12.5);
    assert_int_equal(nc_json_object("result", root, "groups", &parts), NC_OK);
    assert_int_equal(nc_json_object("groups", parts, "negation/held-out", &part), NC_OK);
    assert_int_equal(nc_json_number("part", part, "after", &value), NC_OK);
    assert_true(value == 0);
    cJSON_Delete(root);
    nc_report_scores_free(&scores);
}

static void refuses_answers_to_other_items(void **state)
{
    struct files *files = *state;
    static const char *const wrong[][2] = {
        {"{\"index\": 0, \"choice\": 0}\n", "answers 1 of the 4 items"},
        {"{\"index\": 0, \"choice\": 0}\n{\"index\": 0, \"choice\": 0}\n", "line 2"},
        {"{\"index\": 4, \"choice\": 0}\n", "line 1"},
        {"{\"index\": 0, \"choice\": 2}\n", "line 1"},
        {"\n{\"index\": 0}\n", "line 2"},
        {"{\"index\"", "line 1"},
        {"", "answers 0"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct nc_report_scores scores;
        char *path = put(files->folder, "wrong.jsonl", wrong[i][0]);
        assert_int_equal(nc_report_scores_load(files->items, files->before, path, &scores),
                         NC_BAD_INPUT);
        if (!strstr(nc_error_message(), "wrong.jsonl") || !strstr(nc_error_message(), wrong[i][1]))
            fail_msg("\"%s\" is not in: %s", wrong[i][1], nc_error_message());
        assert_null(scores.groups);
        free(path);
    }
}

static char *write_page(const struct files *files, const struct nc_report_scores *scores,
                        const char *metrics)
{
    char *text = NULL, *path = put(files->folder, "metrics.jsonl", metrics);
    size_t size;
    struct nc_report_options options = {
        .run = files->folder, .images = files->folder, .title = "a < b", .seconds = 3};
    if (nc_report_write(&options, scores, files->out) != NC_OK ||
        nc_file_read(files->out, 1 << 20, &text, &size) != NC_OK)
        fail_msg("%s", nc_error_message());
    free(path);
    return text;
}

static void has_everything_in_it(void **state)
{
    struct files *files = *state;
    struct nc_report_scores scores;
    assert_int_equal(nc_report_scores_load(files->items, files->before, files->after, &scores),
                     NC_OK);
    /* What base64 does with one, two and three bytes at the end is in RFC 4648. */
    free(put(files->folder, "a.png", "foobar"));
    char *page = write_page(files, &scores,
                            "{\"step\": 1, \"epoch\": 0.5, \"loss\": 3.5, \"logit_scale\": 2.6}\n"
                            "{\"step\": 2, \"epoch\": 1, \"loss\": 2.5}\n"
                            "{\"step\": 2, \"epoch\": 1, \"validation_loss\": 2.75}\n"
                            "{\"step\": 3, \"lo");
    assert_non_null(strstr(page, "<title>a &lt; b</title>"));
    assert_non_null(strstr(page, "not &lt;a&gt; cat"));
    assert_null(strstr(page, "<a>"));
    assert_non_null(strstr(page, "src=\"data:image/png;base64,Zm9vYmFy\""));
    assert_non_null(strstr(page, "missing")); /* b.png */
    assert_non_null(strstr(page, "2 steps"));
    assert_non_null(strstr(page, "from 2.7500 to 2.7500"));
    assert_null(strstr(page, "nan"));
    assert_null(strstr(page, "inf"));
    free(page);

    static const char *const contents[][2] = {{"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}};
    for (size_t i = 0; i < 2; i++) {
        free(put(files->folder, "a.png", contents[i][0]));
        page = write_page(files, &scores, "");
        assert_non_null(strstr(page, contents[i][1]));
        assert_non_null(strstr(page, "No step was taken"));
        free(page);
    }
    nc_report_scores_free(&scores);
}

static void draws_without_scores(void **state)
{
    struct files *files = *state;
    char *page = write_page(files, NULL, "{\"step\": 1, \"loss\": 2}\n");
    assert_non_null(strstr(page, "<svg"));
    assert_null(strstr(page, "Examples"));
    assert_null(strstr(page, "nan"));
    free(page);
}

static void names_a_wrong_line(void **state)
{
    struct files *files = *state;
    struct nc_report_options options = {.run = files->folder, .title = "", .seconds = -1};
    char *path =
        put(files->folder, "metrics.jsonl", "{\"step\": 1, \"loss\": 2}\n{\"step\": \"x\"}\n");
    assert_int_equal(nc_report_write(&options, NULL, files->out), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "metrics.jsonl line 2"));
    assert_false(nc_file_exists(files->out));
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(counts_by_group, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_answers_to_other_items, setup, teardown),
        cmocka_unit_test_setup_teardown(has_everything_in_it, setup, teardown),
        cmocka_unit_test_setup_teardown(draws_without_scores, setup, teardown),
        cmocka_unit_test_setup_teardown(names_a_wrong_line, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
