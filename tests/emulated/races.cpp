/* Races between a kernel's threads and between queues, and reads of what was never written
 * (races.h).
 *
 * Time is a counter, `tick`, that moves on whenever something is put in order: at the start of a
 * launch, of a block, at a barrier, at a warp's barrier. For every two bytes of shared and global
 * memory a cell keeps the newest write and the newest reads, each with its tick; whether it is
 * ordered before an access that comes now follows from comparing its tick with those of the last
 * start and the last barriers. */
#include "emulated/races.h"
#include "emulated/traffic.h"
#include "kernels/cuda/device.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

/* ---- What is remembered of memory --------------------------------------------------------- */

enum : uint16_t {
    ATOMIC = 1,
    LANES = 2,       /* several lanes of the warp, not ordered among themselves */
    WARPS = 4,       /* several warps of the block */
    BLOCKS = 8,      /* several blocks of the launch */
    ON_ITS_WAY = 16, /* a cp.async that was not waited for */
};
constexpr uint16_t NO_THREAD = 0xffff; /* a copy, a library's product */
enum { WARPS_OF_A_BLOCK = 32 };

struct visit {
    uint32_t tick;  /* 0: none yet */
    uint32_t place; /* in the program's text; 0: not known */
    uint16_t thread, flags;
};

struct cell {
    visit write, read;
};
enum : size_t { CELL = 2 };

struct region {
    uintptr_t first, end;
    cell *cells;
    size_t mapped;
    bool shared;
};

static std::vector<region> &regions = *new std::vector<region>; /* global memory, by address */
static region block_memory;                                     /* the block's shared memory */
static uint32_t tick = 1;

