/* JSON files and their members, with the errors that name them. */
#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "support/temporary_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static cJSON *parse(const char *text)
{
    cJSON *root;
    if (nc_json_parse("here", text, strlen(text), &root) != NC_OK)
        fail_msg("%s", nc_error_message());
    return root;
}

static void says(const char *expected)
{
    if (!strstr(nc_error_message(), expected))
        fail_msg("expected \"%s\" in: %s", expected, nc_error_message());
}

static void syntax_errors_name_their_line(void **state)
{
    (void)state;
    const struct {
        const char *text;
        size_t size; /* 0: all of it */
        const char *place;
    } cases[] = {
        {"", 0, "line 1"},
        {"{\"a\": 1,\n\"b\": }", 0, "line 2"},
        {"{\"a\": 1}\n\n x", 0, "line 3"},
        {"[1, 2", 0, "line 1"},
        {"{\"a\": 1}\0", 9, "line 1"}, /* a zero byte is no white space */
        {"{\"a\": nan}", 0, "line 1"},
        {"[1]", 2, "line 1"}, /* not read beyond its size */
        {"[1234567890123456", 0, "line 1"},
        {"\"abc", 0, "line 1"},
        {"\"\\ud80\"", 0, "line 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        /* On the heap, without a terminating zero: the sanitizer sees each byte too many. */
        size_t size = cases[i].size ? cases[i].size : strlen(cases[i].text);
        char *copy = malloc(size + 1);
        memcpy(copy + 1, cases[i].text, size);
        cJSON *root;
        assert_int_equal(nc_json_parse("captions line 9", copy + 1, size, &root), NC_BAD_INPUT);
        assert_null(root);
        says("captions line 9: not valid JSON");
        says(cases[i].place);
        free(copy);
    }
    cJSON_Delete(parse(" [1, 2]\r\n\t "));
    cJSON_Delete(parse("7"));
}

static void deep_nesting_is_an_error(void **state)
{
    (void)state;
    enum { DEPTH = 1000000 };
    char *text = malloc(DEPTH);
    memset(text, '[', DEPTH);
    cJSON *root;
    assert_int_equal(nc_json_parse("here", text, DEPTH, &root), NC_BAD_INPUT);
    free(text);
}

static void files_are_loaded(void **state)
{
    (void)state;
    char *folder = temporary_folder_create(), *path = nc_path_join(folder, "a.json");
    cJSON *root;
    assert_int_equal(nc_json_load(path, &root), NC_BAD_INPUT);
    says(path);
    assert_int_equal(nc_file_write(path, "{\"a\":\n[}", 8), NC_OK);
    assert_int_equal(nc_json_load(path, &root), NC_BAD_INPUT);
    says(path);
    says("line 2");
    assert_int_equal(nc_file_write(path, "{\"a\": 5}", 8), NC_OK);
    size_t value;
    assert_int_equal(nc_json_load(path, &root), NC_OK);
    assert_int_equal(nc_json_size(path, root, "a", &value), NC_OK);
    assert_int_equal(value, 5);
    cJSON_Delete(root);
    free(path);
    temporary_folder_remove(folder);
}

static void members_have_their_types(void **state)
{
    (void)state;
    cJSON *root = parse("{\"object\": {}, \"array\": [], \"string\": \"s\", \"size\": 3, "
                        "\"number\": -2.5, \"true\": true, \"null\": null}");
    const cJSON *item;
    const char *string;
    size_t size;
    double number;
    bool flag = false;
    assert_int_equal(nc_json_object("here", root, "object", &item), NC_OK);
    assert_int_equal(nc_json_array("here", root, "array", &item), NC_OK);
    assert_int_equal(nc_json_string("here", root, "string", &string), NC_OK);
    assert_string_equal(string, "s");
    assert_int_equal(nc_json_size("here", root, "size", &size), NC_OK);
    assert_int_equal(size, 3);
    assert_int_equal(nc_json_number("here", root, "number", &number), NC_OK);
    assert_true(number == -2.5);
    assert_int_equal(nc_json_optional_bool("here", root, "true", &flag), NC_OK);
    assert_true(flag);

    /* A wrong type, and what is not there, are told apart. */
    assert_int_equal(nc_json_object("here", root, "array", &item), NC_BAD_INPUT);
    says("here: \"array\" is not an object");
    assert_int_equal(nc_json_array("here", root, "gone", &item), NC_BAD_INPUT);
    says("here: \"gone\" is missing");
    assert_int_equal(nc_json_string("here", root, "size", &string), NC_BAD_INPUT);
    says("\"size\" is not a string");
    assert_int_equal(nc_json_number("here", root, "string", &number), NC_BAD_INPUT);
    says("\"string\" is not a number");
    assert_int_equal(nc_json_size("here", root, "null", &size), NC_BAD_INPUT);
    assert_int_equal(nc_json_string("here", root, "Size", &string), NC_BAD_INPUT); /* case */
    says("missing");
    assert_int_equal(nc_json_string("here", cJSON_GetObjectItem(root, "array"), "a", &string),
                     NC_BAD_INPUT); /* not an object at all */
    assert_int_equal(nc_json_string("here", NULL, "a", &string), NC_BAD_INPUT);
    cJSON_Delete(root);
}

static void sizes_are_whole_and_in_range(void **state)
{
    (void)state;
    const struct {
        const char *text;
        bool good;
        size_t value;
    } cases[] = {
        {"{\"n\": 0}", true, 0},
        {"{\"n\": -0}", true, 0},
        {"{\"n\": 1e3}", true, 1000},
        {"{\"n\": 9007199254740992}", true, (size_t)1 << 53},
        {"{\"n\": 9007199254740994}", false, 0},
        {"{\"n\": -1}", false, 0},
        {"{\"n\": 0.5}", false, 0},
        {"{\"n\": 1e400}", false, 0},
        {"{\"n\": true}", false, 0},
        {"{\"n\": \"1\"}", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cJSON *root = parse(cases[i].text);
        size_t value = 77;
        int status = nc_json_size("here", root, "n", &value);
        if (status != (cases[i].good ? NC_OK : NC_BAD_INPUT) ||
            value != (cases[i].good ? cases[i].value : 77))
            fail_msg("%s: status %d, value %zu", cases[i].text, status, value);
        if (!cases[i].good)
            says("\"n\" is not a whole number");
        cJSON_Delete(root);
    }
    cJSON *root = parse("{\"n\": 1e400}");
    double number;
    assert_int_equal(nc_json_number("here", root, "n", &number), NC_BAD_INPUT);
    cJSON_Delete(root);
}

static void optional_members_keep_their_defaults(void **state)
{
    (void)state;
    cJSON *root = parse("{\"null\": null, \"wrong\": []}");
    const char *const absent[] = {"null", "gone"};
    for (size_t i = 0; i < 2; i++) {
        size_t size = 5;
        double number = 6;
        const char *string = "seven";
        bool flag = true;
        assert_int_equal(nc_json_optional_size("here", root, absent[i], &size), NC_OK);
        assert_int_equal(nc_json_optional_number("here", root, absent[i], &number), NC_OK);
        assert_int_equal(nc_json_optional_string("here", root, absent[i], &string), NC_OK);
        assert_int_equal(nc_json_optional_bool("here", root, absent[i], &flag), NC_OK);
        assert_true(size == 5 && number == 6 && flag);
        assert_string_equal(string, "seven");
        assert_int_equal(nc_json_optional_size("here", root, "wrong", &size), NC_BAD_INPUT);
        assert_int_equal(nc_json_optional_number("here", root, "wrong", &number), NC_BAD_INPUT);
        assert_int_equal(nc_json_optional_string("here", root, "wrong", &string), NC_BAD_INPUT);
        assert_int_equal(nc_json_optional_bool("here", root, "wrong", &flag), NC_BAD_INPUT);
        says("\"wrong\" is not true or false");
    }
    cJSON_Delete(root);
}

static void what_python_writes_is_read(void **state)
{
    (void)state;
    cJSON *root = parse("\xef\xbb\xbf{\"a\": NaN, \"b\": -Infinity, \"c\": \"x\\ud83d y\", \"d\": "
                        "\"\\ud83d\\ude00\\ude00\", \"e\": \"first\", \"e\": \"last\"}");
    const char *string = NULL;
    double number;
    assert_int_equal(nc_json_optional_string("here", root, "a", &string), NC_OK);
    assert_null(string);
    assert_int_equal(nc_json_optional_number("here", root, "b", &number), NC_BAD_INPUT);
    says("\"b\" is not a number");
    assert_int_equal(nc_json_string("here", root, "c", &string), NC_OK);
    assert_string_equal(string, "x\xef\xbf\xbd y");
    assert_int_equal(nc_json_string("here", root, "d", &string), NC_OK);
    assert_string_equal(string, "\xf0\x9f\x98\x80\xef\xbf\xbd");
    assert_int_equal(nc_json_string("here", root, "e", &string), NC_OK);
    assert_string_equal(string, "last");
    cJSON_Delete(root);
}

static void errors_name_their_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{\"a\": [{}, {\"b\": [1, x]}]}", "in a[1].b[1] at line 1, byte 21: no value"},
        {"{\"a\": {\"b\": \"\t\"}}", "in a.b at line 1, byte 13: a control character"},
        {"[1, 02]", "in [1] at line 1, byte 4: no value"},
        {"[1, +2]", "no value"},
        {"[1.]", "no value"},
        {"[1e]", "no value"},
        {"[nan]", "no value"},
        {"[1,]", "no value"},
        {"{\"a\": 1,}", "no member's name"},
        {"{\"a\": \"x\\u0000y\"}", "here: holds a zero character (\\u0000) in a: remove it"},
        {"{\"a\\u0000\": 1}", "zero character"},
        {"[1] [2]", "nothing behind the first"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cJSON *root;
        assert_int_equal(nc_json_parse("here", cases[i].text, strlen(cases[i].text), &root),
                         NC_BAD_INPUT);
        assert_null(root);
        says(cases[i].message);
    }
}

static void ids_are_texts(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"42", "42"},
        {"\"42\"", "42"},
        {"42.0", "42"},
        {"-7", "-7"},
        {"9007199254740993", "9007199254740993"},
        {"12345678901234567890123", "12345678901234567890123"},
        {"\"a b\"", "a b"},
    };
    char text[64], number[NC_JSON_ID];
    const char *id;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text, "{\"id\": %s}", cases[i][0]);
        cJSON *root = parse(text);
        assert_int_equal(nc_json_id("here", root, "id", number, &id), NC_OK);
        assert_string_equal(id, cases[i][1]);
        cJSON_Delete(root);
    }
    cJSON *root = parse("{\"id\": 1e30, \"b\": null}");
    assert_int_equal(nc_json_id("here", root, "id", number, &id), NC_BAD_INPUT);
    says("too large");
    assert_int_equal(nc_json_id("here", root, "b", number, &id), NC_BAD_INPUT);
    says("\"b\" is neither a number nor a string");
    assert_int_equal(nc_json_id("here", root, "c", number, &id), NC_BAD_INPUT);
    says("\"c\" is missing");
    cJSON_Delete(root);
}

