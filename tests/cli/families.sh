#!/bin/sh
# Every family of text towers through the commands: imported alone, described, put back into the
# checkpoint that it comes from with the same bytes, and refused where its vision tower is needed.
set -eu
nclip=$1
folder=$2
families=$PWD/model/families
. "$PWD/cli/shared/pictures.sh"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "families.sh: $*" >&2
    exit 1
}
refused() { # exit code, piece of the message, arguments
    wanted=$1 piece=$2
    shift 2
    status=0
    "$nclip" "$@" >out 2>message || status=$?
    [ $status = "$wanted" ] || fail "nclip $*: exit code $status: $(cat message)"
    grep -q -e "$piece" message || fail "nclip $*: no \"$piece\" in: $(cat message)"
}

# There and back: what the text tower was taken from is whole again, tensor for tensor.
for case in siglip:hf siglip2:hf metaclip_2:hf long_context:hf open_clip_siglip2:open_clip \
    longclip:open_clip mobileclip_s:open_clip pe_core:open_clip clipa:open_clip worldwide:open_clip; do
    name=${case%:*} format=${case#*:}
    original=$families/$name
    "$nclip" import "$original" --text-only --out "$name" >out 2>log || fail "$name: $(cat log)"
    "$nclip" export --model "$name" --format "$format" --with "$original" --out "$name-whole" >out 2>log ||
        fail "$name: $(cat log)"
    case $format in
    hf) weights=model.safetensors config=config.json ;;
    open_clip) weights=open_clip_model.safetensors config=open_clip_config.json ;;
    esac
    cmp "$name-whole/$config" "$original/$config" || fail "$name: another config"
    [ "$(wc -c <"$name-whole/$weights")" -ge "$(($(wc -c <"$original/$weights") - 4096))" ] ||
        fail "$name: tensors are missing"
    "$nclip" import "$name-whole" --text-only --out "$name-again" >out 2>log || fail "$name: $(cat log)"
    cmp "$name/model.safetensors" "$name-again/model.safetensors" || fail "$name: another text tower"
    "$nclip" info "$name" >out || fail "$name: info"
    tr -d ' ' <"$original/captions.json" | sed 's/\],\[/]\n[/g; s/^\[\[/[/; s/\]\]$/]/' >ids
    "$nclip" encode --model "$name" --ids ids --out a.npy 2>log || fail "$name: $(cat log)"
    "$nclip" encode --model "$name-again" --ids ids --out b.npy
    cmp a.npy b.npy || fail "$name: other features"
done

# Where the vision tower is CLIP's own both towers come along.
"$nclip" import "$families/worldwide" --out both >out 2>log || fail "worldwide: $(cat log)"
"$nclip" info both | grep -q 'caption ends   the first token 2' || fail "$("$nclip" info both)"
"$nclip" export --model both --format open_clip --out both-open_clip >out 2>log || fail "$(cat log)"
grep -q '"eos_id": 2' both-open_clip/open_clip_config.json || fail "no eos_id in open_clip_config.json"
sed 's/"pool_type": "eos"/"pool_type": "last"/' "$families/worldwide/open_clip_config.json" >last.json
refused 3 'text-only takes the text tower alone' import "$families/worldwide" --config last.json --out x

# What they are, and what comes next.
"$nclip" info siglip >out
grep -q 'mask *none: tokens see all of the context, padding too' out || fail "info: $(cat out)"
grep -q 'read at *the last place of the context' out || fail "info: $(cat out)"
"$nclip" info mobileclip_s --json >out
grep -q '"family":"nclip_text_model".*"end_rule":"argmax","mask":"none"' out || fail "info: $(cat out)"
"$nclip" info "$families/siglip" >out
grep -q "next *nclip import $families/siglip --text-only --embeddings STORE --out DIR" out || fail "info: $(cat out)"
"$nclip" info "$families/siglip/model.safetensors" >out
grep -q "SigLIP's, which sees all tokens at once" out || fail "info: $(cat out)"
grep -q "next *nclip import $families/siglip --tokenizer DIR --text-only --embeddings STORE --out siglip-text" out ||
    fail "info: $(cat out)"
"$nclip" info "$families/clipa" >out
grep -q 'mask none, pooling last, gelu' out || fail "info: $(cat out)"
grep -q "next *nclip import $families/clipa --tokenizer DIR --text-only" out || fail "info: $(cat out)"
mkdir refused
cp "$families/clipa/open_clip_model.safetensors" refused
sed 's/"no_causal_mask": true/"embed_cls": true/' "$families/clipa/open_clip_config.json" >refused/open_clip_config.json
"$nclip" info refused >out
grep -q 'trains *no: .*embed_cls' out || fail "info: $(cat out)"

# A tower without a mask trains: every caption takes its context, which is said once.
draw_pictures pictures
write_captions captions.jsonl
model=$families/../../../configs/quickstart/model
"$nclip" embed --model "$model" --images pictures --out store 2>log
"$nclip" export --model "$model" --format open_clip --out open_clip >out
sed 's/"pool_type": "eos"/"no_causal_mask": true, "pool_type": "last"/' open_clip/open_clip_config.json >none.json
cmp -s none.json open_clip/open_clip_config.json && fail "nothing was changed in the config"
"$nclip" import open_clip --config none.json --text-only --embeddings store --out unmasked >out 2>log ||
    fail "$(cat log)"
cat >recipe.yaml <<'END_OF_RECIPE'
batch_size: 32
learning_rate: 1.0e-3
precision: fp32
epochs: 3
validation_fraction: 0.25
END_OF_RECIPE
"$nclip" train --config recipe.yaml --model unmasked --captions captions.jsonl --embeddings store --out run \
    >out 2>log || fail "train: $(cat log)"
[ "$(grep -c 'every caption takes all .* places, and packing saves nothing' log)" = 1 ] || fail "train: $(cat log)"
first=$(sed -n '1s/.*"loss": *\([0-9.]*\).*/\1/p' run/metrics.jsonl)
last=$(sed -n 's/.*"loss": *\([0-9.]*\).*/\1/p' run/metrics.jsonl | tail -n 1)
awk "BEGIN { exit !($last < 0.9 * $first) }" || fail "the loss went from $first to $last"
"$nclip" info run/best | grep -q 'mask *none' || fail "best/ is another tower"

# Pictures need a vision tower that nclip computes.
refused 3 'its vision tower (siglip) is none that nclip computes' embed --model "$families/siglip" \
    --images pictures --out store
refused 3 'siglip: has no vision tower' embed --model siglip --images pictures --out store
refused 3 'none of CLIP\|has no vision tower' export --model siglip --format open_clip --out x
