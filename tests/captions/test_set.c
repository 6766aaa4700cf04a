/* The prepared set: what is written is read; what is damaged or lies is refused by name. */
#include "nclip/captions/set.h"
#include "captions/small_set.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "support/temporary_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define CHECK(call)                                                                                \
    do {                                                                                           \
        if ((call) != NC_OK)                                                                       \
            fail_msg("%s: %s", #call, nc_error_message());                                         \
    } while (0)

enum { ALL_ROLES = (1 << NC_TEXT_ROLES) - 1, TABLE = 256 };

static const struct small_set small = {.rows = 23,
                                       .block_rows = 4,
                                       .blocks_a_shard = 4,
                                       .dimension = 3,
                                       .vocabulary = 500,
                                       .distractors = true,
                                       .roles = ALL_ROLES};

static int setup(void **state)
{
    *state = temporary_folder_create();
    return 0;
}

static int teardown(void **state)
{
    temporary_folder_remove(*state);
    return 0;
}

static void check_block(const struct small_set *made, const struct nc_set *set, size_t b)
{
    struct nc_set_block block;
    struct nc_set_heads heads;
    const void *embeddings;
    nc_set_block(set, b, &block);
    assert_int_equal(block.first_row, b * made->block_rows);
    assert_int_equal(block.heads.offset % NC_SET_ALIGNMENT, 0);
    assert_int_equal(block.body.offset % NC_SET_ALIGNMENT, 0);
    uint64_t *bytes = malloc(block.heads.bytes + 1), *body = malloc(block.body.bytes + 1);
    int32_t *tokens = malloc(block.tokens * sizeof *tokens + 1);
    CHECK(nc_set_read_heads(set, b, bytes));
    CHECK(nc_set_decode_heads(set, b, bytes, &heads));
    CHECK(nc_set_read_body(set, b, body));
    CHECK(nc_set_decode_body(set, b, body, tokens, &embeddings));
    const float *embedding = embeddings;
    size_t n = 0, text = 0, token = 0;
    for (size_t row = block.first_row; row < block.first_row + block.rows; row++) {
        for (size_t e = 0; e < small_set_examples(made, row); e++, n++) {
            assert_int_equal(heads.row[n], row - block.first_row);
            assert_int_equal(heads.ordinal[n], 4 * row + e);
            size_t own = 0;
            for (unsigned role = 0; role < NC_TEXT_ROLES; role++) {
                size_t count = small_set_texts(made, row, e, role);
                assert_int_equal(heads.counts[role] ? heads.counts[role][n] : 0, count);
                for (size_t i = 0; i < count; i++, text++, own++) {
                    assert_int_equal(heads.lengths[text], small_set_length(row, e, own));
                    for (size_t t = 0; t < heads.lengths[text]; t++)
                        assert_int_equal(tokens[token++], small_set_token(made, row, e, own, t));
                }
            }
            uint64_t distractor = small_set_distractor(made, row, e);
            if (!made->distractors) {
                assert_null(heads.distractor);
                continue;
            }
            assert_true(heads.distractor[n] == distractor);
            for (size_t i = 0; distractor != NC_SET_NO_ROW && i < made->dimension; i++)
                assert_true(*embedding++ == (float)(distractor * made->dimension + i));
        }
    }
    assert_int_equal(n, heads.examples);
    assert_int_equal(n, block.examples);
    assert_int_equal(text, block.texts);
    assert_int_equal(token, block.tokens);
    free(bytes);
    free(body);
    free(tokens);
}

static void what_is_written_is_read(void **state)
{
    struct small_set kinds[] = {small, small, small, small};
    kinds[1].distractors = false;
    kinds[1].roles = 1u << NC_TEXT_CAPTION | 1u << NC_TEXT_CHOICES;
    kinds[2].vocabulary = 70000; /* ids of 4 bytes */
    kinds[2].blocks_a_shard = 100;
    kinds[3].rows = 700; /* sections of more than a page */
    kinds[3].block_rows = 300;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        char name[16];
        snprintf(name, sizeof name, "set-%zu", k);
        char *folder = nc_path_join(*state, name);
        struct nc_set *set;
        if (!small_set_write(folder, &kinds[k]))
            fail_msg("%s", nc_error_message());
        CHECK(nc_set_open(folder, &set));
        const struct nc_set_info *info = nc_set_info(set);
        assert_int_equal(nc_set_blocks(set), info->blocks);
        assert_int_equal(info->roles, kinds[k].roles);
        assert_int_equal(info->id_bytes, kinds[k].vocabulary > 65536 ? 4 : 2);
        assert_true(info->store_fingerprint == 0xfedcba9876543210u);
        assert_int_equal(info->left_out_count, 2);
        assert_string_equal(info->left_out[1].first, "a very \"long\" one");
        assert_int_equal(info->source_count, 2);
        assert_string_equal(info->sources[1], "-");
        assert_int_equal(info->source_bytes[0], 1000);
        for (size_t b = 0; b < nc_set_blocks(set); b++)
            check_block(&kinds[k], set, b);
        nc_set_close(set);
        free(folder);
    }
}

