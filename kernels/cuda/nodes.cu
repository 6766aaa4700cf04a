/* What a recorded graph consists of: its nodes by name, for whoever counts launches. */
#include "nodes.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

/* The name of a kernel as people write it, of what the compiler made of it:
 * _Z14forward_kernelILi6E... or, of a static one, _ZN..._INTERNAL_...14forward_kernelI...; without
 * its arguments. */
static void take_name(const char *symbol, char name[NC_LAUNCH_NAME])
{
    const char *at = symbol + strspn(symbol, "( ");
    size_t length = strcspn(at, "<(,) ");
    if (strncmp(at, "_Z", 2) == 0) {
        const char *next = at + 2 + strspn(at + 2, "NKL");
        for (char *end; *next >= '0' && *next <= '9'; next = end + length) {
            length = strtoul(next, &end, 10);
            if (length > strlen(end))
                break;
            at = end;
            if (strncmp(at, "_INTERNAL_", 10) != 0 && strncmp(at, "_GLOBAL__", 9) != 0)
                break;
        }
    }
    snprintf(name, NC_LAUNCH_NAME, "%.*s", (int)length, at);
}

static void name_of(cudaGraphNode_t node, char name[NC_LAUNCH_NAME])
{
    enum cudaGraphNodeType type;
    struct cudaKernelNodeParams kernel = {};
    const char *symbol = NULL;
    snprintf(name, NC_LAUNCH_NAME, "other");
    if (cudaGraphNodeGetType(node, &type) != cudaSuccess)
        ;
    else if (type == cudaGraphNodeTypeMemcpy)
        snprintf(name, NC_LAUNCH_NAME, "copy");
    else if (type == cudaGraphNodeTypeMemset)
        snprintf(name, NC_LAUNCH_NAME, "fill");
    else if (type == cudaGraphNodeTypeKernel) {
        snprintf(name, NC_LAUNCH_NAME, "kernel of a library"); /* not known to the runtime */
#if CUDART_VERSION >= 12030
        if (cudaGraphKernelNodeGetParams(node, &kernel) == cudaSuccess &&
            cudaFuncGetName(&symbol, kernel.func) == cudaSuccess && symbol)
            take_name(symbol, name);
#else
        (void)kernel, (void)symbol;
#endif
    }
    (void)cudaGetLastError();
}

static void add(struct nc_cuda_nodes *nodes, const char *name, size_t count, size_t early)
{
    size_t i = 0;
    while (i < nodes->names && strcmp(nodes->list[i].name, name) != 0)
        i++;
    if (i == NC_CUDA_NODE_NAMES) { /* the last one stands for all others */
        i = NC_CUDA_NODE_NAMES - 1;
    } else if (i == nodes->names) {
        nodes->names++;
        snprintf(nodes->list[i].name, NC_LAUNCH_NAME, "%s",
                 nodes->names == NC_CUDA_NODE_NAMES ? "others" : name);
    }
    nodes->list[i].count += count;
    nodes->list[i].early += early;
}

void nc_cuda_nodes_add(struct nc_cuda_nodes *to, const struct nc_cuda_nodes *from)
{
    for (size_t i = 0; i < from->names; i++)
        add(to, from->list[i].name, from->list[i].count, from->list[i].early);
}

/* Those that the graph lets begin early: at the end of an edge that says so. */
static int count_early(cudaGraph_t graph, struct nc_cuda_nodes *nodes)
{
#if CUDART_VERSION >= 13000
    auto get_edges = cudaGraphGetEdges;
#elif CUDART_VERSION >= 12030
    auto get_edges = cudaGraphGetEdges_v2;
#endif
#if CUDART_VERSION >= 12030
    size_t count = 0;
    int status =
        nc_cuda_check(get_edges(graph, NULL, NULL, NULL, &count), "counting a graph's edges");
    if (status != NC_OK || !count)
        return status;
    cudaGraphNode_t *from = (cudaGraphNode_t *)malloc(2 * count * sizeof *from), *to = from + count;
    cudaGraphEdgeData *data = (cudaGraphEdgeData *)malloc(count * sizeof *data);
    if (!from || !data)
        status = nc_error(NC_FAILED, "cuda: no memory");
    if (status == NC_OK)
        status = nc_cuda_check(get_edges(graph, from, to, data, &count), "a graph's edges");
    for (size_t i = 0; status == NC_OK && i < count; i++) {
        char name[NC_LAUNCH_NAME];
        if (data[i].type != cudaGraphDependencyTypeProgrammatic)
            continue;
        name_of(to[i], name);
        add(nodes, name, 0, 1);
    }
    free(from);
    free(data);
    return status;
#else
    (void)graph, (void)nodes;
    return NC_OK;
#endif
}

int nc_cuda_nodes_of(cudaGraph_t graph, struct nc_cuda_nodes *nodes)
{
    size_t count = 0;
    memset(nodes, 0, sizeof *nodes);
    int status = nc_cuda_check(cudaGraphGetNodes(graph, NULL, &count), "counting a graph's nodes");
    if (status != NC_OK || !count)
        return status;
    cudaGraphNode_t *list = (cudaGraphNode_t *)malloc(count * sizeof *list);
    if (!list)
        return nc_error(NC_FAILED, "cuda: no memory");
    status = nc_cuda_check(cudaGraphGetNodes(graph, list, &count), "counting a graph's nodes");
    for (size_t i = 0; status == NC_OK && i < count; i++) {
        char name[NC_LAUNCH_NAME];
        name_of(list[i], name);
        add(nodes, name, 1, 0);
    }
    free(list);
    return status == NC_OK ? count_early(graph, nodes) : status;
}
