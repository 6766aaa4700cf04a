#!/bin/sh
# nclip evaluate: every form that an item may have, on pictures whose answer is known; the result
# and each item's choice; what is refused.
set -eu
nclip=$1
folder=$2
model=$PWD/../configs/quickstart/model
. "$PWD/cli/shared/pictures.sh"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "evaluate.sh: $*" >&2
    exit 1
}

draw_pictures pictures

evaluate() { # benchmark, items, arguments
    benchmark=$1 items=$2
    shift 2
    "$nclip" evaluate "$benchmark" --model "$model" --annotations "$items" --images pictures \
        --items chosen.jsonl "$@" >result 2>log || fail "evaluate $benchmark $items: $(cat log)"
}
has() { # a piece of the result, where blanks do not count
    tr -d ' \t\n' <result | grep -qF "$1" || fail "no $1 in: $(cat result)"
}
chosen() { # the choices, in the items' order
    [ "$(sed -n 's/^{"index": \([0-9]*\), .*/\1/p' chosen.jsonl | tr '\n' ' ')" = "$2" ] ||
        fail "other items: $(cat chosen.jsonl)"
    [ "$(sed -n 's/.*"choice": \([0-9]*\), .*/\1/p' chosen.jsonl | tr '\n' ' ')" = "$1" ] ||
        fail "other choices than $1: $(cat chosen.jsonl)"
}

# ---- one phrase, several pictures ----

cat >pictures.json <<'END_OF_ITEMS'
[{"phrase": "a picture of a red circle", "images": ["blue-circle.png", "red-circle.png", "teal-triangle.png"], "answer": 1, "group": "plain"},
 {"phrase": "a picture of a blue rectangle", "images": ["blue-rectangle.png", "red-circle.png"], "answer": 0, "group": "plain"},
 {"phrase": "a picture of a black triangle", "images": ["blue-circle.png", "red-circle.png", "black-triangle.png", "red-rectangle.png"], "answer": 2, "group": "plain"},
 {"phrase": "a picture of a blue rectangle", "images": ["blue-rectangle.png", "red-circle.png"], "answer": 1, "group": "wrong"}]
END_OF_ITEMS
evaluate choices pictures.json --json
chosen "1 0 2 0 " "0 1 2 3 "
has '"benchmark":"choices","score":0.75,"n":4,"interval":['
has '"plain":{"score":1,"n":3,"interval":[1,1]}'
has '"wrong":{"score":0,"n":1,"interval":[0,0]}'
# Cosines, the largest of them chosen.
awk -F '[][]' '{
    n = split($2, score, ", ")
    match($1, /"choice": [0-9]+/)
    choice = substr($1, RSTART + 10, RLENGTH - 10) + 1
    for (i = 1; i <= n; i++)
        if (score[i] < -1 || score[i] > 1 || score[i] > score[choice]) exit 1
    options = options n " "
} END { if (options != "3 2 4 2 ") exit 1 }' chosen.jsonl || fail "scores: $(cat chosen.jsonl)"
cp chosen.jsonl fp32.jsonl

evaluate choices pictures.json # for people
grep -qE '^choices +75\.00% .* 4 items$' result || fail "no score in: $(cat result)"
grep -qE '^plain +100\.00% .* 3 items$' result || fail "no group in: $(cat result)"
cmp chosen.jsonl fp32.jsonl || fail "the same command gave other scores"
evaluate choices pictures.json --precision bf16 --json
chosen "1 0 2 0 " "0 1 2 3 "
cmp -s chosen.jsonl fp32.jsonl && fail "bf16 computes in fp32"

# ---- captions composed of what they affirm and deny ----

cat >denied.json <<'END_OF_ITEMS'
[{"phrase": "a shape that is not red", "images": ["red-circle.png", "blue-circle.png"], "answer": 1},
 {"phrase": "a circle that is not blue", "images": ["blue-circle.png", "red-circle.png"], "answer": 1},
 {"phrase": "a picture of a red circle", "images": ["blue-circle.png", "red-circle.png"], "answer": 1}]
