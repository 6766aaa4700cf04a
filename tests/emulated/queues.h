/* The emulated GPU's queues of work, on which its streams, events, memory and graphs stand. Work
 * that is enqueued runs when somebody waits for it, or by chance earlier. Every function here is
 * called with `lock` held. */
#ifndef NCLIP_TESTS_EMULATED_QUEUES_H
#define NCLIP_TESTS_EMULATED_QUEUES_H

#include "emulated/races.h"
#include "emulated/runtime.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace nc_emulated {

typedef std::function<void()> work;

struct queue {
    unsigned index; /* of the queues ever made */
    std::deque<work> waiting;
    uint64_t enqueued = 0, done = 0;
    nc_emulated_graph *captured_in = nullptr;
    bool joined = true; /* a captured stream's work is waited for by the first */
};

extern std::recursive_mutex lock;
typedef std::lock_guard<std::recursive_mutex> locked;

extern std::vector<std::shared_ptr<queue>> queues;
extern std::vector<nc_emulated_graph *> captures; /* under way */

/* The queue of a stream; NULL is the default stream. */
std::shared_ptr<queue> queue_of(cudaStream_t stream);

/* Runs what waits in the queue until it has done `number` pieces of work. */
void run_until(queue &q, uint64_t number);

/* The host waits: all of the queue has run, and the search for races knows it. */
void wait_for(queue &q);
void wait_for_all();

/* Appends a piece of work to a queue that is not captured. */
void push(queue &q, work one);

/* Makes a capture that is under way unusable, as what waits or allocates does; false: there is
 * none. */
bool capture_broken();

/* Device memory is open to the emulated device while one of these lives, else closed to all
 * (AddressSanitizer reports who touches it). */
struct device_access {
    device_access();
    ~device_access();
};

/* Bytes of device memory in all, and in use. */
enum : size_t { DEVICE_BYTES = size_t{8} << 30 };
extern size_t device_used;

/* Whether the device reads ordinary host memory where it is, when its turn comes. */
bool reads_pageable();

/* Keeps `error` for cudaGetLastError() and returns it. */
cudaError_t failed(cudaError_t error);

} // namespace nc_emulated

struct nc_emulated_node {
    nc_emulated::work run;
    const char *name;
    cudaGraphNodeType type;
    bool early;
};

struct nc_emulated_graph {
    std::vector<nc_emulated_node> nodes;
    cudaStream_t origin;
    bool invalid;
};

struct nc_emulated_stream {
    std::shared_ptr<nc_emulated::queue> queue_of;
};

#endif
