/* VQA v2's files: answers joined to questions, captions extended, wrong files refused. */
#include "../support/temporary_folder.h"
#include "nclip/formats/json.h"
#include "nclip/generate/vqa.h"
#include "nclip/support/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *path_of(const char *folder, const char *name)
{
    char *path = nc_path_join(folder, name);
    assert_non_null(path);
    return path;
}

static char *write_file(const char *folder, const char *name, const char *text)
{
    char *path = path_of(folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    return path;
}

struct asked {
    const char *question, *answer;
    int agree; /* of ten; -1: no annotation */
    size_t image;
};

static const struct asked asked[] = {
    {"Is the man wearing a hat?", "no", 10, 9},
    {"Is there a dog in the picture?", "no", 8, 9},
    {"Is there a cat?", "no", 7, 9}, /* too few */
    {"Is it raining?", "yes", 10, 9},
    {"What color is the car?", "red", 9, 9},
    {"Is it a cat or a dog?", "no", 10, 25},
    {"Isn't this a kitchen?", "no", 10, 25},
    {"Is this Chinese food?", "no", 9, 25},
    {"Are there any people?", "no", -1, 25},
    {"Is the bus yellow?", "no", 10, 30}, /* no caption */
};
enum { ASKED = sizeof asked / sizeof *asked };

/* Both files, the annotations in another order. */
static void write_questions(const char *folder, char **questions, char **annotations)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    fputs("{\"info\": {\"year\": 2014}, \"license\": [1, {}], \"questions\": [", out);
    for (size_t i = 0; i < ASKED; i++)
        fprintf(out, "%s{\"image_id\": %zu, \"question\": \"%s\", \"question_id\": %zu}",
                i ? ", " : "", asked[i].image, asked[i].question, 1000 - 7 * i);
    fputs("]}", out);
    fclose(out);
    *questions = write_file(folder, "questions.json", text);
    free(text);
    out = open_memstream(&text, &size);
    fputs("{\"annotations\": [", out);
    for (size_t i = ASKED, k = 0; i-- > 0;) {
        if (asked[i].agree < 0)
            continue;
        fprintf(out,
                "%s{\"question_type\": \"is\", \"multiple_choice_answer\": \"%s\", \"image_id\": "
                "%zu, \"question_id\": %zu, \"answers\": [",
                k++ ? ",\n" : "", asked[i].answer, asked[i].image, 1000 - 7 * i);
        for (int n = 0; n < 10; n++)
            fprintf(out,
                    "%s{\"answer\": \"%s\", \"answer_confidence\": \"yes\", \"answer_id\": %d}",
                    n ? ", " : "", n < asked[i].agree ? asked[i].answer : "maybe", n + 1);
        fputs("]}", out);
    }
    fputs(", {\"question_id\": 5, \"image_id\": 3, \"multiple_choice_answer\": \"no\"}], \"info\": "
          "{}}",
          out);
    fclose(out);
    *annotations = write_file(folder, "annotations.json", text);
    free(text);
}

static const char captions_json[] =
    "{\"images\": [{\"id\": 9, \"file_name\": \"COCO_train2014_000000000009.jpg\"},"
    " {\"id\": 25, \"file_name\": \"COCO_train2014_000000000025.jpg\"}],"
    " \"annotations\": [{\"image_id\": 9, \"caption\": \"A man on a street.\"},"
    " {\"image_id\": 9, \"caption\": \"A man walks\"}, {\"image_id\": 25, \"caption\": \"A "
    "meal.\"}]}";

static const char *text_of(const cJSON *annotation, const char *key)
{
    const char *text = "";
    assert_int_equal(nc_json_optional_string("annotation", annotation, key, &text), NC_OK);
    return text;
}

static struct nc_vqa_counts generate(const char *questions_path, const char *annotations,
                                     double agreement, const struct nc_vqa_options *options,
                                     const char *out, cJSON **root)
{
    struct nc_vqa_questions questions;
    struct nc_vqa_counts counts = {0};
    if (nc_vqa_questions_load(questions_path, annotations, agreement, &questions) != NC_OK ||
        nc_vqa_generate(&questions, options, out, &counts) != NC_OK ||
        nc_json_load(out, root) != NC_OK)
        fail_msg("%s", nc_error_message());
    nc_vqa_questions_free(&questions);
    return counts;
}

