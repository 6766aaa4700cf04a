#!/bin/sh
# Prints how many compilers this machine can run at once: as many as it has cores, and 1 GB of free memory
# for each, which leaves room for the largest kernels. Limits of the control group count, as in containers.
#   cmake --build build -j "$(sh third_party/jobs.sh)"
set -u

cores=$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
memory=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo 2>/dev/null) # MiB

group=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup 2>/dev/null)
[ -e "$group/cpu.max" ] || group=/sys/fs/cgroup # as seen from inside of a container
if read -r quota period 2>/dev/null <"$group/cpu.max" && [ "$quota" != max ]; then
    allowed=$(((quota + period - 1) / period))
    [ "$allowed" -ge "$cores" ] || cores=$allowed
fi
if read -r limit 2>/dev/null <"$group/memory.max" && [ "$limit" != max ]; then
    read -r used 2>/dev/null <"$group/memory.current" || used=0
    allowed=$(((limit - used) / 1048576))
    [ "$allowed" -ge "${memory:-$allowed}" ] || memory=$allowed
fi

jobs=$((${memory:-1024} / 1024))
[ "$jobs" -le "$cores" ] || jobs=$cores
[ "$jobs" -ge 1 ] || jobs=1
echo "$jobs"
