#!/bin/sh
# Times training steps of nclip, and of PyTorch beside it on the same captions, and keeps
# the result in bench/results/. Run nothing else meanwhile. Takes about 6 minutes on two cores.
#   PYTHON=python3 sh bench/train.sh [nclip-bench train options: --shape, --captions, ...]
# PYTHON needs torch and open_clip_torch; without them only nclip is timed, and it says so.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
bench=build/nclip-bench
cmake --preset default >/dev/null
cmake --build build --parallel "$(sh third_party/jobs.sh)" >/dev/null
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT INT TERM

first_rate() { # a result's own, before those of its parts
    grep -o '"captions_per_second": *[0-9.]*' "$1" | head -n 1 | grep -o '[0-9.]*$'
}

peer=yes
if ! "$python" -c 'import torch, open_clip' 2>/dev/null; then
    echo "SKIPPED: PyTorch's part, because $python lacks torch or open_clip" >&2
    peer=no
fi
shape=ViT-L/14 previous=
for argument in "$@"; do
    [ "$previous" != --shape ] || shape=$argument
    previous=$argument
done
for precision in bf16 fp32; do
    "$bench" train --precision $precision --tokens-out "$folder/tokens" --json "$@" \
        >"$folder/$precision-nclip" 2>"$folder/plan"
    "$bench" train --precision $precision --share-prefixes --json "$@" \
        >"$folder/$precision-shared" 2>"$folder/plan"
    echo "$precision: nclip $(first_rate "$folder/$precision-nclip") captions/s," \
        "$(first_rate "$folder/$precision-shared") with shared prefixes" >&2
    [ $peer = yes ] || continue
    for padding in full trim; do
        option=
        [ $padding = full ] || option=--trim
        "$python" bench/peers/train_pytorch.py --tokens "$folder/tokens" --shape "$shape" \
            --precision $precision $option >"$folder/$precision-torch-$padding" 2>"$folder/log" ||
            { cat "$folder/log" >&2; exit 1; }
        ours=$(first_rate "$folder/$precision-nclip")
        theirs=$(first_rate "$folder/$precision-torch-$padding")
        echo "$precision: PyTorch, padding $padding: $theirs captions/s; nclip is" \
            "$(echo "$ours $theirs" | awk '{ printf "%.1f", $1 / $2 }') times as fast" >&2
    done
done

commit=$(git describe --always --dirty 2>/dev/null || echo unknown)
processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
result=bench/results/train-cpu-$(echo "$shape" | tr -d / | tr '@' '-').json
{
    printf '{"commit": "%s", "processor": "%s", "cores": %s, "runs": [\n' "$commit" "$processor" "$(nproc)"
    separator=
    for run in "$folder"/bf16-* "$folder"/fp32-*; do
        printf '%s' "$separator"
        tr -d '\n' <"$run"
        separator=',
'
    done
    printf '\n]}\n'
} >"$result.partial"
mv "$result.partial" "$result"
echo "$result" >&2
