#!/bin/sh
# Pictures as people have them: damaged ones that PIL reads, transparent ones, kinds that are not
# read, and ones that an evaluation passes over when asked.
set -eu
nclip=$1
folder=$2
tests=$PWD
images=$PWD/pictures/images
model=$PWD/../configs/quickstart/model
. "$PWD/cli/shared/pictures.sh"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "pictures.sh: $*" >&2
    exit 1
}
draw_pictures pictures

encode() { # out, picture, arguments
    out=$1 picture=$2
    shift 2
    "$nclip" encode --model "$model" --images "$picture" --out "$out" "$@" 2>log ||
        fail "encode $picture $*: $(cat log)"
}
refuse() { # exit code, piece of the message, command
    code=$1 piece=$2
    shift 2
    status=0
    "$@" >output 2>message || status=$?
    [ $status = "$code" ] || fail "$*: exit code $status: $(cat message)"
    grep '^nclip: ' message | grep -qF "$piece" || fail "$*: no \"$piece\" in: $(cat message)"
}

# ---- damage ----

mkdir damaged
cp "$images/damaged_crc.png" "$images/damaged_premature_end.jpg" "$images/rgb.png" damaged
encode a.npy damaged
grep -q '^2 damaged pictures were read as PIL reads them (--strict refuses them): damaged_crc.png: a wrong checksum at byte 33; damaged_premature_end.jpg: .*premature end' log ||
    fail "not told: $(cat log)"
encode whole.npy damaged/rgb.png
[ ! -s log ] || fail "a whole picture is told of: $(cat log)"
encode crc.npy damaged/damaged_crc.png
cmp whole.npy crc.npy || fail "a wrong checksum changes the pixels"
refuse 3 'damaged_crc.png: damaged, which --strict refuses: a wrong checksum at byte 33' \
    "$nclip" encode --model "$model" --images damaged --out b.npy --strict

"$nclip" embed --model "$model" --images damaged --out store --json >result 2>log || fail "$(cat log)"
grep -q '"embedded":3,"rows":3,"skipped":0,"damaged":2,' result || fail "not 2 damaged: $(cat result)"
[ "$(sed 's/","reason.*//' store/damaged.jsonl | tr '\n' ' ')" = \
    '{"key":"damaged_crc.png {"key":"damaged_premature_end.jpg ' ] || fail "$(cat store/damaged.jsonl)"
cp "$images/damaged_no_end.png" damaged # what was noted stays
"$nclip" embed --model "$model" --images damaged --out store --json >result 2>log || fail "$(cat log)"
grep -q '"embedded":1,"rows":4,"skipped":0,"damaged":3,' result || fail "not 3 damaged: $(cat result)"
"$nclip" embed --model "$model" --images damaged --out strict --strict --json >result 2>log || fail "$(cat log)"
grep -q '"embedded":1,"rows":1,"skipped":3,"damaged":0,' result || fail "not 3 skipped: $(cat result)"

# ---- transparency ----

cp -r "$model" white
sed -i 's/"do_resize"/"transparency": "white", "do_resize"/' white/preprocessor_config.json
encode drop.npy "$images/rgba.png"
encode white.npy "$images/rgba.png" --transparency white
cmp -s drop.npy white.npy && fail "white is dropped"
model=$PWD/white encode own.npy "$images/rgba.png"
cmp white.npy own.npy || fail "the model's own rule is not followed"
model=$PWD/white encode own.npy "$images/rgba.png" --transparency drop
cmp drop.npy own.npy || fail "the option does not go before the model's rule"
refuse 3 'pictures were preprocessed differently' \
    "$nclip" embed --model "$model" --images damaged --out store --transparency white

# ---- kinds ----

printf 'GIF89a....' >animation.gif
printf '\000\000\000 ftypavif....' >photo.avif
encode webp.npy "$images/lossy.webp"
mkdir kinds && mv animation.gif photo.avif kinds && cp "$images/lossless_alpha.webp" kinds
"$nclip" embed --model "$model" --images kinds --out kinds.store >result 2>log || fail "$(cat log)"
grep -q 'animation.gif: a GIF' kinds.store/skipped.jsonl || fail "$(cat kinds.store/skipped.jsonl)"
grep -q 'photo.avif: an AVIF picture' kinds.store/skipped.jsonl || fail "$(cat kinds.store/skipped.jsonl)"

