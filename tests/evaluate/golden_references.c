/* Every benchmark against its own evaluation, on the small data of references/ with the quick
 * start's model: the same choice for each item, the same score, the same parts.
 * Values: make_references_golden.py (PyTorch, transformers, clip_benchmark, scikit-learn). */
#include "../support/temporary_folder.h"
#include "nclip/evaluate/evaluate.h"
#include "nclip/formats/json.h"
#include "nclip/support/error.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FOLDER "evaluate/references/"
#define MODEL "../configs/quickstart/model"

static void check(int status)
{
    if (status != NC_OK)
        fail_msg("%s", nc_error_message());
}

/* "annotations": "valse" as a path below FOLDER; NULL when the case has none. */
static char *path_of(const cJSON *expected, const char *key)
{
    const char *name = NULL;
    check(nc_json_optional_string("expected.json", expected, key, &name));
    return name ? nc_path_join(FOLDER, name) : NULL;
}

static void check_choices(const char *path, const cJSON *expected)
{
    char *text, *line, *rest;
    size_t size, index = 0;
    check(nc_file_read(path, 1 << 24, &text, &size));
    const cJSON *choice = cJSON_GetObjectItem(expected, "choices")->child, *scores;
    const cJSON *best = cJSON_GetObjectItem(expected, "best");
    best = best ? best->child : NULL;
    for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest), index++) {
        cJSON *item;
        size_t chosen, number;
        check(nc_json_parse("an item", line, strlen(line), &item));
        check(nc_json_size("an item", item, "choice", &chosen));
        check(nc_json_size("an item", item, "index", &number));
        check(nc_json_array("an item", item, "scores", &scores));
        if (best && fabs(scores->child->valuedouble - best->valuedouble) > 1e-5)
            fail_msg("item %zu: score %.7f, expected %.7f", number, scores->child->valuedouble,
                     best->valuedouble);
        best = best ? best->next : NULL;
        cJSON_Delete(item);
        assert_non_null(choice);
        if (number != index || chosen != (size_t)choice->valuedouble)
            fail_msg("item %zu (line %zu): choice %zu, expected %g", number, index, chosen,
                     choice->valuedouble);
        choice = choice->next;
    }
    assert_null(choice);
    free(text);
}

static void check_scores(const struct nc_result *result, const cJSON *expected)
{
    double score = cJSON_GetObjectItem(expected, "score")->valuedouble;
    if (fabs(result->score.score - score) > 1e-6) /* recalls are means in fp32 there */
        fail_msg("score %.9f, expected %.9f", result->score.score, score);
    assert_true(result->score.low <= score + 1e-6 && result->score.high >= score - 1e-6);
    const cJSON *part;
    cJSON_ArrayForEach(part, cJSON_GetObjectItem(expected, "parts"))
    {
        const struct nc_share *share = NULL;
        for (size_t i = 0; i < result->part_count; i++)
            if (strcmp(result->parts[i].name, part->string) == 0)
                share = &result->parts[i].share;
        if (!share || fabs(share->score - part->valuedouble) > 1e-6)
            fail_msg("%s: %.9f, expected %.9f", part->string, share ? share->score : NAN,
                     part->valuedouble);
    }
}

static void check_case(struct nc_evaluator *evaluator, const char *folder, const cJSON *expected)
{
    const char *name, *kind;
    const struct nc_benchmark *benchmark;
    struct nc_result result;
    check(nc_json_string("expected.json", expected, "name", &name));
    check(nc_json_string("expected.json", expected, "benchmark", &kind));
    print_message("%s\n", name);
    char *annotations = path_of(expected, "annotations"), *images = path_of(expected, "images");
    char *templates = path_of(expected, "templates"), *prompts = path_of(expected, "prompts");
    char *items = nc_path_join(folder, name);
    struct nc_request request = {
        .annotations = annotations, .images = images, .templates = templates, .prompts = prompts};
    check(nc_benchmark_find(kind, &benchmark));
    check(nc_writer_create(items, &request.items));
    check(nc_benchmark_run(benchmark, evaluator, &request, &result));
    check(nc_writer_commit(request.items));
    check_choices(items, expected);
    check_scores(&result, expected);
    nc_result_free(&result);
    free(annotations);
    free(images);
    free(templates);
    free(prompts);
    free(items);
}

static void same_as_the_references(void **state)
{
    (void)state;
    cJSON *root;
    const cJSON *expected;
    struct nc_evaluator *evaluator;
    struct nc_evaluator_options options = {.model = MODEL, .device = "cpu"};
    char *folder = temporary_folder_create();
    size_t cases = 0;
    check(nc_json_load(FOLDER "expected.json", &root));
    check(nc_evaluator_open(&options, &evaluator));
    cJSON_ArrayForEach(expected, root)
    {
        check_case(evaluator, folder, expected);
        cases++;
    }
    assert_int_equal(cases, 10);
    nc_evaluator_close(evaluator);
    cJSON_Delete(root);
    temporary_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_as_the_references)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
