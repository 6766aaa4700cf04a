/* What the files of the CPU backend share. */
#ifndef NCLIP_KERNELS_CPU_H
#define NCLIP_KERNELS_CPU_H

#include "nclip/ops.h"

struct nc_cpu_gemm;

struct nc_backend {
    struct nc_cpu_gemm *gemm;
    void *workspace; /* per-thread scratch, see nc_cpu_workspace */
    size_t workspace_bytes;
};

/* `bytes` of scratch for each of `threads` threads, each part 64-byte aligned and `*stride`
 * bytes apart. The block belongs to the backend, grows to the largest request and stays.
 * Call it outside of parallel regions. */
int nc_cpu_workspace(struct nc_backend *backend, size_t threads, size_t bytes, char **base,
                     size_t *stride);

/* gemm.c */
int nc_cpu_gemm_create(struct nc_cpu_gemm **gemm);
void nc_cpu_gemm_destroy(struct nc_cpu_gemm *gemm);
int nc_cpu_linear(struct nc_backend *, const struct nc_linear *);
int nc_cpu_linear_backward_input(struct nc_backend *, const struct nc_linear_backward_input *);
int nc_cpu_linear_backward_weight(struct nc_backend *, const struct nc_linear_backward_weight *);

/* memory.c */
int nc_cpu_allocate(struct nc_backend *, size_t bytes, void **out);
void nc_cpu_release(struct nc_backend *, void *data, size_t bytes);
int nc_cpu_upload(struct nc_backend *, void *destination, const void *host, size_t bytes);
int nc_cpu_download(struct nc_backend *, void *host, const void *source, size_t bytes);
int nc_cpu_copy(struct nc_backend *, void *destination, const void *source, size_t bytes);
int nc_cpu_zero(struct nc_backend *, void *data, size_t bytes);
int nc_cpu_fill(struct nc_backend *, float *data, float value, size_t count);
int nc_cpu_synchronize(struct nc_backend *);
int nc_cpu_convert(struct nc_backend *, void *destination, enum nc_type destination_type,
                   const void *source, enum nc_type source_type, size_t count);

/* attention.c, attention_full.c */
size_t nc_cpu_attention_scratch(struct nc_backend *, const struct nc_attention *);
int nc_cpu_attention_forward(struct nc_backend *, const struct nc_attention *);
int nc_cpu_attention_backward(struct nc_backend *, const struct nc_attention *);
int nc_cpu_attention_full(struct nc_backend *, const struct nc_attention_full *);

/* layernorm.c */
int nc_cpu_layernorm_forward(struct nc_backend *, const struct nc_layernorm *);
size_t nc_cpu_layernorm_scratch(struct nc_backend *, size_t rows, size_t width);
int nc_cpu_layernorm_backward(struct nc_backend *, const struct nc_layernorm_backward *);

/* activation.c */
int nc_cpu_activation_forward(struct nc_backend *, const struct nc_activation_forward *);
int nc_cpu_activation_backward(struct nc_backend *, const struct nc_activation_backward *);

/* embedding.c */
int nc_cpu_embedding_forward(struct nc_backend *, const struct nc_embedding *);
size_t nc_cpu_embedding_scratch(struct nc_backend *, size_t rows);
int nc_cpu_embedding_backward(struct nc_backend *, const struct nc_embedding_backward *);

/* rows.c */
int nc_cpu_gather(struct nc_backend *, const struct nc_gather *);
int nc_cpu_scatter(struct nc_backend *, const struct nc_scatter *);
int nc_cpu_normalize_forward(struct nc_backend *, const struct nc_normalize *);
int nc_cpu_normalize_backward(struct nc_backend *, const struct nc_normalize_backward *);

/* infonce.c */
size_t nc_cpu_infonce_scratch(struct nc_backend *, const struct nc_infonce *);
int nc_cpu_infonce_forward(struct nc_backend *, const struct nc_infonce *);
int nc_cpu_infonce_backward(struct nc_backend *, const struct nc_infonce *);
int nc_cpu_infonce_loss(struct nc_backend *, const struct nc_infonce_loss *);

/* adamw.c */
int nc_cpu_adamw(struct nc_backend *, const struct nc_adamw *);
int nc_cpu_squared_norm(struct nc_backend *, const float *data, size_t count, double *sum);

#endif
