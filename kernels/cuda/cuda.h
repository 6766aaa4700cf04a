/* The CUDA backend's state, and the functions behind its table of operations. Each is the
 * operation of the same name in nclip/ops.h.
 *
 * Every operation enqueues its kernels on backend->compute and returns. Only these wait for the
 * device: `synchronize`, `download`, `upload` where the device reads pageable memory, and the first
 * call of a shape that is timed (cublaslt_choice.cu, attention_vision.cu). Arguments are in the
 * device's memory, so the host never reads what a pointer of their struct points to: it checks
 * shapes, and the kernels check indices.
 *
 * Capture. What the model records (recording.cu) is captured as a CUDA graph from
 * backend->compute. During a capture
 *   - nothing may be allocated, released, uploaded from or downloaded to ordinary host memory,
 *     and nothing may wait: the operations do none of that;
 *   - products choose no algorithm by timing: the calls were made once before, so that every
 *     shape is known; a shape that is not takes cuBLASLt's first choice;
 *   - numbers given by value (a shape, a factor) are frozen into the graph;
 *   - a graph refers to the backend's workspace: it is launched on backend->compute only. */
#ifndef NCLIP_KERNELS_CUDA_CUDA_H
#define NCLIP_KERNELS_CUDA_CUDA_H

#include "../backends.h"
#include "device.h"

struct nc_cuda_gemm; /* gemm.cu: the products (product.h) and their scratch */

struct nc_backend {
    int device;
    int multiprocessors;
    int major, minor;    /* compute capability */
    size_t shared_bytes; /* that a block may have */
    bool reads_pageable; /* ordinary host memory, itself */
    bool early;          /* kernels may be launched before those before them are over; early.cu */
    cudaStream_t compute, copy; /* every operation; queued copies, ordered by marks */
    cudaEvent_t marks[NC_MARKS];
    struct nc_cuda_recorder *recorder;
    struct nc_cuda_vision *vision; /* which full attention; attention_vision.cu */
    struct nc_cuda_gemm *gemm;
    struct nc_cuda_fault *fault; /* on the device; faults.cu */
    uint64_t *fault_seen;        /* on the host, page-locked: what a kernel found wrong, or 0 */
    double *partial;             /* on the device, NC_CUDA_PARTIALS: sums on their way */
    uint32_t *arrived;           /* on the device, NC_CUDA_ARRIVALS zeros (nc_last_block) */
    size_t allocated;            /* bytes, by nc_cuda_allocate */
};

enum {
    NC_CUDA_PARTIALS = 1024,
    NC_CUDA_COLUMNS = 1 << 15, /* most of a bias, its gradient, or an activation */
    NC_CUDA_ARRIVALS = NC_CUDA_COLUMNS / NC_WARP,
    NC_CUDA_COLUMN_SLICES = 64, /* most of rows in a column sum */
};

/* Shared memory that a kernel's blocks may take on every GPU; one that is better off with more has a
 * variant for it. Compute capability 8.6, 8.9 and 12.0 give 99 KiB, 8.0 163, 9.0 and 10.0 227. */
enum { NC_CUDA_SHARED = 99 * 1024 };

/* An index outside its table. Only kernels can see it: they skip it and note it, and the next
 * `synchronize`, `download` or `host_wait` returns it as an error. */
enum nc_cuda_wrong {
    NC_CUDA_NOTHING_WRONG,
    NC_CUDA_WRONG_TOKEN,
    NC_CUDA_WRONG_POSITION,
    NC_CUDA_WRONG_ROW,
    NC_CUDA_WRONG_PICTURE,
};

struct nc_cuda_fault {
    int32_t wrong;           /* enum nc_cuda_wrong: whoever changes it from 0 ... */
    volatile uint64_t *seen; /* ... writes wrong << 32 | value to the host */
};

/* Whether 0 <= value < limit; notes it where not. */
static __device__ __forceinline__ bool
nc_cuda_valid(struct nc_cuda_fault *fault, enum nc_cuda_wrong wrong, int32_t value, size_t limit)
{
    if (value >= 0 && (size_t)value < limit)
        return true;
    if (nc_atomic_cas(&fault->wrong, (int32_t)NC_CUDA_NOTHING_WRONG, (int32_t)wrong) ==
        NC_CUDA_NOTHING_WRONG)
        *fault->seen = (uint64_t)wrong << 32 | (uint32_t)value;
    return false;
}

