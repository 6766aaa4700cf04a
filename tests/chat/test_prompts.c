/* Prompts from files: settings, slots and variants, and files that are refused. */
#include "../support/temporary_folder.h"
#include "nclip/chat/prompts.h"
#include "nclip/support/error.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void write_prompt(const char *folder, const char *name, const char *text)
{
    char *path = nc_path_join(folder, name);
    assert_int_equal(nc_file_write(path, text, strlen(text)), NC_OK);
    free(path);
}

static void test_built_in(void **context)
{
    (void)context;
    struct nc_prompts prompts;
    if (nc_prompts_load(NULL, &prompts) != NC_OK)
        fail_msg("%s", nc_error_message());
    const struct nc_prompt *check = nc_prompts_choose(&prompts, "check", NULL, 0, 5);
    assert_string_equal(check->name, "check");
    assert_true(check->temperature == 0);
    assert_int_equal(check->most_tokens, 10);
    assert_int_equal(strlen(check->hash), 16);
    static const char *const paper[] = {"paper"}, *const missing[] = {"missing"};
    const struct nc_prompt *rewrite = nc_prompts_choose(&prompts, "rewrite", paper, 1, 99);
    assert_string_equal(rewrite->name, "rewrite-paper");
    assert_true(isnan(rewrite->temperature));
    assert_int_equal(rewrite->message_count, 6);
    assert_null(nc_prompts_choose(&prompts, "rewrite", missing, 1, 0));

    /* Every variant is chosen, by its weight. */
    size_t paper_chosen = 0, others = 0;
    for (uint64_t chance = 0; chance < 900; chance++) {
        const struct nc_prompt *chosen = nc_prompts_choose(&prompts, "rewrite", NULL, 0, chance);
        assert_non_null(chosen);
        paper_chosen += chosen == rewrite;
        others += strcmp(chosen->name, "rewrite-lacks") == 0;
    }
    assert_int_equal(paper_chosen, 300);
    assert_int_equal(others, 100);

    /* What stands in a caption is never read as a slot; its full stop goes. */
    struct nc_chat_message *messages =
        nc_prompt_fill(rewrite, &(struct nc_prompt_slots){.caption = "a {object} 'quoted'. ",
                                                          .object = "h{caption}t"});
    assert_string_equal(messages[5].text,
                        "Add the absence of the h{caption}t to the caption 'a {object} 'quoted''.");
    assert_string_equal(messages[0].role, "system");
    assert_string_equal(messages[2].text, "a woman not wearing a hat riding a horse in a field");
    free(messages);
    nc_prompts_free(&prompts);
}

static void test_folder(void **context)
{
    (void)context;
    char *folder = temporary_folder_create();
    struct nc_prompts prompts;
    write_prompt(folder, "rewrite-mine.txt",
                 "# comment\r\n\r\ntemperature: 1.5\ntop_p: 0.5\nmost_tokens: 9\none_line: 1\n"
                 "weight: 2\n[user]\n\nFirst {caption}\n\nthen {object}.  \n\n[assistant]\nyes\n"
                 "[user]\n{object} { } {not a slot} {}\n\n");
    write_prompt(folder, "notes.md", "no prompt");
    if (nc_prompts_load(folder, &prompts) != NC_OK)
        fail_msg("%s", nc_error_message());
    const struct nc_prompt *rewrite = nc_prompts_choose(&prompts, "rewrite", NULL, 0, 0);
    assert_string_equal(rewrite->name, "rewrite-mine");
    for (uint64_t i = 0; i < 50; i++) /* the built-in variants are gone, the others are not */
        assert_ptr_equal(nc_prompts_choose(&prompts, "rewrite", NULL, 0, i), rewrite);
    assert_non_null(nc_prompts_choose(&prompts, "object", NULL, 0, 0));
    assert_true(rewrite->temperature == 1.5 && rewrite->top_p == 0.5 && rewrite->one_line);
    assert_int_equal(rewrite->most_tokens, 9);
    assert_int_equal(rewrite->message_count, 3);
    assert_string_equal(rewrite->messages[0].text, "First {caption}\n\nthen {object}.");
    assert_string_equal(rewrite->messages[2].text, "{object} { } {not a slot} {}");
    nc_prompts_free(&prompts);

    /* What is written can be read, and does not replace what a person changed. */
    char *second = nc_path_join(folder, "second"), *path = nc_path_join(second, "check.txt");
    assert_int_equal(nc_prompts_write(second), NC_OK);
    write_prompt(second, "check.txt", "[user]\nIs {object} there?\n");
    assert_int_equal(nc_prompts_write(second), NC_OK);
    assert_int_equal(nc_prompts_load(second, &prompts), NC_OK);
    assert_string_equal(nc_prompts_choose(&prompts, "check", NULL, 0, 0)->messages[0].text,
                        "Is {object} there?");
    nc_prompts_free(&prompts);
    free(path);
    free(second);
    temporary_folder_remove(folder);
}

static void test_wrong_files(void **context)
{
    (void)context;
    static const struct {
        const char *file, *text, *message;
    } cases[] = {
        {"check.txt", "", "must end with a [user] message"},
        {"check.txt", "[user]\nwhat?", "never uses {object}"},
        {"check.txt", "[user]\n{object} {colour}?", "line 2: {colour} is no slot here"},
        {"check.txt", "[user]\n{object} {answer}?", "line 2: {answer} is no slot here"},
        {"check.txt", "[user]\n{object} {caption:1x}?", "line 2: {caption: is no slot"},
        {"check.txt", "[user]\n{object} {object", "line 2: {object is no slot"},
        {"check.txt", "[user]\n{object} {caption }?", "line 2: {caption  is no slot"},
        {"check.txt", "[user]\n{object}\n[assistant]\nno", "must end with a [user] message"},
        {"check.txt", "[robot]\n{object}", "line 1: no such role"},
        {"check.txt", "[]\n{object}", "line 1: no such role"},
        {"check.txt", "[system]\n\n[user]\n{object}", "message 1 ([system]) is empty"},
        {"check.txt", "temprature: 1\n[user]\n{object}", "line 1: no such setting"},
        {"check.txt", "temperature: hot\n[user]\n{object}", "line 1: neither"},
        {"check.txt", "\n\nmost_tokens: 0\n[user]\n{object}", "line 3: no such setting"},
        {"check.txt", "weight: -1\n[user]\n{object}", "line 1: neither"},
        {"cheque.txt", "[user]\n{object}", "nothing is asked by that name"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *folder = temporary_folder_create();
        struct nc_prompts prompts;
        write_prompt(folder, cases[i].file, cases[i].text);
        assert_int_equal(nc_prompts_load(folder, &prompts), NC_BAD_INPUT);
        if (!strstr(nc_error_message(), cases[i].message) ||
            !strstr(nc_error_message(), cases[i].file))
            fail_msg("\"%s\": %s", cases[i].text, nc_error_message());
        temporary_folder_remove(folder);
    }
    struct nc_prompts prompts;
    assert_int_equal(nc_prompts_load("/nowhere", &prompts), NC_BAD_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_built_in),
        cmocka_unit_test(test_folder),
        cmocka_unit_test(test_wrong_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
