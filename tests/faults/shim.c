/* A machine with faults, for LD_PRELOAD. What fails is named in the environment:
 *
 *     FAULT_ALLOCATION=N      the Nth allocation of the program finds no memory
 *     FAULT_TRACE=1           and the calls that led there are printed
 *     FAULT_SITES=FILE        nothing fails; at the end FILE lists, for each place that allocates (the
 *                             calls that lead there), the numbers of its first and last allocation
 *     FAULT_NO_EXCHANGE=1     the file system cannot exchange two names, as NFS and Lustre
 *     FAULT_KILL_AT_RENAME=N  SIGKILL after the Nth rename
 *     FAULT_HANGUP=1          a library takes SIGHUP for itself before main(), as UCX does
 *     FAULT_READ=NAME:N       the Nth pread of a file with NAME in its path, and those after it, fail
 *                             as on a bad disk (EIO)
 *     FAULT_SLOW=NAME:N       each pread of a file with NAME in its path takes N milliseconds
 *     FAULT_CLOCK=SECONDS     the clock is so much ahead (negative: set back)
 *
 * Allocations count from the program's first, in its own code and in the libraries that read and
 * write for it, not in those that compute.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <link.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);

/* ---- Which allocations count --------------------------------------------------------------- */

enum { MOST_RANGES = 256, DEPTH = 12, SLOTS = 1 << 16 };

static struct {
    uintptr_t start, end;
    bool computes, own;
} ranges[MOST_RANGES];
static size_t range_count;

static struct {
    uint64_t stack; /* 0: free */
    unsigned first, last;
} sites[SLOTS];

static atomic_uint allocations;
static unsigned failing;
static const char *sites_path;
static bool counting;
static _Thread_local bool inside;

static int add_range(struct dl_phdr_info *information, size_t size, void *context)
{
    static const char *const computing[] = {"libgomp", "libdnnl", "libstdc++", "libmpi", "libopen-",
                                            "ld-linux", "libgcc",  "libcrypto", "libssl", "libcurl",
                                            "libhwloc", "libpmix", "libfaults", "libnccl", "libcuda",
                                            "libevent", "libnss",  "libucp",    "libuc"};
    bool *first = context;
    (void)size;
    for (int i = 0; i < information->dlpi_phnum && range_count < MOST_RANGES; i++) {
        const ElfW(Phdr) *part = &information->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X))
            continue;
        ranges[range_count].start = information->dlpi_addr + part->p_vaddr;
        ranges[range_count].end = ranges[range_count].start + part->p_memsz;
        ranges[range_count].own = *first;
        for (size_t k = 0; k < sizeof computing / sizeof *computing; k++)
            if (strstr(information->dlpi_name, computing[k]))
                ranges[range_count].computes = true;
        range_count++;
    }
    *first = false;
    return 0;
}

static int range_of(uintptr_t address)
{
    for (size_t i = 0; i < range_count; i++)
        if (address >= ranges[i].start && address < ranges[i].end)
            return (int)i;
    return -1;
}

static void swallow(int number)
{
    (void)number;
}

__attribute__((constructor)) static void begin(void)
{
    if (getenv("FAULT_HANGUP"))
        signal(SIGHUP, swallow);
    const char *number = getenv("FAULT_ALLOCATION");
    bool first = true;
    inside = true;
    failing = number ? (unsigned)strtoul(number, NULL, 10) : 0;
    sites_path = getenv("FAULT_SITES");
    dl_iterate_phdr(add_range, &first);
    if (sites_path) { /* loads what it needs */
        void *frames[2];
        backtrace(frames, 2);
    }
    inside = false;
}

static void note_site(unsigned number)
{
    void *frames[DEPTH];
    uint64_t stack = 1469598103934665603u;
    int depth = backtrace(frames, DEPTH);
    for (int i = 3; i < depth; i++)
        stack = (stack ^ (uintptr_t)frames[i]) * 1099511628211u;
    stack += !stack;
    for (size_t slot = stack % SLOTS, tries = 0; tries < SLOTS; slot = (slot + 1) % SLOTS, tries++) {
        if (sites[slot].stack && sites[slot].stack != stack)
            continue;
        if (!sites[slot].stack)
            sites[slot].first = number;
        sites[slot].stack = stack;
        sites[slot].last = number;
        return;
    }
}

