#!/bin/sh
# nclip train --resume: a run that was stopped or killed and goes on ends with the same bits as one
# that never stopped.
set -eu
nclip=$1
folder=$2
model=$PWD/../configs/quickstart/model
. "$PWD/cli/shared/pictures.sh"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

child=
fail() {
    echo "resume.sh: $*" >&2
    exit 1
}
trap '[ -z "$child" ] || kill -9 "$child" 2>/dev/null || :' EXIT

draw_pictures pictures
write_captions captions.jsonl
"$nclip" embed --model "$model" --images pictures --out store >embed.log 2>&1
grep -q '^24 pictures embedded' embed.log || fail "not all pictures are embedded: $(cat embed.log)"

# 36 steps an epoch, so that a signal comes in the middle of one, and more epochs than any
# machine does between the first checkpoint and the signal. Warm-up, cosine, moments, the order of
# the captions, the best epoch so far: all of it must be taken up again.
cat >recipe.yaml <<'END_OF_RECIPE'
batch_size: 4
learning_rate: 3.0e-4
warmup_steps: 30
schedule: cosine
gradient_clip: 1.0
precision: fp32
epochs: 5
validation_fraction: 0.25
END_OF_RECIPE
train() { # run folder, arguments
    out=$1
    shift
    "$nclip" train --config recipe.yaml --model "$model" --captions captions.jsonl \
        --embeddings store --out "$out" --json "$@"
}

train whole --quiet >whole.json
steps=180
grep -q "\"steps\":$steps," whole.json || fail "not $steps steps: $(cat whole.json)"

without_times() { # metrics, as they should be for ever
    sed 's/, "captions_per_second": [^}]*//' "$1/metrics.jsonl"
}
check_same() { # a run folder that was made in several parts
    for file in last/model best/model last/optimizer; do
        cmp "whole/$file.safetensors" "$1/$file.safetensors" || fail "$1: $file has other bits"
    done
    cmp whole/last/training.json "$1/last/training.json" || fail "$1: training.json is another"
    cmp whole/config.yaml "$1/config.yaml" || fail "$1: config.yaml is another"
    without_times whole >whole.metrics
    without_times "$1" >metrics
    diff whole.metrics metrics >difference || fail "$1: other metrics: $(head -n 5 difference)"
    [ -z "$(find "$1" -name '*partial*')" ] || fail "$1: left $(find "$1" -name '*partial*')"
    pieces=$(sed 's/.*"best_epoch":\([0-9]*\),"best_validation_loss":\([^,]*\),.*/\1 \2/' "$1.json")
    [ "$pieces" = "$(sed 's/.*"best_epoch":\([0-9]*\),"best_validation_loss":\([^,]*\),.*/\1 \2/' whole.json)" ] ||
        fail "$1: another best epoch: $(cat "$1.json")"
}

step_of() { # a checkpoint's step
    sed -n 's/.*"step":[^0-9]*\([0-9]*\),.*/\1/p' "$1/last/training.json"
}
interrupt() { # signal, run folder, arguments: stops it after a checkpoint; $status is its exit code
    signal=$1 out=$2
    shift 2
    before=0
    [ ! -e "$out/last/training.json" ] || before=$(step_of "$out")
    "$nclip" train --config recipe.yaml --model "$model" --captions captions.jsonl \
        --embeddings store --out "$out" --quiet "$@" >output 2>message &
    child=$!
    waited=0
    now=
    while [ "${now:-$before}" = "$before" ]; do
        kill -0 $child 2>/dev/null || fail "$out ended before its first checkpoint: $(cat message)"
        [ $waited -lt 3000 ] || fail "$out writes no checkpoint"
        waited=$((waited + 1))
        sleep 0.02
        [ ! -e "$out/last/training.json" ] || now=$(step_of "$out")
    done
    kill -"$signal" $child 2>/dev/null || fail "$out was done before the signal"
    status=0
    wait $child 2>/dev/null || status=$?
    child=
    [ ! -s output ] || fail "$out: stopped, but prints a result: $(cat output)"
}

# ---- told to stop ----

interrupt TERM stopped
[ $status = 1 ] || fail "SIGTERM: exit code $status: $(cat message)"
at=$(step_of stopped)
[ "$at" -gt 0 ] && [ "$at" -lt $steps ] || fail "stopped at step $at"
grep -qx "nclip: stopped by a signal after step $at; the checkpoint is in stopped/last, and the same command with --resume goes on" \
    message || fail "message: $(cat message)"
[ "$(wc -l <message)" = 1 ] || fail "not one sentence: $(cat message)"
"$nclip" info stopped | grep -q "$at steps done" || fail "info: $("$nclip" info stopped)"
[ "$(tail -n 1 stopped/metrics.jsonl | sed 's/.*"step": \([0-9]*\),.*/\1/')" = "$at" ] ||
    fail "the metrics end elsewhere: $(tail -n 1 stopped/metrics.jsonl)"

