#!/bin/sh
# nclip doctor --model on checkpoints of every kind: what it says can be done, and that the command which
# comes next is one that works; on what is none, a sentence.
set -eu
nclip=$1
folder=$2
tests=$PWD
model=$PWD/../configs/quickstart/model
pieces=$PWD/tokenizer/golden_pieces
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "doctor_model.sh: $*" >&2
    exit 1
}
says() { # path, then lines of the answer ("key text"), where spaces stand for any number
    path=$1
    shift
    "$nclip" doctor --model "$path" >out 2>message || fail "$path: $(cat message)"
    for line in "$@"; do
        grep -q -e "^ *$(echo "$line" | sed 's/ / */')" out || fail "$path: no \"$line\" in: $(cat out)"
    done
}
refuses() { # path, a piece of the sentence
    status=0
    "$nclip" doctor --model "$1" >out 2>message || status=$?
    [ $status = 3 ] || fail "$1: exit code $status: $(cat out message)"
    grep -q -e "$2" message || fail "$1: no \"$2\" in: $(cat message)"
}
# The command that comes next, with words of the user's in place of capitals.
follow() { # ends in the folder that it writes
    next=$(sed -n 's/^ *next *//p' out | sed "s, --embeddings STORE,,; s, --tokenizer DIR,,")
    case $next in nclip\ import*) ;; *) fail "no import comes next: $(cat out)" ;; esac
    rm -rf "${next##*--out }"
    # The shell reads the words as a user's would.
    eval "\"\$nclip\" ${next#nclip }" >log 2>&1 || fail "$next: $(cat log)"
    [ -f "${next##*--out }/model.safetensors" ] || fail "$next wrote nothing"
}

# A folder of transformers', whole.
says "$model" 'trains yes' 'captions yes: to ids, by its tokenizer$' 'pictures yes' \
    "next nclip embed --model $model --images DIR --out STORE"
says "$model/model.safetensors" "next nclip embed --model $model --images"
says "$model/config.json" "next nclip embed --model $model --images"
"$nclip" doctor --model "$model" --json >out
[ "$(wc -l <out)" = 1 ] || fail "--json prints more than one line"
grep -q '"trains":{"can":true},"captions":{"can":true},"pictures":{"can":true},"use":"ready"' out ||
    fail "JSON: $(cat out)"
# Without its tokenizer; without its config; with a broken one.
mkdir bare && cp "$model/model.safetensors" bare
says bare 'trains no: .*config.json that belongs to them' 'next nclip doctor --model FOLDER'
cp "$model/config.json" bare
says bare 'trains yes' 'captions no: no tokenizer lies beside it' 'pictures yes'
echo '{' >bare/config.json
says bare 'trains no: .*not valid JSON'
grep -q next out && fail "something comes next: $(cat out)"
mkdir run && cp -r "$model" run/best && echo 'batch_size: 2' >run/config.yaml
says run 'next nclip embed --model run/best'

# open_clip's, with both towers: a folder, a config alone, weights alone.
"$nclip" export --model "$model" --format open_clip --out 'an open_clip' >out
says 'an open_clip' 'config open_clip_config.json beside' "captions yes: .*open_clip's cleaning (whitespace)" \
    'pictures yes' "next nclip import 'an open_clip' --out 'an open_clip-hf'"
next=$(sed -n 's/^ *next *//p' out)
eval "\"\$nclip\" ${next#nclip }" >log 2>&1 || fail "$next: $(cat log)"
says 'an open_clip-hf' 'trains yes' "captions yes: .*(whitespace)"
mkdir alone && cp 'an open_clip/open_clip_model.safetensors' alone/weights.safetensors
cp 'an open_clip/open_clip_config.json' alone.json
says alone.json "alone.json: a config of open_clip's" 'trains yes' 'pictures yes' \
    'next nclip import WEIGHTS --config alone.json'
says alone/weights.safetensors 'trains yes: .*model_configs/NAME.json' 'config none' \
    'next nclip import alone/weights.safetensors --config open_clip_config.json --tokenizer DIR --out weights-hf'
