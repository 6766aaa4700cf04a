/* kernels/cuda/device.h for g++ and clang++: a kernel's threads are fibers of the CPU
 * (fibers.cpp). Included by that file only. */
#ifndef NCLIP_TESTS_EMULATED_DEVICE_H
#define NCLIP_TESTS_EMULATED_DEVICE_H

#include "emulated/races.h"
#include "emulated/runtime.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <tuple>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

struct nc_emulated_thread {
    uint3 index;
    unsigned number; /* in the block */
    bool early;      /* has not taken its turn */
};

struct nc_emulated_block {
    dim3 grid, size;
    uint3 index;
    unsigned char *shared;
    size_t shared_bytes;
};

extern nc_emulated_thread *nc_emulated_now; /* whose turn it is */
extern nc_emulated_block nc_emulated_here;

#define threadIdx (nc_emulated_now->index)
#define blockIdx (nc_emulated_here.index)
#define blockDim (nc_emulated_here.size)
#define gridDim (nc_emulated_here.grid)

using std::max;
using std::min;

/* Where a wrapper was called: a default argument. */
#define NC_EMULATED_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

/* Stops the program: kernel, block, thread, the place, and what is wrong there. */
[[noreturn]] void nc_emulated_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- Launching ------------------------------------------------------------------- */

void nc_emulated_check_launch(const char *name, dim3 grid, dim3 block, size_t shared_bytes);
void nc_emulated_run(const char *name, bool early, dim3 grid, dim3 block, size_t shared_bytes,
                     const std::function<void()> &thread);

template <typename... Parameters, typename... Arguments>
int nc_launch(const char *name, bool early, void (*kernel)(Parameters...), dim3 grid, dim3 block,
              size_t shared_bytes, cudaStream_t stream, Arguments &&...arguments)
{
    nc_emulated_check_launch(name, grid, block, shared_bytes);
    std::tuple<Parameters...> copies(static_cast<Parameters>(arguments)...);
    std::function<void()> thread = [kernel, copies] { std::apply(kernel, copies); };
    cudaError_t error = nc_emulated_enqueue(
        stream, [=] { nc_emulated_run(name, early, grid, block, shared_bytes, thread); }, name,
        cudaGraphNodeTypeKernel, early);
    if (error != cudaSuccess)
        return nc_error(NC_FAILED, "cuda: %s was not launched: %s", name,
                        cudaGetErrorString(error));
    return NC_OK;
}

#define NC_SHARED(type, name) type *name = reinterpret_cast<type *>(nc_emulated_here.shared)

/* ---- Barriers, votes, shuffles ------------------------------------------------------ */

/* Whether this call is left out: NCLIP_EMULATED_WITHOUT is FILE:LINE or FILE:NAME, a barrier or a
 * wait. Tests show with it that the mistake would not go unnoticed (barriers.sh). */
bool nc_emulated_without(const char *name, const char *file, int line);

/* The kernels before are over already; but whoever was launched early must not rely on that: a
 * thread that returns, or in the search for races touches global memory, before this fails. */
static inline void nc_take_turn(NC_EMULATED_SITE)
{
    if (!nc_emulated_without("nc_take_turn", file, line))
        nc_emulated_now->early = false;
}

/* All living threads of the block. */
void nc_emulated_barrier(const char *file, int line);

/* All living lanes of the warp: the last one to come runs `run` for all, with the argument of
 * each; `living` has a bit for each. */
void nc_emulated_collective(const char *name, void (*run)(void *const lane[32], uint32_t living),
                            void *argument, const char *file, int line);

static inline void nc_barrier(NC_EMULATED_SITE)
{
    nc_emulated_barrier(file, line);
}

static inline void nc_warp_barrier(NC_EMULATED_SITE)
{
    if (!nc_emulated_without("nc_warp_barrier", file, line))
        nc_emulated_collective("nc_warp_barrier", nullptr, nullptr, file, line);
}

template <typename T> struct nc_emulated_shuffled {
    T value, result;
    int source;
    const char *file;
    int line;
};

template <typename T> void nc_emulated_shuffle(void *const lane[32], uint32_t living)
{
    for (int i = 0; i < 32; i++) {
        if (!(living >> i & 1))
            continue;
        auto *to = static_cast<nc_emulated_shuffled<T> *>(lane[i]);
        if (to->source < 0 || to->source >= 32 || !(living >> to->source & 1))
            nc_emulated_fail(to->file, to->line, "lane %d reads from lane %d, which is not there",
                             i, to->source);
        to->result = static_cast<nc_emulated_shuffled<T> *>(lane[to->source])->value;
    }
}