END_OF_ITEMS
evaluate choices denied.json --json
chosen "0 0 1 " "0 1 2 "
grep -q '"method"' result && fail "a method without one: $(cat result)"
evaluate choices denied.json --method difference --json
chosen "1 1 1 " "0 1 2 "
has '"method":{"name":"difference","texts":3,"composed":2}'
evaluate choices denied.json --method difference
grep -qF 'Method: difference, of what 2 of 3 captions affirm and deny.' result || fail "$(cat result)"
evaluate choices denied.json --method space --threshold 0.8 --json
has '"method":{"name":"space","texts":3,"composed":2}'
cat >splits.jsonl <<'END_OF_SPLITS'
{"caption": "a shape that is not red", "affirmed": "a shape", "denied": "a red shape"}
{"caption": "a circle that is not blue", "affirmed": "a circle", "denied": "a blue circle"}
END_OF_SPLITS
evaluate choices denied.json --method difference --splits splits.jsonl --json
chosen "1 1 1 " "0 1 2 "
refused() { # exit code, part of the message, arguments
    wanted=$1 part=$2 status=0
    shift 2
    "$nclip" evaluate "$@" --model "$model" --images pictures >/dev/null 2>message || status=$?
    [ "$status" -eq "$wanted" ] || fail "evaluate $*: exit code $status: $(cat message)"
    grep -qF -e "$part" message || fail "\"$part\" is not in: $(cat message)"
}
head -n 1 splits.jsonl >short.jsonl
refused 3 'does not tell how "a circle that is not blue" is split' choices \
    --annotations denied.json --method space --splits short.jsonl
refused 2 '--threshold: 1 is no cosine' choices --annotations denied.json --method space --threshold 1
refused 2 'give --method difference or space too' choices --annotations denied.json --splits splits.jsonl
refused 2 '--method composes captions' zeroshot --method space
refused 2 'takes plain, difference' choices --annotations denied.json --method sum

# ---- one picture, several phrases ----

cat >phrases.json <<'END_OF_ITEMS'
[{"image": "red-circle.png", "phrases": ["a picture of a blue circle", "a picture of a red circle"], "answer": 1},
 {"image": "teal-triangle.png", "phrases": ["a picture of a teal triangle", "a picture of a black rectangle", "a picture of a red circle"], "answer": 0}]
END_OF_ITEMS
evaluate choices phrases.json --json
chosen "1 0 " "0 1 "
has '"score":1,"n":2,"interval":[1,1]'
grep -q groups result && fail "groups of items that have none: $(cat result)"

# A phrase and a picture have one cosine, whichever of them is the option.
cat >both.json <<'END_OF_ITEMS'
[{"phrase": "a picture of a red circle", "images": ["red-circle.png", "teal-triangle.png"], "answer": 0},
 {"image": "red-circle.png", "phrases": ["a picture of a red circle", "a picture of a blue circle"], "answer": 0},
 {"phrase": "a picture of a red circle", "image": "red-circle.png", "boxes": [[0, 0, 64, 64], [0, 0, 20, 20]], "answer": 0}]
END_OF_ITEMS
evaluate choices both.json --json
[ "$(sed 's/.*"scores": \[\([^,]*\),.*/\1/' chosen.jsonl | sort -u | wc -l)" = 1 ] ||
    fail "one pair, several cosines: $(cat chosen.jsonl)"

# ---- boxes of one picture ----

# The circle is in the middle; the corner is paper.
cat >boxes.json <<'END_OF_ITEMS'
[{"phrase": "a picture of a red circle", "image": "red-circle.png", "boxes": [[0, 0, 14, 14], [8, 8, 48, 48]], "answer": 1},
 {"phrase": "a picture of a red circle", "image": "red-circle.png", "boxes": [[8, 8, 48, 48], [0, 0, 14, 14], [50, 0, 14, 14]], "answer": 0}]
END_OF_ITEMS
evaluate choices boxes.json --json
chosen "1 0 " "0 1 "
has '"score":1,"n":2'

# ---- NegRefCOCOg's form, by both names ----

cat >negrefcocog.json <<'END_OF_ITEMS'
[{"image": "red-circle.png", "phrase": "a picture of a red circle", "ref_bbox": [8.5, 8, 47.25, 48], "bbox_list": [[0, 0, 14, 14], [8.5, 8, 47.25, 48]]},
 {"image": "red-circle.png", "phrase": "a picture of a red circle", "ref_bbox": [0, 0, 14, 14], "bbox_list": [[0, 0, 14, 14], [8.5, 8, 47.25, 48]]}]
END_OF_ITEMS
evaluate negrefcocog negrefcocog.json --json
chosen "1 1 " "0 1 "
[ "$(sed -n 's/.*"answer": \([0-9]*\), .*/\1/p' chosen.jsonl | tr '\n' ' ')" = "1 0 " ] ||
    fail "other answers: $(cat chosen.jsonl)"