static void refuses(int status, const char *part)
{
    if (status != NC_BAD_INPUT || !strstr(nc_error_message(), part))
        fail_msg("%d and \"%s\", not a refusal of \"%s\"", status, nc_error_message(), part);
}

static void another_models_set_is_refused(void **state)
{
    struct nc_set *set;
    assert_true(small_set_write(*state, &small));
    CHECK(nc_set_open(*state, &set));
    struct nc_set_info has = {0};
    CHECK(nc_set_expect(set, &has));
    has = *nc_set_info(set);
    CHECK(nc_set_expect(set, &has));
    has.context = 64;
    refuses(nc_set_expect(set, &has), "64");
    has = *nc_set_info(set);
    has.vocabulary++;
    refuses(nc_set_expect(set, &has), "vocabulary");
    has = *nc_set_info(set);
    has.tokenizer++;
    refuses(nc_set_expect(set, &has), "tokenizer");
    has = *nc_set_info(set);
    has.store_fingerprint++;
    refuses(nc_set_expect(set, &has), "/somewhere/store");
    has = *nc_set_info(set);
    has.model_hash = "other";
    refuses(nc_set_expect(set, &has), "another model");
    nc_set_close(set);
}

/* Opens the set and reads all of it. */
static int read_all(const char *folder)
{
    struct nc_set *set;
    int status = nc_set_open(folder, &set);
    for (size_t b = 0; status == NC_OK && b < nc_set_blocks(set); b++) {
        struct nc_set_block block;
        struct nc_set_heads heads;
        nc_set_block(set, b, &block);
        uint64_t *bytes = malloc(block.heads.bytes + 1), *body = malloc(block.body.bytes + 1);
        int32_t *tokens = malloc(block.tokens * sizeof *tokens + 1);
        assert_true(bytes && body && tokens);
        status = nc_set_read_heads(set, b, bytes);
        if (status == NC_OK)
            status = nc_set_decode_heads(set, b, bytes, &heads);
        if (status == NC_OK)
            status = nc_set_read_body(set, b, body);
        if (status == NC_OK)
            status = nc_set_decode_body(set, b, body, tokens, NULL);
        free(bytes);
        free(body);
        free(tokens);
        if (status != NC_OK) {
            nc_set_close(set);
            return status;
        }
    }
    if (status == NC_OK)
        nc_set_close(set);
    return status;
}

/* Each byte of a shard changed, each but the zeros between sections: refused. */
static void every_changed_byte_is_noticed(void **state)
{
    struct small_set tiny = small;
    tiny.rows = 7;
    assert_true(small_set_write(*state, &tiny));
    char *path = nc_path_join(*state, "examples-000000.set"), *bytes;
    size_t size, noticed = 0;
    CHECK(nc_file_read(path, 1 << 20, &bytes, &size));
    CHECK(read_all(*state));
    struct nc_set *set;
    struct nc_set_block block;
    CHECK(nc_set_open(*state, &set));
    nc_set_block(set, 0, &block);
    nc_set_close(set);
    for (size_t i = 0; i < size; i++) {
        bool meant = i < TABLE + 2 * 96 + 8 ||
                     (i >= block.heads.offset && i < block.heads.offset + block.heads.bytes) ||
                     (i >= block.body.offset && i < block.body.offset + block.body.bytes);
        if (!meant)
            continue;
        bytes[i] ^= 0x11;
        CHECK(nc_file_write(path, bytes, size));
        refuses(read_all(*state), path);
        bytes[i] ^= 0x11;
        noticed++;
    }
    assert_true(noticed > 500);
    for (size_t left = 0; left < size; left += left < 600 ? 1 : 1021) { /* and each cut */
        CHECK(nc_file_write(path, bytes, left));
        refuses(read_all(*state), path);
    }
    CHECK(nc_file_write(path, bytes, size));
    CHECK(read_all(*state));
    free(bytes);
    free(path);
}

/* ---- liars: the sums fit ---- */

