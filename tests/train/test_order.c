/* The order of an epoch of a large set: everything once, the same for any number of ranks, found
 * again at any place; and how well it mixes, against a full shuffle. */
#include "../../host/train/examples/order.h"

#include "nclip/support/error.h"
#include "nclip/support/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the headers it needs */
#include <cmocka.h>

enum { BATCH = 128 };

static void check(int status)
{
    if (status != NC_OK)
        fail_msg("%s", nc_error_message());
}

/* Blocks of about `mean` examples, some empty, and of 1000 bytes an example. */
static struct nc_order_block *make_blocks(size_t count, uint32_t mean, bool even)
{
    struct nc_order_block *blocks = calloc(count, sizeof *blocks);
    uint64_t random = count;
    assert_non_null(blocks);
    for (size_t i = 0; i < count; i++) {
        uint32_t examples = (uint32_t)(nc_random_next(&random) % (2 * mean + 1));
        blocks[i].examples = even ? mean : i % 17 == 3 ? 0 : examples;
        blocks[i].bytes = 4096 + 1000ull * blocks[i].examples;
    }
    return blocks;
}

/* The whole epoch, as numbers of examples of the set. */
static uint32_t *lay_out(const struct nc_order *o)
{
    uint32_t *all = malloc(o->count * sizeof *all), *scratch = malloc(o->count * sizeof *scratch);
    uint64_t *before = calloc(o->block_count + 1, sizeof *before);
    uint32_t *of_group = malloc(o->count * sizeof *of_group);
    assert_true(all && scratch && before && of_group);
    for (size_t b = 0; b < o->block_count; b++)
        before[b + 1] = before[b] + o->blocks[b].examples;
    for (size_t g = 0; g < o->groups; g++) {
        uint32_t *list = all + o->start[g];
        size_t at = 0, count = (size_t)(o->start[g + 1] - o->start[g]);
        for (size_t i = o->first[g]; i < o->first[g + 1]; i++)
            for (uint32_t k = 0; k < o->blocks[o->sequence[i]].examples; k++)
                of_group[at++] = (uint32_t)before[o->sequence[i]] + k;
        assert_int_equal(at, count);
        nc_order_list(o, g, scratch, list);
        for (size_t i = 0; i < count; i++) {
            assert_true(list[i] < count);
            list[i] = of_group[list[i]];
        }
    }
    free(scratch);
    free(before);
    free(of_group);
    return all;
}

static void mark(const struct nc_order *o, uint8_t *seen)
{
    uint32_t *all = lay_out(o);
    for (uint64_t i = 0; i < o->count; i++)
        assert_int_equal(seen[all[i]]++, 0);
    free(all);
}

static void check_groups(const struct nc_order *o)
{
    for (size_t g = 0; g < o->groups; g++) {
        uint64_t bytes = 0;
        for (size_t i = o->first[g]; i < o->first[g + 1]; i++)
            bytes += o->blocks[o->sequence[i]].bytes;
        assert_true(bytes <= o->half);
        assert_true(g + 1 == o->groups || o->start[g + 1] - o->start[g] >= 2 * o->batch);
        assert_int_equal(nc_order_group_of(o, o->start[g]), g);
        assert_int_equal(nc_order_group_of(o, o->start[g + 1] - 1), g);
    }
}

/* Training and validation together have every example once. */
static void test_complete(void **state)
{
    (void)state;
    static const size_t counts[] = {1, 2, 7, 100, 3000};
    static const uint64_t halves[] = {600000, 3000000, 1 << 30};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
        for (size_t h = 0; h < sizeof halves / sizeof *halves; h++) {
            struct nc_order_block *blocks = make_blocks(counts[c], 40, counts[c] < 3);
            struct nc_order o;
            double fraction = counts[c] > 1 ? 0.2 : 0;
            check(nc_order_create(blocks, counts[c], 42, fraction, halves[h], BATCH, &o));
            uint64_t all = 0;
            for (size_t i = 0; i < counts[c]; i++)
                all += blocks[i].examples;
            assert_int_equal(o.training_count + o.validation_count, all);
            assert_true(!fraction || o.validation_count > 0);
            uint8_t *seen = calloc(all + 1, 1), *again = calloc(all + 1, 1);
            check(nc_order_begin_epoch(&o, 0));
            assert_int_equal(o.count, o.training_count);
            check_groups(&o);
            mark(&o, seen);
            check(nc_order_begin_validation(&o));
            assert_int_equal(o.count, o.validation_count);
            check_groups(&o);
            mark(&o, seen);
            for (uint64_t i = 0; i < all; i++)
                assert_int_equal(seen[i], 1);
            check(nc_order_begin_epoch(&o, 7)); /* the same are held out */
            mark(&o, again);
            check(nc_order_begin_validation(&o));
            mark(&o, again);
            free(seen);
            free(again);
            nc_order_free(&o);
            free(blocks);
        }
}

