/* The only door between the .cu files and what the hardware does.
 *
 * nvcc compiles it to the instructions named below. With NCLIP_CUDA_EMULATED defined, g++
 * and clang++ compile the same kernels as C++, and tests/emulated/ runs them on the CPU:
 * threads in a shuffled order, in lock-step only where the hardware promises it.
 *
 * Both sides promise the same:
 *   Collectives   nc_warp_*, nc_shuffle*, nc_ballot, nc_mma_*, nc_ldmatrix_* and
 *                 nc_warp_barrier are called by all living threads of a warp, at the same
 *                 place. nc_barrier and nc_block_* by all living threads of the block.
 *   Lock-step     Nothing else orders the threads of a warp.
 *   Shared memory Dynamic only (NC_SHARED), as large as the launch says, not zeroed.
 *   Addresses     16-byte moves need 16-byte alignment, 8-byte moves 8.
 */
#ifndef NCLIP_KERNELS_CUDA_DEVICE_H
#define NCLIP_KERNELS_CUDA_DEVICE_H

#include "nclip/support/error.h"
#include "nclip/support/types.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>

enum { NC_WARP = 32 };

#ifdef NCLIP_CUDA_EMULATED

#include "emulated/device.h"

#else

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <utility>

/* ---- Launching ------------------------------------------------------------------- */

template <typename... Parameters, typename... Arguments>
int nc_launch(const char *name, bool early, void (*kernel)(Parameters...), dim3 grid, dim3 block,
              size_t shared_bytes, cudaStream_t stream, Arguments &&...arguments)
{
    cudaError_t error = cudaSuccess;
    if (shared_bytes > 48 * 1024)
        error = cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel),
                                     cudaFuncAttributeMaxDynamicSharedMemorySize,
                                     static_cast<int>(shared_bytes));
    if (error == cudaSuccess) {
        cudaLaunchConfig_t config = {};
        config.gridDim = grid;
        config.blockDim = block;
        config.dynamicSmemBytes = shared_bytes;
        config.stream = stream;
        cudaLaunchAttribute attribute = {};
        attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
        attribute.val.programmaticStreamSerializationAllowed = 1;
        config.attrs = &attribute;
        config.numAttrs = early ? 1 : 0;
        error = cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...);
    }
    if (error == cudaSuccess)
        return NC_OK;
    (void)cudaGetLastError(); /* it would stick to the next launch */
    return nc_error(NC_FAILED,
                    "cuda: %s with a grid of %u x %u x %u, %u threads and %zu bytes of shared "
                    "memory was not launched: %s",
                    name, grid.x, grid.y, grid.z, block.x * block.y * block.z, shared_bytes,
                    cudaGetErrorString(error));
}

/* Until all kernels before this one in its stream are over and what they wrote is there; then the
 * next one may begin. What early launches (below) owe. PTX ISA, "griddepcontrol". */
static __device__ __forceinline__ void nc_take_turn(void)
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/* The block's dynamic shared memory, 16-byte aligned, as `type *name`. */
#define NC_SHARED(type, name)                                                                      \
    extern __shared__ __align__(16) unsigned char nc_shared_memory[];                              \
    type *name = reinterpret_cast<type *>(nc_shared_memory)

/* ---- Barriers, votes, shuffles ------------------------------------------------------ */

static __device__ __forceinline__ void nc_barrier(void)
{
    __syncthreads();
}

static __device__ __forceinline__ void nc_warp_barrier(void)
{
    __syncwarp();
}

/* value: any type of 4 or 8 bytes */
template <typename T> static __device__ __forceinline__ T nc_shuffle(T value, int lane)
{
    return __shfl_sync(0xffffffffu, value, lane);
}

template <typename T> static __device__ __forceinline__ T nc_shuffle_xor(T value, int mask)
{
    return __shfl_xor_sync(0xffffffffu, value, mask);
}

static __device__ __forceinline__ uint32_t nc_ballot(bool vote)
{
    return __ballot_sync(0xffffffffu, vote);
}

/* ---- Matrix fragments ---------------------------------------------------------------
 * PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type". */

