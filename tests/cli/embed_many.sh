#!/bin/sh
# nclip embed of many sources: ranges, patterns, tars with captions, names that repeat, and a store
# that is the same however often its making was interrupted.
set -eu
nclip=$1
folder=$2
model=$PWD/../configs/quickstart/model
. "$PWD/cli/shared/pictures.sh"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive

child=
fail() {
    echo "embed_many.sh: $*" >&2
    exit 1
}
trap '[ -z "$child" ] || kill -9 "$child" 2>/dev/null || :' EXIT

embed() { # store, arguments
    to=$1
    shift
    "$nclip" embed --model "$model" --out "$to" --json "$@" >result 2>log ||
        fail "embed $to $*: $(cat log)"
    [ "$(wc -l <result)" = 1 ] || fail "--json prints more than one line: $(cat result)"
}
has() { # "member":value, ...
    for piece in "$@"; do
        case $(cat result) in *"$piece"[,}]*) ;; *) fail "no $piece in $(cat result)" ;; esac
    done
}
refuse() { # exit code, piece of the message, arguments; leaves no store
    wanted=$1 piece=$2
    shift 2
    status=0
    "$nclip" embed --model "$model" "$@" >output 2>message || status=$?
    [ "$status" = "$wanted" ] || fail "embed $*: exit code $status, not $wanted: $(cat message)"
    [ "$(grep -c '^nclip: ' message)" = 1 ] || fail "embed $*: not one sentence: $(cat message)"
    grep -qe "$piece" message || fail "embed $*: no \"$piece\" in: $(cat message)"
    [ ! -s output ] || fail "embed $*: writes to standard output: $(cat output)"
    [ ! -e refused ] || fail "embed $*: left $(ls refused) behind"
}

# ---- three folders of eight pictures: by circle, rectangle, triangle ----

draw_pictures pictures
for shape in circle rectangle triangle; do
    mkdir $shape
    for color in $colors; do
        cp pictures/$color-$shape.png $shape
        case $color in
        red) echo "  a $color $shape  " >$shape/$color-$shape.txt ;;
        blue) echo "{\"caption\": \"one \\\"$color\\\" $shape\", \"url\": \"x\"}" >$shape/$color-$shape.json ;;
        teal)
            echo "a $color one" >$shape/$color-$shape.txt # counts before the other
            echo '{"caption": "not this"}' >$shape/$color-$shape.json
            ;;
        brown) echo '{"caption": 5}' >$shape/$color-$shape.json ;;
        gray) printf '\377\376' >$shape/$color-$shape.txt ;;
        esac
    done
done
captions() { # shape
    echo "{\"image\":\"blue-$1.png\",\"caption\":\"one \\\"blue\\\" $1\"}"
    echo "{\"image\":\"red-$1.png\",\"caption\":\"a red $1\"}"
    echo "{\"image\":\"teal-$1.png\",\"caption\":\"a teal one\"}"
}
for shape in circle rectangle triangle; do captions $shape; done >wanted
embed store --images circle --images rectangle --images triangle --also-text captions.jsonl
has '"embedded":24' '"rows":24' '"skipped":0' '"sources":3' '"missing":0' '"repeated":0' '"captions":9'
cmp captions.jsonl wanted || fail "other captions: $(cat captions.jsonl)"
[ "$(ls store | tr '\n' ' ')" = "keys.index shard-000000.embeddings shard-001000.embeddings shard-002000.embeddings sources " ] ||
    fail "the store holds $(ls store)"
# Each source's shard is what the source alone gives; and so are the captions.
embed alone --images rectangle --also-text alone.jsonl
cmp alone/shard-000000.embeddings store/shard-001000.embeddings || fail "one of many differs from one alone"
captions rectangle | cmp - alone.jsonl || fail "captions of one source: $(cat alone.jsonl)"
"$nclip" info store --verify --json >verified || fail "the store is damaged"

# Nothing to do: nothing changes, also where the captions go elsewhere.
(cd store && find . -type f -exec cksum {} + | sort) >before
embed store --images '{circle,rectangle}' --images 'tri*' --also-text again.jsonl
has '"embedded":0' '"rows":24' '"captions":9'
(cd store && find . -type f -exec cksum {} + | sort) | cmp - before || fail "a second run changes the store"
cmp again.jsonl wanted || fail "captions of a second run"
# A source more gets the next number, also when it comes first.
mkdir more
cp pictures/red-circle.png more/new.png
embed store --images more --images circle
has '"embedded":1' '"rows":25'
[ -e store/shard-003000.embeddings ] || fail "the new source has another number: $(ls store)"

# ---- tars, ranges ----

if tar -cf 00.tar -C circle . 2>/dev/null; then
    tar -cf 01.tar -C rectangle .
    tar -cf 02.tar -C triangle .
    embed tars --images '{00..02}.tar' --also-text tars.jsonl
    has '"embedded":24' '"sources":3' '"captions":9'
    sort tars.jsonl >sorted
    sort wanted | cmp - sorted || fail "captions of tars: $(cat tars.jsonl)"
    refuse 3 '^nclip: 03.tar: .*--skip-missing' --images '{00..04}.tar' --out refused
    embed missing --images '{00..04}.tar' --skip-missing
    has '"embedded":24' '"sources":3' '"missing":2'
    mv 02.tar 03.tar # what was missing has its number already
    embed missing --images '{00..04}.tar' --skip-missing
    has '"sources":3' '"missing":2' '"repeated":8' '"rows":24'
    head -c 6000 00.tar >04.tar
    status=0
    "$nclip" embed --model "$model" --out cut --images 01.tar --images 04.tar >output 2>message || status=$?
    [ $status = 3 ] && grep -q '^nclip: 04.tar: ' message || fail "a cut tar: $status: $(cat message)"
    cp 00.tar 04.tar
    embed cut --images 01.tar --images 04.tar # goes on once it is whole
    has '"rows":16'