# ---- a preprocessor's keys ----

cp -r "$model" square
tr -d '\n' <"$model/preprocessor_config.json" |
    sed 's/"size": *{[^}]*}/"size": 64, "default_to_square": true/' >square/preprocessor_config.json
grep -q default_to_square square/preprocessor_config.json || fail "no size in the model's preprocessor"
encode plain.npy "$images/444.jpg"
model=$PWD/square encode square.npy "$images/444.jpg"
cmp -s plain.npy square.npy && fail "default_to_square made no difference"
sed -i 's/"default_to_square": true/"crop_pct": 0.875/' square/preprocessor_config.json
refuse 3 '"crop_pct" may change pixels' "$nclip" encode --model square --images "$images/444.jpg" --out x.npy

# ---- an evaluation passes over unreadable pictures only when asked ----

cp -r pictures broken
head -c 60 pictures/red-circle.png >broken/red-circle.png
rm broken/teal-triangle.png
cat >all.json <<'END_OF_ITEMS'
[{"phrase": "a picture of a red circle", "images": ["blue-circle.png", "red-circle.png"], "answer": 1},
 {"phrase": "a picture of a blue rectangle", "images": ["blue-rectangle.png", "black-circle.png"], "answer": 0},
 {"image": "teal-triangle.png", "phrases": ["a picture of a teal triangle", "a picture of a red circle"], "answer": 0},
 {"image": "black-circle.png", "phrases": ["a picture of a teal triangle", "a picture of a black circle"], "answer": 0},
 {"phrase": "a picture of a red circle", "image": "red-circle.png", "boxes": [[0, 0, 9, 9], [8, 8, 48, 48]], "answer": 1}]
END_OF_ITEMS
printf '[' >few.json
sed -n '2p' all.json >>few.json
sed -n '4p' all.json | sed 's/,$/]/' >>few.json
evaluate() { # benchmark, annotations, pictures, arguments
    benchmark=$1 annotations=$2 from=$3
    shift 3
    "$nclip" evaluate "$benchmark" --model "$model" ${annotations:+--annotations "$annotations"} \
        --images "$from" --json --items "$@" >result 2>log || fail "evaluate $benchmark $*: $(cat log)"
}
has() {
    tr -d ' \t\n' <result | grep -qF "$1" || fail "no $1 in: $(cat result)"
}
same() { # the benchmark's score over what is there alone; the items' numbers are those of all
    tr -d ' \t\n' <result | sed 's/.*\("score":[^]]*\]\).*/\1/; s/"unreadable.*//' >with
    evaluate "$1" "$2" "$3" few.jsonl
    tr -d ' \t\n' <result | sed 's/.*\("score":[^]]*\]\).*/\1/' >without
    cmp with without || fail "$1: another score than over what is there: $(cat with without)"
    [ "$(sed 's/{"index": \([0-9]*\),.*/\1/' chosen.jsonl | tr '\n' ' ')" = "$4" ] ||
        fail "$1: other numbers: $(cat chosen.jsonl)"
}

refuse 3 'broken/red-circle.png: truncated PNG' "$nclip" evaluate choices --model "$model" \
    --annotations all.json --images broken
evaluate choices all.json broken chosen.jsonl --skip-unreadable
grep -q '^2 pictures could not be read and were passed over: red-circle.png: .*truncated PNG.*; teal-triangle.png: ' log ||
    fail "not told: $(cat log)"
has '"n":2,'
has '"unreadable":2,"left_out":3'
same choices few.json pictures "1 3 "
mkdir none
refuse 3 'no picture could be read' "$nclip" evaluate choices --model "$model" --annotations all.json \
    --images none --skip-unreadable

