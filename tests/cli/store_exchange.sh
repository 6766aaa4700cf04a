#!/bin/sh
# nclip store import and export: .npy files beside tables, and back, without a number lost.
set -eu
nclip=$1
folder=$2
model=$PWD/../configs/quickstart/model
. "$PWD/cli/shared/pictures.sh"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "store_exchange.sh: $*" >&2
    exit 1
}
import() { # source, store, arguments
    from=$1 to=$2
    shift 2
    "$nclip" store import "$from" --out "$to" --json "$@" >result 2>log || fail "import $from $*: $(cat log)"
}
refused() { # exit code, what the message says, arguments of import
    code=$1 wanted=$2
    shift 2
    found=0
    "$nclip" store import "$@" >result 2>log || found=$?
    [ $found = "$code" ] || fail "import $*: exit code $found, not $code: $(cat log)"
    [ "$(grep -c '^nclip: ' log)" = 1 ] || fail "import $*: not one sentence: $(cat log)"
    grep -qF "$wanted" log || fail "import $*: no \"$wanted\" in: $(cat log)"
}
export_npy() { # store, folder, arguments
    store=$1 to=$2
    shift 2
    "$nclip" store export "$store" --out "$to" "$@" >result 2>log || fail "export $store: $(cat log)"
}
has() {
    grep -qF "$1" result || fail "no $1 in $(cat result)"
}

draw_pictures pictures
(cd pictures && LC_ALL=C ls) >keys.txt
sed 's/^/pictures\//' keys.txt >list.txt
"$nclip" encode --model "$model" --images list.txt --out x.npy 2>log
"$nclip" embed --model "$model" --images pictures --out embedded --json >result 2>log

# ---- one file with its keys ----

import x.npy one --model "$model" --keys keys.txt --check pictures
has '"files":1,"rows":24,"before":0,"skipped":0,"captions":0,"normalized":true,"checked":8'
"$nclip" info one --json >result
has '"rows":24,"dimension":64,"type":"fp32","normalized":true'
export_npy one out.fp32 --type fp32
cmp out.fp32/img_emb/img_emb_0000.npy x.npy || fail "fp32 rows changed on their way through a store"
sed 's/.*/{"image_path":"&"}/' keys.txt | cmp - out.fp32/metadata/metadata_0000.jsonl || fail "other keys"
# The same rows as embed's, but for rounding: the store is as good for training.
write_captions captions.jsonl
for store in one embedded; do
    "$nclip" evaluate retrieval --model "$model" --annotations captions.jsonl --embeddings $store --json 2>log |
        sed 's/.*"score":\([0-9.]*\).*/\1/' >$store.score || fail "evaluate: $(cat log)"
done
cmp one.score embedded.score || fail "the imported store scores $(cat one.score), not $(cat embedded.score)"
# Again: nothing new.
import x.npy one --model "$model" --keys keys.txt
has '"rows":0,"before":24'

# ---- LAION's layout, there and back ----

export_npy one laion --rows-per-file 7 --type fp16 --captions captions.jsonl
[ "$(ls laion/img_emb | tr '\n' ' ')" = "img_emb_0000.npy img_emb_0001.npy img_emb_0002.npy img_emb_0003.npy " ] ||
    fail "other files: $(ls laion/img_emb)"
grep -q '"caption":"' laion/metadata/metadata_0003.jsonl || fail "no captions in the tables"
import laion back --model "$model" --captions-out back.jsonl
has '"files":4,"rows":24,"before":0,"skipped":0,"captions":24'
[ "$(head -n 1 back.jsonl | cut -c 1-10)" = '{"image":"' ] || fail "captions: $(head -n 1 back.jsonl)"
export_npy back again --rows-per-file 7 --type fp16
for i in 0 1 2 3; do
    cmp again/img_emb/img_emb_000$i.npy laion/img_emb/img_emb_000$i.npy || fail "fp16 rows changed"
done
# Other zeros before the numbers, other kinds of tables.
mkdir -p mixed/img_emb mixed/metadata
for i in 0 1 2 3; do
    cp laion/img_emb/img_emb_000$i.npy mixed/img_emb/img_emb_$i.npy