/* c[16, 8] += a[16, 16] b[16, 8]: a by rows, b by columns, bf16; c fp32. */
static __device__ __forceinline__ void nc_mma_bf16(float c[4], const uint32_t a[4],
                                                   const uint32_t b[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

static __device__ __forceinline__ uint32_t nc_shared_address(const void *shared)
{
    return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

/* Lanes 8 i to 8 i + 7 give the addresses of the 8 rows (of 8 bf16) of matrix i in shared
 * memory; r[i] receives this lane's two numbers of it. x2 reads the addresses of lanes 0
 * to 15. "trans": of the transposed matrix. */
static __device__ __forceinline__ void nc_ldmatrix_x4(uint32_t r[4], const void *shared)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(nc_shared_address(shared))
                 : "memory");
}

static __device__ __forceinline__ void nc_ldmatrix_x4_trans(uint32_t r[4], const void *shared)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(nc_shared_address(shared))
                 : "memory");
}

static __device__ __forceinline__ void nc_ldmatrix_x2(uint32_t r[2], const void *shared)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(nc_shared_address(shared))
                 : "memory");
}

static __device__ __forceinline__ void nc_ldmatrix_x2_trans(uint32_t r[2], const void *shared)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(nc_shared_address(shared))
                 : "memory");
}

/* Of an 8 x 8 matrix of bf16, of which each lane holds columns 2 (lane % 4) and the next of row
 * lane / 4, the same of the transposed one. */
static __device__ __forceinline__ uint32_t nc_transpose(uint32_t two)
{
    uint32_t transposed;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(transposed) : "r"(two));
    return transposed;
}

/* ---- Copies that run beside the arithmetic ---------------------------------------------
 * Visible to the thread that issued them after nc_cp_async_wait, to others after a barrier
 * behind that. */

/* 16 bytes, past the L1 cache; zeros, and global is not read, unless `valid`. */
static __device__ __forceinline__ void nc_cp_async16(void *shared, const void *global, bool valid)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(nc_shared_address(shared)),
                 "l"(__cvta_generic_to_global(global)), "r"(valid ? 16 : 0)
                 : "memory");
}

static __device__ __forceinline__ void nc_cp_async_commit(void)
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* Until at most the newest `groups` commits are under way. */
template <int groups> static __device__ __forceinline__ void nc_cp_async_wait(void)
{
    asm volatile("cp.async.wait_group %0;" ::"n"(groups) : "memory");
}

/* ---- Atomics on global or shared memory: return what was there --------------------------- */

template <typename T> static __device__ __forceinline__ T nc_atomic_add(T *at, T value)
{
    return atomicAdd(at, value);
}

template <typename T> static __device__ __forceinline__ T nc_atomic_max(T *at, T value)
{
    return atomicMax(at, value);
}

template <typename T> static __device__ __forceinline__ T nc_atomic_min(T *at, T value)
{
    return atomicMin(at, value);
}

template <typename T> static __device__ __forceinline__ T nc_atomic_cas(T *at, T expected, T value)
{
    return atomicCAS(at, expected, value);
}

/* Called by all threads of each of `blocks` blocks, which share *arrived; true in the block that
 * came last, in all of its threads. What the others wrote before is there for it, and *arrived is 0
 * again. The others return. `flag`: 4 bytes of shared memory that nobody else touches meanwhile. */
static __device__ __forceinline__ bool nc_last_block(uint32_t *arrived, unsigned blocks,
                                                     uint32_t *flag)
{
    __threadfence(); /* this thread's writes before the number that thread 0 adds to */
    __syncthreads();
    if (threadIdx.x == 0) {
        *flag = atomicAdd(arrived, 1u) == blocks - 1;
        if (*flag)
            *arrived = 0;
    }
    __syncthreads();
    bool last = *flag;
    __threadfence(); /* that number before this thread's reads */
    __syncthreads(); /* the flag is free again */
    return last;
}

/* ---- Numbers --------------------------------------------------------------------------- */