else
    echo "tars: SKIPPED: no tar"
fi
refuse 2 'is not closed' --images '{0..3' --out refused
refuse 2 'neither a range' --images 'a{}b' --out refused
refuse 3 'matches no file' --images 'no*' --out refused
refuse 3 '^nclip: gone: ' --images circle --images gone --out refused
refuse 3 'none of the sources' --images '{7..9}' --skip-missing --out refused

# ---- names that repeat ----

embed doubled --images circle --images pictures --images rectangle --also-text doubled.jsonl
has '"embedded":40' '"rows":24' '"skipped":16' '"repeated":16' \
    '"repeated_first":"black-circle.png: circle has this name too, and its picture is in the store"'
grep -q 'names in .* too; .*--keys path' log || fail "repeated names are not told at once: $(cat log)"
[ "$(wc -l <doubled/skipped.jsonl)" = 16 ] || fail "not 16 lines: $(cat doubled/skipped.jsonl)"
[ "$(grep -c 'pictures has this name' doubled/skipped.jsonl)" = 8 ] || fail "$(cat doubled/skipped.jsonl)"
captions circle | cmp - doubled.jsonl || fail "captions of pictures that are not in the store: $(cat doubled.jsonl)"
[ ! -e doubled/shard-002000.embeddings ] || fail "a source without a row has a shard"
(cd doubled && find . -type f -exec cksum {} + | sort) >before
embed doubled --images circle --images pictures --images rectangle --also-text doubled.jsonl
has '"embedded":0' '"rows":24' '"skipped":16' '"repeated":16'
(cd doubled && find . -type f -exec cksum {} + | sort) | cmp - before || fail "names that repeat: a second run changes the store"
embed paths --images circle --images pictures --keys path
has '"rows":32' '"repeated":0'
"$nclip" info paths | grep -q 'circle/black-circle.png' || fail "$("$nclip" info paths)"
embed prefixed --images circle --key-prefix left/
"$nclip" info prefixed | grep -q 'left/black-circle.png' || fail "$("$nclip" info prefixed)"
refuse 3 'was begun with --keys path' --images circle --images pictures --out paths
refuse 3 'was begun with --key-prefix ""' --images circle --images rectangle --key-prefix a --out doubled
refuse 3 'was begun without --also-text' --images circle --images pictures --keys path --out paths --also-text x
# A picture in a store of one source, and in sources that come after.
embed grown --images circle
embed grown --images circle --images triangle
has '"rows":16' '"repeated":8'
echo broken >more/broken.png
embed notes --images more
embed notes --images more --images circle
[ "$(grep -c 'broken.png' notes/skipped.jsonl)" = 2 ] || fail "an earlier note is lost: $(cat notes/skipped.jsonl)"

# ---- stopped and killed: 9000 pictures in two pieces, then 500, and some that are broken ----

mkdir p q
cp pictures/* p
(cd pictures && ls) >names
for link in 0 1 2 3 4 5 6 7 8 9; do
    ln -s . p/$link
done
list() { # prefix, length
    for a in 0 1 2 3 4 5 6 7 8 9; do
        for b in 0 1 2 3 4 5 6 7 8 9; do
            for c in 0 1 2 3; do
                sed "s|^|$1$a/$b/$c/|" names
            done
        done
    done | head -n $2 | awk 'NR == 5 || NR == 8900 { print "broken-" NR } { print }'
}
list p/ 9000 >a.txt
list ./p/ 500 | sed 's|broken|./broken|' >b.txt
embed whole --images a.txt --images b.txt
has '"embedded":9500' '"skipped":3'
[ "$(ls whole | grep -c shard)" = 3 ] || fail "not three shards: $(ls whole)"
[ ! -e whole/sources/000001-000.json ] || fail "records of pieces are left: $(ls whole/sources)"

begin() { # store: starts to embed
    "$nclip" embed --model "$model" --images a.txt --images b.txt --out "$1" >result 2>log &
    child=$!
}
end() { # signal, seconds
    sleep "$2"
    kill -"$1" $child 2>/dev/null || :
    status=0
    wait $child 2>/dev/null || status=$?
    child=
}
begin parts
end TERM 1
[ $status = 1 ] && grep -qx 'nclip: stopped by a signal with [0-9]* pictures more in parts; the same command goes on' log ||
    fail "SIGTERM: exit code $status: $(cat log)"
done=$(sed -n 's/.*signal with \([0-9]*\) pictures.*/\1/p' log)
[ "$done" -gt 0 ] || fail "nothing was embedded in a second"
for moment in 0.1 0.4 0.8 1.3 0.6; do
    begin parts
    end KILL $moment
done
embed parts --images a.txt --images b.txt
diff -r whole parts >difference || fail "killed and begun again: $(cat difference)"
# What a stop has put aside is not embedded again.
begin stopped
end TERM 1
done=$(sed -n 's/.*signal with \([0-9]*\) pictures.*/\1/p' log)
embed stopped --images a.txt --images b.txt
has "\"embedded\":$((9500 - done))"
diff -r whole stopped >difference || fail "stopped: $(cat difference)"
# A list that changed in between is begun anew.
begin changed
until [ -e changed/sources/000000-000.json ]; do sleep 0.05; done
end KILL 0
cp a.txt a.kept
tail -n 8999 a.kept | sed 's/broken-5/broken-6/' >a.txt
embed changed --images a.txt --images b.txt
embed fresh --images a.txt --images b.txt
diff -r fresh changed >difference || fail "a changed list: $(cat difference)"
