/* Safetensors written and read back; headers and indices that lie. */
#include "nclip/checkpoints/safetensors.h"
#include "nclip/checkpoints/tensors.h"
#include "nclip/support/error.h"
#include "support/temporary_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
    char *folder, *file;
};

static int setup(void **state)
{
    struct place *place = malloc(sizeof *place);
    place->folder = temporary_folder_create();
    place->file = nc_path_join(place->folder, "model.safetensors");
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;
    free(place->file);
    temporary_folder_remove(place->folder);
    free(place);
    return 0;
}

static void put(const struct place *place, const char *name, const void *data, size_t size)
{
    char *path = nc_path_join(place->folder, name);
    assert_int_equal(nc_file_write(path, data, size), NC_OK);
    free(path);
}

/* A file of that header and `bytes` bytes of data. */
static void put_header(const struct place *place, const char *name, const char *header,
                       size_t bytes)
{
    size_t length = strlen(header);
    uint8_t *all = calloc(1, 8 + length + bytes);
    for (int i = 0; i < 8; i++)
        all[i] = (uint8_t)((uint64_t)length >> 8 * i);
    memcpy(all + 8, header, length);
    put(place, name, all, 8 + length + bytes);
    free(all);
}

/* Opening `path` must fail, naming `file` and the reason. */
static void refuses(const char *path, const char *file, const char *reason)
{
    struct nc_tensors *opened;
    int status = nc_tensors_open(path, &opened);
    if (status == NC_OK)
        fail_msg("was accepted, though: %s", reason);
    assert_int_equal(status, NC_BAD_INPUT);
    assert_null(opened);
    if (!strstr(nc_error_message(), file) || !strstr(nc_error_message(), reason))
        fail_msg("expected %s and \"%s\" in: %s", file, reason, nc_error_message());
}

static void what_is_written_is_read(void **state)
{
    struct place *place = *state;
    struct nc_safetensors_writer *writer;
    const size_t matrix[] = {2, 3}, empty[] = {0, 5}, vector[] = {3};
    const float numbers[] = {1, 2, 3, 4, 5, 6}, scalar = 7;
    const uint16_t halves[] = {8, 9, 10};
    const char *odd = "a \"quoted\" name \\ \xc3\xa9\n";
    assert_int_equal(nc_safetensors_writer_create(place->file, "pt", &writer), NC_OK);
    assert_int_equal(nc_safetensors_writer_declare(writer, "z", "F32", 2, matrix), NC_OK);
    assert_int_equal(nc_safetensors_writer_declare(writer, "empty", "I64", 2, empty), NC_OK);
    assert_int_equal(nc_safetensors_writer_declare(writer, "scalar", "F32", 0, NULL), NC_OK);
    assert_int_equal(nc_safetensors_writer_declare(writer, odd, "BF16", 1, vector), NC_OK);
    assert_int_equal(nc_safetensors_writer_data(writer, numbers, 10), NC_OK); /* in pieces */
    assert_int_equal(nc_safetensors_writer_data(writer, (const char *)numbers + 10, 14), NC_OK);
    assert_int_equal(nc_safetensors_writer_data(writer, &scalar, 4), NC_OK);
    assert_int_equal(nc_safetensors_writer_data(writer, halves, 6), NC_OK);
    assert_false(nc_file_exists(place->file));
    assert_int_equal(nc_safetensors_writer_commit(writer), NC_OK);

    struct nc_tensors *file;
    assert_int_equal(nc_tensors_open(place->file, &file), NC_OK);
    assert_int_equal(nc_tensors_count(file), 4);
    const struct nc_tensor *tensor = nc_tensors_find(file, "z");
    assert_non_null(tensor);
    assert_ptr_equal(tensor, nc_tensors_at(file, 0));
    assert_string_equal(tensor->type_name, "F32");
    assert_int_equal(tensor->type, NC_FLOAT32);
    assert_int_equal(tensor->rank, 2);
    assert_int_equal(tensor->shape[0], 2);
    assert_int_equal(tensor->shape[1], 3);
    assert_int_equal(tensor->count, 6);
    assert_int_equal((uintptr_t)tensor->data % 8, 0);
    assert_memory_equal(tensor->data, numbers, sizeof numbers);
    nc_tensors_release(file, tensor, 0, tensor->bytes);
    assert_memory_equal(tensor->data, numbers, sizeof numbers); /* readable again */
    assert_string_equal(nc_tensors_path(file, tensor), place->file);
    tensor = nc_tensors_find(file, "empty");
    assert_int_equal(tensor->type, -1);
    assert_int_equal(tensor->bytes, 0);
    tensor = nc_tensors_find(file, "scalar");
    assert_int_equal(tensor->rank, 0);
    assert_int_equal(tensor->count, 1);
    tensor = nc_tensors_find(file, odd);
    assert_non_null(tensor);
    assert_memory_equal(tensor->data, halves, sizeof halves);
    assert_null(nc_tensors_find(file, "Z"));
    nc_tensors_close(file);
    nc_tensors_close(NULL);
}