int nc_emulated_lane(void);

template <typename T> T nc_shuffle(T value, int lane, NC_EMULATED_SITE)
{
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move 4 or 8 bytes");
    nc_emulated_shuffled<T> shuffled = {value, value, lane, file, line};
    nc_emulated_collective("nc_shuffle", nc_emulated_shuffle<T>, &shuffled, file, line);
    return shuffled.result;
}

template <typename T> T nc_shuffle_xor(T value, int mask, NC_EMULATED_SITE)
{
    return nc_shuffle(value, nc_emulated_lane() ^ mask, file, line);
}

uint32_t nc_ballot(bool vote, NC_EMULATED_SITE);

/* ---- Matrix fragments --------------------------------------------------------------- */

void nc_mma_bf16(float c[4], const uint32_t a[4], const uint32_t b[2], NC_EMULATED_SITE);
void nc_emulated_ldmatrix(uint32_t *r, const void *shared, int matrices, bool transposed,
                          const char *file, int line);

static inline void nc_ldmatrix_x4(uint32_t r[4], const void *shared, NC_EMULATED_SITE)
{
    nc_emulated_ldmatrix(r, shared, 4, false, file, line);
}

static inline void nc_ldmatrix_x4_trans(uint32_t r[4], const void *shared, NC_EMULATED_SITE)
{
    nc_emulated_ldmatrix(r, shared, 4, true, file, line);
}

static inline void nc_ldmatrix_x2(uint32_t r[2], const void *shared, NC_EMULATED_SITE)
{
    nc_emulated_ldmatrix(r, shared, 2, false, file, line);
}

static inline void nc_ldmatrix_x2_trans(uint32_t r[2], const void *shared, NC_EMULATED_SITE)
{
    nc_emulated_ldmatrix(r, shared, 2, true, file, line);
}

/* ---- Copies that run beside the arithmetic --------------------------------------------
 * The destination holds NaNs from the call on, and the data once it has been waited for:
 * whoever still reads the old data, or reads the new too early, computes nonsense. */

void nc_cp_async16(void *shared, const void *global, bool valid, NC_EMULATED_SITE);
void nc_cp_async_commit(void);
void nc_emulated_cp_async_wait(int groups);

template <int groups> static inline void nc_cp_async_wait(NC_EMULATED_SITE)
{
    if (!nc_emulated_without("nc_cp_async_wait", file, line))
        nc_emulated_cp_async_wait(groups);
}

/* ---- Atomics: one thread runs at a time ------------------------------------------------- */

template <typename T> static inline T nc_atomic_add(T *at, T value)
{
    nc_races_atomically one;
    T old = *at;
    *at = old + value;
    return old;
}

template <typename T> static inline T nc_atomic_max(T *at, T value)
{
    nc_races_atomically one;
    T old = *at;
    *at = old > value ? old : value;
    return old;
}

template <typename T> static inline T nc_atomic_min(T *at, T value)
{
    nc_races_atomically one;
    T old = *at;
    *at = old < value ? old : value;
    return old;
}

template <typename T> static inline void nc_atomic_set(T *at, T value)
{
    nc_races_atomically one;
    *at = value;
}

template <typename T> static inline T nc_atomic_cas(T *at, T expected, T value)
{
    nc_races_atomically one;
    T old = *at;
    if (old == expected)
        *at = value;
    return old;
}

/* Of its accesses the search for races sees those of the other threads' work alone. */
static inline bool nc_last_block(uint32_t *arrived, unsigned blocks, uint32_t *flag,
                                 NC_EMULATED_SITE)
{
    bool without = nc_emulated_without("nc_last_block", file, line);
    nc_emulated_barrier(file, line);
    if (nc_emulated_now->number == 0) {
        *flag = nc_atomic_add(arrived, 1u) == blocks - 1;
        if (*flag)
            nc_atomic_set(arrived, 0u);
    }
    nc_emulated_barrier(file, line);
    bool last = *flag;
    if (last && nc_emulated_now->number == 0 && !without)
        nc_races_blocks_joined();
    nc_emulated_barrier(file, line);
    return last;
}

