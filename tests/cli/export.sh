#!/bin/sh
# nclip export and import: what is in the folders, the way there and back, what is refused.
set -eu
nclip=$1
folder=$2
model=$PWD/../configs/quickstart/model
golden=$PWD/checkpoints/golden_model
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "export.sh: $*" >&2
    exit 1
}
refused() { # exit code, what the message says, arguments
    code=$1 says=$2
    shift 2
    status=0
    "$nclip" "$@" >out 2>err || status=$?
    [ $status -eq "$code" ] || fail "$*: exit code $status: $(cat err)"
    [ "$(grep -c '^nclip: ' err)" = 1 ] || fail "$*: not one message: $(cat err)"
    grep -q -e "$says" err || fail "$*: does not say \"$says\": $(cat err)"
    [ -z "$(find . -name '*.partial-*')" ] || fail "$*: leaves something half-written"
}
holds() { # folder, what is in it
    [ "$(cd "$1" && echo *)" = "$2" ] || fail "$1 holds $(cd "$1" && echo *)"
}
says() { # file, piece; blanks do not count
    tr -d ' \n' <"$1" | grep -qF "$2" || fail "$1 does not say $2: $(cat "$1")"
}
same_features() { # two models
    printf 'a red circle\na shape that is not red\n' >texts.txt
    for one in "$1" "$2"; do
        "$nclip" encode --model "$one" --text texts.txt --out features.npy
        mv features.npy "$(basename "$one").npy"
    done
    cmp "$(basename "$1").npy" "$(basename "$2").npy" || fail "$1 and $2 give other features"
}

# ---- each format ----

tokenizer="special_tokens_map.json tokenizer_config.json vocab.json"
for format in hf hf-text hf-text-projection open_clip; do
    "$nclip" export --model "$model" --format $format --out $format >out
    grep -q "^$format: " out || fail "no line on $format"
done
holds hf "config.json merges.txt model.safetensors preprocessor_config.json $tokenizer"
holds hf-text "config.json merges.txt model.safetensors $tokenizer"
holds hf-text-projection "config.json merges.txt model.safetensors $tokenizer"
holds open_clip "merges.txt open_clip_config.json open_clip_model.safetensors $tokenizer"
cmp hf/model.safetensors "$model/model.safetensors" || fail "the plain export changes the file"
says hf-text/config.json '"architectures":["CLIPTextModel"]'
says hf-text-projection/config.json '"architectures":["CLIPTextModelWithProjection"]'
says hf-text/config.json '"bos_token_id":774,"eos_token_id":775'
says open_clip/open_clip_config.json '"quick_gelu":true'
says open_clip/open_clip_config.json '"head_width":32'
says open_clip/open_clip_config.json '"pool_type":"eos","eos_id":775'
says open_clip/open_clip_config.json '"interpolation":"bicubic","resize_mode":"shortest"'

