/* Captions as a stream: the same as the loader reads, whatever the packing, the lines' ends and the
 * places where runs of text end. */
#include "../support/temporary_folder.h"

#include "nclip/captions/captions.h"
#include "nclip/captions/records.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

static char *folder;

static int make_folder(void **state)
{
    (void)state;
    folder = temporary_folder_create();
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    temporary_folder_remove(folder);
    return 0;
}

#define CHECK(call)                                                                                \
    do {                                                                                           \
        if ((call) != NC_OK)                                                                       \
            fail_msg("%s: %s", #call, nc_error_message());                                         \
    } while (0)

static char *file(const char *name, const char *text, size_t size)
{
    char *path = nc_path_join(folder, name);
    CHECK(nc_file_write(path, text, size));
    return path;
}

/* All records in one text, one a line, for comparisons; *status of what ended it. */
static char *read_all(const char *const *paths, size_t count, size_t *records, uint64_t *hash,
                      int *status)
{
    struct nc_caption_stream *stream;
    struct nc_caption_batch batch = {0};
    struct nc_caption_parser parser = {0};
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    *records = 0;
    *hash = 0;
    *status = nc_caption_stream_open(paths, count, &stream);
    while (*status == NC_OK) {
        *status = nc_caption_stream_next(stream, &batch);
        if (*status != NC_OK || !batch.count)
            break;
        assert_int_equal(batch.first, *records);
        for (size_t i = 0; i < batch.count && *status == NC_OK; i++) {
            struct nc_caption_record r;
            *status = nc_caption_batch_read(&batch, i, &parser, &r);
            if (*status != NC_OK)
                break;
            fprintf(out, "%s|%s|%s|%s|%s|%s|%s", r.image, r.caption, r.original ? r.original : "",
                    r.contradiction ? r.contradiction : "", r.absence ? r.absence : "",
                    r.paraphrase ? r.paraphrase : "", r.distractor ? r.distractor : "");
            for (size_t c = 0; c < r.choice_count; c++)
                fprintf(out, "|%s", r.choices[c]);
            fprintf(out, "\n");
        }
        *records += batch.count;
        *hash = batch.hash;
    }
    nc_caption_parser_free(&parser);
    nc_caption_batch_free(&batch);
    nc_caption_stream_close(stream);
    fclose(out);
    return text;
}

static char *expect(const char *path, size_t count)
{
    size_t records;
    uint64_t hash;
    int status;
    char *text = read_all(&path, 1, &records, &hash, &status);
    if (status != NC_OK)
        fail_msg("%s", nc_error_message());
    assert_int_equal(records, count);
    return text;
}

static void refuse(const char *text, size_t size, const char *part)
{
    size_t records;
    uint64_t hash;
    int status;
    char *path = file("wrong.jsonl", text, size);
    free(read_all((const char *const *)&path, 1, &records, &hash, &status));
    if (status != NC_BAD_INPUT || !strstr(nc_error_message(), part) ||
        !strstr(nc_error_message(), "wrong.jsonl"))
        fail_msg("%d and \"%s\", not a refusal of \"%s\"", status, nc_error_message(), part);
    free(path);
}

static void reads_every_role(void **state)
{
    (void)state;
    static const char lines[] =
        "{\"image\": \"a.jpg\", \"caption\": \"one\"}\n"
        "{\"image\": \"b.jpg\", \"caption\": \"old\", \"updated_caption\": \"new\", "
        "\"contradiction\": \"c\", \"absence\": \"no d\", \"paraphrase\": \"p\", \"choices\": [\"x\", \"y\"], "
        "\"distractor\": \"z.jpg\", \"more\": 1}\n"
        "{\"image\": \"c.jpg\", \"caption\": \"\", \"original\": \"o\", \"choices\": null}";
    char *path = file("roles.jsonl", lines, strlen(lines)), *text = expect(path, 3);
    assert_string_equal(text, "a.jpg|one|||||\n"
                              "b.jpg|new|old|c|no d|p|z.jpg|x|y\n"
                              "c.jpg||o||||\n");
    free(text);
    free(path);

    static const char coco[] =
        "{\"annotations\": [{\"image_id\": 2, \"caption\": \"old\", \"updated_caption\": \"new\", "
        "\"contradiction\": \"c\", \"absence\": \"no d\", \"paraphrase\": \"p\", "
        "\"choices\": [\"x\", \"y\"], \"distractor_id\": 3}, {\"image_id\": 2, \"caption\": "
        "\"b\"}], \"images\": [{\"id\": 2, \"file_name\": \"b.jpg\"}, {\"id\": 3, \"file_name\": "
        "\"z.jpg\"}]}";
    path = file("roles.json", coco, strlen(coco));
    text = expect(path, 2);
    assert_string_equal(text, "b.jpg|new|old|c|no d|p|z.jpg|x|y\nb.jpg|b|||||\n");
    free(text);
    free(path);
}

/* Lines of all lengths, so that runs of text end anywhere in one; 9 MB. */
static char *many_lines(const char *end, size_t count, size_t *size)
{
    char *text;
    FILE *out = open_memstream(&text, size);
    fputs("\xef\xbb\xbf", out);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "{\"image\": \"%zu.jpg\", \"caption\": \"%*zu\"}%s", i, (int)(i * 7 % 613), i,
                end);
        if (i % 1000 == 0)
            fprintf(out, " \t%s", end); /* a blank line */
    }
    fclose(out);
    return text;
}

