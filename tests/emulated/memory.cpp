/* The emulated GPU's memory: device and page-locked blocks, and the copies between them. */
#include "emulated/queues.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>

#ifdef NC_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#endif

using namespace nc_emulated;

size_t nc_emulated::device_used;

static std::map<char *, size_t> device_blocks;
static std::map<char *, size_t> pinned_blocks;

/* ---- Who may touch device memory ------------------------------------------------------------ */

static int on_device; /* how many of them live */

static void protect(bool closed)
{
#ifdef NC_ADDRESS_SANITIZER
    for (const auto &block : device_blocks)
        if (closed)
            __asan_poison_memory_region(block.first, block.second);
        else
            __asan_unpoison_memory_region(block.first, block.second);
#else
    (void)closed;
#endif
}

nc_emulated::device_access::device_access()
{
    if (on_device++ == 0)
        protect(false);
}

nc_emulated::device_access::~device_access()
{
    if (--on_device == 0)
        protect(true);
}

/* ---- Blocks --------------------------------------------------------------------------------- */

static cudaError_t allocate(std::map<char *, size_t> &blocks, void **out, size_t bytes)
{
    *out = nullptr;
    if (bytes > DEVICE_BYTES - std::min(device_used, size_t{DEVICE_BYTES}) ||
        posix_memalign(out, 256, bytes) != 0)
        return failed(cudaErrorMemoryAllocation);
    memset(*out, 0xff, bytes);
    blocks[static_cast<char *>(*out)] = bytes;
    return cudaSuccess;
}

/* The block that holds `bytes` from `at`, or the end. */
static std::map<char *, size_t>::iterator find(std::map<char *, size_t> &blocks, const void *at)
{
    auto after = blocks.upper_bound(static_cast<char *>(const_cast<void *>(at)));
    if (after == blocks.begin())
        return blocks.end();
    --after;
    return static_cast<const char *>(at) < after->first + after->second ? after : blocks.end();
}

cudaError_t cudaMalloc(void **out, size_t bytes)
{
    locked hold(lock);
    if (capture_broken())
        return failed(cudaErrorStreamCaptureUnsupported);
    *out = nullptr;
    if (!bytes)
        return cudaSuccess;
    cudaError_t error = allocate(device_blocks, out, bytes);
    if (error == cudaSuccess) {
        device_used += bytes;
        nc_races_allocated(*out, bytes);
#ifdef NC_ADDRESS_SANITIZER
        if (!on_device)
            __asan_poison_memory_region(*out, bytes);
#endif
    }
    return error;
}

cudaError_t cudaFree(void *data)
{
    locked hold(lock);
    if (!data)
        return cudaSuccess;
    if (capture_broken())
        return failed(cudaErrorStreamCaptureUnsupported);
    wait_for_all();
    auto block = device_blocks.find(static_cast<char *>(data));
    if (block == device_blocks.end())
        return failed(cudaErrorInvalidValue);
#ifdef NC_ADDRESS_SANITIZER
    __asan_unpoison_memory_region(data, block->second);
#endif
    nc_races_released(data);
    device_used -= block->second;
    device_blocks.erase(block);
    free(data);
    return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned flags)
{
    locked hold(lock);
    (void)flags;
    if (capture_broken())
        return failed(cudaErrorStreamCaptureUnsupported);
    return allocate(pinned_blocks, out, bytes ? bytes : 1);
}

cudaError_t cudaMallocHost(void **out, size_t bytes)
{
    return cudaHostAlloc(out, bytes, cudaHostAllocDefault);
}

cudaError_t cudaFreeHost(void *data)
{
    locked hold(lock);
    if (!data)
        return cudaSuccess;
    if (capture_broken())
        return failed(cudaErrorStreamCaptureUnsupported);
    wait_for_all();
    if (!pinned_blocks.erase(static_cast<char *>(data)))
        return failed(cudaErrorInvalidValue);
    free(data);
    return cudaSuccess;
}

/* ---- Copies --------------------------------------------------------------------------------- */

bool nc_emulated::reads_pageable()
{
    return getenv("NCLIP_EMULATED_PAGEABLE") != nullptr;
}

/* Ordinary host memory: the copy is over, or the bytes are set aside, when it returns. Pinned
 * memory, and what the device reads where it is, is read and written when its turn comes. */
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    locked hold(lock);
    if (!bytes)
        return cudaSuccess;
    bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (kind == cudaMemcpyDefault) {
        to_device = find(device_blocks, to) != device_blocks.end();
        from_device = find(device_blocks, from) != device_blocks.end();
    }
    if (to_device != (find(device_blocks, to) != device_blocks.end()) ||
        from_device != (find(device_blocks, from) != device_blocks.end()))
        return failed(cudaErrorInvalidValue);
    std::shared_ptr<queue> q = queue_of(stream);
    bool pageable_source = !from_device && find(pinned_blocks, from) == pinned_blocks.end();
    bool pageable_target = !to_device && find(pinned_blocks, to) == pinned_blocks.end();
    if (q->captured_in && pageable_target) {
        q->captured_in->invalid = true;
        return failed(cudaErrorStreamCaptureUnsupported);
    }
    if (pageable_source && !q->captured_in && !reads_pageable()) {
        auto aside = std::make_shared<std::vector<char>>(static_cast<const char *>(from),
                                                         static_cast<const char *>(from) + bytes);
        return nc_emulated_enqueue(stream, [=] {
            nc_races_launch("a copy");
            nc_races_write(to, bytes);
            memcpy(to, aside->data(), bytes);
        });
    }
    cudaError_t error = nc_emulated_enqueue(stream, [=] {
        nc_races_launch("a copy");
        nc_races_read(from, bytes);
        nc_races_write(to, bytes);
        memmove(to, from, bytes);
    }, "copy", cudaGraphNodeTypeMemcpy);
    if (error == cudaSuccess && pageable_target)
        wait_for(*q);
    return error;
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind)
{
    cudaError_t error = cudaDeviceSynchronize();
    if (error == cudaSuccess)
        error = cudaMemcpyAsync(to, from, bytes, kind, nullptr);
    return error == cudaSuccess ? cudaDeviceSynchronize() : error;
}

cudaError_t cudaMemsetAsync(void *data, int value, size_t bytes, cudaStream_t stream)
{
    locked hold(lock);
    if (!bytes)
        return cudaSuccess;
    if (find(device_blocks, data) == device_blocks.end())
        return failed(cudaErrorInvalidValue);
    return nc_emulated_enqueue(stream, [=] {
        nc_races_launch("a fill");
        nc_races_write(data, bytes);
        memset(data, value, bytes);
    }, "fill", cudaGraphNodeTypeMemset);
}

cudaError_t cudaMemset(void *data, int value, size_t bytes)
{
    return cudaMemsetAsync(data, value, bytes, nullptr);
}
