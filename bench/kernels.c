/* nclip-bench kernels: each operation alone, against what the memory and the matrix units reach. */
#include "bench.h"
#include "kernel_cases.h"
#include "matrix_peak.h"

#include "nclip/error.h"
#include "nclip/ops.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct nc_help help = {
    .usage = "nclip-bench kernels [--device NAME] [--operation NAME] [--shape NAME]",
    .purpose =
        "Times each operation of the text tower at the shapes of ViT-B/32, B/16 and L/14, at the "
        "lengths of real captions and at 77 tokens: the median of several runs, with the caches "
        "flushed before each. GB/s counts the bytes that must move and TFLOP/s the arithmetic that "
        "must be done, whatever is really moved or done; the share is that of a large copy or a "
        "large matrix product, measured in the same run. All in bf16, as training runs.",
    .examples = "nclip-bench kernels --device cuda\n"
                "nclip-bench kernels --operation attention_both --shape ViT-L/14",
};

struct request {
    const char *device;
    struct kernel_choice choice;
    size_t repeats;
    bool json;
};

struct timing {
    double median, least, most; /* seconds */
};

enum { MARK_BEGIN, MARK_END, MOST_REPEATS = 1000 };

/* A device's last cache holds up to some 60 MB, a processor's up to some hundreds. */
enum { FLUSH_BYTES = 512 << 20, COPY_BYTES = 1 << 30 };

static int by_size(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static struct timing summary(double *seconds, size_t count)
{
    qsort(seconds, count, sizeof *seconds, by_size);
    return (struct timing){seconds[count / 2], seconds[0], seconds[count - 1]};
}

static int timed(struct nc_ops *ops, int (*run)(struct nc_ops *, struct kernel_case *),
                 struct kernel_case *c, float *flush, double *seconds)
{
    int status = flush ? ops->fill(ops->backend, flush, 1, FLUSH_BYTES / sizeof *flush) : NC_OK;
    if (status == NC_OK)
        status = ops->mark(ops->backend, NC_COMPUTE, MARK_BEGIN);
    if (status == NC_OK)
        status = run(ops, c);
    if (status == NC_OK)
        status = ops->mark(ops->backend, NC_COMPUTE, MARK_END);
    if (status == NC_OK)
        status = ops->host_wait(ops->backend, MARK_END);
    return status == NC_OK ? ops->elapsed(ops->backend, MARK_BEGIN, MARK_END, seconds) : status;
}

static int repeat(struct nc_ops *ops, int (*run)(struct nc_ops *, struct kernel_case *),
                  struct kernel_case *c, float *flush, size_t repeats, struct timing *timing)
{
    double seconds[MOST_REPEATS], warm;
    int status = timed(ops, run, c, flush, &warm);
    if (status == NC_OK)
        status = timed(ops, run, c, flush, &warm);
    size_t count = warm > 1 ? 1 : warm * (double)repeats > 5 ? (size_t)(5 / warm) + 1 : repeats;
    for (size_t i = 0; i < count && status == NC_OK; i++)
        status = timed(ops, run, c, flush, &seconds[i]);
    if (status == NC_OK)
        *timing = summary(seconds, count);
    return status;
}

/* ---- Ceilings ------------------------------------------------------------------------------ */

struct copy {
    char *from, *to;
};

static int copy_once(struct nc_ops *ops, struct kernel_case *c)
{
    const struct copy *copy = c->state;
    return ops->copy(ops->backend, copy->to, copy->from, COPY_BYTES);
}

/* Bytes a second, those read and those written. */
static int copy_rate(struct nc_ops *ops, size_t repeats, double *rate)
{
    struct copy copy = {0};
    struct timing timing;
    struct kernel_case c = {.state = &copy};
    int status = ops->allocate(ops->backend, COPY_BYTES, (void **)&copy.from);
    if (status == NC_OK)
        status = ops->allocate(ops->backend, COPY_BYTES, (void **)&copy.to);
    if (status == NC_OK)
        status = ops->fill(ops->backend, (float *)(void *)copy.from, 1.5f, COPY_BYTES / sizeof(float));
    if (status == NC_OK)
        status = repeat(ops, copy_once, &c, NULL, repeats, &timing);
    if (status == NC_OK)
        *rate = 2.0 * COPY_BYTES / timing.median;
    if (copy.from)
        ops->release(ops->backend, copy.from, COPY_BYTES);
    if (copy.to)
        ops->release(ops->backend, copy.to, COPY_BYTES);
    return status;
}

/* ---- Output -------------------------------------------------------------------------------- */

struct ceilings {
    double copy, matrix; /* bytes and flops a second */
};

static void print_head(const struct ceilings *ceilings)
{
    printf("copy %.0f GB/s (read and written), bf16 products %.1f TFLOP/s\n\n", ceilings->copy * 1e-9,
           ceilings->matrix * 1e-12);
    printf("%-24s %-16s %-8s %10s %9s %9s %8s\n", "operation", "shape", "lengths", "ms", "GB/s",
           "TFLOP/s", "share");
}

static double share_of(const struct kernel_case *c, const struct ceilings *ceilings, double seconds)
{
    return c->ceiling == CEILING_COPY ? c->bytes / seconds / ceilings->copy
                                      : c->flops / seconds / ceilings->matrix;
}

static void print_row(const struct kernel_case *c, const struct ceilings *ceilings,
                      const struct timing *t)
{
    printf("%-24s %-16s %-8s %10.4f %9.0f %9.2f %7.0f%%\n", c->operation, c->shape,
           c->lengths ? c->lengths : "-", t->median * 1e3, c->bytes / t->median * 1e-9,
           c->flops / t->median * 1e-12, 100 * share_of(c, ceilings, t->median));
    fflush(stdout);
}

static void add_row(cJSON *rows, const struct kernel_case *c, const struct ceilings *ceilings,
                    const struct timing *t)
{
    cJSON *row = cJSON_CreateObject();
    cJSON_AddStringToObject(row, "operation", c->operation);
    cJSON_AddStringToObject(row, "shape", c->shape);
    if (c->lengths)
        cJSON_AddStringToObject(row, "lengths", c->lengths);
    cJSON_AddStringToObject(row, "program", "nclip " NCLIP_VERSION);
    cJSON_AddNumberToObject(row, "milliseconds", t->median * 1e3);
    cJSON_AddNumberToObject(row, "least", t->least * 1e3);
    cJSON_AddNumberToObject(row, "most", t->most * 1e3);
    cJSON_AddNumberToObject(row, "gigabytes_per_second", c->bytes / t->median * 1e-9);
    cJSON_AddNumberToObject(row, "teraflops", c->flops / t->median * 1e-12);
    cJSON_AddStringToObject(row, "ceiling", c->ceiling == CEILING_COPY ? "copy" : "matrix");
    cJSON_AddNumberToObject(row, "share", share_of(c, ceilings, t->median));
    cJSON_AddItemToArray(rows, row);
}

static int print_json(const struct request *r, const struct ceilings *ceilings, cJSON *rows)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "benchmark", "kernels");
    cJSON_AddStringToObject(root, "device", r->device);
    cJSON_AddNumberToObject(root, "captions", (double)r->choice.captions);
    cJSON_AddNumberToObject(root, "copy_gigabytes_per_second", ceilings->copy * 1e-9);
    cJSON_AddNumberToObject(root, "matrix_teraflops", ceilings->matrix * 1e-12);
    cJSON_AddItemToObject(root, "rows", rows);
    char *text = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    if (!text)
        return nc_error(NC_FAILED, "bench: no memory");
    puts(text);
    cJSON_free(text);
    return NC_OK;
}

