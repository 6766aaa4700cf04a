#!/bin/sh
# Times nclip scan beside wc -w, which reads the same words, both on one core, and its memory for
# ten times the captions; keeps the result in bench/results/scan.json. Run nothing else meanwhile.
# Takes about a minute.
#   sh bench/scan.sh [LINES]
# wc counts in the locale C.UTF-8, as people run it, and in C, where it is faster.
set -eu
cd "$(dirname "$0")/.."
lines=${1:-600000}
runs=7
cmake --preset default >/dev/null
cmake --build build --parallel "$(sh third_party/jobs.sh)" --target nclip >/dev/null
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT INT TERM

# Captions of COCO's and VALSE's kind and length, 1% of them with a negation.
awk -v lines="$lines" 'BEGIN {
    srand(1)
    subjects = split("man woman dog cat bird child street kitchen train bus giraffe zebra pizza " \
        "bathroom skateboarder surfer player couple group horse", subject, " ")
    verbs = split("sitting standing riding holding eating walking looking playing lying parked", verb, " ")
    places = split("on a bench;next to a tree;with a red umbrella;in the snow;near the ocean " \
        "under a cloudy sky;on top of a wooden table;in front of a large building;at night;while " \
        "people watch from behind a fence;with two other people", place, ";")
    denials = split("There are no people in the picture.;A table without any plates.;It is not a " \
        "dog.;The man isn\047t wearing a hat.", denial, ";")
    for (i = 0; i < lines; i++)
        if (rand() < 0.01)
            print denial[1 + int(rand() * denials)]
        else
            print "A " subject[1 + int(rand() * subjects)] " " verb[1 + int(rand() * verbs)] " " \
                place[1 + int(rand() * places)] " and a " subject[1 + int(rand() * subjects)] " " \
                place[1 + int(rand() * places)] "."
}' >"$folder/captions.txt"
awk '{ printf "{\"image\": \"COCO_train2014_%012d.jpg\", \"caption\": \"%s\"}\n", NR, $0 }' \
    "$folder/captions.txt" >"$folder/captions.jsonl"
for i in 1 2 3 4 5 6 7 8 9 10; do cat "$folder/captions.txt"; done >"$folder/ten.txt"
for i in 1 2 3 4 5 6 7 8 9 10; do cat "$folder/captions.jsonl"; done >"$folder/ten.jsonl"

milliseconds() { # the least of several runs of a command
    for _ in $(seq $runs); do
        start=$(date +%s%N)
        "$@" >/dev/null 2>&1
        end=$(date +%s%N)
        echo $(((end - start) / 1000000))
    done | sort -n | head -n 1
}
member() { # file, name: a number in scan's JSON
    build/nclip scan "$1" --threads "${3:-1}" --json 2>/dev/null | sed "s/.*\"$2\":\([0-9.e+-]*\).*/\1/"
}

result=bench/results/scan.json
commit=$(git describe --always --dirty 2>/dev/null || echo unknown)
processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
{
    printf '{"commit": "%s", "processor": "%s", "cores": %s, "lines": %s, "runs": [' \
        "$commit" "$processor" "$(nproc)" "$lines"
    separator=
    for format in txt jsonl; do
        file=$folder/captions.$format
        utf8=$(LC_ALL=C.UTF-8 milliseconds taskset -c 0 wc -w "$file")
        plain=$(LC_ALL=C milliseconds taskset -c 0 wc -w "$file")
        scan=$(LC_ALL=C.UTF-8 milliseconds taskset -c 0 build/nclip scan --threads 1 "$file")
        all=$(LC_ALL=C.UTF-8 milliseconds build/nclip scan "$file")
        printf '%s\n{"format": "%s", "bytes": %s, "wc_utf8_ms": %s, "wc_c_ms": %s, "scan_ms": %s, ' \
            "$separator" $format "$(wc -c <"$file")" "$utf8" "$plain" "$scan"
        printf '"scan_all_cores_ms": %s, "peak_memory": %s, "peak_memory_ten_times": %s}' \
            "$all" "$(member "$file" peak_memory)" "$(member "$folder/ten.$format" peak_memory)"
        separator=,
        echo "$format: wc -w $utf8 ms (C.UTF-8), $plain ms (C); nclip scan $scan ms on one core," \
            "$all ms on all" >&2
    done
    printf '\n]}\n'
} >"$result.partial"
mv "$result.partial" "$result"
echo "$result" >&2
