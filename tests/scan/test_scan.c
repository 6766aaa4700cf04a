/* Scanning files of every format, plain and packed, cut anywhere and hostile. */
#include "scanning.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "support/temporary_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

/* What holds a negation, and what does not; as text, as JSON and as a field of a table. */
static const struct {
    const char *text, *json, *field;
} captions[] = {
    {"a dog on the grass", "a dog on the grass", "a dog on the grass"},
    {"a street with no cars", "a street with n\\u006f cars", "a street with no cars"},
    {"it isn\xe2\x80\x99t red", "it isn\\u2019t red", "it isn\xe2\x80\x99t red"},
    {"a sign, \"no way\"", "a sign, \\\"no way\\\"", "\"a sign, \"\"no way\"\"\""},
    {"a knot and a note", "a knot and a note", "\"a knot and a note\""},
    {"nothing, not NOTHING", "nothing, \\n\\tnot NOTHING", "\"nothing,\nnot NOTHING\""},
    {"a face \xf0\x9f\x98\x80 without a smile", "a face \\ud83d\\ude00 without a smile",
     "a face \xf0\x9f\x98\x80 without a smile"},
};
enum { CAPTIONS = sizeof captions / sizeof *captions, NEGATED = 5 };

struct buffer {
    char *bytes;
    size_t size;
    FILE *file;
};

static void begin(struct buffer *buffer)
{
    buffer->file = open_memstream(&buffer->bytes, &buffer->size);
    assert_non_null(buffer->file);
}

static void add_member(FILE *out, const char *name, const char *text)
{
    char block[512] = {0};
    unsigned sum = 0;
    size_t size = strlen(text);
    snprintf(block, 100, "%s", name);
    snprintf(block + 100, 8, "%07o", 0644u);
    snprintf(block + 124, 12, "%011o", (unsigned)size);
    memset(block + 148, ' ', 8);
    block[156] = '0';
    memcpy(block + 257,
           "ustar\0"
           "00",
           8);
    for (size_t i = 0; i < sizeof block; i++)
        sum += (unsigned char)block[i];
    snprintf(block + 148, 8, "%06o", sum);
    fwrite(block, 1, sizeof block, out);
    fwrite(text, 1, size, out);
    for (; size % 512; size++)
        fputc(0, out);
}

enum { TEXT, JSONL, COCO, CSV, TSV, TAR_TEXT, TAR_JSON, FORMATS };
static const char *const names[FORMATS] = {"a.txt", "a.jsonl", "a.json", "a.csv",
                                           "a.tsv", "a.tar",   "b.tar"};

/* The captions in the format. */
static void write_format(int format, struct buffer *buffer)
{
    begin(buffer);
    FILE *out = buffer->file;
    if (format == COCO)
        fputs("{\"info\": {\"x\": [1, {\"y\": null}]}, \"images\": [{\"id\": 1, \"file_name\": "
              "\"a\"}], \"annotations\": [",
              out);
    if (format == CSV)
        fputs("image,\"caption\",other\r\n", out);
    if (format == TSV)
        fputs("id\tcaption\n", out);
    for (size_t i = 0; i < CAPTIONS; i++) {
        char name[32], object[256];
        snprintf(object, sizeof object,
                 "{\"id\": %zu, \"tags\": {\"a\": [\"no\"]}, \"caption\": \"%s\"}", i,
                 captions[i].json);
        if (format == TEXT)
            fprintf(out, "%s%s\n", captions[i].text, i == 2 ? "\r\n\n  " : "");
        else if (format == JSONL)
            fprintf(out, "%s\n%s", object, i == 3 ? "\n" : "");
        else if (format == COCO)
            fprintf(out, "%s%s", i ? ",\n " : "", object);
        else if (format == CSV)
            fprintf(out, "%zu.jpg,%s,\"no,\"\"\n\"\r\n", i, captions[i].field);
        else if (format == TSV)
            fprintf(out, "no%zu\t%s\n", i, captions[i].field);
        if (format == TAR_TEXT || format == TAR_JSON) {
            snprintf(name, sizeof name, "./p/%zu.jpg", i);
            add_member(out, name, "no picture");
            if (format == TAR_TEXT && i % 2 == 0) { /* before the text, and behind it */
                snprintf(name, sizeof name, "./p/%zu.json", i);
                add_member(out, name, "{\"caption\": \"no no\"}");
            }
            snprintf(name, sizeof name, "./p/%zu.%s", i, format == TAR_JSON ? "json" : "txt");
            add_member(out, name, format == TAR_JSON ? object : captions[i].text);
            if (format == TAR_TEXT && i % 2) {
                snprintf(name, sizeof name, "./p/%zu.json", i);
                add_member(out, name, "{\"caption\": \"no no\"}");
            }
        }
    }
    if (format == COCO)
        fputs("]}\n", out);
    for (int i = 0; i < 1024 && (format == TAR_TEXT || format == TAR_JSON); i++)
        fputc(0, out);
    fclose(out);
}

