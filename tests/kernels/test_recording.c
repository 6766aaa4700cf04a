/* Recordings of a backend, and what the host hears when it waits for a mark. A backend that records
 * nothing has its calls made, and a failure is said by the call itself. */
#include "kernels.h"

enum { COUNT = 1000, ROUNDS = 4 };

/* Calls to be recorded: sum += the squares of data = value. */
struct calls {
    float *data;
    double *sum;
    float value;
    bool fails;
};

static int make_calls(struct nc_ops *ops, const struct calls *c)
{
    int status = ops->fill(ops->backend, c->data, c->value, COUNT);
    if (status == NC_OK && c->fails)
        status = nc_error(NC_FAILED, "halfway");
    if (status == NC_OK)
        status = ops->squared_norm(ops->backend, c->data, COUNT, c->sum);
    return status;
}

static int record(struct nc_ops *ops, const char *key, const struct calls *c)
{
    enum nc_recording recording = NC_MAKE_CALLS;
    if (ops->record_begin)
        must(ops->record_begin(ops->backend, key, strlen(key), &recording));
    if (recording == NC_REPLAYED)
        return NC_OK;
    int status = make_calls(ops, c);
    if (status == NC_OK)
        return ops->record_end ? ops->record_end(ops->backend) : NC_OK;
    if (ops->record_abandon)
        ops->record_abandon(ops->backend);
    return status;
}

static void open_calls(struct nc_ops *ops, struct calls *c, float value)
{
    *c = (struct calls){.value = value};
    must(ops->allocate(ops->backend, COUNT * sizeof *c->data, (void **)&c->data));
    must(ops->allocate(ops->backend, sizeof *c->sum, (void **)&c->sum));
    must(ops->zero(ops->backend, c->sum, sizeof *c->sum));
}

static void close_calls(struct nc_ops *ops, const struct calls *c)
{
    ops->release(ops->backend, c->data, COUNT * sizeof *c->data);
    ops->release(ops->backend, c->sum, sizeof *c->sum);
}

static void assert_sum(struct nc_ops *ops, const struct calls *c, int rounds)
{
    double sum;
    must(ops->download(ops->backend, &sum, c->sum, sizeof sum));
    assert_true(sum == (double)rounds * COUNT * c->value * c->value);
}

static void recordings_are_replayed(void **state)
{
    struct nc_ops *ops = *state;
    struct calls one, other;
    open_calls(ops, &one, 2);
    open_calls(ops, &other, 3);
    for (int round = 1; round <= ROUNDS; round++) {
        must(record(ops, "one", &one));
        must(record(ops, "the other", &other));
        assert_sum(ops, &one, round);
        assert_sum(ops, &other, round);
    }
    close_calls(ops, &one);
    close_calls(ops, &other);
}

/* Under the same key: what was recorded with buffers that are gone is never replayed. */
static void recordings_end_with_their_buffers(void **state)
{
    struct nc_ops *ops = *state;
    for (int owner = 1; owner <= 3; owner++) {
        struct calls calls;
        open_calls(ops, &calls, (float)owner);
        for (int round = 1; round <= ROUNDS; round++) {
            must(record(ops, "a key", &calls));
            assert_sum(ops, &calls, round);
        }
        close_calls(ops, &calls);
    }
}

/* More keys than are kept. */
static void old_recordings_make_room(void **state)
{
    struct nc_ops *ops = *state;
    struct calls calls;
    int done = 0;
    open_calls(ops, &calls, 1);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 70; i++) {
            char key[16];
            snprintf(key, sizeof key, "%d", i);
            must(record(ops, key, &calls));
            must(record(ops, key, &calls));
            done += 2;
        }
    assert_sum(ops, &calls, done);
    close_calls(ops, &calls);
}

/* A failure in the pass that is made as it is, or in the one that is recorded; then again. */
static void failed_recordings_leave_nothing(void **state)
{
    struct nc_ops *ops = *state;
    for (int before = 0; before < 2; before++) {
        struct calls calls;
        open_calls(ops, &calls, 2);
        for (int round = 1; round <= before; round++)
            must(record(ops, "a key", &calls));
        calls.fails = true;
        assert_int_equal(record(ops, "a key", &calls), NC_FAILED);
        calls.fails = false;
        assert_sum(ops, &calls, before);
        for (int round = 1; round <= ROUNDS; round++) {
            must(record(ops, "a key", &calls));
            assert_sum(ops, &calls, before + round);
        }
        close_calls(ops, &calls);
    }
}

