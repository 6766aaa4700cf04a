/* Operations whose kernels are not written yet: each refuses by name. */
#include "cuda.h"

static int refuse(const char *operation)
{
    return nc_error(NC_FAILED, "%s: cuda has no kernel for it yet", operation);
}

/* attention.cu */
size_t nc_cuda_attention_scratch(struct nc_backend *, const struct nc_attention *)
{
    return 0;
}
int nc_cuda_attention_forward(struct nc_backend *, const struct nc_attention *)
{
    return refuse("attention_forward");
}
int nc_cuda_attention_backward(struct nc_backend *, const struct nc_attention *)
{
    return refuse("attention_backward");
}
int nc_cuda_attention_full_own(struct nc_backend *, const struct nc_attention_full *)
{
    return refuse("attention_full");
}
