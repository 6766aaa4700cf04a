/* Joins the processes that a launcher started: over MPI, and over NCCL for device memory. */
#include "nclip/ranks/communicator.h"

#include "nclip/devices.h"
#include "nclip/ops.h"
#include "nclip/support/error.h"
#include "transports.h"

#include <stdio.h>
#include <stdlib.h>

static size_t from_environment(const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *text = getenv(names[i]);
        if (text && *text)
            return strtoul(text, NULL, 10);
    }
    return 0;
}

/* How many processes the launcher says that it started; 0: none did. */
static size_t launched_size(void)
{
    /* not SLURM_NTASKS, which a batch script has too */
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE",
                                        "SLURM_STEP_NUM_TASKS"};
    return from_environment(names, sizeof names / sizeof *names);
}

size_t nc_communicator_launched_rank(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK",
                                        "MV2_COMM_WORLD_RANK", "SLURM_PROCID"};
    return launched_size() > 1 ? from_environment(names, sizeof names / sizeof *names) : 0;
}

int nc_communicator_create(struct nc_communicator **communicator)
{
    *communicator = NULL;
    size_t size = launched_size();
    if (size < 2)
        return NC_OK;
#ifdef NCLIP_MPI
    return nc_communicator_mpi_create(size, communicator);
#else
    return nc_error(NC_USAGE,
                    "%zu processes were started, but this nclip was built without MPI: build "
                    "it with -DNCLIP_MPI=ON (Debian: libopenmpi-dev)",
                    size);
#endif
}

int nc_communicator_for(struct nc_communicator *base, struct nc_ops *ops,
                        struct nc_communicator **communicator)
{
    *communicator = base;
    if (!base || ops->host_memory)
        return NC_OK;
#ifdef NCLIP_NCCL
    return nc_communicator_nccl_create(base, nc_cuda_stream(ops->backend), base->timeout + 5,
                                       communicator);
#else
    return nc_error(NC_USAGE,
                    "--device %s on %zu ranks needs NCCL, and this nclip was built without it",
                    ops->name, base->size);
#endif
}

void nc_gpus_check(struct nc_gpus_check *check)
{
#ifdef NCLIP_NCCL
    nc_nccl_check(check);
#else
    *check = (struct nc_gpus_check){.left_out = true};
    snprintf(check->message, sizeof check->message, "this nclip was built without NCCL");
#endif
}
