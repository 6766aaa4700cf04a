#!/bin/sh
# nclip train --examples on several ranks, with a set that is streamed: the order and the losses of one
# rank, and together the ranks read what one reads, the heads of each other's blocks aside; a run goes
# on with another number of ranks in the middle of an epoch.
set -eu
nclip=$1
folder=$2
. "$PWD/ranks/shared/ranks.sh"
. "$PWD/cli/shared/stream.sh"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "stream.sh: $*" >&2
    exit 1
}
child=
trap '[ -z "$child" ] || kill -9 "$child" 2>/dev/null || :' EXIT
make_stream || fail "$(cat embed.log prepare.log)"

# Batches of 50 do not divide an epoch, nor a group.
cat >recipe.yaml <<'END_OF_RECIPE'
batch_size: 50
learning_rate: 3.0e-4
warmup_steps: 5
schedule: constant
precision: fp32
epochs: 2
validation_fraction: 0.1
END_OF_RECIPE
train() { # ranks, run folder, arguments
    count=$1 out=$2
    shift 2
    ranks "$count" "$nclip" train --config recipe.yaml --model "$model" --examples many.set --out "$out" \
        --quiet --json "$@" >"$out.json" 2>"$out.log" || fail "$out: exit code $?: $(tail -n 3 "$out.log")"
    sed -i 's/, "waited_seconds": [^,}]*, "read_bytes": [^,}]*//' "$out/metrics.jsonl"
}
bytes() {
    sed 's/.*"read_bytes":\([0-9]*\).*/\1/' "$1.json"
}
pool="--set pool_bytes=$stream_pool"
# shellcheck disable=SC2086
for count in 1 2 4; do
    train $count run$count $pool
    train $count bare$count $pool --set mask_same_image=false
done
agree run1 run2 1e-5
agree run1 run4 1e-5
[ "$(bytes bare1)" = "$(bytes bare2)" ] && [ "$(bytes bare1)" = "$(bytes bare4)" ] ||
    fail "ranks read more than they compute: $(bytes bare1) $(bytes bare2) $(bytes bare4)"
# Heads are 4096 bytes of a block here; each rank reads those of all blocks, in each of both epochs.
heads=$((24 * 4096 * 2))
[ "$(bytes run2)" = $(($(bytes run1) + heads)) ] && [ "$(bytes run4)" = $(($(bytes run1) + 3 * heads)) ] ||
    fail "ranks read other bytes: $(bytes run1) $(bytes run2) $(bytes run4)"
# shellcheck disable=SC2086
train 4 again $pool
for file in last/model last/optimizer best/model; do
    cmp "run4/$file.safetensors" "again/$file.safetensors" || fail "two runs: $file differs"
done
# shellcheck disable=SC2086
train 3 sharded $pool --set shard_optimizer=true
agree run1 sharded 1e-5
# Captions of which some are much longer: now and then one rank alone has to plan its memory anew.
awk '/"image": "2-/ { sub(/"caption": "/, "\"caption\": \"this picture, which has no cats, no dogs and not one car in it, shows ") }
    { print }' many.jsonl >long.jsonl
"$nclip" prepare --captions long.jsonl --embeddings many.store --model "$model" --out long.set --quiet >prepare.log 2>&1
for count in 1 2 4; do
    ranks $count "$nclip" train --config recipe.yaml --model "$model" --examples long.set --out long$count --json \
        --set batch_size=12 --set share_prefixes=false $pool >long.json 2>long$count.log || fail "long, $count: $(tail -n 3 long$count.log)"
    sed -i 's/, "waited_seconds": [^,}]*, "read_bytes": [^,}]*//' "long$count/metrics.jsonl"
done
grep -q 'a batch was larger than those that memory was planned for' long4.log || fail "nothing was planned anew"
agree long1 long2 2e-5
agree long1 long4 2e-5
# A set that fits, on several ranks.
train 2 small2
train 1 small1
agree small1 small2 1e-5

# ---- stopped on three ranks, and going on with two and with one ----

# shellcheck disable=SC2086
mpirun --bind-to none -n 3 "$nclip" train --config recipe.yaml --set epochs=400 --model "$model" \
    --examples many.set --out stopped --quiet $pool >output 2>message &
child=$!
waited=0
while [ ! -e stopped/last/training.json ]; do
    kill -0 $child 2>/dev/null || fail "ended before its first checkpoint: $(cat message)"
    [ $waited -lt 600 ] || fail "writes no checkpoint"
    waited=$((waited + 1))
    sleep 0.05
done
sleep 0.3
kill -USR1 $child
wait $child && fail "stopped, but the exit code is 0"
child=
grep -q 'stopped by a signal after step' message || fail "message: $(cat message)"
to=$(($(sed -n 's/.*"epoch":[^0-9]*\([0-9]*\),.*/\1/p' stopped/last/training.json) + 2))
sed -i "s/epochs: 400/epochs: $to/" stopped/last/training.json
cp -r stopped shrunk
train 2 stopped --resume --set epochs=$to
train 1 shrunk --resume --set epochs=$to
# shellcheck disable=SC2086
train 1 undisturbed --set epochs=$to $pool
sed -i 's/, "waited_seconds": [^,}]*, "read_bytes": [^,}]*//' stopped/metrics.jsonl shrunk/metrics.jsonl
agree stopped shrunk 1e-5
agree undisturbed stopped 1e-5
