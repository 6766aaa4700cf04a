#include "workspace.h"

#include "nclip/error.h"

#include <stdlib.h>

__attribute__((weak)) size_t nc_cpu_attention_workspace(void)
{
    return 4096 + 64; /* to start with */
}

int nc_cpu_workspace(struct nc_backend *backend, size_t bytes, char **base, size_t *stride)
{
    /* Not a multiple of a page, or all threads' parts would share cache sets. */
    size_t wanted = (bytes + 4095) / 4096 * 4096 + 64;
    if (wanted > backend->workspace_bytes) {
        char *larger = aligned_alloc(64, wanted * (size_t)backend->threads);
        if (!larger)
            return nc_error(NC_FAILED, "cpu: no memory for %zu bytes of scratch a thread", wanted);
        free(backend->workspace);
        backend->workspace = larger;
        backend->workspace_bytes = wanted;
    }
    *base = backend->workspace;
    *stride = backend->workspace_bytes;
    return NC_OK;
}