/* The same bits as nclip/support/types.h gives, NaNs aside. */
static __device__ __forceinline__ nc_bfloat16 nc_to_bf16(float value)
{
    return __bfloat16_as_ushort(__float2bfloat16_rn(value));
}

static __device__ __forceinline__ float nc_from_bf16(nc_bfloat16 value)
{
    return __uint_as_float(static_cast<uint32_t>(value) << 16);
}

/* fp16 is in files only: conversions, no arithmetic. */
static __device__ __forceinline__ uint16_t nc_to_float16(float value)
{
    return __half_as_ushort(__float2half_rn(value));
}

static __device__ __forceinline__ float nc_from_float16(uint16_t value)
{
    return __half2float(__ushort_as_half(value));
}

/* Two bf16 in a register, the first in its lower half. */
static __device__ __forceinline__ uint32_t nc_pack_bf16(float first, float second)
{
    uint32_t packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(second), "f"(first));
    return packed;
}

/* The same in fp16, rounded to nearest even. */
static __device__ __forceinline__ uint32_t nc_pack_fp16(float first, float second)
{
    uint32_t packed;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(second), "f"(first));
    return packed;
}

static __device__ __forceinline__ float nc_bits_to_float(uint32_t bits)
{
    return __uint_as_float(bits);
}

