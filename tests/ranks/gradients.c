/* The loss and every gradient of one batch, on however many ranks it is started.
 *
 *     gradients OUT MODEL CAPTIONS STORE COUNT [KEY=VALUE ...]   writes loss and gradients;
 *                                                      config=FILE first: over that config
 *     gradients --compare A B MODEL PIECES                       each tensor in its L2 norm, as close as
 *                                                                fp32 lets them be
 *
 * How close that is, is measured: PIECES is A's batch on one rank too, in pieces, which are the same
 * sums in another order. A and B may differ by twice what A and PIECES do, or by 1e-6 where that
 * is more. These in turn must be within 64 roundings of 2^-24: a gradient passes through some 60
 * operations, one after the other, on its way back through four blocks.
 */
#include "../../host/train/step/parts.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/threads.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double tolerance = 1e-6, most_between_pieces = 64 * 0x1p-24;

static struct nc_communicator *ranks;

static void check(int status)
{
    if (status == NC_OK)
        return;
    if (ranks)
        nc_communicator_abort(ranks, status);
    fprintf(stderr, "gradients: %s\n", nc_error_message());
    exit(1);
}

/* ---- Computing -------------------------------------------------------------------------- */

static void write_result(const char *path, double loss, const float *gradient, size_t count)
{
    struct nc_writer *writer;
    check(nc_writer_create(path, &writer));
    check(nc_writer_write(writer, &loss, sizeof loss));
    check(nc_writer_write(writer, gradient, count * sizeof *gradient));
    check(nc_writer_commit(writer));
}

/* With a sharded optimizer each rank has its slices: all of them, then, on every rank. */
static void gather(struct nc_step *step)
{
    nc_ticket ticket = 0;
    for (size_t i = 0; i < step->buckets.count && step->config->shard_optimizer; i++)
        check(nc_communicator_all_gather(ranks, step->gradient + step->buckets.list[i].offset,
                                         step->buckets.list[i].count, &ticket));
    if (ticket)
        check(nc_communicator_wait(ranks, ticket));
}

static void compute(char **arguments, const char *const *overrides, size_t override_count)
{
    struct nc_ops *ops;
    struct nc_config *config;
    struct nc_model *model;
    struct nc_examples examples;
    struct nc_arena *arena;
    struct nc_step *step;
    bool *trainable;
    check(nc_communicator_create(&ranks));
    const char *source = "default";
    if (override_count && strncmp(*overrides, "config=", 7) == 0) {
        source = *overrides++ + 7;
        override_count--;
    }
    check(nc_config_load(source, overrides, override_count, &config));
    if (ranks)
        ranks->deterministic = config->deterministic;
    check(nc_ops_create("cpu", 0, &ops));
    check(nc_model_open(arguments[1], &model));
    struct nc_losses losses;
    nc_losses_of(config, &losses);
    if (losses.sigmoid)
        check(nc_model_add_logit_bias(model, -3));
    const struct nc_parameter_table *table = nc_model_table(model);
    size_t elements = table->tower_elements[NC_TOWER_TEXT];
    check(nc_trainable_parse((const char *const *)config->trainable, config->trainable_count, table,
                             nc_model_shape(model), &trainable));
    const char *files[] = {arguments[2], NULL}; /* one, or two with a comma between them */
    char *comma = strchr(arguments[2], ',');
    if (comma)
        *comma = 0;
    files[1] = comma ? comma + 1 : NULL;
    check(nc_examples_load(model, config, files, comma ? 2 : 1, arguments[3], &examples));
    size_t count = strtoul(arguments[4], NULL, 10);
    if (!count || count > examples.training_count)
        check(
            nc_error(NC_USAGE, "%zu captions, and there are %zu", count, examples.training_count));
    check(nc_arena_create(&arena));
    check(nc_step_create(ops, nc_model_shape(model), table, config, trainable, &examples, ranks,
                         arena, &step));
    check(nc_arena_commit(arena, ops));
    float *host = calloc(elements, sizeof *host);
    uint32_t *order = calloc(examples.training_count, sizeof *order);
    if (!host || !order)
        check(nc_error(NC_FAILED, "no memory"));
    nc_examples_order(&examples, config->seed, 0, order);
    check(nc_model_load(model, NC_TOWER_TEXT, host));
    check(nc_step_set_parameters(step, host));
    check(nc_step_keep_base(step, &examples));
    /* Somewhere else, so that there is something to hold back from. */
    for (size_t i = 0; i < elements && losses.keeps; i++)
        host[i] *= i % 3 ? 1.05f : 0.9f;
    check(nc_step_set_parameters(step, host));
    struct nc_batch batch = nc_step_batch(step, &examples, order, count, 0);
    check(nc_step_loss_forward(step, &batch, true));
    check(nc_step_loss_backward(step, &batch));
    gather(step);
    if (!ranks || ranks->rank == 0)
        write_result(arguments[0], step->numbers->loss, step->gradient, elements);
    nc_step_destroy(step);
    nc_arena_destroy(arena);
    nc_examples_free(&examples);
    nc_model_close(model);
    nc_ops_destroy(ops);
    nc_config_free(config);
    free(trainable);
    free(order);
    free(host);
    nc_communicator_destroy(ranks);
}