/* What is linked into the program and allocates before main(), as CUDA's runtime does, is not the
 * program's own: counting begins with main(). */
static bool started;
static int (*program)(int, char **, char **);

static int begin_main(int count, char **arguments, char **environment)
{
    started = true;
    return program(count, arguments, environment);
}

int __libc_start_main(int (*main)(int, char **, char **), int count, char **arguments,
                      void (*init)(void), void (*finish)(void), void (*loader_finish)(void),
                      void *stack_end)
{
    __typeof__(&__libc_start_main) next =
        (__typeof__(&__libc_start_main))dlsym(RTLD_NEXT, "__libc_start_main");
    program = main;
    return next(begin_main, count, arguments, init, finish, loader_finish, stack_end);
}

/* Whether this allocation is the one that fails. */
static bool fails(const void *caller)
{
    if ((!failing && !sites_path) || inside || !started)
        return false;
    int range = range_of((uintptr_t)caller);
    counting |= range >= 0 && ranges[range].own;
    if (!counting || range < 0 || ranges[range].computes)
        return false;
    unsigned number = ++allocations;
    if (sites_path) {
        inside = true;
        note_site(number);
        inside = false;
    }
    if (number != failing)
        return false;
    if (getenv("FAULT_TRACE")) {
        void *frames[24];
        inside = true;
        backtrace_symbols_fd(frames, backtrace(frames, 24), 2);
        inside = false;
    }
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(block, size);
}

void *reallocarray(void *block, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(block, bytes);
}

__attribute__((destructor)) static void end(void)
{
    if (!sites_path)
        return;
    inside = true;
    FILE *out = fopen(sites_path, "w");
    for (size_t i = 0; out && i < SLOTS; i++) {
        if (sites[i].stack)
            fprintf(out, "%u\n", sites[i].first);
        if (sites[i].stack && sites[i].last != sites[i].first)
            fprintf(out, "%u\n", sites[i].last);
    }
    if (out)
        fclose(out);
}

/* ---- Renames -------------------------------------------------------------------------------- */

static void count_rename(void)
{
    static atomic_uint renames;
    const char *number = getenv("FAULT_KILL_AT_RENAME");
    if (number && ++renames == strtoul(number, NULL, 10))
        kill(getpid(), SIGKILL);
}

int rename(const char *from, const char *to)
{
    long result = syscall(SYS_renameat2, -100, from, -100, to, 0);
    if (result == 0)
        count_rename();
    return (int)result;
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags)
{
    if (flags && getenv("FAULT_NO_EXCHANGE")) {
        errno = EINVAL;
        return -1;
    }
    long result = syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
    if (result == 0)
        count_rename();
    return (int)result;
}

/* ---- Reads ------------------------------------------------------------------------------------ */

/* Whether the file's path has the name in `fault`, "NAME:N"; *number is N. */
static bool is_meant(const char *fault, int file, unsigned long *number)
{
    const char *colon = fault ? strrchr(fault, ':') : NULL;
    char link[64], path[4096], name[256];
    if (!colon || (size_t)(colon - fault) >= sizeof name)
        return false;
    snprintf(name, sizeof name, "%.*s", (int)(colon - fault), fault);
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0)
        return false;
    path[length] = 0;
    *number = strtoul(colon + 1, NULL, 10);
    return strstr(path, name) != NULL;
}

static bool bad_disk(int file)
{
    static atomic_uint reads;
    unsigned long number;
    if (is_meant(getenv("FAULT_SLOW"), file, &number))
        usleep((useconds_t)number * 1000);
    return is_meant(getenv("FAULT_READ"), file, &number) && ++reads >= number;
}

ssize_t pread(int file, void *to, size_t bytes, off_t offset)
{
    if (bad_disk(file)) {
        errno = EIO;
        return -1;
    }
    return syscall(SYS_pread64, file, to, bytes, offset);
}

ssize_t pread64(int file, void *to, size_t bytes, off64_t offset)
{
    return pread(file, to, bytes, offset);
}

/* ---- The clock -------------------------------------------------------------------------------- */

static long ahead(void)
{
    const char *seconds = getenv("FAULT_CLOCK");
    return seconds ? atol(seconds) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    long result = syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && clock == CLOCK_REALTIME)
        now->tv_sec += ahead();
    return (int)result;
}

time_t time(time_t *now)
{
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (now)
        *now = exact.tv_sec;
    return exact.tv_sec;
}
