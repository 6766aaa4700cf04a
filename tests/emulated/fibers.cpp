/* Blocks of threads on one CPU thread: each thread of a block is a fiber with a stack of its
 * own. Whenever one waits, chance picks the next among those that can go on. Blocks run one
 * after another, in a shuffled order, each with fresh shared memory full of NaNs. */
#include "kernels/cuda/device.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#ifdef NC_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

nc_emulated_thread *nc_emulated_now;
nc_emulated_block nc_emulated_here;

/* ---- Limits of sm_90 (CUDA C++ Programming Guide, "Compute Capabilities") ----------------- */

enum : size_t {
    MOST_THREADS = 1024,
    STACK_BYTES = 256 * 1024,
};

/* ---- Fibers -------------------------------------------------------------------------------- */

enum class state { ready, at_barrier, in_collective, done };

struct copy {
    void *shared;
    const void *global;
    bool valid;
};

struct fiber : nc_emulated_thread {
    void *stack_pointer;
    const char *stack; /* lowest address */
    size_t stack_bytes;
    void *fake_stack;
    enum state state;
    const char *waits_for, *file;
    int line;
    void (*run)(void *const lane[32], uint32_t living);
    void *argument;
    std::vector<std::vector<copy>> groups; /* of cp.async, oldest first; the last is open */
};

/* Never destroyed: they last as long as the program. The block's are the first `threads`. */
static std::vector<fiber *> &fibers = *new std::vector<fiber *>;
static std::vector<fiber *> &ready = *new std::vector<fiber *>;
static unsigned threads, living, at_barrier;
static fiber main_fiber; /* who launched: the program's own stack */
static fiber *came_from;
static const char *kernel_name = "";
static bool launched_early;
static const std::function<void()> *thread_body;

static fiber *now()
{
    return static_cast<fiber *>(nc_emulated_now);
}

