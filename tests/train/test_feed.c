/* The stream of a set that is larger than its pool: every example once, with its own texts and
 * picture, the same on any number of ranks, each of which reads its own blocks only; found again at
 * any place; and what is damaged is named. */
#include "../../host/train/examples/feed.h"

#include "../../host/train/examples/pool.h"
#include "../../host/train/examples/whole.h"
#include "../support/temporary_folder.h"
#include "nclip/support/error.h"
#include "stream_inputs.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* after the headers it needs */
#include <cmocka.h>

#define MODEL "../configs/quickstart/model" /* tests/ is the working folder */

enum { SHARDS = 60, ROWS = 12, BATCH = 16, POOL = 400000 };

static char *folders[2]; /* with distractors: the second */

static void check(int status)
{
    if (status != NC_OK)
        fail_msg("%s", nc_error_message());
}

static int make_inputs(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        folders[i] = temporary_folder_create();
        const struct stream_inputs inputs = {.folder = folders[i], .model = MODEL,
                                             .shards = SHARDS, .shard_rows = ROWS, .captions = 3,
                                             .distractors = i};
        stream_inputs_make(&inputs);
    }
    return 0;
}

static int remove_inputs(void **state)
{
    (void)state;
    temporary_folder_remove(folders[0]);
    temporary_folder_remove(folders[1]);
    return 0;
}

/* ---- One stream, or that of one rank -------------------------------------------------------- */

struct stream {
    struct nc_config *config;
    struct nc_set *set;
    struct nc_embedding_store *store;
    struct nc_feed *feed;
};

static struct stream open_stream(int kind, size_t rank, size_t ranks, const char *more)
{
    struct stream s = {0};
    char pool[32];
    snprintf(pool, sizeof pool, "pool_bytes=%d", POOL);
    const char *settings[] = {"batch_size=16", "validation_fraction=0.2", "epochs=3", pool,
                              kind ? "loss=con_clip" : "loss=clip", more};
    char *set = nc_path_join(folders[kind], "set"), *store = nc_path_join(folders[kind], "store");
    check(nc_config_load("default", settings, more ? 6 : 5, &s.config));
    check(nc_set_open(set, &s.set));
    check(nc_embedding_store_open(store, &s.store));
    check(nc_feed_create(s.set, s.store, s.config, rank, ranks, &s.feed));
    free(set);
    free(store);
    return s;
}

static void close_stream(struct stream *s)
{
    nc_feed_destroy(s->feed);
    nc_embedding_store_close(s->store);
    nc_set_close(s->set);
    nc_config_free(s->config);
    *s = (struct stream){0};
}

/* ---- What an example is ------------------------------------------------------------------------ */