static void the_writer_keeps_its_promises(void **state)
{
    struct place *place = *state;
    struct nc_safetensors_writer *writer;
    const size_t four = 4, huge[] = {SIZE_MAX / 2, 16};
    const float numbers[5] = {0};
    assert_int_equal(nc_safetensors_writer_create(place->file, NULL, &writer), NC_OK);
    assert_int_equal(nc_safetensors_writer_declare(writer, "x", "F31", 1, &four), NC_FAILED);
    assert_int_equal(nc_safetensors_writer_declare(writer, "x", "F32", 2, huge), NC_FAILED);
    nc_safetensors_writer_abort(writer);
    nc_safetensors_writer_abort(NULL);

    assert_int_equal(nc_safetensors_writer_create(place->file, NULL, &writer), NC_OK);
    assert_int_equal(nc_safetensors_writer_declare(writer, "x", "F32", 1, &four), NC_OK);
    assert_int_equal(nc_safetensors_writer_data(writer, numbers, 20), NC_FAILED);
    assert_int_equal(nc_safetensors_writer_data(writer, numbers, 12), NC_OK);
    assert_int_equal(nc_safetensors_writer_declare(writer, "late", "F32", 1, &four), NC_FAILED);
    assert_int_equal(nc_safetensors_writer_commit(writer), NC_FAILED); /* 4 bytes are missing */
    assert_non_null(strstr(nc_error_message(), place->file));
    assert_int_equal(rmdir(place->folder), 0); /* nothing was left behind */
    assert_int_equal(nc_folder_create(place->folder), NC_OK);

    assert_int_equal(nc_safetensors_writer_create(place->file, NULL, &writer), NC_OK);
    assert_int_equal(nc_safetensors_writer_commit(writer), NC_OK); /* no tensor at all */
    struct nc_tensors *file;
    assert_int_equal(nc_tensors_open(place->folder, &file), NC_OK);
    assert_int_equal(nc_tensors_count(file), 0);
    assert_null(nc_tensors_find(file, "x"));
    nc_tensors_close(file);
}

#define ENTRY(name, type, shape, begin, end)                                                       \
    "\"" name "\":{\"dtype\":\"" type "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}"

