#!/bin/sh
# Builds nclip and passes every test. Needs no GPU, no Python and no network
# once the packages are there.
#   sh tests/run.sh [ctest options]      (-C fresh: also the quick start in bare roots, tests/fresh/)
# CUDA kernels are compiled for one kind of GPU, the tests' own: those of `cmake --preset default` remain
# where they have been built.
set -eu
cd "$(dirname "$0")/.."
# MPI is no must for nclip, but for its tests on many ranks.
sh third_party/install.sh libopenmpi-dev openmpi-bin iproute2 procps
# The kind of GPU that is there, or one: to compile CUDA kernels for all takes three times as long.
architectures=$(sed -n 's/^NCLIP_CUDA_ARCHITECTURES:[A-Z]*=//p' build/CMakeCache.txt 2>/dev/null || :)
case $architectures in '' | native)
    architectures=90
    ! nvidia-smi --query-gpu=compute_cap --format=csv,noheader >/dev/null 2>&1 || architectures=native
    ;;
esac
began=$(date +%s)
cmake --preset default "-DNCLIP_CUDA_ARCHITECTURES=$architectures" >/dev/null
cmake --build build --parallel "$(sh third_party/jobs.sh)"
built=$(date +%s)

rm -f build/Testing/Temporary/LastTest.log build/tests.log
status=0
ctest --test-dir build --parallel "$(nproc)" --output-on-failure --output-log build/tests.log "$@" || status=$?

# What was skipped and why, what took longest, and ctest's closing line once more.
log=build/Testing/Temporary/LastTest.log
[ -e "$log" ] || exit $status
skipped=$(grep -h SKIPPED "$log" | sed 's/^ *//' | sort | uniq -c | sort -rn)
[ -z "$skipped" ] || printf '\nSkipped, with how many tests or parts of tests:\n%s\n' "$skipped"
printf '\nThe ten slowest, in seconds (compiling took %s):\n' $((built - began))
awk '/^[0-9]+\/[0-9]+ Test(ing)?: / { name = $3 } /^Test time = / { printf "%8.2f  %s\n", $4, name }' "$log" |
    sort -rn | head -n 10
printf '\n%s\n' "$(grep 'tests passed' build/tests.log)"
exit $status
