/* cuDNN's door on the CPU (vision.h), in the place of kernels/cuda/cudnn.cu. */
#include "emulated/vision.h"

#include "kernels/cuda/cudnn.h"

struct nc_emulated_cudnn nc_emulated_cudnn;

struct nc_cuda_cudnn {
    char nothing;
};

int nc_cuda_cudnn_create(struct nc_backend *backend, struct nc_cuda_cudnn **out)
{
    nc_emulated_cudnn.opened++;
    if (nc_cuda_capturing(backend))
        return nc_error(NC_FAILED, "emulated: cuDNN is opened while a stream is captured");
    *out = nc_emulated_cudnn.there ? new nc_cuda_cudnn() : nullptr;
    return NC_OK;
}

void nc_cuda_cudnn_destroy(struct nc_cuda_cudnn *cudnn)
{
    nc_emulated_cudnn.closed += cudnn != nullptr;
    delete cudnn;
}

int nc_cuda_cudnn_attention(struct nc_backend *backend, struct nc_cuda_cudnn *cudnn,
                            const struct nc_attention_full *attention, bool *done)
{
    *done = cudnn && attention->type == NC_BFLOAT16 && !nc_cuda_capturing(backend);
    if (!*done)
        return NC_OK;
    nc_emulated_cudnn.asked++;
    int64_t nanoseconds = 1000 * static_cast<int64_t>(nc_emulated_cudnn.slow);
    int status = nc_cuda_check(
        nc_emulated_enqueue(backend->compute, [nanoseconds] { nc_emulated_take(nanoseconds); }),
        "the emulated cuDNN");
    return status == NC_OK ? nc_cuda_attention_full_own(backend, attention) : status;
}

size_t nc_cuda_cudnn_version(void)
{
    return 0;
}