write_captions captions.jsonl
grep -v -e red-circle.png -e teal-triangle.png captions.jsonl >few-captions.jsonl
evaluate retrieval captions.jsonl broken chosen.jsonl --skip-unreadable
has '"unreadable":2,"left_out":18' # 2 pictures with 8 captions each
numbers=$(awk '!/red-circle.png|teal-triangle.png/ { print NR - 1 }' captions.jsonl | tr '\n' ' ')
pictures=$(sed 's/.*"image": *"\([^"]*\)".*/\1/' captions.jsonl | awk '!seen[$0]++' |
    awk '!/red-circle.png|teal-triangle.png/ { print 192 + NR - 1 }' | tr '\n' ' ')
same retrieval few-captions.jsonl pictures "$numbers$pictures"

for kind in circle rectangle triangle; do
    mkdir -p "classes/$kind" "readable/$kind"
    cp pictures/*-$kind.png "classes/$kind" && cp pictures/*-$kind.png "readable/$kind"
done
cp broken/red-circle.png classes/circle
rm readable/circle/red-circle.png
printf '%s\tpicture of a %s\n' circle circle rectangle rectangle triangle triangle >classes.txt
echo 'a {}' >templates.txt
evaluate zeroshot "" classes chosen.jsonl --classes classes.txt --templates templates.txt --skip-unreadable
has '"unreadable":1,"left_out":1'
tr -d ' \t\n' <result | sed 's/.*\("score":[^]]*\]\).*/\1/' >with
evaluate zeroshot "" readable few.jsonl --classes classes.txt --templates templates.txt
tr -d ' \t\n' <result | sed 's/.*\("score":[^]]*\]\).*/\1/' >without
cmp with without || fail "zeroshot: another score than over what is there: $(cat with without)"
[ "$(sed 's/{"index": \([0-9]*\),.*/\1/' chosen.jsonl | tr '\n' ' ')" = \
    "$(ls classes/*/*.png | awk '!/red-circle/ { print NR - 1 }' | tr '\n' ' ')" ] || fail "zeroshot: other numbers"

printf '2\nRed Circle\n' >list_attr_celeba.txt
: >list_eval_partition.txt
for picture in red-circle blue-circle teal-triangle red-rectangle; do
    red=-1 circle=-1
    case $picture in red-*) red=1 ;; esac
    case $picture in *-circle) circle=1 ;; esac
    echo "$picture.png $red $circle" >>list_attr_celeba.txt
    echo "$picture.png 2" >>list_eval_partition.txt
done
sed -i '1s/.*/4/' list_attr_celeba.txt
printf 'Red\ta red shape\ta shape that is not red\nCircle\ta circle\ta shape that is not a circle\n' >prompts.txt
evaluate attributes list_attr_celeba.txt broken chosen.jsonl --prompts prompts.txt --skip-unreadable
has '"n":2,'
has '"unreadable":2,"left_out":4'
[ "$(sed 's/{"index": \([0-9]*\),.*/\1/' chosen.jsonl | tr '\n' ' ')" = "2 3 6 7 " ] ||
    fail "attributes: other numbers: $(cat chosen.jsonl)"

# ---- and so does the report of several ----

cat >suite.json <<'END_OF_SUITE'
{"benchmarks": [{"name": "mine", "benchmark": "choices", "annotations": "all.json", "images": "broken"}]}
END_OF_SUITE
refuse 3 'broken/red-circle.png: truncated PNG' "$nclip" evaluate report --model "one=$model" \
    --model "two=$model" --data . --suite suite.json --out report.html
"$nclip" evaluate report --model "one=$model" --model "two=$model" --data . --suite suite.json \
    --out report.html --skip-unreadable >result 2>log || fail "report: $(cat log)"
for name in one two; do # the second takes over what the first computed
    grep -qx "mine, $name: 2 pictures could not be read, 3 items are left out." result || fail "report: $(cat result)"
done
"$nclip" evaluate report --model "one=$model" --data . --suite suite.json --out report.html \
    --skip-unreadable --json >result 2>log || fail "report: $(cat log)"
has '"unreadable":2,"left_out":3'