/* All that training sees of an example, as one number. */
static uint64_t describe(const struct nc_examples *e, uint32_t i)
{
    size_t dimension = nc_embedding_store_info(e->store)->dimension;
    float *row = malloc(dimension * sizeof *row);
    uint32_t texts[] = {e->text[NC_TEXT_CAPTION][i], e->text[NC_TEXT_CONTRADICTION][i]};
    uint64_t hash = 14695981039346656037u;
    check(nc_examples_gather(e, &e->embedding[i], 1, row));
    for (size_t k = 0; k < dimension; k++)
        hash = (hash ^ (uint64_t)(int64_t)row[k]) * 1099511628211u;
    if (e->distractor_embedding) {
        check(nc_examples_gather(e, &e->distractor_embedding[i], 1, row));
        for (size_t k = 0; k < dimension; k++)
            hash = (hash ^ (uint64_t)(int64_t)row[k]) * 1099511628211u;
    }
    for (size_t t = 0; t < 2; t++) {
        hash = (hash ^ (texts[t] == NC_NO_TEXT)) * 1099511628211u;
        for (size_t k = 0; texts[t] != NC_NO_TEXT && k < e->token_start[texts[t] + 1] -
                                                                      e->token_start[texts[t]]; k++)
            hash = (hash ^ (uint32_t)e->tokens[e->token_start[texts[t]] + k]) * 1099511628211u;
    }
    free(row);
    return hash;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The descriptions of an epoch, or of the validation, in its order; those of other ranks' examples
 * are 0. */
static uint64_t *take_phase(struct stream *s, uint64_t count, uint64_t from)
{
    const struct nc_examples *e = nc_feed_examples(s->feed);
    uint64_t *all = calloc(count + 1, sizeof *all);
    const uint32_t *list;
    for (uint64_t at = from; at < count; at += BATCH) {
        size_t part = count - at < BATCH ? (size_t)(count - at) : BATCH;
        check(nc_feed_take(s->feed, at, part, &list));
        for (size_t i = 0; i < part; i++)
            all[at + i] = describe(e, list[i]);
        nc_feed_done(s->feed, at + part);
    }
    nc_feed_turn(s->feed);
    return all;
}

/* The same of the set in memory. */
static uint64_t *describe_whole(int kind, size_t *count)
{
    const char *settings[] = {kind ? "loss=con_clip" : "loss=clip"};
    char *set_path = nc_path_join(folders[kind], "set");
    char *store_path = nc_path_join(folders[kind], "store");
    struct nc_config *config;
    struct nc_set *set;
    struct nc_embedding_store *store;
    struct nc_examples e;
    check(nc_config_load("default", settings, 1, &config));
    check(nc_set_open(set_path, &set));
    check(nc_embedding_store_open(store_path, &store));
    check(nc_examples_from_set(set, store, config, &e));
    uint64_t *all = malloc((e.count + 1) * sizeof *all);
    for (uint32_t i = 0; i < e.count; i++)
        all[i] = describe(&e, i);
    *count = e.count;
    nc_examples_free(&e);
    nc_set_close(set);
    nc_config_free(config);
    free(set_path);
    free(store_path);
    return all;
}

static void see_all(int kind)
{
    struct stream s = open_stream(kind, 0, 1, NULL);
    uint64_t training = nc_feed_training_count(s.feed), held = nc_feed_validation_count(s.feed);
    size_t count;
    uint64_t *whole = describe_whole(kind, &count);
    assert_int_equal(training + held, count);
    assert_in_range(held, count / 8, count / 3);
    qsort(whole, count, sizeof *whole, compare);
    check(nc_feed_start(s.feed, 0, 0));
    uint64_t *first_held = NULL;
    for (int epoch = 0; epoch < 3; epoch++) {
        uint64_t *train = take_phase(&s, training, 0), *validation = take_phase(&s, held, 0);
        uint64_t *all = malloc(count * sizeof *all);
        memcpy(all, train, training * sizeof *all);
        memcpy(all + training, validation, held * sizeof *all);
        qsort(all, count, sizeof *all, compare);
        assert_memory_equal(all, whole, count * sizeof *all);
        if (first_held) /* the same, in the same order */
            assert_memory_equal(first_held, validation, held * sizeof *all);
        free(first_held);
        first_held = validation;
        free(train);
        free(all);
    }
    struct nc_feed_report report = nc_feed_report(s.feed);
    assert_true(report.bytes > 0 && report.reading > 0);
    free(first_held);
    free(whole);
    close_stream(&s);
}

static void test_all(void **state)
{
    (void)state;
    static const char *const readers[] = {"threads", ""}; /* "": what this machine has */
    for (int i = 0; i < 2; i++) {
        setenv("NCLIP_READER", readers[i], 1);
        see_all(0);
        see_all(1);
        unsetenv("NCLIP_READER");
    }
}

/* ---- From the middle ---------------------------------------------------------------------------- */

static void test_resumed(void **state)
{
    (void)state;
    struct stream s = open_stream(0, 0, 1, NULL);
    uint64_t training = nc_feed_training_count(s.feed), held = nc_feed_validation_count(s.feed);
    uint64_t *train[3], *validation[3];
    check(nc_feed_start(s.feed, 0, 0));
    for (int epoch = 0; epoch < 3; epoch++) {
        train[epoch] = take_phase(&s, training, 0);
        validation[epoch] = take_phase(&s, held, 0);
    }
    close_stream(&s);
    for (int epoch = 0; epoch < 3; epoch++)
        for (uint64_t from = 0; from < training + BATCH; from += 7 * BATCH) {
            from = from > training ? (training + BATCH - 1) / BATCH * BATCH : from;
            s = open_stream(0, 0, 1, NULL);
            check(nc_feed_start(s.feed, (uint64_t)epoch, from));
            const uint32_t *list;
            size_t count;
            check(nc_feed_sample(s.feed, &list, &count));
            assert_true(count > 0);
            uint64_t *rest = take_phase(&s, training, from), *behind = take_phase(&s, held, 0);
            for (uint64_t i = from; i < training; i++)
                assert_true(rest[i] == train[epoch][i]);
            assert_memory_equal(behind, validation[epoch], held * sizeof *behind);
            if (epoch < 2) {
                uint64_t *next = take_phase(&s, training, 0);
                assert_memory_equal(next, train[epoch + 1], training * sizeof *next);
                free(next);
            }
            free(rest);
            free(behind);
            close_stream(&s);
        }
    for (int epoch = 0; epoch < 3; epoch++) {
        free(train[epoch]);
        free(validation[epoch]);
    }
}

/* A run that is done goes on with nothing. */
static void test_done(void **state)
{
    (void)state;
    struct stream s = open_stream(0, 0, 1, NULL);
    const uint32_t *list;
    size_t count = 1;
    check(nc_feed_start(s.feed, 3, 0));
    check(nc_feed_sample(s.feed, &list, &count));
    assert_int_equal(count, 0);
    assert_int_equal(nc_feed_take(s.feed, 0, 1, &list), NC_FAILED);
    close_stream(&s);
}

/* ---- Several ranks -------------------------------------------------------------------------------- */

/* Every rank has the same list, each example one owner, and only that one reads its rows. */
static void take_together(size_t ranks, const char *setting)
{
    struct stream alone = open_stream(0, 0, 1, setting), s[4];
    uint64_t training = nc_feed_training_count(alone.feed);
    size_t owned[4] = {0};
    const uint32_t *list, *lists[4];
    check(nc_feed_start(alone.feed, 0, 0));
    for (size_t r = 0; r < ranks; r++) {
        s[r] = open_stream(0, r, ranks, setting);
        assert_true(nc_feed_fingerprint(s[r].feed) == nc_feed_fingerprint(alone.feed));
        check(nc_feed_start(s[r].feed, 0, 0));
    }
    for (uint64_t at = 0; at < training; at += BATCH) {
        size_t part = training - at < BATCH ? (size_t)(training - at) : BATCH;
        const struct nc_examples *whole = nc_feed_examples(alone.feed);
        check(nc_feed_take(alone.feed, at, part, &list));
        for (size_t r = 0; r < ranks; r++)
            check(nc_feed_take(s[r].feed, at, part, &lists[r]));
        for (size_t i = 0; i < part; i++) {
            size_t owner = nc_feed_examples(s[0].feed)->owner[lists[0][i]];
            assert_true(owner < ranks);
            owned[owner]++;
            for (size_t r = 0; r < ranks; r++) {
                const struct nc_examples *e = nc_feed_examples(s[r].feed);
                assert_int_equal(lists[r][i], list[i]);
                assert_int_equal(e->owner[lists[r][i]], owner);
                if (!setting)
                    assert_int_equal(e->image[lists[r][i]], whole->image[list[i]]);
            }
            assert_true(describe(nc_feed_examples(s[owner].feed), lists[owner][i]) ==
                        describe(whole, list[i]));
        }
        nc_feed_done(alone.feed, at + part);
        for (size_t r = 0; r < ranks; r++)
            nc_feed_done(s[r].feed, at + part);
    }
    close_stream(&alone);
    for (size_t r = 0; r < ranks; r++) {
        assert_true(owned[r] > training / ranks / 2);
        close_stream(&s[r]);
    }
}

static void test_ranks(void **state)
{
    (void)state;
    for (size_t ranks = 2; ranks <= 4; ranks++) {
        take_together(ranks, NULL);
        take_together(ranks, "mask_same_image=false");
    }
}

/* Two pictures are one number just where they are one. */
static void test_pictures(void **state)
{
    (void)state;
    struct stream s = open_stream(0, 0, 1, NULL);
    const struct nc_examples *e = nc_feed_examples(s.feed);
    const uint32_t *list;
    check(nc_feed_start(s.feed, 0, 0));
    check(nc_feed_take(s.feed, 0, BATCH, &list));
    for (size_t i = 0; i < BATCH; i++)
        for (size_t k = 0; k < i; k++)
            assert_int_equal(e->image[list[i]] == e->image[list[k]],
                             e->embedding[list[i]] == e->embedding[list[k]]);
    close_stream(&s);
}

/* ---- What is read ---------------------------------------------------------------------------------- */

/* By one rank, for an epoch and the validation behind it. */
static uint64_t read_epoch(size_t rank, size_t ranks, const char *setting)
{
    struct stream s = open_stream(0, rank, ranks, setting);
    const uint32_t *list;
    check(nc_feed_start(s.feed, 0, 0));
    for (int phase = 0; phase < 2; phase++) {
        uint64_t count = phase ? nc_feed_validation_count(s.feed) : nc_feed_training_count(s.feed);
        for (uint64_t at = 0; at < count; at += BATCH) {
            size_t part = count - at < BATCH ? (size_t)(count - at) : BATCH;
            check(nc_feed_take(s.feed, at, part, &list));
            nc_feed_done(s.feed, at + part);
        }
        if (!phase)
            nc_feed_turn(s.feed);
    }
    uint64_t bytes = nc_feed_report(s.feed).bytes;
    close_stream(&s);
    return bytes;
}

/* Several ranks together read just what one reads, and the heads of each other's blocks where
 * pictures are compared. */
static void test_bytes(void **state)
{
    (void)state;
    uint64_t heads = 0, alone = read_epoch(0, 1, "epochs=1"), together = 0;
    struct stream s = open_stream(0, 0, 1, NULL);
    for (size_t b = 0; b < nc_set_blocks(s.set); b++) {
        struct nc_set_block block;
        nc_set_block(s.set, b, &block);
        heads += block.examples ? nc_block_room(0, block.heads.bytes) : 0;
    }
    close_stream(&s);
    for (size_t r = 0; r < 3; r++)
        together += read_epoch(r, 3, "epochs=1");
    assert_int_equal(together, alone + 2 * heads);
}

/* ---- What is wrong ----------------------------------------------------------------------------------- */

static void spoil(const char *path, off_t offset)
{
    int file = open(path, O_RDWR);
    uint8_t byte;
    assert_true(file >= 0 && pread(file, &byte, 1, offset) == 1);
    byte ^= 0x40;
    assert_int_equal(pwrite(file, &byte, 1, offset), 1);
    close(file);
}

static int read_until_wrong(struct stream *s)
{
    uint64_t training = nc_feed_training_count(s->feed);
    const uint32_t *list;
    int status = nc_feed_start(s->feed, 0, 0);
    for (uint64_t at = 0; at + BATCH <= training && status == NC_OK; at += BATCH) {
        status = nc_feed_take(s->feed, at, BATCH, &list);
        nc_feed_done(s->feed, at + BATCH);
    }
    return status;
}

static void expect_words(const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!strstr(nc_error_message(), words[i]))
            fail_msg("no \"%s\" in: %s", words[i], nc_error_message());
}