done
cp laion/metadata/metadata_0000.jsonl mixed/metadata/metadata_00.jsonl
gzip -c laion/metadata/metadata_0001.jsonl >mixed/metadata/metadata_01.jsonl.gz
{ echo image_path && sed 's/.*"image_path":"\([^"]*\)".*/\1/' laion/metadata/metadata_0002.jsonl; } >mixed/metadata/m2.csv
sed 's/.*"image_path":"\([^"]*\)".*/\1/' laion/metadata/metadata_0003.jsonl >mixed/metadata/3.txt
import mixed mixed.store --made-by 'a model' --normalized yes
export_npy mixed.store mixed.out --rows-per-file 7 --type fp16
cat mixed.out/img_emb/* | cmp - laion/img_emb/img_emb_0000.npy >/dev/null 2>&1 && fail "one file is all files"
for i in 0 1 2 3; do
    cmp mixed.out/img_emb/img_emb_000$i.npy laion/img_emb/img_emb_000$i.npy || fail "rows of mixed tables changed"
done
import laion rows --made-by x --key-column row
"$nclip" store export rows --out rows.out >result 2>log
grep -qx '{"image_path":"img_emb_0003/2"}' rows.out/metadata/metadata_0000.jsonl || fail "no numbered keys"

# ---- links ----

import laion linked --model "$model" --link
[ "$(cat linked/*.embeddings | wc -c)" -lt 20000 ] || fail "a link copies rows"
export_npy linked linked.out --rows-per-file 7 --type fp16
for i in 0 1 2 3; do
    cmp linked.out/img_emb/img_emb_000$i.npy laion/img_emb/img_emb_000$i.npy || fail "linked rows changed"
done
import laion linked --model "$model" --link
has '"rows":0,"before":24'
cp laion/img_emb/img_emb_0002.npy kept
head -c 500 kept >laion/img_emb/img_emb_0002.npy
! "$nclip" info linked --verify >result 2>log || fail "a linked file became shorter, and nobody noticed"
grep -q img_emb_0002.npy log || fail "the linked file is not named: $(cat log)"
cp kept laion/img_emb/img_emb_0002.npy

# ---- what is refused ----

head -n 23 keys.txt >few.txt
refused 3 '24 rows, but 23 keys' x.npy --keys few.txt --out no --made-by x
sed '24s/.*/black-circle.png/' keys.txt >twice.txt
refused 3 'black-circle.png' x.npy --keys twice.txt --out no.twice --made-by x
refused 3 'nothing tells what its rows are of' x.npy --out no --made-by x
refused 2 'whose embeddings' x.npy --keys keys.txt --out no
refused 2 'is missing' x.npy --keys keys.txt --out no --made-by x --check pictures
sort -r keys.txt >reversed.txt
refused 3 'in another order than their keys' x.npy --keys reversed.txt --out no --model "$model" --check pictures
refused 3 'no picture of the first 24 rows' x.npy --keys keys.txt --out no --model "$model" --check "$folder"
refused 3 'not a .npy file' captions.jsonl --out no --made-by x
cp -r laion holes
rm holes/metadata/metadata_0002.jsonl
refused 3 'img_emb_0002.npy: rows without their table' holes --out no --made-by x
cp laion/metadata/* holes/metadata && rm holes/img_emb/img_emb_0001.npy
refused 3 'metadata_0001.jsonl: a table without its rows' holes --out no --made-by x
rm -r holes/img_emb/* && refused 3 'holds no .npy files' holes --out no --made-by x
[ ! -e no ] || fail "what was refused left a store"
# Two columns of two rows: a row that is not finite, and one that has not length 1.
npy() { # numbers as printf escapes, to standard output
    printf '\223NUMPY\001\000\166\000%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }"
    printf "$1"
}
one='\000\000\200\077' zero='\000\000\000\000' nan='\000\000\300\177'
printf 'a\nb\n' >two.txt
npy "$one$zero$nan$zero" >nan.npy
npy "$one$zero$one$one" >long.npy
import nan.npy nan.store --keys two.txt --made-by x
has '"rows":1,"before":0,"skipped":1'
grep -q '"key":"b"' nan.store/skipped.jsonl || fail "the row that is not finite is not listed"
refused 3 'row 1 is not finite' nan.npy --keys two.txt --made-by x --link --out no.link
refused 3 'row 1 has the length 1.414' long.npy --keys two.txt --made-by x --normalized yes --out no.long
import long.npy long.store --keys two.txt --made-by x --normalized no
refused 3 '2 columns, but the model' nan.npy --keys two.txt --model "$model" --out no.columns
"$nclip" store export one --out laion >result 2>log && fail "export into a folder that is not empty"
grep -q 'is not empty' log || fail "export: $(cat log)"
echo "rows, keys and captions pass unchanged"