/* ---- Numbers --------------------------------------------------------------------------- */

static inline nc_bfloat16 nc_to_bf16(float value)
{
    return nc_bfloat16_from_float(value);
}

static inline float nc_from_bf16(nc_bfloat16 value)
{
    return nc_bfloat16_to_float(value);
}

static inline uint16_t nc_to_float16(float value)
{
    return nc_float16_from_float(value);
}

static inline float nc_from_float16(uint16_t value)
{
    return nc_float16_to_float(value);
}

static inline uint32_t nc_pack_bf16(float first, float second)
{
    return nc_to_bf16(first) | static_cast<uint32_t>(nc_to_bf16(second)) << 16;
}

static inline uint32_t nc_pack_fp16(float first, float second)
{
    return nc_float16_from_float(first) |
           static_cast<uint32_t>(nc_float16_from_float(second)) << 16;
}

static inline float nc_bits_to_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline int nc_kept(int value)
{
    return value;
}

static inline float nc_exp2(float x)
{
    float y = exp2f(x);
    return y < 0x1p-126f ? 0.0f : y;
}

static inline float rsqrtf(float x)
{
    return 1.0f / sqrtf(x);
}

static inline float nc_log2(float x)
{
    return log2f(x);
}

static inline float nc_divide(float x, float y)
{
    return x / y;
}

static inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}

static inline int __ffs(int x)
{
    return __builtin_ffs(x);
}

static inline int __clz(int x)
{
    return x ? __builtin_clz(static_cast<unsigned>(x)) : 32;
}

/* ---- Memory in pieces ------------------------------------------------------------------- */

struct alignas(16) nc_bytes16 {
    uint32_t word[4];
};

struct alignas(8) nc_bytes8 {
    uint32_t word[2];
};

static inline void nc_emulated_aligned(const void *at, size_t bytes, const char *file, int line)
{
    if (reinterpret_cast<uintptr_t>(at) % bytes)
        nc_emulated_fail(file, line, "moves %zu bytes at an address that is no multiple of them",
                         bytes);
}

template <typename T> static inline T nc_emulated_load(const void *from, const char *file, int line)
{
    nc_emulated_aligned(from, sizeof(T), file, line);
    typedef uint32_t whole __attribute__((vector_size(sizeof(T)), may_alias));
    whole words = *static_cast<const whole *>(from); /* in one go, as the hardware does it */
    T bytes;
    memcpy(&bytes, &words, sizeof bytes);
    return bytes;
}

template <typename T>
static inline void nc_emulated_store(void *to, T bytes, const char *file, int line)
{
    nc_emulated_aligned(to, sizeof(T), file, line);
    typedef uint32_t whole __attribute__((vector_size(sizeof(T)), may_alias));
    whole words;
    memcpy(&words, &bytes, sizeof words);
    *static_cast<whole *>(to) = words;
}

static inline void nc_prefetch(const void *) {}

static inline nc_bytes16 nc_load16(const void *from, NC_EMULATED_SITE)
{
    return nc_emulated_load<nc_bytes16>(from, file, line);
}

static inline nc_bytes16 nc_load16_stream(const void *from, NC_EMULATED_SITE)
{
    return nc_emulated_load<nc_bytes16>(from, file, line);
}

static inline nc_bytes16 nc_load16_constant(const void *from, NC_EMULATED_SITE)
{
    return nc_emulated_load<nc_bytes16>(from, file, line);
}

static inline void nc_store16(void *to, nc_bytes16 v, NC_EMULATED_SITE)
{
    nc_emulated_store(to, v, file, line);
}

static inline void nc_store16_stream(void *to, nc_bytes16 v, NC_EMULATED_SITE)
{
    nc_emulated_store(to, v, file, line);
}

static inline nc_bytes8 nc_load8(const void *from, NC_EMULATED_SITE)
{
    return nc_emulated_load<nc_bytes8>(from, file, line);
}

static inline nc_bytes8 nc_load8_stream(const void *from, NC_EMULATED_SITE)
{
    return nc_emulated_load<nc_bytes8>(from, file, line);
}

static inline void nc_store8(void *to, nc_bytes8 v, NC_EMULATED_SITE)
{
    nc_emulated_store(to, v, file, line);
}

static inline void nc_store8_stream(void *to, nc_bytes8 v, NC_EMULATED_SITE)
{
    nc_emulated_store(to, v, file, line);
}

#endif
