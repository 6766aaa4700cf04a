#!/bin/sh
# nclip scan: formats, standard input, packing, words, misalignment; exit codes.
set -eu
nclip=$1
folder=$2
model=$PWD/../configs/quickstart/model
pictures=$PWD/pictures/images
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "$1" >&2
    exit 1
}

has() { # file, text
    grep -qF -- "$2" "$1" || fail "\"$2\" is not in: $(cat "$1")"
}

cat >a.txt <<'END_OF_TEXT'
a dog on the grass
a street with no cars
it isn't red, not at all

a knot
END_OF_TEXT
"$nclip" scan a.txt --json --examples 5 >out 2>err
has out '"captions":4,"negated":2,"fraction":0.5,"interval":[0.15'
has out '"no":1,"not":1'
has out "\"n't\":1"
has out '"offset":19,"text":"a street with no cars"'
"$nclip" scan a.txt --examples 1 >out 2>err
has out '2 of 4 captions hold a negation word: 50%'
has out 'examples'

# The words alone, and what they deny: both, by word.
printf '%s\n' 'a bottle of Chanel No. 5' 'not only a dog' 'without doubt a cat' 'a dog that isn&#39;t here' \
    'no cat' 'they dont walk' 'plain' >denials.txt
"$nclip" scan denials.txt --json --examples 9 >out 2>err
has out '"captions":7,"negated":5,'
has out '"by_word":{"no":2,"not":1,"without":1,"n'"'"'t":1,'
has out '"denials":3,"denials_fraction":0.42'
has out '"denials_by_word":{"no":1,"not":0,"without":0,"n'"'"'t":2,'
has out '"text":"they dont walk"'
"$nclip" scan denials.txt >out 2>err
has out '5 of 7 captions hold a negation word'
has out '3 of 7 captions deny something'
grep -q '^ *2 *1  no$' out || fail "no line of both counts: $(cat out)"

# The same from everywhere.
"$nclip" scan a.txt --json 2>err >one
sed '/./s/.*/{"caption": "&"}/' a.txt >a.jsonl
{ echo 'id,caption'; sed '/^$/d; s/.*/1,"&"/' a.txt; } >a.csv
{ printf '{"images": [], "annotations": [\n'; sed '/^$/d; s/.*/{"image_id": 1, "caption": "&"},/' a.txt |
    sed '$ s/,$//'; printf ']}\n'; } >a.json
mkdir w && n=0
sed '/^$/d' a.txt | while IFS= read -r line; do
    n=$((n + 1))
    printf '%s' "$line" >w/$n.txt
    echo "picture" >w/$n.jpg
done
(cd w && tar cf ../a.tar --sort=name . 2>/dev/null) || (cd w && tar cf ../a.tar .)
strip() { sed 's/"files".*//' "$1"; }
for file in a.jsonl a.csv a.json a.tar w; do
    "$nclip" scan $file --json >other 2>err || fail "$file: $(cat err)"
    [ "$(strip one)" = "$(strip other)" ] || fail "$file: $(cat other)"
