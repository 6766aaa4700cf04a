/* Token and position embedding, and the sums of their gradients. */
#include "kernels.h"

static const struct {
    size_t rows, width, vocabulary, context;
} shapes[] = {{1, 32, 1, 1}, {5, 7, 3, 77}, {200, 96, 49408, 77}, {333, 100, 40, 20}, {700, 36, 4, 2}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* Repeated tokens, and the last one of the table. */
static int32_t *tokens_of(size_t rows, size_t vocabulary)
{
    int32_t *token = calloc(rows, sizeof *token);
    assert_non_null(token);
    for (size_t r = 0; r < rows; r++)
        token[r] = (int32_t)(r % 3 == 0 ? vocabulary - 1 : r * 7919 % vocabulary);
    return token;
}

static void forward_adds_two_rows(void **state)
{
    struct nc_ops *ops = *state;
    for (size_t i = 0; i < SHAPES; i++) {
        size_t rows = shapes[i].rows, width = shapes[i].width, count = rows * width;
        size_t tokens = shapes[i].vocabulary * width, positions = shapes[i].context * width;
        double *token_table = numbers(90, tokens, 1, NC_FLOAT32), *expected = zeros(count);
        double *position_table = numbers(91, positions, 1, NC_FLOAT32);
        int32_t *token = tokens_of(rows, shapes[i].vocabulary);
        int32_t *position = tokens_of(rows, shapes[i].context);
        for (size_t r = 0; r < rows; r++)
            for (size_t k = 0; k < width; k++)
                expected[r * width + k] =
                    (float)((float)token_table[(size_t)token[r] * width + k] +
                            (float)position_table[(size_t)position[r] * width + k]);
        struct nc_embedding e = {.rows = rows, .width = width, .vocabulary = shapes[i].vocabulary,
                                 .context = shapes[i].context,
                                 .token = indices_on_device(ops, token, rows),
                                 .position = indices_on_device(ops, position, rows),
                                 .token_table = on_device(ops, token_table, tokens, NC_FLOAT32),
                                 .position_table = on_device(ops, position_table, positions, NC_FLOAT32),
                                 .x = on_device(ops, NULL, count, NC_FLOAT32)};
        must(ops->embedding_forward(ops->backend, &e));
        double *x = from_device(ops, e.x, count, NC_FLOAT32);
        assert_memory_equal(x, expected, count * sizeof *x);
        free(token_table);
        free(position_table);
        free(token);
        free(position);
        free(expected);
        free(x);
    }
}

/* Of entries with few rows the sum is that of their order, to the bit; long runs may be added up in
 * another, which is a matter of the rows alone. */
static void assert_sums_in_order(const double *got, const double *sums, const int32_t *index,
                                 size_t rows, size_t entries, size_t width)
{
    enum { FEW = 32 };
    size_t *count = calloc(entries, sizeof *count);
    assert_non_null(count);
    for (size_t r = 0; r < rows; r++)
        count[index[r]]++;
    for (size_t i = 0; i < entries * width; i++) {
        size_t added = count[i / width];
        double allowed = added <= FEW ? 0 : 4 * 0x1p-24 * (double)added;
        assert_true(fabs(got[i] - sums[i]) <= allowed);
    }
    free(count);
}

static void backward_sums_in_order(void **state)
{
    struct nc_ops *ops = *state;
    for (size_t i = 0; i < SHAPES; i++)
        for (int frozen = 0; frozen < 3; frozen++) { /* 1: tokens, 2: positions */
            size_t rows = shapes[i].rows, width = shapes[i].width, count = rows * width;
            size_t tokens = shapes[i].vocabulary * width, positions = shapes[i].context * width;
            double *dx = numbers(92, count, 1, NC_FLOAT32);
            double *token_sums = numbers(93, tokens, 1, NC_FLOAT32);
            double *position_sums = numbers(94, positions, 1, NC_FLOAT32);
            int32_t *token = tokens_of(rows, shapes[i].vocabulary);
            int32_t *position = tokens_of(rows, shapes[i].context);
            struct nc_embedding_backward e = {
                .rows = rows, .width = width, .vocabulary = shapes[i].vocabulary,
                .context = shapes[i].context, .token = indices_on_device(ops, token, rows),
                .position = indices_on_device(ops, position, rows),
                .dx = on_device(ops, dx, count, NC_FLOAT32),
                .dtoken_table = frozen == 1 ? NULL : on_device(ops, token_sums, tokens, NC_FLOAT32),
                .dposition_table =
                    frozen == 2 ? NULL : on_device(ops, position_sums, positions, NC_FLOAT32),
                .scratch = bytes_on_device(ops, ops->embedding_scratch(ops->backend, rows))};
            must(ops->embedding_backward(ops->backend, &e));
            for (size_t r = 0; r < rows; r++) /* in fp32, in the order of rows: to the bit */
                for (size_t k = 0; k < width; k++) {
                    double *t = &token_sums[(size_t)token[r] * width + k];
                    double *p = &position_sums[(size_t)position[r] * width + k];
                    *t = (float)((float)*t + (float)dx[r * width + k]);
                    *p = (float)((float)*p + (float)dx[r * width + k]);
                }
            if (e.dtoken_table) {
                double *got = from_device(ops, e.dtoken_table, tokens, NC_FLOAT32);
                assert_sums_in_order(got, token_sums, token, rows, shapes[i].vocabulary, width);
                free(got);
            }
            if (e.dposition_table) {
                double *got = from_device(ops, e.dposition_table, positions, NC_FLOAT32);
                assert_sums_in_order(got, position_sums, position, rows, shapes[i].context, width);
                free(got);
            }
            free(dx);
            free(token_sums);
            free(position_sums);
            free(token);
            free(position);
        }
}

/* At once, or where the host cannot look, when it waits. What is in bounds still arrives. */
static void wrong_indices_are_refused(void **state)
{
    struct nc_ops *ops = *state;
    enum { ROWS = 3, WIDTH = 8, VOCABULARY = 5, CONTEXT = 4 };
    const struct {
        int32_t token, position;
        const char *named;
    } wrong[] = {{5, 0, "token 5"}, {-7, 0, "token -7"}, {0, 4, "position 4"}};
    double *table = numbers(95, VOCABULARY * WIDTH, 1, NC_FLOAT32);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        for (int backward = 0; backward < 2; backward++) {
            int32_t token[ROWS] = {1, wrong[i].token, 2}, position[ROWS] = {0, wrong[i].position, 2};
            float *x = on_device(ops, NULL, ROWS * WIDTH, NC_FLOAT32);
            struct nc_embedding e = {
                .rows = ROWS, .width = WIDTH, .vocabulary = VOCABULARY, .context = CONTEXT,
                .token = indices_on_device(ops, token, ROWS),
                .position = indices_on_device(ops, position, ROWS),
                .token_table = on_device(ops, table, VOCABULARY * WIDTH, NC_FLOAT32),
                .position_table = on_device(ops, table, CONTEXT * WIDTH, NC_FLOAT32), .x = x};
            struct nc_embedding_backward b = {
                .rows = ROWS, .width = WIDTH, .vocabulary = VOCABULARY, .context = CONTEXT,
                .token = e.token, .position = e.position, .dx = e.token_table,
                .dtoken_table = on_device(ops, table, VOCABULARY * WIDTH, NC_FLOAT32),
                .dposition_table = on_device(ops, table, CONTEXT * WIDTH, NC_FLOAT32),
                .scratch = bytes_on_device(ops, ops->embedding_scratch(ops->backend, ROWS))};
            int status = backward ? ops->embedding_backward(ops->backend, &b)
                                  : ops->embedding_forward(ops->backend, &e);
            if (status == NC_OK && !ops->host_memory)
                status = ops->synchronize(ops->backend);
            assert_int_equal(status, NC_FAILED);
            assert_non_null(strstr(nc_error_message(), wrong[i].named));
            must(ops->synchronize(ops->backend)); /* said once */
        }
    free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward_adds_two_rows),
        cmocka_unit_test(backward_sums_in_order),
        cmocka_unit_test(wrong_indices_are_refused),
    };
    return RUN_ON_ALL_BACKENDS(tests);
}