/* Puts `value` at a place of the shard's table and makes sums fit, also set.json's. */
static int with_lie(const char *folder, const char *bytes, size_t size, size_t blocks, size_t place,
                    uint64_t value)
{
    char *path = nc_path_join(folder, "examples-000000.set"), *copy = malloc(size), *text;
    char *json = nc_path_join(folder, NC_SET_FILE), hex[17];
    size_t end = TABLE + blocks * 96, length;
    uint64_t sum;
    memcpy(copy, bytes, size);
    memcpy(copy + place, &value, sizeof value);
    sum = XXH3_64bits(copy, end);
    memcpy(copy + end, &sum, sizeof sum);
    CHECK(nc_file_write(path, copy, size));
    CHECK(nc_file_read(json, 1 << 20, &text, &length));
    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)sum);
    char *shards = strstr(text, "\"shards\""), *at = strstr(shards, "\"sum\"");
    memcpy(strchr(at + 5, '"') + 1, hex, 16);
    CHECK(nc_file_write(json, text, length));
    free(text);
    free(copy);
    free(path);
    free(json);
    return read_all(folder);
}

static void lies_in_the_table_are_refused(void **state)
{
    static const uint64_t lies[] = {0, 1, 3, 5, 1u << 20, UINT32_MAX, UINT64_MAX,
                                    UINT64_MAX / 2 + 1};
    struct small_set tiny = small;
    tiny.rows = 7;
    assert_true(small_set_write(*state, &tiny));
    char *path = nc_path_join(*state, "examples-000000.set"), *bytes;
    size_t size;
    CHECK(nc_file_read(path, 1 << 20, &bytes, &size));
    for (size_t field = 0; field < 2 * 12; field++) {
        uint64_t truth;
        memcpy(&truth, bytes + TABLE + field * 8, sizeof truth);
        for (size_t i = 0; i < sizeof lies / sizeof *lies; i++)
            if (lies[i] != truth)
                refuses(with_lie(*state, bytes, size, 2, TABLE + field * 8, lies[i]), *state);
    }
    CHECK(with_lie(*state, bytes, size, 2, TABLE + 8, 4)); /* the truth */
    /* A part that is said to be shorter, and whose sum fits. */
    uint64_t heads[3];
    memcpy(heads, bytes + TABLE + 48, sizeof heads);
    heads[1] -= 2;
    heads[2] = XXH3_64bits(bytes + heads[0], heads[1]);
    memcpy(bytes + TABLE + 48, heads, sizeof heads);
    refuses(with_lie(*state, bytes, size, 2, TABLE + 8, 4), "sizes do not fit");
    free(bytes);
    free(path);
}

/* A change in a section whose sum fits again. */
static int with_lie_in_section(const char *folder, const char *bytes, size_t size,
                               const struct nc_set_part *part, size_t sum_place, size_t place,
                               const void *lie, size_t lie_size)
{
    char *copy = malloc(size);
    memcpy(copy, bytes, size);
    memcpy(copy + part->offset + place, lie, lie_size);
    int status = with_lie(folder, copy, size, 2, sum_place,
                          XXH3_64bits(copy + part->offset, part->bytes));
    free(copy);
    return status;
}

