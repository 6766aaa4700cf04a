#!/bin/sh
# nclip train with several --captions: as one file they give its bits; as sources a batch draws from
# each at its own count, in an order that a run goes on with.
set -eu
nclip=$1
folder=$2
model=$PWD/../configs/quickstart/model
. "$PWD/cli/shared/pictures.sh"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "train_sources.sh: $*" >&2
    exit 1
}
draw_pictures pictures
"$nclip" embed --model "$model" --images pictures --out store >embed.log 2>&1 || fail "$(cat embed.log)"
for shape in $shapes; do
    for color in $colors; do
        echo "{\"image\": \"$color-$shape.png\", \"caption\": \"a $color $shape\", \"contradiction\": \"no $shape\"}"
    done
done >present.jsonl
for shape in $shapes; do
    for color in $colors; do
        for other in frame border; do
            echo "{\"image\": \"$color-$shape.png\", \"caption\": \"one $color $shape\", \"absence\": \"a $shape without $other\"}"
        done
    done
done >absent.jsonl
cat present.jsonl absent.jsonl >both.jsonl
train() { # run folder, arguments
    out=$1
    shift
    "$nclip" train --model "$model" --embeddings store --out "$out" --quiet --json "$@"
}
refused() { # exit code, what the message says, command
    code=$1 says=$2
    shift 2
    status=0
    "$@" >output 2>message || status=$?
    [ $status -eq "$code" ] || fail "$*: exit code $status: $(cat message)"
    tail -n 1 message | grep -q "$says" || fail "$*: does not say \"$says\": $(cat message)"
}
small="--set batch_size=12 --set epochs=2 --set precision=fp32 --set warmup_steps=2 --set learning_rate=0.001"

# shellcheck disable=SC2086
train one --captions both.jsonl $small >json
# shellcheck disable=SC2086
train two --captions present.jsonl --captions absent.jsonl $small >json
cmp one/last/model.safetensors two/last/model.safetensors || fail "two files are not one"
! grep -q '^loss:$' two/config.yaml || fail "a list that nobody gave"

# The preset, and the same run stopped behind an epoch and gone on with.
omni="--config omni_negclip --captions present.jsonl --captions absent.jsonl $small --set sources=4,8 --set trainable=all"
# shellcheck disable=SC2086
train whole $omni >json
grep -q '^sources: \[4, 8\]' whole/config.yaml || fail "config.yaml: $(cat whole/config.yaml)"
grep -q '^  - {term: infonce, texts: \[caption, contradiction\]' whole/config.yaml || fail "no list in config.yaml"
# shellcheck disable=SC2086
"$nclip" train --model "$model" --embeddings store --out stopped --quiet $omni --set epochs=40 >output 2>message &
child=$!
trap 'kill -9 $child 2>/dev/null || :' EXIT
waited=0
while [ ! -e stopped/last/training.json ]; do
    sleep 0.1
    waited=$((waited + 1))
    [ $waited -lt 600 ] || fail "no checkpoint: $(cat message)"
done
kill -TERM $child
wait $child || :
# shellcheck disable=SC2086
train stopped $omni --set epochs=40 --resume >json || fail "not resumed"
# shellcheck disable=SC2086
train long $omni --set epochs=40 >json
cmp stopped/last/model.safetensors long/last/model.safetensors || fail "a resumed run has other bits"

# shellcheck disable=SC2086
refused 3 "sources draws from 2 files of captions, and 1 are given" \
    train bad --config omni_negclip --captions present.jsonl $small --set sources=4,8 --set trainable=all
# shellcheck disable=SC2086
refused 3 "sources draws 12 examples, and batch_size is 256" \
    train bad --config omni_negclip --captions present.jsonl --captions absent.jsonl --set sources=4,8
# shellcheck disable=SC2086
refused 3 "infonce is over source 1, and sources draws from 0" \
    train bad --config omni_negclip --captions present.jsonl --captions absent.jsonl $small --set sources=
refused 2 "sources draws from several files of --captions" \
    "$nclip" train --config omni_negclip --model "$model" --examples set --out bad --set trainable=all