/* backend.cu. What a call of CUDA's runtime said, as an error of ours: NC_OK for cudaSuccess. */
int nc_cuda_check(cudaError_t error, const char *what);
bool nc_cuda_capturing(const struct nc_backend *backend); /* whether `compute` is recorded now */

/* early.cu */
int nc_cuda_find_early(struct nc_backend *backend);

/* faults.cu */
int nc_cuda_faults_create(struct nc_backend *backend);
void nc_cuda_faults_destroy(struct nc_backend *backend);
int nc_cuda_take_fault(struct nc_backend *backend); /* after a wait: what was found, once */

/* memory.cu */
int nc_cuda_allocate(struct nc_backend *backend, size_t bytes, void **out);
void nc_cuda_release(struct nc_backend *backend, void *data, size_t bytes);
int nc_cuda_upload(struct nc_backend *backend, void *destination, const void *host, size_t bytes);
int nc_cuda_download(struct nc_backend *backend, void *host, const void *source, size_t bytes);
int nc_cuda_copy(struct nc_backend *backend, void *destination, const void *source, size_t bytes);
int nc_cuda_zero(struct nc_backend *backend, void *data, size_t bytes);
int nc_cuda_fill(struct nc_backend *backend, float *data, float value, size_t count);
int nc_cuda_synchronize(struct nc_backend *backend);
int nc_cuda_convert(struct nc_backend *backend, void *destination, enum nc_type destination_type,
                    const void *source, enum nc_type source_type, size_t count);

/* queues.cu */
int nc_cuda_queues_create(struct nc_backend *backend);
void nc_cuda_queues_destroy(struct nc_backend *backend);
int nc_cuda_allocate_host(struct nc_backend *backend, size_t bytes, void **out);
void nc_cuda_release_host(struct nc_backend *backend, void *data, size_t bytes);
int nc_cuda_copy_queued(struct nc_backend *backend, enum nc_queue queue, void *destination,
                        const void *source, size_t bytes);
int nc_cuda_mark(struct nc_backend *backend, enum nc_queue queue, unsigned mark);
int nc_cuda_queue_wait(struct nc_backend *backend, enum nc_queue queue, unsigned mark);
int nc_cuda_host_wait(struct nc_backend *backend, unsigned mark);
int nc_cuda_elapsed(struct nc_backend *backend, unsigned first, unsigned second, double *seconds);

/* recording.cu */
int nc_cuda_recorder_create(struct nc_backend *backend);
void nc_cuda_recorder_destroy(struct nc_backend *backend);
int nc_cuda_record_begin(struct nc_backend *backend, const void *key, size_t key_bytes,
                         enum nc_recording *recording);
int nc_cuda_record_end(struct nc_backend *backend);
void nc_cuda_record_abandon(struct nc_backend *backend);
size_t nc_cuda_record_launches(struct nc_backend *backend, struct nc_launches *list, size_t most);
void nc_cuda_record_forget(struct nc_backend *backend); /* all of them */

/* gemm.cu */
int nc_cuda_gemm_create(struct nc_backend *backend, struct nc_cuda_gemm **gemm);
void nc_cuda_gemm_destroy(struct nc_cuda_gemm *gemm);
int nc_cuda_linear(struct nc_backend *backend, const struct nc_linear *linear);
int nc_cuda_linear_backward_input(struct nc_backend *backend,
                                  const struct nc_linear_backward_input *linear);
int nc_cuda_linear_backward_weight(struct nc_backend *backend,
                                   const struct nc_linear_backward_weight *linear);

/* d[rows, in] = a[rows, out] b[out, in], += where `accumulate`. a and b fp32 (no TF32), or fp16 at
 * multiples of 16 bytes with in and out multiples of 8; accumulated in fp32, d fp32. */
int nc_cuda_multiply(struct nc_backend *backend, enum nc_type type, size_t rows, size_t in,
                     size_t out, const void *a, const void *b, bool accumulate, float *d);

/* column_sums.cu. sums = or += the columns of dy[rows, columns], NC_CUDA_COLUMNS at most; rows at
 * least 1. partial: [NC_CUDA_COLUMN_SLICES, columns] numbers of scratch. */
