/* The division of a batch among ranks: nothing lost, nothing twice, about as many tokens each. */
#include "../../host/train/examples/share.h"

#include "../../host/train/examples/random.h"
#include "nclip/support/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* after the headers it needs */
#include <cmocka.h>

enum { EXAMPLES = 3000, LONGEST = 77 };

static struct nc_examples examples;

/* Captions of 3 to 77 tokens; a third of them with a contradiction. */
static int make_examples(void **state)
{
    (void)state;
    uint64_t random = 5;
    examples.count = EXAMPLES;
    examples.texts = 2 * EXAMPLES;
    examples.token_start = calloc(examples.texts + 1, sizeof *examples.token_start);
    uint32_t *captions = calloc(EXAMPLES, sizeof *captions);
    uint32_t *denials = calloc(EXAMPLES, sizeof *denials);
    examples.text[NC_TEXT_CAPTION] = captions;
    examples.text[NC_TEXT_CONTRADICTION] = denials;
    if (!examples.token_start || !captions || !denials)
        return 1;
    for (size_t i = 0; i < examples.texts; i++)
        examples.token_start[i + 1] =
            examples.token_start[i] + 3 + nc_random_below(&random, LONGEST - 2);
    for (uint32_t i = 0; i < EXAMPLES; i++) {
        captions[i] = i;
        denials[i] = i % 3 ? NC_NO_TEXT : EXAMPLES + i;
    }
    return 0;
}

static int free_examples(void **state)
{
    (void)state;
    free(examples.token_start);
    free(examples.text[NC_TEXT_CAPTION]);
    free(examples.text[NC_TEXT_CONTRADICTION]);
    return 0;
}

static size_t tokens_of(const struct nc_share *share, size_t rank)
{
    size_t tokens = 0;
    for (size_t i = share->first[rank]; i < share->first[rank + 1]; i++)
        tokens += nc_share_tokens(&examples, share->list[i]);
    return tokens;
}

static void check_division(size_t ranks, size_t count)
{
    struct nc_share share, again;
    uint32_t *batch = malloc((count ? count : 1) * sizeof *batch);
    uint8_t *seen = calloc(EXAMPLES, 1);
    assert_non_null(batch);
    assert_non_null(seen);
    uint64_t random = count + ranks;
    uint32_t order[EXAMPLES];
    for (uint32_t i = 0; i < EXAMPLES; i++)
        order[i] = i;
    nc_random_shuffle(&random, order, EXAMPLES);
    memcpy(batch, order, count * sizeof *batch);
    assert_int_equal(nc_share_create(ranks, EXAMPLES, &examples, &share), NC_OK);
    assert_int_equal(nc_share_create(ranks, count ? count : 1, &examples, &again), NC_OK);
    nc_share_divide(&share, &examples, order, EXAMPLES); /* nothing is left of another batch */
    nc_share_divide(&share, &examples, batch, count);
    nc_share_divide(&again, &examples, batch, count);
    assert_memory_equal(share.list, again.list, count * sizeof *batch);
    assert_memory_equal(share.first, again.first, (ranks + 1) * sizeof *share.first);

    assert_int_equal(share.first[0], 0);
    assert_int_equal(share.first[ranks], count);
    size_t least = SIZE_MAX, most = 0, longest = 0, captions = 0;
    for (size_t rank = 0; rank < ranks; rank++) {
        size_t tokens = tokens_of(&share, rank), own = share.first[rank + 1] - share.first[rank];
        least = tokens < least ? tokens : least;
        most = tokens > most ? tokens : most;
        captions = own > captions ? own : captions;
    }
    assert_int_equal(captions, share.most);
    for (size_t i = 0; i < count; i++) {
        assert_false(seen[share.list[i]]++);
        size_t tokens = nc_share_tokens(&examples, share.list[i]);
        longest = tokens > longest ? tokens : longest;
    }
    for (size_t i = 0; i < count; i++)
        assert_true(seen[batch[i]]);
    assert_true(most - least <= longest);
    if (count >= 16 * ranks)
        assert_true(most - least <= LONGEST / 4);
    nc_share_free(&share);
    nc_share_free(&again);
    free(batch);
    free(seen);
}

static void test_divisions(void **state)
{
    (void)state;
    static const size_t ranks[] = {1, 2, 3, 4, 7, 64, 512}, counts[] = {0, 1, 2, 3, 63, 512, 3000};
    for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++)
        for (size_t k = 0; k < sizeof counts / sizeof *counts; k++)
            check_division(ranks[i], counts[k]);
}

/* A rank's captions stay in the order of the batch. */
static void test_order(void **state)
{
    (void)state;
    struct nc_share share;
    uint32_t batch[100];
    for (uint32_t i = 0; i < 100; i++)
        batch[i] = 3 * i;
    assert_int_equal(nc_share_create(3, 100, &examples, &share), NC_OK);
    nc_share_divide(&share, &examples, batch, 100);
    for (size_t rank = 0; rank < 3; rank++)
        for (size_t i = share.first[rank] + 1; i < share.first[rank + 1]; i++)
            assert_true(share.list[i - 1] < share.list[i]);
    nc_share_free(&share);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_divisions),
        cmocka_unit_test(test_order),
    };
    return cmocka_run_group_tests(tests, make_examples, free_examples);
}
