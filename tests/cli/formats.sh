#!/bin/sh
# Files as people have them: byte order marks, UTF-16, lone quotes, stray commas, NaN, half pairs,
# upper-case suffixes, holes and links in tars, files of another kind than their name says. Each gives
# the right value, or one sentence with what is wrong, where, and what to do.
set -eu
nclip=$1
folder=$2
model=$PWD/../configs/quickstart/model
pictures=$PWD/pictures/images
export OMP_NUM_THREADS=1
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "$1" >&2
    exit 1
}

has() { # file, text
    grep -qF -- "$2" "$1" || fail "\"$2\" is not in: $(cat "$1")"
}

ok() { # arguments of nclip; standard output goes to out
    "$nclip" "$@" >out 2>err || fail "nclip $*: exit code $?: $(cat err)"
}

refused() { # a part of the message, then arguments of nclip
    part=$1
    shift
    status=0
    "$nclip" "$@" >out 2>err || status=$?
    [ "$status" -eq 3 ] || fail "nclip $*: exit code $status: $(cat err)"
    has err "$part"
    [ "$(grep -c . err)" -eq 1 ] || fail "nclip $*: more than one line: $(cat err)"
}

# ---- Tables

# A comma that is not quoted is too many columns: left out, and said.
printf 'image,caption\na.jpg,a red car\nb.jpg,a house, with no cat\n' >a.csv
ok scan a.csv --json
has out '"captions":1,"negated":0'
has out '"unread":1'
has out 'a.csv byte 30: too many columns'
ok scan - --json <a.csv
has out '"captions":1,"negated":0'
printf 'caption\nno dog\n' | "$nclip" scan - --json >out
has out '"captions":1,"negated":1'
printf 'a dog, no cat\nno dog, a cat\n' | "$nclip" scan - --json >out
has out '"captions":2,"negated":2'
printf 'url\tcaption\nu\tno dog\nu\ta cat\tx\n' | "$nclip" scan - --json >out
has out '"captions":1,"negated":1'
has out 'too many columns'
printf 'image_path,correct_answer,caption_0,caption_1\na.jpg,0,a house, with no cat,x\n' >n.csv
refused 'line 2: has 5 fields, but the first line names 4 columns' \
    evaluate foils --model "$model" --annotations n.csv --images .
printf 'id,caption\n1,no dog\n2,\n3,""\n' >e.csv
ok scan e.csv --json
has out '"captions":1,"negated":1'
has out '"unread":2'
has out 'e.csv byte 20: an empty cell'
# A lone quote costs its line and no other.
printf 'id,caption\n1,"no dog\n2,no cat\n3,a "bird"\n' >q.csv
ok scan q.csv --json
has out '"captions":2,"negated":1'
has out 'q.csv byte 11: text behind a closing quote'
printf 'caption,caption\na,b\n' >d.csv
refused 'twice (1 and 2)' scan d.csv
# In TSV a quote is a character.
printf 'u1\t"A house" with no roof\nu2\t"An old car\nu3\ta dog with no collar\nu4\ta cat without a tail
u5\tthe "big" one\nu6\tno one here\n' >cc.tsv
ok scan cc.tsv --field 2 --json
has out '"captions":6,"negated":4'
ok scan cc.tsv --field 2 --quotes none --json
has out '"captions":6,"negated":4'
# But what pandas writes is joined, and --quotes decides.
printf 'id\tcaption\n1\t"no\ndog"\n2\ta cat\n' >p.tsv
ok scan p.tsv --json
has out '"captions":2,"negated":1'
has out '"unread":0'
ok scan p.tsv --json --quotes none
has out '"captions":2,"negated":1'
has out '"unread":1'
has out 'too few columns'
# Lines that end with a return alone.
printf 'caption,id\rno dog,1\ra cat,2\r' >r.csv
ok scan r.csv --json
has out '"captions":2,"negated":1'
printf 'no dog\ra cat\rno bird' >r.txt
ok scan r.txt --json
has out '"captions":3,"negated":2'
# Very many columns take no time.
head -c 98000 /dev/zero | tr '\0' ',' >wide.csv
printf 'caption\n' >>wide.csv
head -c 98000 /dev/zero | tr '\0' ',' >>wide.csv
printf 'no dog\n' >>wide.csv
timeout 5 "$nclip" scan wide.csv --json >out 2>err || fail "wide.csv: $(cat err)"
has out '"captions":1,"negated":1'

# ---- Texts

mkdir -p val/n01 val/n02
cp "$pictures/rgb.png" val/n01/a.png
cp "$pictures/grey.png" val/n02/b.png
printf '\357\273\277n01\ta cat\r\nn02\ta dog\r\n' >classes.txt
printf '\357\273\277a photo of a {}\n' >templates.txt
ok evaluate zeroshot --model "$model" --classes classes.txt --templates templates.txt --images val
has out '2 items'
printf '\357\273\277a cat\na cat\r\na cat\ra cat' >texts.txt
ok tokenize --model "$model" texts.txt
[ "$(sort -u out | wc -l)" -eq 1 ] && [ "$(wc -l <out)" -eq 4 ] || fail "ids: $(cat out)"
ok encode --model "$model" --text texts.txt --out x.npy
printf '\377\376n\000o\000\n\000' >u.txt
refused 'u.txt: UTF-16 text' scan u.txt
has err 'iconv -f UTF-16 -t UTF-8'
refused 'UTF-16' tokenize --model "$model" u.txt
refused 'UTF-16' embed --model "$model" --images u.txt --out s
refused 'UTF-16' evaluate zeroshot --model "$model" --classes u.txt --images val
refused 'UTF-16' scan a.csv --words u.txt
refused 'UTF-16' info u.txt
printf 'n\000o\000 \000d\000o\000g\000\n\000' >le.csv
refused 'UTF-16' scan le.csv
printf 'no dog\nno\000cat\n' >z.txt
ok scan z.txt --json
has out '"captions":1'
has out 'z.txt byte 7: a zero byte'
refused 'zero byte at 9 (line 2)' tokenize --model "$model" z.txt
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n' >lfs.json
for command in scan info; do
    refused 'a Git LFS pointer' $command lfs.json
    has err 'git lfs pull'
