/* The cases of nclip doctor --check, on every backend; and that a device that computes something
 * else is found. */
#include "nclip/train/check.h"

#include "../kernels/kernels.h"

static bool broken; /* by this test */
static size_t wrong, rows;

static void hear(void *context, const struct nc_check_row *row)
{
    (void)context;
    rows++;
    if (row->result != NC_CHECK_WRONG)
        return;
    wrong++;
    if (!broken)
        fail_msg("%s, %s, %s: %s", row->what, row->shape, row->precision, row->message);
}

static void a_device_is_right(void **state)
{
    broken = false;
    rows = 0;
    must(nc_check_device(*state, NULL, false, hear, NULL));
    assert_true(rows > 30);
}

static int (*layernorm)(struct nc_backend *, const struct nc_layernorm *);

static int careless_layernorm(struct nc_backend *backend, const struct nc_layernorm *norm)
{
    struct nc_layernorm other = *norm;
    other.epsilon = 1e-2f;
    return layernorm(backend, &other);
}

static void a_mistake_is_found(void **state)
{
    struct nc_ops ops = *(struct nc_ops *)*state;
    broken = true;
    wrong = 0;
    layernorm = ops.layernorm_forward;
    ops.layernorm_forward = careless_layernorm;
    must(nc_check_device(&ops, NULL, false, hear, NULL));
    assert_true(wrong >= 3); /* two norms and the tower in fp32 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_device_is_right),
        cmocka_unit_test(a_mistake_is_found),
    };
    return RUN_ON_ALL_BACKENDS(tests);
}
