/* A cuDNN of the tests' own behind kernels/cuda/cudnn.h, which computes what our attention does:
 * for who asks when cuDNN is opened, and which attention is taken. It is not there unless a test
 * says so. */
#ifndef NCLIP_TESTS_EMULATED_VISION_H
#define NCLIP_TESTS_EMULATED_VISION_H

#include <cstdint>

struct nc_emulated_cudnn {
    bool there;
    uint64_t slow; /* microseconds that it takes */
    unsigned opened, closed, asked;
};
extern struct nc_emulated_cudnn nc_emulated_cudnn;

#endif