/* ---- Comparing -------------------------------------------------------------------------- */

static float *read_result(const char *path, size_t elements, double *loss)
{
    char *data;
    size_t size;
    check(nc_file_read(path, SIZE_MAX / 2, &data, &size));
    if (size != sizeof *loss + elements * sizeof(float))
        check(nc_error(NC_BAD_INPUT, "%s: %zu bytes", path, size));
    float *gradient = malloc(elements * sizeof *gradient);
    if (!gradient)
        check(nc_error(NC_FAILED, "no memory"));
    memcpy(loss, data, sizeof *loss);
    memcpy(gradient, data + sizeof *loss, elements * sizeof *gradient);
    free(data);
    return gradient;
}

/* Query, key and value are one tensor, as in OpenAI's checkpoints: the gradient of a key's bias
 * alone is zero but for rounding, since softmax does not see it. */
static bool goes_on(const struct nc_parameter *row)
{
    return row->role == NC_QUERY_WEIGHT || row->role == NC_KEY_WEIGHT ||
           row->role == NC_QUERY_BIAS || row->role == NC_KEY_BIAS;
}

static double difference(const float *a, const float *b, size_t count)
{
    double error = 0;
    for (size_t k = 0; k < count; k++)
        error += ((double)b[k] - a[k]) * ((double)b[k] - a[k]);
    return error;
}

/* One tensor, or the sum over all of them: squared norms of A, of B - A, of PIECES - A. */
struct norms {
    double a, b, pieces;
};

static void add_norms(struct norms *to, struct norms from)
{
    to->a += from.a;
    to->b += from.b;
    to->pieces += from.pieces;
}

static bool close_enough(const struct norms *n)
{
    double pieces = sqrt(n->pieces / n->a), allowed = 2 * pieces > tolerance ? 2 * pieces : tolerance;
    return pieces <= most_between_pieces && sqrt(n->b / n->a) <= allowed;
}

static int compare(char **files, const char *folder)
{
    struct nc_model *model;
    check(nc_model_open(folder, &model));
    char *data;
    size_t size, plain = nc_model_table(model)->tower_elements[NC_TOWER_TEXT];
    check(nc_file_read(files[0], SIZE_MAX / 2, &data, &size));
    free(data);
    if (size != sizeof(double) + plain * sizeof(float)) /* of a sigmoid loss */
        check(nc_model_add_logit_bias(model, 0));
    const struct nc_parameter_table *table = nc_model_table(model);
    double losses[3];
    float *gradients[3];
    for (size_t i = 0; i < 3; i++)
        gradients[i] = read_result(files[i], table->tower_elements[NC_TOWER_TEXT], &losses[i]);
    struct norms all = {0}, tensor = {0}, worst = {.a = 1};
    const char *name = "";
    bool good = true;
    for (size_t i = 0; i < table->count; i++) {
        const struct nc_parameter *row = &table->rows[i];
        if (row->tower != NC_TOWER_TEXT)
            continue;
        const float *a = gradients[0] + row->offset;
        for (size_t k = 0; k < row->count; k++)
            tensor.a += (double)a[k] * a[k];
        tensor.b += difference(a, gradients[1] + row->offset, row->count);
        tensor.pieces += difference(a, gradients[2] + row->offset, row->count);
        if (goes_on(row))
            continue;
        if (!(tensor.a > 0)) {
            printf("%s: the gradient of %s is zero\n", files[0], row->name);
            return 1;
        }
        if (!close_enough(&tensor)) {
            printf("%s: too far apart\n", row->name);
            good = false;
        }
        if (!(tensor.b / tensor.a <= worst.b / worst.a)) {
            worst = tensor;
            name = row->name;
        }
        add_norms(&all, tensor);
        tensor = (struct norms){0};
    }
    double loss = fabs(losses[1] - losses[0]) / fabs(losses[0]);
    printf("%s, %s: loss %.9g differs by %.1e, the gradient by %.1e, a tensor of it by up to %.1e "
           "(%s), in pieces by %.1e\n",
           files[0], files[1], losses[0], loss, sqrt(all.b / all.a), sqrt(worst.b / worst.a), name,
           sqrt(worst.pieces / worst.a));
    return loss <= tolerance && good ? 0 : 1;
}

int main(int argc, char **argv)
{
    nc_threads_wait_passively(argv);
    if (argc == 6 && strcmp(argv[1], "--compare") == 0) {
        char *files[] = {argv[2], argv[3], argv[5]};
        return compare(files, argv[4]);
    }
    if (argc < 6) {
        fprintf(stderr, "gradients: too few arguments\n");
        return 2;
    }
    compute(argv + 1, (const char *const *)argv + 6, (size_t)argc - 6);
    return 0;
}
