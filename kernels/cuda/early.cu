/* Whether kernels may be launched early (device.h, NC_LAUNCH_EARLY): programmatic dependent launch
 * (CUDA C++ Programming Guide, "Programmatic Dependent Launch and Synchronization").
 *
 * A step of ViT-L/14 has some 280 kernels. Between two of them the first one's last blocks end, its
 * writes are flushed and the second one's blocks are placed: about 1 us on an H100, 0.3 of 11 ms
 * (derived, not measured). A kernel that is launched early is placed meanwhile.
 *
 * It takes compute capability 9.0. griddepcontrol is compiled from there on (device.h), and a kernel
 * that lacks it would wait for nothing. That the GPU has it does not suffice: a program that was
 * compiled for 8.0 alone runs on a 9.0 from its PTX, without. So the code that is there is asked
 * (ptxVersion), of one kernel: all are compiled alike.
 *
 * It takes CUDA 12.3 of the toolkit and of the driver: launches know the attribute since 11.8, but
 * graphs keep it, as a kind of edge, since 12.3. NCLIP_CUDA_EARLY=0 turns it off.
 *
 * Which kernels: those that stand between products in a step. All read what the one before them
 * wrote, so that there is nothing to do before their turn. cuBLASLt's own are launched by the
 * library: they are waited for, and wait, as ever.
 *
 * That each takes its turn in time is held by the search for races (tests/emulated/races.h) and, in
 * sm_90's code, by tests/kernels/check_turns.py. */
#include "cuda.h"

#include <cstdlib>

static __global__ void asked_kernel(int32_t *nothing)
{
    nc_take_turn();
    *nothing = 0;
}

int nc_cuda_find_early(struct nc_backend *backend)
{
    const char *wanted = getenv("NCLIP_CUDA_EARLY");
    int driver = 0;
    cudaFuncAttributes code = {};
    backend->early = false;
    int status = nc_cuda_check(cudaDriverGetVersion(&driver), "asking for the driver's version");
    if (status == NC_OK)
        status = nc_cuda_check(
            cudaFuncGetAttributes(&code, reinterpret_cast<const void *>(asked_kernel)),
            "asking what a kernel was compiled for");
    if (status == NC_OK)
        backend->early = CUDART_VERSION >= 12030 && driver >= 12030 && backend->major >= 9 &&
                         code.ptxVersion >= 90 && !(wanted && wanted[0] == '0');
    return status;
}
