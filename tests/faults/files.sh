#!/bin/sh
# Files and the machine under them: what is the machine's fault is not taken for a bad picture; files
# that change under a run; what killed processes left; signals of sessions and limits.
set -eu
nclip=$1
folder=$2
shim=$3
model=$PWD/../configs/quickstart/model
. "$PWD/faults/shared.sh"
rm -rf "$folder"
mkdir -p "$folder"
cd "$folder"

child=
trap '[ -z "$child" ] || kill -9 "$child" 2>/dev/null || :' EXIT
draw_pictures pictures
write_captions captions.jsonl
"$nclip" embed --model "$model" --images pictures --out store >/dev/null 2>&1
train() { # run folder, arguments
    out=$1
    shift
    "$nclip" train --model "$model" --captions captions.jsonl --embeddings store --out "$out" \
        --set precision=fp32 --set batch_size=32 --set warmup_steps=0 --quiet "$@"
}

# ---- the machine's fault ----

# No file handles: the run ends, and no good picture is skipped.
ended=0
for handles in 3 4 5 6 7; do
    rm -rf few
    status=0
    (ulimit -n $handles && exec "$nclip" embed --model "$model" --images pictures --out few) \
        >out.txt 2>message || status=$?
    [ ! -s few/skipped.jsonl ] || fail "$handles handles: good pictures are skipped: $(head -n 2 few/skipped.jsonl)"
    if [ $status = 0 ]; then
        grep -q '^24 pictures embedded' out.txt || fail "$handles handles: $(cat out.txt)"
    elif grep -q '^nclip: .*Too many open files' message && [ $status = 1 ]; then
        ended=$((ended + 1))
    else # the system could not even start it
        grep -q '^nclip: ' message && fail "$handles handles: exit code $status: $(cat message)"
    fi
done
[ $ended -gt 0 ] || fail "no number of handles was too few"

# A folder that vanishes while it is embedded. Many pictures, so that there is time.
mkdir many
for number in $(seq 400); do
    for file in pictures/*.png; do
        ln "$file" "many/$number-$(basename "$file")"
    done
done
"$nclip" embed --model "$model" --images many --out vanished --batch 8 >out.txt 2>message &
child=$!
tries=0
until [ -e vanished ] || [ $tries -gt 400 ]; do
    tries=$((tries + 1))
    sleep 0.05
done
sleep 1 # the folder was listed before
mv many gone
status=0
wait $child || status=$?
child=
[ $status = 1 ] || fail "a folder that vanished: exit code $status: $(cat message)"
grep -q 'is gone since its folder was listed' message || fail "a folder that vanished: $(cat message)"
[ ! -s vanished/skipped.jsonl ] || fail "a folder that vanished: pictures are skipped"
mv gone many
rm -rf many

# ---- files that change under a run ----

wait_for_checkpoint() { # run folder
    tries=0
    until [ -e "$1/last/training.json" ]; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] || fail "$1: no checkpoint: $(cat "$1.log")"
        sleep 0.05
    done
}
start() { # run folder, arguments
    out=$1
    shift
    "$nclip" train --model copy --captions captions.jsonl --embeddings stored --out "$out" \
        --set precision=fp32 --set batch_size=32 --set warmup_steps=0 --quiet \
        --set epochs=100000 "$@" >"$out.log" 2>&1 &
    child=$!
    wait_for_checkpoint "$out"
}
finished() { # what it says; run folder
    status=0
    wait $child || status=$?
    child=
    [ $status = 1 ] || fail "$2: exit code $status: $(cat "$2.log")"
    tail -n 1 "$2.log" | grep -q "^nclip: .*$1" || fail "$2: does not say \"$1\": $(cat "$2.log")"
    "$nclip" info "$2/last" >/dev/null || fail "$2: its checkpoint is damaged"
}
renew() {
    rm -rf copy stored
    cp -r "$model" copy
    cp -r store stored
}
# Truncated: a page is not there any more.
renew
start truncated
: >"$(ls stored/shard-*.embeddings | head -n 1)"
finished 'shard-.*: \(became shorter while it was read\|was written to while it was in use\)' truncated
renew
start shorter
: >copy/model.safetensors
finished 'copy/model.safetensors: \(became shorter while it was read\|was written to while it was in use\)' shorter
# Overwritten in place, never shorter: the checkpoint of before is kept.
renew
start overwritten
cp overwritten/last/training.json before.json
sleep 0.01
tr '\000' '\001' <"$model/model.safetensors" >other
cat other 1<>copy/model.safetensors
finished 'copy/model.safetensors: was written to while it was in use' overwritten
renew
start restored
cat "$(ls store/shard-*.embeddings | head -n 1)" 1<>"$(ls stored/shard-*.embeddings | head -n 1)"
finished 'shard-.*: was written to while it was in use' restored
# Replaced by a rename: what is in use stays as it was.
renew
start replaced
cp other copy/next && mv copy/next copy/model.safetensors
at=$(sed -n 's/.*"step":[^0-9]*\([0-9]*\),.*/\1/p' replaced/last/training.json)
tries=0
while [ "$(sed -n 's/.*"step":[^0-9]*\([0-9]*\),.*/\1/p' replaced/last/training.json 2>/dev/null || echo "$at")" = "$at" ]; do
    tries=$((tries + 1))
    [ $tries -lt 400 ] || fail "replaced: no further checkpoint: $(cat replaced.log)"
    sleep 0.05
