#!/bin/sh
# Leaves out every barrier and every wait of the CUDA kernels in turn, one at a time, and runs the
# tests of operations with the search for races (races.h): says which test noticed, and how. What
# nobody notices is not needed, or not tested.
#   sh tests/emulated/barriers.sh [BUILD] [FILE.cu ...]      (build; all of kernels/cuda/)
# Takes a minute for each one that nobody notices, seconds for the others.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=$(cd "${1:-build}" && pwd) || exit 1
[ $# -gt 0 ] && shift
tests=$build/tests/emulated
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT
export NCLIP_TEST_BACKEND=cuda-emulated OMP_NUM_THREADS=1
unnoticed=0

# The tests in the order in which they are likely to know the file.
tests_of() {
    case $1 in
    attention_full*) echo test_attention_full ;;
    attention*) echo test_attention golden_towers ;;
    infonce*) echo test_infonce ;;
    layernorm*) echo test_layernorm ;;
    embedding*) echo test_embedding ;;
    rows*) echo test_rows ;;
    adamw*) echo test_adamw ;;
    rmsprop*) echo test_rmsprop ;;
    sgd*) echo test_sgd ;;
    sigmoid*) echo test_sigmoid ;;
    activation*) echo test_activation ;;
    device*) echo test_races ;;
    *) echo test_linear test_memory test_infonce ;;
    esac
}

notice() { # FILE:LINE: who notices, and how
    for test in $(tests_of "$1"); do
        for shared in 227 99; do # KiB that a block may have; some kernels have a variant for few
            (cd tests && NCLIP_EMULATED_WITHOUT=$1 NCLIP_EMULATED_SHARED=$shared timeout 300 \
                "$tests/races_$test" >"$answer" 2>&1) && continue
            how=$(grep -aom 1 'a race: .*\|reads [0-9]* bytes.*nobody wrote' "$answer")
            [ "$how" ] || how="a test fails"
            echo "$test: ${how#a }"
            return
        done
    done
    echo "UNNOTICED"
}

[ $# -gt 0 ] || set -- kernels/cuda/*.cu kernels/cuda/*.h
for file; do
    order='nc_barrier\(\)|nc_warp_barrier\(\)|nc_cp_async_wait<|nc_last_block\(arr'
    for line in $(grep -nE "$order" "$file" | cut -d: -f1); do
        name=$(basename "$file"):$line
        who=$(notice "$name")
        [ "$who" = UNNOTICED ] && unnoticed=$((unnoticed + 1))
        printf '%-34s %s\n' "$name" "$who"
    done
done
echo "$unnoticed unnoticed"