static int measure_cases(const struct request *r, struct nc_ops *ops,
                         const struct ceilings *ceilings, float *flush, cJSON *rows)
{
    size_t index = 0;
    for (;;) {
        struct kernel_case c;
        struct timing timing;
        int status = kernel_case_open(ops, &r->choice, &index, &c);
        if (status != NC_OK || !c.run)
            return status;
        status = repeat(ops, c.run, &c, flush, r->repeats, &timing);
        if (status == NC_OK && !r->json)
            print_row(&c, ceilings, &timing);
        if (status == NC_OK)
            add_row(rows, &c, ceilings, &timing);
        kernel_case_close(ops, &c);
        if (status != NC_OK)
            return status;
    }
}

static int bench(const struct request *r)
{
    struct nc_ops *ops;
    struct ceilings ceilings;
    float *flush = NULL;
    int status = nc_ops_create(r->device, 0, &ops);
    if (status != NC_OK)
        return status;
    cJSON *rows = cJSON_CreateArray();
    status = copy_rate(ops, r->repeats, &ceilings.copy);
    if (status == NC_OK)
        status = matrix_peak(ops, NC_BFLOAT16, &ceilings.matrix);
    if (status == NC_OK)
        status = ops->allocate(ops->backend, FLUSH_BYTES, (void **)&flush);
    if (status == NC_OK && !r->json)
        print_head(&ceilings);
    if (status == NC_OK)
        status = measure_cases(r, ops, &ceilings, flush, rows);
    if (flush)
        ops->release(ops->backend, flush, FLUSH_BYTES);
    nc_ops_destroy(ops);
    if (status == NC_OK && r->json)
        return print_json(r, &ceilings, rows);
    cJSON_Delete(rows);
    return status;
}

static int run(int argc, char **argv)
{
    struct request r = {.device = "cpu", .choice = {.captions = 512}, .repeats = 0};
    const struct nc_option table[] = {
        {"--device", "NAME", "backend (default: cpu)", NC_OPTION_STRING, &r.device, .choices = nc_ops_names()},
        {"--operation", "NAME", "this one only", NC_OPTION_STRING, &r.choice.operation},
        {"--shape", "NAME", "ViT-B/32, ViT-B/16 or ViT-L/14 only", NC_OPTION_STRING, &r.choice.shape},
        {"--captions", "N", "captions of a batch (default: 512)", NC_OPTION_SIZE, &r.choice.captions},
        {"--most-pairs", "N", "largest InfoNCE (default: 1048576 on a GPU, 8192 on the processor)",
         NC_OPTION_SIZE, &r.choice.most_pairs},
        {"--repeats", "N", "runs of each (default: 100 on a GPU, 10 on the processor; fewer of what takes long)",
         NC_OPTION_SIZE, &r.repeats},
        {"--json", NULL, "print one JSON object", NC_OPTION_FLAG, &r.json},
        {0},
    };
    struct nc_arguments arguments;
    int status = nc_options_parse(&help, table, argc, argv, &arguments);
    if (status != NC_OK || arguments.help_shown)
        return status;
    bool processor = strcmp(r.device, "cpu") == 0;
    if (!r.choice.most_pairs)
        r.choice.most_pairs = processor ? 8192 : 1048576;
    if (!r.repeats)
        r.repeats = processor ? 10 : 100;
    if (!r.choice.captions || r.repeats > MOST_REPEATS)
        status = nc_error(NC_USAGE, "--captions must be at least 1 and --repeats at most %d", MOST_REPEATS);
    else
        status = bench(&r);
    nc_arguments_free(&arguments, table);
    return status;
}

const struct nc_command bench_kernels = {"kernels", "each operation alone", run};
