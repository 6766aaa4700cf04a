#!/bin/sh
# nclip embed: what is in the store, broken pictures, and a store that is made in several parts.
set -eu
nclip=$1
folder=$2
model=$PWD/../configs/quickstart/model
tests=$PWD
. "$PWD/cli/shared/pictures.sh"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

child=
fail() {
    echo "embed.sh: $*" >&2
    exit 1
}
trap '[ -z "$child" ] || kill -9 "$child" 2>/dev/null || :' EXIT

embed() { # pictures, store, arguments
    from=$1 to=$2
    shift 2
    "$nclip" embed --model "$model" --images "$from" --out "$to" --json "$@" >result 2>log ||
        fail "embed $from $to $*: $(cat log)"
    [ "$(wc -l <result)" = 1 ] || fail "--json prints more than one line: $(cat result)"
}
counts() { # pictures that were embedded now, rows of the store, skipped ones
    grep -q "^{\"embedded\":$1,\"rows\":$2,\"skipped\":$3,\"damaged\":0,\"seconds\":[0-9.e-]*,\"pictures_per_second\":[0-9.e+]*,\"present\":[0-9]*,\"sources\":1,\"missing\":0,\"repeated\":0[,}]" \
        result || fail "not $1 embedded, $2 rows, $3 skipped: $(cat result)"
}
# A shard is a head of a page, rows of 64 numbers of 4 bytes, and keys: 8 bytes a row that say where
# each ends, then each with a zero behind it.
rows() { # shard, its number of rows
    tail -c +4097 "$1" | head -c $(($2 * 256))
}
keys() {
    tail -c +$((4097 + $2 * 264)) "$1" | tr '\000' '\n'
}

# ---- a folder, and what is broken in it ----

draw_pictures pictures
embed pictures store
counts 24 24 0
ls store >listing
[ "$(tr '\n' ' ' <listing)" = "keys.index shard-000000.embeddings " ] ||
    fail "not one shard and an index: $(cat listing)"
keys store/shard-000000.embeddings 24 >store.keys
(cd pictures && LC_ALL=C ls) | cmp - store.keys || fail "other keys: $(cat store.keys)"
"$nclip" info store --json | grep -q '"rows":24,"dimension":64,"type":"fp32","normalized":true' ||
    fail "info: $("$nclip" info store --json)"