static void lying_headers_are_refused(void **state)
{
    struct place *place = *state;
    const struct {
        const char *header;
        size_t bytes;
        const char *reason;
    } cases[] = {
        {"{" ENTRY("a", "F32", "[2]", "0", "8") "}", 7, "cut short"},
        {"{" ENTRY("a", "F32", "[2]", "0", "8") "}", 9, "the last 1 bytes belong to no tensor"},
        {"{" ENTRY("a", "F32", "[3]", "0", "8") "}", 8, "takes 12 bytes by its shape"},
        {"{" ENTRY("a", "F32", "[2]", "8", "0") "}", 8, "no valid \"data_offsets\""},
        {"{" ENTRY("a", "F32", "[2]", "-8", "0") "}", 8, "no valid \"data_offsets\""},
        {"{" ENTRY("a", "F32", "[2]", "0.5", "8.5") "}", 9, "no valid \"data_offsets\""},
        {"{" ENTRY("a", "F32", "[2]", "0", "1e300") "}", 8, "no valid \"data_offsets\""},
        {"{" ENTRY("a", "F32", "[2]", "0", "18446744073709551624") "}", 8,
         "no valid \"data_offsets\""},
        {"{" ENTRY("a", "F32", "[2]", "0", "9007199254740992") "}", 8, "cut short"},
        {"{" ENTRY("a", "F32", "[2]", "0", "8") "," ENTRY("b", "F32", "[2]", "4", "12") "}", 12,
         "\"a\" and \"b\" overlap"},
        {"{" ENTRY("a", "F32", "[2]", "0", "8") "," ENTRY("b", "F32", "[2]", "0", "8") "}", 8,
         "overlap"},
        {"{" ENTRY("a", "F32", "[2]", "0", "8") "," ENTRY("b", "F32", "[2]", "12", "20") "}", 20,
         "4 bytes before tensor \"b\" belong to no tensor"},
        {"{" ENTRY("a", "F32", "[2]", "4", "12") "}", 12, "4 bytes before tensor \"a\""},
        {"{" ENTRY("a", "F32", "[2]", "0", "8") "," ENTRY("a", "F32", "[2]", "8", "16") "}", 16,
         "\"a\" is there twice"},
        {"{" ENTRY("a", "F32", "[-2]", "0", "8") "}", 8, "something else than whole numbers"},
        {"{" ENTRY("a", "F32", "[1.5]", "0", "6") "}", 6, "something else than whole numbers"},
        {"{" ENTRY("a", "F32", "[\"2\"]", "0", "8") "}", 8, "something else than whole numbers"},
        {"{" ENTRY("a", "F32", "[4294967296,4294967296]", "0", "0") "}", 0,
         "more elements than any file"},
        {"{" ENTRY("a", "F64", "[2305843009213693952]", "0", "0") "}", 0,
         "something else than whole numbers"},
        {"{" ENTRY("a", "F64", "[4503599627370496,4096]", "0", "0") "}", 0,
         "more elements than any file"},
        {"{" ENTRY("a", "F64", "[4503599627370496,512]", "0", "0") "}", 0,
         "more elements than any file"},
        {"{" ENTRY("a", "F32", "[1,1,1,1,1,1,1,1,1]", "0", "4") "}", 4, "more than 8 dimensions"},
        {"{" ENTRY("a", "F33", "[2]", "0", "8") "}", 8, "unknown \"dtype\" \"F33\""},
        {"{\"a\":{\"dtype\":5,\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "unknown \"dtype\""},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, "no \"shape\""},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":{},\"data_offsets\":[0,8]}}", 8, "no \"shape\""},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "no valid \"data_offsets\""},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8, "data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}}", 8, "data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
         "\"shape\" twice"},
        {"{\"a\":[]}", 0, "something else than an object"},
        {"{\"a\":null}", 0, "something else than an object"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[NaN],\"data_offsets\":[0,8]}}", 8, "whole numbers"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,Infinity]}}", 8,
         "no valid \"data_offsets\""},
        {"{\"__metadata__\":{\"format\":\"pt\"}}", 3, "holds data, but no tensor"},
        {"{" ENTRY("a", "F32", "[2]", "0", "8"), 8, "not valid JSON"},
        {"{" ENTRY("a", "F32", "[2]", "0", "8") "} x", 8, "not valid JSON"},
        {"{" ENTRY("\xff\xfe", "F32", "[2]", "0", "8") "}", 8, "UTF-8"},
        {"{" ENTRY("\xc3", "F32", "[2]", "0", "8") "}", 8, "UTF-8"},
        {"[1,2]", 0, "no JSON object"},
        {" {}", 0, "no JSON object"},
        {"", 0, "no JSON object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put_header(place, "model.safetensors", cases[i].header, cases[i].bytes);
        refuses(place->file, place->file, cases[i].reason);
    }
}

