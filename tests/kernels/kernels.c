/* Inputs, backends and tolerances of the operations' tests. */
#include "kernels.h"

#include "../backends.h"
#include "torch_error.h"

/* ---- Backends ------------------------------------------------------------------------- */

struct block {
    struct block *next;
    void *data;
    size_t bytes;
};

static struct block *blocks;
static const char *backend_name;

static int open_backend(void **state)
{
    struct nc_ops *ops;
    if (nc_ops_create(backend_name, 0, &ops) != NC_OK)
        return -1;
    *state = ops;
    return 0;
}

static int close_backend(void **state)
{
    nc_ops_destroy(*state);
    return 0;
}

static int release_all(void **state)
{
    struct nc_ops *ops = *state;
    while (blocks) {
        struct block *block = blocks;
        blocks = block->next;
        if (ops->host_memory)
            free(block->data);
        else
            ops->release(ops->backend, block->data, block->bytes);
        free(block);
    }
    return 0;
}

int run_on_all_backends(const struct CMUnitTest *tests, size_t count)
{
    struct CMUnitTest *with_teardown = calloc(count, sizeof *with_teardown);
    int failures = 0;
    for (const char *const *name = nc_ops_names(); *name; name++) {
        if (!backend_opens(*name))
            continue;
        backend_name = *name;
        memcpy(with_teardown, tests, count * sizeof *tests);
        for (size_t i = 0; i < count; i++)
            with_teardown[i].teardown_func = release_all;
        failures += _cmocka_run_group_tests(*name, with_teardown, count, open_backend, close_backend);
    }
    free(with_teardown);
    return failures;
}

void must(int status)
{
    if (status != NC_OK)
        fail_msg("%s", nc_error_message());
}

/* ---- Numbers -------------------------------------------------------------------------- */

static double bell(uint64_t seed, uint64_t i)
{
    uint64_t z = (seed << 32 | (i & 0xffffffffu)) * 0x9e3779b97f4a7c15u; /* splitmix64 */
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    double sum = (double)(z & 0xffff) + (double)(z >> 16 & 0xffff) + (double)(z >> 32 & 0xffff) +
                 (double)(z >> 48);
    return (sum / 65536 - 2) * sqrt(3);
}

static double rounded(double value, enum nc_type type)
{
    float single = (float)value;
    return type == NC_FLOAT32 ? single : nc_bfloat16_to_float(nc_bfloat16_from_float(single));
}

double *zeros(size_t count)
{
    double *values = calloc(count ? count : 1, sizeof *values);
    assert_non_null(values);
    return values;
}

double *numbers(uint64_t seed, size_t count, double size, enum nc_type type)
{
    double *values = zeros(count);
    for (size_t i = 0; i < count; i++)
        values[i] = rounded(bell(seed, i) * size, type);
    return values;
}

/* ---- Memory --------------------------------------------------------------------------- */

void *bytes_on_device(struct nc_ops *ops, size_t bytes)
{
    if (!bytes)
        return NULL;
    struct block *block = calloc(1, sizeof *block);
    assert_non_null(block);
    block->bytes = bytes;
    if (ops->host_memory)
        assert_int_equal(posix_memalign(&block->data, 64, bytes), 0);
    else
        must(ops->allocate(ops->backend, bytes, &block->data));
    block->next = blocks;
    blocks = block;
    void *dirt = malloc(bytes); /* a NaN in every type */
    assert_non_null(dirt);
    memset(dirt, 0xff, bytes);
    must(ops->upload(ops->backend, block->data, dirt, bytes));
    must(ops->synchronize(ops->backend));
    free(dirt);
    return block->data;
}

void *on_device(struct nc_ops *ops, const double *values, size_t count, enum nc_type type)
{
    void *data = bytes_on_device(ops, count * nc_type_size(type));
    if (!values || !count)
        return data;
    float *single = malloc(count * sizeof *single);
    void *host = malloc(count * nc_type_size(type));
    assert_non_null(single);
    assert_non_null(host);
    for (size_t i = 0; i < count; i++)
        single[i] = (float)values[i];
    nc_convert(host, type, single, NC_FLOAT32, count);
    must(ops->upload(ops->backend, data, host, count * nc_type_size(type)));
    must(ops->synchronize(ops->backend));
    free(host);
    free(single);
    return data;
}

int32_t *indices_on_device(struct nc_ops *ops, const int32_t *values, size_t count)
{
    int32_t *data = bytes_on_device(ops, count * sizeof *data);
    if (count)
        must(ops->upload(ops->backend, data, values, count * sizeof *data));
    must(ops->synchronize(ops->backend));
    return data;
}

