#!/bin/sh
# open_clip's cleaning of texts goes with a model through nclip: read from its config, noted by import,
# kept by save and export, said to open_clip again; and the end's id that open_clip 4 asks for.
set -eu
nclip=$1
folder=$2
tests=$PWD
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "open_clip_text.sh: $*" >&2
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
model() { # name, cleaning: open_clip's folder with a vocabulary of pieces
    cp -r "$tests/checkpoints/open_clip/gelu" "$1"
    cp "$tests/tokenizer/golden_open_clip_text/t5"/* "$1"
    sed "s/\"vocab_size\": 776/\"vocab_size\": 776, \"hf_tokenizer_name\": \"x\", \"tokenizer_kwargs\": {\"clean\": \"$2\"}/" \
        "$tests/checkpoints/open_clip/gelu/open_clip_config.json" >"$1/open_clip_config.json"
    grep -q "$2" "$1/open_clip_config.json" || fail "the config of $1 was not changed"
}
printf 'A_photo of &quot;NO&quot; dogs, \xc3\xa2\xe2\x82\xac\xe2\x84\xa2 cats!\nplain\n' >texts
model canonical canonicalize
model white whitespace

# The folder of open_clip's, and what is imported from it, give the same ids; without the note others.
"$nclip" tokenize --model canonical --context 0 texts >a 2>log
"$nclip" tokenize --model white --context 0 texts >b 2>log
cmp -s a b && fail "both cleanings give the same ids"
for name in canonical white; do
    "$nclip" import $name --out $name-hf >out 2>log || fail "$(cat log)"
    "$nclip" import $name --text-only --out $name-text >out 2>log || fail "$(cat log)"
done
for one in canonical-hf canonical-text; do
    grep -q '"open_clip_clean": "canonicalize",' $one/tokenizer_config.json || fail "$one: no note"
    "$nclip" tokenize --model $one --context 0 texts >c 2>log
    cmp a c || fail "$one: other ids than open_clip's folder"
    "$nclip" tokenize --model $one --rules open_clip --context 0 texts >c 2>log
    cmp a c || fail "$one: other ids by open_clip's rules"
done
grep -q '"open_clip_clean": "whitespace",' white-hf/tokenizer_config.json || fail "white-hf: no note"
"$nclip" tokenize --model white-hf --context 0 texts >c 2>log
cmp b c || fail "white-hf: other ids than open_clip's folder"
# The rest of tokenizer_config.json is as it was.
tr -d '\n' <canonical-hf/tokenizer_config.json | sed 's/  "open_clip_clean": "canonicalize",//' >c
tr -d '\n' <canonical/tokenizer_config.json >d
cmp c d || fail "tokenizer_config.json is another one"

# Out of nclip again: what is written says it too, and says it once.
"$nclip" export --model canonical-hf --format hf --out plain >out
[ "$(grep -c open_clip_clean plain/tokenizer_config.json)" = 1 ] || fail "hf: the note is lost"
"$nclip" export --model canonical-hf --format open_clip --out back >out
tr -d ' \n' <back/open_clip_config.json | grep -q '"hf_tokenizer_name":".","tokenizer_kwargs":{"clean":"canonicalize"}' ||
    fail "open_clip: $(cat back/open_clip_config.json)"
"$nclip" export --model white-hf --format open_clip --out white-back >out
grep -q tokenizer_kwargs white-back/open_clip_config.json && fail "open_clip's default is said"
"$nclip" import back --out again >out 2>log || fail "$(cat log)"
[ "$(grep -c open_clip_clean again/tokenizer_config.json)" = 1 ] || fail "the note is there twice"
"$nclip" tokenize --model again --context 0 texts >c 2>log
cmp a c || fail "there and back: other ids"

# A tokenizer of another model; one that cannot be followed, and the way out.
refused 3 '"open_clip_clean" of its tokenizer_config.json is whitespace, but .*asks for canonicalize' \
    import canonical --tokenizer white-hf --out x
cp -r canonical odd
sed 's/"clean": "canonicalize"/"strip_sep_token": true/' canonical/open_clip_config.json >odd/open_clip_config.json
refused 3 '"strip_sep_token".*--no-tokenizer' import odd --out x
[ ! -e x ] || fail "something was left behind"
"$nclip" import odd --no-tokenizer --out odd-hf >out 2>log || fail "$(cat log)"
[ ! -s log ] || fail "a word about what was asked for: $(cat log)"
[ ! -e odd-hf/tokenizer.json ] || fail "the tokenizer came along"
refused 2 'give one of --tokenizer and --no-tokenizer' import odd --no-tokenizer --tokenizer canonical --out x

# open_clip 4 reads no config that pools at the end's token without its id, which open_clip 3 took for 2.
families=$tests/model/families/worldwide
"$nclip" import "$families" --text-only --out worldwide >out 2>log
mkdir old
cp "$families"/open_clip_model.safetensors old
tr -d '\n' <"$families/open_clip_config.json" | sed 's/, *"eos_id": *2//' >old/open_clip_config.json
grep -q eos_id old/open_clip_config.json && fail "the config was not changed"
"$nclip" export --model worldwide --format open_clip --with old --out new >out
tr -d ' \n' <new/open_clip_config.json | grep -q '"text_cfg":{"eos_id":2,' || fail "no id: $(cat new/open_clip_config.json)"
"$nclip" export --model worldwide --format open_clip --with "$families" --out same >out
cmp same/open_clip_config.json "$families/open_clip_config.json" || fail "another config"
