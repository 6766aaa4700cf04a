#!/bin/sh
# nclip merge: between a base and a tuned model, and the guard that warns when generality drops.
set -eu
nclip=$1
folder=$2
model=$PWD/../configs/quickstart/model
. "$PWD/cli/shared/pictures.sh"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "merge.sh: $*" >&2
    exit 1
}
refused() { # exit code, what the message says, arguments
    code=$1 says=$2
    shift 2
    status=0
    "$nclip" merge "$@" >out 2>err || status=$?
    [ $status -eq "$code" ] || fail "$*: exit code $status: $(cat err)"
    grep -q "^nclip: .*$says" err || fail "$*: does not say \"$says\": $(cat err)"
}

# A model that training has ruined: 20 steps at a rate far too high.
draw_pictures pictures
write_captions captions.jsonl
"$nclip" embed --model "$model" --images pictures --out store >/dev/null 2>&1
"$nclip" train --model "$model" --captions captions.jsonl --embeddings store --out run --quiet \
    --set precision=fp32 --set batch_size=32 --set warmup_steps=0 --set epochs=3 --set learning_rate=0.03 \
    --set validation_fraction=0 >/dev/null 2>&1
tuned=run/last

# ---- alone ----

"$nclip" merge --base "$model" --tuned $tuned --alpha 0.5 --out half >out 2>err
[ "$(cat out)" = "half: alpha 0.5" ] && [ ! -s err ] || fail "says: $(cat out err)"
[ "$(cd half && echo *)" = "config.json merge.json merges.txt model.safetensors preprocessor_config.json special_tokens_map.json tokenizer_config.json vocab.json" ] ||
    fail "half holds $(cd half && echo *)"
tr -d ' \t\n' <half/merge.json | grep -qF "{\"alpha\":0.5,\"base\":\"$model\",\"tuned\":\"run/last\"}" ||
    fail "merge.json: $(cat half/merge.json)"
"$nclip" merge --base "$model" --tuned $tuned --alpha 0 --alpha 1 --alpha 0.25 --out several >out
[ "$(cut -d: -f1 out | tr '\n' ' ')" = "several/alpha-0 several/alpha-1 several/alpha-0.25 " ] || fail "$(cat out)"
echo 'a shape that is not red' >text.txt
features() {
    "$nclip" encode --model "$1" --text text.txt --out "$2"
}
features "$model" base.npy
features $tuned tuned.npy
features several/alpha-0 zero.npy
features several/alpha-1 one.npy
features half half.npy
cmp base.npy zero.npy || fail "alpha 0 is not the base"
cmp tuned.npy one.npy || fail "alpha 1 is not the tuned model"
cmp -s base.npy half.npy && fail "alpha 0.5 is the base"
hash() {
    "$nclip" info "$1" --json | sed 's/.*"hash":"\([0-9a-f]*\)".*/\1/'
}
"$nclip" info several/alpha-0.25 >info
grep -q "merged         alpha 0.25, from $model (0) to run/last (1)" info || fail "info: $(cat info)"
"$nclip" info half --json | grep -qF "\"merge\":{\"alpha\":0.5,\"base\":\"$model\",\"tuned\":\"run/last\"}" ||
    fail "info --json: $("$nclip" info half --json)"
"$nclip" info $tuned | grep -q merged && fail "a model that is no merge has an alpha"
[ "$(hash half)" = "$(hash "$model")" ] || fail "the vision tower changed"

# ---- guarded ----

"$nclip" merge --base "$model" --tuned $tuned --alpha 0.0 --alpha 1 --out guarded --json \
    --guard captions.jsonl --embeddings store >out 2>err
[ "$(grep -c '^warning: ' err)" = 1 ] || fail "not one warning: $(cat err)"
grep -q '^warning: guarded/alpha-1: generality drops by [0-9.]* points' err || fail "no warning: $(cat err)"
grep -qF '"out":"guarded/alpha-0","alpha":0,"guard":{' out || fail "$(cat out)"
grep -q '"drop":0,"interval":\[0,0\],"captions":96,"pictures":24,"warning":false}' out || fail "$(cat out)"
grep -q '"warning":true}}\]}$' out || fail "$(cat out)"
"$nclip" merge --base "$model" --tuned $tuned --alpha 1 --out tolerant --tolerance 1 \
    --guard captions.jsonl --embeddings store >out 2>err
grep -q 'warning' err out && fail "a warning in spite of the tolerance: $(cat err out)"
grep -q '96 captions without a negation word (96 with one left out) among 24 pictures' out || fail "$(cat out)"
grep -q '^ *base ' out || fail "no line for the base: $(cat out)"

# ---- what is refused ----

refused 2 '--alpha 1.5 is no number from 0' --base "$model" --tuned $tuned --alpha 1.5 --out x
refused 2 '--alpha half is no number' --base "$model" --tuned $tuned --alpha half --out x
refused 2 '--alpha nan is no number' --base "$model" --tuned $tuned --alpha nan --out x
refused 2 '--alpha 0.50 is given twice' --base "$model" --tuned $tuned --alpha 0.5 --alpha 0.50 --out x
refused 2 'both --guard and --embeddings' --base "$model" --tuned $tuned --alpha 0.5 --out x --guard captions.jsonl
refused 2 'exists and is not empty' --base "$model" --tuned $tuned --alpha 0.5 --out half
refused 3 'so no model lies between them' --base "$model" --tuned "$OLDPWD/checkpoints/golden_model/fp32" --alpha 0.5 --out x
echo '{"image": "none.png", "caption": "a circle"}' >other.jsonl
refused 3 '"none.png" has no embedding in store' --base "$model" --tuned $tuned --alpha 0.5 --out x --guard other.jsonl --embeddings store
echo '{"image": "red-circle.png", "caption": "not a circle"}' >negated.jsonl
refused 3 'the guard needs captions without a negation word' --base "$model" --tuned $tuned --alpha 0.5 --out x \
    --guard negated.jsonl --embeddings store
[ ! -e x ] || fail "something refused was written"
