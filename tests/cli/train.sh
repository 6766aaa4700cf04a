#!/bin/sh
# nclip train: the run folder, the metrics, the same bits from the same seed, what may not change
# the loss, what may not change at all, and what is refused.
set -eu
nclip=$1
folder=$2
model=$PWD/../configs/quickstart/model
. "$PWD/cli/shared/pictures.sh"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "train.sh: $*" >&2
    exit 1
}

draw_pictures pictures
write_captions captions.jsonl
"$nclip" embed --model "$model" --images pictures --out store >embed.log 2>&1
grep -q '^24 pictures embedded' embed.log || fail "not all pictures are embedded: $(cat embed.log)"

# Not all keys: the others are those of the default. 192 captions, a quarter of the pictures held
# out: 5 batches an epoch, the last of 16.
cat >recipe.yaml <<'END_OF_RECIPE'
batch_size: 32
learning_rate: 1.0e-4
warmup_steps: 2
precision: fp32
epochs: 2
validation_fraction: 0.25
END_OF_RECIPE
captions=captions.jsonl
train() { # name of the run, arguments
    run=$1
    shift
    "$nclip" train --config recipe.yaml --model "$model" --captions "$captions" \
        --embeddings store --out "$run" --json "$@" >"$run.json" 2>"$run.log" ||
        fail "train $run $*: $(cat "$run.log")"
}

# ---- the run folder ----

train whole
for file in config.yaml metrics.jsonl; do
    [ -s "whole/$file" ] || fail "no $file in the run folder"
