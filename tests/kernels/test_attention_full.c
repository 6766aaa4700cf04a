/* Attention over pictures: all tokens see all. */
#include "kernels.h"
#include "reference.h"

static const struct {
    const char *name;
    size_t pictures, tokens, heads, size;
} shapes[] = {
    {"one", 1, 1, 1, 64},          {"patches50", 2, 50, 3, 64}, {"patches257", 1, 257, 2, 64},
    {"patches577", 1, 577, 1, 64}, {"odd40", 3, 17, 2, 40},     {"head128", 1, 129, 1, 128},
    {"head80", 2, 65, 1, 80},      {"head96", 1, 64, 2, 96},       {"head32", 1, 33, 5, 32},
};

static void is_as_close_as_torch(void **state)
{
    struct nc_ops *ops = *state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (enum nc_type type = NC_FLOAT32; type <= NC_BFLOAT16; type++) {
            size_t tokens = shapes[i].tokens, width = shapes[i].heads * shapes[i].size;
            size_t rows = shapes[i].pictures * tokens;
            double *qkv = numbers(20, rows * 3 * width, 1.5, type), *expected = zeros(rows * width);
            double *part[3];
            for (size_t p = 0; p < 3; p++) {
                part[p] = zeros(rows * width);
                for (size_t r = 0; r < rows; r++)
                    memcpy(part[p] + r * width, qkv + (r * 3 + p) * width, width * sizeof *qkv);
            }
            for (size_t picture = 0; picture < shapes[i].pictures; picture++) {
                size_t at = picture * tokens * width;
                reference_attention(tokens, shapes[i].heads, shapes[i].size, false, part[0] + at,
                                    part[1] + at, part[2] + at, expected + at, NULL);
            }
            struct nc_attention_full a = {.type = type, .pictures = shapes[i].pictures,
                                          .tokens = tokens, .heads = shapes[i].heads,
                                          .head_size = shapes[i].size,
                                          .qkv = on_device(ops, qkv, rows * 3 * width, type),
                                          .out = on_device(ops, NULL, rows * width, type)};
            must(ops->attention_full(ops->backend, &a));
            double *out = from_device(ops, a.out, rows * width, type);
            assert_as_torch("attention_full.out", shapes[i].name, type, out, expected, rows * width);
            for (size_t p = 0; p < 3; p++)
                free(part[p]);
            free(qkv);
            free(expected);
            free(out);
        }
}

static void unsupported_heads_are_named(void **state)
{
    struct nc_ops *ops = *state;
    struct nc_attention_full a = {.type = NC_FLOAT32, .heads = 2, .head_size = 1000};
    assert_int_equal(ops->attention_full(ops->backend, &a), NC_FAILED);
    assert_non_null(strstr(nc_error_message(), "attention_full"));
    assert_non_null(strstr(nc_error_message(), "1000"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_as_close_as_torch),
        cmocka_unit_test(unsupported_heads_are_named),
    };
    return RUN_ON_ALL_BACKENDS(tests);
}
