/* The "cpu" row of the operation table, and the list of backends of this build. */
#include "cpu.h"

#include "nclip/error.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const char *const names[] = {"cpu", NULL};

const char *const *nc_ops_names(void)
{
    return names;
}

int nc_cpu_workspace(struct nc_backend *backend, size_t threads, size_t bytes, char **base,
                     size_t *stride)
{
    /* 64 bytes more than a multiple of a page: parts must not share cache sets. */
    *stride = (bytes + 4095) / 4096 * 4096 + 64;
    size_t wanted = *stride * threads;
    if (wanted > backend->workspace_bytes) {
        if (backend->workspace)
            munmap(backend->workspace, backend->workspace_bytes);
        backend->workspace_bytes = 0;
        backend->workspace = mmap(NULL, wanted, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (backend->workspace == MAP_FAILED) {
            backend->workspace = NULL;
            return nc_error(NC_FAILED, "cpu: no memory for %zu bytes of scratch", wanted);
        }
        backend->workspace_bytes = wanted;
    }
    *base = backend->workspace;
    return NC_OK;
}

static const struct nc_ops table = {
    .name = "cpu",
    .host_memory = true,
    .allocate = nc_cpu_allocate,
    .release = nc_cpu_release,
    .upload = nc_cpu_upload,
    .download = nc_cpu_download,
    .copy = nc_cpu_copy,
    .zero = nc_cpu_zero,
    .fill = nc_cpu_fill,
    .synchronize = nc_cpu_synchronize,
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
    .squared_norm = nc_cpu_squared_norm,
};

int nc_ops_create(const char *name, int device, struct nc_ops **out)
{
    (void)device;
    *out = NULL;
    if (strcmp(name, "cpu") != 0)
        return nc_error(NC_USAGE, "--device %s: this program was built with these backends only: cpu", name);
    struct nc_ops *ops = malloc(sizeof *ops);
    struct nc_backend *backend = calloc(1, sizeof *backend);
    int status = ops && backend ? nc_cpu_gemm_create(&backend->gemm)
                                : nc_error(NC_FAILED, "cpu: no memory");
    if (status != NC_OK) {
        free(ops);
        free(backend);
        return status;
    }
    *ops = table;
    ops->backend = backend;
    *out = ops;
    return NC_OK;
}

void nc_ops_destroy(struct nc_ops *ops)
{
    if (!ops)
        return;
    nc_cpu_gemm_destroy(ops->backend->gemm);
    if (ops->backend->workspace)
        munmap(ops->backend->workspace, ops->backend->workspace_bytes);
    free(ops->backend);
    free(ops);
}
