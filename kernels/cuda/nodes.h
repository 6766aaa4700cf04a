/* The nodes of recorded graphs, counted by name. */
#ifndef NCLIP_KERNELS_CUDA_NODES_H
#define NCLIP_KERNELS_CUDA_NODES_H

#include "cuda.h"

#include "nclip/ops.h"

enum { NC_CUDA_NODE_NAMES = 64 };

struct nc_cuda_nodes {
    size_t names;
    struct nc_launches list[NC_CUDA_NODE_NAMES];
};

int nc_cuda_nodes_of(cudaGraph_t graph, struct nc_cuda_nodes *nodes);
void nc_cuda_nodes_add(struct nc_cuda_nodes *to, const struct nc_cuda_nodes *from);

#endif
