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
"$nclip" generate vqa --questions questions.json --image-name '{id:2}/{id}-{id:003}.png' --out - \
    2>log | grep -q '"file_name": "03/3-003.png"' || fail "no slot but the first is filled"
grep -q 'how many' rejects.jsonl || fail "a question was lost"

# Standard input says the same.
"$nclip" generate vqa --questions questions.json --image-name 'train/{id}.png' --out - >printed.json 2>log ||
    fail "generate vqa --out -: $(cat log)"
grep -q '"annotations"' printed.json || fail "--out - prints no captions: $(head -c 200 printed.json)"
[ ! -e ./- ] || fail "--out - made a file of that name"
"$nclip" generate vqa --questions - --image-name 'train/{id}.png' --out again.json \
    <questions.json >/dev/null
cmp captions.json again.json || fail "the same questions gave other captions"

# VQA v2: questions, answers and captions in three files.
cat >v2.json <<'END'
{"questions": [{"image_id": 9, "question": "Is the man wearing a hat?", "question_id": 1},
 {"image_id": 9, "question": "Is it day or night?", "question_id": 2},
 {"image_id": 9, "question": "Is there a dog?", "question_id": 3}]}
END
cat >answers.json <<'END'
{"annotations": [{"question_id": 1, "image_id": 9, "multiple_choice_answer": "no",
  "answers": [{"answer": "no"}, {"answer": "no"}, {"answer": "no"}, {"answer": "no"}]},
 {"question_id": 2, "image_id": 9, "multiple_choice_answer": "no"},
 {"question_id": 3, "image_id": 9, "multiple_choice_answer": "no",
  "answers": [{"answer": "no"}, {"answer": "no"}, {"answer": "yes"}, {"answer": "no"}]}]}
END
cat >given.json <<'END'
{"images": [{"id": 9, "file_name": "COCO_train2014_000000000009.jpg"}],
 "annotations": [{"image_id": 9, "caption": "A man on a street."}]}
END
v2() {
    "$nclip" generate vqa --rewriter rules --questions v2.json --annotations answers.json \
        --captions given.json --image-name 'COCO_train2014_{id:012}.jpg' --out negated.json \
        --rejects left.jsonl --json "$@" >counts.json
}
v2
grep -q '"updated_caption":"A man on a street.*the man is not wearing a hat"' negated.json ||
    fail "VQA v2: $(cat negated.json)"
grep -q '"negated": 1,.*"undecided": 1,' counts.json || fail "VQA v2: $(cat counts.json)"
grep -q '"is the ...": {"asked": 1, "written": 1}, "... or ...": {"asked": 1, "written": 0}' \
    counts.json || fail "coverage: $(cat counts.json)"
grep -q 'asks which of two' left.jsonl || fail "not listed: $(cat left.jsonl)"
v2 --agreement 0.7
grep -q '"negated": 2,' counts.json || fail "agreement: $(cat counts.json)"

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
for pattern in '{id:1x}.png' '{id:x}' '{id:}' '{id:012' '{id:012 }' '{id:123}' '{id:-1}' '{id }' '{ids}' \
    '{id}/{id:1x}.png'; do
    expect vqa --questions questions.json --image-name "$pattern" --out o.json
    grep -qF "\"$pattern\"" message || fail "$pattern: $(cat message)"
done
expect vqa --questions questions.json --image-name '{id}.png' --out o.json --plain 2
expect vqa --questions questions.json --image-name '{id}.png' --out o.json --rewriter llm
grep -q 'name them with --captions' message || fail "no captions: $(cat message)"
expect vqa --questions questions.json --image-name '{id}.png' --out o.json --rewriter llm \
    --captions captions.json
grep -q 'a text model is needed' message || fail "no model: $(cat message)"
expect vqa --questions questions.json --image-name '{id}.png' --out o.json --agreement 0
expect vqa --questions v2.json --image-name '{id}.png' --out o.json
grep -q -e '--annotations' message || fail "VQA v2 without answers: $(cat message)"
wanted=3
echo '[["is there' >broken.json
expect vqa --questions broken.json --image-name '{id}.png' --out o.json
grep -q 'broken.json' message || fail "the message does not name the file: $(cat message)"
wanted=1
expect vqa --questions questions.json --image-name '{id}.png' --out missing/o.json
[ ! -e o.json ] || fail "a failed run left a file"
