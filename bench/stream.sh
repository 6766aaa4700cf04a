#!/bin/sh
# Reads and trains on stores larger than memory, and keeps the result in bench/results/stream.json. Run
# nothing else meanwhile.
#   FOLDER=/scratch/stream sh bench/stream.sh [ROWS_64 [ROWS_768]]
# ROWS_64 (100,000,000: 13 GB, with a set of 5 GB beside it) rows of 64 columns, and a tenth of them;
# ROWS_768 (20,000,000: 31 GB) rows of 768. They are made in FOLDER (default: a temporary one, removed
# at the end; a FOLDER that is named is kept and taken again). A disk that lacks the room wants fewer.
set -eu
cd "$(dirname "$0")/.."
many=${1:-100000000}
wide=${2:-20000000}
bench=$PWD/build/nclip-bench
nclip=$PWD/build/nclip
model=$PWD/configs/quickstart/model
cmake --preset default >/dev/null
cmake --build build --parallel "$(sh third_party/jobs.sh)" --target nclip nclip-bench >/dev/null
folder=${FOLDER:-}
child=
work=$(mktemp -d)
trap '[ -z "$child" ] || kill -9 $child 2>/dev/null || :
    rm -rf "$work"' EXIT INT TERM
[ "$folder" ] || folder=$work/data
mkdir -p "$folder"

# The program itself, from its command to the first step, and what it holds half a minute later.
train() { # name of the data, pool_bytes
    rm -rf "$work/run"
    begun=$(date +%s%N)
    "$nclip" train --model "$model" --examples "$folder/$1/set" --out "$work/run" --quiet \
        --set precision=fp32 --set batch_size=512 --set validation_fraction=0 --set epochs=3 --set pool_bytes="$2" \
        >/dev/null 2>"$work/message" &
    child=$!
    while [ ! -s "$work/run/metrics.jsonl" ]; do # written at most a second after the step
        kill -0 $child 2>/dev/null || { cat "$work/message" >&2; exit 1; }
        sleep 0.05
    done
    first=$(($(date +%s%N) - begun))
    sleep "${SECONDS_TRAINED:-30}"
    anonymous=$(sed -n 's/^RssAnon:[^0-9]*\([0-9]*\) kB/\1/p' /proc/$child/status)
    pool=$(sed -n 's/^pool_bytes: //p' "$work/run/config.yaml")
    steps=$(wc -l <"$work/run/metrics.jsonl")
    kill -TERM $child
    wait $child 2>/dev/null || :
    child=
    awk -v first=$first -v anonymous="$anonymous" -v pool="$pool" -v steps="$steps" 'BEGIN {
        printf "{\"first_step_seconds\": %.2f, \"anonymous_bytes\": %.0f, \"pool_bytes\": %.0f, ", first / 1e9, anonymous * 1024, pool
        printf "\"anonymous_beside_pool_bytes\": %.0f, \"steps\": %d}", anonymous * 1024 - pool, steps }'
}

tenth=$((many / 10))
"$bench" stream --folder "$folder/wide" --rows "$wide" --dimension 768 --json >"$work/wide.json"
"$bench" stream --folder "$folder/many" --rows "$many" --dimension 64 --model "$model" --json >"$work/many.json"
"$bench" stream --folder "$folder/tenth" --rows $tenth --dimension 64 --model "$model" --make-only
# With the pool that is chosen, into which the tenth fits; and with one that holds neither, where a pool is
# full after some seconds and what lies beside it can be told.
small=268435456
train many 0 >"$work/many.train"
train tenth 0 >"$work/tenth.train"
train many $small >"$work/many.small"
train tenth $small >"$work/tenth.small"
# Decoding as bench/embed.sh measured it, where it did.
decode=$(sed -n 's/.*"decode_one_core":\([0-9.]*\),.*/\1/p' bench/results/embed-cpu-*.json 2>/dev/null | head -n 1)
"$bench" stream --plan 400000000x768 --json \
    --decode "${decode:-550}" \
    --disk "$(sed 's/.*"block_order":\[{"readers":1,"bytes_per_second":\([0-9.e+]*\),.*/\1/' "$work/wide.json" |
        awk '{ printf "%.0f", $1 / 1e6 }')" \
    --prepare "$(sed 's/.*"prepare_captions_per_second_and_core":\([0-9.e+]*\),.*/\1/' "$work/many.json")" >"$work/plan.json"

commit=$(git describe --always --dirty 2>/dev/null || echo unknown)
processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
memory=$(awk '/^MemTotal/ { printf "%.0f", $2 * 1024 }' /proc/meminfo)
result=${RESULT:-bench/results/stream.json}
{
    printf '{"commit": "%s", "processor": "%s", "cores": %s, "memory_bytes": %s,\n' "$commit" "$processor" "$(nproc)" "$memory"
    printf '"wide": %s,\n"many": %s,\n' "$(cat "$work/wide.json")" "$(cat "$work/many.json")"
    printf '"train_many": %s,\n"train_tenth": %s,\n' "$(cat "$work/many.train")" "$(cat "$work/tenth.train")"
    printf '"train_many_small_pool": %s,\n"train_tenth_small_pool": %s,\n' "$(cat "$work/many.small")" "$(cat "$work/tenth.small")"
    printf '"plan": %s}\n' "$(cat "$work/plan.json")"
} >"$result.partial"
mv "$result.partial" "$result"
echo "$result" >&2
