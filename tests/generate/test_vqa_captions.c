/* Captions from easy-VQA's questions: true of their pictures, without what is held out, the same
 * for the same seed. */
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

static const char *const colours[] = {"red", "blue", "green", "orange"};
static const char *const shapes[] = {"circle", "triangle", "rectangle"};
enum { COLOURS = 4, SHAPES = 3, PICTURES = COLOURS * SHAPES };

/* Picture n shows colour n % 4 and shape n / 4. */
static const char *colour_of(size_t picture)
{
    return colours[picture % COLOURS];
}

static const char *shape_of(size_t picture)
{
    return shapes[picture / COLOURS];
}

static char *path_of(const char *folder, const char *name)
{
    char *path = nc_path_join(folder, name);
    assert_non_null(path);
    return path;
}

static char *write_file(const char *folder, const char *name, const char *text)
{
    char *path = path_of(folder, name);
    if (nc_file_write(path, text, strlen(text)) != NC_OK)
        fail_msg("%s", nc_error_message());
    return path;
}

/* Every question about every picture. */
static char *write_questions(const char *folder)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    fputs("[", out);
    for (size_t picture = 0; picture < PICTURES; picture++) {
        const char *colour = colour_of(picture), *shape = shape_of(picture);
        fprintf(out, "%s[\"what color is the shape?\", \"%s\", %zu]", picture ? ",\n" : "", colour,
                picture);
        fprintf(out, ", [\"what shape is present?\", \"%s\", %zu]", shape, picture);
        for (size_t i = 0; i < COLOURS; i++)
            fprintf(out,
                    ", [\"is there a %s shape?\", \"%s\", %zu]"
                    ", [\"does the image not contain a %s shape?\", \"%s\", %zu]",
                    colours[i], colours[i] == colour ? "yes" : "no", picture, colours[i],
                    colours[i] == colour ? "no" : "yes", picture);
        for (size_t i = 0; i < SHAPES; i++)
            fprintf(out, ", [\"is a %s present?\", \"%s\", %zu]", shapes[i],
                    shapes[i] == shape ? "yes" : "no", picture);
    }
    fputs("]", out);
    fclose(out);
    char *path = write_file(folder, "questions.json", text);
    free(text);
    return path;
}

static struct nc_vqa_counts generate(const char *questions_path,
                                     const struct nc_vqa_options *options, const char *path,
                                     cJSON **root)
{
    struct nc_vqa_questions questions;
    struct nc_vqa_counts counts = {0};
    if (nc_vqa_questions_load(questions_path, NULL, 0, &questions) != NC_OK ||
        nc_vqa_generate(&questions, options, path, &counts) != NC_OK ||
        nc_json_load(path, root) != NC_OK)
        fail_msg("%s", nc_error_message());
    nc_vqa_questions_free(&questions);
    return counts;
}

static bool holds_word(const char *text, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = text; (at = strstr(at, word)); at++) {
        if ((at == text || at[-1] == ' ') && (!at[length] || strchr(" ,", at[length])))
            return true;
    }
    return false;
}

/* A sentence says what stands before its negation and denies what stands behind it. */
static bool is_true(const char *sentence, size_t picture)
{
    static const char *const negations[] = {"no", "not", "without"};
    char said[512], denied[512] = "";
    snprintf(said, sizeof said, "%s", sentence);
    for (size_t i = 0; i < 3; i++) {
        char spaced[16];
        snprintf(spaced, sizeof spaced, "%s ", negations[i]);
        char *at = strstr(said, spaced);
        if (at && (at == said || at[-1] == ' ')) {
            strcpy(denied, at + strlen(spaced));
            *at = 0;
        }
    }
    bool fits = true;
    for (size_t i = 0; i < COLOURS; i++) {
        fits &= !holds_word(said, colours[i]) || colours[i] == colour_of(picture);
        fits &= !holds_word(denied, colours[i]) || colours[i] != colour_of(picture);
    }
    for (size_t i = 0; i < SHAPES; i++) {
        fits &= !holds_word(said, shapes[i]) || shapes[i] == shape_of(picture);
        fits &= !holds_word(denied, shapes[i]) || shapes[i] != shape_of(picture);
    }
    return fits;
}

static const char *text_of(const cJSON *annotation, const char *key)
{
    const char *text = NULL;
    assert_int_equal(nc_json_optional_string("annotation", annotation, key, &text), NC_OK);
    return text;
}

