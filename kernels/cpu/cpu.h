/* The CPU backend's state, and the functions behind its table of operations. Each is the
 * operation of the same name in nclip/ops.h.
 *
 * Every loop runs on backend->threads threads, and no result depends on how many
 * there are: work is split over outputs, and sums that cross rows are cut into
 * pieces whose number depends on the shape alone. */
#ifndef NCLIP_KERNELS_CPU_H
#define NCLIP_KERNELS_CPU_H

#include "level.h"
#include "nclip/ops.h"

#include <time.h>

struct nc_cpu_gemm; /* gemm.c: oneDNN's engine, stream and primitives */

int nc_cpu_gemm_create(struct nc_cpu_gemm **gemm);
void nc_cpu_gemm_destroy(struct nc_cpu_gemm *gemm);

struct nc_backend {
    void (*close)(struct nc_backend *backend); /* of the level that opened it */
    int threads;
    struct nc_cpu_gemm *gemm;
    char *workspace; /* threads * workspace_bytes: each thread's own, for tiles */
    size_t workspace_bytes;
    struct timespec marks[NC_MARKS];
};

/* backend.c: fills the level's operations, and opens the backend behind them. */
int nc_cpu_open(struct nc_ops *ops);
void nc_cpu_close(struct nc_backend *backend);
float *nc_cpu_thread_workspace(struct nc_backend *backend); /* the calling thread's part of it */

/* memory.c */
int nc_cpu_allocate(struct nc_backend *backend, size_t bytes, void **out);
void nc_cpu_release(struct nc_backend *backend, void *data, size_t bytes);
int nc_cpu_copy(struct nc_backend *backend, void *destination, const void *source, size_t bytes);
int nc_cpu_zero(struct nc_backend *backend, void *data, size_t bytes);
int nc_cpu_fill(struct nc_backend *backend, float *data, float value, size_t count);
int nc_cpu_synchronize(struct nc_backend *backend);
int nc_cpu_copy_queued(struct nc_backend *backend, enum nc_queue queue, void *destination,
                       const void *source, size_t bytes);
int nc_cpu_mark(struct nc_backend *backend, enum nc_queue queue, unsigned mark);
int nc_cpu_queue_wait(struct nc_backend *backend, enum nc_queue queue, unsigned mark);
int nc_cpu_elapsed(struct nc_backend *backend, unsigned first, unsigned second, double *seconds);
int nc_cpu_host_wait(struct nc_backend *backend, unsigned mark);
int nc_cpu_convert(struct nc_backend *backend, void *destination, enum nc_type destination_type,
                   const void *source, enum nc_type source_type, size_t count);

/* gemm.c */
int nc_cpu_linear(struct nc_backend *backend, const struct nc_linear *linear);
int nc_cpu_linear_backward_input(struct nc_backend *backend,
                                 const struct nc_linear_backward_input *linear);
int nc_cpu_linear_backward_weight(struct nc_backend *backend,
                                  const struct nc_linear_backward_weight *linear);

/* attention.c, attention_backward.c */
size_t nc_cpu_attention_workspace(void); /* bytes a thread */
int nc_cpu_attention_supported(struct nc_backend *backend, enum nc_type type, size_t heads,
                               size_t head_size);
size_t nc_cpu_attention_scratch(struct nc_backend *backend, const struct nc_attention *attention);
int nc_cpu_attention_forward(struct nc_backend *backend, const struct nc_attention *attention);
int nc_cpu_attention_backward(struct nc_backend *backend, const struct nc_attention *attention);
int nc_cpu_attention_full(struct nc_backend *backend, const struct nc_attention_full *attention);

/* layernorm.c */
int nc_cpu_layernorm_forward(struct nc_backend *backend, const struct nc_layernorm *norm);
size_t nc_cpu_layernorm_scratch(struct nc_backend *backend, size_t rows, size_t width);
int nc_cpu_layernorm_backward(struct nc_backend *backend, const struct nc_layernorm_backward *norm);

/* activation.c */
int nc_cpu_activation_forward(struct nc_backend *backend,
                              const struct nc_activation_forward *activation);
int nc_cpu_activation_backward(struct nc_backend *backend,
                               const struct nc_activation_backward *activation);

/* embedding.c */
int nc_cpu_embedding_forward(struct nc_backend *backend, const struct nc_embedding *embedding);
size_t nc_cpu_embedding_scratch(struct nc_backend *backend, size_t rows);
int nc_cpu_embedding_backward(struct nc_backend *backend,
                              const struct nc_embedding_backward *embedding);

/* rows.c */
int nc_cpu_gather(struct nc_backend *backend, const struct nc_gather *gather);
int nc_cpu_scatter(struct nc_backend *backend, const struct nc_scatter *scatter);
int nc_cpu_normalize_forward(struct nc_backend *backend, const struct nc_normalize *normalize);
int nc_cpu_normalize_backward(struct nc_backend *backend,
                              const struct nc_normalize_backward *normalize);

/* infonce.c */
size_t nc_cpu_infonce_scratch(struct nc_backend *backend, const struct nc_infonce *infonce);
int nc_cpu_infonce_forward(struct nc_backend *backend, const struct nc_infonce *infonce);
int nc_cpu_infonce_backward(struct nc_backend *backend, const struct nc_infonce *infonce);
int nc_cpu_infonce_loss(struct nc_backend *backend, const struct nc_infonce_loss *loss);

/* sigmoid.c */
size_t nc_cpu_sigmoid_scratch(struct nc_backend *backend, const struct nc_sigmoid *sigmoid);
int nc_cpu_sigmoid(struct nc_backend *backend, const struct nc_sigmoid *sigmoid);

/* own_terms.c */
size_t nc_cpu_own_terms_scratch(struct nc_backend *backend, size_t pairs);
int nc_cpu_own_terms(struct nc_backend *backend, const struct nc_own_terms *terms);

/* adamw.c */
int nc_cpu_adamw(struct nc_backend *backend, const struct nc_adamw *adamw);
int nc_cpu_clip(struct nc_backend *backend, const struct nc_clipping *clip);
int nc_cpu_squared_norm(struct nc_backend *backend, const float *data, size_t count, double *sum);

/* rmsprop.c, sgd.c */
int nc_cpu_rmsprop(struct nc_backend *backend, const struct nc_rmsprop *rmsprop);
int nc_cpu_sgd(struct nc_backend *backend, const struct nc_sgd *sgd);

#endif