static uint64_t count_of(const struct nc_scan_result *result, const char *word)
{
    for (size_t i = 0; i < nc_negation_list_count(words); i++)
        if (strcmp(nc_negation_list_word(words, i), word) == 0)
            return result->by_word[i];
    fail_msg("no word %s", word);
    return 0;
}

static void check(const struct nc_scan_result *result, const char *name, size_t block)
{
    if (result->captions != CAPTIONS || result->negated != NEGATED || result->unread)
        fail_msg("%s, blocks of %zu: %llu of %llu, %llu unread", name, block,
                 (unsigned long long)result->negated, (unsigned long long)result->captions,
                 (unsigned long long)result->unread);
    assert_int_equal(count_of(result, "no"), 2);
    assert_int_equal(count_of(result, "not"), 1);
    assert_int_equal(count_of(result, "nothing"), 1);
    assert_int_equal(count_of(result, "n't"), 1);
    assert_int_equal(count_of(result, "without"), 1);
    assert_int_equal(count_of(result, "never"), 0);
}

/* Every format, plain and packed, cut at every byte, by one thread and by several. */
static void formats_agree_however_they_are_cut(void **state)
{
    (void)state;
    char *folder = temporary_folder_create();
    for (int format = 0; format < FORMATS; format++) {
        struct buffer buffer;
        write_format(format, &buffer);
        char *path = write_bytes(folder, names[format], buffer.bytes, buffer.size);
        struct nc_scan_result whole = scan(path, &(struct nc_scan_options){.examples = 3});
        check(&whole, names[format], 0);
        assert_int_equal(whole.example_count, 3);
        struct nc_scan_result all = scan(path, &(struct nc_scan_options){.examples = 99});
        assert_int_equal(all.example_count, NEGATED);
        static const size_t negated[] = {1, 2, 3, 5, 6};
        for (size_t i = 0; i < NEGATED; i++)
            if (negated[i] != 5) /* is written with other blanks in some */
                assert_string_equal(all.examples[i].text, captions[negated[i]].text);
        nc_scan_result_free(&all);
        for (size_t block = 1; block < 80; block++) {
            struct nc_scan_options options = {
                .block = block, .threads = 1 + block % 4, .examples = 3};
            struct nc_scan_result result = scan(path, &options);
            check(&result, names[format], block);
            for (size_t i = 0; i < 3; i++) {
                assert_string_equal(result.examples[i].text, whole.examples[i].text);
                assert_int_equal(result.examples[i].offset, whole.examples[i].offset);
            }
            nc_scan_result_free(&result);
        }
        nc_scan_result_free(&whole);
        free(path);
        free(buffer.bytes);
    }
    temporary_folder_remove(folder);
}

static char *write_packed(const char *folder, const char *name, bool zstd, const char *bytes,
                          size_t size, size_t *packed_size)
{
    char file[64];
    snprintf(file, sizeof file, "%s.%s", name, zstd ? "zst" : "gz");
    char *path = path_of(folder, file), *packed = malloc(2 * size + 4096);
    size_t used = 0, half = size / 2;
    for (int part = 0; part < 2; part++) { /* two members, or frames */
        const char *from = bytes + (part ? half : 0);
        size_t length = part ? size - half : half;
        if (zstd) {
            used += ZSTD_compress(packed + used, size + 2048, from, length, 3);
            continue;
        }
        z_stream stream = {0};
        assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, 0), Z_OK);
        stream.next_in = (Bytef *)from;
        stream.avail_in = (uInt)length;
        stream.next_out = (Bytef *)packed + used;
        stream.avail_out = (uInt)(size + 2048);
        assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
        used += stream.total_out;
        deflateEnd(&stream);
    }
    rewrite(path, packed, used);
    free(packed);
    *packed_size = used;
    return path;
}

