#!/bin/sh
# A text tower without its vision tower: imported, trained and evaluated on embeddings that its user
# named, with the bits of the whole model; what needs pictures is refused; token ids are encoded.
set -eu
nclip=$1
folder=$2
model=$PWD/../configs/quickstart/model
custom=$PWD/checkpoints/custom_text
. "$PWD/cli/shared/pictures.sh"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "text_only.sh: $*" >&2
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

draw_pictures pictures
write_captions captions.jsonl
"$nclip" embed --model "$model" --images pictures --out store 2>log
"$nclip" export --model "$model" --format open_clip --out open_clip >out
"$nclip" import open_clip --text-only --embeddings store --out text >out 2>log
"$nclip" import open_clip --text-only --out unbound >out 2>log

"$nclip" info text >out
grep -q "a CLIP's text tower without its vision tower" out || fail "info: $(cat out)"
hash=$("$nclip" info "$model" | sed -n 's/ *vision hash *//p')
grep -qx " *embeddings of *$hash" out || fail "no $hash in: $(cat out)"

# The same captions, the same embeddings: the same loss and the same weights, bit for bit.
cat >recipe.yaml <<'END_OF_RECIPE'
batch_size: 32
learning_rate: 1.0e-4
precision: fp32
epochs: 1
validation_fraction: 0.25
END_OF_RECIPE
for one in "$model" text; do
    "$nclip" train --config recipe.yaml --model "$one" --captions captions.jsonl --embeddings store \
        --out "run-$(basename "$one")" >out 2>log || fail "train: $(cat log)"
    sed 's/, "captions_per_second.*//' "run-$(basename "$one")/metrics.jsonl" >"$(basename "$one").metrics"
done
cmp model.metrics text.metrics || fail "the text tower alone is trained otherwise"
"$nclip" export --model run-model/best --format hf-text-projection --out a >out
"$nclip" export --model run-text/best --format hf-text-projection --out b >out
cmp a/model.safetensors b/model.safetensors || fail "the text tower alone has other weights"
"$nclip" info run-text/best | grep -q "embeddings of *$hash" || fail "best/ forgot its embeddings"

printf '[{"phrase": "a picture of a red circle", "images": ["blue-circle.png", "red-circle.png"], "answer": 1}]\n' >items.json
for one in run-model/best run-text/best; do
    "$nclip" evaluate choices --model $one --annotations items.json --embeddings store --items "$(dirname $one).items" >out
done
cmp run-model.items run-text.items || fail "the text tower alone chooses otherwise"

# What needs pictures, or an embedding's origin.
refused 3 'text: has no vision tower' embed --model text --images pictures --out other
[ ! -e other ] || fail "embed left a store behind"
refused 3 'text: has no vision tower' encode --model text --images pictures --out x.npy
refused 3 'text: has no vision tower' evaluate choices --model text --annotations items.json --images pictures
refused 3 'text: has no vision tower' export --model text --format open_clip --out x
refused 3 'nobody said which embeddings are of its model' train --config recipe.yaml --model unbound \
    --captions captions.jsonl --embeddings store --out x
refused 2 'goes with --text-only' import open_clip --embeddings store --out x
[ ! -e x ] || fail "something was left behind"

# A vision tower of another kind is of no matter; a store of another dimension is.
refused 3 'vision tower of timm; nclip reads .*(--text-only' import "$custom" --out x
refused 3 '64 columns, but the model at hand has 24' import "$custom" --text-only --embeddings store --out x
"$nclip" import "$custom" --text-only --out custom >out 2>log || fail "$(cat log)"

# Back into the checkpoint: the rest byte for byte, the text tower as it was given.
"$nclip" export --model custom --format open_clip --with "$custom" --out whole >out
"$nclip" import whole --text-only --out again >out 2>log
cmp custom/model.safetensors again/model.safetensors || fail "the text tower is another one"
cmp whole/open_clip_config.json "$custom/open_clip_config.json" || fail "another config"
"$nclip" export --model run-text/best --format open_clip --with open_clip --out tuned >out
"$nclip" import tuned --tokenizer "$model" --out tuned-hf >out
"$nclip" info tuned-hf | grep -q "vision hash *$hash" || fail "the vision tower is another one"
for one in tuned-hf run-text/best; do
    "$nclip" encode --model $one --text captions.jsonl --out $(basename $one).npy 2>log
done
cmp tuned-hf.npy best.npy || fail "the tuned text tower is not in it"
"$nclip" export --model run-text/best --format hf --with "$model" --out tuned-model >out
cmp tuned-model/config.json "$model/config.json" || fail "another config.json"
"$nclip" encode --model tuned-model --text captions.jsonl --out tuned.npy 2>log
cmp tuned.npy best.npy || fail "the tuned text tower is not in the Hugging Face folder"
refused 3 'it comes from another model' export --model custom --format open_clip --with open_clip --out x
refused 3 'of the text tower by the names of this format' export --model custom --format hf --with open_clip --out x
refused 2 'hf or open_clip' export --model custom --format openai --with open_clip --out x

# What a checkpoint is, and what comes next.
"$nclip" info "$custom" >out
grep -q "^ *vision tower *timm's" out || fail "no vision tower of timm's: $(cat out)"
grep -q 'width 32, 2 blocks, 32 positions, 300 tokens' out || fail "other sizes: $(cat out)"
grep -q "nclip import $custom --tokenizer DIR --text-only --embeddings STORE --out custom_text-text" out || fail "next: $(cat out)"
"$nclip" info "${custom%/*}/pytorch/quick_gelu.pt" >out
grep -q 'next *nclip import .*quick_gelu.pt --config open_clip_config.json --tokenizer DIR --out quick_gelu-hf$' out || fail "next: $(cat out)"
"$nclip" info "${custom%/*}/pytorch/views.pt" --json >out
grep -q '"use":"refused","why":"it holds no text tower' out || fail "JSON: $(cat out)"

# Token ids: those of nclip tokenize give the features of the texts.
printf 'a red circle\na shape that is not red\n' >texts
"$nclip" tokenize --model "$model" texts >ids
"$nclip" encode --model text --text texts --out texts.npy
"$nclip" encode --model text --ids ids --out ids.npy
cmp texts.npy ids.npy || fail "ids have other features than their texts"
tr '\n' '\r' <ids >ids.returns
"$nclip" encode --model text --ids ids.returns --out ids.npy
cmp texts.npy ids.npy || fail "lines that end as on an old Mac have other features"
echo '[0, 5, 100000]' >wrong
refused 3 'wrong: caption 1: token id 100000 is outside' encode --model text --ids wrong --out x.npy
echo '[0, 5, 1.5]' >wrong
refused 3 'wrong line 1: holds something else than token ids' encode --model text --ids wrong --out x.npy
printf '[1, 2]\n\n' >wrong
refused 3 'wrong line 2: ' encode --model text --ids wrong --out x.npy
refused 2 'give one of --text, --ids and --images' encode --model text --ids wrong --text texts --out x.npy
