#!/bin/sh
# Prints the registers, the stack and the spills of every CUDA kernel, and fails where one spills
# registers or keeps an array in local memory.
#   sh tests/kernels/check_spills.sh --built OBJECT ...   as they were built: OBJECT.resources
#   sh tests/kernels/check_spills.sh [FILE.cu ...]        compiled for this alone
# NCLIP_CUDA_ARCHITECTURES (80 90 100) names the architectures; each must have kernels. Skips (77)
# where there is nothing to read and no nvcc.
set -eu
cd "$(dirname "$0")/../.."
architectures=${NCLIP_CUDA_ARCHITECTURES:-80 90 100}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

judge() { # what ptxas said of a file's kernels on standard input, the file
    c++filt | awk -v file="$1" '
        /Compiling entry function/ {
            name = architecture = $0
            sub(/.*Compiling entry function ./, "", name)
            sub(/. for .sm_[0-9a-z]*.$/, "", name)
            sub(/^void /, "", name)
            sub(/.* for ./, "", architecture)
            sub(/[^0-9a-z_]*$/, "", architecture)
            frame = spilled = 0
        }
        /bytes stack frame/ { # of the kernel, or of a function that it calls
            frame += $1
            spilled += $5 + $9
        }
        /Used [0-9]+ registers/ {
            match($0, /Used [0-9]+/)
            registers = substr($0, RSTART + 5, RLENGTH - 5)
            bad = frame + spilled > 0
            printf "%s  %3d registers  %4d stack  %4d spilled  %s: %s%s\n", architecture,
                registers, frame, spilled, file, name, bad ? "  <- SPILLS" : ""
            failed += bad
        }
        END { exit failed > 0 }'
}

compile() { # architecture, files
    architecture=$1
    shift
    for file in "$@"; do
        "$nvcc" -std=c++17 -O3 -Iinclude -DNCLIP_CUBLASLT_FOLDER=\"\" -cubin -Xptxas -v \
            -Werror=all-warnings "-arch=sm_$architecture" -o "$work/cubin.$architecture" "$file" \
            2>"$work/log.$architecture" || {
            cat "$work/log.$architecture"
            return 1
        }
        judge "$file" <"$work/log.$architecture" || : >"$work/failed"
    done
}

if [ "${1-}" = --built ] && [ -e "${2-}.resources" ]; then
    shift
    for object in "$@"; do
        judge "kernels/cuda/$(basename "$object" .o)" <"$object.resources" || : >"$work/failed"
    done >"$work/report"
else
    nvcc=${NVCC:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}
    if [ ! -x "$nvcc" ]; then
        echo "SKIPPED: no nvcc was found"
        exit 77
    fi
    [ $# -gt 0 ] && [ "$1" != --built ] || set -- kernels/cuda/*.cu
    jobs=
    for architecture in $architectures; do
        compile "$architecture" "$@" >"$work/$architecture" 2>&1 &
        jobs="$jobs $!"
    done
    for job in $jobs; do
        wait "$job" || : >"$work/failed"
    done
    for architecture in $architectures; do
        cat "$work/$architecture"
    done >"$work/report"
fi

sort -s -k1,1 "$work/report"
for architecture in $architectures; do
    grep -q "^sm_$architecture[a-z]* " "$work/report" || {
        echo "no kernel was compiled for sm_$architecture"
        : >"$work/failed"
    }
done
[ ! -e "$work/failed" ]