static void lies_in_sections_are_refused(void **state)
{
    struct small_set tiny = small;
    tiny.rows = 7;
    assert_true(small_set_write(*state, &tiny));
    char *path = nc_path_join(*state, "examples-000000.set"), *bytes;
    size_t size;
    CHECK(nc_file_read(path, 1 << 20, &bytes, &size));
    struct nc_set *set;
    struct nc_set_block block;
    CHECK(nc_set_open(*state, &set));
    nc_set_block(set, 0, &block);
    nc_set_close(set);
    size_t n = block.examples, row = 16 * n, lengths = 20 * n, counts = lengths + 2 * block.texts;
    const struct {
        size_t place, size;
        uint64_t lie;
        const char *says;
    } lies[] = {
        {0, 8, 1000, "not given"},
        {0, 8, UINT64_MAX, "not given"},
        {16, 8, 8, "order"},
        {8 * n, 8, 7, "no row"},
        {8 * n, 8, NC_SET_NO_ROW, "distractors"},
        {row, 4, 4, "another block"},
        {row, 4, 3, "order"},
        {lengths, 2, 0, "empty"},
        {lengths, 2, 78, "context"},
        {lengths, 2, 77, "tokens"},
        {counts, 1, 2, "one caption"},
        {counts + n, 1, 255, "texts"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++)
        refuses(with_lie_in_section(*state, bytes, size, &block.heads, TABLE + 64, lies[i].place,
                                    &lies[i].lie, lies[i].size),
                lies[i].says);
    uint16_t id = 500;
    refuses(with_lie_in_section(*state, bytes, size, &block.body, TABLE + 88, 0, &id, 2),
            "vocabulary");
    id = 499;
    CHECK(with_lie_in_section(*state, bytes, size, &block.body, TABLE + 88, 0, &id, 2));
    free(bytes);
    free(path);
}

/* set.json with one text changed. */
static void changed(const char *folder, const char *from, const char *to, const char *says)
{
    char *json = nc_path_join(folder, NC_SET_FILE), *text;
    size_t length;
    CHECK(nc_file_read(json, 1 << 20, &text, &length));
    char *at = strstr(text, from);
    if (!at)
        fail_msg("no %s in %s", from, text);
    char *other = malloc(length + strlen(to) + 1);
    int written = sprintf(other, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    CHECK(nc_file_write(json, other, (size_t)written));
    refuses(read_all(folder), says);
    CHECK(nc_file_write(json, text, length));
    free(other);
    free(text);
    free(json);
}

static void lies_in_set_json_are_refused(void **state)
{
    assert_true(small_set_write(*state, &small));
    changed(*state, "nclip examples", "nclip embeddings", "set.json");
    changed(*state, "\"version\":\t1", "\"version\":\t9", "version 9");
    changed(*state, "\"rows\":\t23", "\"rows\":\t24", "counts otherwise");
    changed(*state, "\"blocks\":\t6", "\"blocks\":\t7", "counts otherwise");
    changed(*state, "\"blocks\":\t6", "\"blocks\":\t9007199254740992", "counts otherwise");
    changed(*state, "\"blocks\":\t6", "\"blocks\":\t5", "examples-000001.set");
    changed(*state, "\"dimension\":\t3", "\"dimension\":\t0", "embeddings");
    changed(*state, "\"dimension\":\t3", "\"dimension\":\t4", "examples-000000.set");
    changed(*state, "\"fp32\"", "\"fp64\"", "embeddings");
    changed(*state, "fedcba9876543210", "fedcba987654321g", "fingerprint");
    changed(*state, "\"vocabulary\":\t500", "\"vocabulary\":\t99", "vocabulary");
    changed(*state, "\"vocabulary\":\t500", "\"vocabulary\":\t70000", "vocabulary");
    changed(*state, "\"context\":\t77", "\"context\":\t9", "context");
    changed(*state, "\"distractors\":\ttrue", "\"distractors\":\tfalse", "examples-000000.set");
    changed(*state, "\"absence\"", "\"absent\"", "role");
    changed(*state, "\"contradiction\", ", "", "examples-000000.set");
    changed(*state, "\"first_block\"", "\"first\"", "first_block");
    changed(*state, "\"captions\":\t92", "\"captions\":\t3", "not given");
}

static void a_shard_of_another_set_is_refused(void **state)
{
    struct small_set like = small;
    char *a = nc_path_join(*state, "a"), *b = nc_path_join(*state, "b");
    char *from = nc_path_join(b, "examples-000001.set");
    char *to = nc_path_join(a, "examples-000001.set");
    char *bytes;
    size_t size;
    like.vocabulary--; /* other tokens, as many */
    assert_true(small_set_write(a, &small));
    assert_true(small_set_write(b, &like));
    CHECK(read_all(a));
    CHECK(nc_file_read(from, 1 << 20, &bytes, &size));
    CHECK(nc_file_write(to, bytes, size));
    refuses(read_all(a), to);
    free(bytes);
    free(from);
    free(to);
    free(a);
    free(b);
}

static void a_set_that_is_not_there_says_what_to_do(void **state)
{
    char *folder = nc_path_join(*state, "none"), *work = nc_path_join(folder, NC_SET_WORK);
    struct nc_set *set;
    refuses(nc_set_open(folder, &set), "nclip prepare --captions");
    CHECK(nc_folder_create(work));
    refuses(nc_set_open(folder, &set), "goes on where it stopped");
    free(folder);
    free(work);
    assert_true(small_set_write(*state, &small));
    char *path = nc_path_join(*state, "examples-000001.set");
    assert_int_equal(remove(path), 0);
    refuses(nc_set_open(*state, &set), path);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(another_models_set_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(every_changed_byte_is_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(lies_in_the_table_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(lies_in_sections_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(lies_in_set_json_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_shard_of_another_set_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_set_that_is_not_there_says_what_to_do, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
