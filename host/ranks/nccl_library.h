/* NCCL, loaded when GPUs of several ranks are joined: a machine without it still trains on one. */
#ifndef NCLIP_HOST_RANKS_NCCL_LIBRARY_H
#define NCLIP_HOST_RANKS_NCCL_LIBRARY_H

#include "nclip/support/shared_library.h"

#include <nccl.h>

#define NC_NCCL_FUNCTIONS(F)                                                                       \
    F(ncclGetVersion)                                                                              \
    F(ncclGetUniqueId)                                                                             \
    F(ncclCommInitRankConfig)                                                                      \
    F(ncclCommGetAsyncError)                                                                       \
    F(ncclCommFinalize)                                                                            \
    F(ncclCommDestroy)                                                                             \
    F(ncclCommAbort)                                                                               \
    F(ncclGetErrorString)                                                                          \
    F(ncclGroupStart)                                                                              \
    F(ncclGroupEnd)                                                                                \
    F(ncclAllReduce)                                                                               \
    F(ncclReduceScatter)                                                                           \
    F(ncclReduce)                                                                                  \
    F(ncclAllGather)                                                                               \
    F(ncclBroadcast)                                                                               \
    F(ncclSend)                                                                                    \
    F(ncclRecv)

/* Functions by their own names. */
struct nc_nccl {
    NC_NCCL_FUNCTIONS(NC_SHARED_LIBRARY_MEMBER)
};

/* Loads it, once a process; it stays. NC_FAILED says where it was looked for. */
int nc_nccl_load(const struct nc_nccl **library);

#endif
