/* Runs the cases of a check on the oracle and on a device, and compares. */
#include "nclip/train/check.h"

#include "cases.h"
#include "nclip/ranks/communicator.h"
#include "nclip/support/error.h"
#include "nclip/support/progress.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Cases ---------------------------------------------------------------------------------- */

static void run_case(struct check_world *w, const struct check_case *c)
{
    w->seed = 0;
    c->run(w, c);
    if (w->status == NC_OK)
        w->status = w->ops->synchronize(w->ops->backend);
}

/* ---- Comparing ------------------------------------------------------------------------------ */

static float *fetch(struct check_world *w, const struct check_output *output)
{
    float *values = malloc(output->count * sizeof *values + 1);
    void *raw = malloc(output->count * sizeof *values + 1);
    if (!values || !raw)
        check_call(w, nc_error(NC_FAILED, "check: no memory"));
    if (w->status == NC_OK)
        w->status = w->ops->download(w->ops->backend, raw, output->data,
                                     output->count * nc_type_size(output->type));
    if (w->status == NC_OK)
        nc_convert(values, NC_FLOAT32, raw, output->type, output->count);
    free(raw);
    return values;
}

static double size_of(const float *values, size_t count)
{
    double squares = 0;
    for (size_t k = 0; k < count; k++)
        squares += (double)values[k] * values[k];
    return count ? sqrt(squares / (double)count) : 0;
}

/* The size of the output with the largest numbers. */
static double largest_size(struct check_world *oracle)
{
    double largest = 0;
    for (size_t i = 0; i < oracle->output_count; i++) {
        float *expected = fetch(oracle, &oracle->outputs[i]);
        double size = oracle->status == NC_OK ? size_of(expected, oracle->outputs[i].count) : 0;
        largest = size > largest ? size : largest;
        free(expected);
    }
    return largest;
}

/* Of all outputs the largest error, relative to the output's size or to `floor` of the largest's: a
 * key's bias changes no probability, so that its gradient is nothing but rounding. NaN where one
 * has NaNs. */
static double compare(struct check_world *oracle, struct check_world *device, double floor)
{
    double worst = 0, least = floor > 0 ? floor * largest_size(oracle) : 0;
    for (size_t i = 0; i < oracle->output_count; i++) {
        float *expected = fetch(oracle, &oracle->outputs[i]);
        float *actual = fetch(device, &device->outputs[i]);
        size_t count = oracle->outputs[i].count;
        bool fetched = oracle->status == NC_OK && device->status == NC_OK;
        double size = fetched ? fmax(size_of(expected, count), least) : 0, error = 0;
        for (size_t k = 0; fetched && k < count; k++)
            error += pow((double)actual[k] - (double)expected[k], 2);
        error = sqrt(error / (double)(count ? count : 1)) / (size > 0 ? size : 1);
        worst = error <= worst ? worst : error;
        free(expected);
        free(actual);
    }
    return worst;
}

/* fp32: a dozen units and the order of long sums; TF32, taken by mistake, makes 3e-4. bf16: what is
 * stored on the way is rounded by 2^-9 in the mean, several times in a tower. */
static double allowed_for(enum nc_type type, const struct check_case *c)
{
    bool tower = c->run == check_training || c->run == check_training_step;
    return type == NC_FLOAT32 ? (tower ? 1e-4 : 2e-5) : (tower ? 5e-2 : 1.5e-2);
}

static int check_case(struct nc_ops *cpu, struct nc_ops *ops, const struct check_case *c,
                      enum nc_type type, struct nc_check_row *row)
{
    struct check_world oracle = {.ops = cpu, .type = NC_FLOAT32, .rounded = type != NC_FLOAT32};
    struct check_world device = {.ops = ops, .type = type, .rounded = type != NC_FLOAT32};
    *row = (struct nc_check_row){.what = c->what, .shape = c->shape,
                                 .precision = nc_type_name(type), .allowed = allowed_for(type, c)};
    run_case(&oracle, c);
    double began = nc_seconds();
    if (oracle.status == NC_OK)
        run_case(&device, c);
    row->seconds = nc_seconds() - began;
    if (oracle.status == NC_OK && device.status == NC_OK)
        row->error = compare(&oracle, &device, c->run == check_training ? 0.01 : 0);
    if (device.status != NC_OK)
        snprintf(row->message, sizeof row->message, "%s", nc_error_message());
    else if (!(row->error <= row->allowed))
        snprintf(row->message, sizeof row->message,
                 "differs from the processor by %.1e; %.1e are allowed", row->error, row->allowed);
    row->result = *row->message ? NC_CHECK_WRONG : NC_CHECK_RIGHT;
    check_clear(&device);
    check_clear(&oracle);
    return oracle.status;
}

/* ---- Recordings and mistakes ---------------------------------------------------------------- */

