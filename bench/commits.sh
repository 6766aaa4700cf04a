#!/bin/sh
# What a change costs in training steps of ViT-L/14's text tower: two commits, built apart and timed in
# pairs. Keeps the result in bench/results/commits-NAME.json. Run nothing else meanwhile.
#   sh bench/commits.sh NAME BEFORE AFTER [PAIRS [nclip-bench train options]]
# 15 pairs, of bf16 steps of 512 captions, unless others are given; about a minute and a half for each pair
# on two cores, and two builds. The two of a pair run one after the other, and the next pair the other way
# round, so that a machine that others use slows both alike; a figure is the median of the pairs' ratios,
# AFTER over BEFORE, of captions a second and of processor time. FOLDER keeps the builds.
set -eu
cd "$(dirname "$0")/.."
[ $# -ge 3 ] || { sed -n '2,9s/^# *//p' "$0" >&2; exit 2; }
name=$1
before=$(git rev-parse --short "$2")
after=$(git rev-parse --short "$3")
pairs=${4:-15}
[ $# -le 4 ] || shift 4
case $1 in --*) ;; *) set -- --batch 512 --steps 2 --precision bf16 ;; esac
work=$(mktemp -d)
folder=${FOLDER:-$work/builds}
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
mkdir -p "$folder"
for commit in $before $after; do
    [ ! -x "$folder/$commit/build/nclip-bench" ] || continue
    mkdir -p "$folder/$commit"
    git archive "$commit" | tar xf - -C "$folder/$commit"
    (
        cd "$folder/$commit"
        cmake --preset default -DNCLIP_CUDA=OFF >/dev/null
        cmake --build build --parallel "$(sh third_party/jobs.sh)" --target nclip-bench >"$work/build.log" 2>&1
    ) || { tail -n 20 "$work/build.log" >&2; exit 1; }
done

run() { # commit: captions a second, and the processor's seconds
    (
        "$folder/$1/build/nclip-bench" train --shape ViT-L/14 $options --json 2>"$work/log" ||
            { cat "$work/log" >&2 && exit 1; }
        times
    ) | awk -f bench/rate.awk
}
options=$*
for pair in $(seq "$pairs"); do
    if [ $((pair % 2)) = 1 ]; then
        of_before=$(run "$before") && of_after=$(run "$after")
    else
        of_after=$(run "$after") && of_before=$(run "$before")
    fi
    echo "$of_after $of_before $(cut -d ' ' -f 1 /proc/loadavg)" >>"$work/pairs"
    echo "pair $pair: captions/s after ${of_after% *}, before ${of_before% *}" >&2
done

result=${RESULT:-bench/results/commits-$name.json}
{
    printf '{"before": "%s", "after": "%s", "options": "%s", "processor": "%s", "cores": %s,\n' "$before" "$after" \
        "$options" "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)"
    printf '"a pair": "captions/s and seconds of processor time, after and before; load",\n"after_over_before": '
    awk -v name="$name" -f bench/pairs.awk "$work/pairs"
    printf '}\n'
} >"$result.partial"
mv "$result.partial" "$result"
sed 's/, "pairs.*//' "$result" >&2
echo "$result" >&2