# Not without --resume, not with another recipe, other captions or other data; nothing changes.
refuse() { # piece of the message, arguments
    piece=$1
    shift
    find stopped -type f -exec cksum {} + | sort >before
    status=0
    train stopped --quiet "$@" >output 2>message || status=$?
    [ $status = 3 ] || fail "train stopped $*: exit code $status: $(cat message)"
    [ "$(wc -l <message)" = 1 ] || fail "train stopped $*: not one sentence: $(cat message)"
    grep -q "$piece" message || fail "train stopped $*: no \"$piece\" in: $(cat message)"
    find stopped -type f -exec cksum {} + | sort >after
    cmp before after || fail "train stopped $*: changed the run folder"
}
refuse '^nclip: stopped: holds a run already; --resume continues it'
refuse '"batch_size: 4" then, "batch_size: 8" now' --resume --set batch_size=8
refuse '"seed: 42" then, "seed: 1" now' --resume --set seed=1
refuse '"optimizer: adamw" then, "optimizer: sgd" now' --resume --set optimizer=sgd
head -n 184 captions.jsonl >fewer.jsonl
refuse 'was made from other captions or embeddings' --resume --captions fewer.jsonl

train stopped --resume --quiet >stopped.json
grep -q "\"steps\":$steps," stopped.json || fail "not $steps steps: $(cat stopped.json)"
check_same stopped

# ---- killed, and stopped when it goes on ----

interrupt KILL killed
[ $status = 137 ] || fail "kill -9: exit code $status: $(cat message)"
at=$(step_of killed)
[ "$at" -gt 0 ] && [ "$at" -lt $steps ] || fail "killed at step $at"
# What a kill in the middle of writing may leave: a torn line, checkpoints without their name.
printf '{"step": 3' >>killed/metrics.jsonl
for name in last best; do
    mkdir killed/$name.partial-1
    echo torn >killed/$name.partial-1/model.safetensors
done
interrupt INT killed --resume
[ $status = 1 ] || fail "SIGINT: exit code $status: $(cat message)"
[ "$(step_of killed)" -gt "$at" ] || fail "--resume went from $at to $(step_of killed)"
train killed --resume --quiet >killed.json
check_same killed

# --resume of a run that is done changes nothing; of one that never began is an error.
train stopped --resume --quiet >stopped.json
check_same stopped
status=0
train begun --resume --quiet --set epochs=1 >begun.json 2>message || status=$?
[ $status = 3 ] || fail "--resume of nothing: exit code $status"
grep -q '^nclip: begun: nothing to resume: it holds no checkpoint' message || fail "$(cat message)"
[ ! -e begun ] || fail "--resume of nothing leaves a folder"
train begun --quiet --set epochs=1 >begun.json
# A kill between writing last/ and making it best/ does not lose the best.
rm -r begun/best
train begun --resume --quiet --set epochs=1 >begun.json
cmp begun/best/model.safetensors begun/last/model.safetensors || fail "--resume loses the best"

# ---- other optimizers: one moment, and none ----

for settings in 'optimizer=rmsprop rate_decay=0.9' 'optimizer=sgd momentum=0.9' 'optimizer=sgd'; do
    arguments=
    for setting in $settings logit_scale_learning_rate=1e-3 decay_norms_and_biases=false; do
        arguments="$arguments --set $setting"
    done
    rm -rf one parts
    # shellcheck disable=SC2086 # several arguments
    train one --quiet $arguments >one.json
    # shellcheck disable=SC2086
    interrupt TERM parts $arguments
    at=$(step_of parts)
    [ "$at" -gt 0 ] && [ "$at" -lt $steps ] || fail "$settings: stopped at step $at"
    # shellcheck disable=SC2086
    train parts --resume --quiet $arguments >parts.json
    for file in model optimizer; do
        [ $file = optimizer ] && [ "$settings" = optimizer=sgd ] && continue
        cmp one/last/$file.safetensors parts/last/$file.safetensors ||
            fail "$settings: $file has other bits"
    done
    case $settings in
    *rmsprop*) grep -aq first. one/last/optimizer.safetensors && fail "RMSprop has two moments" ;;
    *momentum*) grep -aq second. one/last/optimizer.safetensors && fail "SGD has two moments" ;;
    *) [ ! -e one/last/optimizer.safetensors ] || fail "SGD without momentum has moments" ;;
    esac
done

# A damaged checkpoint is refused by its name.
for file in model optimizer; do
    head -c 100000 whole/last/$file.safetensors >short
    mv short stopped/last/$file.safetensors
    refuse "^nclip: stopped/last/$file.safetensors: .*cut short" --resume
    cp whole/last/$file.safetensors stopped/last/$file.safetensors
done
printf '{"version": 1, "step"' >stopped/last/training.json
refuse '^nclip: stopped/last/training.json: ' --resume