# A run stands for its best checkpoint, without the optimizer's state.
mkdir -p run/best
cp "$model"/* run/best/
touch run/best/optimizer.safetensors run/best/training.json
[ "$("$nclip" export --model run --format hf --out from-run --json)" = '{"out":"from-run","format":"hf"}' ] ||
    fail "no JSON object"
holds from-run "config.json merges.txt model.safetensors preprocessor_config.json $tokenizer"

# ---- and back ----

"$nclip" import open_clip --out back >out 2>err
[ ! -s err ] || fail "import complains: $(cat err)"
holds back "config.json merges.txt model.safetensors preprocessor_config.json $tokenizer"
same_features hf back
"$nclip" import open_clip/open_clip_model.safetensors --from open_clip --out by-file --json >out
[ "$(cat out)" = '{"out":"by-file","source":"open_clip/open_clip_model.safetensors"}' ] || fail "$(cat out)"
cmp back/model.safetensors by-file/model.safetensors
mkdir bare
cp open_clip/open_clip_model.safetensors bare/
"$nclip" import bare --config open_clip/open_clip_config.json --out no-tokenizer 2>err >out
grep -q 'no tokenizer files came with the weights' err || fail "nothing about the tokenizer"
holds no-tokenizer "config.json model.safetensors preprocessor_config.json"
"$nclip" import bare --config open_clip/open_clip_config.json --tokenizer "$model" --out lent >out
same_features hf lent

# Sharded and narrow types: bytes stay, --dtype changes them.
for one in fp16 sharded-bf16; do
    "$nclip" export --model "$golden/$one" --format open_clip --out "oc-$one" >out
    "$nclip" import "oc-$one" --out "back-$one" >out 2>err
    type=$(echo "${one#sharded-}" | sed 's/fp/float/; s/bf/bfloat/')
    says "back-$one/config.json" "\"torch_dtype\":\"$type\""
    "$nclip" export --model "$golden/$one" --format hf --dtype fp32 --out "wide-$one" >out
    "$nclip" import "oc-$one" --dtype fp32 --out "wide-back-$one" >out 2>err
    "$nclip" info "wide-back-$one" | grep -q 'stored as *fp32 *fp32' || fail "$one is not fp32"
    for type in fp32 bf16; do # both ways of asking give the same file, up to the order
        "$nclip" export --model "wide-$one" --format hf-text --dtype $type --out "a-$one-$type" >out
        "$nclip" export --model "wide-back-$one" --format hf-text --dtype $type --out "b-$one-$type" >out
        cmp "a-$one-$type/model.safetensors" "b-$one-$type/model.safetensors"
    done
done

# ---- PyTorch's files: the same models, the same bytes ----

pytorch=${golden%/*}/pytorch open_clip_golden=${golden%/*}/open_clip/quick_gelu
"$nclip" import "$open_clip_golden" --out plain >out 2>&1
"$nclip" import "$pytorch/quick_gelu.pt" --config "$open_clip_golden/open_clip_config.json" --out pickled >out 2>&1
cmp plain/model.safetensors pickled/model.safetensors || fail "a .pt gives other weights"
for one in hf/fp16 hf-sharded/sharded-bf16; do
    mkdir bin && cp "$pytorch/${one%/*}"/* "$golden/${one#*/}/config.json" bin
    "$nclip" export --model "$golden/${one#*/}" --format hf --dtype fp32 --out from-safetensors >out
    "$nclip" export --model bin --format hf --dtype fp32 --out from-bin >out
    for part in from-safetensors from-bin; do "$nclip" info $part | sed 1d >$part.info; done
    cmp from-safetensors.info from-bin.info || fail "$one: other weights"
    rm -rf bin from-bin from-safetensors
done

# ---- what is refused ----

refused 3 'asks for argparse.Namespace, which is no part of a state dict' import "$pytorch/namespace.pt" --out x
refused 3 "PyTorch's format of before 1.6" import "$pytorch/old.pt" --out x

refused 2 '--format' export --model hf --format onnx --out x
refused 2 'exists and is not empty' export --model hf --format hf --out run
refused 3 'not a folder' export --model none --format hf --out x
refused 3 'its text tower has 3 heads' export --model hf --format openai --out x
refused 3 'needs no import' import hf --out x
refused 2 '--config belongs to open_clip' import bare --from openai --config a.json --out x
refused 3 'nothing says whether these are' import bare --out x
refused 3 'give --config' import bare --from open_clip --out x
refused 3 'a width of 96 is no multiple' import bare --from openai --out x
refused 3 'no tokenizer files in this folder' import open_clip --tokenizer bare --out x
refused 3 'cannot read' import none --out x
refused 3 'lend.json: cannot read' import open_clip --config lend.json --out x