static void captions_are_true(void **state)
{
    (void)state;
    char *folder = temporary_folder_create();
    char *questions = write_questions(folder), *out = path_of(folder, "captions.json");
    size_t mixed = 0, bare = 0;
    for (uint64_t seed = 0; seed < 8; seed++) {
        cJSON *root;
        const cJSON *annotation;
        struct nc_vqa_options options = {.image_name = "{id}.png", .plain = 1, .seed = seed};
        struct nc_vqa_counts counts = generate(questions, &options, out, &root);
        /* Two questions a colour, one a shape; two ask what is there. */
        assert_int_equal(counts.negated, PICTURES * (2 * (COLOURS - 1) + SHAPES - 1));
        assert_int_equal(counts.plain, PICTURES * (2 + 2 + 1));
        assert_int_equal(counts.contradictions, counts.negated + counts.plain);
        assert_int_equal(counts.pictures, PICTURES);
        assert_int_equal(counts.unread + counts.unphrased + counts.affirmed, 0);
        cJSON_ArrayForEach(annotation, cJSON_GetObjectItem(root, "annotations"))
        {
            size_t picture;
            assert_int_equal(nc_json_size("annotation", annotation, "image_id", &picture), NC_OK);
            const char *text = text_of(annotation, "updated_caption");
            const char *twin = text_of(annotation, "contradiction");
            if (!is_true(text, picture))
                fail_msg("picture %zu (%s %s): \"%s\" is false", picture, colour_of(picture),
                         shape_of(picture), text);
            if (is_true(twin, picture))
                fail_msg("picture %zu (%s %s): \"%s\" is true", picture, colour_of(picture),
                         shape_of(picture), twin);
            assert_true(is_true(text_of(annotation, "caption"), picture));
            mixed += strncmp(text, "a circle that is not ", 21) == 0;
            bare += strncmp(text, "a shape that is not ", 20) == 0;
        }
        cJSON_Delete(root);
    }
    assert_true(mixed > 0 && bare > 0);
    free(out);
    free(questions);
    temporary_folder_remove(folder);
}

static void held_out_stays_out(void **state)
{
    (void)state;
    char *folder = temporary_folder_create();
    char *questions = write_questions(folder), *out = path_of(folder, "captions.json");
    char *held_out = write_file(folder, "held_out.json",
                                "{\"phrasings\": [\"{a known}, not {quality}\"], "
                                "\"pairs\": [[\"blue\", \"circle\"]]}");
    for (uint64_t seed = 0; seed < 8; seed++) {
        cJSON *root;
        const cJSON *annotation;
        struct nc_vqa_options options = {
            .image_name = "{id}.png", .plain = 1, .seed = seed, .held_out = held_out};
        struct nc_vqa_counts counts = generate(questions, &options, out, &root);
        assert_int_equal(counts.pictures, PICTURES - 1);
        assert_int_equal(counts.held_out, 2 + 2 * COLOURS + SHAPES);
        cJSON_ArrayForEach(annotation, cJSON_GetObjectItem(root, "annotations"))
        {
            size_t picture;
            assert_int_equal(nc_json_size("annotation", annotation, "image_id", &picture), NC_OK);
            assert_int_not_equal(picture, 1);
            const char *texts[] = {text_of(annotation, "updated_caption"),
                                   text_of(annotation, "contradiction")};
            assert_null(strstr(texts[0], ", not "));
            for (size_t i = 0; i < 2; i++)
                assert_false(texts[i] && holds_word(texts[i], "blue") &&
                             holds_word(texts[i], "circle"));
        }
        cJSON_Delete(root);
    }
    free(held_out);
    free(out);
    free(questions);
    temporary_folder_remove(folder);
}

static void same_seed_same_file(void **state)
{
    (void)state;
    char *folder = temporary_folder_create(), *questions = write_questions(folder);
    char *texts[3];
    const uint64_t seeds[] = {7, 7, 8};
    for (size_t i = 0; i < 3; i++) {
        char *out = path_of(folder, "captions.json");
        size_t size;
        cJSON *root;
        struct nc_vqa_options options = {.image_name = "{id}.png", .plain = 0.5, .seed = seeds[i]};
        generate(questions, &options, out, &root);
        assert_int_equal(nc_file_read(out, 1 << 20, &texts[i], &size), NC_OK);
        cJSON_Delete(root);
        free(out);
    }
    assert_string_equal(texts[0], texts[1]);
    assert_string_not_equal(texts[0], texts[2]);
    for (size_t i = 0; i < 3; i++)
        free(texts[i]);
    free(questions);
    temporary_folder_remove(folder);
}

/* Without a subject's facts: one question, so nothing is known of what the picture shows. */
static void lists_what_it_cannot_rewrite(void **state)
{
    (void)state;
    char *folder = temporary_folder_create(), *text;
    char *questions = write_file(folder, "questions.json",
                                 "[[\"is there a \\\"red\\\" shape?\", \"no\", 7],"
                                 " [\"why?\", \"because\", 7],"
                                 " [\"is there a red shape?\", \"yes\", 8],"
                                 " [\"is there not a red shape?\", \"yes\", 8],"
                                 " [\"what color is the shape?\", \"red\", 8]]");
    char *out = path_of(folder, "captions.json"), *rejects = path_of(folder, "rejects.jsonl");
    cJSON *root;
    size_t size;
    struct nc_vqa_options options = {
        .image_name = "train/{id:6}.png", .seed = 1, .rejects = rejects};
    struct nc_vqa_counts counts = generate(questions, &options, out, &root);
    assert_int_equal(counts.negated, 1);
    assert_int_equal(counts.unread, 1);
    assert_int_equal(counts.contradicted, 3);
    assert_int_equal(nc_file_read(rejects, 1 << 20, &text, &size), NC_OK);
    assert_non_null(strstr(text, "\"question\":\"why?\""));
    assert_non_null(strstr(text, "contradict each other"));
    const cJSON *image = cJSON_GetArrayItem(cJSON_GetObjectItem(root, "images"), 0);
    assert_string_equal(text_of(image, "file_name"), "train/000007.png");
    /* The colour is not known, so the contradiction asserts what is denied. */
    const cJSON *annotation = cJSON_GetArrayItem(cJSON_GetObjectItem(root, "annotations"), 0);
    assert_non_null(strstr(text_of(annotation, "contradiction"), "red"));
    assert_null(strstr(text_of(annotation, "contradiction"), "no"));
    cJSON_Delete(root);
    free(text);
    free(rejects);
    free(out);
    free(questions);
    temporary_folder_remove(folder);
}

