#!/bin/sh
# nclip evaluate foils, retrieval, zeroshot and attributes, and nclip build negrefcocog: each
# benchmark's own format, on pictures whose answer is known; pictures from a store; what is refused.
set -eu
nclip=$1
folder=$2
model=$PWD/../configs/quickstart/model
. "$PWD/cli/shared/pictures.sh"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "benchmarks.sh: $*" >&2
    exit 1
}

draw_pictures pictures
"$nclip" embed --model "$model" --images pictures --out store >output 2>log || fail "embed: $(cat log)"

evaluate() { # benchmark, arguments
    "$nclip" evaluate "$@" --model "$model" --items chosen.jsonl --json >result 2>log ||
        fail "evaluate $*: $(cat log)"
}
has() { # a piece of the result, where blanks do not count
    tr -d ' \t\n' <result | grep -qF "$1" || fail "no $1 in: $(cat result)"
}
chosen() { # the choices, in the items' order
    [ "$(sed -n 's/.*"choice": \([0-9]*\), .*/\1/p' chosen.jsonl | tr '\n' ' ')" = "$1" ] ||
        fail "other choices than $1: $(cat chosen.jsonl)"
}
refuse() { # exit code, piece of the message, arguments of nclip
    wanted=$1 piece=$2
    shift 2
    rm -f chosen.jsonl
    status=0
    "$nclip" "$@" >output 2>message || status=$?
    [ "$status" = "$wanted" ] || fail "$*: exit code $status, not $wanted: $(cat message)"
    [ "$(grep -c "^nclip: " message)" = 1 ] || fail "$*: not one sentence: $(cat message)"
    grep -qe "$piece" message || fail "$*: no \"$piece\" in: $(cat message)"
    [ ! -s output ] && [ ! -e chosen.jsonl ] || fail "$*: leaves a result"
}

# ---- foils: VALSE ----

mkdir valse
cat >valse/existence.json <<'END'
{"a": {"image_file": "red-circle.png", "caption": "a picture of a red circle", "foil": "a picture of a blue circle", "mturk": {"caption": 3, "foil": 0, "other": 0}},
 "b": {"image_file": "red-circle.png", "caption": "a picture of a blue circle", "foil": "a picture of a red circle", "mturk": {"caption": 2, "foil": 0, "other": 1}},
 "c": {"image_file": "red-circle.png", "caption": "a picture of a red circle", "foil": "a picture of a RED circle", "mturk": {"caption": 3, "foil": 0, "other": 0}},
 "not valid": {"image_file": "gone.png", "caption": "a picture", "foil": "no picture", "mturk": {"caption": 1, "foil": 2, "other": 0}}}
END
evaluate foils --annotations valse/existence.json --images pictures
chosen "0 1 1 " # the third: equal cosines count as wrong
has '"benchmark":"foils","score":0.33333333333333331,"n":3,"interval":['
grep -q 'warning: valse/existence.json: has 4 entries, the published existence.json has 534: the score is that of a part' log ||
    fail "no warning of a part: $(cat log)"
has '"definition":"shareofitemswhosecaptionhasahighercosinewiththepicturethanitsfoils;' # as ties are counted
mkdir more && awk 'BEGIN { for (i = 0; i < 535; i++) printf "%s\"%d\": {\"image_file\": \"red-circle.png\", \"caption\": " \
    "\"a\", \"foil\": \"b\", \"mturk\": {\"caption\": 3}}", i ? ",\n" : "{", i; print "}" }' >more/existence.json
evaluate foils --annotations more/existence.json --embeddings store
grep -q 'has 535 entries, the published existence.json has 534: it is another file' log ||
    fail "no warning of more: $(cat log)"
