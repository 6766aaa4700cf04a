#!/bin/sh
# Standard streams that the caller has closed: what is said to people goes nowhere, and never into a
# file that got the number of a stream.
set -eu
nclip=$1
folder=$2
model=$PWD/../configs/quickstart/model
recorded=$PWD/generate/recorded
. "$PWD/cli/shared/pictures.sh"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

exec 4>&2 # where it stays readable
fail() {
    echo "closed_streams.sh: $*" >&4
    exit 1
}

draw_pictures pictures
write_captions captions.jsonl
"$nclip" embed --model "$model" --images pictures --out store >/dev/null 2>&1
train() { # run folder
    "$nclip" train --model "$model" --captions captions.jsonl --embeddings store --out "$1" \
        --set precision=fp32 --set batch_size=32 --set warmup_steps=0 --set epochs=2
}
play() {
    "$nclip" generate absence --captions "$recorded/captions.jsonl" --no-vision-check \
        --text-model gemma-3-270m-q4_k_m --prompts "$recorded/prompts" --max-requests 0 \
        --journal journal --out out.json --explain
}
steps() { # run folder: its metrics without what depends on the clock
    sed 's/"captions_per_second":[^,}]*//; s/"seconds":[^,}]*//' "$1/metrics.jsonl"
}

train open >/dev/null 2>&1
steps open >open.steps
cp "$recorded/journal" journal
for closed in '>&-' '2>&-' '>&- 2>&-' '<&- >&- 2>&-' '<&-'; do
    rm -rf run out.json
    eval "train run $closed" || fail "train $closed: exit code $?"
    steps run >run.steps
    grep -v '^{.*}$' run/metrics.jsonl && fail "train $closed: other text in metrics.jsonl"
    cmp open.steps run.steps || fail "train $closed: other metrics"
    eval "play $closed" || fail "generate $closed: exit code $?"
    cmp journal "$recorded/journal" || fail "generate $closed: the journal changed"
    cmp out.json "$recorded/expected.json" || fail "generate $closed: other captions"
done >/dev/null 2>err

# Standard input that is closed is no empty file.
status=0
"$nclip" scan --format text - <&- >/dev/null 2>&1 || status=$?
[ $status -ne 0 ] || fail "scan read what is not there"
