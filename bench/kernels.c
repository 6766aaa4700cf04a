/* nclip-bench kernels: each operation alone, against the rates that memory and matrix units reach.
 */
#include "bench.h"
#include "kernel_cases.h"
#include "kernel_inputs.h"
#include "matrix_peak.h"
#include "nclip/ops.h"
#include "nclip/support/error.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct nc_help help = {
    .usage = "nclip-bench kernels [--device NAME] [--operation NAME] [--shape NAME]",
    .purpose =
        "Times each operation of the text tower at the shapes of ViT-B/32, B/16 and L/14, at the "
        "lengths of real captions and at 77 tokens: the median of several runs, with the caches "
        "flushed before each by a copy of something else. GB/s counts the bytes that must move and "
        "TFLOP/s the arithmetic that must be done, whatever is really moved or done; the share is "
        "that of a large copy or a large matrix product, measured in the same run. \"Equal\" is the "
        "share of a copy that moves as many bytes, measured in the same way: what takes "
        "microseconds cannot reach the rate of a large copy. All in bf16, as training runs.",
    .examples = "nclip-bench kernels --device cuda\n"
                "nclip-bench kernels --operation attention_both --shape ViT-L/14",
};

struct request {
    const char *device;
    struct kernel_choice choice;
    size_t repeats;
    bool list, json;
};

struct timing {
    double median, least, most; /* seconds */
};

enum { MARK_BEGIN, MARK_END, MOST_REPEATS = 1000 };

#ifdef NCLIP_REHEARSAL
enum { FLUSH_BYTES = 1 << 20, COPY_BYTES = 1 << 20 };
#else
/* A device's last cache holds up to some 60 MB, a processor's up to some hundreds. */
enum { FLUSH_BYTES = 256 << 20, COPY_BYTES = 1 << 30 };
#endif
enum { FLUSH_WIDTH = 1024 };

/* A copy by `gather`, since copies by other means may go past the caches. It leaves them as a copy
 * leaves them for the next: half of what they hold is still to be written. A fill would leave all of
 * it to be written in the time of what comes next. */
struct flush {
    struct kernel_inputs memory;
    struct nc_gather copy;
};

static int flush_open(struct nc_ops *ops, struct flush *f)
{
    enum { ROWS = FLUSH_BYTES / (FLUSH_WIDTH * (int)sizeof(float)) };
    int32_t *row = malloc(ROWS * sizeof *row);
    kernel_inputs_open(&f->memory, ops);
    if (!row)
        return nc_error(NC_FAILED, "bench: no memory");
    for (int32_t i = 0; i < ROWS; i++)
        row[i] = i;
    f->copy = (struct nc_gather){ROWS, FLUSH_WIDTH, ROWS, kernel_upload(&f->memory, row, ROWS * sizeof *row),
                                 kernel_filled(&f->memory, FLUSH_BYTES / sizeof(float), 1.5f),
                                 kernel_memory(&f->memory, FLUSH_BYTES)};
    free(row);
    return f->memory.status;
}

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
                 struct kernel_case *c, const struct flush *flush, double *seconds)
{
    int status = flush ? ops->gather(ops->backend, &flush->copy) : NC_OK;
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
                  struct kernel_case *c, const struct flush *flush, size_t repeats, struct timing *timing)
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
    struct kernel_inputs memory;
    char *from, *to; /* [COPY_BYTES] */
    size_t bytes;    /* of one copy */
};

static int copy_once(struct nc_ops *ops, struct kernel_case *c)
{
    const struct copy *copy = c->state;
    return ops->copy(ops->backend, copy->to, copy->from, copy->bytes);
}

static int copy_open(struct nc_ops *ops, struct copy *copy)
{
    kernel_inputs_open(&copy->memory, ops);
    copy->from = (char *)kernel_filled(&copy->memory, COPY_BYTES / sizeof(float), 1.5f);
    copy->to = kernel_memory(&copy->memory, COPY_BYTES);
    return copy->memory.status;
}

/* The time of a copy that reads and writes `bytes` in all. */
static int time_copy(struct nc_ops *ops, struct copy *copy, double bytes, const struct flush *flush,
                     size_t repeats, struct timing *timing)
{
    struct kernel_case c = {.state = copy};
    copy->bytes = (size_t)(bytes / 2);
    return repeat(ops, copy_once, &c, flush, repeats, timing);
}

struct ceilings {
    struct flush flush;
    struct copy copy;
    double copy_rate, matrix; /* bytes and flops a second */
};

static int ceilings_open(struct nc_ops *ops, size_t repeats, struct ceilings *ceilings)
{
    struct timing timing = {0};
    int status = copy_open(ops, &ceilings->copy);
    if (status == NC_OK)
        status = time_copy(ops, &ceilings->copy, 2.0 * COPY_BYTES, NULL, repeats, &timing);
    ceilings->copy_rate = 2.0 * COPY_BYTES / timing.median;
    if (status == NC_OK)
        status = matrix_peak(ops, NC_BFLOAT16, &ceilings->matrix);
    return status == NC_OK ? flush_open(ops, &ceilings->flush) : status;
}