static void reads_packed_files_and_refuses_cut_ones(void **state)
{
    (void)state;
    char *folder = temporary_folder_create();
    for (int format = 0; format < FORMATS; format++) {
        struct buffer buffer;
        write_format(format, &buffer);
        for (int zstd = 0; zstd < 2; zstd++) {
            size_t size, read_size;
            char *packed;
            char *path =
                write_packed(folder, names[format], zstd, buffer.bytes, buffer.size, &size);
            struct nc_scan_result result = scan(path, &(struct nc_scan_options){.threads = 2});
            check(&result, path, 0);
            nc_scan_result_free(&result);
            assert_int_equal(nc_file_read(path, 1 << 20, &packed, &read_size), NC_OK);
            for (size_t cut = 5; cut < size; cut += 7) {
                rewrite(path, packed, cut);
                struct nc_scan_options options = {.words = words, .threads = 1};
                const char *file = path;
                int status = nc_scan(&file, 1, &options, &result);
                if (status == NC_OK && result.captions == CAPTIONS)
                    assert_true(format == TAR_TEXT || format == TAR_JSON); /* only zeros are lost */
                if (status == NC_OK)                                       /* cut between members */
                    nc_scan_result_free(&result);
                else
                    assert_int_equal(status, NC_BAD_INPUT);
            }
            packed[size / 4] ^= 0x55; /* damaged: no crash */
            rewrite(path, packed, size);
            struct nc_scan_options options = {.words = words, .threads = 1};
            const char *file = path;
            if (nc_scan(&file, 1, &options, &result) == NC_OK)
                nc_scan_result_free(&result);
            free(packed);
            free(path);
        }
        free(buffer.bytes);
    }
    struct buffer zeros;
    begin(&zeros);
    size_t size, read_size;
    char *packed, *path = write_packed(folder, "z.txt", false, "no dog\nno cat\n", 14, &size);
    assert_int_equal(nc_file_read(path, 1 << 20, &packed, &read_size), NC_OK);
    fwrite(packed, 1, size, zeros.file);
    fputs("garbage", zeros.file);
    fclose(zeros.file);
    rewrite(path, zeros.bytes, zeros.size);
    refuses(path, &(struct nc_scan_options){0}, NC_BAD_INPUT, "behind its end");
    free(zeros.bytes);
    free(packed);
    free(path);
    temporary_folder_remove(folder);
}

static void refuses_json_and_tars_that_break_off(void **state)
{
    (void)state;
    static const int formats[] = {COCO, TAR_TEXT, TAR_JSON};
    char *folder = temporary_folder_create();
    for (size_t k = 0; k < 3; k++) {
        struct buffer buffer;
        write_format(formats[k], &buffer);
        size_t step = formats[k] == COCO ? 1 : 100;
        size_t end = formats[k] == COCO ? buffer.size - 2 : buffer.size - 1024;
        for (size_t cut = 1; cut < end; cut += step) {
            char *path = write_bytes(folder, names[formats[k]], buffer.bytes, cut);
            struct nc_scan_options options = {.words = words, .threads = 1, .block = 61};
            struct nc_scan_result result;
            const char *file = path;
            int status = nc_scan(&file, 1, &options, &result);
            if (status == NC_OK && (formats[k] == COCO || cut % 512))
                fail_msg("%s cut at %zu is taken as whole", path, cut);
            if (status == NC_OK)
                nc_scan_result_free(&result);
            else
                assert_int_equal(status, NC_BAD_INPUT);
            free(path);
        }
        free(buffer.bytes);
    }
    temporary_folder_remove(folder);
}

