/* Vectors of floats as wide as the processor's registers, through the vector types of
 * gcc and clang: operators work lane by lane on any machine. Intrinsics stand only where
 * the compilers do badly without, each beside its portable form.
 *
 * Elements come and go as T (fp32 or bf16) and are computed with as fp32. With `type` a
 * constant, as in all callers, the branches on it vanish. */
#ifndef NCLIP_KERNELS_VECTOR_H
#define NCLIP_KERNELS_VECTOR_H

#include "nclip/support/types.h"

#include <math.h>

#if defined(__SSE__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
enum { NC_LANES = 16 };
#elif defined(__AVX__)
enum { NC_LANES = 8 };
#else
enum { NC_LANES = 4 };
#endif

/* Inlined always: their arguments become constants, their vectors stay in registers. */
#define NC_INLINE static inline __attribute__((always_inline))

#if defined(__clang__)
#define NC_UNROLL _Pragma("clang loop unroll(full)")
#else
#define NC_UNROLL _Pragma("GCC unroll 16")
#endif

typedef float nc_floats __attribute__((vector_size(NC_LANES * 4)));
typedef int32_t nc_ints __attribute__((vector_size(NC_LANES * 4)));
typedef uint32_t nc_words __attribute__((vector_size(NC_LANES * 4)));
typedef uint16_t nc_halves __attribute__((vector_size(NC_LANES * 2)));

NC_INLINE nc_floats nc_all(float x)
{
    return x - (nc_floats){0};
}

NC_INLINE size_t nc_round_up(size_t count)
{
    return (count + NC_LANES - 1) / NC_LANES * NC_LANES;
}

/* ---- bf16 ------------------------------------------------------------------------- */

NC_INLINE nc_floats nc_from_bfloat16(nc_halves halves)
{
#if defined(__AVX512F__)
    return (nc_floats)_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)halves), 16);
#else
    return (nc_floats)(__builtin_convertvector(halves, nc_words) << 16);
#endif
}

/* As nc_bfloat16_from_float, lane by lane. */
NC_INLINE nc_halves nc_to_bfloat16(nc_floats x)
{
    nc_words bits = (nc_words)x;
    nc_words rounded = bits + 0x7fffu + (bits >> 16 & 1u);
#if defined(__AVX512F__)
    __mmask16 nan = _mm512_cmp_ps_mask((__m512)x, (__m512)x, _CMP_UNORD_Q);
    __m512i words = _mm512_mask_or_epi32((__m512i)rounded, nan, (__m512i)bits,
                                         _mm512_set1_epi32(0x400000));
    return (nc_halves)_mm512_cvtepi32_epi16(_mm512_srli_epi32(words, 16));
#else
    nc_words nan = (nc_words)(x != x);
    rounded = (rounded & ~nan) | ((bits | 0x400000u) & nan);
    return __builtin_convertvector(rounded >> 16, nc_halves);
#endif
}

/* ---- Load and store --------------------------------------------------------------- */

NC_INLINE nc_floats nc_load(const void *data, size_t index, enum nc_type type)
{
    if (type == NC_FLOAT32) {
        nc_floats x;
        memcpy(&x, (const float *)data + index, sizeof x);
        return x;
    }
    nc_halves halves;
    memcpy(&halves, (const nc_bfloat16 *)data + index, sizeof halves);
    return nc_from_bfloat16(halves);
}

NC_INLINE void nc_store(void *data, size_t index, enum nc_type type, nc_floats x)
{
    if (type == NC_FLOAT32) {
        memcpy((float *)data + index, &x, sizeof x);
    } else {
        nc_halves halves = nc_to_bfloat16(x);
        memcpy((nc_bfloat16 *)data + index, &halves, sizeof halves);
    }
}

/* The first `count` < NC_LANES lanes; the others are zero. */
NC_INLINE nc_floats nc_load_part(const void *data, size_t index, enum nc_type type, size_t count)
{
    if (type == NC_FLOAT32) {
        nc_floats x = {0};
#if defined(__AVX512F__)
        x = (nc_floats)_mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1),
                                             (const float *)data + index);
#else
        for (size_t i = 0; i < count; i++)
            x[i] = ((const float *)data)[index + i];
#endif
        return x;
    }
    nc_halves halves = {0};
#if defined(__AVX512BW__) && defined(__AVX512VL__)
    halves = (nc_halves)_mm256_maskz_loadu_epi16((__mmask16)((1u << count) - 1),
                                                 (const nc_bfloat16 *)data + index);
