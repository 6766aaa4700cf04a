/* Reads the peak of resident memory from the system. */
#include "nclip/support/process.h"

#include <fcntl.h>
#include <stdio.h>

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
