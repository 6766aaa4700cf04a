#!/bin/sh
# Times a training step on one rank and on two, with and without a sharded optimizer, holds the
# model's prediction against it, and keeps the result in bench/results/. Run nothing else meanwhile.
# Takes about 4 minutes on two cores. With --accumulate also one step of a batch of 65,536 in pieces
# of 256, which takes half an hour.
#   sh bench/scale.sh [--accumulate] [nclip-bench scale options]
set -eu
cd "$(dirname "$0")/.."
accumulate=
if [ "${1:-}" = --accumulate ]; then
    accumulate=yes
    shift
fi
bench=build/nclip-bench
cmake --preset default >/dev/null
cmake --build build --parallel "$(sh third_party/jobs.sh)" --target nclip-bench >/dev/null
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT INT TERM
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
half=$(($(nproc) / 2))
[ $half -gt 0 ] || half=1

"$bench" scale --json "$@" >"$folder/1-one" 2>"$folder/log" || { cat "$folder/log" >&2; exit 1; }
run() { # name, arguments
    name=$1
    shift
    OMP_NUM_THREADS=$half mpirun --oversubscribe --bind-to none -n 2 "$bench" scale --json "$@" \
        >"$folder/$name" 2>"$folder/log" || { cat "$folder/log" >&2; exit 1; }
}
run 2-two "$@"
run 3-sharded --shard-optimizer "$@"
[ -z "$accumulate" ] ||
    "$bench" scale --batch 65536 --micro-batch 256 --steps 1 --cold --json >"$folder/4-accumulated" 2>"$folder/log"

number() { # file, key
    grep -o "\"$2\": *[0-9.e+-]*" "$1" | head -n 1 | grep -o '[0-9.e+-]*$'
}
for file in "$folder"/[1-4]-*; do
    echo "$(basename "$file" | cut -c3-): $(number "$file" seconds_per_step) s a step," \
        "$(number "$file" captions_per_second) captions/s" >&2
done
for file in "$folder"/2-two "$folder"/3-sharded; do
    echo "$(basename "$file" | cut -c3-): $(number "$file" measured_to_predicted) times the model's prediction" >&2
done
result=bench/results/scale-cpu.json
{
    printf '{"commit": "%s", "processor": "%s", "cores": %s, "runs": [\n' \
        "$(git describe --always --dirty 2>/dev/null || echo unknown)" \
        "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)"
    separator=
    for file in "$folder"/[1-4]-*; do
        printf '%s' "$separator"
        tr -d '\n' <"$file"
        separator=',
'
    done
    printf '\n]}\n'
} >"$result.partial"
mv "$result.partial" "$result"
echo "$result" >&2
