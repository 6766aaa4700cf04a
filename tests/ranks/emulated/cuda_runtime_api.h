/* Of CUDA's runtime, what host/ranks/nccl.c and gpus.c use: streams and events, on threads, of one
 * device or of as many as EMULATED_GPUS says. */
#ifndef NCLIP_TESTS_RANKS_CUDA_RUNTIME_API_H
#define NCLIP_TESTS_RANKS_CUDA_RUNTIME_API_H

#include <stddef.h>

/* The program beside it may hold the real ones. */
#define cudaGetDevice emulated_cudaGetDevice
#define cudaGetDeviceCount emulated_cudaGetDeviceCount
#define cudaMalloc emulated_cudaMalloc
#define cudaFree emulated_cudaFree
#define cudaMemcpyAsync emulated_cudaMemcpyAsync
#define cudaStreamQuery emulated_cudaStreamQuery
#define cudaSetDevice emulated_cudaSetDevice
#define cudaStreamCreateWithFlags emulated_cudaStreamCreateWithFlags
#define cudaStreamDestroy emulated_cudaStreamDestroy
#define cudaStreamSynchronize emulated_cudaStreamSynchronize
#define cudaStreamWaitEvent emulated_cudaStreamWaitEvent
#define cudaEventCreateWithFlags emulated_cudaEventCreateWithFlags
#define cudaEventDestroy emulated_cudaEventDestroy
#define cudaEventRecord emulated_cudaEventRecord
#define cudaEventQuery emulated_cudaEventQuery
#define cudaEventSynchronize emulated_cudaEventSynchronize
#define cudaGetErrorString emulated_cudaGetErrorString

typedef enum { cudaSuccess = 0, cudaErrorUnknown = 999, cudaErrorNotReady = 600 } cudaError_t;
typedef struct emulated_stream *cudaStream_t;
typedef struct emulated_event *cudaEvent_t;
enum { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2 };
typedef enum { cudaMemcpyDefault = 4 } cudaMemcpyKind;

cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaMalloc(void **data, size_t bytes);
cudaError_t cudaFree(void *data);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaGetDevice(int *device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
const char *cudaGetErrorString(cudaError_t error);

/* A kernel: `run` in its turn of the stream. */
void emulated_launch(cudaStream_t stream, void (*run)(void *), void *argument);

#endif