static void test_damaged(void **state)
{
    (void)state;
    static const char *const parts[] = {"heads", "texts"};
    struct stream s = open_stream(0, 0, 1, "validation_fraction=0");
    for (int part = 0; part < 2; part++) {
        struct nc_set_block block;
        char number[32];
        nc_set_block(s.set, 37, &block);
        snprintf(number, sizeof number, "block 37 (%s)", parts[part]);
        off_t at = (off_t)(part ? block.body.offset : block.heads.offset) + 3;
        spoil(block.path, at);
        assert_int_equal(read_until_wrong(&s), NC_BAD_INPUT);
        expect_words((const char *const[]){block.path, number, "damaged"}, 3);
        spoil(block.path, at);
        close_stream(&s);
        s = open_stream(0, 0, 1, "validation_fraction=0");
    }
    close_stream(&s);
}

/* A store that is written to under the run is another thing than a damaged one. */
static void test_changed(void **state)
{
    (void)state;
    struct stream s = open_stream(0, 0, 1, "validation_fraction=0");
    struct nc_embedding_block block;
    nc_embedding_store_block(s.store, 20, &block);
    usleep(20000); /* a later time than that of its writing, by the file system's clock */
    spoil(block.path, (off_t)block.offset + 11);
    assert_int_equal(read_until_wrong(&s), NC_FAILED);
    expect_words((const char *const[]){block.path, "written to"}, 2);
    close_stream(&s);
    s = open_stream(0, 0, 1, "validation_fraction=0"); /* opened since: then it is damaged */
    assert_int_equal(read_until_wrong(&s), NC_BAD_INPUT);
    expect_words((const char *const[]){"shard-", "(rows)", "damaged"}, 3);
    nc_embedding_store_block(s.store, 20, &block);
    spoil(block.path, (off_t)block.offset + 11);
    close_stream(&s);
    s = open_stream(0, 0, 1, "validation_fraction=0");
    nc_embedding_store_block(s.store, 30, &block);
    char *aside = NULL, *path = strdup(block.path);
    assert_true(asprintf(&aside, "%s.aside", path) > 0);
    assert_int_equal(rename(path, aside), 0);
    int status = read_until_wrong(&s);
    assert_true(status == NC_BAD_INPUT || status == NC_FAILED);
    expect_words((const char *const[]){path}, 1);
    assert_int_equal(rename(aside, path), 0);
    close_stream(&s);
    free(aside);
    free(path);
}

/* Ended at any moment; the sanitizers see what is left. */
static void test_ending(void **state)
{
    (void)state;
    const uint32_t *list;
    for (int round = 0; round < 12; round++) {
        struct stream s = open_stream(round % 2, 0, 1, NULL);
        if (round % 3)
            check(nc_feed_start(s.feed, 0, 0));
        if (round % 3 == 2)
            check(nc_feed_take(s.feed, 0, BATCH, &list));
        close_stream(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),      cmocka_unit_test(test_resumed),
        cmocka_unit_test(test_done),     cmocka_unit_test(test_ranks),
        cmocka_unit_test(test_pictures),
        cmocka_unit_test(test_bytes),    cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_changed),  cmocka_unit_test(test_ending),
    };
    return cmocka_run_group_tests(tests, make_inputs, remove_inputs);
}
