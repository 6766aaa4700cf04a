#!/bin/sh
# nclip train on several ranks: the metrics of one rank, the same bits in two runs, a run that goes
# on with another number of ranks, and one that is told to stop.
set -eu
nclip=$1
folder=$2
. "$PWD/ranks/shared/ranks.sh"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "train.sh: $*" >&2
    exit 1
}
child=
trap '[ -z "$child" ] || kill -9 "$child" 2>/dev/null || :' EXIT
make_inputs

# 173 captions in batches of 30: neither is divided by the ranks.
cat >recipe.yaml <<'END_OF_RECIPE'
batch_size: 30
learning_rate: 3.0e-4
warmup_steps: 5
schedule: cosine
gradient_clip: 1.0
precision: fp32
epochs: 4
validation_fraction: 0.1
END_OF_RECIPE
train() { # ranks, run folder, arguments
    count=$1 out=$2
    shift 2
    ranks "$count" "$nclip" train --config recipe.yaml --model "$model" --captions captions.jsonl \
        --embeddings store --out "$out" --quiet --json "$@" >"$out.json" || fail "$out: exit code $?"
    [ "$(grep -c . "$out.json")" = 1 ] || fail "$out: not one result: $(cat "$out.json")"
}
bits() { # metrics without times
    sed 's/, "captions_per_second": [^}]*//' "$1/metrics.jsonl"
}
train 1 one
train 2 two
train 4 four
agree one two 1e-5
agree one four 1e-5
# What a rank may hold of the optimizer, the pieces of a batch, the size of buckets: no difference.
train 3 sharded --set shard_optimizer=true --set bucket_bytes=50000
agree one sharded 1e-5
# The same of optimizers with one moment, parts of which have a rate or a decay of their own.
for settings in 'optimizer=rmsprop' 'optimizer=sgd momentum=0.9' 'optimizer=sgd'; do
    arguments=
    for setting in $settings logit_scale_learning_rate=1e-3 decay_norms_and_biases=false; do
        arguments="$arguments --set $setting"
    done
    rm -rf alone slices
    # shellcheck disable=SC2086 # several arguments
    train 1 alone $arguments
    # shellcheck disable=SC2086
    train 3 slices $arguments --set shard_optimizer=true --set bucket_bytes=50000
    agree alone slices 1e-5
done

# The same ranks give the same bits.
train 4 again
bits four >four.bits
bits again >again.bits
cmp four.bits again.bits || fail "two runs have other metrics"
for file in last/model last/optimizer best/model; do
    cmp "four/$file.safetensors" "again/$file.safetensors" || fail "two runs: $file differs"
done
cmp four/last/training.json again/last/training.json || fail "two runs: training.json differs"

# ---- Told to stop, and going on with other ranks ----

stop() { # signal, to whom (mpirun or a rank), run folder, ranks, arguments
    signal=$1 whom=$2 out=$3 count=$4
    shift 4
    mpirun --bind-to none -n "$count" "$nclip" train \
        --config recipe.yaml --set epochs=400 --model "$model" --captions captions.jsonl \
        --embeddings store --out "$out" --quiet "$@" >output 2>message &
    child=$!
    waited=0
    while [ ! -e "$out/last/training.json" ]; do
        kill -0 $child 2>/dev/null || fail "$out ended before its first checkpoint: $(cat message)"
        [ $waited -lt 600 ] || fail "$out writes no checkpoint"
        waited=$((waited + 1))
        sleep 0.05
    done
    sleep 0.3
    pid=$child
    [ "$whom" = mpirun ] || pid=$(pgrep -P $child | tail -n 1)
    kill -"$signal" "$pid"
    status=0
    wait $child || status=$?
    child=
    [ $status != 0 ] || fail "$out: stopped, but the exit code is 0"
    [ ! -s output ] || fail "$out: stopped, but prints a result: $(cat output)"
}
step_of() {
    sed -n 's/.*"step":[^0-9]*\([0-9]*\),.*/\1/p' "$1/last/training.json"
}

stop TERM rank stopped 4
at=$(step_of stopped)
grep -qx "nclip: stopped by a signal after step $at; the checkpoint is in stopped/last, and the same command with --resume goes on" \
    message || fail "message: $(cat message)"
[ "$(grep -c '^nclip: ' message)" = 1 ] || fail "not one message: $(cat message)"
# The last step that the metrics know is the checkpoint's.
[ "$(tail -n 1 stopped/metrics.jsonl | sed 's/.*"step": \([0-9]*\),.*/\1/')" = "$at" ] ||
    fail "the metrics end elsewhere: $(tail -n 1 stopped/metrics.jsonl)"
stop USR1 mpirun warned 2
grep -q "stopped by a signal after step $(step_of warned);" message || fail "message: $(cat message)"
# mpirun itself kills whatever has not ended a second after SIGTERM, unless told otherwise; what is
# said then it no longer passes on. Open MPI 5's (PRRTE) cannot be told otherwise and kills at once: an
# earlier checkpoint may be the last, but it is whole.
export OMPI_MCA_odls_base_sigkill_timeout=5
stop TERM mpirun ended 3
unset OMPI_MCA_odls_base_sigkill_timeout
case $(mpirun --version) in
*"(Open MPI) 4."*)
    at=$(step_of ended)
    [ "$(tail -n 1 ended/metrics.jsonl | sed 's/.*"step": \([0-9]*\),.*/\1/')" = "$at" ] ||
        fail "SIGTERM to mpirun: no checkpoint of step $(tail -n 1 ended/metrics.jsonl)"
    ;;
*)
    at=$(step_of ended)
    "$nclip" train --config recipe.yaml --set epochs=400 --model "$model" --captions captions.jsonl \
        --embeddings store --out ended --quiet --resume >/dev/null 2>resumed &
    child=$!
    waited=0
    until [ "$(step_of ended)" -gt "$at" ]; do
        kill -0 $child 2>/dev/null || fail "SIGTERM to mpirun: does not go on: $(cat resumed)"
        [ $waited -lt 600 ] || fail "SIGTERM to mpirun: does not get beyond step $at"
        waited=$((waited + 1))
        sleep 0.05
    done
    kill -TERM $child
    wait $child || :
    child=
    ;;
esac

# From four ranks to two in the middle of an epoch, then to one and a sharded three.
cp -r stopped shrunk
to=$(($(step_of stopped) / 6 + 5))
ranks 4 "$nclip" train --config recipe.yaml --set epochs=$to --model "$model" --captions captions.jsonl \
    --embeddings store --out whole --quiet >/dev/null
sed "s/epochs: 400/epochs: $to/" stopped/last/training.json >position
for run in stopped shrunk; do
    cp position $run/last/training.json
done
train 4 stopped --resume --set epochs=$to
train 2 shrunk --resume --set epochs=$to
agree stopped shrunk 1e-6
