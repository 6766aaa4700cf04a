#!/bin/sh
# nclip generate absence, without a server: a recorded run of a real model is played again from its
# journal; wrong usage, damaged journals, prompts to edit.
set -eu
nclip=$1
folder=$2
recorded=$PWD/generate/recorded
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "generate_absence.sh: $*" >&2
    exit 1
}

expect() { # exit code, piece of the message, arguments of nclip generate absence
    wanted=$1 piece=$2
    shift 2
    status=0
    "$nclip" generate absence "$@" >/dev/null 2>message || status=$?
    [ "$status" -eq "$wanted" ] || fail "$*: exit code $status: $(cat message)"
    grep -q -e "$piece" message || fail "$*: no \"$piece\" in: $(cat message)"
}

play() { # journal, further arguments
    journal=$1
    shift
    "$nclip" generate absence --captions "$recorded/captions.jsonl" --no-vision-check \
        --text-model gemma-3-270m-q4_k_m --prompts "$recorded/prompts" --max-requests 0 \
        --journal "$journal" --out out.json "$@"
}

# The recorded run gives its captions again, byte for byte, and its counts.
cp "$recorded/journal" journal
play journal --json >counts.json 2>/dev/null
cmp out.json "$recorded/expected.json" || fail "the recorded answers gave other captions"
cmp journal "$recorded/journal" || fail "a run without requests changed the journal"
grep -q '"requests": 0, ' counts.json || fail "requests were sent: $(cat counts.json)"
cmp counts.json "$recorded/expected_counts.json" || fail "other counts: $(cat counts.json)"
play journal --explain --rejects rejects.jsonl >explained 2>/dev/null
written=$(grep -c updated_caption out.json)
[ "$(wc -l <rejects.jsonl)" -eq $((200 - written)) ] || fail "$(wc -l <rejects.jsonl) rejects"
[ "$(grep -c '^  caption  ' explained)" -eq $((200 - written)) ] || fail "not all are explained"
grep -q "^$written of 200 captions say" explained || fail "counts: $(tail -20 explained)"

# What nclip makes of it.
"$nclip" info out.json >info
grep -q "deny something  $written (100.0%)" info || fail "info: $(cat info)"
grep -q "$written absence, text model gemma-3-270m-q4_k_m, not checked" info || fail "info: $(cat info)"

# A record that a kill tore is cut; without a server nobody can answer again.
head -c "$(($(wc -c <"$recorded/journal") - 30))" "$recorded/journal" >torn
rm out.json
status=0
play torn >/dev/null 2>message || status=$?
[ "$status" -eq 1 ] || fail "a torn journal: exit code $status"
grep -q 'torn: an unfinished record of [0-9]* bytes was cut away' message || fail "torn: $(cat message)"
grep -q 'the journal has no answer to a question' message || fail "torn: $(cat message)"
[ ! -e out.json ] || fail "captions were written without their answers"
[ "$(tail -c 1 torn | od -An -c | tr -d ' ')" = '\n' ] || fail "the torn record is still there"

# Wrong usage says what to do.
ask="--captions $recorded/captions.jsonl --text-url http://127.0.0.1:9 --text-model m"
expect 2 'needs --captions FILE and --out FILE'
expect 2 '--images is needed' $ask --out o.json
expect 2 'a vision model is needed' $ask --images . --out o.json
expect 2 'goes without --images' $ask --images . --no-vision-check --out o.json
expect 2 'no address of a server' $ask --text-url nonsense --no-vision-check --out o.json
expect 2 '--concurrency is 1 to 1024' $ask --no-vision-check --out o.json --concurrency 0
expect 2 '--top-p is more than 0' $ask --no-vision-check --out o.json --top-p 0
expect 2 '--phrasing rhyme: there is no rewrite-rhyme.txt among the prompts; there are .*no, .*without' \
    $ask --no-vision-check --out o.json --phrasing rhyme
expect 2 '--phrasing rhyme' $ask --no-vision-check --out o.json --phrasing no --phrasing rhyme
expect 2 '--timeout is 0.001 to 86400 seconds' $ask --no-vision-check --out o.json --timeout 0.0005
expect 2 'with --json take --rejects' $ask --no-vision-check --out o.json --explain --json
expect 2 "the text model's server is needed" --captions c --text-model m --no-vision-check --out o
expect 3 'no journal of nclip' $ask --no-vision-check --out o.json --journal "$recorded/captions.jsonl"
expect 3 'synonyms.txt' $ask --no-vision-check --out o.json --synonyms synonyms.txt
expect 1 'connect' $ask --no-vision-check --out o.json --backoff 0.01
[ ! -e o.json ] || fail "a failed run left captions"
grep -q '^nclip journal 1$' o.json.journal || fail "no journal beside the captions"

# Prompts to edit, which are then used.
"$nclip" generate absence --write-prompts prompts
echo '[user]' >prompts/check.txt
expect 3 'prompts/check.txt: ' $ask --no-vision-check --out o.json --prompts prompts

# Another process has the journal.
if command -v flock >/dev/null; then
    flock o.json.journal "$nclip" generate absence $ask --no-vision-check --out o.json \
        >/dev/null 2>message && fail "two processes shared a journal"
    grep -q 'another process is writing there' message || fail "lock: $(cat message)"
fi
