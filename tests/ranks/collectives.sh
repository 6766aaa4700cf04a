#!/bin/sh
# The operations between ranks, and what happens when a rank fails in the middle of them.
set -eu
nclip=$1
folder=$2
programs=$3
. "$PWD/ranks/shared/ranks.sh"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "collectives.sh: $*" >&2
    exit 1
}

for count in 2 5; do
    ranks $count "$programs/ranks_collectives" >out
    [ "$(cat out)" = "$count ranks agree" ] || fail "$count ranks: $(cat out)"
done

# Which rank, how it fails, the exit code of the others, and a piece of the one message.
host=$(uname -n)
expect() {
    rank=$1 how=$2 code=$3 piece=$4
    begin=$(date +%s)
    status=0
    ranks 3 "$programs/ranks_collectives" "$how" "$rank" >out 2>err || status=$?
    took=$(($(date +%s) - begin))
    case " $code " in *" $status "*) ;; *) false ;; esac || fail "$how $rank: exit code $status: $(cat err)"
    [ "$(grep -c '^nclip: ' err)" = 1 ] || fail "$how $rank: not one message: $(cat err)"
    grep -q "^nclip: rank $rank on $host: $piece" err || fail "$how $rank: $(cat err)"
    [ $took -lt 20 ] || fail "$how $rank: took $took s"
}
# The limit is 3 s there, so that this does not take long.
for rank in 0 2; do
    expect $rank kill "137 1" 'its process ended without a word'
    expect $rank abort 3 'store/shard-3: its checksum is wrong$'
done
expect 2 stop 1 'no sign of life for 3 s'
expect 0 stop 1 'no sign of life'
expect 1 hang 1 'has done nothing for [0-9]* s while rank [0-9] waits for it in a sum over'
