/* The table of operations of one level of processor. */
#include "cpu.h"
#include "nclip/support/error.h"
#include "widened.h"

#include <omp.h>
#include <stdlib.h>

static const struct nc_ops cpu_operations = {
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
    .attention_supported = nc_cpu_attention_supported,
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
    .sigmoid_scratch = nc_cpu_sigmoid_scratch,
    .sigmoid = nc_cpu_sigmoid,
    .own_terms_scratch = nc_cpu_own_terms_scratch,
    .own_terms = nc_cpu_own_terms,
    .adamw = nc_cpu_adamw,
    .rmsprop = nc_cpu_rmsprop,
    .sgd = nc_cpu_sgd,
    .clip = nc_cpu_clip,
    .squared_norm = nc_cpu_squared_norm,
};

float *nc_cpu_thread_workspace(struct nc_backend *backend)
{
    return (float *)(backend->workspace +
                     (size_t)omp_get_thread_num() * backend->workspace_bytes);
}

void nc_cpu_close(struct nc_backend *backend)
{
    nc_cpu_gemm_destroy(backend->gemm);
    free(backend->workspace);
    free(backend);
}

int nc_cpu_open(struct nc_ops *ops)
{
    struct nc_backend *backend = calloc(1, sizeof *backend);
    if (!backend)
        return nc_error(NC_FAILED, "cpu: no memory");
    backend->close = nc_cpu_close;
    backend->threads = omp_get_max_threads();
    size_t attention = nc_cpu_attention_workspace(), widened = nc_cpu_widened_workspace();
    backend->workspace_bytes = attention > widened ? attention : widened;
    int status = nc_cpu_gemm_create(&backend->gemm);
    if (status == NC_OK) {
        size_t bytes = (size_t)backend->threads * backend->workspace_bytes;
        backend->workspace = aligned_alloc(64, bytes);
        if (!backend->workspace)
            status = nc_error(NC_FAILED, "cpu: no memory for the work space of %d threads",
                              backend->threads);
    }
    if (status != NC_OK) {
        nc_cpu_close(backend);
        return status;
    }
    *ops = cpu_operations;
    ops->backend = backend;
    return NC_OK;
}