static void joins_answers_and_captions(void **state)
{
    (void)state;
    char *folder = temporary_folder_create(), *questions, *annotations;
    write_questions(folder, &questions, &annotations);
    char *captions = write_file(folder, "captions.json", captions_json);
    char *out = path_of(folder, "out.json"), *rejects = path_of(folder, "rejects.jsonl"), *text;
    size_t size;
    for (uint64_t seed = 0; seed < 6; seed++) {
        struct nc_vqa_options options = {.image_name = "COCO_train2014_{id:012}.jpg",
                                         .captions = captions,
                                         .rejects = rejects,
                                         .seed = seed};
        cJSON *root;
        const cJSON *annotation;
        struct nc_vqa_counts counts = generate(questions, annotations, 0.8, &options, out, &root);
        assert_int_equal(counts.questions, 8);
        assert_int_equal(counts.undecided, 1);
        assert_int_equal(counts.unanswered, 1);
        assert_int_equal(counts.negated, 3);
        assert_int_equal(counts.unread, 2);
        assert_int_equal(counts.unphrased, 1);
        assert_int_equal(counts.pictures, 2);
        assert_int_equal(counts.forms[NC_VQA_BE].asked, 2);
        assert_int_equal(counts.forms[NC_VQA_BE].written, 1);
        assert_int_equal(counts.forms[NC_VQA_THERE].written, 1);
        assert_int_equal(counts.forms[NC_VQA_BE_PRONOUN].written, 1);
        assert_int_equal(counts.forms[NC_VQA_ALTERNATIVE].asked, 1);
        assert_int_equal(counts.forms[NC_VQA_ALTERNATIVE].written, 0);
        assert_int_equal(counts.forms[NC_VQA_NEGATIVE].written, 0);
        size_t found = 0;
        cJSON_ArrayForEach(annotation, cJSON_GetObjectItem(root, "annotations"))
        {
            const char *updated = text_of(annotation, "updated_caption");
            const char *own = text_of(annotation, "caption");
            const char *twin = text_of(annotation, "contradiction");
            size_t length = strlen(own) - (own[strlen(own) - 1] == '.');
            assert_memory_equal(updated, own, length); /* extended, not replaced */
            found += strstr(updated, "the man is not wearing a hat") &&
                     strstr(twin, "the man is wearing a hat");
            found += strstr(updated, "dog") && strstr(twin, "dog") &&
                     (strstr(updated, "no dog") || strstr(updated, "without a dog"));
            found +=
                strstr(updated, "this is not Chinese food") && strstr(twin, "this is Chinese food");
        }
        assert_int_equal(found, 3);
        cJSON_Delete(root);
    }
    assert_int_equal(nc_file_read(rejects, 1 << 20, &text, &size), NC_OK);
    assert_non_null(strstr(text, "asks which of two"));
    assert_non_null(strstr(text, "can mean either"));
    assert_non_null(strstr(text, "Is the bus yellow?"));
    free(text);

    /* Fewer need to agree. */
    cJSON *root;
    struct nc_vqa_options options = {.image_name = "COCO_train2014_{id:012}.jpg",
                                     .captions = captions};
    struct nc_vqa_counts counts = generate(questions, annotations, 0.7, &options, out, &root);
    assert_int_equal(counts.undecided, 0);
    assert_int_equal(counts.negated, 4);
    cJSON_Delete(root);
    free(rejects);
    free(out);
    free(captions);
    free(annotations);
    free(questions);
    temporary_folder_remove(folder);
}

/* Gets all questions at once, with their captions; refuses one. */
static int rewrite(void *context, struct nc_vqa_request *requests, size_t count)
{
    *(size_t *)context = count;
    for (size_t i = 0; i < count; i++) {
        if (strstr(requests[i].question->question, " or "))
            requests[i].reason = "unclear";
        else if (asprintf(&requests[i].updated, "%s NOT %s", requests[i].caption,
                          requests[i].question->question) < 0)
            requests[i].updated = NULL;
    }
    return NC_OK;
}

static void another_rewriter_takes_the_rules_place(void **state)
{
    (void)state;
    char *folder = temporary_folder_create(), *questions, *annotations;
    write_questions(folder, &questions, &annotations);
    char *captions = write_file(folder, "captions.json", captions_json);
    char *out = path_of(folder, "out.json");
    size_t asked_of = 0;
    struct nc_vqa_rewriter rewriter = {.name = "mine", .rewrite = rewrite, .context = &asked_of};
    struct nc_vqa_options options = {
        .image_name = "COCO_train2014_{id:012}.jpg", .captions = captions, .rewriter = &rewriter};
    cJSON *root;
    struct nc_vqa_counts counts = generate(questions, annotations, 0.8, &options, out, &root);
    assert_int_equal(asked_of, 5);
    assert_int_equal(counts.negated, 4);
    assert_int_equal(counts.unphrased, 2); /* one refused, one without a caption */
    assert_int_equal(counts.pictures, 2);
    const cJSON *annotation = cJSON_GetArrayItem(cJSON_GetObjectItem(root, "annotations"), 0);
    assert_non_null(strstr(text_of(annotation, "updated_caption"), "NOT Is the man"));
    const cJSON *source = cJSON_GetObjectItem(annotation, "source");
    assert_string_equal(text_of(source, "rewriter"), "mine");
    cJSON_Delete(root);
    struct nc_vqa_questions none = {0};
    options.captions = NULL;
    assert_int_equal(nc_vqa_generate(&none, &options, out, &counts), NC_USAGE);
    free(out);
    free(captions);
    free(annotations);
    free(questions);
    temporary_folder_remove(folder);
}