static void items_have_names_of_their_own(void **state)
{
    (void)state;
    cJSON *root = parse("{\"a\": 1, \"b\": {}, \"c\": 2, \"b\": 3}"), *list = parse("[1, 1]");
    assert_int_equal(nc_json_unique("here", root), NC_BAD_INPUT);
    says("here: \"b\" stands there twice (items 2 and 4)");
    assert_int_equal(nc_json_unique("here", nc_json_member(root, "a")), NC_OK);
    assert_int_equal(nc_json_unique("here", list), NC_OK);
    cJSON_DeleteItemFromObject(root, "b");
    assert_int_equal(nc_json_unique("here", root), NC_OK);
    cJSON_Delete(root);
    cJSON_Delete(list);
}

static int note(void *context, size_t index, const cJSON *element)
{
    char *out = context;
    sprintf(out + strlen(out), "%zu:%g ", index, element->valuedouble);
    return index < 5 ? NC_OK : nc_error(NC_FAILED, "enough");
}

static void arrays_element_by_element(void **state)
{
    (void)state;
    static const char text[] = "{\"x\": [{\"a\": [9]}], \"b\": [7, 8], \"y\": null, \"a\": [5]}";
    struct nc_json_array arrays[] = {{"a", note, false}, {"b", note, false}, {"c", note, false}};
    char out[128] = "";
    assert_int_equal(nc_json_arrays("here", text, strlen(text), arrays, 3, out), NC_OK);
    assert_string_equal(out, "0:7 1:8 0:5 ");
    assert_true(arrays[0].found && arrays[1].found && !arrays[2].found);
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{\"a\": [1, 2, 3x]}", "in a[2] at line 1, byte 13"},
        {"{\"a\": [1], \"a\": [2]}", "\"a\" stands there twice"},
        {"{\"a\": {}}", "\"a\" is not an array"},
        {"{\"b\": []}", "the array \"a\" is missing"},
        {"{\"b\": [[[}", "in b at"},
        {"{\"a\": [1]} 2", "nothing behind"},
        {"[1]", "not an object"},
        {"", "breaks off"},
        {"{\"a\": [0,1,2,3,4,5]}", "enough"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        *out = 0;
        assert_int_not_equal(
            nc_json_each("here", cases[i].text, strlen(cases[i].text), "a", note, out), NC_OK);
        says(cases[i].message);
    }
}

