#!/bin/sh
# nclip on every kind of machine that can be had here: README's two commands in bare roots of Debian, its
# packages made and used there, all tests with the processor held down to what older ones have, and unit and
# golden tests for aarch64.
#   sh tests/fresh/all.sh [bookworm] [trixie] [packages] [v3] [v2] [aarch64]        (all, when none is named)
# Ends with the rows of README's table. Takes an hour or more on two cores; exit code 0 when nothing failed.
set -eu
cd "$(dirname "$0")/../.."
. "$PWD/tests/fresh/root.sh"
mkdir -p "$NCLIP_ROOTS"
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
failures=0

try() { # command, which prints a line for each thing it tries
    "$@" >"$lines.now" 2>&1 || [ $? -eq 77 ] || failures=$((failures + 1))
    cat "$lines.now"
    grep -E '^[a-z0-9-]+ +[a-z]+ +(ok|FAILED) |^SKIPPED' "$lines.now" >>"$lines" || :
    rm -f "$lines.now"
}

# README's steps with a real CLIP (pictures in bf16, the default recipe), on the quick start's.
steps() {
    model=configs/quickstart/model pictures=runs/quickstart/unpacked/easy_vqa/data/train/images
    rm -rf runs/steps && mkdir -p runs/steps && build/nclip doctor &&
        build/nclip embed --model $model --images $pictures --out runs/steps/store --precision bf16 &&
        build/nclip train --config default --model $model --captions runs/quickstart/captions.json \
            --embeddings runs/steps/store --out runs/steps/run --set epochs=1 &&
        test -s runs/steps/run/best/model.safetensors
}

# Every test that computes, as on a processor that has no more. CUDA's emulation computes with none of this,
# and the tests of levels choose their own.
held_down() { # level, oneDNN's name of it
    for part in tests quickstart steps; do
        began=$(date +%s) result=ok
        log=$NCLIP_ROOTS/$1-$part.log
        (
            export NCLIP_CPU="$1" ONEDNN_MAX_CPU_ISA="$2"
            case $part in
            tests) exec sh tests/run.sh -LE 'gpu|emulated|fresh|levels' ;;
            quickstart) exec sh configs/quickstart/run.sh ;;
            steps) steps ;;
            esac
        ) >"$log" 2>&1 || result=FAILED
        printf '%-9s %-11s %-7s %4s s   %s\n' "$1" $part $result $(($(date +%s) - began)) \
            "$(grep 'tests passed' "$log" | tail -n 1)"
        [ $result = ok ] || { echo "$log ends with:" && tail -n 60 "$log" && return 1; }
    done
}

[ $# -gt 0 ] || set -- bookworm trixie packages v3 v2 aarch64
for part in "$@"; do
    case $part in
    aarch64) try sh tests/fresh/aarch64.sh ;;
    v4) try held_down v4 AVX512_CORE ;;
    v3) try held_down v3 AVX2 ;;
    v2) try held_down v2 SSE41 ;;
    packages)
        try sh tests/fresh/package.sh bookworm
        try sh tests/fresh/package.sh trixie
        ;;
    *) try sh tests/fresh/run.sh "$part" ;;
    esac
done

processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
printf '\n| where | what | result | when |\n| --- | --- | --- | --- |\n'
awk -v when="$(date +%Y-%m-%d)" '
    BEGIN {
        where["bookworm"] = "bare Debian 12"; where["trixie"] = "bare Debian 13"
        where["v3"] = "held down to AVX2"; where["v2"] = "held down to SSE4.1"
        where["aarch64"] = "aarch64 under qemu"
        what["quickstart"] = "quick start"; what["steps"] = "bf16 and the default recipe"
        what["neon"] = "NEON in the kernels"
        what["package"] = "packages, made in one and used in another"
        what["rights"] = "what a user without rights is told"
    }
    /^SKIPPED/ { sub(/^SKIPPED: /, ""); place = $0; sub(/:.*/, "", place); sub(/^[^:]*: /, "")
        printf "| %s | | skipped: %s | %s |\n", place in where ? where[place] : place, $0, when; next }
    { note = ""; for (i = 6; i <= NF; i++) note = note (i > 6 ? " " : ", ") $i
        printf "| %s | %s | %s, %s s%s | %s |\n", $1 in where ? where[$1] : $1,
            $2 in what ? what[$2] : $2, $3, $4, note, when }
' "$lines"
printf '\non %s of %s\n' "$(nproc) cores" "$processor"
[ $failures -eq 0 ]
