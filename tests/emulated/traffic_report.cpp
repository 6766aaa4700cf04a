/* What the CUDA kernels move at the shapes of nclip-bench kernels, counted on the CPU (traffic.h).
 *   races_traffic [CAPTIONS [OPERATION]]      (16, all but the largest)
 * Ends with 1 where an operation moves more than `operations` below allows.
 * A line for each kernel of a case. "must" are the bytes that the case says must move, "moved" what
 * its kernels move even with perfect caches; "sectors" how much of what the caches are asked for
 * was asked for by the lanes (1: coalesced), and "turns" how often shared memory is used for what
 * one turn without conflicts could do (1: no bank conflicts). */
#include "emulated/traffic.h"

extern "C" {
#include "bench/kernel_cases.h"
}
#include "nclip/support/error.h"
#include "nclip/ops.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

/* The most that an operation bound by memory may move for each byte that must; 0: not such a one.
 * Above 1 are indices and statistics, and the parts of sums that blocks leave for one that adds
 * them. Not usual: 64 pictures. */
static const struct {
    const char *name;
    bool usual;
    double real, full; /* captions of real lengths; of 77 tokens */
} operations[] = {
    {"attention_forward", true, 1.02, 1.02},
    {"attention_both", true, 1.02, 1.11}, /* long: what was attended is read once more */
    {"attention_full", false, 0, 0},
    {"layernorm_forward", true, 1.02, 1.01},
    {"layernorm_backward", true, 1.07, 1.02},
    {"activation_forward", true, 1, 1},
    {"activation_backward", true, 1, 1},
    {"embedding_forward", true, 1, 1},
    {"embedding_backward", true, 1.35, 1.25}, /* a table's rows are read and written in whole */
    {"linear", true, 0, 0},
    {"adamw", true, 1.001, 1.001},
    {"rmsprop", true, 1.001, 1.001},
    {"sgd", true, 1.001, 1.001},
    {"squared_norm", true, 1.01, 1.01},
    {"infonce", true, 0, 0},
    {"sigmoid", true, 0, 0},
};

static double most_of(const struct kernel_case *c)
{
    for (const auto &one : operations)
        if (strcmp(one.name, c->operation) == 0)
            return c->lengths && strcmp(c->lengths, "77") == 0 ? one.full : one.real;
    return 0;
}

static double ratio(uint64_t a, uint64_t b)
{
    return b ? static_cast<double>(a) / static_cast<double>(b) : 1;
}

static int report(struct nc_ops *ops, struct kernel_case *c)
{
    int status = c->run(ops, c); /* products choose their algorithms, which is work of its own */
    if (status == NC_OK)
        status = ops->synchronize(ops->backend);
    nc_traffic_begin();
    if (status == NC_OK)
        status = c->run(ops, c);
    if (status == NC_OK)
        status = ops->synchronize(ops->backend);
    uint64_t moved = 0;
    for (const auto &one : nc_traffic_end())
        moved += one.second.load.moved + one.second.store.moved;
    double most = most_of(c);
    if (most > 0 && static_cast<double>(moved) > most * c->bytes)
        status = nc_error(NC_FAILED,
                          "%s, %s: moves %.3f times the bytes that must move; %.3f are allowed",
                          c->operation, c->shape, static_cast<double>(moved) / c->bytes, most);
    printf("%s, %s%s%s: must %.0f KB, moved %.0f KB\n", c->operation, c->shape,
           c->lengths ? ", " : "", c->lengths ? c->lengths : "", c->bytes / 1e3,
           static_cast<double>(moved) / 1e3);
    for (const auto &one : nc_traffic_end()) {
        const nc_traffic &t = one.second;
        if (!t.load.requests && !t.store.requests)
            continue;
        printf(
            "    %-58.58s %4llu x  loads %9.0f KB, sectors %.2f   stores %8.0f KB, sectors %.2f   "
            "shared %9llu turns, %.2f\n",
            one.first.c_str(), static_cast<unsigned long long>(t.launches),
            static_cast<double>(t.load.moved) / 1e3, ratio(t.load.bytes, t.load.sectors * 32),
            static_cast<double>(t.store.moved) / 1e3, ratio(t.store.bytes, t.store.sectors * 32),
            static_cast<unsigned long long>(t.shared.turns), ratio(t.shared.turns, t.shared.least));
    }
    fflush(stdout);
    return status;
}

static int report_operation(struct nc_ops *ops, const char *operation, size_t captions)
{
    struct kernel_choice choice = {};
    choice.operation = operation;
    choice.captions = captions;
    bool of_pairs = strcmp(operation, "infonce") == 0 || strcmp(operation, "sigmoid") == 0;
    choice.shape = of_pairs ? nullptr : "ViT-L/14";
    choice.most_pairs = 512;
    choice.parameters = 1 << 18;
    struct kernel_case c = {};
    size_t cases = 0;
    int status = NC_OK;
    for (size_t index = 0; status == NC_OK;) {
        status = kernel_case_open(ops, &choice, &index, &c);
        if (status != NC_OK || !c.run)
            break;
        status = report(ops, &c);
        cases++;
        kernel_case_close(ops, &c);
    }
    if (status == NC_OK && !cases)
        status = nc_error(NC_FAILED, "nclip-bench kernels has no case of %s", operation);
    return status;
}

int main(int count, char **arguments)
{
    size_t captions = count > 1 ? strtoul(arguments[1], nullptr, 10) : 16;
    struct nc_ops *ops = nullptr;
    int status = nc_ops_create("cuda-emulated", 0, &ops);
    if (status == NC_OK && count > 2)
        status = report_operation(ops, arguments[2], captions);
    for (const auto &one : operations)
        if (status == NC_OK && count <= 2 && one.usual)
            status = report_operation(ops, one.name, captions);
    if (status != NC_OK)
        fprintf(stderr, "races_traffic: %s\n", nc_error_message());
    nc_ops_destroy(ops);
    return status == NC_OK ? 0 : 1;
}
