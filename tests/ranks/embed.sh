#!/bin/sh
# nclip embed on several ranks: the store and the captions of one rank; a rank that is killed, one
# that finds a damaged tar, and ranks that are told to stop end all, and the same command goes on.
set -eu
nclip=$1
folder=$2
. "$PWD/ranks/shared/ranks.sh"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

child=
trap '[ -z "$child" ] || kill -9 "$child" 2>/dev/null || :' EXIT
fail() {
    echo "embed.sh: $*" >&2
    exit 1
}
host=$(uname -n)

# Seven lists of 720 pictures and a broken one, with captions beside some; one has names of another.
draw_pictures pictures
echo "a red circle" >pictures/red-circle.txt
(cd pictures && ls | grep png) >names
mkdir lists
cp -r pictures p
for link in 0 1 2 3 4 5 6 7 8 9; do
    ln -s . p/$link
done
for list in 0 1 2 3 4 5 6; do
    ln -s ../p lists/$list
    for a in 0 1 2; do
        for b in 0 1 2 3 4 5 6 7 8 9; do
            sed "s|^|$list/$a/$b/|" names
        done
    done | awk -v list="$list" '{ print } NR == 100 { print list "/broken.png" }' >lists/$list.txt
done
sed 's|^3/|2/|' lists/3.txt >moved # all of them again
head -n 20 moved >>lists/4.txt
embed() { # ranks, store, arguments
    count=$1 out=$2
    shift 2
    ranks "$count" "$nclip" embed --model "$model" --images 'lists/{0..6}.txt' --out "$out" \
        --also-text "$out.jsonl" --batch 8 --json "$@" >"$out.json" 2>"$out.log" ||
        fail "$out: exit code $?: $(cat "$out.log")"
    [ "$(grep -c . "$out.json")" = 1 ] || fail "$out: not one result: $(cat "$out.json")"
}
same() { # store
    diff -r one "$1" >difference || fail "$1 is not the store of one rank: $(cat difference)"
    cmp one.jsonl "$1.jsonl" || fail "$1: other captions"
}
embed 1 one
grep -q '"rows":5040,"skipped":27,' one.json || fail "one: $(cat one.json)"
grep -q '"repeated":20,' one.json || fail "one: $(cat one.json)"
[ "$(wc -l <one.jsonl)" = 210 ] || fail "$(wc -l <one.jsonl) captions"
embed 2 two
same two
embed 3 three
same three
embed 9 nine # more ranks than sources
same nine
sed 's/"seconds.*"present"/"present"/; s/,"limit.*//' one.json >one.counts
sed 's/"seconds.*"present"/"present"/; s/,"limit.*//' three.json | cmp - one.counts || fail "three: $(cat three.json)"
# With nothing left to do, and with one source for many ranks.
embed 2 three
grep -q '"embedded":0,"rows":5040,' three.json || fail "again: $(cat three.json)"
same three
ranks 3 "$nclip" embed --model "$model" --images pictures --out single --json >single.json 2>log ||
    fail "one source: $(cat log)"
"$nclip" embed --model "$model" --images pictures --out alone >/dev/null 2>&1
diff -r alone single >difference || fail "one source, three ranks: $(cat difference)"

# ---- ends ----

start() { # store
    mpirun --bind-to none -n 3 "$nclip" embed --model "$model" --images 'lists/{0..6}.txt' --out "$1" \
        --also-text "$1.jsonl" --batch 8 >output 2>message &
    child=$!
    waited=0
    until ls "$1"/shard-* >/dev/null 2>&1; do
        kill -0 $child 2>/dev/null || fail "$1 ended at once: $(cat message)"
        [ $waited -lt 600 ] || fail "$1 has no shard after a minute"
        waited=$((waited + 1))
        sleep 0.02
    done
}
finished() { # piece of the message
    status=0
    begin=$(date +%s)
    wait $child || status=$?
    child=
    [ $(($(date +%s) - begin)) -lt 30 ] || fail "$1: ended after $(($(date +%s) - begin)) s"
    [ $status != 0 ] || fail "$1: exit code 0"
    [ ! -s output ] || fail "$1: prints a result: $(cat output)"
    [ "$(grep -c '^nclip: ' message)" = 1 ] || fail "$1: not one message: $(cat message)"
    grep -q "^nclip: $1" message || fail "no \"$1\": $(cat message)"
}
start killed
kill -KILL "$(pgrep -P $child | sed -n 2p)"
finished "rank 1 on $host: its process ended without a word"
[ ! -e killed.jsonl ] || fail "killed: captions are there before all is done"
embed 2 killed
same killed

start stopped
kill -TERM "$(pgrep -P $child | sed -n 3p)" # one of them: all stop
finished 'stopped by a signal with [0-9]* pictures more in stopped; the same command goes on'
embed 3 stopped
same stopped

cp lists/5.txt kept
printf '\000' >lists/5.txt
mpirun --bind-to none -n 3 "$nclip" embed --model "$model" --images 'lists/{0..6}.txt' --out torn \
    --also-text torn.jsonl --batch 8 >output 2>message &
child=$!
finished "rank [0-2] on $host: lists/5.txt: "
cp kept lists/5.txt
embed 2 torn
same torn
