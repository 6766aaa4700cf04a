/* Reads the peak of resident memory from the system. */
#include "nclip/support/process.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

size_t nc_process_peak_bytes(void)
{
    char line[256];
    size_t kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %zu kB", &kilobytes) == 1)
            break;
    if (file)
        fclose(file);
    return kilobytes * 1024;
}

/* The number in a file of one; SIZE_MAX where there is none ("max"). */
static size_t number_in(const char *folder, const char *name)
{
    char path[1024];
    size_t number = SIZE_MAX;
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/%s", folder, name);
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "%zu", &number) != 1)
        number = SIZE_MAX;
    if (file)
        fclose(file);
    return number;
}

/* What the control group and those above it (version 2) leave, as schedulers of jobs set it. */
static size_t group_bytes(void)
{
    char line[768], *folder = NULL;
    size_t least = SIZE_MAX;
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file && !folder && fgets(line, sizeof line, file))
        if (strncmp(line, "0::/", 4) == 0)
            folder = line + 3;
    if (file)
        fclose(file);
    if (folder)
        folder[strcspn(folder, "\n")] = 0;
    while (folder && *folder) {
        size_t most = number_in(folder, "memory.max"), used = number_in(folder, "memory.current");
        if (most != SIZE_MAX && used != SIZE_MAX) {
            size_t left = most > used ? most - used : 0;
            least = left < least ? left : least;
        }
        *strrchr(folder, '/') = 0;
    }
    return least;
}

size_t nc_process_free_bytes(void)
{
    char line[256];
    size_t kilobytes = 0, group = group_bytes();
    FILE *file = fopen("/proc/meminfo", "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %zu kB", &kilobytes) == 1)
            break;
    if (file)
        fclose(file);
    return kilobytes * 1024 < group ? kilobytes * 1024 : group;
}

bool nc_process_hold_standard_streams(void)
{
    for (int descriptor = 0; descriptor <= 2; descriptor++) {
        if (fcntl(descriptor, F_GETFD) >= 0)
            continue;
        /* The lowest number that is free: this one. */
        if (open("/dev/null", descriptor == 0 ? O_WRONLY : O_RDWR) != descriptor)
            return false;
    }
    return true;
}
