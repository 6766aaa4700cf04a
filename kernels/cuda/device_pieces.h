/* A register's two numbers of bf16, and numbers of either type in pieces of 4 to 16 bytes: the end
 * of device.h, which alone includes it. */
#ifndef NCLIP_KERNELS_CUDA_DEVICE_PIECES_H
#define NCLIP_KERNELS_CUDA_DEVICE_PIECES_H

/* ---- Two, four and eight numbers at a time: `from` and `to` are aligned to what is moved */

static __device__ __forceinline__ void nc_unpack(float v[4], nc_bytes16 bytes)
{
#pragma unroll
    for (int i = 0; i < 4; i++)
        v[i] = nc_bits_to_float(bytes.word[i]);
}

static __device__ __forceinline__ void nc_unpack_bf16(float v[8], nc_bytes16 bytes)
{
#pragma unroll
    for (int i = 0; i < 4; i++) {
        v[2 * i] = nc_low_bf16(bytes.word[i]);
        v[2 * i + 1] = nc_high_bf16(bytes.word[i]);
    }
}

static __device__ __forceinline__ nc_bytes16 nc_packed(const float v[4])
{
    nc_bytes16 bytes;
    memcpy(&bytes, v, sizeof bytes);
    return bytes;
}

static __device__ __forceinline__ nc_bytes16 nc_packed_bf16(const float v[8])
{
    return {{nc_pack_bf16(v[0], v[1]), nc_pack_bf16(v[2], v[3]), nc_pack_bf16(v[4], v[5]),
             nc_pack_bf16(v[6], v[7])}};
}

static __device__ __forceinline__ void nc_store2(float *to, const float v[2])
{
    nc_bytes8 bytes;
    memcpy(&bytes, v, sizeof bytes);
    nc_store8(to, bytes);
}

static __device__ __forceinline__ void nc_load4(float v[4], const float *from)
{
    nc_unpack(v, nc_load16(from));
}

static __device__ __forceinline__ void nc_load4(float v[4], const nc_bfloat16 *from)
{
    nc_bytes8 bytes = nc_load8(from);
    v[0] = nc_low_bf16(bytes.word[0]);
    v[1] = nc_high_bf16(bytes.word[0]);
    v[2] = nc_low_bf16(bytes.word[1]);
    v[3] = nc_high_bf16(bytes.word[1]);
}

static __device__ __forceinline__ void nc_load4_stream(float v[4], const float *from)
{
    nc_unpack(v, nc_load16_stream(from));
}

static __device__ __forceinline__ void nc_load4_stream(float v[4], const nc_bfloat16 *from)
{
    nc_bytes8 bytes = nc_load8_stream(from);
    v[0] = nc_low_bf16(bytes.word[0]);
    v[1] = nc_high_bf16(bytes.word[0]);
    v[2] = nc_low_bf16(bytes.word[1]);
    v[3] = nc_high_bf16(bytes.word[1]);
}

static __device__ __forceinline__ void nc_store4(float *to, const float v[4])
{
    nc_store16(to, nc_packed(v));
}

static __device__ __forceinline__ void nc_store4(nc_bfloat16 *to, const float v[4])
{
    nc_store8(to, {{nc_pack_bf16(v[0], v[1]), nc_pack_bf16(v[2], v[3])}});
}

static __device__ __forceinline__ void nc_store4_stream(float *to, const float v[4])
{
    nc_store16_stream(to, nc_packed(v));
}

static __device__ __forceinline__ void nc_store4_stream(nc_bfloat16 *to, const float v[4])
{
    nc_store8_stream(to, {{nc_pack_bf16(v[0], v[1]), nc_pack_bf16(v[2], v[3])}});
}

static __device__ __forceinline__ void nc_load8_bf16(float v[8], const nc_bfloat16 *from)
{
    nc_unpack_bf16(v, nc_load16(from));
}

static __device__ __forceinline__ void nc_store8_bf16(nc_bfloat16 *to, const float v[8])
{
    nc_store16(to, nc_packed_bf16(v));
}

/* One number of either type. */
static __device__ __forceinline__ float nc_load1(const float *from)
{
    return *from;
}

static __device__ __forceinline__ float nc_load1(const nc_bfloat16 *from)
{
    return nc_from_bf16(*from);
}

static __device__ __forceinline__ void nc_store1(float *to, float value)
{
    *to = value;
}

static __device__ __forceinline__ void nc_store1(nc_bfloat16 *to, float value)
{
    *to = nc_to_bf16(value);
}

/* So many numbers in one piece: 8 of bf16, 4 or 1 of either type. */
template <int count, typename T>
static __device__ __forceinline__ void nc_load(float v[count], const T *from)
{
    if constexpr (count == 8)
        nc_load8_bf16(v, from);
    else if constexpr (count == 4)
        nc_load4(v, from);
    else
        v[0] = nc_load1(from);
}

template <int count, typename T>
static __device__ __forceinline__ void nc_store(T *to, const float v[count])
{
    if constexpr (count == 8)
        nc_store8_bf16(to, v);
    else if constexpr (count == 4)
        nc_store4(to, v);
    else
        nc_store1(to, v[0]);
}

#endif
