#!/bin/sh
# Gives each parser hostile bytes for some minutes, and prints a table.
#   sh tests/fuzz/run.sh MINUTES|COUNTx [NAME ...]
# COUNTx: as many inputs instead (500000x).
# Needs clang with its sanitizers (Debian: clang, libclang-rt-dev, libomp-dev). The build and what the
# search has learned stay in build-fuzz/ (BUILD names another); an input that fails is kept in build-fuzz/findings/NAME/: mend
# the cause, and put it into tests/fuzz/found/NAME/, where ctest replays it. Slow: inputs of 16 KiB at most
# that took 10 seconds or more, which other programs on the machine can bring about.
set -eu
cd "$(dirname "$0")/../.."
build=${BUILD:-$PWD/build-fuzz}
[ $# -ge 1 ] || { sed -n '2,9s/^# *//p' "$0" >&2; exit 2; }
case $1 in
*x) limit=-runs=${1%x} ;;
*) limit=-max_total_time=$(awk "BEGIN { printf \"%d\", 60 * $1 }") ;;
esac
shift
command -v clang >/dev/null || { echo "run.sh: needs clang (apt-get install clang libclang-rt-dev libomp-dev)" >&2; exit 1; }

cmake -S . -B "$build" -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=RelWithDebInfo -DNCLIP_FUZZ=ON \
    -DNCLIP_NATIVE=OFF -DNCLIP_CUDA=OFF -DNCLIP_MPI=OFF \
    -DNCLIP_SANITIZE=fuzzer-no-link,address,undefined >"$build.log" 2>&1 ||
    { tail -n 20 "$build.log" >&2; exit 1; }
mv "$build.log" "$build/configure.log"
cmake --build "$build" -j "$(nproc)" --target fuzzers >"$build/build.log" 2>&1 ||
    { grep -E 'error' "$build/build.log" | head -n 20 >&2; exit 1; }

[ $# -gt 0 ] || set -- $(ls tests/fuzz/*.c | sed 's,.*/\(.*\)\.c,\1,' | grep -vxE 'fuzz|replay')
printf '%-16s %8s %12s %8s %9s %9s %5s\n' parser minutes executions edges corpus findings slow
bad=0
cd tests # harnesses read files of the other tests
for name in "$@"; do
    mkdir -p "$build/corpus/$name" "$build/findings/$name"
    sh fuzz/seeds.sh "$name" "$build/seeds/$name"
    began=$(date +%s)
    found=$(ls "$build/findings/$name" | wc -l)
    slow=$(ls "$build/findings/$name" | grep -c '^slow-' || :)
    ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 OMP_NUM_THREADS=1 \
        "$build/tests/fuzz/fuzz_$name" "$limit" -max_len=16384 -timeout=20 \
        -rss_limit_mb=3000 -print_final_stats=1 -artifact_prefix="$build/findings/$name/" \
        "$build/corpus/$name" "$build/seeds/$name" \
        $([ ! -d "fuzz/found/$name" ] || echo "fuzz/found/$name") >"$build/$name.log" 2>&1 || true
    slow=$(($(ls "$build/findings/$name" | grep -c '^slow-' || :) - slow))
    findings=$(($(ls "$build/findings/$name" | wc -l) - found - slow))
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$build/$name.log")
    edges=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$build/$name.log" | tail -n 1)
    printf '%-16s %8s %12s %8s %9s %9s %5s\n' "$name" \
        "$(awk "BEGIN { printf \"%.1f\", ($(date +%s) - $began) / 60 }")" "${executions:-0}" "${edges:-0}" \
        "$(ls "$build/corpus/$name" | wc -l)" "$findings" "$slow"
    [ "$findings" = 0 ] || { bad=1; grep -m 3 -E 'ERROR|SUMMARY|runtime error|status ' "$build/$name.log" | sed 's/^/    /'; }
done
exit $bad
