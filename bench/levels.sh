#!/bin/sh
# What the levels of processor cost, in training steps of ViT-B/32's text tower: bf16 against fp32 where
# bf16 is widened (AVX2, SSE4.1), and the default build, which carries every level, against one for this
# processor alone (-DNCLIP_NATIVE=ON, in build/native). Keeps the result in bench/results/levels-cpu.json.
#   sh bench/levels.sh [PAIRS]        (7; about two minutes for each three on two cores, and a build)
# The two of a pair run one after the other, and the next pair the other way round, so that a machine that
# others use slows both alike; a figure is the median of the pairs' ratios, of captions a second and of
# processor time. What else ran meanwhile is told by the load.
set -eu
cd "$(dirname "$0")/.."
pairs=${1:-7}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
cmake --preset default >/dev/null
cmake --preset default -B build/native -DNCLIP_NATIVE=ON -DNCLIP_CUDA=OFF >/dev/null
for build in build build/native; do
    cmake --build $build --parallel "$(sh third_party/jobs.sh)" --target nclip-bench >/dev/null
done

# Captions a second and the processor's seconds of one run.
run() { # build, precision, level and oneDNN's instruction set, or - for what is chosen
    (
        [ "$3" = - ] || export NCLIP_CPU="$3" ONEDNN_MAX_CPU_ISA="$4"
        "$1/nclip-bench" train --shape ViT-B/32 --batch 128 --steps 2 --precision "$2" --json 2>"$folder/log" ||
            { cat "$folder/log" >&2 && exit 1; }
        times
    ) | awk -f bench/rate.awk
}

# NAME, of one side, then of the other: build, precision, level, instruction set.
compare() {
    name=$1 a="$2 $3 $4 $5" b="$6 $7 $8 $9"
    : >"$folder/$name"
    for pair in $(seq "$pairs"); do
        # shellcheck disable=SC2086
        if [ $((pair % 2)) = 1 ]; then
            of_a=$(run $a) && of_b=$(run $b)
        else
            of_b=$(run $b) && of_a=$(run $a)
        fi
        echo "$of_a $of_b $(cut -d ' ' -f 1 /proc/loadavg)" >>"$folder/$name"
    done
    awk -v name="$name" -f bench/pairs.awk "$folder/$name" >"$folder/$name.json"
    sed 's/, "pairs.*//; s/^{//' "$folder/$name.json" >&2
    echo >&2
}
compare bf16-over-fp32-AVX2 build bf16 v3 AVX2 build fp32 v3 AVX2
compare bf16-over-fp32-SSE4.1 build bf16 v2 SSE41 build fp32 v2 SSE41
compare default-over-native-bf16 build bf16 - - build/native bf16 - -
compare default-over-native-fp32 build fp32 - - build/native fp32 - -

result=bench/results/levels-cpu.json
{
    printf '{"commit": "%s", "processor": "%s", "cores": %s,\n' \
        "$(git describe --always --dirty 2>/dev/null || echo unknown)" \
        "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)"
    printf '"a pair": "captions/s and seconds of processor time, of the first and the second; load",\n'
    printf '"comparisons": [\n'
    separator=
    for name in bf16-over-fp32-AVX2 bf16-over-fp32-SSE4.1 default-over-native-bf16 default-over-native-fp32; do
        printf '%s' "$separator"
        cat "$folder/$name.json"
        separator=',
'
    done
    printf '\n]}\n'
} >"$result.partial"
mv "$result.partial" "$result"
echo "$result" >&2