/* What may not be called meanwhile spoils a recording, and nothing else. */
static void spoiled_recordings_leave_nothing(void **state)
{
    struct nc_ops *ops = *state;
    struct calls calls;
    void *block;
    enum nc_recording recording;
    if (!ops->record_begin)
        return;
    open_calls(ops, &calls, 2);
    must(record(ops, "a key", &calls));
    must(ops->record_begin(ops->backend, "a key", 5, &recording));
    assert_int_equal(recording, NC_MAKE_CALLS);
    assert_int_equal(ops->record_begin(ops->backend, "another", 7, &recording), NC_FAILED);
    must(make_calls(ops, &calls));
    assert_int_equal(ops->allocate(ops->backend, 64, &block), NC_FAILED);
    ops->record_abandon(ops->backend);
    ops->record_abandon(ops->backend); /* there is none any more */
    assert_int_equal(ops->record_end(ops->backend), NC_FAILED);
    assert_sum(ops, &calls, 1);
    for (int round = 2; round <= ROUNDS; round++) {
        must(record(ops, "a key", &calls));
        assert_sum(ops, &calls, round);
    }
    close_calls(ops, &calls);
}

/* ---- Wrong indices ------------------------------------------------------------------------- */

/* Twice, each time once; what is right between them is not blamed. */
static void host_wait_says_what_is_wrong(void **state)
{
    struct nc_ops *ops = *state;
    const int32_t rows[] = {0, 4, -2, 1};
    int32_t *row = indices_on_device(ops, rows, 4);
    double *x = numbers(3, 4 * 8, 1, NC_FLOAT32);
    struct nc_gather gather = {.count = 1,
                               .width = 8,
                               .rows = 4,
                               .x = on_device(ops, x, 4 * 8, NC_FLOAT32),
                               .y = on_device(ops, NULL, 8, NC_FLOAT32)};
    for (int i = 0; i < 4; i++) {
        gather.row = row + i;
        must(ops->host_wait(ops->backend, 15)); /* never set: nobody waits */
        int status = ops->gather(ops->backend, &gather);
        if (status == NC_OK) {
            must(ops->mark(ops->backend, NC_COMPUTE, i));
            status = ops->host_wait(ops->backend, i);
        }
        assert_int_equal(status, rows[i] < 0 || rows[i] > 3 ? NC_FAILED : NC_OK);
        char named[16];
        snprintf(named, sizeof named, "row %d", rows[i]);
        if (status != NC_OK)
            assert_non_null(strstr(nc_error_message(), named));
        must(ops->host_wait(ops->backend, i));
    }
    must(ops->synchronize(ops->backend));
    free(x);
}

/* In a recording, too: nothing of it is in the way of one, and it is said at each replay. */
static void replayed_mistakes_are_said(void **state)
{
    struct nc_ops *ops = *state;
    const int32_t seven = 7;
    if (!ops->record_begin)
        return;
    struct nc_gather gather = {.count = 1,
                               .width = 8,
                               .rows = 4,
                               .row = indices_on_device(ops, &seven, 1),
                               .x = on_device(ops, NULL, 4 * 8, NC_FLOAT32),
                               .y = on_device(ops, NULL, 8, NC_FLOAT32)};
    for (int round = 0; round < ROUNDS; round++) {
        enum nc_recording recording;
        must(ops->record_begin(ops->backend, "a key", 5, &recording));
        assert_int_equal(recording, round < 2 ? NC_MAKE_CALLS : NC_REPLAYED);
        if (recording == NC_MAKE_CALLS) {
            must(ops->gather(ops->backend, &gather));
            must(ops->record_end(ops->backend));
        }
        must(ops->mark(ops->backend, NC_COMPUTE, 0));
        assert_int_equal(ops->host_wait(ops->backend, 0), NC_FAILED);
        assert_non_null(strstr(nc_error_message(), "row 7"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recordings_are_replayed),
        cmocka_unit_test(recordings_end_with_their_buffers),
        cmocka_unit_test(old_recordings_make_room),
        cmocka_unit_test(failed_recordings_leave_nothing),
        cmocka_unit_test(spoiled_recordings_leave_nothing),
        cmocka_unit_test(host_wait_says_what_is_wrong),
        cmocka_unit_test(replayed_mistakes_are_said),
    };
    return RUN_ON_ALL_BACKENDS(tests);
}
