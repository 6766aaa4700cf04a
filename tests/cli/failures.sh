#!/bin/sh
# A full disk (a limit on the size of files stands for it), a run that diverges, two runs in one
# folder: one sentence, the right exit code, nothing half-written, nothing lost.
set -eu
nclip=$1
folder=$2
model=$PWD/../configs/quickstart/model
. "$PWD/cli/shared/pictures.sh"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "failures.sh: $*" >&2
    exit 1
}

draw_pictures pictures
write_captions captions.jsonl
"$nclip" embed --model "$model" --images pictures --out store >/dev/null 2>&1
how= # `exec` in a subshell, which then is the process to signal
train() { # run folder, arguments
    run=$1
    shift
    $how "$nclip" train --model "$model" --captions captions.jsonl --embeddings store --out "$run" \
        --set precision=fp32 --set batch_size=32 --set warmup_steps=0 --quiet "$@"
}
refused() { # exit code, what the message says, command
    code=$1 says=$2
    shift 2
    status=0
    "$@" >out 2>err || status=$?
    [ $status -eq "$code" ] || fail "$*: exit code $status: $(cat err)"
    tail -n 1 err | grep -q "^nclip: .*$says" || fail "$*: does not say \"$says\": $(cat err)"
}
no_partials() { # folder
    [ -z "$(find "$1" -name '*.partial-*')" ] || fail "half-written: $(find "$1" -name '*.partial-*')"
}

# ---- a full disk ----

stop_early() { # run folder, arguments: started, stopped after a step, its messages in RUN.log
    (how=exec && train "$@") >"$1.log" 2>&1 &
    first=$!
    wait_for_steps "$1"
    kill -TERM $first
    wait $first && fail "a stopped run says it is done"
    grep -q 'stopped by a signal' "$1.log" || fail "not stopped in order: $(cat "$1.log")"
}
wait_for_steps() { # run folder
    tries=0
    while [ ! -s "$1/metrics.jsonl" ]; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || fail "the run does not start: $(cat "$1.log")"
        sleep 0.05
    done
}

train whole --set epochs=40
stop_early halted --set epochs=40
cp -r halted/last before
yes 'a red circle' | head -n 600 >texts.txt
( # no file above 512 KiB: too small for a checkpoint; then 4 KiB
    trap '' XFSZ
    ulimit -f 1024
    refused 1 'halted/last.*cannot write' train halted --set epochs=40 --resume
    refused 1 'full/last.*cannot write' train full --set epochs=2
    ulimit -f 8
    refused 1 'texts.npy: cannot write' "$nclip" encode --model "$model" --text texts.txt --out texts.npy
    refused 1 'small/shard.*cannot write' "$nclip" embed --model "$model" --images pictures --out small
)
no_partials .
[ ! -e texts.npy ] || fail "half an array was left"
[ ! -e full/last ] && [ ! -e full/best ] || fail "half a checkpoint was left"
diff -r halted/last before || fail "an earlier checkpoint was harmed"
train halted --set epochs=40 --resume
cmp halted/best/model.safetensors whole/best/model.safetensors || fail "another result than on a free disk"

# ---- a device is written to, not replaced ----

refused 1 '/dev/full: cannot write: No space left' "$nclip" encode --model "$model" --text texts.txt --out /dev/full
[ -c /dev/full ] || fail "/dev/full was replaced"

# ---- a run that diverges ----

refused 1 'step [0-9]*: the .* not finite; the first tensor' train diverged --set learning_rate=1e30
[ ! -e diverged/best ] || fail "a model of infinities was kept"

# ---- two runs in one folder ----

(how=exec && train long --set epochs=5000) >long.log 2>&1 &
first=$!
wait_for_steps long
refused 1 'long: another process is training there' train long --set epochs=5000 --resume
kill -TERM $first
wait $first && fail "a stopped run says it is done"
grep -q 'stopped by a signal' long.log || fail "the first run was disturbed: $(cat long.log)"
exit 0
