#!/bin/sh
# nclip tokenize: lines in, JSON arrays out, the rules, the limits and the exit codes.
set -eu
nclip=$1
work=$2
rm -rf "$work"
mkdir -p "$work"
model=tokenizer/golden_tokenizer

fail() {
    echo "tokenize.sh: $*" >&2
    exit 1
}
expect() { # name, expected, got
    [ "$2" = "$3" ] || fail "$1: expected $2, got $3"
}

printf 'a cat\n\nno &amp; not' >"$work/captions.txt"
"$nclip" tokenize --model $model "$work/captions.txt" >"$work/ids" 2>"$work/log"
expect "lines" 3 "$(wc -l <"$work/ids" | tr -d ' ')"
expect "an empty line" "[2012,2013]" "$(sed -n 2p "$work/ids")"
expect "standard input" "$(cat "$work/ids")" "$("$nclip" tokenize --model $model <"$work/captions.txt" 2>/dev/null)"
expect "a dash" "$(cat "$work/ids")" "$("$nclip" tokenize --model $model - <"$work/captions.txt" 2>/dev/null)"
expect "a vocabulary file" "$(cat "$work/ids")" \
    "$("$nclip" tokenize --model $model/bpe.txt.gz "$work/captions.txt" 2>/dev/null)"
grep -q '^3 captions: 0 truncated to 77 ids, of which 0 lost a negation word; 0 skipped$' "$work/log" ||
    fail "summary: $(cat "$work/log")"

# The rules differ where there is an entity.
"$nclip" tokenize --model $model --rules open_clip "$work/captions.txt" >"$work/open_clip" 2>/dev/null
expect "a plain caption" "$(sed -n 1p "$work/ids")" "$(sed -n 1p "$work/open_clip")"
[ "$(sed -n 3p "$work/ids")" != "$(sed -n 3p "$work/open_clip")" ] || fail "an entity makes no difference"

# Too long.
printf 'a\na cat with no dog\n' >"$work/long.txt"
"$nclip" tokenize --model $model --context 3 "$work/long.txt" >"$work/ids" 2>"$work/log"
expect "truncated" 3 "$(sed -n 2p "$work/ids" | tr ',' '\n' | wc -l | tr -d ' ')"
expect "the last id" "2013]" "$(sed -n 2p "$work/ids" | sed 's/.*,//')"
grep -q '^2 captions: 1 truncated to 3 ids, of which 1 lost a negation word; 0 skipped$' "$work/log" ||
    fail "summary: $(cat "$work/log")"
"$nclip" tokenize --model $model --context 3 --too-long skip "$work/long.txt" >"$work/ids" 2>"$work/log"
expect "skipped" "[]" "$(sed -n 2p "$work/ids")"
grep -q '1 skipped$' "$work/log" || fail "summary: $(cat "$work/log")"
code=0
"$nclip" tokenize --model $model --context 3 --too-long error "$work/long.txt" >/dev/null 2>"$work/log" || code=$?
expect "exit code of a text that is too long" 3 $code
grep -q "long.txt: line 2" "$work/log" || fail "no line in: $(cat "$work/log")"
"$nclip" tokenize --model $model --context 0 --too-long error "$work/long.txt" >/dev/null 2>&1 || fail "--context 0"

# The context of a model with a config.json is its own.
cp $model/vocab.json $model/merges.txt "$work"
echo '{"model_type":"clip","text_config":{"max_position_embeddings":4}}' >"$work/config.json"
"$nclip" tokenize --model "$work" "$work/long.txt" 2>"$work/log" >/dev/null
grep -q '1 truncated to 4 ids' "$work/log" || fail "summary: $(cat "$work/log")"

# Wrong usage and bad input.
refuse() { # code, arguments
    expected=$1
    shift
    code=0
    "$nclip" tokenize "$@" </dev/null >/dev/null 2>"$work/log" || code=$?
    expect "exit code of tokenize $*" "$expected" $code
    [ -s "$work/log" ] || fail "no message from tokenize $*"
}
refuse 2
refuse 2 --model $model --rules hugging
refuse 2 --model $model --too-long cut
refuse 2 --model $model one two
refuse 3 --model $model "$work/missing.txt"
refuse 3 --model "$work/missing"
code=0
echo a | "$nclip" tokenize --model $model --context 1 >/dev/null 2>&1 || code=$?
expect "exit code of --context 1" 2 $code
if [ -w /dev/full ]; then
    code=0
    "$nclip" tokenize --model $model "$work/long.txt" >/dev/full 2>"$work/log" || code=$?
    expect "exit code of a full disk" 1 $code
fi
