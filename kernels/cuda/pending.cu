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

#ifdef NCLIP_CUDA_EMULATED
int nc_cuda_multiply(struct nc_backend *backend, enum nc_type type, size_t rows, size_t in,
                     size_t out, const void *a, const void *b, bool accumulate, float *d)
{
    auto at = [type](const void *x, size_t i) {
        return type == NC_FLOAT32 ? static_cast<const float *>(x)[i]
                                  : nc_float16_to_float(static_cast<const uint16_t *>(x)[i]);
    };
    auto work = [=] {
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < in; j++) {
                float sum = accumulate ? d[i * in + j] : 0;
                for (size_t k = 0; k < out; k++)
                    sum += at(a, i * out + k) * at(b, k * in + j);
                d[i * in + j] = sum;
            }
    };
    return nc_cuda_check(nc_emulated_enqueue(backend->compute, work), "a product");
}
#else
int nc_cuda_multiply(struct nc_backend *, enum nc_type, size_t, size_t, size_t, const void *,
                     const void *, bool, float *)
{
    return refuse("multiply");
}
#endif

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

/* adamw.cu */
int nc_cuda_adamw(struct nc_backend *, const struct nc_adamw *)
{
    return refuse("adamw");
}
int nc_cuda_squared_norm(struct nc_backend *, const float *, size_t, double *)
{
    return refuse("squared_norm");
}