static void say_where(const char *file, int line)
{
    fprintf(stderr, "cuda-emulated: %s", kernel_name);
    if (nc_emulated_now)
        fprintf(stderr, ": block (%u, %u, %u), thread (%u, %u, %u)", blockIdx.x, blockIdx.y,
                blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
    if (file)
        fprintf(stderr, ", %s:%d", file, line);
}

static void say_seed()
{
    fprintf(stderr, "\n(NCLIP_EMULATED_SEED=%llu repeats this order)\n",
            static_cast<unsigned long long>(nc_emulated_seed()));
}

void nc_emulated_fail(const char *file, int line, const char *format, ...)
{
    say_where(file, line);
    fputs(": ", stderr);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    say_seed();
    abort();
}

#ifdef NC_ADDRESS_SANITIZER
static void say_where_it_died()
{
    if (!*kernel_name)
        return;
    say_where(nullptr, 0);
    say_seed();
}
#endif

/* Saves what a call preserves, and goes on where `to` was saved. */
extern "C" void nc_emulated_switch(void **from, void *to);

#if defined(__x86_64__)
asm(R"(
    .text
    .globl nc_emulated_switch
    .type nc_emulated_switch, @function
nc_emulated_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size nc_emulated_switch, .-nc_emulated_switch
)");

static void *first_frame(char *top, void (*entry)())
{
    void **frame = reinterpret_cast<void **>(top) - 1;
    *frame = nullptr; /* where `entry` would return to: the stack is aligned as after a call */
    *--frame = reinterpret_cast<void *>(entry);
    for (int i = 0; i < 6; i++)
        *--frame = nullptr;
    return frame;
}
#elif defined(__aarch64__)
asm(R"(
    .text
    .globl nc_emulated_switch
    .type nc_emulated_switch, %function
nc_emulated_switch:
    sub sp, sp, #160
    stp x19, x20, [sp]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
    .size nc_emulated_switch, .-nc_emulated_switch
)");

static void *first_frame(char *top, void (*entry)())
{
    void **frame = reinterpret_cast<void **>(top - 160);
    for (int i = 0; i < 20; i++)
        frame[i] = nullptr;
    frame[11] = reinterpret_cast<void *>(entry); /* x30 */
    return frame;
}
#else
#error "the emulation switches stacks by hand: x86-64 and aarch64 only"
#endif

/* Tells the sanitizer whose stack this is now, and learns where the launching one lies. */
static void arrive(fiber *self)
{
#ifdef NC_ADDRESS_SANITIZER
    const void *bottom;
    size_t size;
    __sanitizer_finish_switch_fiber(self->fake_stack, &bottom, &size);
    if (came_from == &main_fiber) {
        main_fiber.stack = static_cast<const char *>(bottom);
        main_fiber.stack_bytes = size;
    }
#else
    (void)self;
#endif
}

static void switch_to(fiber *to)
{
    fiber *from = nc_emulated_now ? now() : &main_fiber;
    if (from == to)
        return;
    nc_emulated_now = to == &main_fiber ? nullptr : to;
    came_from = from;
#ifdef NC_ADDRESS_SANITIZER
    __sanitizer_start_switch_fiber(&from->fake_stack, to->stack, to->stack_bytes);
#endif
    nc_emulated_switch(&from->stack_pointer, to->stack_pointer);
    arrive(from);
}

static fiber *next_fiber();

/* A fiber runs one thread after another, so that each returns through its own frames. */
static void fiber_main()
{
    arrive(now());
    for (;;) {
        (*thread_body)();
        fiber *self = now();
        if (self->early)
            nc_emulated_fail(nullptr, 0, "a thread of an early launch returns before its turn");
        self->state = state::done;
        living--;
        switch_to(next_fiber());
    }
}

static fiber *new_fiber()
{
    static const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    void *memory = mmap(nullptr, STACK_BYTES + page, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, page, PROT_NONE) != 0) {
        perror("cuda-emulated: no memory for the stack of a thread");
        abort();
    }
    fiber *created = new fiber();
    char *stack = static_cast<char *>(memory) + page;
    created->stack = stack;
    created->stack_bytes = STACK_BYTES;
    created->stack_pointer = first_frame(stack + STACK_BYTES, fiber_main);
    return created;
}

/* ---- Waiting -----------------------------------------------------------------------------------
 */

static void make_ready(fiber *one)
{
    one->state = state::ready;
    ready.push_back(one);
}

/* The warp's collective takes place once all its living lanes wait in it. */
static void try_collective(unsigned warp)
{
    void *argument[32] = {};
    uint32_t lanes = 0;
    fiber *first = nullptr;
    unsigned end = min(threads, (warp + 1) * 32);
    for (unsigned i = warp * 32; i < end; i++) {
        fiber *lane = fibers[i];
        if (lane->state == state::done)
            continue;
        if (lane->state != state::in_collective)
            return;
        if (!first)
            first = lane;
        else if (lane->waits_for != first->waits_for || lane->run != first->run ||
                 lane->line != first->line || lane->file != first->file) {
            nc_emulated_now = lane;
            nc_emulated_fail(lane->file, lane->line,
                             "waits in %s while thread %u of the same warp waits in %s at %s:%d",
                             lane->waits_for, first->number, first->waits_for, first->file,
                             first->line);
        }
        argument[i % 32] = lane->argument;
        lanes |= 1u << i % 32;
    }
    if (!lanes)
        return;
    if (first->run)
        first->run(argument, lanes);
    else /* nc_warp_barrier: the others order no accesses to memory */
        nc_races_warp_barrier(warp);
    for (unsigned i = warp * 32; i < end; i++)
        if (fibers[i]->state == state::in_collective)
            make_ready(fibers[i]);
}