static void set(struct nc_check_row *row, bool right, const char *message)
{
    row->result = right ? NC_CHECK_RIGHT : NC_CHECK_WRONG;
    snprintf(row->message, sizeof row->message, "%s", right ? "" : message);
}

/* The same calls made, captured and replayed twice add up to four times their sum. */
static void check_replay(struct nc_ops *ops, struct nc_check_row *row)
{
    enum { COUNT = 4096, ROUNDS = 4 };
    *row = (struct nc_check_row){.what = "recordings", .shape = "", .precision = ""};
    if (!ops->record_begin) {
        row->result = NC_CHECK_LEFT_OUT;
        snprintf(row->message, sizeof row->message, "%s records nothing", ops->name);
        return;
    }
    struct check_world w = {.ops = ops};
    float *data = check_filled(&w, COUNT, 2);
    const double zero = 0;
    double *sum = check_upload(&w, &zero, sizeof zero), got = 0;
    bool replayed = false;
    for (int i = 0; i < ROUNDS && w.status == NC_OK; i++) {
        enum nc_recording recording;
        check_call(&w, ops->record_begin(ops->backend, &data, sizeof data, &recording));
        replayed = recording == NC_REPLAYED;
        if (w.status != NC_OK || replayed)
            continue;
        check_call(&w, ops->squared_norm(ops->backend, data, COUNT, sum));
        check_call(&w, ops->record_end(ops->backend));
    }
    if (w.status == NC_OK)
        w.status = ops->download(ops->backend, &got, sum, sizeof got);
    bool right = w.status == NC_OK && replayed && got == 4.0 * COUNT * ROUNDS;
    set(row, right, w.status != NC_OK ? nc_error_message()
                                      : "what was replayed is not what was recorded");
    check_clear(&w);
}

/* More memory than there is: an error that says so, and all goes on. */
static void check_memory_error(struct nc_ops *ops, struct nc_check_row *row)
{
    void *data = NULL;
    *row = (struct nc_check_row){.what = "too much memory", .shape = "", .precision = ""};
    int status = ops->allocate(ops->backend, (size_t)1 << 50, &data);
    bool said = status == NC_FAILED && strstr(nc_error_message(), "memory");
    if (status == NC_OK)
        ops->release(ops->backend, data, (size_t)1 << 50);
    struct check_world w = {.ops = ops};
    (void)check_filled(&w, 16, 1);
    check_call(&w, ops->synchronize(ops->backend));
    set(row, said && w.status == NC_OK, "a petabyte was not refused in a sentence");
    check_clear(&w);
}

/* An index outside its table is named, once. */
static void check_index_error(struct nc_ops *ops, struct nc_check_row *row)
{
    const int32_t index[] = {0, 41, 1};
    struct check_world w = {.ops = ops};
    *row = (struct nc_check_row){.what = "an index out of bounds", .shape = "", .precision = ""};
    struct nc_gather gather = {.count = 3, .width = 8, .rows = 4,
                               .row = check_upload(&w, index, sizeof index),
                               .x = check_numbers(&w, 32, NC_FLOAT32, 1),
                               .y = check_memory(&w, 24, NC_FLOAT32)};
    check_call(&w, ops->synchronize(ops->backend));
    int status = w.status == NC_OK ? ops->gather(ops->backend, &gather) : NC_OK;
    if (status == NC_OK)
        status = ops->synchronize(ops->backend);
    bool said = status != NC_OK && strstr(nc_error_message(), "row 41");
    bool once = ops->synchronize(ops->backend) == NC_OK;
    set(row, said && once, "row 41 of 4 was not named, once");
    check_clear(&w);
}

int nc_check_device(struct nc_ops *ops, struct nc_communicator *ranks, bool real,
                    void (*say)(void *context, const struct nc_check_row *row), void *context)
{
    struct nc_ops *cpu = NULL;
    struct nc_check_row row;
    int status = nc_ops_create("cpu", 0, &cpu);
    for (size_t i = 0; i < check_case_count && status == NC_OK; i++)
        for (enum nc_type type = NC_FLOAT32; type <= NC_BFLOAT16 && status == NC_OK; type++) {
            const struct check_case *c = &check_cases[i];
            if ((c->real && !real) || (c->fp32_only && type != NC_FLOAT32))
                continue;
            status = check_case(cpu, ops, c, type, &row);
            nc_communicator_tick(ranks);
            if (status == NC_OK)
                say(context, &row);
        }
    void (*const others[])(struct nc_ops *, struct nc_check_row *) = {
        check_replay, check_memory_error, check_index_error};
    for (size_t i = 0; i < sizeof others / sizeof *others && status == NC_OK; i++) {
        double began = nc_seconds();
        others[i](ops, &row);
        row.seconds = nc_seconds() - began;
        say(context, &row);
    }
    if (status == NC_OK) {
        double began = nc_seconds();
        check_ranks(ops, ranks, &row);
        row.seconds = nc_seconds() - began;
        say(context, &row);
    }
    nc_ops_destroy(cpu);
    return status;
}
