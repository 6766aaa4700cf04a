/* Memory of a backend: copies, fills and conversions of any size. */
#include "kernels.h"

static const size_t sizes[] = {0, 1, 15, 16, 17, 1000, 65536, 65537, 200001};
enum { SIZES = sizeof sizes / sizeof *sizes };

static void blocks_come_and_go(void **state)
{
    struct nc_ops *ops = *state;
    const size_t bytes[] = {0, 1, 4096, 100000, (1 << 21) - 1, 1 << 21, (5 << 20) + 3};
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) {
        void *block;
        must(ops->allocate(ops->backend, bytes[i], &block));
        assert_int_equal((uintptr_t)block % 64, 0);
        must(ops->zero(ops->backend, block, bytes[i])); /* all of it is ours */
        must(ops->synchronize(ops->backend));
        ops->release(ops->backend, block, bytes[i]);
    }
    void *block;
    assert_int_equal(ops->allocate(ops->backend, SIZE_MAX / 2, &block), NC_FAILED);
    assert_null(block);
    ops->release(ops->backend, NULL, 0);
}

static void bytes_arrive_unchanged(void **state)
{
    struct nc_ops *ops = *state;
    for (size_t i = 0; i < SIZES; i++) {
        size_t size = sizes[i];
        unsigned char *host = malloc(size + 1), *back = malloc(size + 1);
        assert_non_null(host);
        assert_non_null(back);
        for (size_t k = 0; k < size; k++)
            host[k] = (unsigned char)(k * 7 + 1);
        void *a = bytes_on_device(ops, size + 1), *b = bytes_on_device(ops, size + 1);
        must(ops->upload(ops->backend, a, host, size));
        must(ops->copy(ops->backend, b, a, size));
        must(ops->download(ops->backend, back, b, size + 1));
        assert_memory_equal(host, back, size);
        assert_int_equal(back[size], 0xff); /* and nothing behind it */
        must(ops->zero(ops->backend, b, size));
        must(ops->download(ops->backend, back, b, size + 1));
        for (size_t k = 0; k < size; k++)
            assert_int_equal(back[k], 0);
        assert_int_equal(back[size], 0xff);
        free(host);
        free(back);
    }
}

/* copy and zero, from anywhere to anywhere. */
static void pieces_of_buffers_are_moved(void **state)
{
    struct nc_ops *ops = *state;
    enum { SIZE = 300 };
    unsigned char host[SIZE], back[SIZE];
    for (size_t k = 0; k < SIZE; k++)
        host[k] = (unsigned char)(k % 251 + 1);
    char *from = bytes_on_device(ops, SIZE), *to = bytes_on_device(ops, SIZE);
    for (size_t start = 0; start < 20; start++)
        for (size_t count = 0; count < 200; count += 37) {
            must(ops->upload(ops->backend, from, host, SIZE));
            must(ops->upload(ops->backend, to, host, SIZE));
            must(ops->copy(ops->backend, to + start + 50, from + start, count));
            must(ops->zero(ops->backend, to + start, count < 50 ? count : 50));
            must(ops->download(ops->backend, back, to, SIZE));
            for (size_t k = 0; k < SIZE; k++) {
                bool zeroed = k >= start && k < start + (count < 50 ? count : 50);
                bool copied = k >= start + 50 && k < start + 50 + count;
                assert_int_equal(back[k], zeroed ? 0 : copied ? host[k - 50] : host[k]);
            }
        }
}

static void fill_sets_every_number(void **state)
{
    struct nc_ops *ops = *state;
    for (size_t i = 0; i < SIZES; i++)
        for (size_t start = 0; start < 5; start++) { /* in the middle of a buffer too */
            float *data = bytes_on_device(ops, (start + sizes[i] + 1) * sizeof *data);
            must(ops->fill(ops->backend, data + start, -INFINITY, sizes[i]));
            double *got = from_device(ops, data, start + sizes[i] + 1, NC_FLOAT32);
            for (size_t k = 0; k < start; k++)
                assert_true(isnan(got[k]));
            for (size_t k = 0; k < sizes[i]; k++)
                assert_true(got[start + k] == -INFINITY);
            assert_true(isnan(got[start + sizes[i]]));
            free(got);
        }
}

static void conversions_equal_the_hosts(void **state)
{
    struct nc_ops *ops = *state;
    enum nc_type types[] = {NC_FLOAT32, NC_BFLOAT16, NC_FLOAT16};
    for (size_t i = 0; i < SIZES; i++)
        for (size_t from = 0; from < 3; from++)
            for (size_t to = 0; to < 3; to++) {
                size_t count = sizes[i], in = nc_type_size(types[from]), out = nc_type_size(types[to]);
                double *values = numbers(99, count, 100, NC_FLOAT32);
                float *single = malloc((count + 1) * sizeof *single);
                void *source = malloc((count + 1) * in), *expected = malloc((count + 1) * out);
                void *got = malloc((count + 1) * out);
                for (size_t k = 0; k < count; k++)
                    single[k] = k % 100 == 99 ? INFINITY : (float)values[k];
                nc_convert(source, types[from], single, NC_FLOAT32, count);
                nc_convert(expected, types[to], source, types[from], count);
                void *a = bytes_on_device(ops, count * in), *b = bytes_on_device(ops, count * out);
                if (count)
                    must(ops->upload(ops->backend, a, source, count * in));
                must(ops->convert(ops->backend, b, types[to], a, types[from], count));
                if (count)
                    must(ops->download(ops->backend, got, b, count * out));
                assert_memory_equal(got, expected, count * out);
                free(values);
                free(single);
                free(source);
                free(expected);
                free(got);
            }
}

static void unknown_backends_are_refused(void **state)
{
    (void)state;
    struct nc_ops *ops;
    assert_int_equal(nc_ops_create("abacus", 0, &ops), NC_USAGE);
    assert_null(ops);
    assert_non_null(strstr(nc_error_message(), "abacus"));
    assert_non_null(strstr(nc_error_message(), "cpu"));
    nc_ops_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_come_and_go),
        cmocka_unit_test(bytes_arrive_unchanged),
        cmocka_unit_test(pieces_of_buffers_are_moved),
        cmocka_unit_test(fill_sets_every_number),
        cmocka_unit_test(conversions_equal_the_hosts),
        cmocka_unit_test(unknown_backends_are_refused),
    };
    return RUN_ON_ALL_BACKENDS(tests);
}