done
set -- whole/events.out.tfevents.*
[ $# = 1 ] && [ -s "$1" ] || fail "not one TensorBoard file: $*"
for checkpoint in best last; do
    for file in "$model"/*; do # each is a complete model folder
        [ -s "whole/$checkpoint/${file##*/}" ] || fail "no ${file##*/} in $checkpoint/"
    done
    for file in optimizer.safetensors training.json; do
        [ -s "whole/$checkpoint/$file" ] || fail "no $file in $checkpoint/"
    done
    "$nclip" info "whole/$checkpoint" >/dev/null || fail "$checkpoint/ is no model"
done
[ "$(ls whole | wc -l)" -eq 5 ] || fail "something else lies in the run folder: $(ls whole)"

# One line a step and one a validation, each with its keys.
number='-?[0-9.]+(e[-+]?[0-9]+)?'
step='"step": [0-9]+, "epoch": [12]'
[ "$(wc -l <whole/metrics.jsonl)" -eq 12 ] || fail "not 12 lines: $(cat whole/metrics.jsonl)"
lines=$(grep -cE "^\{$step, \"loss\": $number, \"logit_scale\": $number, \"learning_rate\": $number, \
\"gradient_norm\": $number, \"captions_per_second\": $number\}\$" whole/metrics.jsonl) || :
[ "$lines" = 10 ] || fail "$lines lines of steps, not 10: $(cat whole/metrics.jsonl)"
lines=$(grep -cE "^\{$step, \"validation_loss\": $number\}\$" whole/metrics.jsonl) || :
[ "$lines" = 2 ] || fail "$lines lines of validations, not 2: $(cat whole/metrics.jsonl)"
sed -n 's/.*"step": \([0-9]*\),.*"loss".*/\1/p' whole/metrics.jsonl | tr '\n' ' ' |
    grep -qx '1 2 3 4 5 6 7 8 9 10 ' || fail "steps out of order: $(cat whole/metrics.jsonl)"

# --json: one line on standard output, in agreement with the metrics.
[ "$(wc -l <whole.json)" -eq 1 ] || fail "--json prints more than one line: $(cat whole.json)"
for key in steps epochs loss best_epoch best_validation_loss seconds captions_per_second \
    planned_bytes peak_bytes; do
    grep -qE "\"$key\":$number[,}]" whole.json || fail "no $key in: $(cat whole.json)"
done
grep -q '"steps":10,"epochs":2,' whole.json || fail "not 10 steps in 2 epochs: $(cat whole.json)"

value() { # key, of a run's result
    sed "s/.*\"$1\":\([^,}]*\).*/\1/" "$2.json"
}
losses() { # of a run: each line's step and loss, training and validation
    sed -n 's/.*"step": \([0-9]*\),.*loss": \([^,}]*\).*/\1 \2/p' "$1/metrics.jsonl"
}
near() { # two runs, the largest relative difference between their losses that is allowed
    losses "$1" >first.losses
    losses "$2" >second.losses
    paste -d ' ' first.losses second.losses | awk -v allowed="$3" '
        { difference = ($2 - $4) / $2; if (difference < 0) difference = -difference }
        $1 != $3 || NF != 4 || !(difference <= allowed) { bad = 1 }
        END { exit bad || !NR }'
}
lowest=$(grep validation whole/metrics.jsonl | sed 's/.*: \([^}]*\)}/\1/' | sort -n | head -n 1)
awk -v a="$lowest" -v b="$(value best_validation_loss whole)" \
    'BEGIN { exit !(a / b > 0.999999 && a / b < 1.000001) }' ||
    fail "the best validation loss is $(value best_validation_loss whole), in the metrics $lowest"
awk -v a="$(value loss whole)" -v b="$(losses whole | sed -n 's/^10 //p' | head -n 1)" \
    'BEGIN { exit !(a / b > 0.999999 && a / b < 1.000001) }' || fail "the last loss is another"

# The model learns: captions with a negation have much to be learnt from.
losses whole | awk 'NR == 1 { first = $2 } NR == 11 { last = $2 } END { exit !(last < first - 0.2) }' ||
    fail "the loss does not fall: $(losses whole)"

# ---- the same seed, the same bits ----

same() { # two runs
    cmp -s "$1/last/model.safetensors" "$2/last/model.safetensors" &&
        cmp -s "$1/best/model.safetensors" "$2/best/model.safetensors" &&
        cmp -s "$1/last/optimizer.safetensors" "$2/last/optimizer.safetensors"
}
train again --quiet
same whole again || fail "the same seed gave other weights"
[ -s again.log ] && fail "--quiet is not quiet: $(cat again.log)"
# The resolved config is a config, and all of it.
"$nclip" train --config whole/config.yaml --model "$model" --captions captions.jsonl \
    --embeddings store --out resolved --quiet >/dev/null
same whole resolved || fail "the resolved config gave other weights"
cmp whole/config.yaml resolved/config.yaml || fail "the resolved config resolves to another"
train seed --set seed=7
same whole seed && fail "another seed gave the same weights"
near whole seed 1e-4 && fail "another seed gave the same losses"

# ---- what may not change the loss ----

# (Micro batches of 10 leave one of 2, and one of 6 of the last batch.)
train alone --set share_prefixes=false
near whole alone 1e-5 || fail "sharing prefixes changes the loss: $(paste first.losses second.losses)"
[ "$(value planned_bytes whole)" -lt "$(value planned_bytes alone)" ] ||
    fail "sharing prefixes saves no memory"
train micro --set micro_batch_size=10
near whole micro 1e-5 || fail "micro batches change the loss: $(paste first.losses second.losses)"
[ "$(value planned_bytes micro)" -lt "$(value planned_bytes whole)" ] ||
    fail "micro batches save no memory"
train micro_alone --set micro_batch_size=10 --set share_prefixes=false
near whole micro_alone 1e-5 || fail "micro batches without sharing change the loss"

train bf16 --set precision=bf16
grep -qx 'precision: bf16' bf16/config.yaml || fail "bf16 is not in the resolved config"
near whole bf16 0.02 || fail "bf16 is far off: $(paste first.losses second.losses)"
near whole bf16 1e-6 && fail "bf16 computes in fp32"

# ---- what trains, and what may not change ----

changed() { # a run: the tensors that differ from the model it started from
    size=$(od -An -tu8 -N8 "$model/model.safetensors" | tr -d ' ')
    head -c $((8 + size)) "$model/model.safetensors" >header.before
    head -c $((8 + size)) "$1/last/model.safetensors" >header.after
    cmp header.before header.after || fail "$1: tensors lie elsewhere than in the model"
    tail -c +9 header.before | tr '}' '\n' |
        sed -n 's/^[{,]"\([^"]*\)":.*"data_offsets":\[\([0-9]*\),\([0-9]*\)\].*/\2 \3 \1/p' |
        sort -n >tensors
    [ "$(wc -l <tensors)" -gt 100 ] || fail "the header was not understood"
    # cmp counts bytes from 1; both lists are in the order of the file
    { cmp -l "$model/model.safetensors" "$1/last/model.safetensors" || :; } |
        awk -v start=$((9 + size)) '
            BEGIN {
                while ((getline line <"tensors") > 0) {
                    split(line, field, " ")
                    end[++n] = field[2]
                    name[n] = field[3]
                }
                at = 1
            }
            { while ($1 - start >= end[at]) at++; if (!seen[at]++) print name[at] }' | sort
}
expected() { # a pattern of names
    awk '{ print $3 }' tensors | grep -E "$1" | sort
}
check_changed() { # a run, a pattern of names: just these have changed
    changed "$1" >changed
    expected "$2" >expected
    [ -s expected ] || fail "no tensor is called $2"
    diff expected changed >difference || fail "$1: not what should train: $(cat difference)"
}
text='^logit_scale$|^text_projection|^text_model'
check_changed whole '^logit_scale$|^text_projection|^text_model\.(embeddings|encoder)'
train all --set 'trainable=[all]' --set epochs=1
check_changed all "$text"
train some --set trainable=blocks.0-1,projection --set epochs=1
check_changed some '^text_projection|^text_model\.encoder\.layers\.[01]\.'
train one --set trainable=blocks.3,final_layer_norm --set epochs=1
check_changed one '^text_model\.(final_layer_norm|encoder\.layers\.3\.)'
train scale --set trainable=logit_scale --set epochs=1
check_changed scale '^logit_scale$'
# What is said is what happens.
grep -qE '^blocks\.2 +[0-9]+ +0  frozen$' some.log || fail "blocks.2 is not said to be frozen: $(cat some.log)"
grep -qE '^blocks\.1 +([0-9]+) +\1$' some.log || fail "blocks.1 is not said to train: $(cat some.log)"

# Captions whose pictures are missing are left out and counted, while there are others.
{
    cat captions.jsonl
    echo '{"image": "gone.png", "caption": "a picture of a dog"}'
} >more.jsonl
captions=more.jsonl
train without --set epochs=1
grep -q '^193 captions: .*; 1 left out, their pictures are not in the store$' without.log ||
    fail "a caption without a picture is not counted: $(head -n 1 without.log)"

# COCO's form trains to the same bits as lines of the same captions.
head -n 16 captions.jsonl >few.jsonl
{
    printf '{"images": [{"id": 7, "file_name": "black-circle.png"}, {"id": 3, "file_name": "black-rectangle.png"}], "annotations": ['
    sed -e 's/"image": "black-circle.png", "caption"/"image_id": 7, "updated_caption"/' \
        -e 's/"image": "black-rectangle.png", "caption"/"image_id": 3, "caption"/' -e '$!s/$/,/' few.jsonl
    printf ']}'
} >few.json
captions=few.jsonl
train lines --set epochs=1 --set validation_fraction=0 --set learning_rate=0.01
captions=few.json
train coco --set epochs=1 --set validation_fraction=0 --set learning_rate=0.01
same lines coco || fail "COCO's form gave other weights"
same lines whole && fail "other captions gave the same weights"
grep -q validation lines/metrics.jsonl lines.json && fail "nothing is held out, but there is a validation"

# ---- what is refused ----

captions=captions.jsonl

refuse() { # exit code, piece of the message, arguments that come after the usual ones
    wanted=$1 piece=$2
    shift 2
    status=0
    "$nclip" train --config recipe.yaml --model "$model" --captions "$captions" \
        --embeddings store --out refused --quiet "$@" >output 2>message || status=$?
    [ "$status" = "$wanted" ] || fail "train $*: exit code $status, not $wanted: $(cat message)"
    [ "$(wc -l <message)" = 1 ] || fail "train $*: not one sentence: $(cat message)"
    grep -qe "$piece" message || fail "train $*: no \"$piece\" in: $(cat message)"
    [ ! -s output ] || fail "train $*: writes to standard output: $(cat output)"
    [ ! -e refused ] || fail "train $*: left $(ls refused) behind"
}

find whole -type f -exec cksum {} + | sort >before
refuse 3 '^nclip: whole: holds a run already; --resume continues it, or choose another --out$' --out whole
find whole -type f -exec cksum {} + | sort >after
cmp before after || fail "a refused run changed the run folder"

mkdir other
cp "$model"/* other
# One bit of the vision tower: the last byte of the file belongs to it.
awk 'END { exit $3 !~ /^visi|^visual/ }' tensors || fail "the last tensor is not the vision tower's"
last=$(tail -c 1 "$model/model.safetensors" | od -An -to1 | tr -d ' ')
head -c $(($(wc -c <"$model/model.safetensors") - 1)) "$model/model.safetensors" >other/model.safetensors
[ "$last" = 074 ] && flipped=075 || flipped=074
printf "\\$flipped" >>other/model.safetensors
refuse 3 '^nclip: store: embeddings of another model' --model other
refuse 3 '^nclip: store: embeddings of another model .*with 64 columns.*, with 24)' \
    --model "${model%/configs/*}/tests/checkpoints/golden_model/fp32"
refuse 3 'nclip: gone: cannot open the embeddings' --embeddings gone

# What fails before the first step is done leaves nothing either: a logit_scale that is no number.
cp "$model/model.safetensors" other/model.safetensors
start=$((8 + $(od -An -tu8 -N8 other/model.safetensors)))
printf '\377\377\377\377' | dd of=other/model.safetensors bs=1 seek=$start conv=notrunc 2>/dev/null
refuse 3 'a model needs finite weights' --model other

echo '{"image": "gone.png", "caption": "a dog"}' >gone.jsonl
captions=gone.jsonl
refuse 3 '^nclip: gone.jsonl: none of its pictures is in the store store (for one, "gone.png")'
captions=missing.jsonl
refuse 3 '^nclip: missing.jsonl: '
printf '{"image": "red-circle.png", "caption": "a"}\n{"image": "red-circle.png"}\n' >bad.jsonl
captions=bad.jsonl
refuse 3 '^nclip: bad.jsonl.*line 2.*caption'
captions=captions.jsonl

printf '\020\047' >other/model.safetensors
refuse 3 '^nclip: other/model.safetensors: 2 bytes are no safetensors file' --model other
for bytes in 100 20000 3600000; do
    head -c $bytes "$model/model.safetensors" >other/model.safetensors
    refuse 3 '^nclip: other/model.safetensors: .*cut short' --model other
done
rm other/model.safetensors
refuse 3 '^nclip: other: .*model.safetensors' --model other

printf 'batch_size: 8\nlerning_rate: 3\n' >bad.yaml
refuse 3 '^nclip: bad.yaml line 2: no key "lerning_rate": did you mean learning_rate?' --config bad.yaml
refuse 2 '^nclip: --set batch_sise=3: no key "batch_sise": did you mean batch_size?' --set batch_sise=3
refuse 2 'batch_size is 0: it must be at least 1' --set batch_size=0
refuse 3 'no such config file or preset.*negationclip' --config negationclp
refuse 3 'trainable: "blocks.9" is not in this model, which has blocks.0-3' --set trainable=blocks.9
refuse 3 'trainable: "heads" is unknown' --set trainable=heads
refuse 3 'trainable: "logit_bias" is not in this model' --set trainable=all,logit_bias
refuse 3 'do not fill one batch of 1000' --set batch_size=1000 --set drop_last=true
refuse 2 '--device' --device abacus