int nc_cuda_sum_columns(struct nc_backend *backend, enum nc_type type, const void *dy, size_t rows,
                        size_t columns, float *partial, bool accumulate, float *sums);

/* attention.cu */
int nc_cuda_attention_supported(struct nc_backend *backend, enum nc_type type, size_t heads,
                                size_t head_size);
size_t nc_cuda_attention_scratch(struct nc_backend *backend, const struct nc_attention *attention);
int nc_cuda_attention_forward(struct nc_backend *backend, const struct nc_attention *attention);
int nc_cuda_attention_backward(struct nc_backend *backend, const struct nc_attention *attention);

/* attention_full.cu */
int nc_cuda_attention_full_own(struct nc_backend *backend,
                               const struct nc_attention_full *attention);

/* attention_vision.cu */
int nc_cuda_vision_create(struct nc_backend *backend);
void nc_cuda_vision_destroy(struct nc_backend *backend);
int nc_cuda_attention_full(struct nc_backend *backend, const struct nc_attention_full *attention);

/* layernorm.cu */
int nc_cuda_layernorm_forward(struct nc_backend *backend, const struct nc_layernorm *norm);
size_t nc_cuda_layernorm_scratch(struct nc_backend *backend, size_t rows, size_t width);
int nc_cuda_layernorm_backward(struct nc_backend *backend,
                               const struct nc_layernorm_backward *norm);

/* activation.cu */
int nc_cuda_activation_forward(struct nc_backend *backend,
                               const struct nc_activation_forward *activation);
int nc_cuda_activation_backward(struct nc_backend *backend,
                                const struct nc_activation_backward *activation);

/* y[rows, width] bf16 = act(x + bias), x fp32; bias [width] or NULL. */
int nc_cuda_bias_activation(struct nc_backend *backend, enum nc_activation activation,
                            const float *x, const float *bias, size_t rows, size_t width,
                            nc_bfloat16 *y);

/* x[rows, width] += bias[width], fp32. */
int nc_cuda_add_bias(struct nc_backend *backend, const float *bias, size_t rows, size_t width,
                     float *x);

/* embedding.cu */
int nc_cuda_embedding_forward(struct nc_backend *backend, const struct nc_embedding *embedding);
size_t nc_cuda_embedding_scratch(struct nc_backend *backend, size_t rows);
int nc_cuda_embedding_backward(struct nc_backend *backend,
                               const struct nc_embedding_backward *embedding);

/* rows.cu */
int nc_cuda_gather(struct nc_backend *backend, const struct nc_gather *gather);
int nc_cuda_scatter(struct nc_backend *backend, const struct nc_scatter *scatter);
int nc_cuda_normalize_forward(struct nc_backend *backend, const struct nc_normalize *normalize);
int nc_cuda_normalize_backward(struct nc_backend *backend,
                               const struct nc_normalize_backward *normalize);

/* infonce.cu */
size_t nc_cuda_infonce_scratch(struct nc_backend *backend, const struct nc_infonce *infonce);
int nc_cuda_infonce_forward(struct nc_backend *backend, const struct nc_infonce *infonce);
int nc_cuda_infonce_backward(struct nc_backend *backend, const struct nc_infonce *infonce);
int nc_cuda_infonce_loss(struct nc_backend *backend, const struct nc_infonce_loss *loss);

/* sigmoid.cu */
size_t nc_cuda_sigmoid_scratch(struct nc_backend *backend, const struct nc_sigmoid *sigmoid);
int nc_cuda_sigmoid(struct nc_backend *backend, const struct nc_sigmoid *sigmoid);

/* own_terms.cu */
size_t nc_cuda_own_terms_scratch(struct nc_backend *backend, size_t pairs);
int nc_cuda_own_terms(struct nc_backend *backend, const struct nc_own_terms *terms);

/* adamw.cu */
int nc_cuda_adamw(struct nc_backend *backend, const struct nc_adamw *adamw);
int nc_cuda_clip(struct nc_backend *backend, const struct nc_clipping *clip);
int nc_cuda_squared_norm(struct nc_backend *backend, const float *data, size_t count, double *sum);

/* rmsprop.cu, sgd.cu */
int nc_cuda_rmsprop(struct nc_backend *backend, const struct nc_rmsprop *rmsprop);
int nc_cuda_sgd(struct nc_backend *backend, const struct nc_sgd *sgd);

#endif