static void looks_into_the_right_member(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *field;
        uint64_t captions, negated, unread;
    } cases[] = {
        {"a.jsonl", "{\"caption\": \"no dog\", \"updated_caption\": \"a dog\"}\n", NULL, 1, 0, 0},
        {"a.jsonl", "{\"updated_caption\": \"a dog\", \"caption\": \"no dog\"}", NULL, 1, 0, 0},
        {"a.jsonl", "{\"updated_caption\": null, \"caption\": \"no dog\"}", NULL, 1, 1, 0},
        {"a.jsonl", "{\"TEXT\": \"no dog\"}\n{\"text\": \"not a cat\"}", NULL, 2, 2, 0},
        {"a.jsonl", "{\"caption\": \"no dog\", \"t\": \"a dog\"}", "t", 1, 0, 0},
        {"a.jsonl", "{\"x\": {\"caption\": \"no dog\"}, \"caption\": \"a dog\"}", NULL, 1, 0, 0},
        {"a.jsonl",
         "{\"a\": 1}\n[]\n{\"caption\": 3}\n{\"caption\": \"no\"} {}\n{\"caption\": \"no\"}", NULL,
         1, 1, 4},
        {"a.jsonl", "{\"caption\": \"no\\ud83d dog\"}\n{\"caption\": \"\\ud83d\\ud83dno\"}", NULL,
         2, 0, 0},
        {"a.jsonl", "{\"caption\": \"\"}\n", NULL, 1, 0, 0},
        {"a.json",
         "{\"k\": {\"caption\": \"no dog\", \"foil\": \"a dog\"}, \"l\": {\"caption\": \"x\"}}",
         NULL, 2, 1, 0},
        {"a.json", "[{\"sentences\": [{\"sent\": \"no dog\"}, {\"sent\": \"a dog\"}]}]", "sent", 2,
         1, 0},
        {"a.json", "{\"caption\": \"no dog\"}\n{\"caption\": \"a dog\"}", NULL, 2, 1, 0},
        {"a.csv", "a,b\nno,x\n1,no dog\n2", "b", 2, 1, 1},
        {"a.csv", "1,no dog\n2,a dog\n", "2", 2, 1, 0},
        {"a.csv", "caption\n\"a dog\n", NULL, 0, 0, 1},
        {"a.tsv",
         "\xef\xbb\xbf"
         "caption\turl\nno dog\tx\n\n",
         NULL, 1, 1, 0},
        {"a.csv", "\xef\xbb\xbfno dog,x\na dog,y\n", "1", 2, 1, 0},
        {"a.csv", "\xef\xbb\xbf\"a dog,\nnot a cat\",x\na dog,y\n", "1", 2, 1, 0},
        {"a.csv", "caption,url\r\nno\"dog,x\r\nx,not\r\n", NULL, 2, 1, 0},
        {"a.txt", "\xef\xbb\xbfno dog\n", NULL, 1, 1, 0},
        {"a.txt", "\xfe\xfd no \xc3\n\xc3no\n", NULL, 2, 1, 0},
    };
    char *folder = temporary_folder_create();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = write_bytes(folder, cases[i].name, cases[i].text, strlen(cases[i].text));
        struct nc_scan_options options = {.field = cases[i].field};
        if (!cases[i].captions) {
            refuses(path, &options, NC_BAD_INPUT, "no caption in it");
        } else {
            struct nc_scan_result result = scan(path, &options);
            if (result.captions != cases[i].captions || result.negated != cases[i].negated ||
                result.unread != cases[i].unread)
                fail_msg("%s: %llu captions, %llu negated, %llu unread", cases[i].text,
                         (unsigned long long)result.captions, (unsigned long long)result.negated,
                         (unsigned long long)result.unread);
            assert_int_equal(result.unread_first[0] != 0, result.unread != 0);
            nc_scan_result_free(&result);
        }
        free(path);
    }
    /* A line with a zero byte is no text. */
    char *path = write_bytes(folder, "nul.txt", "no\0no\nno dog\n\0\n", 15);
    struct nc_scan_result result = scan(path, &(struct nc_scan_options){.examples = 2});
    assert_int_equal(result.negated, 1);
    assert_int_equal(result.captions, 1);
    assert_int_equal(result.unread, 2);
    assert_non_null(strstr(result.unread_first, "nul.txt byte 0: a zero byte"));
    nc_scan_result_free(&result);
    free(path);
    path = write_bytes(folder, "nul.json", "{\"caption\": \"no\\u0000no\"}", 25);
    result = scan(path, &(struct nc_scan_options){.examples = 2});
    assert_string_equal(result.examples[0].text, "no no");
    nc_scan_result_free(&result);
    free(path);
    path = write_bytes(folder, "bytes.txt", "\xff no \xc3\xa9\xc3", 8);
    result = scan(path, &(struct nc_scan_options){.examples = 2});
    assert_string_equal(result.examples[0].text, "? no \xc3\xa9?");
    nc_scan_result_free(&result);
    free(path);
    temporary_folder_remove(folder);
}