static void refuses_wrong_files(void **state)
{
    (void)state;
    static const struct {
        const char *questions, *annotations, *message;
        int status;
    } cases[] = {
        {"{\"questions\": []}", NULL, "--annotations", NC_USAGE},
        {"[]", "{\"annotations\": []}", "leave --annotations out", NC_USAGE},
        {"{\"question\": []}", "{\"annotations\": []}", "\"questions\" is missing", NC_BAD_INPUT},
        {"{\"questions\": {}}", "{\"annotations\": []}", "not an array", NC_BAD_INPUT},
        {"{\"questions\": [], \"questions\": []}", "{\"annotations\": []}", "twice", NC_BAD_INPUT},
        {"{\"questions\": [{\"question_id\": 1, \"image_id\": 2}]}", "{\"annotations\": []}",
         "questions[0]: \"question\" is missing", NC_BAD_INPUT},
        {"{\"questions\": [{\"question_id\": 1, \"image_id\": 2, \"question\": \"a\"},"
         "{\"question_id\": 1, \"image_id\": 2, \"question\": \"b\"}]}",
         "{\"annotations\": []}", "two questions have the question_id 1", NC_BAD_INPUT},
        {"{\"questions\": [{\"question_id\": 1, \"image_id\": 2, \"question\": \"a\"}]}",
         "{\"annotations\": [{\"question_id\": 1, \"image_id\": 3, \"multiple_choice_answer\": "
         "\"no\"}]}",
         "is about picture 2, not 3", NC_BAD_INPUT},
        {"{\"questions\": [{\"question_id\": 1, \"image_id\": 2, \"question\": \"a\"}]}",
         "{\"annotations\": [{\"question_id\": 1, \"image_id\": 2, \"multiple_choice_answer\": "
         "\"no\", \"answers\": [\"no\"]}]}",
         "\"answer\" is missing", NC_BAD_INPUT},
        {"{\"questions\": [{\"question_id\": 1, \"image_id\": 2, \"question\": \"a\"}]}",
         "{\"annotations\": [{\"question_id\": 1, \"image_id\": 2, \"multiple_choice_answer\": "
         "\"no\"}, {\"question_id\": 1, \"image_id\": 2, \"multiple_choice_answer\": \"no\"}]}",
         "answered twice", NC_BAD_INPUT},
        {"{\"questions\": []}",
         "{\"annotations\": [{\"question_id\": 1, \"image_id\": 3, \"multiple_choice_answer\": "
         "\"no\"}, {}]}",
         "annotations[1]: \"question_id\" is missing", NC_BAD_INPUT},
        {"{\"questions\": [", "{\"annotations\": []}", "not valid JSON", NC_BAD_INPUT},
        {"{\"questions\": []", "{\"annotations\": []}", "not valid JSON", NC_BAD_INPUT},
        {"{\"questions\": []} x", "{\"annotations\": []}", "not valid JSON", NC_BAD_INPUT},
        {"{\"questions\" []}", "{\"annotations\": []}", "not valid JSON", NC_BAD_INPUT},
        {"{\"questions\": [1 2]}", "{\"annotations\": []}", "questions[0]", NC_BAD_INPUT},
    };
    char *folder = temporary_folder_create();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct nc_vqa_questions questions;
        char *path = write_file(folder, "q.json", cases[i].questions);
        char *annotations =
            cases[i].annotations ? write_file(folder, "a.json", cases[i].annotations) : NULL;
        int status = nc_vqa_questions_load(path, annotations, 0.8, &questions);
        if (status != cases[i].status || !strstr(nc_error_message(), cases[i].message))
            fail_msg("case %zu: status %d; \"%s\" is not in: %s", i, status, cases[i].message,
                     nc_error_message());
        free(annotations);
        free(path);
    }
    temporary_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joins_answers_and_captions),
        cmocka_unit_test(another_rewriter_takes_the_rules_place),
        cmocka_unit_test(refuses_wrong_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
