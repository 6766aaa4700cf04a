#!/bin/sh
# nclip evaluate report: two models over a suite of every kind of benchmark; the table, the JSON,
# and a page that escapes what strangers wrote; where chromium is, how wide it lies on a phone.
set -eu
nclip=$1
folder=$2
model=$PWD/../configs/quickstart/model
. "$PWD/cli/shared/pictures.sh"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "compare.sh: $*" >&2
    exit 1
}

draw_pictures pictures
write_captions captions.jsonl
"$nclip" embed --model "$model" --images pictures --out store >output 2>log || fail "embed: $(cat log)"
"$nclip" train --config default --model "$model" --captions captions.jsonl --embeddings store --out run \
    --set epochs=4 --set learning_rate=3e-4 --set batch_size=64 >output 2>log || fail "train: $(cat log)"

mkdir data data/classes data/classes/red data/classes/blue data/celeba
cp pictures/red-*.png data/classes/red && cp pictures/blue-*.png data/classes/blue
cat >data/choices.json <<'END'
[{"phrase": "a shape that is not <b>red</b> & \"bold\"", "images": ["red-circle.png", "blue-circle.png"], "answer": 1, "group": "<i>one</i>"},
 {"phrase": "a red circle", "images": ["red-circle.png", "blue-circle.png"], "answer": 0, "group": "two"}]
END
cat >data/boxes.json <<'END'
[{"image": "red-circle.png", "phrase": "a picture of a red circle", "ref_bbox": [8, 8, 48, 48], "bbox_list": [[8, 8, 48, 48], [0, 0, 14, 14]]}]
END
cat >data/foils.json <<'END'
{"0": {"filename": "teal-triangle.png", "caption": "</p><script>document.title = 'taken'</script>", "negative_caption": "a picture of a teal triangle"}}
END
printf '2\nRed\nred-circle.png 1\nblue-circle.png -1\n' >data/celeba/list_attr_celeba.txt
printf 'red-circle.png 2\nblue-circle.png 2\n' >data/celeba/list_eval_partition.txt
printf 'Red\ta red shape\ta shape that is not red\n' >data/prompts.txt
cat >data/suite.json <<'END'
{"paper": {"title": "A & B 2025", "models": ["CLIP", "theirs"]}, "benchmarks": [
 {"name": "Boxes", "benchmark": "negrefcocog", "annotations": "boxes.json", "images": "../pictures", "paper": [57.27, null]},
 {"name": "Own <choices>", "benchmark": "choices", "annotations": "choices.json", "images": "../pictures"},
 {"name": "Foils", "benchmark": "foils", "annotations": "foils.json", "images": "../pictures", "embeddings": "../store"},
 {"name": "Captions", "benchmark": "retrieval", "annotations": "../captions.jsonl", "images": "../pictures", "paper": [59.99, 72.77]},
 {"name": "Classes", "benchmark": "zeroshot", "images": "classes"},
 {"name": "Faces", "benchmark": "attributes", "annotations": "celeba", "images": "../pictures", "prompts": "prompts.txt"},
 {"name": "Elsewhere", "benchmark": "retrieval", "annotations": "elsewhere.json", "images": "../pictures"},
 {"name": "No store", "benchmark": "foils", "annotations": "foils.json", "embeddings": "no-store"}]}
END

report() {
    "$nclip" evaluate report --model "CLIP <base>=$model" --model run/best --data data --suite data/suite.json \
        --out report.html "$@" >result 2>log || fail "report $*: $(cat log)"
}
report --title 'Ours & theirs'
grep -qE '^Boxes +1 +100\.00 \(.* 57\.27 +- $' result || fail "no line for the boxes: $(cat result)"
[ "$(wc -l <result)" = 8 ] || fail "other lines: $(cat result)"
grep -q '^Elsewhere: passed over: data/elsewhere.json is not there' log || fail "no note: $(cat log)"
grep -q '^No store: passed over: data/no-store is not there' log || fail "no note of the store: $(cat log)"
[ "$(grep -c '^evaluate .* pictures/s' log)" -le 6 ] || fail "pictures are encoded for each model: $(cat log)"