done
kill -TERM $child
finished 'stopped by a signal' replaced

# ---- signals ----

# A session that is lost.
renew
start hung
kill -HUP $child
finished 'stopped by a signal after step' hung
# A command that does not catch it ends by it, also where a library took it before main().
mkfifo captions.fifo
LD_PRELOAD=$shim FAULT_HANGUP=1 "$nclip" tokenize --model "$model" captions.fifo >/dev/null 2>hung.log &
child=$!
exec 3>captions.fifo # waits until it reads
kill -HUP $child
exec 3>&-
status=0
wait $child || status=$?
child=
[ $status = 129 ] || fail "a library took SIGHUP: exit code $status: $(cat hung.log)"
# Under nohup it goes on.
for library in '' "$shim"; do
    renew
    rm -rf nohup
    (trap '' HUP && export LD_PRELOAD="$library" FAULT_HANGUP=1 &&
        exec "$nclip" train --model copy --captions captions.jsonl --embeddings stored --out nohup \
            --set precision=fp32 --set batch_size=32 --set warmup_steps=0 --quiet \
            --set epochs=100000) >nohup.log 2>&1 &
    child=$!
    wait_for_checkpoint nohup
    kill -HUP $child
    sleep 0.3
    kill -0 $child 2>/dev/null || fail "nohup: ended by SIGHUP${library:+ that a library took}: $(cat nohup.log)"
    kill -TERM $child
    finished 'stopped by a signal' nohup
done
# A limit on the size of files tells its write.
status=0
(ulimit -f 40 && exec "$nclip" merge --base "$model" --tuned hung/best --alpha 0.5 --out large) \
    >out.txt 2>message || status=$?
[ $status = 1 ] || fail "SIGXFSZ: exit code $status: $(cat message)"
grep -q '^nclip: .*large.*cannot write: File too large' message || fail "SIGXFSZ: $(cat message)"
no_partials .

# ---- what killed processes left ----

dead=$(dead_process)
for target in captions.json exported merged page.html; do
    mkdir -p "left/$target.partial-$dead"
done
rmdir left/captions.json.partial-$dead left/page.html.partial-$dead
echo half >left/captions.json.partial-$dead
echo half >left/page.html.partial-$dead
echo half >"left/exported.partial-$dead/model.safetensors"
echo half >"left/other.json.partial-$dead"
mkdir left/captions.json.partial-$$ # of somebody who lives
echo '[["is there a hat?", "no", 1]]' >questions.json
"$nclip" generate vqa --questions questions.json --image-name '{id}.jpg' --out left/captions.json >/dev/null
"$nclip" export --model "$model" --format open_clip --out left/exported >/dev/null
"$nclip" merge --base "$model" --tuned hung/best --alpha 0.5 --out left/merged >/dev/null
"$nclip" report --run hung --out left/page.html >/dev/null
[ "$(cd left && echo *partial*)" = "captions.json.partial-$$ other.json.partial-$dead" ] ||
    fail "left over: $(ls left)"
