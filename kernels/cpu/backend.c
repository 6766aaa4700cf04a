/* The backends of this build by name, and the CPU's table of operations. */
#include "cpu.h"

#include "nclip/error.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

static const struct nc_ops cpu_operations = {
    .name = "cpu",
    .host_memory = true,
    .allocate = nc_cpu_allocate,
    .release = nc_cpu_release,
    .upload = nc_cpu_copy,
    .download = nc_cpu_copy,
    .copy = nc_cpu_copy,
    .zero = nc_cpu_zero,
    .fill = nc_cpu_fill,
    .synchronize = nc_cpu_synchronize,
    .allocate_host = nc_cpu_allocate,
    .release_host = nc_cpu_release,
    .copy_queued = nc_cpu_copy_queued,
    .mark = nc_cpu_mark,
    .queue_wait = nc_cpu_queue_wait,
    .host_wait = nc_cpu_host_wait,
    .elapsed = nc_cpu_elapsed,
    .convert = nc_cpu_convert,
    .linear = nc_cpu_linear,
    .linear_backward_input = nc_cpu_linear_backward_input,
    .linear_backward_weight = nc_cpu_linear_backward_weight,
    .attention_scratch = nc_cpu_attention_scratch,
    .attention_forward = nc_cpu_attention_forward,
    .attention_backward = nc_cpu_attention_backward,
    .attention_full = nc_cpu_attention_full,
    .layernorm_forward = nc_cpu_layernorm_forward,
    .layernorm_scratch = nc_cpu_layernorm_scratch,
    .layernorm_backward = nc_cpu_layernorm_backward,
    .activation_forward = nc_cpu_activation_forward,
    .activation_backward = nc_cpu_activation_backward,
    .embedding_forward = nc_cpu_embedding_forward,
    .embedding_scratch = nc_cpu_embedding_scratch,
    .embedding_backward = nc_cpu_embedding_backward,
    .gather = nc_cpu_gather,
    .scatter = nc_cpu_scatter,
    .normalize_forward = nc_cpu_normalize_forward,
    .normalize_backward = nc_cpu_normalize_backward,
    .infonce_scratch = nc_cpu_infonce_scratch,
    .infonce_forward = nc_cpu_infonce_forward,
    .infonce_backward = nc_cpu_infonce_backward,
    .infonce_loss = nc_cpu_infonce_loss,
    .adamw = nc_cpu_adamw,
    .clip = nc_cpu_clip,
    .squared_norm = nc_cpu_squared_norm,
};

static void cpu_destroy(struct nc_backend *backend)
{
    if (!backend)
        return;
    nc_cpu_gemm_destroy(backend->gemm);
    free(backend->workspace);
    free(backend);
}

static int cpu_create(struct nc_backend **out)
{
    *out = NULL;
    struct nc_backend *backend = calloc(1, sizeof *backend);
    if (!backend)
        return nc_error(NC_FAILED, "cpu: no memory");
    backend->threads = omp_get_max_threads();
    backend->workspace_bytes = nc_cpu_attention_workspace();
    int status = nc_cpu_gemm_create(&backend->gemm);
    if (status == NC_OK) {
        size_t bytes = (size_t)backend->threads * backend->workspace_bytes;
        backend->workspace = aligned_alloc(64, bytes);
        if (!backend->workspace)
            status = nc_error(NC_FAILED, "cpu: no memory for the work space of %d threads",
                              backend->threads);
    }
    if (status != NC_OK) {
        cpu_destroy(backend);
        return status;
    }
    *out = backend;
    return NC_OK;
}

static const char *const names[] = {"cpu", NULL};

const char *const *nc_ops_names(void)
{
    return names;
}

int nc_ops_create(const char *name, int device, struct nc_ops **out)
{
    (void)device;
    *out = NULL;
    if (strcmp(name, "cpu") != 0)
        return nc_error(NC_USAGE, "there is no backend \"%s\" in this build; there is: cpu", name);
    struct nc_ops *ops = malloc(sizeof *ops);
    if (!ops)
        return nc_error(NC_FAILED, "cpu: no memory");
    *ops = cpu_operations;
    int status = cpu_create(&ops->backend);
    if (status != NC_OK) {
        free(ops);
        return status;
    }
    *out = ops;
    return NC_OK;
}

void nc_ops_destroy(struct nc_ops *ops)
{
    if (!ops)
        return;
    cpu_destroy(ops->backend);
    free(ops);
}
