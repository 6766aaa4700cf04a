/* CUDA graphs on the emulated GPU: a capture keeps the work that is enqueued meanwhile. */
#include "emulated/queues.h"

#include <algorithm>

using namespace nc_emulated;

struct nc_emulated_graph_exec {
    std::shared_ptr<std::vector<nc_emulated_node>> nodes;
};

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode)
{
    locked hold(lock);
    (void)mode;
    if (!stream || stream->queue_of->captured_in)
        return failed(cudaErrorStreamCaptureUnsupported);
    nc_emulated_graph *graph = new nc_emulated_graph{{}, stream, false};
    stream->queue_of->captured_in = graph;
    captures.push_back(graph);
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out)
{
    locked hold(lock);
    *out = nullptr;
    nc_emulated_graph *graph = stream ? stream->queue_of->captured_in : nullptr;
    if (!graph || graph->origin != stream)
        return failed(cudaErrorInvalidValue);
    cudaError_t error = graph->invalid ? cudaErrorStreamCaptureInvalidated : cudaSuccess;
    for (const auto &q : queues)
        if (q->captured_in == graph) {
            if (!q->joined && error == cudaSuccess)
                error = cudaErrorStreamCaptureUnjoined;
            q->captured_in = nullptr;
            q->joined = true;
        }
    captures.erase(std::find(captures.begin(), captures.end(), graph));
    if (error != cudaSuccess) {
        delete graph;
        return failed(error);
    }
    *out = graph;
    return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus *status)
{
    locked hold(lock);
    nc_emulated_graph *graph = queue_of(stream)->captured_in;
    *status = !graph           ? cudaStreamCaptureStatusNone
              : graph->invalid ? cudaStreamCaptureStatusInvalidated
                               : cudaStreamCaptureStatusActive;
    return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count)
{
    if (nodes)
        for (size_t i = 0; i < *count && i < graph->nodes.size(); i++)
            nodes[i] = &graph->nodes[i];
    *count = graph->nodes.size();
    return cudaSuccess;
}

/* One behind the other. Between two kernels early launches make edges of their own kind. */
cudaError_t cudaGraphGetEdges(cudaGraph_t graph, cudaGraphNode_t *from, cudaGraphNode_t *to,
                              cudaGraphEdgeData *data, size_t *count)
{
    std::vector<nc_emulated_node> &nodes = graph->nodes;
    size_t edges = nodes.empty() ? 0 : nodes.size() - 1;
    for (size_t i = 0; from && i < *count && i < edges; i++) {
        bool kernels = nodes[i].type == cudaGraphNodeTypeKernel &&
                       nodes[i + 1].type == cudaGraphNodeTypeKernel;
        from[i] = &nodes[i];
        to[i] = &nodes[i + 1];
        data[i] = {};
        data[i].type = kernels && nodes[i + 1].early ? cudaGraphDependencyTypeProgrammatic
                                                     : cudaGraphDependencyTypeDefault;
    }
    *count = edges;
    return cudaSuccess;
}

cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType *type)
{
    *type = node->type;
    return cudaSuccess;
}

/* A function is known by its name here. */
cudaError_t cudaGraphKernelNodeGetParams(cudaGraphNode_t node, cudaKernelNodeParams *parameters)
{
    if (node->type != cudaGraphNodeTypeKernel)
        return failed(cudaErrorInvalidValue);
    *parameters = {};
    parameters->func = const_cast<char *>(node->name);
    return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attributes, const void *function)
{
    (void)function;
    *attributes = {90, 90};
    return cudaSuccess;
}

cudaError_t cudaFuncGetName(const char **name, const void *function)
{
    *name = static_cast<const char *>(function);
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags)
{
    (void)flags;
    *exec = new nc_emulated_graph_exec{
        std::make_shared<std::vector<nc_emulated_node>>(graph->nodes)};
    return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream)
{
    (void)exec;
    (void)stream;
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    std::shared_ptr<std::vector<nc_emulated_node>> nodes = exec->nodes;
    return nc_emulated_enqueue(stream, [nodes] {
        for (const nc_emulated_node &node : *nodes)
            node.run();
    });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    delete exec;
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    delete graph;
    return cudaSuccess;
}