sed 's/, *"c": .*"other": 0}}/}/; /^ "c"/d; /^ "not valid"/d; s/"other": 1}},$/"other": 1}}}/' valse/existence.json >valse/mine.json
evaluate foils --annotations valse --images pictures
has '"score":0.41666666666666663,"n":5' # the mean of 1/3 and 1/2
has '"existence":{"score":0.33333333333333331,"n":3'
has '"mine":{"score":0.5,"n":2'
cp chosen.jsonl files.jsonl
evaluate foils --annotations valse --embeddings store
[ "$(sed 's/, "scores.*//' chosen.jsonl)" = "$(sed 's/, "scores.*//' files.jsonl)" ] || fail "a store gives other choices"

# ---- foils: SugarCrepe, CC-Neg, CREPE, NegBench ----

cat >sugar.json <<'END'
{"0": {"filename": "teal-triangle.png", "caption": "a picture of a teal triangle", "negative_caption": "a picture of a black triangle"},
 "1": {"filename": "blue-rectangle.png", "caption": "a picture of a red rectangle", "negative_caption": "a picture of a blue rectangle"}}
END
evaluate foils --annotations sugar.json --images pictures
chosen "0 1 "
has '"score":0.5,"n":2'

cat >ccneg.json <<'END'
{"image_paths": ["/workspace/datasets/cc3m/red-circle.png", "/workspace/datasets/cc3m/red-circle.png"],
 "annotations": [{"json": {"caption": "a picture of a red circle"}, "sop_data": {"negative-prompt": "a picture, of a red circle"}},
                 {"json": {"caption": "a picture of a blue circle"}, "sop_data": {"negative-prompt": "a picture of a red circle"}}]}
END
evaluate foils --annotations ccneg.json --images pictures
chosen "0 1 " # the first of equals is chosen; equal, since commas are dropped
head -1 chosen.jsonl | grep -qE '"scores": \[([-0-9.]+), \1\]' || fail "commas are not dropped: $(cat chosen.jsonl)"
has '"definition":"shareofpairswhosecaptionhasatleastthecosinewiththepicturethatitsnegationhas"'

mkdir vg && cp pictures/red-circle.png vg/7.jpg
cat >negate.csv <<'END'
,image_id,caption,hard_negs,x,y,width,height
0,7,a picture of a red circle,"['a picture of a blue circle', ""a picture of a black circle"", 'a picture of a gray \'triangle\'']",8,8,48,48
1,7,a picture of a blue circle,"['a picture of a red circle', 'a picture of a gray circle']",8.0,8.0,48.0,48.0
END
evaluate foils --annotations negate.csv --images vg
chosen "0 1 "
has '"score":0.5,"n":2'
refuse 3 'a store holds whole pictures' evaluate foils --model "$model" --annotations negate.csv --embeddings store --items chosen.jsonl

printf 'correct_answer,caption_0,caption_1,caption_2,caption_3,correct_answer_template,image_path\r\n' >mcq.csv
printf '0,a picture of a red circle,"a picture, of a blue circle",a picture of a black triangle,a picture of a teal rectangle,positive,data/val/red-circle.png\r\n' >>mcq.csv
printf '2,a picture of a red circle,a picture of a gray circle,a picture of a black triangle,a picture of a teal rectangle,hybrid,data/val/red-circle.png\r\n' >>mcq.csv
printf '1,a picture of a red circle,a picture of a blue rectangle,a picture of a black triangle,a picture of a teal rectangle,hybrid,data/val/blue-rectangle.png\r\n' >>mcq.csv
evaluate foils --annotations mcq.csv --embeddings store
chosen "0 0 1 "
has '"score":0.66666666666666663,"n":3'
has '"definition":"shareofquestionswhoserightcaptionhasthehighestcosinewiththepicture,thefirstofequals"'
has '"mcq/positive":{"score":1,"n":1'
has '"mcq/hybrid":{"score":0.5,"n":2'

mkdir mixed && cp valse/existence.json mcq.csv mixed
foils="evaluate foils --model $model --images pictures --items chosen.jsonl --annotations"
refuse 3 'mixed/mcq.csv: is of NegBench, but the other files of the folder are of VALSE' $foils mixed
bad() { # piece of the message, file name, content
    printf "$3" >"$2"
    refuse 3 "$1" $foils "$2"
}
bad 'bad.json: not valid JSON in a.foil at line 1' bad.json '{"a": {"foil"'
bad 'bad.json: holds no foils' bad.json '{"a": 3}'
bad 'bad.json: holds no foils' bad.json '[1, 2]'
bad 'bad.json: "a": "mturk" is missing' bad.json '{"a": {"image_file": "a", "foil": "b"}}'
bad 'bad.json: "a": "caption" is not a whole number' bad.json '{"a": {"image_file": "a", "foil": "b", "mturk": {"caption": "x"}}}'
bad 'bad.json: "a": "caption" is not a string' bad.json '{"a": {"image_file": "a", "foil": "b", "caption": [], "mturk": {"caption": 3}}}'
bad 'bad.json: holds no item' bad.json '{"a": {"image_file": "a", "foil": "b", "caption": "c", "mturk": {"caption": 1}}}'
bad 'bad.json: "b": "negative_caption" is missing' bad.json '{"a": {"filename": "a", "negative_caption": "b", "caption": "c"}, "b": {"filename": "a", "caption": "c"}}'
bad 'bad.json: has 1 image_paths but 2 annotations' bad.json '{"image_paths": ["a"], "annotations": [1, 2]}'
bad 'bad.json: annotations\[0\]: "json" is missing' bad.json '{"image_paths": ["a"], "annotations": [1]}'
bad 'bad.csv line 1: a quote is never closed' bad.csv 'correct_answer,"caption_0\n1,2\n'
bad 'bad.csv line 2: has 1 fields, but the first line names 2 columns' bad.csv 'correct_answer,caption_0\n1\n'
bad 'bad.csv: expected a CSV file' bad.csv 'correct_answer,caption_0\n'
bad 'bad.csv: holds no foils' bad.csv 'a,b\n1,2\n'
bad 'bad.csv: has no column "image_path"' bad.csv 'correct_answer,caption_0\n1,2\n'
bad 'bad.csv line 2: "correct_answer" is "x" (expected a whole number)' bad.csv 'correct_answer,caption_0,caption_1,image_path\nx,a,b,c\n'
bad 'bad.csv line 2: "answer" is 2, but' bad.csv 'correct_answer,caption_0,caption_1,image_path\n2,a,b,c\n'
bad 'bad.csv line 3: the picture.s name is empty' bad.csv 'correct_answer,caption_0,caption_1,image_path\n1,a,b,c\n1,a,b,\n'
bad 'bad.csv line 2: "hard_negs": expected a list of strings' bad.csv 'image_id,caption,hard_negs,x,y,width,height\n1,a,"[1]",0,0,1,1\n'
bad 'bad.csv line 2: "hard_negs": expected a list of strings' bad.csv "image_id,caption,hard_negs,x,y,width,height\n1,a,['b,0,0,1,1\n"
bad 'bad.csv line 2: "width" is "nan" (expected a number)' bad.csv "image_id,caption,hard_negs,x,y,width,height\n1,a,['b'],0,0,nan,1\n"

# ---- retrieval ----

cat >karpathy.json <<'END'
{"dataset": "coco", "images": [
 {"filepath": "val2014", "filename": "red-circle.png", "split": "test", "sentences": [{"raw": "a picture of a red circle"}, {"raw": "a picture of a blue rectangle"}]},
 {"filepath": "val2014", "filename": "blue-rectangle.png", "split": "test", "sentences": [{"raw": "a picture of a blue rectangle"}, {"raw": "there is a blue rectangle"}, {"raw": "a picture of a blue rectangle"}, {"raw": "a picture of a blue rectangle"}, {"raw": "a picture of a blue rectangle"}, {"raw": "the sixth is left out"}]},
 {"filepath": "val2014", "filename": "gone.png", "split": "train", "sentences": []},
 {"filepath": "val2014", "filename": "black-triangle.png", "split": "test", "sentences": [{"raw": "a picture of a black triangle"}]}]}
END
evaluate retrieval --annotations karpathy.json --images pictures
chosen "0 1 1 1 1 1 1 2 0 3 7 " # eight captions, then three pictures
has '"score":1,"n":8,' # three pictures: all are among five
has '"texttoimage,recallat1":{"score":0.875,"n":8,'
has '"imagetotext,recallat1":{"score":1,"n":3,'
cat >negated.csv <<'END'
filepath,image_id,captions
/data/coco/val2017/red-circle.png,1,"['a picture of a red circle', ""a picture of a red circle""]"
/data/coco/val2017/teal-triangle.png,2,"['a picture of a teal triangle']"
END
evaluate retrieval --annotations negated.csv --embeddings store
chosen "0 0 1 0 2 "
sed 's/"split": "train"/"split": "test"/' karpathy.json >empty.json # gone.png, without a sentence
refuse 3 'empty.json: images\[2\]: "sentences" is empty: no caption is of this picture' evaluate retrieval --model "$model" --images pictures \
    --annotations empty.json
printf 'filepath,captions\nred-circle.png,[]\n' >empty.csv
refuse 3 'empty.csv line 2: "captions" is empty: no caption is of this picture' evaluate retrieval --model "$model" --images pictures --annotations empty.csv
write_captions captions.jsonl
evaluate retrieval --annotations captions.jsonl --embeddings store
has '"texttoimage,recallat10":{"score":'
refuse 3 'karpathy.json: has no captions of the split "val"' evaluate retrieval --model "$model" --annotations karpathy.json --images pictures --split val
refuse 3 'bad.json: images\[0\]: "sentences" is missing' evaluate retrieval --model "$model" --images pictures --annotations bad.json \
    $(echo '{"images": [{"split": "test", "filename": "a.png"}]}' >bad.json)
refuse 3 'bad.csv: has no column "filepath"' evaluate retrieval --model "$model" --images pictures --annotations bad.csv
refuse 2 'evaluate retrieval: needs --annotations: dataset_coco.json' evaluate retrieval --model "$model" --images pictures

# ---- zeroshot ----

for color in red blue teal; do
    mkdir -p "classes/$color"
    for shape in circle rectangle; do
        cp "pictures/$color-$shape.png" "classes/$color"
    done
done
printf 'a picture of a {} circle\na picture of a {} rectangle\n' >templates.txt
evaluate zeroshot --images classes --templates templates.txt
has '"score":1,"n":6'
has '"meanperclass":{"score":1,"n":6'
grep -q 'top-5' result && fail "top-5 of three classes: $(cat result)"
chosen "0 0 1 1 2 2 "
printf '# mine\nblue\tred\nred\tblue\nteal\tteal\nblack\tblack\ngray\tgray\n' >classes.txt
"$nclip" embed --model "$model" --images classes --out classes.store --store-type bf16 >output 2>log || fail "embed: $(cat log)"
evaluate zeroshot --embeddings classes.store --classes classes.txt --templates templates.txt
chosen "1 1 0 0 2 2 "
has '"score":0.33333333333333331,"n":6'
has '"top-5":{"score":1,"n":6'
refuse 3 'classes.txt line 2: has 3 fields between tabs' evaluate zeroshot --model "$model" --images classes --classes classes.txt \
    $(printf '\na\tb\tc\n' >classes.txt)
refuse 3 'its folder is no class of classes.txt' evaluate zeroshot --model "$model" --images classes --classes classes.txt \
    $(printf 'red\nblue\n' >classes.txt)
refuse 3 'templates.txt line 1: has no {}' evaluate zeroshot --model "$model" --images classes --templates templates.txt \
    $(echo 'a photo' >templates.txt)
refuse 3 'lies in no folder' evaluate zeroshot --model "$model" --images pictures
refuse 3 'its folder is no class of imagenet.txt' evaluate zeroshot --model "$model" --images classes --classes imagenet.txt

# ---- attributes ----

mkdir celeba
cat >celeba/list_attr_celeba.txt <<'END'
4
Red Round
red-circle.png  1  1
blue-circle.png -1  1
red-rectangle.png  1 -1
gone.png  1 -1
END
printf 'red-circle.png 2\nblue-circle.png 2\nred-rectangle.png 2\ngone.png 0\n' >celeba/list_eval_partition.txt
printf 'Red\ta picture of a red circle\ta picture of a blue circle\nRound\ta picture of a red rectangle\ta picture of a red circle\n' >prompts.txt
evaluate attributes --annotations celeba --images pictures --prompts prompts.txt
# Red: all right. Round: the prompts are the wrong way round.
chosen "0 1 1 1 0 0 "
has '"score":0.5,"n":3'
has '"Red":{"score":1,"n":3'
has '"Round":{"score":0,"n":3'
grep -q 'warning: celeba/list_attr_celeba.txt: has 3 entries' log || fail "no warning of a part: $(cat log)"
attributes="evaluate attributes --model $model --images pictures --annotations celeba"
refuse 3 'celeba.txt: has no prompts for the attribute "Red"' $attributes
refuse 2 '\-\-split is train, valid, test or all' $attributes --split later
refuse 3 'holds no picture of the split "valid"' $attributes --split valid
printf '1\nRed Round\nred-circle.png 1 0\n' >celeba/list_attr_celeba.txt
refuse 3 'list_attr_celeba.txt line 3: expected a picture.s name and 2 numbers, each 1 or -1' $attributes --prompts prompts.txt
printf '1\nRed Round\nred-circle.png 1 -1 1\n' >celeba/list_attr_celeba.txt
refuse 3 'line 3: expected a picture.s name and 2 numbers' $attributes --prompts prompts.txt
printf '1\nRed Round\nred-circle.png 1\n' >celeba/list_attr_celeba.txt
refuse 3 'line 3: expected a picture.s name and 2 numbers' $attributes --prompts prompts.txt
printf 'Red Round\n' >celeba/list_attr_celeba.txt
refuse 3 'expected a line with the number of pictures' $attributes --prompts prompts.txt
printf 'red-circle.png 3\n' >celeba/list_eval_partition.txt
refuse 3 'list_eval_partition.txt line 1: expected a picture.s name and 0, 1 or 2' $attributes

# ---- names that lead out of the folder of pictures ----

cp pictures/red-circle.png outside.png && mkdir -p pictures/inner && cp outside.png pictures/inner/7.png
write_all() { # name: the same picture in the form of each benchmark
    mkdir -p out/celeba
    phrases='"a picture of a red circle", "a picture of a blue circle"'
    mturk='"mturk": {"caption": 3, "foil": 0, "other": 0}'
    echo "[{\"image\": \"$1\", \"phrases\": [$phrases], \"answer\": 0}]" >out/choices-1.json
    echo "[{\"phrase\": \"red\", \"images\": [\"red-circle.png\", \"$1\"], \"answer\": 0}]" >out/choices-2.json
    echo "[{\"phrase\": \"red\", \"image\": \"$1\", \"boxes\": [[0, 0, 9, 9], [9, 9, 9, 9]], \"answer\": 0}]" >out/choices-3.json
    echo "[{\"phrase\": \"red\", \"image\": \"$1\", \"bbox_list\": [[0, 0, 9, 9], [9, 9, 9, 9]], \"ref_bbox\": [0, 0, 9, 9]}]" >out/negrefcocog-1.json
    echo "{\"a\": {\"image_file\": \"$1\", \"caption\": \"a\", \"foil\": \"b\", $mturk}}" >out/foils-1.json
    echo "{\"a\": {\"filename\": \"$1\", \"caption\": \"a\", \"negative_caption\": \"b\"}}" >out/foils-2.json
    echo "{\"image_paths\": [\"$1\"], \"annotations\": [{\"json\": {\"caption\": \"a\"}, \"sop_data\": {\"negative-prompt\": \"b\"}}]}" >out/foils-3.json
    printf 'correct_answer,caption_0,caption_1,image_path\n0,a,b,%s\n' "$1" >out/foils-4.csv
    echo "{\"images\": [{\"filepath\": \".\", \"filename\": \"$1\", \"split\": \"test\", \"sentences\": [{\"raw\": \"a\"}]}]}" >out/retrieval-1.json
    printf "filepath,captions\n%s,['a']\n" "$1" >out/retrieval-2.csv
    echo "{\"image\": \"$1\", \"caption\": \"a\"}" >out/retrieval-3.jsonl
    echo "{\"images\": [{\"id\": 1, \"file_name\": \"$1\"}], \"annotations\": [{\"image_id\": 1, \"caption\": \"a\"}]}" >out/retrieval-4.json
    printf '1\nRed\n%s 1\n' "$1" >out/attributes-1.txt
}
every() { # what is done with the benchmark and the arguments that remain
    for file in out/*-?.*; do
        benchmark=${file#out/} && benchmark=${benchmark%%-*}
        "$@" "$benchmark" --annotations "$file" --images pictures --prompts red.txt --split "$(
            [ "$benchmark" = attributes ] && echo all || echo test)"
    done
}
refuse_one() { # piece of the message, benchmark, arguments
    piece_of_all=$1
    shift
    refuse 3 "$piece_of_all" evaluate "$@" --model "$model" --items chosen.jsonl
}
printf 'Red\ta red circle\ta blue circle\n' >red.txt
write_all ../outside.png && every refuse_one "../outside.png: its \"\.\.\" leads out of the folder of pictures"
write_all inner/../../outside.png && every refuse_one 'leads out of the folder of pictures'
write_all "$PWD/outside.png" && every refuse_one "pictures/*$PWD/outside.png: cannot read"
write_all "///tmp//$PWD/outside.png" && every refuse_one 'outside.png: cannot read'
write_all /home/maker/data//inner/7.png && every evaluate # an end of it is there

# ---- build negrefcocog ----

cat >instances.json <<'END'
{"images": [{"id": 1, "file_name": "red-circle.png", "width": 64, "height": 64}, {"id": 2, "file_name": "blue-circle.png", "width": 64, "height": 64}],
 "annotations": [
  {"id": 10, "image_id": 1, "category_id": 5, "bbox": [10, 10, 20, 20.5], "iscrowd": 0},
  {"id": 11, "image_id": 1, "category_id": 5, "bbox": [40, 40, 10, 10], "iscrowd": 0},
  {"id": 12, "image_id": 1, "category_id": 6, "bbox": [0, 0, 5, 5], "iscrowd": 0},
  {"id": 13, "image_id": 1, "category_id": 5, "bbox": [0, 0, 64, 64], "iscrowd": 1},
  {"id": 20, "image_id": 2, "category_id": 5, "bbox": [1, 1, 2, 2]},
  {"id": 21, "image_id": 2, "category_id": 5, "bbox": [2, 2, 2, 2]},
  {"id": 22, "image_id": 2, "category_id": 5, "bbox": [3, 3, 2, 2]}]}
END
cat >refs.json <<'END'
[{"ann_id": 10, "sentences": [{"sent": "the one with no hat and no scarf"}, {"sent": "the knot of nothing"}, {"sent": "not \"that\" one"}]},
 {"ann_id": 12, "sentences": [{"sent": "without another of its kind"}]},
 {"ann_id": 20, "sentences": [{"sent": "not one of two"}]},
 {"ann_id": 11, "sentences": [{"sent": "the shape Without a hole"}]}]
END
"$nclip" build negrefcocog --refs refs.json --instances instances.json --out built.json --margin 4 --json >result 2>log || fail "build: $(cat log)"
has '{"expressions":6,"negated":5,"items":3,"pictures":1,"by_word":{"not":1,"no":2,"without":1}}'
tr -d ' \t\n' <built.json | grep -qF '"phrase":"theshapeWithoutahole","ref_bbox":[36,36,18,18],"bbox_list":[[36,36,18,18],[6,6,28,28.5]]}]' ||
    fail "other items: $(cat built.json)"
tr -d ' \t\n' <built.json | grep -qF '"phrase":"not\"that\"one","ref_bbox":[6,6,28,28.5]' || fail "other items: $(cat built.json)"
"$nclip" build negrefcocog --refs refs.json --instances instances.json --out built.json >result 2>log || fail "build: $(cat log)"
tr -d ' \t\n' <built.json | grep -qF '"bbox_list":[[0,0,64,64],[0,0,64,64]]' || fail "other boxes: $(cat built.json)"
grep -q '3 items over 1 pictures' result || fail "no counts: $(cat result)"
"$nclip" build negrefcocog --refs refs.json --instances instances.json --out built.json --margin 0 >result 2>log || fail "build: $(cat log)"
evaluate negrefcocog --annotations built.json --images pictures
has '"benchmark":"negrefcocog"'
grep -q 'warning: built.json: has 3 entries, the published NegRefCOCOg.json has 440' log || fail "no warning: $(cat log)"
build="build negrefcocog --instances instances.json --out none.json --refs"
refuse 3 'bad.json: \[0\]: its ann_id 99 is not among' $build bad.json $(echo '[{"ann_id": 99, "sentences": []}]' >bad.json)
refuse 3 'bad.json: \[0\]: "sentences" is missing' $build bad.json $(echo '[{"ann_id": 10}]' >bad.json)
refuse 3 'bad.json: \[0\]: "sent" is not a string' $build bad.json $(echo '[{"ann_id": 10, "sentences": [{"sent": 1}]}]' >bad.json)
refuse 3 'bad.json: expected a JSON array of refs' $build bad.json $(echo '{}' >bad.json)
refuse 3 'bad.json: no expression holds a negation' $build bad.json $(echo '[]' >bad.json)
refuse 3 'bad.json: annotations\[0\]: "bbox" is not four numbers' build negrefcocog --refs refs.json --out none.json --instances bad.json \
    $(echo '{"images": [], "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3]}]}' >bad.json)
refuse 2 'there is no "imagenet" here' build imagenet --refs refs.json --instances instances.json --out none.json
[ ! -e none.json ] || fail "a failed build leaves a file"
