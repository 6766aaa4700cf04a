/* Operations whose kernels are not written yet: each refuses by name. */
#include "cuda.h"

static int refuse(const char *operation)
{
    return nc_error(NC_FAILED, "%s: cuda has no kernel for it yet", operation);
}

/* gemm.cu */
int nc_cuda_gemm_create(struct nc_backend *, struct nc_cuda_gemm **gemm)
{
    *gemm = NULL;
    return NC_OK;
}
void nc_cuda_gemm_destroy(struct nc_cuda_gemm *) {}
int nc_cuda_linear(struct nc_backend *, const struct nc_linear *)
{
    return refuse("linear");
}
int nc_cuda_linear_backward_input(struct nc_backend *, const struct nc_linear_backward_input *)
{
    return refuse("linear_backward_input");
}
int nc_cuda_linear_backward_weight(struct nc_backend *, const struct nc_linear_backward_weight *)
{
    return refuse("linear_backward_weight");
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
int nc_cuda_attention_full(struct nc_backend *, const struct nc_attention_full *)
{
    return refuse("attention_full");
}

/* layernorm.cu */
int nc_cuda_layernorm_forward(struct nc_backend *, const struct nc_layernorm *)
{
    return refuse("layernorm_forward");
}
size_t nc_cuda_layernorm_scratch(struct nc_backend *, size_t, size_t)
{
    return 0;
}
int nc_cuda_layernorm_backward(struct nc_backend *, const struct nc_layernorm_backward *)
{
    return refuse("layernorm_backward");
}

/* activation.cu */
int nc_cuda_activation_forward(struct nc_backend *, const struct nc_activation_forward *)
{
    return refuse("activation_forward");
}
int nc_cuda_activation_backward(struct nc_backend *, const struct nc_activation_backward *)
{
    return refuse("activation_backward");
}

/* embedding.cu */
int nc_cuda_embedding_forward(struct nc_backend *, const struct nc_embedding *)
{
    return refuse("embedding_forward");
}
size_t nc_cuda_embedding_scratch(struct nc_backend *, size_t)
{
    return 0;
}
int nc_cuda_embedding_backward(struct nc_backend *, const struct nc_embedding_backward *)
{
    return refuse("embedding_backward");
}

/* rows.cu */
int nc_cuda_gather(struct nc_backend *, const struct nc_gather *)
{
    return refuse("gather");
}
int nc_cuda_scatter(struct nc_backend *, const struct nc_scatter *)
{
    return refuse("scatter");
}
int nc_cuda_normalize_forward(struct nc_backend *, const struct nc_normalize *)
{
    return refuse("normalize_forward");
}
int nc_cuda_normalize_backward(struct nc_backend *, const struct nc_normalize_backward *)
{
    return refuse("normalize_backward");
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

/* adamw.cu */
int nc_cuda_adamw(struct nc_backend *, const struct nc_adamw *)
{
    return refuse("adamw");
}
int nc_cuda_squared_norm(struct nc_backend *, const float *, size_t, double *)
{
    return refuse("squared_norm");
}
