#!/bin/sh
# Cross-builds nclip for aarch64 in a bare root of Debian, and runs the unit and golden tests under qemu-user.
#   sh tests/fresh/aarch64.sh [SUITE] [ctest options]        (trixie)
# The vector types of kernels/cpu/vector.h must have become NEON: that is read from the kernels' objects.
# A line with each result; exit code 0, 1, or 77 with SKIPPED and the reason. What was printed is kept in
# NCLIP_ROOTS (root.sh). qemu computes every instruction's result as the processor would, many times slower.
# The CUDA kernels are compiled for aarch64's hosts too (CUDA's `sbsa`) where this machine has a toolkit, in
# CUDA_PATH or /usr/local/cuda: each file to an object, with its warnings as errors. They have nothing to run on.
set -eu
cd "$(dirname "$0")/../.."
. "$PWD/tests/fresh/root.sh"
suite=trixie
case ${1:-} in '' | -*) ;; *) suite=$1 && shift ;; esac
log=$NCLIP_ROOTS/aarch64.log

reason=$(root_missing "$suite")
if [ -n "$reason" ]; then
    echo "SKIPPED: aarch64: $reason"
    exit 77
fi
mkdir -p "$NCLIP_ROOTS"
root=$(mktemp -d "$NCLIP_ROOTS/aarch64.XXXXXX")
trap 'rm -rf --one-file-system "$root"' EXIT
trap 'exit 130' INT TERM HUP
root_make "$suite" "$root" || exit 1
root_clone "$root"

failed() {
    printf '%-9s %-11s %-7s %4s s   %s\n' aarch64 "$1" FAILED $(($(date +%s) - began)) "${2:-}"
    echo "$log ends with:"
    tail -n 60 "$log"
    exit 1
}

began=$(date +%s)
# shellcheck disable=SC2016
root_enter "$root" sh -euc '
    dpkg --add-architecture arm64
    apt-get update -q
    libraries=
    for package in $(sh /nclip/third_party/install.sh --list); do
        case $package in *-dev) libraries="$libraries $package:arm64" ;; esac
    done
    apt-get install -y -q --no-install-recommends gcc-aarch64-linux-gnu g++-aarch64-linux-gnu \
        pkg-config qemu-user libgomp1:arm64 $libraries
' >"$log" 2>&1 || failed packages
# Without a C++ compiler: the emulation of a GPU, itself emulated, would take hours.
# shellcheck disable=SC2016
root_enter "$root" sh -euc '
    cd /nclip
    cmake -S . -B build -DCMAKE_TOOLCHAIN_FILE=third_party/aarch64.cmake -DCMAKE_BUILD_TYPE=Release \
        -DNCLIP_NATIVE=OFF -DNCLIP_MPI=OFF -DNCLIP_CUDA=OFF -DCMAKE_CXX_COMPILER=NOTFOUND
    cmake --build build --parallel "$(sh third_party/jobs.sh)"
' >>"$log" 2>&1 || failed build
printf '%-9s %-11s %-7s %4s s\n' aarch64 build ok $(($(date +%s) - began))

# Where a kernel multiplies and adds, it does so by vectors of four floats; one by one only what it does once
# a row.
began=$(date +%s)
# shellcheck disable=SC2016
root_enter "$root" sh -euc '
    cd /nclip/build/CMakeFiles/nclip_cpu_neon.dir/kernels/cpu
    count() { grep -cE "\<$1\>" code || :; }
    for kernel in activation adamw attention attention_backward infonce layernorm product rows widened; do
        aarch64-linux-gnu-objdump -d --no-show-raw-insn $kernel.c.o >code
        vectors=$(count "fml[as][[:space:]]+v[0-9]+\.4s") numbers=$(count "fn?m(add|sub)[[:space:]]+s[0-9]+")
        echo "$kernel: $vectors multiply-adds of four floats, $numbers of one"
        [ "$vectors" -gt $((2 * numbers)) ]
    done
    rm code
' >>"$log" 2>&1 || failed neon
printf '%-9s %-11s %-7s %4s s   %s\n' aarch64 neon ok $(($(date +%s) - began)) \
    "$(grep -c 'multiply-adds of four floats' "$log") kernels multiply and add by vectors"

began=$(date +%s)
# shellcheck disable=SC2016
root_enter "$root" sh -euc 'cd /nclip && exec ctest --test-dir build --parallel "$(nproc)" --output-on-failure \
    -L "unit|golden" "$@"' sh "$@" >>"$log" 2>&1 || failed tests "$(grep 'tests passed' "$log" | tail -n 1)"
printf '%-9s %-11s %-7s %4s s   %s\n' aarch64 tests ok $(($(date +%s) - began)) \
    "$(grep 'tests passed' "$log" | tail -n 1)"

toolkit=$(readlink -f "${CUDA_PATH:-/usr/local/cuda}")
if [ ! -x "$toolkit/bin/nvcc" ]; then
    printf 'SKIPPED: aarch64: the CUDA kernels: there is no CUDA toolkit in %s\n' "$toolkit"
    exit 0
fi
began=$(date +%s)
# shellcheck disable=SC2016
ROOT_SHOWS=$toolkit:/opt/cuda root_enter "$root" sh -euc '
    cd /nclip
    for file in kernels/cuda/*.cu; do
        echo "$file"
        /opt/cuda/bin/nvcc -std=c++17 -O3 -arch=sm_90 -Iinclude -I/opt/cuda/include \
            "-DNCLIP_CUBLASLT_FOLDER=\"\"" -ccbin aarch64-linux-gnu-g++ -Werror=all-warnings \
            -Xcompiler=-Wall,-Wextra,-Wno-missing-field-initializers,-fno-exceptions \
            -c "$file" -o object.o
        aarch64-linux-gnu-objdump -f object.o | grep -q "architecture: aarch64"
    done
' >>"$log" 2>&1 || failed cuda
printf '%-9s %-11s %-7s %4s s   every kernel compiled for compute capability 9.0, none run\n' aarch64 cuda ok \
    $(($(date +%s) - began))