# Damaged files.
mkdir cut
cp open_clip/* cut/
head -c 100000 open_clip/open_clip_model.safetensors >cut/open_clip_model.safetensors
refused 3 'it is cut short' import cut --out x
head -c 7 open_clip/open_clip_model.safetensors >cut/open_clip_model.safetensors
refused 3 'are no safetensors file' import cut --out x
echo '{' >cut/open_clip_config.json
cp open_clip/open_clip_model.safetensors cut/
refused 3 'open_clip_config.json: not valid JSON' import cut --out x

# State dicts that are something else: one tensor, of one zero byte, under a telling name.
state_dict() { # file, tensor's name
    header="{\"$2\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}"
    printf "\\$(printf %03o ${#header})\\000\\000\\000\\000\\000\\000\\000%s\\000" "$header" >"$1"
}
for case in 'conv1.weight:"token_embedding.weight" is missing' 'visual.layer1.0.conv1.weight:a ResNet' \
    'visual.trunk.stem.0.weight:tower of timm' 'text.transformer.embeddings.word:text tower of transformers' \
    'text.positional_embedding:"text.token_embedding.weight" is missing' 'text_decoder.ln_final.weight:a CoCa' \
    'logit_bias:"token_embedding.weight" is missing' 'text_model.final_layer_norm.bias:needs no import'; do
    state_dict other.safetensors "${case%%:*}"
    refused 3 "${case#*:}" import other.safetensors --from openai --out x
done

# Configs of other models, and of other sizes than the tensors.
change() { # from, to: a config with one thing changed
    sed "s/$1/$2/" open_clip/open_clip_config.json >changed.json
    cmp -s open_clip/open_clip_config.json changed.json && fail "nothing changed by $1"
    :
}
config() { # from, to, message
    change "$1" "$2"
    refused 3 "$3" import bare --config changed.json --out x
}
config '"width": 96' '"width": 192' 'has the shape .*, but changed.json asks for'
config '"vocab_size": 776' '"vocab_size": 777' '"token_embedding.weight" has the shape \[776, 96\], but changed.json asks for \[777, 96\]'
config '"layers": 4' '"layers": 5' 'resblocks.4.* (and 11 more) is missing'
config '"layers": 4' '"layers": 3' 'has no place in a CLIP of this shape'
config '"layers": 4' '"layers": 0' 'which no model has'
config '"layers": 3' '"layers": [3, 4, 6, 3]' 'so this is a ResNet'
config '"heads": 3' '"heads": 7' 'no multiple of'
# What nclip would not open again is not written: the limits of config.json.
config '"width": 96' '"width": 131072' 'text_config: "hidden_size" is 131072; nclip reads 1 to 65536'
config '"layers": 4' '"layers": 1025' 'text_config: "num_hidden_layers" is 1025; nclip reads 1 to 1024'
config '"context_length": [0-9]*' '"context_length": 70000' '"max_position_embeddings" is 70000'
config '"image_size": [0-9]*' '"image_size": 16392' 'vision_config: "image_size" is 16392'
config '"embed_dim": 64' '"embed_dim": 65537' '"projection_dim" is 65537; nclip reads 1 to 65536'
config '"heads": 3' '"heads": 3, "mlp_ratio": 4000' 'text_config: "intermediate_size" is 384000'
config '"head_width": 32' '"head_width": 7' 'this cannot be'
config '"heads": 3' '"heads": 3, "hf_model_name": "roberta-base"' 'the text tower is "roberta-base"'
config '"heads": 3' '"heads": 3, "no_causal_mask": true' 'text-only takes the text tower alone'
config '"layers": 3' '"layers": 3, "ls_init_value": 0.1' '"ls_init_value" makes it another model'
config '"heads": 3' '"heads": 3, "embed_cls": true' '"embed_cls" makes it another model'
config '"heads": 3' '"heads": 3, "act_kwargs": {"approximate": "fast"}' 'nclip reads none and tanh'
config '"pool_type": "eos"' '"pool_type": "first"' 'nclip reads argmax, eos and last'
config '"eos_id": 775' '"eos_id": 900' 'ends no caption'
config '"shortest"' '"longest"' 'shortest and squash'
config '"embed_dim": 64' '"embed_dim": 1e300' 'embed_dim'
config '"patch_size": 8' '"patch_size": 80' 'this cannot be'
config 'model_cfg' 'model' '"vision_cfg" is missing'
change '"layers": 3' '"layers": 3, "patch_dropout": 0.5, "timm_model_name": null, "qk_norm": false'
"$nclip" import bare --config changed.json --out harmless >out 2>err || fail "$(cat err)"
[ ! -e x ] || fail "something refused was written"