static void lying_lengths_are_refused(void **state)
{
    struct place *place = *state;
    put(place, "model.safetensors", "", 0);
    refuses(place->file, place->file, "0 bytes are no safetensors file");
    put(place, "model.safetensors", "\2\0\0\0\0\0\0", 7);
    refuses(place->file, place->file, "7 bytes are no safetensors file");
    put(place, "model.safetensors", "\3\0\0\0\0\0\0\0{}", 10);
    refuses(place->file, place->file, "cut short");
    put(place, "model.safetensors", "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10);
    refuses(place->file, place->file, "at most 100000000 are allowed");
    put(place, "model.safetensors", "\1\xe1\xf5\5\0\0\0\0{}", 10); /* 100,000,001 */
    refuses(place->file, place->file, "at most 100000000 are allowed");
    put(place, "model.safetensors", "\0\xe1\xf5\5\0\0\0\0{}", 10); /* 100,000,000 */
    refuses(place->file, place->file, "cut short");
    refuses("/nonexistent/model.safetensors", "/nonexistent/model.safetensors", "cannot read");
    /* What a clone without Git LFS, and a download that went wrong, leave. */
    static const char pointer[] = "version https://git-lfs.github.com/spec/v1\noid sha256:a6\n";
    put(place, "model.safetensors", pointer, sizeof pointer - 1);
    refuses(place->file, place->file, "a Git LFS pointer, not weights");
    refuses(place->file, place->file, "`git lfs pull`");
    put(place, "model.safetensors", "<html>404</html>", 16);
    refuses(place->file, place->file, "an HTML page, not weights");
    put(place, "model.safetensors", "\x1f\x8b\x08\0packed", 10);
    refuses(place->file, place->file, "packed with gzip");
}

static void deep_nesting_is_refused(void **state)
{
    struct place *place = *state;
    enum { DEPTH = 200000 };
    char *header = malloc(2 * DEPTH + 8);
    memcpy(header, "{\"a\":", 5);
    memset(header + 5, '[', DEPTH);
    memset(header + 5 + DEPTH, ']', DEPTH);
    memcpy(header + 5 + 2 * DEPTH, "}", 2);
    put_header(place, "model.safetensors", header, 0);
    refuses(place->file, place->file, "not valid JSON");
    free(header);
}

static const char *const index_name = "model.safetensors.index.json";

static void put_index(const struct place *place, const char *text)
{
    put(place, index_name, text, strlen(text));
}

static void shards_are_one_set(void **state)
{
    struct place *place = *state;
    put_header(place, "one.safetensors",
               "{" ENTRY("a", "F32", "[2]", "0", "8") "," ENTRY("c", "F16", "[1]", "8", "10") "}",
               10);
    put_header(place, "two.safetensors", "{" ENTRY("b", "BF16", "[3]", "0", "6") "}", 6);
    put_index(place, "{\"metadata\":{},\"weight_map\":{\"a\":\"one.safetensors\","
                     "\"b\":\"two.safetensors\",\"c\":\"one.safetensors\"}}");
    struct nc_tensors *file;
    assert_int_equal(nc_tensors_open(place->folder, &file), NC_OK);
    assert_int_equal(nc_tensors_count(file), 3);
    assert_string_equal(nc_tensors_at(file, 1)->name, "c");
    assert_string_equal(nc_tensors_at(file, 2)->name, "b");
    const char *path = nc_tensors_path(file, nc_tensors_find(file, "b"));
    assert_string_equal(strrchr(path, '/'), "/two.safetensors");
    nc_tensors_close(file);

    /* As in transformers, a single file goes before an index. */
    put_header(place, "model.safetensors", "{" ENTRY("d", "F32", "[]", "0", "4") "}", 4);
    assert_int_equal(nc_tensors_open(place->folder, &file), NC_OK);
    assert_int_equal(nc_tensors_count(file), 1);
    nc_tensors_close(file);
}

static void lying_indices_are_refused(void **state)
{
    struct place *place = *state;
    refuses(place->folder, place->folder, "neither model.safetensors nor");
    put_header(place, "one.safetensors", "{" ENTRY("a", "F32", "[2]", "0", "8") "}", 8);
    put_header(place, "same.safetensors", "{" ENTRY("a", "F32", "[2]", "0", "8") "}", 8);
    put_header(place, "bad.safetensors", "{" ENTRY("a", "F32", "[2]", "0", "8") "}", 7);
    put_header(place, "other.safetensors", "{" ENTRY("b", "F32", "[2]", "0", "8") "}", 8);
    const struct {
        const char *index, *file, *reason;
    } cases[] = {
        {"{\"weight_map\":{\"a\":\"../one.safetensors\"}}", index_name, "beside the index"},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", index_name, "beside the index"},
        {"{\"weight_map\":{\"a\":\"..\"}}", index_name, "beside the index"},
        {"{\"weight_map\":{\"a\":\"\"}}", index_name, "beside the index"},
        {"{\"weight_map\":{\"a\":7}}", index_name, "beside the index"},
        {"{\"weight_map\":{\"a\":\"gone.safetensors\"}}", "gone.safetensors", "cannot read"},
        {"{\"weight_map\":{\"a\":\"bad.safetensors\"}}", "bad.safetensors", "cut short"},
        {"{\"weight_map\":{\"x\":\"one.safetensors\"}}", index_name, "\"x\" is not in"},
        {"{\"weight_map\":{\"a\":\"other.safetensors\",\"b\":\"one.safetensors\"}}", index_name,
         "\"a\" is not in other.safetensors"},
        {"{\"weight_map\":{\"a\":\"one.safetensors\",\"y\":\"same.safetensors\"}}",
         "same.safetensors", "twice"},
        {"{\"weight_map\":[\"one.safetensors\"]}", index_name, "weight_map"},
        {"{}", index_name, "weight_map"},
        {"{\"weight_map\":", index_name, "not valid JSON"},
        {"[]", index_name, "weight_map"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put_index(place, cases[i].index);
        refuses(place->folder, cases[i].file, cases[i].reason);
    }
}

/* xorshift64*: the same mutations on every machine. */
static uint64_t random_state = 20250801;
static size_t random_below(size_t limit)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (size_t)(random_state * 0x2545f4914f6cdd1du >> 33) % limit;
}

/* Changes `data` in one to four places; returns the new size, at most `size` + 8. */
static size_t mutate(char *data, size_t size)
{
    static const char *const words[] = {"0",    "-1",   "9",       "99999999", "1e9", "}",
                                        "{",    "]",    "[",       ",",        "\"",  "F32",
                                        "BF16", "null", "\\u0000", ".."};
    for (size_t changes = 1 + random_below(4); changes && size; changes--) {
        size_t place = random_below(size);
        switch (random_below(6)) {
        case 0:
            data[place] = (char)random_below(256);
            break;
        case 1:
            data[place] ^= (char)(1 << random_below(8));
            break;
        case 2: { /* a byte goes */
            memmove(data + place, data + place + 1, size - place - 1);
            size--;
            break;
        }
        case 3: { /* a word over what is there */
            const char *word = words[random_below(sizeof words / sizeof words[0])];
            size_t length = strlen(word) < size - place ? strlen(word) : size - place;
            memcpy(data + place, word, length);
            break;
        }
        case 4: /* a digit of the header's numbers */
            while (place < size && (data[place] < '0' || data[place] > '9'))
                place++;
            if (place < size)
                data[place] = (char)('0' + random_below(10));
            break;
        default: /* the end is cut off, seldom */
            if (random_below(4) == 0)
                size = place;
        }
    }
    return size;
}

/* Whatever is accepted must be consistent, and every byte of it readable. */
static size_t read_all(const struct nc_tensors *file)
{
    size_t sum = 0;
    for (size_t i = 0; i < nc_tensors_count(file); i++) {
        const struct nc_tensor *tensor = nc_tensors_at(file, i);
        size_t count = 1;
        for (size_t j = 0; j < tensor->rank; j++)
            count *= tensor->shape[j];
        assert_int_equal(count, tensor->count);
        assert_int_equal(tensor->bytes, count * nc_tensor_type_size(tensor->type_name));
        assert_ptr_equal(nc_tensors_find(file, tensor->name), tensor);
        for (size_t j = 0; j < tensor->bytes; j++)
            sum += tensor->data[j];
    }
    return sum;
}

static void fuzz(struct place *place, const char *name, const char *opened, size_t rounds,
                 size_t *accepted)
{
    char *path = nc_path_join(place->folder, name), *original;
    size_t size;
    assert_int_equal(nc_file_read(path, 1 << 20, &original, &size), NC_OK);
    char *data = malloc(size + 8);
    *accepted = 0;
    for (size_t i = 0; i < rounds; i++) {
        memcpy(data, original, size);
        size_t mutated = mutate(data, size);
        /* A new file, without nc_file_write's sync or the one that rewriting a file brings. */
        unlink(path);
        FILE *out = fopen(path, "wb");
        assert_int_equal(fwrite(data, 1, mutated, out), mutated);
        fclose(out);
        struct nc_tensors *file;
        int status = nc_tensors_open(opened, &file);
        if (status == NC_OK) {
            read_all(file);
            nc_tensors_close(file);
            ++*accepted;
        } else {
            assert_int_equal(status, NC_BAD_INPUT);
            assert_non_null(strstr(nc_error_message(), place->folder));
        }
    }
    put(place, name, original, size);
    free(data);
    free(original);
    free(path);
}

static void mutated_files_never_crash(void **state)
{
    struct place *place = *state;
    size_t accepted;
    put_header(
        place, "model.safetensors",
        "{\"__metadata__\":{\"format\":\"pt\"}," ENTRY("a", "F32", "[2,3]", "0", "24") "," ENTRY(
            "b.weight", "BF16", "[4]", "24",
            "32") "," ENTRY("c", "I64", "[]", "32",
                            "40") "," ENTRY("d", "F16", "[0,7]", "40",
                                            "40") "," ENTRY("e", "U8", "[3]", "40", "43") "}",
        43);
    fuzz(place, "model.safetensors", place->file, 4000, &accepted);
    assert_in_range(accepted, 10, 3000); /* some only in their data or names */

    char *shard = nc_path_join(place->folder, "one.safetensors");
    assert_int_equal(rename(place->file, shard), 0);
    free(shard);
    put_index(place, "{\"metadata\":{\"total_size\":43},\"weight_map\":{\"a\":\"one.safetensors\","
                     "\"b.weight\":\"one.safetensors\",\"e\":\"one.safetensors\"}}");
    fuzz(place, index_name, place->folder, 1000, &accepted);
    assert_in_range(accepted, 1, 900);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_is_read),   TEST(the_writer_keeps_its_promises),
        TEST(lying_headers_are_refused), TEST(lying_lengths_are_refused),
        TEST(deep_nesting_is_refused),   TEST(shards_are_one_set),
        TEST(lying_indices_are_refused), TEST(mutated_files_never_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