static void runs_of_text_end_anywhere(void **state)
{
    (void)state;
    enum { COUNT = 26000 };
    static const char *const ends[] = {"\n", "\r\n", "\r"};
    char *first = NULL;
    for (size_t e = 0; e < 3; e++) {
        size_t size;
        char *text = many_lines(ends[e], COUNT, &size);
        char *path = file("many.jsonl", text, size), *got = expect(path, COUNT);
        struct nc_captions captions;
        CHECK(nc_captions_load(path, &captions)); /* the loader reads the same */
        assert_int_equal(captions.count, COUNT);
        const char *at = got;
        for (size_t i = 0; i < COUNT; i++) {
            char line[1024];
            int length = snprintf(line, sizeof line, "%s|%s|||||\n",
                                  captions.images[captions.items[i].image], captions.items[i].text);
            if (strncmp(at, line, (size_t)length) != 0)
                fail_msg("record %zu is another: %.60s", i, at);
            at += length;
        }
        nc_captions_free(&captions);
        if (first)
            assert_string_equal(first, got);
        else
            first = strdup(got);
        free(got);
        free(text);
        free(path);
    }
    free(first);
}

static void packed_and_several_files_are_one_stream(void **state)
{
    (void)state;
    size_t size, records;
    char *text = many_lines("\n", 9000, &size), *plain = file("p.jsonl", text, size);
    char *packed = nc_path_join(folder, "p.jsonl.gz");
    gzFile gz = gzopen(packed, "wb1");
    assert_int_equal(gzwrite(gz, text, (unsigned)size), size);
    gzclose(gz);
    uint64_t hash, packed_hash;
    int status;
    char *a = read_all((const char *const *)&plain, 1, &records, &hash, &status);
    assert_int_equal(status, NC_OK);
    char *b = read_all((const char *const *)&packed, 1, &records, &packed_hash, &status);
    assert_int_equal(status, NC_OK);
    assert_string_equal(a, b);
    assert_true(hash == packed_hash);
    free(b);
    const char *const two[] = {plain, packed};
    b = read_all(two, 2, &records, &packed_hash, &status);
    assert_int_equal(status, NC_OK);
    assert_int_equal(records, 18000);
    assert_true(hash != packed_hash);
    assert_int_equal(strlen(b), 2 * strlen(a));
    free(b);
    text[size / 2] ^= 1; /* other text, another hash */
    CHECK(nc_file_write(plain, text, size));
    free(read_all((const char *const *)&plain, 1, &records, &packed_hash, &status));
    assert_true(hash != packed_hash);
    const char *const twice[] = {"-", plain, "-"};
    free(read_all(twice, 3, &records, &hash, &status));
    assert_int_equal(status, NC_USAGE);
    free(a);
    free(text);
    free(plain);
    free(packed);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const char good[] = "{\"image\": \"a.jpg\", \"caption\": \"one\"}\n";
    static const struct {
        const char *line, *says;
    } lines[] = {
        {"{\"image\": \"a.jpg\"}", "line 2: \"caption\""},
        {"{\"caption\": \"b\"}", "line 2: \"image\""},
        {"{\"image\": \"\", \"caption\": \"b\"}", "line 2: the image's file name is empty"},
        {"{\"image\": \"a\", \"caption\": 3}", "line 2: \"caption\""},
        {"{\"image\": \"a\", \"caption\": \"b\", \"absence\": 3}", "line 2: \"absence\""},
        {"{\"image\": \"a\", \"caption\": \"b\", \"choices\": \"c\"}", "not an array"},
        {"{\"image\": \"a\", \"caption\": \"b\", \"choices\": [3]}", "not a string"},
        {"{\"image\": \"a\", \"caption\": \"b\", \"distractor\": \"\"}", "file name is empty"},
        {"{\"image\": \"a\", \"caption\": \"\xff\"}", "UTF-8"},
        {"{\"image\": \"a\", \"caption\": \"b\"", "line 2"},
        {"[]", "line 2: not an object"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char text[512];
        int size = snprintf(text, sizeof text, "%s%s\n%s", good, lines[i].line, good);
        refuse(text, (size_t)size, lines[i].says);
    }
    refuse("", 0, "empty");
    refuse(" \n\n", 3, "empty");
    refuse("[1]", 3, "array");
    refuse("{\"a\": 1}", 8, "neither");
    refuse("{\"images\": [], \"annotations\": []}", 33, "no captions");
    char zero[] = "{\"image\": \"a.jpg\", \"caption\": \"one\"}\n\n{\"imag\0";
    refuse(zero, sizeof zero - 1, "line 3");
    size_t size; /* and far behind the first run of text */
    char *text = many_lines("\n", 26000, &size);
    text[size - 5] = 0;
    refuse(text, size, "zero byte in line 26026");
    free(text);
    size = (size_t)70 << 20;
    text = malloc(size);
    memset(text, 'x', size);
    memcpy(text, good, strlen(good));
    memcpy(text + strlen(good), "{\"image\": \"", 11);
    refuse(text, size, "line 2 is longer than 64 MiB");
    free(text);
}

/* COCO JSON whose first object is longer than a run of text. */
static void coco_behind_a_long_member(void **state)
{
    (void)state;
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    fprintf(out, "{\"info\": \"%0*d\", ", 5 << 20, 0);
    fprintf(out, "\"images\": [{\"id\": 1, \"file_name\": \"a.jpg\"}], \"annotations\": [");
    for (int i = 0; i < 40000; i++)
        fprintf(out, "%s{\"image_id\": 1, \"caption\": \"c%d\"}", i ? ", " : "", i);
    fprintf(out, "]}");
    fclose(out);
    char *path = file("long.json", text, size), *got = expect(path, 40000);
    assert_non_null(strstr(got, "a.jpg|c39999|"));
    free(got);
    free(path);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_role),
        cmocka_unit_test(runs_of_text_end_anywhere),
        cmocka_unit_test(packed_and_several_files_are_one_stream),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(coco_behind_a_long_member),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
