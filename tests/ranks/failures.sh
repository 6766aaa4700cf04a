#!/bin/sh
# nclip train on four ranks while one of them is killed, stops, runs out of disk or meets a corrupt
# shard: the whole run ends within 30 seconds, with one message that names rank, host and cause;
# the last complete checkpoint is there, and --resume goes on from it.
set -eu
nclip=$1
folder=$2
. "$PWD/ranks/shared/ranks.sh"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

child=
mounted=
finish() {
    [ -z "$child" ] || kill -9 "$child" 2>/dev/null || :
    [ -z "$mounted" ] || umount "$mounted" || :
}
trap finish EXIT
fail() {
    echo "failures.sh: $*" >&2
    exit 1
}
make_inputs
host=$(uname -n)

start() { # run folder, arguments
    out=$1
    shift
    mpirun --bind-to none -n 4 "$nclip" train --model "$model" --captions captions.jsonl \
        --embeddings store --out "$out" --set precision=fp32 --set batch_size=64 --set epochs=300 \
        --quiet "$@" >output 2>message &
    child=$!
}
after_a_checkpoint() {
    waited=0
    while [ ! -e "$1/last/training.json" ]; do
        kill -0 $child 2>/dev/null || fail "$1 ended before its first checkpoint: $(cat message)"
        [ $waited -lt 1200 ] || fail "$1 writes no checkpoint"
        waited=$((waited + 1))
        sleep 0.05
    done
}
# The end: exit code, whose fault, a piece of the message.
ended() {
    code=$1 rank=$2 piece=$3
    begin=$(date +%s)
    status=0
    wait $child || status=$?
    child=
    took=$(($(date +%s) - begin))
    case " $code " in *" $status "*) ;; *) false ;; esac || fail "$piece: exit code $status: $(cat message)"
    [ $took -lt 30 ] || fail "$piece: the run ended after $took s"
    [ "$(grep -c '^nclip: ' message)" = 1 ] || fail "$piece: not one message: $(cat message)"
    grep -q "^nclip: rank $rank on $host: .*$piece" message || fail "$piece: $(cat message)"
    [ ! -s output ] || fail "$piece: prints a result: $(cat output)"
    echo "rank $rank: $piece: ended in $took s"
}
step_of() {
    sed -n 's/.*"step":[^0-9]*\([0-9]*\),.*/\1/p' "$1/last/training.json"
}
# What was left is complete: one rank goes on from it.
goes_on() {
    at=$(step_of "$1")
    epochs=$((at / 3 + 1)) # 173 captions in batches of 64
    sed -i "s/epochs: 300/epochs: $epochs/" "$1/last/training.json"
    "$nclip" train --model "$model" --captions captions.jsonl --embeddings store --out "$1" \
        --set precision=fp32 --set batch_size=64 --set epochs=$epochs --quiet --resume \
        >/dev/null 2>message || fail "$1: does not go on: $(cat message)"
    [ "$(step_of "$1")" = $((3 * epochs)) ] || fail "$1: went from $at to $(step_of "$1")"
    [ -z "$(find "$1" -name '*partial*')" ] || fail "$1: left $(find "$1" -name '*partial*')"
}
child_of() { # a rank, by its order
    pgrep -P $child | sed -n "$1p"
}

# ---- killed ----
start killed
after_a_checkpoint killed
kill -KILL "$(child_of 3)"
ended "137 1" 2 'its process ended without a word'
goes_on killed

start killed-first
after_a_checkpoint killed-first
kill -KILL "$(child_of 1)"
ended "137 1" 0 'its process ended without a word'
goes_on killed-first

# ---- stopped ----
start stopped --set rank_timeout=4
after_a_checkpoint stopped
kill -STOP "$(child_of 2)"
ended 1 1 'no sign of life for 4 s'
goes_on stopped

# ---- a corrupt shard, on one host ----
cp -r store bad-store
shard=$(find bad-store -name '*.nce' -o -name 'shard*' -o -type f -size +4k | head -n 1)
size=$(wc -c <"$shard")
printf '\377\377\377\377' | dd of="$shard" bs=1 seek=$((size - 100)) conv=notrunc status=none
cat >bad.sh <<'END_OF_SCRIPT'
store=store
[ "$OMPI_COMM_WORLD_RANK" != 2 ] || store=bad-store
exec "$@" --embeddings $store
END_OF_SCRIPT
mpirun --bind-to none -n 4 sh bad.sh "$nclip" train --model "$model" --captions captions.jsonl \
    --out bad --quiet >output 2>message &
child=$!
ended 3 2 'bad-store'

# ---- other captions than rank 0's ----
head -n 100 captions.jsonl >fewer.jsonl
sed -i 's/store=store/store=captions.jsonl/; s/store=bad-store/store=fewer.jsonl/; s/--embeddings/--captions/' bad.sh
mpirun --bind-to none -n 4 sh bad.sh "$nclip" train --model "$model" --embeddings store --out bad \
    --quiet >output 2>message &
child=$!
ended 3 2 'captions or embeddings'

# ---- a full disk ----
mkdir disk
if mount -t tmpfs -o size=24m tmpfs disk 2>/dev/null; then
    mounted=$PWD/disk
    start disk/full
    after_a_checkpoint disk/full
    dd if=/dev/zero of=disk/filler bs=1M count=64 2>/dev/null || :
    ended 1 0 'No space left on device'
    rm disk/filler
    goes_on disk/full
else
    echo "SKIPPED: the full disk, because a file system cannot be mounted here (it needs root)"
fi