static void extends_given_captions(void **state)
{
    (void)state;
    char *folder = temporary_folder_create();
    char *questions = write_file(folder, "questions.json",
                                 "[[\"is there a dog in the image?\", \"no\", 1],"
                                 " [\"is there a dog in the image?\", \"no\", 2]]");
    char *captions = write_file(folder, "given.json",
                                "{\"images\": [{\"id\": 5, \"file_name\": \"1.jpg\"}],"
                                " \"annotations\": [{\"id\": 0, \"image_id\": 5,"
                                " \"caption\": \"A lamp on a desk.\"}]}");
    char *out = path_of(folder, "captions.json");
    for (uint64_t seed = 0; seed < 8; seed++) {
        cJSON *root;
        struct nc_vqa_options options = {
            .image_name = "{id}.jpg", .seed = seed, .captions = captions};
        struct nc_vqa_counts counts = generate(questions, &options, out, &root);
        assert_int_equal(counts.negated, 1);
        assert_int_equal(counts.unphrased, 1); /* no caption to extend */
        const cJSON *annotation = cJSON_GetArrayItem(cJSON_GetObjectItem(root, "annotations"), 0);
        assert_string_equal(text_of(annotation, "caption"), "A lamp on a desk.");
        assert_int_equal(strncmp(text_of(annotation, "updated_caption"), "A lamp on a desk", 16),
                         0);
        assert_non_null(strstr(text_of(annotation, "updated_caption"), "dog"));
        cJSON_Delete(root);
    }
    free(out);
    free(captions);
    free(questions);
    temporary_folder_remove(folder);
}

static void refuses(int status, int expected, const char *part)
{
    assert_int_equal(status, expected);
    if (!strstr(nc_error_message(), part))
        fail_msg("\"%s\" is not in: %s", part, nc_error_message());
}

static void refuses_wrong_files(void **state)
{
    (void)state;
    char *folder = temporary_folder_create();
    static const char *const wrong[][2] = {
        {"7", "neither easy-VQA"},
        {"", "neither easy-VQA"},
        {"[[\"is there a dog?\", \"no\", 0], [\"is there a cat?\", \"no\"]]", "question 1"},
        {"[[\"is there a dog?\", \"no\", -1]]", "question 0"},
        {"[[\"is there a dog?\", \"no\", 1e300]]", "question 0"},
        {"[[\"is there a dog?\", \"no\", 0.5]]", "question 0"},
        {"[[\"is there a dog?\", 1, 0]]", "question 0"},
        {"[\"is there a dog?\"]", "question 0"},
        {"[[", "not valid JSON"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct nc_vqa_questions questions;
        char *path = write_file(folder, "questions.json", wrong[i][0]);
        refuses(nc_vqa_questions_load(path, NULL, 0, &questions), NC_BAD_INPUT, wrong[i][1]);
        free(path);
    }
    static const char *const held_out[][2] = {
        {"{\"phrasings\": [\"no such one\"], \"pairs\": []}", "phrasing 0"},
        {"{\"phrasings\": [], \"pairs\": [[\"red\"]]}", "pair 0"},
        {"{\"phrasings\": [], \"pairs\": [[\"a\", \"b\", \"c\"]]}", "pair 0"},
        {"{\"phrasings\": []}", "pairs"},
    };
    for (size_t i = 0; i < sizeof held_out / sizeof *held_out; i++) {
        struct nc_vqa_held_out loaded;
        char *path = write_file(folder, "held_out.json", held_out[i][0]);
        refuses(nc_vqa_held_out_load(path, &loaded), NC_BAD_INPUT, held_out[i][1]);
        free(path);
    }
    static const char *const patterns[] = {"a.png", "{id", "{id:}.png", "{id:123}.png",
                                           "{idx}.png"};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        struct nc_vqa_questions questions = {0};
        struct nc_vqa_options options = {.image_name = patterns[i]};
        struct nc_vqa_counts counts;
        char *out = path_of(folder, "captions.json");
        refuses(nc_vqa_generate(&questions, &options, out, &counts), NC_USAGE, "{id}");
        assert_false(nc_file_exists(out));
        free(out);
    }
    temporary_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(captions_are_true),      cmocka_unit_test(held_out_stays_out),
        cmocka_unit_test(same_seed_same_file),    cmocka_unit_test(lists_what_it_cannot_rewrite),
        cmocka_unit_test(extends_given_captions), cmocka_unit_test(refuses_wrong_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