mkdir -p mixed/deep/er
cp pictures/* mixed
cp pictures/red-circle.png mixed/deep/er/red.PNG
echo 'no picture' >mixed/broken.png
: >mixed/deep/empty.jpg
head -c 90 mixed/red-circle.png >mixed/cut.png
printf 'GIF89a' >mixed/moving.gif
echo notes >mixed/notes.txt
head -c 25 mixed/red-circle.png >damaged # the last byte of the header
printf x >>damaged
tail -c +27 mixed/red-circle.png >>damaged
mv damaged mixed/damaged.png
embed mixed mixed.store --batch 4
counts 25 25 5
sed 's/{"key":"\([^"]*\)","reason":"\([^"]*\)"}/\1 \2/' mixed.store/skipped.jsonl | sort >skipped
cat >wanted <<'END_OF_SKIPPED'
broken.png broken.png: not a picture (JPEG, PNG and WebP are read)
cut.png cut.png: truncated PNG
damaged.png damaged.png: damaged PNG: a wrong checksum
deep/empty.jpg deep/empty.jpg: an empty file, not a picture
moving.gif moving.gif: a GIF, not a JPEG, PNG or WebP picture; convert it to one
END_OF_SKIPPED
[ "$(wc -l <skipped)" = 5 ] || fail "not 5 lines: $(cat skipped)"
paste -d '\n' wanted skipped | while read -r piece && read -r line; do
    case $line in "$piece"*) ;; *) fail "skipped: no \"$piece\" in: $line" ;; esac
done
grep -q '5 skipped' log || fail "the skipped are not counted: $(cat log)"
# They shift no row: the nine before deep/er/red.PNG and the 15 behind it are as they were, and its
# own is that of the picture which it is a copy of.
keys mixed.store/shard-000000.embeddings 25 >found
[ "$(sed -n 10p found)" = deep/er/red.PNG ] || fail "other keys: $(cat found)"
rows store/shard-000000.embeddings 24 >plain
rows mixed.store/shard-000000.embeddings 25 >all
row() { # file, number from 1
    tail -c +$((($2 - 1) * 256 + 1)) "$1" | head -c 256
}
near() { # two files of rows: the same but for rounding, which depends on the size of a batch
    od -An -v -tf4 -w4 "$1" >first
    od -An -v -tf4 -w4 "$2" >second
    paste -d ' ' first second | awk '
        { difference = $1 - $2; if (difference < 0) difference = -difference }
        NF != 2 || !(difference < 1e-5) { bad = 1 }
        END { exit bad || !NR }'
}
{
    head -c $((9 * 256)) all
    tail -c +$((10 * 256 + 1)) all
} >others
near others plain || fail "broken pictures change the rows of others"
row all 10 >copy
row plain "$(grep -n red-circle <store.keys | cut -d : -f 1)" >original
near copy original || fail "a copy is embedded differently"
row plain 1 >another
near copy another && fail "other pictures have the same embedding"

# ---- a second run ----

cksum mixed.store/* >before
embed mixed mixed.store
counts 0 25 5
cksum mixed.store/* >after
cmp before after || fail "a second run, with nothing to do, changes the store"
# What was repaired is no longer listed; what is new is added; the rest stays as it is.
cp pictures/teal-circle.png mixed/broken.png
cp pictures/teal-circle.png mixed/new.png
embed mixed mixed.store
counts 2 27 4
grep -q broken.png mixed.store/skipped.jsonl && fail "a repaired picture is listed as skipped"
[ "$(keys mixed.store/shard-000001.embeddings 2 | tr '\n' ' ')" = "broken.png new.png " ] ||
    fail "not just the new ones: $(keys mixed.store/shard-000001.embeddings 2)"
[ "$(cksum mixed.store/shard-000000.embeddings)" = "$(grep shard before)" ] || fail "the first shard was written again"

# ---- lists and tars ----

(cd pictures && LC_ALL=C ls | sed 's/^/pictures\//') >list.txt
embed list.txt list.store
rows list.store/shard-000000.embeddings 24 | cmp - plain || fail "a list gives other rows"
keys list.store/shard-000000.embeddings 24 | cmp - list.txt || fail "a list gives other keys"
sed -n '1,3p;1,3p' list.txt >twice.txt
embed twice.txt twice.store # a picture that is named twice is there once
counts 3 3 0
embed - list.store <list.txt # standard input is a list
counts 0 24 0
if tar -cf pictures.tar -C pictures $(cd pictures && LC_ALL=C ls) 2>/dev/null; then
    embed pictures.tar tar.store
    cmp tar.store/shard-000000.embeddings store/shard-000000.embeddings || fail "a tar gives another store"
fi

# ---- stopped and killed ----

# 4800 keys of the 24 pictures, on one thread: more than a second's work on any machine.
mkdir p
cp pictures/* p
for link in 0 1 2 3 4 5 6 7 8 9 x; do
    ln -s . p/$link
done
for x in '' x/; do
    for a in 0 1 2 3 4 5 6 7 8 9; do
        for b in 0 1 2 3 4 5 6 7 8 9; do
            sed "s|^pictures|p/$x$a/$b|" list.txt
        done
    done
done >many.txt
export OMP_NUM_THREADS=1
embed many.txt whole
counts 4800 4800 0

begin() { # store: starts to embed, and returns when it is amid that
    "$nclip" embed --model "$model" --images many.txt --out "$1" >result 2>log &
    child=$!
    waited=0
    until [ -e "$1" ]; do
        [ $waited -lt 500 ] || fail "no store after ten seconds"
        waited=$((waited + 1))
        sleep 0.02
    done
    sleep 0.3
}
end() { # signal: ends it; $status is its exit code
    kill -"$1" $child 2>/dev/null || fail "all was done before the signal: $(cat result)"
    status=0
    wait $child 2>/dev/null || status=$?
    child=
}

begin parts
status=0
"$nclip" embed --model "$model" --images many.txt --out parts >result 2>message || status=$?
[ $status = 1 ] && grep -qx 'nclip: parts: another process is writing embeddings there' message ||
    fail "two at once: exit code $status: $(cat message)"
end TERM
[ $status = 1 ] || fail "SIGTERM: exit code $status: $(cat log)"
first=$(sed -n 's/^nclip: stopped by a signal with \([0-9]*\) pictures in parts; the same command goes on$/\1/p' log)
[ "${first:-0}" -gt 0 ] && [ "$first" -lt 4800 ] || fail "SIGTERM: $(cat log)"
[ ! -s result ] || fail "stopped, but prints a result: $(cat result)"
cksum parts/shard-000000.embeddings >before

# Killed: what was complete stays, what was not goes away, and is made again.
begin parts
end KILL
[ $status = 137 ] || fail "kill -9: exit code $status: $(cat log)"
echo torn >parts/shard-000001.embeddings.partial-1
embed many.txt parts
counts $((4800 - first)) 4800 0
cksum parts/shard-000000.embeddings | cmp - before || fail "a complete shard was written again"
[ "$(ls parts | tr '\n' ' ')" = "keys.index shard-000000.embeddings shard-000001.embeddings " ] ||
    fail "the store holds $(ls parts)"
{
    rows parts/shard-000000.embeddings "$first"
    rows parts/shard-000001.embeddings $((4800 - first))
} >joined
rows whole/shard-000000.embeddings 4800 | cmp - joined || fail "the rows differ from those of one run"
{
    keys parts/shard-000000.embeddings "$first"
    keys parts/shard-000001.embeddings $((4800 - first))
} | cmp - many.txt || fail "the keys differ from those of one run"
"$nclip" info parts >/dev/null || fail "the store does not open"

# Killed before anything was complete: the same file as from one run.
begin killed
end KILL
embed many.txt killed
counts 4800 4800 0
cmp whole/shard-000000.embeddings killed/shard-000000.embeddings || fail "killed and begun again: another store"
unset OMP_NUM_THREADS

# ---- precisions ----

embed pictures half.store --store-type bf16
"$nclip" info half.store --json | grep -q '"type":"bf16"' || fail "not stored in bf16"
embed pictures bf16.store --precision bf16
rows bf16.store/shard-000000.embeddings 24 | cmp -s - plain && fail "bf16 computes in fp32"

# ---- what is refused ----

from=pictures
refuse() { # exit code, piece of the message, arguments that come after the usual ones
    wanted=$1 piece=$2
    shift 2
    status=0
    "$nclip" embed --model "$model" --images "$from" --out refused "$@" >output 2>message || status=$?
    [ "$status" = "$wanted" ] || fail "embed $*: exit code $status, not $wanted: $(cat message)"
    [ "$(wc -l <message)" = 1 ] || fail "embed $*: not one sentence: $(cat message)"
    grep -qe "$piece" message || fail "embed $*: no \"$piece\" in: $(cat message)"
    [ ! -s output ] || fail "embed $*: writes to standard output: $(cat output)"
    [ ! -e refused ] || fail "embed $*: left $(ls refused) behind"
}
cksum store/* >before
refuse 3 '^nclip: store: embeddings of another model ' --out store --model "$tests/checkpoints/golden_model/fp32"
refuse 3 '^nclip: store: embeddings in fp32, not bf16; give another --out' --out store --store-type bf16
cksum store/* | cmp - before || fail "a refused run changed the store"
mkdir empty
from=empty
refuse 3 '^nclip: empty: '
from=gone
refuse 3 '^nclip: gone: '
from=pictures
refuse 3 '^nclip: gone: not a folder' --model gone
mkdir cut
cp "$model"/* cut
head -c 3600000 "$model/model.safetensors" >cut/model.safetensors
refuse 3 '^nclip: cut/model.safetensors: .*cut short' --model cut
head -c 6000 store/shard-000000.embeddings >short
cp short store/shard-000000.embeddings
refuse 3 '^nclip: store/shard-000000.embeddings: ' --out store