double *from_device(struct nc_ops *ops, const void *data, size_t count, enum nc_type type)
{
    double *values = zeros(count);
    float *single = malloc((count ? count : 1) * sizeof *single);
    void *host = malloc((count ? count : 1) * nc_type_size(type));
    assert_non_null(single);
    assert_non_null(host);
    if (count)
        must(ops->download(ops->backend, host, data, count * nc_type_size(type)));
    nc_convert(single, NC_FLOAT32, host, type, count);
    for (size_t i = 0; i < count; i++)
        values[i] = single[i];
    free(host);
    free(single);
    return values;
}

/* ---- Errors --------------------------------------------------------------------------- */

struct error error_of(const double *actual, const double *expected, size_t count)
{
    struct error e = {0};
    double size = 0;
    for (size_t i = 0; i < count; i++) {
        double difference = fabs(actual[i] - expected[i]);
        e.mean += difference * difference;
        size += expected[i] * expected[i];
        if (!(difference <= e.worst))
            e.worst = difference;
    }
    double scale = size > 0 ? sqrt(size / (double)count) : 1;
    return (struct error){sqrt(e.mean / (double)count) / scale, e.worst / scale};
}

void assert_as_arithmetic(const char *output, const char *name, enum nc_type type,
                          const double *actual, const double *expected, size_t count,
                          struct error measured)
{
    const struct torch_error *torch = NULL;
    for (size_t i = 0; i < sizeof torch_errors / sizeof *torch_errors; i++)
        if (strcmp(torch_errors[i].output, output) == 0 && torch_errors[i].type == type &&
            strcmp(torch_errors[i].name, name) == 0)
            torch = &torch_errors[i];
    if (!torch)
        fail_msg("%s, %s, %s: PyTorch's error was not measured", output, name, nc_type_name(type));
    double unit = type == NC_FLOAT32 ? 0x1p-24 : 0x1p-9;
    struct error e = error_of(actual, expected, count);
    if (getenv("NCLIP_TEST_ERRORS"))
        print_message("%-22s %-10s %s  mean %.2e, PyTorch %.2e, here %.2e  worst %.2e, PyTorch %.2e, "
                      "here %.2e\n", output, name, nc_type_name(type), e.mean, torch->mean,
                      measured.mean, e.worst, torch->worst, measured.worst);
    if (!(e.mean <= 2 * fmax(torch->mean, measured.mean) || e.mean <= unit) ||
        !(e.worst <= 2 * fmax(torch->worst, measured.worst) || e.worst <= unit * 4))
        fail_msg("%s, %s, %s: error %.3e in the mean and %.3e at worst, PyTorch's is %.3e and %.3e, "
                 "this arithmetic's %.3e and %.3e", output, name, nc_type_name(type), e.mean,
                 e.worst, torch->mean, torch->worst, measured.mean, measured.worst);
}

void assert_as_torch(const char *output, const char *name, enum nc_type type,
                     const double *actual, const double *expected, size_t count)
{
    assert_as_arithmetic(output, name, type, actual, expected, count, (struct error){0});
}

void assert_sums(const char *what, const struct sums *sums, const double *actual,
                 const double *expected, const double *magnitude, size_t count)
{
    double terms = (double)sums->terms, error = 0x1p-24 * sqrt(terms / 6);
    double unit = sums->type == NC_FLOAT32 ? 0x1p-24 : 0x1p-8;
    if (sums->factors != NC_FLOAT32)
        error += 0x1p-24 * terms / 30;
    double mean = 0, allowed = 0;
    for (size_t i = 0; i < count; i++) {
        double difference = fabs(actual[i] - expected[i]);
        double own = fabs(expected[i]) * (unit + sums->more * 0x1p-24);
        if (!(difference <= 12 * error * magnitude[i] + own))
            fail_msg("%s[%zu]: %.9g instead of %.9g, %.3g of the magnitude %.3g; %.3g are allowed",
                     what, i, actual[i], expected[i], difference / magnitude[i], magnitude[i],
                     12 * error + own / magnitude[i]);
        mean += difference * difference;
        allowed += pow(2 * error * magnitude[i] + own, 2);
    }
    if (getenv("NCLIP_TEST_ERRORS"))
        print_message("%-22s %5zu terms  error %.2e, allowed %.2e\n", what, sums->terms,
                      sqrt(mean / (double)count), sqrt(allowed / (double)count));
    if (!(mean <= allowed))
        fail_msg("%s: an error of %.3e in the mean; %.3e are allowed", what,
                 sqrt(mean / (double)count), sqrt(allowed / (double)count));
}

void assert_close(const char *what, const double *actual, const double *expected, size_t count,
                  double tolerance)
{
    double largest = 0;
    for (size_t i = 0; i < count; i++)
        largest = fabs(expected[i]) > largest ? fabs(expected[i]) : largest;
    for (size_t i = 0; i < count; i++)
        if (!(fabs(actual[i] - expected[i]) <= tolerance * largest))
            fail_msg("%s[%zu]: %.9g instead of %.9g (largest %.3g)", what, i, actual[i], expected[i],
                     largest);
}
