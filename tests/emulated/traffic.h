/* What a kernel moves, counted as the hardware would: a warp's lanes make one request of a load or
 * a store, which costs as many sectors of 32 bytes as it touches in global memory, and as many
 * turns of 128 bytes as its busiest bank has words in shared memory (CUDA C++ Best Practices
 * Guide, "Memory Optimizations"). No cache is modelled: `moved` is what none could save, each
 * sector that a launch reads or writes once, and `sectors` what the caches are asked for.
 *
 * Lanes make a request together when they are at the same place of the program for the same
 * number of times. Counted while nothing is optimised away: as compiled for the CPU. */
#ifndef NCLIP_TESTS_EMULATED_TRAFFIC_H
#define NCLIP_TESTS_EMULATED_TRAFFIC_H

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

struct nc_traffic {
    struct global {
        uint64_t requests, bytes, sectors; /* bytes: different ones of a request, added up */
        uint64_t moved;                    /* bytes of different sectors of a launch, added up */
    } load, store;
    struct {
        uint64_t requests, turns, least; /* least: turns without conflicts */
    } shared;
    uint64_t launches, atomics;
};

/* Counts from here on, by kernel. */
void nc_traffic_begin(void);
const std::map<std::string, nc_traffic> &nc_traffic_end(void);

/* ---- From races.cpp ---- */
extern bool nc_traffic_counting;
void nc_traffic_launch(const char *name);
void nc_traffic_block(void); /* also once after the last */
void nc_traffic_access(const void *place, unsigned thread, uintptr_t address, size_t bytes,
                       bool write, bool shared, bool atomic);

#endif
