#!/bin/sh
# Compiles every CUDA kernel for sm_80, sm_90 and sm_100, prints the registers, the stack and
# the barriers of each, and fails where one spills registers or keeps an array in local memory.
#   sh tests/kernels/check_spills.sh [FILE.cu ...]
# Skips (77) where there is no nvcc.
set -eu
cd "$(dirname "$0")/../.."
nvcc=${NVCC:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}
if [ ! -x "$nvcc" ]; then
    echo "SKIPPED: no nvcc was found"
    exit 77
fi
[ $# -gt 0 ] || set -- kernels/cuda/*.cu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

check() { # architecture, files
    architecture=$1
    shift
    failed=0
    for file in "$@"; do
        "$nvcc" -std=c++17 -O3 -Iinclude -DNCLIP_CUBLASLT_FOLDER=\"\" -cubin -Xptxas -v \
            -Werror=all-warnings "-arch=sm_$architecture" -o "$work/cubin.$architecture" "$file" \
            2>"$work/log.$architecture" || {
            cat "$work/log.$architecture"
            return 1
        }
        c++filt <"$work/log.$architecture" | awk -v file="$file" -v architecture="$architecture" '
            /Compiling entry function/ {
                name = $0
                sub(/.*Compiling entry function ./, "", name)
                sub(/. for .sm_[0-9a-z]*.$/, "", name)
                sub(/^void /, "", name)
            }
            /bytes stack frame/ {
                frame = $1; stores = $5; loads = $9
            }
            /Used [0-9]+ registers/ {
                match($0, /Used [0-9]+/)
                registers = substr($0, RSTART + 5, RLENGTH - 5)
                bad = frame + stores + loads > 0
                printf "sm_%s  %3d registers  %4d stack  %4d spilled  %s: %s%s\n", architecture,
                    registers, frame, stores + loads, file, name, bad ? "  <- SPILLS" : ""
                failed += bad
            }
            END { exit failed > 0 }' || failed=1
    done
    return $failed
}

architectures=${NCLIP_CUDA_ARCHITECTURES:-80 90 100}
jobs=
for architecture in $architectures; do
    check "$architecture" "$@" >"$work/$architecture" 2>&1 &
    jobs="$jobs $!"
done
status=0
for job in $jobs; do
    wait "$job" || status=1
done
for architecture in $architectures; do
    cat "$work/$architecture"
done
exit $status
