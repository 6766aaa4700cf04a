/* Opens a backend of this build by its name. */
#include "backends.h"

#include "nclip/devices.h"
#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int (*create)(int device, struct nc_ops *ops);
    void (*destroy)(struct nc_backend *backend);
} backends[] = {
    {"cpu", nc_cpu_create, nc_cpu_destroy},
#ifdef NCLIP_WITH_CUDA
    {"cuda", nc_cuda_create, nc_cuda_destroy},
#endif
#ifdef NCLIP_CUDA_EMULATED
    {"cuda-emulated", nc_cuda_create, nc_cuda_destroy},
#endif
};

enum { BACKENDS = sizeof backends / sizeof *backends };

const char *const *nc_ops_names(void)
{
    static const char *names[BACKENDS + 1]; /* the last stays NULL */
    for (size_t i = 0; i < BACKENDS; i++)
        names[i] = backends[i].name;
    return names;
}

static int unknown(const char *name)
{
    char known[128] = "";
    for (size_t i = 0; i < BACKENDS; i++) {
        strncat(known, i ? ", " : "", sizeof known - strlen(known) - 1);
        strncat(known, backends[i].name, sizeof known - strlen(known) - 1);
    }
    return nc_error(NC_USAGE, "there is no backend \"%s\" in this build; there is: %s", name,
                    known);
}

int nc_ops_create(const char *name, int device, struct nc_ops **out)
{
    *out = NULL;
    size_t i = 0;
    while (i < BACKENDS && strcmp(backends[i].name, name) != 0)
        i++;
    if (i == BACKENDS)
        return unknown(name);
    struct nc_ops *ops = calloc(1, sizeof *ops);
    if (!ops)
        return nc_error(NC_FAILED, "%s: no memory", name);
    int status = backends[i].create(device, ops);
    if (status != NC_OK) {
        free(ops);
        return status;
    }
    ops->name = backends[i].name;
    *out = ops;
    return NC_OK;
}

void nc_ops_destroy(struct nc_ops *ops)
{
    if (!ops)
        return;
    for (size_t i = 0; i < BACKENDS; i++)
        if (strcmp(backends[i].name, ops->name) == 0)
            backends[i].destroy(ops->backend);
    free(ops);
}

#if !defined(NCLIP_WITH_CUDA) && !defined(NCLIP_CUDA_EMULATED)
void nc_gpus_describe(struct nc_gpu_support *support)
{
    *support = (struct nc_gpu_support){
        .problem = "the CUDA backend is not built into this program: `cmake --preset default` says "
                   "what is missing, and builds with it where a CUDA toolkit is"};
}
#endif