static fiber *next_fiber()
{
    /* a thread that ends may be the one that others waited for */
    if (now()->state == state::done)
        try_collective(now()->number / 32);
    if (ready.empty() && living == 0)
        return &main_fiber;
    if (ready.empty()) {
        fiber *stuck = nullptr, *other = nullptr;
        for (unsigned i = 0; i < threads; i++) {
            fiber *one = fibers[i];
            if (one->state == state::at_barrier)
                stuck = one;
            else if (one->state == state::in_collective)
                other = one;
        }
        if (!other) { /* all who live are at the barrier */
            for (unsigned i = 0; i < threads; i++)
                if (fibers[i]->state == state::at_barrier) {
                    if (fibers[i]->line != stuck->line || fibers[i]->file != stuck->file) {
                        nc_emulated_now = stuck;
                        nc_emulated_fail(stuck->file, stuck->line,
                                         "is at this barrier while thread %u is at the one at "
                                         "%s:%d",
                                         fibers[i]->number, fibers[i]->file, fibers[i]->line);
                    }
                    make_ready(fibers[i]);
                }
            at_barrier = 0;
            nc_races_barrier();
        } else {
            nc_emulated_now = other;
            if (stuck)
                nc_emulated_fail(other->file, other->line,
                                 "waits in %s while thread %u is at the barrier at %s:%d",
                                 other->waits_for, stuck->number, stuck->file, stuck->line);
            nc_emulated_fail(other->file, other->line, "waits in %s for ever", other->waits_for);
        }
    }
    size_t pick = nc_emulated_random(ready.size());
    fiber *next = ready[pick];
    ready[pick] = ready.back();
    ready.pop_back();
    return next;
}

bool nc_emulated_without(const char *name, const char *file, int line)
{
    static const char *const without = getenv("NCLIP_EMULATED_WITHOUT");
    static const char *const what = without ? strrchr(without, ':') : nullptr;
    if (!what || (atoi(what + 1) != line && strcmp(what + 1, name) != 0))
        return false;
    size_t length = static_cast<size_t>(what - without), path = strlen(file);
    return path >= length && strncmp(file + path - length, without, length) == 0;
}

void nc_emulated_barrier(const char *file, int line)
{
    if (nc_emulated_without("nc_barrier", file, line))
        return;
    fiber *self = now();
    self->state = state::at_barrier;
    self->waits_for = "nc_barrier";
    self->file = file;
    self->line = line;
    at_barrier++;
    switch_to(next_fiber());
}

void nc_emulated_collective(const char *name, void (*run)(void *const lane[32], uint32_t living),
                            void *argument, const char *file, int line)
{
    fiber *self = now();
    self->state = state::in_collective;
    self->waits_for = name;
    self->file = file;
    self->line = line;
    self->run = run;
    self->argument = argument;
    try_collective(self->number / 32);
    switch_to(next_fiber());
}

int nc_emulated_lane(void)
{
    return static_cast<int>(now()->number % 32);
}

/* ---- cp.async
 * ------------------------------------------------------------------------------------ */

void nc_cp_async16(void *shared, const void *global, bool valid, const char *file, int line)
{
    nc_emulated_aligned(shared, 16, file, line);
    if (valid)
        nc_emulated_aligned(global, 16, file, line);
    char *to = static_cast<char *>(shared);
    unsigned char *first = nc_emulated_here.shared;
    if (to < reinterpret_cast<char *>(first) ||
        to + 16 > reinterpret_cast<char *>(first) + nc_emulated_here.shared_bytes)
        nc_emulated_fail(file, line, "nc_cp_async16 writes outside of the block's shared memory");
    nc_races_copy(shared, 16, false, __builtin_return_address(0));
    if (valid)
        nc_races_read(global, 16, __builtin_return_address(0));
    memset(to, 0xff, 16);
    if (now()->groups.empty())
        now()->groups.emplace_back();
    now()->groups.back().push_back({shared, global, valid});
}

void nc_cp_async_commit(void)
{
    if (now()->groups.empty())
        now()->groups.emplace_back();
    now()->groups.emplace_back();
}

