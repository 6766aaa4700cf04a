/* The two transports that carry operations between ranks: MPI (mpi.c) and NCCL (nccl.c,
 * gpus.c). */
#ifndef NCLIP_HOST_RANKS_TRANSPORTS_H
#define NCLIP_HOST_RANKS_TRANSPORTS_H

#include "nclip/ranks/communicator.h"
#include "nclip/ranks/gpus.h"

/* `launched`: how many processes the launcher says there are. NC_FAILED when they do not find each
 * other. */
int nc_communicator_mpi_create(size_t launched, struct nc_communicator **communicator);

/* `stream` is the backend's, a cudaStream_t. NCCL is given up after `timeout` seconds in which
 * nothing of it ends. */
int nc_communicator_nccl_create(struct nc_communicator *base, void *stream, double timeout,
                                struct nc_communicator **communicator);

/* As nc_gpus_check, in a program that was built with NCCL. */
void nc_nccl_check(struct nc_gpus_check *check);

/* Bytes that a rank sends in the best algorithm for large data; for the statistics. */
uint64_t nc_communicator_sent(const struct nc_communicator *c, enum nc_collective kind,
                              size_t send_count, size_t count);

#endif