static void refuses_hostile_files(void **state)
{
    (void)state;
    char *folder = temporary_folder_create(), *path;
    static const struct {
        const char *name, *text, *field, *message;
        int status;
    } cases[] = {
        {"a.json", "{\"caption\": \"no\"", NULL, "byte 16: it breaks off", NC_BAD_INPUT},
        {"a.json", "{\"caption\": \"no\"]", NULL, "byte 16: no comma", NC_BAD_INPUT},
        {"a.json", "{\"caption\" \"no\"}", NULL, "no colon", NC_BAD_INPUT},
        {"a.json", "[1,]", NULL, "no value", NC_BAD_INPUT},
        {"a.json", "{\"a\": \"\\x\"}", NULL, "a wrong escape", NC_BAD_INPUT},
        {"a.json", "{\"a\": \"\\u12g4\"}", NULL, "a wrong \\u", NC_BAD_INPUT},
        {"a.json", "{\"a\": \"\n\"}", NULL, "control character", NC_BAD_INPUT},
        {"a.json", "{\"annotations\": []}", NULL, "no caption in it", NC_BAD_INPUT},
        {"a.csv", "a,b\nno,x\n", NULL, "give --field", NC_BAD_INPUT},
        {"a.csv", "a,b\nno,x\n", "c", "no column \"c\"", NC_BAD_INPUT},
        {"a.csv", "a,b\nno,x\n", "0", "numbered from 1", NC_USAGE},
        {"a.csv", "a,b\nno,x\n", "7", "too few columns", NC_BAD_INPUT},
        {"a.tar", "not a tar at all", NULL, "damaged tar", NC_BAD_INPUT},
        {"a.parquet", "PAR1", NULL, "DuckDB", NC_BAD_INPUT},
        {"a.xyz", "no\1\2\3\4\5", NULL, "--format", NC_BAD_INPUT},
        {"a.txt", "PAR1", NULL, "DuckDB", NC_BAD_INPUT},
        {"a.txt", "\xff\xfen", NULL, "UTF-16", NC_BAD_INPUT},
        {"a.csv", "version https://git-lfs.github.com/spec/v1\n", NULL, "git lfs pull", NC_BAD_INPUT},
        {"a.jsonl", "<html>404 not found</html>\n", NULL, "an HTML page", NC_BAD_INPUT},
        {"a.txt", "", NULL, "no caption in it", NC_BAD_INPUT},
        {"a.txt.gz", "\x1f\x8b\x08", NULL, "cut off", NC_BAD_INPUT},
        {"a.txt.zst", "\x28\xb5\x2f\xfd", NULL, "cut off", NC_BAD_INPUT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        path = write_bytes(folder, cases[i].name, cases[i].text, strlen(cases[i].text));
        refuses(path, &(struct nc_scan_options){.field = cases[i].field}, cases[i].status,
                cases[i].message);
        free(path);
    }
    char *deep = malloc(1 << 20);
    memset(deep, '[', 1 << 20);
    path = write_bytes(folder, "deep.json", deep, 1 << 20);
    refuses(path, &(struct nc_scan_options){0}, NC_BAD_INPUT, "nested too deep");
    free(path);
    path = write_bytes(folder, "deep.jsonl", deep, 1 << 20);
    refuses(path, &(struct nc_scan_options){0}, NC_BAD_INPUT, "not one JSON object");
    free(path);
    free(deep);
    char *huge = malloc(NC_SCAN_LONGEST + 2);
    memset(huge, 'x', NC_SCAN_LONGEST + 2);
    path = write_bytes(folder, "huge.txt", huge, NC_SCAN_LONGEST + 2);
    refuses(path, &(struct nc_scan_options){0}, NC_BAD_INPUT, "a line of more than 64 MiB");
    free(path);
    free(huge);
    refuses("/nowhere/a.txt", &(struct nc_scan_options){0}, NC_BAD_INPUT, "cannot read");
    temporary_folder_remove(folder);
}

static void lists_of_words_are_replaced(void **state)
{
    (void)state;
    char *folder = temporary_folder_create();
    char *list = write_bytes(folder, "words", "# mine\nEmpty\n\n kein \r\nn't", 25);
    struct nc_negation_list *mine;
    assert_int_equal(nc_negation_list_load(list, &mine), NC_OK);
    assert_int_equal(nc_negation_list_count(mine), 3);
    char *path = write_bytes(folder, "a.txt", "an EMPTY can\nno dog\nkein Hund, isn't it\n", 41);
    struct nc_scan_result result = scan(path, &(struct nc_scan_options){.words = mine});
    assert_int_equal(result.negated, 2);
    assert_int_equal(result.by_word[0], 1);
    assert_int_equal(result.by_word[1], 1);
    assert_int_equal(result.by_word[2], 1);
    nc_scan_result_free(&result);
    nc_negation_list_free(mine);
    free(path);
    free(list);
    static const char *const wrong[][2] = {{"two words\n", "line 1"},
                                           {"no\nNO\n", "line 2"},
                                           {"# nothing\n", "no word"},
                                           {"don't", "line 1"}};
    for (size_t i = 0; i < 4; i++) {
        list = write_bytes(folder, "words", wrong[i][0], strlen(wrong[i][0]));
        assert_int_equal(nc_negation_list_load(list, &mine), NC_BAD_INPUT);
        assert_null(mine);
        if (!strstr(nc_error_message(), wrong[i][1]))
            fail_msg("%s", nc_error_message());
        free(list);
    }
    temporary_folder_remove(folder);
}

/* The fast search finds what the plain one finds, in anything. */
static void both_searches_agree(void **state)
{
    (void)state;
    static const char *const parts[] = {
        "no",   "not", "n't",     "'",        "\xe2\x80\x99", "isn",
        "t",    " ",   "without", "\xc3\xa9", "\xc2\xa0",     "\xe3\x80\x80",
        ".",    "_",   "N",       "OT",       "\xff",         "\x80",
        "lack", "s",   "-",       "7",        "don",          "&#39;",
        "`",    "?",   " only",   "no doubt", "\xca\xbc",     "\\"};
    uint64_t random = 1;
    size_t found = 0;
    for (int round = 0; round < 20000; round++) {
        char text[256];
        size_t length = 0;
        for (int i = 0; i < 12; i++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
            const char *part = parts[(random >> 33) % (sizeof parts / sizeof *parts)];
            memcpy(text + length, part, strlen(part));
            length += strlen(part);
        }
        struct nc_negation_match a = {0}, b = {0};
        for (;;) {
            bool one = nc_negation_find(text, length, a.end, &a), two;
            do {
                two = nc_negation_list_find(words, text, length, b.end, &b);
            } while (two && !b.listed);
            assert_int_equal(one, two);
            if (!one)
                break;
            found++;
            assert_int_equal(a.start, b.start);
            assert_int_equal(a.end, b.end);
            assert_int_equal(a.word, b.word);
            assert_int_equal(a.denies, b.denies);
        }
    }
    assert_true(found > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_agree_however_they_are_cut),
        cmocka_unit_test(reads_packed_files_and_refuses_cut_ones),
        cmocka_unit_test(refuses_json_and_tars_that_break_off),
        cmocka_unit_test(looks_into_the_right_member),
        cmocka_unit_test(refuses_hostile_files),
        cmocka_unit_test(lists_of_words_are_replaced),
        cmocka_unit_test(both_searches_agree),
    };
    return cmocka_run_group_tests(tests, scanning_begin, scanning_end);
}
