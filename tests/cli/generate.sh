#!/bin/sh
# nclip generate vqa: files in, files out, exit codes.
set -eu
nclip=$1
folder=$2
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "$1" >&2
    exit 1
}

cat >questions.json <<'END'
[["what shape is present?", "circle", 3], ["is there a red shape?", "no", 3],
 ["how many?", "one", 3]]
END
"$nclip" generate vqa --questions questions.json --image-name 'train/{id}.png' --out captions.json \
    --rejects rejects.jsonl --json >counts.json
grep -q '"negated": 1' counts.json || fail "counts: $(cat counts.json)"
grep -q '"file_name": "train/3.png"' captions.json || fail "no picture in captions.json"
grep -q 'how many' rejects.jsonl || fail "a question was lost"

# Standard input says the same.
"$nclip" generate vqa --questions - --image-name 'train/{id}.png' --out again.json \
    <questions.json >/dev/null
cmp captions.json again.json || fail "the same questions gave other captions"

expect() { # arguments of nclip generate; $wanted is the exit code
    status=0
    "$nclip" generate "$@" >/dev/null 2>message || status=$?
    [ "$status" -eq "$wanted" ] || fail "generate $*: exit code $status: $(cat message)"
}
wanted=2
expect absence
expect
expect nonsense
expect vqa
expect vqa --questions questions.json --image-name 'x.png' --out o.json
expect vqa --questions questions.json --image-name '{id}.png' --out o.json --plain 2
expect vqa --questions questions.json --image-name '{id}.png' --out o.json --rewriter llm
grep -q 'name them with --captions' message || fail "no captions: $(cat message)"
expect vqa --questions questions.json --image-name '{id}.png' --out o.json --rewriter llm \
    --captions captions.json
grep -q 'a text model is needed' message || fail "no model: $(cat message)"
wanted=3
echo '[["is there' >broken.json
expect vqa --questions broken.json --image-name '{id}.png' --out o.json
grep -q 'broken.json' message || fail "the message does not name the file: $(cat message)"
wanted=1
expect vqa --questions questions.json --image-name '{id}.png' --out missing/o.json
[ ! -e o.json ] || fail "a failed run left a file"