done
printf 'no dog\n' | gzip -c >g.txt
ok tokenize --model "$model" g.txt
[ "$(wc -l <out)" -eq 1 ] || fail "packed text: $(cat out)"

# ---- JSON

printf '{"images": [{"id": 1, "file_name": "a.jpg", "width": NaN}, {"id": "2", "file_name": "b.jpg"}],
 "annotations": [{"image_id": 1, "caption": "no dog", "score": -Infinity, "contradiction": NaN},
 {"image_id": 2, "caption": "a cat"}]}' >nan.json
printf '{"image": "a.jpg", "caption": "no dog \\ud83d"}\n{"image": "b.jpg", "caption": "a"}' >half.jsonl
for file in nan.json half.jsonl; do
    ok scan $file --json
    has out '"captions":2,"negated":1'
    ok info $file
    has out '2 captions of 2 pictures'
done
printf '{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id": 1, "caption": "a"},
 {"image_id": 1, "caption": "a	b"}]}' >tab.json
refused 'in annotations[1].caption at line 2' info tab.json
# The last of two members counts, everywhere.
printf '{"image": "a.jpg", "caption": "no dog", "caption": "a dog"}\n' >twice.jsonl
ok scan twice.jsonl --json
has out '"captions":1,"negated":0'
ok info twice.jsonl
has out 'deny something  0'
# Items of a benchmark are no members: one of two would be lost.
item='{"image_file": "a.jpg", "caption": "a", "foil": "b", "mturk": {"caption": 3}}'
echo "{\"i\": $item, \"j\": $item, \"i\": $item}" >twice.json
refused '"i" stands there twice (items 1 and 3)' \
    evaluate foils --model "$model" --annotations twice.json --images .
gzip -c nan.json >nan.json.gz
ok info nan.json.gz
has out '2 captions of 2 pictures'
# A caption that is none is left out, and said.
printf '{"annotations": [{"caption": null}, {"caption": "no dog"}, {"caption": ["a", "b"]}]}' >null.json
ok scan null.json --json
has out '"captions":1,"negated":1'
has out '"unread":2'
has out 'null.json byte 17: a caption that is not a string'
ok scan half.jsonl null.json nan.json --json
ok scan - --json <nan.json
has out '"captions":2,"negated":1'

# ---- Tars

mkdir t
cp "$pictures/rgb.png" t/0.PNG
cp "$pictures/grey.png" t/1.png
printf 'no dog' >t/0.TXT
printf 'a cat' >t/1.Txt
(cd t && tar cf ../u.tar 0.PNG 0.TXT 1.png 1.Txt)
ok scan u.tar --json
has out '"captions":2,"negated":1'
has out '"unread":0'
ok embed --model "$model" --images u.tar --out su
has out '2 pictures'
cat u.tar u.tar >uu.tar
ok scan uu.tar --json
has out '"captions":4,"negated":2'
head -c 1024 u.tar >cut.tar && tail -c +1025 u.tar | head -c 512 >>cut.tar
size=$(wc -c <"$pictures/rgb.png")
head -c $((512 + (size + 511) / 512 * 512)) u.tar >cut.tar
refused 'without the zeros that end one' scan cut.tar
refused 'without the zeros that end one' embed --model "$model" --images cut.tar --out sc
ln t/1.png t/2.png
(cd t && tar cf ../l.tar 1.png 2.png)
ok embed --model "$model" --images l.tar --out sl
has out '2 pictures'
if tar --version 2>/dev/null | grep -q GNU; then
    cp "$pictures/rgb.png" s.png
    truncate -s 2000000 s.png
    for format in posix gnu; do
        tar -S --format=$format -cf $format.tar s.png
        refused "$format.tar: s.png at byte" embed --model "$model" --images $format.tar --out s
        has err 'is a sparse member, which is not read'
    done
fi

# ---- One file of another kind than its name says

printf 'GIF89a\001\000' >g.jpg
refused 'g.jpg: a GIF, not' encode --model "$model" --images g.jpg --out x.npy
printf '<html>404 not found</html>' >h.jpg
refused 'h.jpg: an HTML' encode --model "$model" --images h.jpg --out x.npy
printf '%%PDF-1.4 x' >list.txt
refused 'list.txt: a PDF, not a folder, a tar, a picture or a list' \
    encode --model "$model" --images list.txt --out x.npy
printf 'PAR1....' >captions.txt
refused 'captions.txt: Parquet is not read: let DuckDB' scan captions.txt