void nc_emulated_cp_async_wait(int groups)
{
    auto &all = now()->groups; /* the open one does not count */
    while (all.size() > static_cast<size_t>(groups) + 1) {
        for (const copy &one : all.front()) {
            nc_races_copy(one.shared, 16, true, __builtin_return_address(0));
            if (one.valid)
                memcpy(one.shared, one.global, 16);
            else
                memset(one.shared, 0, 16);
        }
        all.erase(all.begin());
    }
}

/* ---- Launching
 * ------------------------------------------------------------------------------------- */

void nc_emulated_check_launch(const char *name, dim3 grid, dim3 block, size_t shared_bytes)
{
    const char *was = kernel_name;
    kernel_name = name;
    size_t count = static_cast<size_t>(block.x) * block.y * block.z;
    if (!count || count > MOST_THREADS || block.z > 64)
        nc_emulated_fail(nullptr, 0, "a block of %u x %u x %u threads; there can be 1 to 1024",
                         block.x, block.y, block.z);
    if (!grid.x || !grid.y || !grid.z || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
        nc_emulated_fail(nullptr, 0,
                         "a grid of %u x %u x %u; there can be 1 to 2147483647 x 65535 x 65535",
                         grid.x, grid.y, grid.z);
    if (shared_bytes > nc_emulated_most_shared())
        nc_emulated_fail(nullptr, 0, "%zu bytes of shared memory; a block can have %zu",
                         shared_bytes, nc_emulated_most_shared());
    kernel_name = was;
}

static void run_block()
{
    ready.clear();
    living = threads;
    at_barrier = 0;
    for (unsigned i = 0; i < threads; i++) {
        fiber *one = fibers[i];
        dim3 size = nc_emulated_here.size;
        one->number = i;
        one->index = {i % size.x, i / size.x % size.y, i / size.x / size.y};
        one->groups.clear();
        one->early = launched_early;
        make_ready(one);
    }
    size_t pick = nc_emulated_random(ready.size());
    fiber *first = ready[pick];
    ready[pick] = ready.back();
    ready.pop_back();
    switch_to(first);
}

void nc_emulated_run(const char *name, bool early, dim3 grid, dim3 block, size_t shared_bytes,
                     const std::function<void()> &thread)
{
    if (nc_emulated_now)
        nc_emulated_fail(nullptr, 0, "a kernel launches %s", name);
#ifdef NC_ADDRESS_SANITIZER
    static bool announced;
    if (!announced) {
        __sanitizer_set_death_callback(say_where_it_died);
        announced = true;
    }
#endif
    threads = block.x * block.y * block.z;
    while (fibers.size() < threads)
        fibers.push_back(new_fiber());
    void *shared = nullptr;
    if (posix_memalign(&shared, 128, shared_bytes) != 0) {
        perror("cuda-emulated: no shared memory");
        abort();
    }
    kernel_name = name;
    thread_body = &thread;
    launched_early = early;
    nc_races_launch(name);
    nc_emulated_here = {grid, block, {}, static_cast<unsigned char *>(shared), shared_bytes};

    size_t blocks = static_cast<size_t>(grid.x) * grid.y * grid.z;
    nc_emulated_take(static_cast<int64_t>(blocks)); /* by the clock of events */
    std::vector<uint32_t> order(blocks);
    std::iota(order.begin(), order.end(), 0u);
    for (size_t i = blocks; i-- > 0;) {
        std::swap(order[i], order[nc_emulated_random(i + 1)]);
        uint32_t number = order[i];
        nc_emulated_here.index = {number % grid.x, number / grid.x % grid.y,
                                  number / grid.x / grid.y};
        memset(shared, 0xff, shared_bytes);
        nc_races_block(shared, shared_bytes);
        run_block();
    }
    free(shared);
    kernel_name = "";
}
