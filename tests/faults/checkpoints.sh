#!/bin/sh
# Checkpoints on a file system that cannot exchange two names (NFS, Lustre): killed after any rename, a
# run goes on with --resume and ends with the bits of one that was never disturbed. Metrics that do not
# fit the checkpoint are noticed.
set -eu
nclip=$1
folder=$2
shim=$3
model=$PWD/../configs/quickstart/model
. "$PWD/faults/shared.sh"
rm -rf "$folder"
mkdir -p "$folder"
cd "$folder"

draw_pictures pictures
write_captions captions.jsonl
"$nclip" embed --model "$model" --images pictures --out store >/dev/null 2>&1
train() { # run folder, arguments
    out=$1
    shift
    "$nclip" train --model "$model" --captions captions.jsonl --embeddings store --out "$out" \
        --set precision=fp32 --set batch_size=64 --set warmup_steps=0 --set epochs=3 \
        --set learning_rate=0.001 --set validation_fraction=0.2 --quiet "$@"
}
without_times() {
    sed 's/, "captions_per_second": [^}]*//' "$1/metrics.jsonl"
}
check_same() {
    for file in last/model best/model last/optimizer; do
        cmp whole/$file.safetensors "$1/$file.safetensors" || fail "$1: $file has other bits"
    done
    without_times whole >whole.metrics
    without_times "$1" >metrics
    cmp whole.metrics metrics || fail "$1: other metrics"
    no_partials "$1"
}

train whole >/dev/null
# The same file system without a kill.
env FAULT_NO_EXCHANGE=1 LD_PRELOAD="$shim" "$nclip" train --help >/dev/null
FAULT_NO_EXCHANGE=1 LD_PRELOAD=$shim train plain >/dev/null
check_same plain

# Killed after each of the renames, and once more after the first few of what goes on.
every=${FAULTS_EVERY:-4}
number=$((1 - every))
while :; do
    number=$((number + every))
    rm -rf killed
    status=0
    FAULT_NO_EXCHANGE=1 FAULT_KILL_AT_RENAME=$number LD_PRELOAD=$shim train killed >/dev/null \
        2>message || status=$?
    [ $status != 0 ] || break
    [ $status = 137 ] || fail "rename $number: exit code $status: $(cat message)"
    had=no
    resume=
    for there in killed/last killed/last.old killed/last.partial-*; do
        [ ! -e "$there/training.json" ] || had=yes
    done
    [ $had = no ] || resume=--resume
    # A second kill, in the recovery or soon after it.
    FAULT_NO_EXCHANGE=1 FAULT_KILL_AT_RENAME=$((number % 5 + 1)) LD_PRELOAD=$shim \
        train killed $resume >/dev/null 2>message || : # or little was left to do
    [ -n "$resume" ] || [ ! -e killed/last ] || resume=--resume
    [ $had = no ] || [ -e killed/last ] || [ -e killed/last.old ] ||
        ls -d killed/last.partial-* >/dev/null 2>&1 || fail "rename $number: the checkpoint is lost"
    train killed --resume >/dev/null 2>message || train killed >/dev/null 2>message ||
        fail "rename $number: does not go on: $(cat message)"
    [ $had = no ] || [ ! -e killed/metrics.jsonl.before-1 ] ||
        fail "rename $number: the checkpoint is lost, the run began anew"
    check_same killed
done
echo "killed after renames up to $number, each $every, twice"
[ $number -gt 15 ] || fail "only $number renames"

# The one that stepped aside is better than none.
cp -r whole aside
mv aside/last aside/last.old
mv aside/best aside/best.old
train aside --resume >/dev/null 2>message || fail "last.old: $(cat message)"
check_same aside
# A complete one that only lacked its name, and one that is half-written.
cp -r whole unnamed
mv unnamed/last unnamed/last.partial-$(dead_process)
cp -r unnamed begun
rm begun/last.partial-*/training.json
refused 3 'unnamed: holds a run already; --resume continues it' train unnamed
train unnamed --resume >/dev/null 2>message || fail "last.partial: $(cat message)"
check_same unnamed
# Nothing to go on from, and what is there is not touched: nothing is emptied.
cp begun/metrics.jsonl before
refused 3 'begun: nothing to resume: it holds no checkpoint' train begun --resume
cmp begun/metrics.jsonl before || fail "--resume of nothing changes metrics.jsonl"
refused 3 'nowhere: nothing to resume' train nowhere --resume
[ ! -e nowhere ] || fail "--resume of nothing makes a folder"
train begun >/dev/null 2>message || fail "anew: $(cat message)"
grep -q 'of a run that left no checkpoint; it is now begun/metrics.jsonl.before-1' message ||
    fail "metrics are set aside without a word: $(cat message)"
cmp begun/metrics.jsonl.before-1 before || fail "the metrics of before are lost"

# Metrics that end before the checkpoint.
cp -r whole short
head -n 2 whole/metrics.jsonl >short/metrics.jsonl
refused 3 'metrics.jsonl: ends at step 2, but the checkpoint is of step' train short --resume
rm short/metrics.jsonl
train short --resume >/dev/null 2>message
grep -q 'metrics.jsonl: is not there; steps before' message || fail "no word about missing metrics: $(cat message)"

# The clock was set back: TensorBoard reads the newer file behind the older one.
mkdir back
train back --set epochs=1 >/dev/null 2>&1 || :
rm -rf back && cp -r whole back
first=$(ls back | grep events)
sed -i 's/epochs: 3/epochs: 4/' back/last/training.json
FAULT_CLOCK=-100000 LD_PRELOAD=$shim train back --resume --set epochs=4 >/dev/null 2>message ||
    fail "clock: $(cat message)"
last=$(ls back | grep events | LC_ALL=C sort | tail -n 1)
[ "$last" != "$first" ] || fail "the file after the clock was set back sorts before: $(ls back)"
