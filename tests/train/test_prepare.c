/* nc_prepare(): what comes out is the captions' join with the store, example by example; killed at
 * any moment it goes on to the same bytes; and what may not be mixed is refused. */
#include "nclip/train/prepare.h"
#include "nclip/captions/set.h"
#include "nclip/checkpoints/folder.h"
#include "nclip/model/towers.h"
#include "nclip/store/store.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/signals.h"
#include "support/temporary_folder.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define MODEL "../configs/quickstart/model"
#define CHECK(call)                                                                                \
    do {                                                                                           \
        if ((call) != NC_OK)                                                                       \
            fail_msg("%s: %s", #call, nc_error_message());                                         \
    } while (0)

/* Rows of 128 bytes: 8192 a block. Caption i is of picture i * 7919 % (ROWS + 1000): some are not
 * in the store, and the rows come in no order. */
enum { ROWS = 30000, CAPTIONS = 12000, RANGE = 200 << 10 };

static char *folder, *store, *captions;

static size_t picture_of(size_t caption)
{
    return caption * 7919 % (ROWS + 1000);
}

static void write_store(const char *path, size_t rows)
{
    struct nc_model *model;
    struct nc_embedding_writer *writer;
    char hash[17], key[32];
    CHECK(nc_model_open(MODEL, &model));
    CHECK(nc_model_vision_hash(model, hash));
    size_t dimension = nc_model_shape(model)->embedding;
    assert_int_equal(dimension, 64);
    struct nc_embedding_info info = {hash, "none", dimension, NC_BFLOAT16, true};
    nc_model_close(model);
    CHECK(nc_embedding_writer_open(path, &info, 20000, &writer)); /* several shards */
    for (size_t row = 0; row < rows; row++) {
        float values[64];
        for (size_t i = 0; i < 64; i++)
            values[i] = (float)((row + i) % 200);
        snprintf(key, sizeof key, "%zu.jpg", row);
        CHECK(nc_embedding_writer_append(writer, key, values));
    }
    CHECK(nc_embedding_writer_close(writer));
}

static void text_of(size_t caption, const char *role, size_t number, char text[64])
{
    snprintf(text, 64, "a %s red circle %zu and no square %zu", role, caption, number);
}

static void write_captions(const char *path, size_t count)
{
    char text[64];
    FILE *out = fopen(path, "w");
    for (size_t i = 0; i < count; i++) {
        text_of(i, "", 0, text);
        fprintf(out, "{\"image\": \"%zu.jpg\", \"caption\": \"%s\", \"padding\": \"%0500d\"",
                picture_of(i), text, 0); /* so that there are several runs of text */
        text_of(i, "false", 0, text);
        if (i % 2)
            fprintf(out, ", \"contradiction\": \"%s\"", text);
        text_of(i, "true", 0, text);
        if (i % 5 == 1)
            fprintf(out, ", \"absence\": \"%s\", \"paraphrase\": \"%s\"", text, text);
        if (i % 3 == 0)
            fprintf(out, ", \"distractor\": \"%zu.jpg\"", (i + 5) % (ROWS + 10));
        for (size_t c = 0; c < i % 4; c++) {
            text_of(i, "wrong", c, text);
            fprintf(out, "%s\"%s\"", c ? ", " : ", \"choices\": [", text);
        }
        fprintf(out, "%s}\n", i % 4 ? "]" : "");
    }
    fclose(out);
}

static int setup(void **state)
{
    (void)state;
    nc_signals_leave_errors();
    folder = temporary_folder_create();
    store = nc_path_join(folder, "store");
    captions = nc_path_join(folder, "captions.jsonl");
    write_store(store, ROWS);
    write_captions(captions, CAPTIONS);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    temporary_folder_remove(folder);
    free(store);
    free(captions);
    return 0;
}

static struct nc_prepare_options options_for(const char *out)
{
    return (struct nc_prepare_options){.captions = (const char *const *)&captions,
                                       .caption_count = 1,
                                       .embeddings = store,
                                       .model_folder = MODEL,
                                       .out = out,
                                       .quiet = true,
                                       .range_bytes = RANGE,
                                       .save_seconds = 0.001};
}

/* In a process of its own: threads of OpenMP do not outlive a fork. The message comes by a pipe. */
static pid_t start(const struct nc_prepare_options *options, int *message)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (!child) {
        struct nc_prepare_result result;
        int status = nc_prepare(options, &result);
        if (status != NC_OK)
            dprintf(ends[1], "%s", nc_error_message());
        _exit(status);
    }
    close(ends[1]);
    *message = ends[0];
    return child;
}

