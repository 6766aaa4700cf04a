/* Operations whose kernels are not written yet: each refuses by name. */
#include "cuda.h"

static int refuse(const char *operation)
{
    return nc_error(NC_FAILED, "%s: cuda has no kernel for it yet", operation);
}

/* infonce.cu */
size_t nc_cuda_infonce_scratch(struct nc_backend *, const struct nc_infonce *)
{
    return 0;
}
int nc_cuda_infonce_forward(struct nc_backend *, const struct nc_infonce *)
{
    return refuse("infonce_forward");
}
int nc_cuda_infonce_backward(struct nc_backend *, const struct nc_infonce *)
{
    return refuse("infonce_backward");
}
int nc_cuda_infonce_loss(struct nc_backend *, const struct nc_infonce_loss *)
{
    return refuse("infonce_loss");
}