/* Another epoch, seed or pool is another order; the same is the same, whatever came before. */
static void test_determined(void **state)
{
    (void)state;
    struct nc_order_block *blocks = make_blocks(500, 40, false);
    struct nc_order o, other;
    check(nc_order_create(blocks, 500, 42, 0.1, 4000000, BATCH, &o));
    check(nc_order_create(blocks, 500, 43, 0.1, 4000000, BATCH, &other));
    check(nc_order_begin_epoch(&o, 3));
    uint32_t *first = lay_out(&o);
    check(nc_order_begin_epoch(&o, 4));
    uint32_t *next = lay_out(&o);
    assert_true(memcmp(first, next, o.count * sizeof *first) != 0);
    check(nc_order_begin_validation(&o));
    check(nc_order_begin_epoch(&o, 3));
    uint32_t *again = lay_out(&o);
    assert_memory_equal(first, again, o.count * sizeof *first);
    check(nc_order_begin_epoch(&other, 3));
    assert_true(o.training_count != other.training_count ||
                memcmp(o.training, other.training, o.training_blocks * sizeof *o.training) != 0);
    free(first);
    free(next);
    free(again);
    nc_order_free(&o);
    nc_order_free(&other);
    free(blocks);
}

/* Each lane has one owner; with many blocks all ranks have about as many of a batch. */
static void test_owners(void **state)
{
    (void)state;
    struct nc_order_block *blocks = make_blocks(2000, 40, true);
    struct nc_order o;
    check(nc_order_create(blocks, 2000, 1, 0, 1 << 28, 512, &o));
    check(nc_order_begin_epoch(&o, 0));
    for (size_t g = 0; g < o.groups; g++)
        for (size_t ranks = 1; ranks <= 64; ranks *= 2) {
            size_t last = 0;
            for (size_t i = 0; i < o.first[g + 1] - o.first[g]; i++) {
                size_t owner = nc_order_owner(&o, g, i, ranks);
                assert_true(owner < ranks && owner >= last);
                last = owner;
            }
        }
    size_t group = o.groups - 1, ranks = 4;
    size_t count = (size_t)(o.start[group + 1] - o.start[group]);
    assert_true(o.first[group + 1] - o.first[group] > NC_ORDER_LANES);
    uint32_t *list = malloc(count * sizeof *list), *scratch = malloc(count * sizeof *scratch);
    nc_order_list(&o, group, scratch, list);
    for (size_t at = 0; at + 512 <= count; at += 512) {
        size_t own[4] = {0};
        for (size_t i = 0; i < 512; i++)
            own[nc_order_owner(&o, group, list[at + i] / 40, ranks)]++;
        for (size_t r = 0; r < ranks; r++)
            assert_in_range(own[r], 100, 156);
    }
    free(list);
    free(scratch);
    nc_order_free(&o);
    free(blocks);
}

static void test_refused(void **state)
{
    (void)state;
    struct nc_order_block *blocks = make_blocks(50, 40, true);
    struct nc_order o;
    check(nc_order_create(blocks, 50, 1, 0, 100000, 512, &o));
    assert_int_equal(nc_order_begin_epoch(&o, 0), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "pool_bytes is 200000"));
    nc_order_free(&o);
    assert_int_equal(nc_order_create(blocks, 1, 1, 0.9, 1 << 20, 8, &o), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "lower validation_fraction"));
    free(blocks);
}

/* ---- Mixing ------------------------------------------------------------------------------------ */

/* The share of the pairs of a batch that are of one block. */
static double neighbours(const struct nc_order *o, const uint32_t *all, size_t batch, uint32_t mean)
{
    uint64_t same = 0, pairs = 0;
    uint32_t *count = calloc(o->block_count, sizeof *count);
    for (uint64_t at = 0; at + batch <= o->count; at += batch) {
        for (size_t i = 0; i < batch; i++)
            same += count[all[at + i] / mean]++;
        for (size_t i = 0; i < batch; i++)
            count[all[at + i] / mean] = 0;
        pairs += batch * (batch - 1) / 2;
    }
    free(count);
    return (double)same / (double)pairs;
}

/* 4,000 blocks of 682 rows (768 columns in bf16) with a caption each, 4.3 GB, through pools that hold
 * a half, an eighth and a thirtieth of it. */
static void test_mixing(void **state)
{
    (void)state;
    enum { BLOCKS = 4000, MEAN = 682 };
    static const size_t shares[] = {2, 8, 30};
    struct nc_order_block *blocks = make_blocks(BLOCKS, MEAN, true);
    double examples = (double)BLOCKS * MEAN, full = (MEAN - 1) / (examples - 1);
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[i].bytes = 1 << 20;
    printf("pairs of a batch of 512 that are of one block: %.5f%% in a full shuffle\n", 100 * full);
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        struct nc_order o;
        uint64_t half = (uint64_t)BLOCKS * (1 << 20) / shares[i] / 2;
        check(nc_order_create(blocks, BLOCKS, 42, 0, half, 512, &o));
        for (uint64_t epoch = 0; epoch < 2; epoch++) {
            check(nc_order_begin_epoch(&o, epoch));
            uint32_t *all = lay_out(&o);
            double share = neighbours(&o, all, 512, MEAN), group = (double)half / (1 << 20);
            printf("  %.5f%% with a pool of 1/%zu of the set, epoch %d\n", 100 * share, shares[i],
                   (int)epoch + 1);
            /* Not worse than a full shuffle of what half a pool holds; the first epoch's small
             * groups cost a little. */
            assert_true(share < (epoch ? 1.0 : 1.3) / group);
            assert_true(share > 0.5 * full);
            free(all);
        }
        nc_order_free(&o);
    }
    free(blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_complete), cmocka_unit_test(test_determined),
        cmocka_unit_test(test_owners),   cmocka_unit_test(test_refused),
        cmocka_unit_test(test_mixing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
