#!/bin/sh
# Times nclip import of a PyTorch file of ViT-L/14's size (1.71 GB of fp32) against reading that file, and
# against copying it, and keeps the result in bench/results/import.json. Run nothing else meanwhile.
#   PYTHON=python3 FOLDER=/scratch sh bench/import.sh [ROUNDS]     (5, and 4 GB in FOLDER)
# PYTHON needs torch, to make the file. Each round reads the file twice (dd), copies it (dd and fsync) and
# imports it, each from a disk whose cache of the file was dropped, and imports twice more from the cache:
# timed, and watched. Memory is what the process has for itself beside the mapped file, the most that was
# seen every 10 ms.
set -eu
cd "$(dirname "$0")/.."
rounds=${1:-5}
python=${PYTHON:-python3}
nclip=$PWD/build/nclip
"$python" -c 'import torch' 2>/dev/null || { echo "SKIPPED: $python lacks torch, which makes the file" >&2; exit 77; }
cmake --preset default >/dev/null
cmake --build build --parallel "$(sh third_party/jobs.sh)" --target nclip >/dev/null
folder=$(mktemp -d "${FOLDER:-${TMPDIR:-/tmp}}/nclip-import-XXXXXX")
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
file=$folder/ViT-L-14.pt
"$python" bench/import_model.py "$file" ${SMALL:+--small} >&2
bytes=$(wc -c <"$file")
sync

now() {
    date +%s%N
}
since() { # nanoseconds to seconds
    awk -v from="$1" -v to="$(now)" 'BEGIN { printf "%.3f", (to - from) / 1e9 }'
}
forget() { # what the system has of the file in memory
    dd if="$file" iflag=nocache count=0 status=none
}
clear_out() { # its bytes are on their way to the disk no more when the next is timed
    rm -rf "$folder/out"
    sync
}
import() {
    "$nclip" import "$file" --out "$folder/out" >"$folder/log" 2>&1 || { cat "$folder/log" >&2; exit 1; }
}
watch() {
    "$nclip" import "$file" --out "$folder/out" >"$folder/log" 2>&1 &
    child=$!
    most=0
    while anonymous=$(sed -n 's/^RssAnon:[^0-9]*\([0-9]*\) kB/\1/p' /proc/$child/status 2>/dev/null) &&
        [ "$anonymous" ]; do
        [ "$anonymous" -le "$most" ] || most=$anonymous
        sleep 0.01
    done
    wait $child || { cat "$folder/log" >&2; exit 1; }
}

for round in $(seq "$rounds"); do
    clear_out
    forget
    begun=$(now)
    dd if="$file" of=/dev/null bs=1M status=none
    once=$(since "$begun")
    forget
    dd if="$file" of=/dev/null bs=1M status=none
    twice=$(since "$begun")
    forget
    begun=$(now)
    dd if="$file" of="$folder/out" bs=1M conv=fsync status=none
    copy=$(since "$begun")
    clear_out
    forget
    begun=$(now)
    import
    cold=$(since "$begun")
    clear_out
    dd if="$file" of=/dev/null bs=1M status=none
    begun=$(now)
    import
    warm=$(since "$begun")
    clear_out
    watch
    echo "$once $twice $copy $cold $warm $most $(cut -d ' ' -f 1 /proc/loadavg)" >>"$folder/rounds"
    echo "round $round: read once $once s, twice $twice; copied $copy; imported $cold, from the cache $warm;" \
        "$((most / 1024)) MiB beside the file" >&2
done

result=${RESULT:-bench/results/import.json}
middle() { # column
    awk -v k="$1" '{ print $k }' "$folder/rounds" | sort -n |
        awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}
over() { # one median over another
    awk -v a="$(middle "$1")" -v b="$(middle "$2")" 'BEGIN { printf "%.3f", a / b }'
}
{
    printf '{"commit": "%s", "processor": "%s", "cores": %s, "bytes": %s,\n' \
        "$(git describe --always --dirty 2>/dev/null || echo unknown)" \
        "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)" "$bytes"
    printf '"read_once_seconds": %s, "read_twice_seconds": %s, "copy_seconds": %s,\n' "$(middle 1)" "$(middle 2)" \
        "$(middle 3)"
    printf '"import_seconds": %s, "import_from_cache_seconds": %s,\n' "$(middle 4)" "$(middle 5)"
    printf '"import_over_read_twice": %s, "import_over_copy": %s,\n' "$(over 4 2)" "$(over 4 3)"
    printf '"most_anonymous_bytes": %s,\n' "$(sort -n -k 6 "$folder/rounds" | tail -n 1 | awk '{ print $6 * 1024 }')"
    printf '"a round": "seconds of reading once, twice, copying, importing, importing from the cache; kB; load",\n'
    printf '"rounds": [%s]}\n' "$(sed 's/ /, /g; s/.*/[&]/' "$folder/rounds" | paste -s -d ,)"
} >"$result.partial"
mv "$result.partial" "$result"
cat "$result" >&2
echo "$result" >&2