static int finish(pid_t child, int message, char text[2048])
{
    int status;
    ssize_t got = read(message, text, 2047);
    text[got > 0 ? got : 0] = 0;
    close(message);
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int prepare(const struct nc_prepare_options *options, char text[2048])
{
    int message;
    pid_t child = start(options, &message);
    return finish(child, message, text);
}

static void prepared(const struct nc_prepare_options *options)
{
    char text[2048];
    if (prepare(options, text) != NC_OK)
        fail_msg("%s", text);
}

static void refuses(const struct nc_prepare_options *options, int status, const char *part)
{
    char text[2048];
    int got = prepare(options, text);
    if (got != status || !strstr(text, part))
        fail_msg("%d and \"%s\", not %d and \"%s\"", got, text, status, part);
}

/* ---- what comes out ---- */

struct expected {
    struct nc_model *model;
    struct nc_tokenizer *tokenizer;
    struct nc_embedding_store *store;
    struct nc_tokens tokens;
    bool seen[CAPTIONS];
    size_t examples;
};

static void check_text(struct expected *e, const char *text, uint16_t length,
                       const int32_t **tokens)
{
    const struct nc_model_shape *shape = nc_model_shape(e->model);
    CHECK(nc_tokenizer_encode(e->tokenizer, text, strlen(text), shape->context, NC_TRUNCATE,
                              &e->tokens));
    size_t count = nc_caption_end(shape, e->tokens.ids, e->tokens.count);
    assert_int_equal(length, count);
    assert_memory_equal(*tokens, e->tokens.ids, count * sizeof **tokens);
    *tokens += count;
}

static void check_block(struct expected *e, const struct nc_set *set, size_t b)
{
    struct nc_set_block block;
    struct nc_embedding_block rows;
    struct nc_set_heads heads;
    const void *distractors;
    nc_set_block(set, b, &block);
    nc_embedding_store_block(e->store, b, &rows);
    assert_int_equal(block.first_row, rows.first_row);
    assert_int_equal(block.rows, rows.rows);
    uint64_t *bytes = malloc(block.heads.bytes + 1), *body = malloc(block.body.bytes + 1);
    int32_t *all = malloc(block.tokens * sizeof *all + 1);
    CHECK(nc_set_read_heads(set, b, bytes));
    CHECK(nc_set_decode_heads(set, b, bytes, &heads));
    CHECK(nc_set_read_body(set, b, body));
    CHECK(nc_set_decode_body(set, b, body, all, &distractors));
    const int32_t *tokens = all;
    const uint16_t *lengths = heads.lengths;
    const char *embedding = distractors;
    for (size_t n = 0; n < heads.examples; n++) {
        size_t i = heads.ordinal[n], distractor = (i + 5) % (ROWS + 10);
        char text[64];
        assert_true(i < CAPTIONS && !e->seen[i]);
        e->seen[i] = true;
        e->examples++;
        assert_int_equal(block.first_row + heads.row[n], picture_of(i));
        assert_int_equal(heads.counts[NC_TEXT_CONTRADICTION][n], i % 2);
        assert_int_equal(heads.counts[NC_TEXT_ABSENCE][n], i % 5 == 1);
        assert_int_equal(heads.counts[NC_TEXT_PARAPHRASE][n], i % 5 == 1);
        assert_int_equal(heads.counts[NC_TEXT_CHOICES][n], i % 4);
        text_of(i, "", 0, text);
        check_text(e, text, *lengths++, &tokens);
        text_of(i, "false", 0, text);
        if (i % 2)
            check_text(e, text, *lengths++, &tokens);
        text_of(i, "true", 0, text);
        for (size_t c = 0; i % 5 == 1 && c < 2; c++)
            check_text(e, text, *lengths++, &tokens);
        for (size_t c = 0; c < i % 4; c++) {
            text_of(i, "wrong", c, text);
            check_text(e, text, *lengths++, &tokens);
        }
        if (i % 3 || distractor >= ROWS) {
            assert_true(heads.distractor[n] == NC_SET_NO_ROW);
            continue;
        }
        const void *row;
        assert_int_equal(heads.distractor[n], distractor);
        CHECK(nc_embedding_store_row(e->store, distractor, &row));
        assert_memory_equal(embedding, row, 128);
        embedding += 128;
    }
    free(bytes);
    free(body);
    free(all);
}

static uint64_t left_out(const struct nc_set_info *info, const char *reason)
{
    for (size_t i = 0; i < info->left_out_count; i++)
        if (strcmp(info->left_out[i].reason, reason) == 0)
            return info->left_out[i].count;
    return 0;
}

static void check_set(const char *out, size_t shards)
{
    struct expected *e = calloc(1, sizeof *e);
    struct nc_set *set;
    CHECK(nc_model_open(MODEL, &e->model));
    CHECK(nc_tokenizer_load(MODEL, NC_TOKENIZER_TRANSFORMERS, &e->tokenizer));
    CHECK(nc_embedding_store_open(store, &e->store));
    CHECK(nc_set_open(out, &set));
    assert_true(nc_set_shards(set) >= shards);
    assert_int_equal(nc_set_blocks(set), nc_embedding_store_blocks(e->store));
    for (size_t b = 0; b < nc_set_blocks(set); b++)
        check_block(e, set, b);
    size_t missing = 0, without = 0;
    for (size_t i = 0; i < CAPTIONS; i++) {
        bool there = picture_of(i) < ROWS;
        assert_int_equal(e->seen[i], there);
        missing += !there;
        without += there && i % 3 == 0 && (i + 5) % (ROWS + 10) >= ROWS;
    }
    const struct nc_set_info *info = nc_set_info(set);
    assert_int_equal(info->captions, CAPTIONS);
    assert_int_equal(info->examples, e->examples);
    assert_int_equal(info->pictures, e->examples); /* each once */
    assert_int_equal(left_out(info, "picture_not_in_store"), missing);
    assert_int_equal(left_out(info, "distractor_not_in_store"), without);
    assert_true(info->store_fingerprint == nc_embedding_store_fingerprint(e->store));
    assert_true(info->tokenizer == nc_tokenizer_fingerprint(e->tokenizer));
    nc_set_close(set);
    nc_tokens_free(&e->tokens);
    nc_embedding_store_close(e->store);
    nc_tokenizer_destroy(e->tokenizer);
    nc_model_close(e->model);
    free(e);
}

static void the_join_is_the_captions(void **state)
{
    (void)state;
    char *small = nc_path_join(folder, "small"), *large = nc_path_join(folder, "large");
    struct nc_prepare_options options = options_for(small);
    prepared(&options);
    check_set(small, 4); /* buckets that do not fit are written in parts */
    options = options_for(large);
    options.range_bytes = 0;
    prepared(&options);
    check_set(large, 1);
    free(small);
    free(large);
}

/* ---- the same bytes ---- */

/* Of all files, by names. */
static void same_folders(const char *a, const char *b)
{
    size_t files = 0, others = 0;
    DIR *directory = opendir(a);
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (entry->d_name[0] == '.')
            continue;
        char *first = nc_path_join(a, entry->d_name), *second = nc_path_join(b, entry->d_name);
        char *x, *y;
        size_t x_size, y_size;
        CHECK(nc_file_read(first, 1 << 28, &x, &x_size));
        CHECK(nc_file_read(second, 1 << 28, &y, &y_size));
        if (x_size != y_size || memcmp(x, y, x_size) != 0)
            fail_msg("%s has other bytes", second);
        free(x);
        free(y);
        free(first);
        free(second);
        files++;
    }
    closedir(directory);
    directory = opendir(b);
    for (struct dirent *entry; (entry = readdir(directory));)
        others += entry->d_name[0] != '.';
    closedir(directory);
    assert_int_equal(files, others);
    assert_true(files >= 2);
}