# What import would refuse is told beforehand: a tensor less, another shape.
sed 's/"layers": [0-9]*/"layers": 9/' alone.json >alone/open_clip_config.json
says alone/weights.safetensors 'trains no: .*\(missing\|shape\)'

# OpenAI's state dict needs no config.
"$nclip" export --model "$model" --format openai --out openai >out 2>message || cat message >&2
if [ -d openai ]; then
    says openai/model.safetensors "openai/model.safetensors: weights by OpenAI's names" 'trains yes' \
        'next nclip import openai/model.safetensors'
    follow
fi

# Every family, by its folder and by its file.
for name in siglip siglip2 metaclip_2 long_context; do
    says "$tests/model/families/$name" 'trains yes' 'captions no: no tokenizer'
done
says "$tests/model/families/siglip" 'pictures no: .*siglip' \
    "next nclip import $tests/model/families/siglip --tokenizer DIR --text-only --embeddings STORE --out siglip-text"
follow
for name in clipa longclip mobileclip_s open_clip_siglip2 pe_core worldwide; do
    says "$tests/model/families/$name" 'trains yes' 'captions no: no tokenizer' "next nclip import $tests/model/families/$name"
    follow
    says "$tests/model/families/$name/open_clip_model.safetensors" 'trains yes'
done
says "$tests/model/families/worldwide" 'pictures yes'
says "$tests/model/families/mobileclip_s" "vision tower *timm's" 'pictures no' 'mask none'
says "$tests/model/families/mobileclip_s/open_clip_config.json" 'config open_clip_config.json' 'trains yes'

# PyTorch's files: training checkpoints, TorchScript, old ones.
says "$tests/checkpoints/pytorch/quick_gelu.pt" 'trains yes: .*open_clip_config.json' 'pictures yes'
says "$tests/checkpoints/custom_text" 'pictures no' "next nclip import $tests/checkpoints/custom_text"
follow
says "$tests/checkpoints/pytorch/script.pt" 'trains no: it holds no text tower'
says "$tests/checkpoints/pytorch/hf-sharded" 'trains'
refuses "$tests/checkpoints/pytorch/old.pt" 'torch.save'
refuses "$tests/checkpoints/pytorch/nothing.pt" .

# A tokenizer that cannot be followed keeps nobody from the tower.
cp -r "$tests/model/families/clipa" berts
printf '{"model": {"type": "WordPiece", "vocab": {}}}' >berts/tokenizer.json
says berts 'trains yes' 'captions no: .*tokenizer' 'next nclip import berts --no-tokenizer --text-only'
follow
[ ! -e berts-text/tokenizer.json ] || fail "the tokenizer came along"
cp "$pieces/t5/tokenizer.json" "$pieces/t5/tokenizer_config.json" berts
sed 's/"vocab_size": 50/"vocab_size": 50, "hf_tokenizer_name": "x", "tokenizer_kwargs": {"strip_sep_token": true}/' \
    "$tests/model/families/clipa/open_clip_config.json" >berts/open_clip_config.json
says berts 'trains yes' 'captions no: .*"strip_sep_token"' 'next nclip import berts --no-tokenizer'

# What is no checkpoint is named.
refuses gone 'no such file or folder'
printf '<!DOCTYPE html><html>' >page.pt
refuses page.pt 'an HTML page'
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\n' >pointer.safetensors
refuses pointer.safetensors 'git lfs pull'
echo '{"images": []}' >captions.json
refuses captions.json 'neither weights, nor the config of a model'
mkdir nothing
refuses nothing 'nothing: holds neither model.safetensors nor'
printf 'PK\003\004' >cut.pt
refuses cut.pt cut.pt
status=0
"$nclip" doctor --model "$model" --check >out 2>message || status=$?
[ $status = 2 ] || fail "--model with --check: exit code $status"

# info says the same of what is no folder that commands take.
"$nclip" info "$tests/model/families/clipa" >a
"$nclip" doctor --model "$tests/model/families/clipa" >b
cmp a b || fail "info says something else"
