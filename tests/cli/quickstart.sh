#!/bin/sh
# The quick start's committed files fit the program and each other. (The quick start itself needs
# the network: sh configs/quickstart/run.sh.)
set -eu
nclip=$1
folder=$2
quickstart=$PWD/../configs/quickstart
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "$1" >&2
    exit 1
}

bytes=$(cat "$quickstart"/model/* | wc -c)
[ "$bytes" -le 4000000 ] || fail "the model has $bytes bytes, more than 4 MB"
"$nclip" info "$quickstart/model" >info || fail "the model does not open"

# Every held-out phrasing is one that the rules have, and none of it comes out.
cat >questions.json <<'END'
[["what shape is present?", "circle", 0], ["what color is the shape?", "blue", 0],
 ["is there a red shape?", "no", 0], ["is there a triangle?", "no", 0],
 ["what shape is present?", "circle", 1], ["what color is the shape?", "red", 1],
 ["is there a blue shape?", "no", 1]]
END
for seed in 1 2 3 4 5 6 7 8; do
    "$nclip" generate vqa --questions questions.json --image-name '{id}.png' --plain 1 \
        --held-out "$quickstart/held_out.json" --seed "$seed" --out captions.json --json >counts
    grep -q '"held_out": 3' counts || fail "a red circle was trained on: $(cat counts)"
    grep '"updated_caption"' captions.json >captions
    [ "$(wc -l <captions)" -eq 4 ] || fail "not 4 captions: $(cat captions)"
    if grep -e '"a picture with no {thing}"' -e 'the {subject} is not' -e ', but not {quality}' \
        captions; then
        fail "a held-out phrasing came out"
    fi
done
grep -q '"group": "negation/held-out pair"' "$quickstart/items.json" || fail "no held-out items"