static void nap(unsigned microseconds)
{
    nanosleep(&(struct timespec){microseconds / 1000000, microseconds % 1000000 * 1000L}, NULL);
}

static void a_killed_one_goes_on_to_the_same_bytes(void **state)
{
    (void)state;
    char *whole = nc_path_join(folder, "whole"), *out = nc_path_join(folder, "killed"), text[2048];
    struct nc_prepare_options options = options_for(whole);
    struct timespec began, ended;
    clock_gettime(CLOCK_MONOTONIC, &began);
    prepared(&options);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    unsigned length = (unsigned)((ended.tv_sec - began.tv_sec) * 1000000 +
                                 (ended.tv_nsec - began.tv_nsec) / 1000);
    unsigned killed = 0, complete = 0, seed = 7;
    options = options_for(out);
    for (unsigned tries = 0; killed < 30 && tries < 300; tries++) {
        int message, signal = tries % 5 == 4 ? SIGTERM : SIGKILL;
        pid_t child = start(&options, &message);
        nap((unsigned)rand_r(&seed) % (length + 1));
        kill(child, signal);
        int status = finish(child, message, text);
        if (status > 0 && status != 128 + SIGTERM)
            assert_non_null(strstr(text, "goes on"));
        killed += status != NC_OK;
        if (status != NC_OK && tries % 3)
            continue; /* and again while it goes on */
        length -= status == NC_OK ? length / 4 : 0; /* the machine had less to do than before */
        prepared(&options);
        same_folders(whole, out);
        CHECK(nc_folder_remove(out));
        complete++;
    }
    print_message("%u were killed, %u made complete\n", killed, complete);
    assert_true(killed >= 30);
    free(whole);
    free(out);
}