static int note_line(void *context, const char *where, const cJSON *value)
{
    char *out = context;
    sprintf(out + strlen(out), "%s=%g ", strrchr(where, ' ') + 1, value->valuedouble);
    return NC_OK;
}

static void lines_of_values(void **state)
{
    (void)state;
    static const char text[] = "1\r\n\n 2\r3\n4";
    char out[128] = "";
    assert_int_equal(nc_json_lines("a.jsonl", text, strlen(text), false, note_line, out), NC_OK);
    assert_string_equal(out, "1=1 3=2 4=3 5=4 ");
    *out = 0;
    assert_int_equal(nc_json_lines("a.jsonl", text, strlen(text), true, note_line, out), NC_OK);
    assert_string_equal(out, "1=1 3=2 4=3 ");
    assert_int_equal(nc_json_lines("a.jsonl", "1\n{\n", 4, false, note_line, out), NC_BAD_INPUT);
    says("a.jsonl line 2: not valid JSON");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(syntax_errors_name_their_line),
        cmocka_unit_test(deep_nesting_is_an_error),
        cmocka_unit_test(files_are_loaded),
        cmocka_unit_test(members_have_their_types),
        cmocka_unit_test(sizes_are_whole_and_in_range),
        cmocka_unit_test(optional_members_keep_their_defaults),
        cmocka_unit_test(what_python_writes_is_read),
        cmocka_unit_test(errors_name_their_place),
        cmocka_unit_test(ids_are_texts),
        cmocka_unit_test(items_have_names_of_their_own),
        cmocka_unit_test(arrays_element_by_element),
        cmocka_unit_test(lines_of_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
