/* Finds accesses to memory that nothing puts in order, as compute-sanitizer's racecheck does on
 * a GPU, whatever order chance chose: a test need not compute nonsense to fail. Also reads by
 * kernels of what nobody wrote, as its initcheck does.
 *
 * The kernels are compiled with -fsanitize=thread and linked without its library: the calls
 * that the compiler inserts at each load and store arrive in races.cpp. Two accesses to one
 * place, at least one of them a write and not both atomic, must be ordered:
 *   in a block     by nc_barrier, or within a warp by nc_warp_barrier. Shuffles, votes, mma and
 *                  ldmatrix order nothing (CUDA C++ Programming Guide, "Warp Shuffle Functions")
 *   across blocks  by nc_last_block, and nothing else
 *   across queues  by an event, or a host that waited
 * Not seen is what a kernel leaves to the C library: memcpy and memset of more than 8 bytes.
 * A kernel that was launched early touches no global memory before nc_take_turn().
 * A cp.async writes twice, when it is issued and when its thread waits for it, and nobody may
 * touch its place in between.
 *
 * Without NCLIP_EMULATED_RACES all of this is empty. */
#ifndef NCLIP_TESTS_EMULATED_RACES_H
#define NCLIP_TESTS_EMULATED_RACES_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

/* How far each queue is, as somebody knows: everything up to there happened before. */
typedef std::vector<uint64_t> nc_races_clock;
typedef std::shared_ptr<nc_races_clock> nc_races_moment;

#ifdef NCLIP_EMULATED_RACES

/* ---- Memory ---- */
void nc_races_allocated(const void *data, size_t bytes);
void nc_races_released(const void *data);

/* ---- Queues: `queue` counts from 0 ---- */
/* `work`, which runs after all that the host has waited for until now. */
std::function<void()> nc_races_enqueued(unsigned queue, std::function<void()> work);
/* Called by work that runs: what has happened by now; and that it happened before what follows. */
void nc_races_reached(nc_races_clock *moment);
void nc_races_wait_for(const nc_races_clock &moment);
/* The host has waited for the queue, as far as it is; for a moment. */
void nc_races_host_waited(unsigned queue);
void nc_races_host_waited(const nc_races_clock &moment);

/* ---- What runs: a kernel, a copy ---- */
void nc_races_launch(const char *name);
void nc_races_block(const void *shared, size_t bytes);
void nc_races_barrier(void);
/* This block came last of those that count together: what any block of the launch did until now
 * happened before. (Those that it counted with return, so that nothing of theirs comes later.) */
void nc_races_blocks_joined(void);
void nc_races_warp_barrier(unsigned warp);
/* By this thread, at `place` of the program's text; outside of a kernel: by all of it. */
void nc_races_read(const void *at, size_t bytes, const void *place = nullptr);
void nc_races_write(const void *at, size_t bytes, const void *place = nullptr);
/* This thread's cp.async to shared memory begins; it has been waited for. */
void nc_races_copy(const void *shared, size_t bytes, bool ends, const void *place);
/* This thread's accesses from one to the other are one atomic operation. */
void nc_races_atomic(bool begins);

#else

static inline void nc_races_allocated(const void *, size_t) {}
static inline void nc_races_released(const void *) {}
static inline std::function<void()> nc_races_enqueued(unsigned, std::function<void()> work)
{
    return work;
}
static inline void nc_races_reached(nc_races_clock *) {}
static inline void nc_races_wait_for(const nc_races_clock &) {}
static inline void nc_races_host_waited(unsigned) {}
static inline void nc_races_host_waited(const nc_races_clock &) {}
static inline void nc_races_launch(const char *) {}
static inline void nc_races_block(const void *, size_t) {}
static inline void nc_races_barrier(void) {}
static inline void nc_races_blocks_joined(void) {}
static inline void nc_races_warp_barrier(unsigned) {}
static inline void nc_races_read(const void *, size_t, const void * = nullptr) {}
static inline void nc_races_write(const void *, size_t, const void * = nullptr) {}
static inline void nc_races_copy(const void *, size_t, bool, const void *) {}
static inline void nc_races_atomic(bool) {}

#endif

/* For as long as it lives. */
struct nc_races_atomically {
    nc_races_atomically()
    {
        nc_races_atomic(true);
    }
    ~nc_races_atomically()
    {
        nc_races_atomic(false);
    }
};

#endif