# The same scores as of each benchmark alone.
report --json
tr -d ' \t\n' <result | sed 's/.*"name":"Captions"[^}]*}[^}]*"best":{"score":\([0-9.]*\),.*/\1/' >all
"$nclip" evaluate retrieval --model run/best --annotations captions.jsonl --embeddings store --json 2>log |
    tr -d ' \t\n' | sed 's/.*"retrieval","score":\([0-9.]*\),.*/\1/' >alone
cmp -s all alone || fail "another score alone: $(cat all alone)"

# Nothing that a file says becomes a part of the page.
for piece in '<b>red' '<script' '<i>one' 'CLIP <base>' 'Own <choices>' 'A & B' 'Ours & theirs'; do
    grep -qF "$piece" report.html && fail "$piece is not escaped"
done
for piece in '&lt;b&gt;red&lt;/b&gt; &amp; &quot;bold&quot;' '&lt;script&gt;document' 'CLIP &lt;base&gt;' 'width=device-width' 'data:image/jpeg;base64,'; do
    grep -qF "$piece" report.html || fail "no $piece in the page"
done
grep -qE '(src|href)="(http|//|file)' report.html && fail "the page needs another file"

refuse() { # exit code, piece of the message, arguments
    wanted=$1 piece=$2
    shift 2
    rm -f none.html
    status=0
    "$nclip" evaluate report --out none.html "$@" >output 2>message || status=$?
    [ "$status" = "$wanted" ] || fail "$*: exit code $status, not $wanted: $(cat message)"
    [ "$(grep -c "^nclip: " message)" = 1 ] || fail "$*: not one sentence: $(cat message)"
    grep -qe "$piece" message || fail "$*: no \"$piece\" in: $(cat message)"
    [ ! -e none.html ] || fail "$*: leaves a page"
}
refuse 3 'no benchmark is there: nowhere/' --model "$model" --data nowhere
refuse 2 'two models are called "model"' --model "$model" --model "model=run/best" --data data --suite data/suite.json
refuse 3 'gone: not a folder' --model gone --data data --suite data/suite.json
bad() { # piece of the message, suite
    printf '%s\n' "$2" >bad.json
    refuse 3 "$1" --model "$model" --data data --suite bad.json
}
bad 'bad.json: not valid JSON' '{"benchmarks": ['
bad 'bad.json: "benchmarks" is missing' '{}'
bad 'bad.json: "benchmarks" is empty' '{"benchmarks": []}'
bad 'bad.json: benchmarks\[0\]: "name" is missing' '{"benchmarks": [3]}'
bad 'bad.json: benchmarks\[0\]: .*there is no benchmark "x"' '{"benchmarks": [{"name": "a", "benchmark": "x"}]}'
bad 'benchmarks\[0\]: "annotations" is missing' '{"benchmarks": [{"name": "a", "benchmark": "foils", "images": "a"}]}'
bad 'benchmarks\[0\]: has neither "images" nor' '{"benchmarks": [{"name": "a", "benchmark": "zeroshot"}]}'
bad '"paper" must hold 1 numbers' '{"paper": {"title": "t", "models": ["a"]}, "benchmarks": [{"name": "a", "benchmark": "zeroshot", "images": "classes", "paper": ["x"]}]}'

# ---- in a browser ----

command -v chromium >browser || { echo "compare.sh: no chromium: the page was not opened" && exit 0; }
sed 's|</html>|<script>document.title = document.title + " scroll=" + document.documentElement.scrollWidth + " inner=" + innerWidth</script></html>|' report.html >measured.html
cat >frame.html <<'END'
<!doctype html><iframe src="measured.html" width="390" height="3000"></iframe>
<script>onload = () => { document.title = frames[0].document.title }</script>
END
chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --allow-file-access-from-files --enable-logging=stderr \
    --virtual-time-budget=5000 --dump-dom "file://$PWD/frame.html" >dom 2>browser.log || fail "chromium: $(tail -3 browser.log)"
grep -q 'CONSOLE' browser.log && fail "the browser complains: $(grep CONSOLE browser.log)"
grep -q 'taken' dom && fail "a caption's script ran"
grep -q 'scroll=390 inner=390' dom || fail "not as wide as a phone: $(grep -o '<title>.*</title>' dom)"
