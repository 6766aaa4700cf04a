#!/bin/sh
# nclip store, and nclip info --verify: a store of version 1 is read, continued and upgraded; damage is
# named.
set -eu
nclip=$1
folder=$2
model=$PWD/../configs/quickstart/model
old=$PWD/store/version_1
. "$PWD/cli/shared/pictures.sh"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "store.sh: $*" >&2
    exit 1
}
expect() { # exit code, piece of the message, arguments of nclip
    wanted=$1 piece=$2
    shift 2
    status=0
    "$nclip" "$@" >result 2>message || status=$?
    [ "$status" -eq "$wanted" ] || fail "$*: exit code $status: $(cat message)"
    grep -q -e "$piece" result message || fail "$*: no \"$piece\" in: $(cat result message)"
}
train() { # store, run folder
    "$nclip" train --model "$model" --captions captions.jsonl --embeddings "$1" --out "$2" --quiet \
        --set precision=fp32 --set epochs=1 >result 2>message || fail "train on $1: $(cat message)"
}
bytes_at() { # file, from, count
    tail -c +$(($2 + 1)) "$1" | head -c "$3"
}
turn() { # file, byte: another value there, with the rest as it is
    bytes_at "$1" "$2" 1 | tr '\000-\377' '\001-\377\000' |
        dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}

draw_pictures pictures
write_captions captions.jsonl

# ---- a store of version 1 ----

mkdir store && cp "$old"/shard-* store
expect 0 'of version 1   1' info store
[ "$(ls store)" = shard-000000.embeddings ] || fail "reading writes: $(ls store)"
mkdir some
for picture in $(cd pictures && LC_ALL=C ls | head -n 8); do
    cp "pictures/$picture" some
done
expect 0 '"embedded":0,"rows":8' embed --model "$model" --images some --out store --json
train store plain # with captions of other pictures left out

# Continued, it holds shards of both versions.
expect 0 '"embedded":16,"rows":24' embed --model "$model" --images pictures --out store --json
expect 0 '"shards":2,"old_shards":1,"verified":false' info store --json
cmp store/shard-000000.embeddings "$old/shard-000000.embeddings" || fail "the old shard was changed"
train store mixed

# ---- upgraded ----

expect 0 '"shards":2,"written":2' store upgrade store --out beside --json
expect 0 '"shards":2,"old_shards":1' info store --json
expect 0 '"shards":2,"old_shards":0' info beside --json
expect 0 'store: 2 shards, 1 of them written' store upgrade store
expect 0 'store: 2 shards, 0 of them written' store upgrade store
diff -r store beside || fail "in place and beside it, upgrades differ"
bytes_at store/shard-000000.embeddings 4096 2048 >rows
bytes_at "$old/shard-000000.embeddings" 4096 2048 | cmp - rows || fail "the rows are others"
expect 0 '"embedded":0,"rows":24' embed --model "$model" --images pictures --out store --json
train store upgraded
cmp mixed/best/model.safetensors upgraded/best/model.safetensors ||
    fail "training on the upgraded store gives another model"

# ---- verified ----

expect 0 'their checksums are right' info store --verify
grep -q 'verified .* MB/s' result || fail "no rate: $(cat result)"
expect 0 '"verified":true,.*"verified_bytes":[1-9]' info store --verify --json
expect 2 'goes with an embedding store' info "$model" --verify
turn store/shard-000001.embeddings 5000
expect 0 'heads are right' info store
expect 3 'store/shard-000001.embeddings: damaged embeddings: block 0 (4096 bytes from byte 4096)' \
    info store --verify
status=0
"$nclip" train --model "$model" --captions captions.jsonl --embeddings store --out damaged --quiet \
    --set precision=fp32 --set epochs=1 >result 2>message || status=$?
[ $status = 3 ] && grep -q '^nclip: store/shard-000001.embeddings: .* block 0 ' message ||
    fail "training on a bad block: exit code $status: $(cat message)"
turn beside/shard-000000.embeddings 50
expect 3 'beside/shard-000000.embeddings: damaged' info beside

# ---- what is refused ----

expect 2 'expected nclip store import, export or upgrade' store shrink store
expect 2 . store
expect 2 . store upgrade
expect 3 'nowhere' store upgrade nowhere
mkdir empty
expect 3 'empty: holds no embeddings' store upgrade empty
expect 0 'Usage: nclip store upgrade STORE' store upgrade --help
expect 0 'upgrade' store --help