done
for file in a.txt a.jsonl a.csv a.json a.tar; do
    gzip -c $file >$file.gz
    "$nclip" scan $file.gz --json >other 2>err || fail "$file.gz: $(cat err)"
    [ "$(strip one)" = "$(strip other)" ] || fail "$file.gz: $(cat other)"
    format=${file#a.}
    [ "$format" != txt ] || format=text
    "$nclip" scan - --format "$format" --json <$file.gz >other 2>err || fail "$file: $(cat err)"
    [ "$(strip one)" = "$(strip other)" ] || fail "$file.gz from standard input: $(cat other)"
done
# Standard input's format is told by its first bytes.
for file in a.txt a.jsonl a.csv a.json a.tar a.csv.gz; do
    "$nclip" scan - --json <$file >other 2>err || fail "$file: $(cat err)"
    [ "$(strip one)" = "$(strip other)" ] || fail "$file without --format: $(cat other)"
done
"$nclip" scan a.csv a.tar --threads 3 --json >other 2>err
has other '"captions":8,"negated":4'
sed 1d a.csv | "$nclip" scan - --format csv --field 2 --json >other 2>err
[ "$(strip one)" = "$(strip other)" ] || fail "by number: $(cat other)"
printf 'knot\ndog\n' >words
"$nclip" scan a.txt --words words --json >other 2>err
has other '"negated":2'
has other '"by_word":{"knot":1,"dog":1}'

expect() { # arguments of nclip scan; $wanted is the exit code, $part stands in the message
    status=0
    "$nclip" scan "$@" >/dev/null 2>message || status=$?
    [ "$status" -eq "$wanted" ] || fail "scan $*: exit code $status: $(cat message)"
    has message "$part"
    [ "$(grep -c . message)" -eq 1 ] || fail "scan $*: more than one line: $(cat message)"
}
# What a folder holds and cannot be read is said, with the reason.
mkdir links && cp a.txt links/a.txt && ln -s nowhere.txt links/b.txt && ln -s . links/c &&
    ln -s nowhere.jpg links/d.jpg
"$nclip" scan links --json >other 2>err
has other '"captions":4'
has err 'warning: passed over: links/b.txt: a link that leads nowhere (and 1 more)'
touch links/e.parquet
"$nclip" scan links --json >other 2>err
has err 'warning: passed over: links/b.txt: a link that leads nowhere (and 2 more)'
rm links/b.txt links/c
"$nclip" scan links --json >other 2>err
has err 'warning: passed over: links/e.parquet: of a kind that is not read'
rm links/e.parquet && ln -s . links/c
"$nclip" scan links --json >other 2>err
has err 'warning: passed over: links/c: a link back to a folder that it lies in'
wanted=2
part='--help' expect
part='takes text, jsonl' expect a.txt --format xml
part='scan has no option' expect a.txt --wrds x
wanted=3
part='cannot read' expect missing.txt
part='no caption in it' expect - </dev/null
printf 'no\001\002\003\004\005' >odd.xyz && part='--format' expect odd.xyz
mkdir only && ln -s nowhere.txt only/a.txt
part='only/a.txt: a link that leads nowhere' expect only
printf PAR1 >a.parquet && part='DuckDB' expect a.parquet
head -c 30 a.txt.gz >cut.txt.gz && part='cut off' expect cut.txt.gz
head -c 60 a.json >cut.json && part='it breaks off' expect cut.json
part='no column "x"' expect a.csv --field x
echo 'two words' >words
part='words line 1' expect a.txt --words words

# Misalignment: captions, their pictures embedded, the model.
"$nclip" embed --model "$model" --images "$pictures" --out store >/dev/null 2>&1 || true
cat >captions.jsonl <<'END_OF_TEXT'
{"image": "rgb.png", "caption": "a picture with no red circle"}
{"image": "grey.png", "caption": "it isn't a triangle"}
{"image": "grey.png", "caption": "a triangle"}
{"image": "missing.png", "caption": "no triangle"}
{"image": "rgb.png", "caption": "not only a triangle"}
END_OF_TEXT
"$nclip" scan --misalignment --model "$model" --embeddings store --captions captions.jsonl \
    --examples 2 --json >out 2>err || fail "misalignment: $(cat err)"
has out '"captions":5,"negated":4,"compared":2,"unstripped":1,"unembedded":1'
"$nclip" scan --misalignment --model "$model" --embeddings store --captions captions.jsonl >out 2>err
has out 'prefers the caption without its negation'

# Captions come from strangers: no control character of theirs reaches the terminal.
tame() { # file
    ! LC_ALL=C tr -d '\n' <"$1" | LC_ALL=C grep -q '[[:cntrl:]]' || fail "untamed: $(cat -v "$1")"
}
for caption in 'no red circle' 'a circle that is not red' 'without a square'; do
    for picture in 420.jpg grey.png rgb.png; do
        printf '%s\n' "{\"image\": \"$picture\", \"caption\": \"$caption\\u001b\\r\\u009b2J\"}"
    done
done >escape.jsonl
"$nclip" scan --misalignment --model "$model" --embeddings store --captions escape.jsonl \
    --examples 1 >out 2>err
has out '? ?2J'
tame out
"$nclip" scan escape.jsonl --examples 1 >out 2>err
has out '? ?2J'
tame out
printf '%s\n' '{"image": "rgb.png", "caption": "no hat", "source": {"pipeline": "\u001b[2J"}}' \
    >source.jsonl
"$nclip" info source.jsonl >out
has out '?[2J'
tame out
wanted=3 && part='?[2J.txt' expect "$(printf '\033[2J.txt')"
tame message
wanted=2
part='needs --model' expect --misalignment
part='needs --vision-url' expect --misalignment --model "$model" --embeddings store \
    --captions captions.jsonl --vision-model x
"$nclip" scan --misalignment --help | grep -q 'without becomes with' || fail "no help"