#else
    for (size_t i = 0; i < count; i++)
        halves[i] = ((const nc_bfloat16 *)data)[index + i];
#endif
    return nc_from_bfloat16(halves);
}

NC_INLINE void nc_store_part(void *data, size_t index, enum nc_type type, nc_floats x, size_t count)
{
    if (type == NC_FLOAT32) {
#if defined(__AVX512F__)
        _mm512_mask_storeu_ps((float *)data + index, (__mmask16)((1u << count) - 1), (__m512)x);
#else
        for (size_t i = 0; i < count; i++)
            ((float *)data)[index + i] = x[i];
#endif
        return;
    }
    nc_halves halves = nc_to_bfloat16(x);
#if defined(__AVX512BW__) && defined(__AVX512VL__)
    _mm256_mask_storeu_epi16((nc_bfloat16 *)data + index, (__mmask16)((1u << count) - 1),
                             (__m256i)halves);
#else
    for (size_t i = 0; i < count; i++)
        ((nc_bfloat16 *)data)[index + i] = halves[i];
#endif
}

/* Up to NC_LANES elements, of the `left` that there are: the loop over a row reads
 *     for (size_t k = 0; k < width; k += NC_LANES)
 *         ... nc_load_of(row, k, type, width - k) ... */
NC_INLINE nc_floats nc_load_of(const void *data, size_t index, enum nc_type type, size_t left)
{
    return left >= NC_LANES ? nc_load(data, index, type) : nc_load_part(data, index, type, left);
}

NC_INLINE void nc_store_of(void *data, size_t index, enum nc_type type, nc_floats x, size_t left)
{
    if (left >= NC_LANES)
        nc_store(data, index, type, x);
    else
        nc_store_part(data, index, type, x, left);
}

/* ---- Lanes ------------------------------------------------------------------------ */

/* mask: all bits of a lane set, or none. */
NC_INLINE nc_floats nc_select(nc_ints mask, nc_floats yes, nc_floats no)
{
#if defined(__AVX512F__)
    return (nc_floats)_mm512_mask_mov_ps(
        (__m512)no, _mm512_cmplt_epi32_mask((__m512i)mask, _mm512_setzero_si512()), (__m512)yes);
#elif defined(__AVX__)
    return (nc_floats)_mm256_blendv_ps((__m256)no, (__m256)yes, (__m256)mask);
#else
    return (nc_floats)(((nc_ints)yes & mask) | ((nc_ints)no & ~mask));
#endif
}

/* The second where either is NaN, as in a > b ? a : b. */
NC_INLINE nc_floats nc_max(nc_floats a, nc_floats b)
{
#if defined(__AVX512F__)
    return (nc_floats)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX__)
    return (nc_floats)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return nc_select(a > b, a, b);
#endif
}

NC_INLINE nc_floats nc_min(nc_floats a, nc_floats b)
{
#if defined(__AVX512F__)
    return (nc_floats)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX__)
    return (nc_floats)_mm256_min_ps((__m256)a, (__m256)b);
#else
    return nc_select(a < b, a, b);
#endif
}

NC_INLINE nc_floats nc_sqrt(nc_floats x)
{
#if defined(__AVX512F__)
    return (nc_floats)_mm512_sqrt_ps((__m512)x);
#elif defined(__AVX__)
    return (nc_floats)_mm256_sqrt_ps((__m256)x);
#elif defined(__SSE__)
    return (nc_floats)_mm_sqrt_ps((__m128)x);
#else
    for (size_t i = 0; i < NC_LANES; i++)
        x[i] = sqrtf(x[i]);
    return x;
#endif
}

/* In the same order for every vector. */
NC_INLINE float nc_sum(nc_floats x)
{
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps((__m512)x);
#else
    float lane[NC_LANES];
    memcpy(lane, &x, sizeof lane);
    for (size_t half = NC_LANES / 2; half; half /= 2)
        for (size_t i = 0; i < half; i++)
            lane[i] += lane[i + half];
    return lane[0];
#endif
}

NC_INLINE float nc_highest(nc_floats x)
{
#if defined(__AVX512F__)
    return _mm512_reduce_max_ps((__m512)x);
#else
    float lane[NC_LANES];
    memcpy(lane, &x, sizeof lane);
    for (size_t half = NC_LANES / 2; half; half /= 2)
        for (size_t i = 0; i < half; i++)
            lane[i] = lane[i] > lane[i + half] ? lane[i] : lane[i + half];
    return lane[0];
#endif
}

#endif
