/* CUDA's runtime API on the CPU (runtime.h): chance, errors, the one device. */
#include "emulated/queues.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

using namespace nc_emulated;

static cudaError_t last_error = cudaSuccess;

cudaError_t nc_emulated::failed(cudaError_t error)
{
    last_error = error;
    return error;
}

/* ---- Chance --------------------------------------------------------------------------------- */

static uint64_t random_state;

uint64_t nc_emulated_seed(void)
{
    static const uint64_t seed = [] {
        const char *given = getenv("NCLIP_EMULATED_SEED");
        return given ? strtoull(given, nullptr, 10) : 1ull;
    }();
    return seed;
}

uint64_t nc_emulated_random(uint64_t limit)
{
    if (!random_state)
        random_state = (nc_emulated_seed() + 1) * 0x9e3779b97f4a7c15u | 1;
    random_state ^= random_state << 13; /* xorshift64 (Marsaglia 2003) */
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (random_state >> 32) * limit >> 32;
}

/* ---- Errors, devices ------------------------------------------------------------------------ */

static const struct {
    cudaError_t error;
    const char *name, *text;
} errors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration",
     "invalid configuration argument"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined",
     "capturing stream has unjoined work"},
    {cudaErrorStreamCaptureIsolation, "cudaErrorStreamCaptureIsolation",
     "dependency created on uncaptured work in another stream"},
};

const char *cudaGetErrorString(cudaError_t error)
{
    for (const auto &known : errors)
        if (known.error == error)
            return known.text;
    return "unrecognized error code";
}

const char *cudaGetErrorName(cudaError_t error)
{
    for (const auto &known : errors)
        if (known.error == error)
            return known.name;
    return "unrecognized error code";
}

cudaError_t cudaPeekAtLastError(void)
{
    return last_error;
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = 1;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
    return device == 0 ? cudaSuccess : failed(cudaErrorInvalidDevice);
}

cudaError_t cudaGetDevice(int *device)
{
    *device = 0;
    return cudaSuccess;
}

size_t nc_emulated_most_shared(void)
{
    const char *given = getenv("NCLIP_EMULATED_SHARED");
    return (given ? strtoull(given, nullptr, 10) : 227) * 1024;
}

/* Few multiprocessors: grids that are sized by them wrap around in small tests too. */
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device)
{
    if (device != 0)
        return failed(cudaErrorInvalidDevice);
    memset(properties, 0, sizeof *properties);
    snprintf(properties->name, sizeof properties->name, "the emulation of tests/emulated");
    properties->totalGlobalMem = DEVICE_BYTES;
    properties->sharedMemPerBlock = 48 * 1024;
    properties->sharedMemPerBlockOptin = nc_emulated_most_shared();
    properties->pageableMemoryAccess = reads_pageable();
    properties->major = 9;
    properties->multiProcessorCount = 3;
    properties->l2CacheSize = 1 << 20;
    properties->maxThreadsPerMultiProcessor = 2048;
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void)
{
    locked hold(lock);
    if (capture_broken())
        return failed(cudaErrorStreamCaptureUnsupported);
    wait_for_all();
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *total)
{
    locked hold(lock);
    *total = DEVICE_BYTES;
    *available = DEVICE_BYTES - device_used;
    return cudaSuccess;
}