has '"benchmark":"negrefcocog","score":0.5,"n":2,'
cp chosen.jsonl negrefcocog.jsonl
evaluate choices negrefcocog.json --json
cmp chosen.jsonl negrefcocog.jsonl || fail "choices and negrefcocog differ"

# Every form in one file; from standard input too.
{
    printf '['
    for file in pictures phrases boxes negrefcocog; do
        tr -d '\n' <$file.json | sed 's/^\[//; s/\]$//'
        [ $file = negrefcocog ] || printf ,
    done
    printf ']'
} >all.json
evaluate choices all.json --json
chosen "1 0 2 0 1 0 1 0 1 1 " "0 1 2 3 4 5 6 7 8 9 "
has '"score":0.8,"n":10,'
cp chosen.jsonl all.jsonl
evaluate choices - --json <all.json
cmp chosen.jsonl all.jsonl || fail "standard input gives another result"

# ---- what is refused ----

refuse() { # exit code, piece of the message, items, arguments
    wanted=$1 piece=$2
    printf '%s\n' "$3" >bad.json
    shift 3
    rm -f chosen.jsonl
    status=0
    "$nclip" evaluate choices --model "$model" --annotations bad.json --images pictures \
        --items chosen.jsonl "$@" >output 2>message || status=$?
    [ "$status" = "$wanted" ] || fail "$(cat bad.json) $*: exit code $status, not $wanted: $(cat message)"
    [ "$(grep -c "^nclip: " message)" = 1 ] || fail "$(cat bad.json) $*: not one sentence: $(cat message)"
    grep -qe "$piece" message || fail "$(cat bad.json) $*: no \"$piece\" in: $(cat message)"
    [ ! -s output ] && [ ! -e chosen.jsonl ] || fail "$(cat bad.json) $*: leaves a result"
}
good='{"phrase": "a", "images": ["red-circle.png", "blue-circle.png"], "answer": 0}'
refuse 3 'bad.json.*JSON' '[{"phrase": "a"'
refuse 3 'bad.json: expected a JSON array of items' '{}'
refuse 3 'bad.json: expected a JSON array of items' '[]'
refuse 3 'bad.json item 1: is not an object' "[$good, 3]"
refuse 3 'bad.json item 1:.*"phrase"' "[$good, {\"images\": [\"red-circle.png\", \"blue-circle.png\"], \"answer\": 0}]"
refuse 3 'bad.json item 0:.*"image"' '[{"phrases": ["a", "b"], "images": ["red-circle.png"], "answer": 0}]'
refuse 3 'bad.json item 0: "answer" is 2, but the options are numbered 0 to 1' \
    '[{"phrase": "a", "images": ["red-circle.png", "blue-circle.png"], "answer": 2}]'
refuse 3 'bad.json item 0: has 1 options; choosing needs two' \
    '[{"phrase": "a", "images": ["red-circle.png"], "answer": 0}]'
refuse 3 'item 0: a box is four numbers' \
    '[{"phrase": "a", "image": "red-circle.png", "boxes": [[0, 0, 8], [0, 0, 8, 8]], "answer": 0}]'
refuse 3 'item 0: "ref_bbox" is not in "bbox_list"' \
    '[{"phrase": "a", "image": "red-circle.png", "ref_bbox": [1, 2, 3, 4], "bbox_list": [[0, 0, 8, 8], [0, 0, 9, 9]]}]'
refuse 3 'pictures/gone.png: ' '[{"phrase": "a", "images": ["red-circle.png", "gone.png"], "answer": 0}]'
head -c 90 pictures/red-circle.png >pictures/cut.png
refuse 3 'pictures/cut.png: truncated PNG' '[{"phrase": "a", "images": ["red-circle.png", "cut.png"], "answer": 0}]'
refuse 3 '^nclip: gone: not a folder' "[$good]" --model gone
refuse 3 '^nclip: gone.json: ' "[$good]" --annotations gone.json
refuse 1 'nowhere/chosen.jsonl: ' "[$good]" --items nowhere/chosen.jsonl
status=0
"$nclip" evaluate riddles --model "$model" --annotations all.json --images pictures >output 2>message || status=$?
[ $status = 2 ] && grep -q 'there is no benchmark "riddles" here; there are negrefcocog, foils,' message ||
    fail "riddles: exit code $status: $(cat message)"