static void a_full_disk_ends_it_and_it_goes_on(void **state)
{
    (void)state;
    char *whole = nc_path_join(folder, "whole"), *out = nc_path_join(folder, "full"), text[2048];
    struct nc_prepare_options options = options_for(out);
    size_t failed = 0;
    for (rlim_t limit = 1 << 10; limit <= 1 << 20; limit *= 2) {
        int message, ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (!child) {
            struct nc_prepare_result result;
            setrlimit(RLIMIT_FSIZE, &(struct rlimit){limit, limit});
            int status = nc_prepare(&options, &result);
            if (status != NC_OK)
                dprintf(ends[1], "%s", nc_error_message());
            _exit(status);
        }
        close(ends[1]);
        message = ends[0];
        int status = finish(child, message, text);
        failed += status != NC_OK;
        if (status != NC_OK && (status != NC_FAILED || !strstr(text, "cannot write")))
            fail_msg("%d: %s", status, text);
    }
    assert_true(failed > 4);
    prepared(&options);
    same_folders(whole, out);
    free(whole);
    free(out);
}

/* ---- memory ---- */

/* KiB that preparing `count` captions needs at most, one for each of that many pictures. */
static long peak(const char *rows, size_t count)
{
    char *out = nc_path_join(folder, "flat"), *other = nc_path_join(folder, "flat.jsonl");
    struct nc_prepare_options options = options_for(out);
    struct rusage usage;
    int message, status;
    FILE *lines = fopen(other, "w");
    for (size_t i = 0; i < count; i++)
        fprintf(lines, "{\"image\": \"%zu.jpg\", \"caption\": \"a red circle %zu\"}\n", i, i);
    fclose(lines);
    options.captions = (const char *const *)&other;
    options.embeddings = rows;
    options.range_bytes = 2 << 20;
    options.save_seconds = 0;
    pid_t child = start(&options, &message);
    wait4(child, &status, 0, &usage);
    close(message);
    assert_int_equal(status, 0);
    CHECK(nc_folder_remove(out));
    assert_int_equal(remove(other), 0);
    free(out);
    free(other);
    return usage.ru_maxrss;
}

static void memory_does_not_grow_with_the_captions(void **state)
{
    (void)state;
    char *rows = nc_path_join(folder, "many");
    write_store(rows, 300000);
    long few = peak(rows, 100000), many = peak(rows, 300000);
    print_message("%ld KiB for 100,000 captions, %ld KiB for 300,000\n", few, many);
    assert_true(many < few + (16 << 10));
    free(rows);
}

/* ---- what is refused ---- */

static void what_may_not_be_mixed_is_refused(void **state)
{
    (void)state;
    char *out = nc_path_join(folder, "mixed"), *other = nc_path_join(folder, "other.jsonl");
    char *file = nc_path_join(out, "something"), text[2048];
    struct nc_prepare_options options = options_for(out), changed;
    CHECK(nc_folder_create(out));
    CHECK(nc_file_write(file, "x", 1));
    refuses(&options, NC_USAGE, "holds something else");
    assert_int_equal(remove(file), 0);

    /* half of a set: stopped by a line that is wrong */
    write_captions(other, 3 * CAPTIONS);
    FILE *append = fopen(other, "a");
    fputs("{\"image\": \"1.jpg\"}\n", append);
    fclose(append);
    options.captions = (const char *const *)&other;
    refuses(&options, NC_BAD_INPUT, "other.jsonl line 36001: \"caption\"");
    struct nc_set *set;
    assert_int_equal(nc_set_open(out, &set), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "goes on where it stopped"));
    changed = options;
    changed.too_long = NC_TRUNCATE_SKIP;
    refuses(&changed, NC_USAGE, "\"too long\"");
    char *rows = nc_path_join(folder, "few");
    write_store(rows, 100);
    changed = options;
    changed.embeddings = rows;
    refuses(&changed, NC_USAGE, "\"embeddings\"");
    free(rows);
    changed = options;
    changed.captions = (const char *const *)&captions;
    refuses(&changed, NC_USAGE, "\"captions\"");
    write_captions(other, 3 * CAPTIONS); /* mended: it goes on */
    assert_int_equal(prepare(&options, text), NC_OK);
    assert_int_equal(prepare(&options, text), NC_OK); /* and is complete */
    refuses(&changed, NC_USAGE, "other captions");
    changed = options;
    changed.too_long = NC_TRUNCATE_SKIP;
    refuses(&changed, NC_USAGE, "rule for long captions");
    write_captions(other, 3 * CAPTIONS - 1);
    refuses(&options, NC_USAGE, "other captions");
    free(out);
    free(other);
    free(file);
}