static void ceilings_close(struct ceilings *ceilings)
{
    kernel_inputs_close(&ceilings->flush.memory);
    kernel_inputs_close(&ceilings->copy.memory);
}

/* ---- Output -------------------------------------------------------------------------------- */

static void print_head(const struct ceilings *ceilings)
{
    printf("copy %.0f GB/s (read and written), bf16 products %.1f TFLOP/s\n\n", ceilings->copy_rate * 1e-9,
           ceilings->matrix * 1e-12);
    printf("%-24s %-16s %-8s %10s %9s %9s %8s %6s\n", "operation", "shape", "lengths", "ms", "GB/s",
           "TFLOP/s", "share", "equal");
}

static double share_of(const struct kernel_case *c, const struct ceilings *ceilings, double seconds)
{
    return c->ceiling == CEILING_COPY ? c->bytes / seconds / ceilings->copy_rate
                                      : c->flops / seconds / ceilings->matrix;
}

/* equal: of a copy of as many bytes, or with a median of 0 */
static void print_row(const struct kernel_case *c, const struct ceilings *ceilings,
                      const struct timing *t, const struct timing *equal)
{
    printf("%-24s %-16s %-8s %10.4f %9.0f %9.2f %7.0f%%", c->operation, c->shape,
           c->lengths ? c->lengths : "-", t->median * 1e3, c->bytes / t->median * 1e-9,
           c->flops / t->median * 1e-12, 100 * share_of(c, ceilings, t->median));
    if (equal->median > 0)
        printf(" %5.0f%%", 100 * equal->median / t->median);
    printf("\n");
    fflush(stdout);
}

static void add_row(cJSON *rows, const struct kernel_case *c, const struct ceilings *ceilings,
                    const struct timing *t, const struct timing *equal)
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
    if (equal->median > 0) {
        cJSON_AddNumberToObject(row, "equal_copy_milliseconds", equal->median * 1e3);
        cJSON_AddNumberToObject(row, "share_of_equal_copy", equal->median / t->median);
    }
    cJSON_AddItemToArray(rows, row);
}

static int print_json(const struct request *r, const struct ceilings *ceilings, cJSON *rows)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "benchmark", "kernels");
    cJSON_AddStringToObject(root, "device", r->device);
    cJSON_AddNumberToObject(root, "captions", (double)r->choice.captions);
    cJSON_AddNumberToObject(root, "copy_gigabytes_per_second", ceilings->copy_rate * 1e-9);
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

static int measure_case(const struct request *r, struct nc_ops *ops, struct ceilings *ceilings,
                        struct kernel_case *c, cJSON *rows)
{
    struct timing timing, equal = {0};
    int status = repeat(ops, c->run, c, &ceilings->flush, r->repeats, &timing);
    if (status == NC_OK && c->ceiling == CEILING_COPY && c->bytes <= 2.0 * COPY_BYTES)
        status = time_copy(ops, &ceilings->copy, c->bytes, &ceilings->flush, r->repeats, &equal);
    if (status != NC_OK)
        return status;
    if (!r->json)
        print_row(c, ceilings, &timing, &equal);
    add_row(rows, c, ceilings, &timing, &equal);
    return NC_OK;
}

static int measure_cases(const struct request *r, struct nc_ops *ops, struct ceilings *ceilings,
                         cJSON *rows)
{
    size_t index = 0;
    for (;;) {
        struct kernel_case c;
        int status = kernel_case_open(ops, &r->choice, &index, &c);
        if (status != NC_OK || !c.run)
            return status;
        status = measure_case(r, ops, ceilings, &c, rows);
        kernel_case_close(ops, &c);
        if (status != NC_OK)
            return status;
    }
}

static int bench(const struct request *r)
{
    struct nc_ops *ops;
    struct ceilings ceilings = {0};
    int status = nc_ops_create(r->device, 0, &ops);
    if (status != NC_OK)
        return status;
    cJSON *rows = cJSON_CreateArray();
    status = ceilings_open(ops, r->repeats, &ceilings);
    if (status == NC_OK && !r->json)
        print_head(&ceilings);
    if (status == NC_OK)
        status = measure_cases(r, ops, &ceilings, rows);
    ceilings_close(&ceilings);
    nc_ops_destroy(ops);
    if (status == NC_OK && r->json)
        return print_json(r, &ceilings, rows);
    cJSON_Delete(rows);
    return status;
}

static void print_list(void)
{
    for (size_t i = 0; kernel_operation(i); i++)
        puts(kernel_operation(i));
}

static int run(int argc, char **argv)
{
    struct request r = {.device = "cpu", .choice = {.captions = 512}, .repeats = 0};
    const struct nc_option table[] = {
        {"--device", "NAME", "backend (default: cpu)", NC_OPTION_STRING, &r.device, .choices = nc_ops_names()},
        {"--list", NULL, "name the operations, and measure nothing", NC_OPTION_FLAG, &r.list},
        {"--operation", "NAME", "this one only", NC_OPTION_STRING, &r.choice.operation},
        {"--shape", "NAME", "this one only: ViT-L/14, or B=65536 D=768", NC_OPTION_STRING, &r.choice.shape},
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
    if (r.list) {
        print_list();
        nc_arguments_free(&arguments, table);
        return NC_OK;
    }
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