/* 2^x to two units in the last place; results below 2^-126 are 0. */
static __device__ __forceinline__ float nc_exp2(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* log2(x), to 2^-22 absolute between 1/2 and 2. */
static __device__ __forceinline__ float nc_log2(float x)
{
    float y;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* x / y to two units in the last place, for |y| below 2^126. */
static __device__ __forceinline__ float nc_divide(float x, float y)
{
    return __fdividef(x, y);
}

/* The same number, which the compiler keeps in a register rather than make it again in a loop. */
static __device__ __forceinline__ int nc_kept(int value)
{
    asm volatile("" : "+r"(value));
    return value;
}

/* ---- Memory in pieces of 16 bytes -------------------------------------------------------- */

struct __align__(16) nc_bytes16
{
    uint32_t word[4];
};

static __device__ __forceinline__ nc_bytes16 nc_load16(const void *from)
{
    uint4 v = *static_cast<const uint4 *>(from);
    return {{v.x, v.y, v.z, v.w}};
}

static __device__ __forceinline__ void nc_store16(void *to, nc_bytes16 v)
{
    *static_cast<uint4 *>(to) = make_uint4(v.word[0], v.word[1], v.word[2], v.word[3]);
}

/* What is touched once and need not stay in the caches; global memory only. */
static __device__ __forceinline__ nc_bytes16 nc_load16_stream(const void *from)
{
    uint4 v = __ldcs(static_cast<const uint4 *>(from));
    return {{v.x, v.y, v.z, v.w}};
}

static __device__ __forceinline__ void nc_store16_stream(void *to, nc_bytes16 v)
{
    __stcs(static_cast<uint4 *>(to), make_uint4(v.word[0], v.word[1], v.word[2], v.word[3]));
}

/* What no thread of the device writes during this kernel; global memory only. */
static __device__ __forceinline__ nc_bytes16 nc_load16_constant(const void *from)
{
    uint4 v = __ldg(static_cast<const uint4 *>(from));
    return {{v.x, v.y, v.z, v.w}};
}

/* Asks for the line of global memory into the L2 cache; nobody waits for it. */
static __device__ __forceinline__ void nc_prefetch(const void *from)
{
    asm volatile("prefetch.global.L2 [%0];" ::"l"(__cvta_generic_to_global(from)));
}

struct __align__(8) nc_bytes8
{
    uint32_t word[2];
};

static __device__ __forceinline__ nc_bytes8 nc_load8(const void *from)
{
    uint2 v = *static_cast<const uint2 *>(from);
    return {{v.x, v.y}};
}

static __device__ __forceinline__ void nc_store8(void *to, nc_bytes8 v)
{
    *static_cast<uint2 *>(to) = make_uint2(v.word[0], v.word[1]);
}

static __device__ __forceinline__ nc_bytes8 nc_load8_stream(const void *from)
{
    uint2 v = __ldcs(static_cast<const uint2 *>(from));
    return {{v.x, v.y}};
}

static __device__ __forceinline__ void nc_store8_stream(void *to, nc_bytes8 v)
{
    __stcs(static_cast<uint2 *>(to), make_uint2(v.word[0], v.word[1]));
}

#endif /* NCLIP_CUDA_EMULATED */

/* `kernel`: a __global__ function; a template's instance with a comma goes in parentheses.
 * An int status; the message names the kernel. Arguments are copied when it is called. */
#define NC_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                  \
    nc_launch(#kernel, false, kernel, dim3(grid), dim3(block), shared_bytes, stream, __VA_ARGS__)

/* The same into backend->compute, early where the backend can (early.cu): the kernel's blocks come
 * onto multiprocessors as soon as all blocks of the one before it have begun and leave room, not
 * once that one is over and its writes are flushed. So each of its threads calls nc_take_turn()
 * before it touches global memory, and before it returns: a kernel that is over tells that all
 * before it are. */
#define NC_LAUNCH_EARLY(backend, kernel, grid, block, shared_bytes, ...)                           \
    nc_launch(#kernel, (backend)->early, kernel, dim3(grid), dim3(block), shared_bytes,            \
              (backend)->compute, __VA_ARGS__)

/* ---- Made of the above -------------------------------------------------------------------- */

static const float NC_LOG2_E = 1.4426950408889634f, NC_LN_2 = 0.6931471805599453f;

static __device__ __forceinline__ int nc_lane(void)
{
    return static_cast<int>((threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) %
                            NC_WARP);
}

#ifdef NCLIP_CUDA_EMULATED
static inline uint32_t nc_transpose(uint32_t two)
{
    int lane = nc_lane(), from = lane % 4 * 8 + lane / 8, shift = lane / 4 % 2 * 16;
    uint32_t first = nc_shuffle(two, from), second = nc_shuffle(two, from + 4);
    return (first >> shift & 0xffff) | (second >> shift & 0xffff) << 16;
}
#endif

/* This warp's number in the grid, whose blocks have WARPS warps: for kernels that give each warp
 * one item. */
template <int WARPS> static __device__ __forceinline__ size_t nc_warp_of_grid(void)
{
    return static_cast<size_t>(blockIdx.x) * WARPS + threadIdx.x / NC_WARP;
}

/* Every lane receives the sum, added in the same order. */
static __device__ __forceinline__ float nc_warp_sum(float value)
{
    for (int mask = NC_WARP / 2; mask; mask /= 2)
        value += nc_shuffle_xor(value, mask);
    return value;
}

static __device__ __forceinline__ double nc_warp_sum(double value)
{
    for (int mask = NC_WARP / 2; mask; mask /= 2)
        value += nc_shuffle_xor(value, mask);
    return value;
}

static __device__ __forceinline__ float nc_warp_max(float value)
{
    for (int mask = NC_WARP / 2; mask; mask /= 2)
        value = fmaxf(value, nc_shuffle_xor(value, mask));
    return value;
}

/* Every thread receives the sum. One-dimensional blocks of whole warps; `parts` is shared
 * memory for one number a warp, free again when this returns. */
template <typename T> static __device__ __forceinline__ T nc_block_sum(T value, T *parts)
{
    value = nc_warp_sum(value);
    if (nc_lane() == 0)
        parts[threadIdx.x / NC_WARP] = value;
    nc_barrier();
    T sum = 0;
    for (unsigned warp = 0; warp < blockDim.x / NC_WARP; warp++)
        sum += parts[warp];
    nc_barrier();
    return sum;
}

/* The two numbers of a register of bf16. */
static __device__ __forceinline__ float nc_low_bf16(uint32_t packed)
{
    return nc_bits_to_float(packed << 16);
}

static __device__ __forceinline__ float nc_high_bf16(uint32_t packed)
{
    return nc_bits_to_float(packed & 0xffff0000u);
}

#include "device_pieces.h"

#endif