/* Captions that are others where the first call had read them already. */
static void changed_captions_are_noticed(void **state)
{
    (void)state;
    char *out = nc_path_join(folder, "changed"), *other = nc_path_join(folder, "changing.jsonl");
    struct nc_prepare_options options = options_for(out);
    size_t size;
    char *text;
    write_captions(other, CAPTIONS);
    FILE *append = fopen(other, "a");
    fputs("{\"image\": \"1.jpg\"}\n", append);
    fclose(append);
    options.captions = (const char *const *)&other;
    CHECK(nc_file_read(other, 1 << 28, &text, &size));
    /* Enough for several runs of text, of which the first are joined. */
    FILE *many = fopen(other, "w");
    for (int i = 0; i < 4; i++)
        fwrite(text, 1, size - 19, many);
    fputs("{\"image\": \"1.jpg\"}\n", many);
    fclose(many);
    refuses(&options, NC_BAD_INPUT, "\"caption\"");
    many = fopen(other, "r+");
    char *at = strstr(text, "circle");
    fseek(many, at - text, SEEK_SET);
    fputc('C', many);
    fclose(many);
    refuses(&options, NC_BAD_INPUT, "they were changed since");
    free(text);
    free(out);
    free(other);
}

static void none_and_too_long_ones(void **state)
{
    (void)state;
    char *out = nc_path_join(folder, "none"), *other = nc_path_join(folder, "none.jsonl");
    struct nc_prepare_options options = options_for(out);
    static const char missing[] = "{\"image\": \"x.jpg\", \"caption\": \"a\"}\n";
    options.captions = (const char *const *)&other;
    CHECK(nc_file_write(other, missing, strlen(missing)));
    refuses(&options, NC_BAD_INPUT, "none of the captions' pictures");
    assert_false(nc_folder_exists(out)); /* so that the right command can begin */
    char text[1024], words[512] = "";
    for (int i = 0; i < 60; i++)
        strcat(words, "zebra ");
    snprintf(text, sizeof text,
             "{\"image\": \"1.jpg\", \"caption\": \"%s\"}\n{\"image\": \"1.jpg\", \"caption\": "
             "\"short\", \"contradiction\": \"%s\"}\n",
             words, words);
    CHECK(nc_file_write(other, text, strlen(text)));
    options.too_long = NC_TRUNCATE_ERROR;
    refuses(&options, NC_BAD_INPUT, "none.jsonl line 1: caption \"zebra");
    CHECK(nc_folder_remove(out));
    options.too_long = NC_TRUNCATE_SKIP;
    prepared(&options);
    struct nc_set *set;
    CHECK(nc_set_open(out, &set));
    const struct nc_set_info *info = nc_set_info(set);
    assert_int_equal(info->examples, 1);
    assert_int_equal(info->roles, 1);
    assert_int_equal(left_out(info, "caption_too_long"), 1);
    assert_int_equal(left_out(info, "contradiction_too_long"), 1);
    assert_int_equal(strlen(info->left_out[0].first), 255);
    nc_set_close(set);
    free(out);
    free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_join_is_the_captions),
        cmocka_unit_test(a_killed_one_goes_on_to_the_same_bytes),
        cmocka_unit_test(a_full_disk_ends_it_and_it_goes_on),
        cmocka_unit_test(memory_does_not_grow_with_the_captions),
        cmocka_unit_test(what_may_not_be_mixed_is_refused),
        cmocka_unit_test(changed_captions_are_noticed),
        cmocka_unit_test(none_and_too_long_ones),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
