#!/bin/sh
# Times zero-shot classes and retrieval from a store, and keeps the result in
# bench/results/evaluate.json. Run nothing else meanwhile. Takes a few seconds.
#   sh bench/evaluate.sh [nclip-bench evaluate options]
set -eu
cd "$(dirname "$0")/.."
cmake --preset default >/dev/null
cmake --build build --parallel "$(sh third_party/jobs.sh)" --target nclip-bench >/dev/null
run=$(build/nclip-bench evaluate --json "$@")
commit=$(git describe --always --dirty 2>/dev/null || echo unknown)
processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
result=bench/results/evaluate.json
printf '{"commit": "%s", "processor": "%s", "cores": %s, "run": %s}\n' "$commit" "$processor" "$(nproc)" "$run" \
    >"$result.partial"
mv "$result.partial" "$result"
echo "$result" >&2
