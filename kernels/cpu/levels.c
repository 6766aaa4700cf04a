/* Which level of processor the kernels are taken for: the highest that this one has, or the one that
 * the environment variable NCLIP_CPU names. Chosen when a backend opens; the same each time. */
#include "../backends.h"
#include "cpu.h"
#include "nclip/devices.h"
#include "nclip/support/error.h"
#include "onednn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- What each needs ---------------------------------------------------------------- */

#if defined(__x86_64__)
/* The x86-64 psABI's levels, by those of their features that no processor of the level before has
 * all of. */
static inline bool has_v2(void)
{
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
}

static inline bool has_v3(void)
{
    return has_v2() && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}

static inline bool has_v4(void)
{
    return has_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}
#endif

/* What every processor has that this build is for: what the compiler makes for this kind of machine, or
 * for this very one; NEON is part of every aarch64. */
__attribute__((unused)) static bool has_all(void)
{
    return true;
}
#define has_generic has_all
#define has_native has_all
#define has_neon has_all

/* ---- The levels of this build ------------------------------------------------------- */

#define LEVEL(name) int NC_JOIN(nc_cpu_open, name)(struct nc_ops * ops);
NCLIP_CPU_LEVELS
#undef LEVEL

#define LEVEL(name) {#name, has_##name, NC_JOIN(nc_cpu_open, name)},
static const struct level {
    const char *name;
    bool (*has)(void);
    int (*open)(struct nc_ops *ops);
} levels[] = {NCLIP_CPU_LEVELS}; /* from the least to the most */
#undef LEVEL

enum { LEVELS = sizeof levels / sizeof *levels };

static const struct level *highest(void)
{
    const struct level *found = NULL;
    for (size_t i = 0; i < LEVELS; i++)
        if (levels[i].has())
            found = &levels[i];
    return found;
}

static void level_names(char *names, size_t size)
{
    *names = 0;
    for (size_t i = 0; i < LEVELS; i++) {
        size_t used = strlen(names);
        snprintf(names + used, size - used, "%s%s", i ? ", " : "", levels[i].name);
    }
}

static int choose(const struct level **level)
{
    const char *wanted = getenv("NCLIP_CPU");
    *level = highest();
    if (!*level)
        return nc_error(NC_FAILED, "this processor lacks instructions that all kernels of this program "
                        "use (%s is the least); build with -DNCLIP_NATIVE=ON on it", levels[0].name);
    if (!wanted || !*wanted)
        return NC_OK;
    for (size_t i = 0; i < LEVELS; i++)
        if (strcmp(levels[i].name, wanted) == 0) {
            if (!levels[i].has())
                return nc_error(NC_USAGE, "NCLIP_CPU asks for %s, but this processor has no more than "
                                "%s: choose that, or leave the variable out", wanted,
                                (*level)->name);
            *level = &levels[i];
            return NC_OK;
        }
    char names[128];
    level_names(names, sizeof names);
    return nc_error(NC_USAGE, "NCLIP_CPU is \"%s\"; the kernels of this program are for: %s", wanted,
                    names);
}

/* ---- The backend -------------------------------------------------------------------- */

int nc_cpu_create(int device, struct nc_ops *ops)
{
    (void)device;
    const struct level *level;
    int status = choose(&level);
    return status == NC_OK ? level->open(ops) : status;
}

void nc_cpu_destroy(struct nc_backend *backend)
{
    if (backend)
        backend->close(backend);
}

int nc_cpu_describe(struct nc_cpu_support *support)
{
    const struct level *level;
    *support = (struct nc_cpu_support){0};
    nc_onednn_describe(support);
    level_names(support->levels, sizeof support->levels);
    int status = choose(&level);
    if (status == NC_OK)
        support->level = level->name;
    return status;
}