static cell *map_cells(size_t bytes, size_t *mapped)
{
    *mapped = (bytes / CELL + 2) * sizeof(cell);
    void *cells = mmap(nullptr, *mapped, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (cells == MAP_FAILED) {
        perror("cuda-emulated: no memory to find races in");
        abort();
    }
    return static_cast<cell *>(cells);
}

static bool before(uintptr_t address, const region &one)
{
    return address < one.first;
}

void nc_races_allocated(const void *data, size_t bytes)
{
    region one = {reinterpret_cast<uintptr_t>(data), reinterpret_cast<uintptr_t>(data) + bytes,
                  nullptr, 0, false};
    one.cells = map_cells(bytes, &one.mapped);
    regions.insert(std::upper_bound(regions.begin(), regions.end(), one.first, before), one);
}

void nc_races_released(const void *data)
{
    for (size_t i = 0; i < regions.size(); i++)
        if (regions[i].first == reinterpret_cast<uintptr_t>(data)) {
            munmap(regions[i].cells, regions[i].mapped);
            regions.erase(regions.begin() + static_cast<ptrdiff_t>(i));
            return;
        }
}

static const region *region_of(uintptr_t address)
{
    if (address >= block_memory.first && address < block_memory.end)
        return &block_memory;
    auto after = std::upper_bound(regions.begin(), regions.end(), address, before);
    if (after == regions.begin() || address >= (after - 1)->end)
        return nullptr;
    return &*(after - 1);
}

/* ---- Queues ------------------------------------------------------------------------------- */

/* A kernel or a copy: from `first` on, until the next one's. */
struct launch {
    uint32_t first;
    unsigned queue;
    uint64_t number; /* of the queue's work */
    const char *name;
};

struct queue_order {
    uint64_t number = 0;         /* of the work that runs, or ran last */
    nc_races_clock knows;        /* what happened before it */
    std::vector<uint32_t> first; /* each work's first tick, from number 1 on */
};

static std::vector<launch> &launches = *new std::vector<launch>;
static std::vector<queue_order> &queue_orders = *new std::vector<queue_order>;
static nc_races_clock &host_knows = *new nc_races_clock;
static std::vector<unsigned> &running = *new std::vector<unsigned>; /* queues; the last one runs */
static uint32_t unordered_from; /* all that was before this tick happened before what runs now */

static void join(nc_races_clock &to, const nc_races_clock &from)
{
    if (to.size() < from.size())
        to.resize(from.size());
    for (size_t i = 0; i < from.size(); i++)
        to[i] = std::max(to[i], from[i]);
}

static uint64_t known(const nc_races_clock &clock, size_t queue)
{
    return queue < clock.size() ? clock[queue] : 0;
}

static void find_unordered()
{
    const nc_races_clock &knows = queue_orders[running.back()].knows;
    unordered_from = UINT32_MAX;
    for (size_t i = 0; i < queue_orders.size(); i++) {
        uint64_t next = known(knows, i); /* first[next] is the first tick of number next + 1 */
        if (i != running.back() && next < queue_orders[i].first.size())
            unordered_from = std::min(unordered_from, queue_orders[i].first[next]);
    }
}

static void start(unsigned queue, const nc_races_clock &host)
{
    if (queue_orders.size() <= queue)
        queue_orders.resize(queue + 1);
    queue_order &order = queue_orders[queue];
    running.push_back(queue);
    order.number++;
    order.first.push_back(++tick);
    join(order.knows, host);
    order.knows.resize(std::max<size_t>(order.knows.size(), queue + 1));
    order.knows[queue] = order.number;
    find_unordered();
}

std::function<void()> nc_races_enqueued(unsigned queue, std::function<void()> work)
{
    auto host = std::make_shared<nc_races_clock>(host_knows);
    return [queue, host, work] {
        start(queue, *host);
        work();
        running.pop_back();
        if (!running.empty())
            find_unordered();
    };
}

void nc_races_reached(nc_races_clock *moment)
{
    *moment = queue_orders[running.back()].knows;
}

void nc_races_wait_for(const nc_races_clock &moment)
{
    join(queue_orders[running.back()].knows, moment);
    find_unordered();
}

void nc_races_host_waited(unsigned queue)
{
    if (queue < queue_orders.size())
        join(host_knows, queue_orders[queue].knows);
}

void nc_races_host_waited(const nc_races_clock &moment)
{
    join(host_knows, moment);
}

/* ---- Order within a launch ------------------------------------------------------------------ */

static uint32_t launch_start, block_start, last_barrier; /* of what is in global memory */
static uint32_t shared_start;                            /* of the block's shared memory */
static uint32_t warp_barrier[WARPS_OF_A_BLOCK];
static bool in_atomic;

static void move_on()
{
    if (++tick == UINT32_MAX) {
        fprintf(stderr, "cuda-emulated: too long a run to find races in\n");
        abort();
    }
}

void nc_races_launch(const char *name)
{
    move_on();
    launch_start = block_start = last_barrier = tick;
    unsigned queue = running.empty() ? 0 : running.back();
    launches.push_back(
        {tick, queue, queue < queue_orders.size() ? queue_orders[queue].number : 0, name});
    block_memory.end = block_memory.first = 0;
    if (nc_traffic_counting)
        nc_traffic_launch(name);
}

void nc_races_block(const void *shared, size_t bytes)
{
    static size_t most;
    move_on();
    if (nc_traffic_counting)
        nc_traffic_block();
    block_start = shared_start = last_barrier = tick;
    if (most < bytes) {
        block_memory.cells = map_cells(bytes, &block_memory.mapped); /* few sizes: not given back */
        most = bytes;
    }
    block_memory.first = reinterpret_cast<uintptr_t>(shared);
    block_memory.end = block_memory.first + bytes;
    block_memory.shared = true;
}

void nc_races_barrier(void)
{
    move_on();
    last_barrier = tick;
}

void nc_races_blocks_joined(void)
{
    move_on();
    launch_start = last_barrier = block_start = tick;
}

void nc_races_warp_barrier(unsigned warp)
{
    move_on();
    warp_barrier[warp] = tick;
}

void nc_races_atomic(bool begins)
{
    in_atomic = begins;
}

/* ---- What is said of a race ------------------------------------------------------------------ */

extern "C" const char __executable_start;

static uint32_t place_of(const void *address)
{
    return static_cast<uint32_t>(static_cast<const char *>(address) - &__executable_start);
}

/* file:line, by binutils' addr2line where there is one. */
static std::string name_of(uint32_t place)
{
    if (!place)
        return "";
    char command[128], line[512] = "";
    char self[256];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = 0;
    snprintf(command, sizeof command, "addr2line -i -s -e '%.80s' 0x%x 2>/dev/null", self,
             place - 1);
    std::string where;
    FILE *answer = popen(command, "r");
    while (answer && fgets(line, sizeof line, answer)) { /* from the innermost outwards */
        line[strcspn(line, " \n")] = 0;
        where += (where.empty() ? "" : " from ") + std::string(line);
    }
    if (answer)
        pclose(answer);
    if (where.empty() || where[0] == '?') {
        snprintf(line, sizeof line, "0x%x", place);
        where = line;
    }
    return " at " + where;
}

static const launch &launch_of(uint32_t when)
{
    auto after =
        std::upper_bound(launches.begin(), launches.end(), when,
                         [](uint32_t number, const launch &one) { return number < one.first; });
    return *(after - 1);
}

[[noreturn]] static void say(const region &where, uintptr_t at, size_t bytes, bool write,
                             const visit &now, const visit &other, bool other_wrote,
                             const char *missing)
{
    std::string who = "thread " + std::to_string(other.thread);
    std::string self = now.thread == NO_THREAD ? std::string(launches.back().name) + " " : "";
    if (other.tick < launch_start)
        who = launch_of(other.tick).name;
    else if (other.tick < block_start || other.flags & BLOCKS)
        who = "another block (" + who + ")";
    nc_emulated_fail(
        nullptr, 0, "a race: %s%s %zu bytes%s, %zu bytes into %s memory, which %s %s%s, and %s",
        self.c_str(), write ? "writes" : "reads", bytes, name_of(now.place).c_str(),
        static_cast<size_t>(at - where.first), where.shared ? "shared" : "global", who.c_str(),
        other_wrote ? "wrote" : "read", name_of(other.place).c_str(), missing);
}

[[noreturn]] static void say_unwritten(const region &where, uintptr_t at, size_t bytes,
                                       const visit &now)
{
    nc_emulated_fail(nullptr, 0, "reads %zu bytes%s, %zu bytes into %s memory, which nobody wrote",
                     bytes, name_of(now.place).c_str(), static_cast<size_t>(at - where.first),
                     where.shared ? "shared" : "global");
}

/* ---- An access ------------------------------------------------------------------------------- */

/* What should have put `old` before an access by `thread` that comes now; NULL: it is before. */
static const char *missing_order(const visit &old, uint16_t thread, const region &where)
{
    if (!old.tick || (where.shared && old.tick < shared_start))
        return nullptr;
    if (old.tick < launch_start) {
        if (old.tick < unordered_from)
            return nullptr;
        const launch &one = launch_of(old.tick);
        if (running.empty() || one.queue == running.back() ||
            known(queue_orders[running.back()].knows, one.queue) >= one.number)
            return nullptr;
        return "no mark orders the queues";
    }
    if (thread == NO_THREAD)
        return nullptr;
    if (old.flags & ON_ITS_WAY)
        return "that copy was not waited for";
    if (old.tick < (where.shared ? shared_start : block_start) || old.flags & BLOCKS)
        return "nothing orders blocks";
    if (old.tick < last_barrier)
        return nullptr;
    unsigned warp = thread / NC_WARP;
    if (old.flags & WARPS || old.thread / NC_WARP != warp)
        return "no nc_barrier is between them";
    if (old.tick < warp_barrier[warp] || (old.thread == thread && !(old.flags & LANES)))
        return nullptr;
    return "no nc_warp_barrier is between them";
}

/* `now` beside what the cell knew of reads: flags say how many readers `now` stands for. */
static void note_read(visit &read, visit now, bool shared)
{
    uint32_t start = shared ? shared_start : block_start;
    if (read.tick >= (shared ? shared_start : launch_start)) {
        unsigned warp = now.thread / NC_WARP;
        bool unordered = read.tick >= last_barrier || read.flags & BLOCKS;
        if (read.tick < start || read.flags & BLOCKS)
            now.flags |= BLOCKS;
        if (read.tick < start)
            unordered = true;
        else if (read.tick >= last_barrier) {
            if (read.flags & WARPS || read.thread / NC_WARP != warp)
                now.flags |= WARPS;
            else if (read.tick >= warp_barrier[warp] &&
                     (read.flags & LANES || read.thread != now.thread))
                now.flags |= LANES;
        }
        if (unordered && !(read.flags & ATOMIC)) /* one that is not is enough */
            now.flags &= static_cast<uint16_t>(~ATOMIC);
    }
    read = now;
}

enum async { NO_COPY, COPY_BEGINS, COPY_ENDS };

static void touch(const void *address, size_t bytes, bool write, const void *place,
                  enum async async = NO_COPY)
{
    uintptr_t at = reinterpret_cast<uintptr_t>(address);
    const region *where = region_of(at);
    if (!where || !bytes)
        return;
    uint16_t thread = nc_emulated_now ? static_cast<uint16_t>(nc_emulated_now->number) : NO_THREAD;
    if (nc_emulated_now && nc_emulated_now->early && !where->shared)
        nc_emulated_fail(
            nullptr, 0, "%s %zu bytes%s, %zu bytes into global memory, before its turn",
            write ? "writes" : "reads", bytes, name_of(place ? place_of(place) : 0).c_str(),
            static_cast<size_t>(at - where->first));
    if (nc_traffic_counting && nc_emulated_now && async != COPY_ENDS)
        nc_traffic_access(place, thread, at, bytes, write, where->shared, in_atomic);
    visit now = {tick, place ? place_of(place) : 0, thread,
                 static_cast<uint16_t>(in_atomic ? ATOMIC : 0)};
    cell *last = where->cells + (at - where->first + bytes - 1) / CELL;
    for (cell *one = where->cells + (at - where->first) / CELL; one <= last; one++) {
        const char *missing = nullptr;
        if (!write && thread != NO_THREAD && one->write.tick < (where->shared ? shared_start : 1))
            say_unwritten(*where, at, bytes, now);
        if (async == COPY_ENDS && one->write.thread == thread)
            one->write.flags = 0;
        if (!(in_atomic && one->write.flags & ATOMIC))
            missing = missing_order(one->write, thread, *where);
        if (missing)
            say(*where, at, bytes, write, now, one->write, true, missing);
        if (!write) {
            note_read(one->read, now, where->shared);
            continue;
        }
        missing = in_atomic && one->read.flags & ATOMIC ? nullptr
                                                        : missing_order(one->read, thread, *where);
        if (missing)
            say(*where, at, bytes, write, now, one->read, false, missing);
        one->write = now;
        if (async == COPY_BEGINS)
            one->write.flags = ON_ITS_WAY;
    }
}

void nc_races_read(const void *at, size_t bytes, const void *place)
{
    touch(at, bytes, false, place);
}

void nc_races_write(const void *at, size_t bytes, const void *place)
{
    touch(at, bytes, true, place);
}

void nc_races_copy(const void *shared, size_t bytes, bool ends, const void *place)
{
    touch(shared, bytes, true, place, ends ? COPY_ENDS : COPY_BEGINS);
}

/* ---- The calls that -fsanitize=thread inserts -------------------------------------------------
 * Host code of the same files calls them too: no thread runs then. Atomics are the host's only:
 * kernels have nc_atomic_*. */

#define SEEN(bytes, write)                                                                         \
    if (nc_emulated_now)                                                                           \
    touch(at, bytes, write, __builtin_return_address(0))

#define SIZE(n)                                                                                    \
    void __tsan_read##n(void *at)                                                                  \
    {                                                                                              \
        SEEN(n, false);                                                                            \
    }                                                                                              \
    void __tsan_write##n(void *at)                                                                 \
    {                                                                                              \
        SEEN(n, true);                                                                             \
    }                                                                                              \
    void __tsan_unaligned_read##n(void *at)                                                        \
    {                                                                                              \
        SEEN(n, false);                                                                            \
    }                                                                                              \
    void __tsan_unaligned_write##n(void *at)                                                       \
    {                                                                                              \
        SEEN(n, true);                                                                             \
    }

extern "C" {
SIZE(1)
SIZE(2)
SIZE(4)
SIZE(8)
SIZE(16)
void __tsan_read_range(void *at, size_t bytes)
{
    SEEN(bytes, false);
}
void __tsan_write_range(void *at, size_t bytes)
{
    SEEN(bytes, true);
}
uint64_t __tsan_atomic64_load(const volatile uint64_t *at, int order)
{
    (void)order;
    return __atomic_load_n(at, __ATOMIC_SEQ_CST);
}
void __tsan_atomic64_store(volatile uint64_t *at, uint64_t value, int order)
{
    (void)order;
    __atomic_store_n(at, value, __ATOMIC_SEQ_CST);
}
void __tsan_init(void) {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit(void) {}
void __tsan_vptr_update(void **, void *) {}
void __tsan_vptr_read(void **) {}
}
