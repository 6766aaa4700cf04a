#!/bin/sh
# Kills, stops, full disks, missing handles, folders that may not be written, two at once, a clock that
# is set back: after whatever happens the same command ends with the bytes of an undisturbed run, or
# it ends with one sentence and nothing is lost. ROUNDS moments of each (default: 2); run.sh does more.
set -eu
nclip=$1
folder=$2
shim=$3
rounds=${ROUNDS:-2}
seed=${SEED:-1}
model=$PWD/../configs/quickstart/model
recorded=$PWD/generate/recorded
version_1=$PWD/store/version_1
. "$PWD/faults/shared.sh"
umount "$folder/out" "$folder/small" 2>/dev/null || : # of a run that was killed
rm -rf "$folder"
mkdir -p "$folder"
cd "$folder"
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive

child= other=
trap 'for process in $child $other; do kill -9 "$process" 2>/dev/null || :; done
    umount out small 2>/dev/null || :' EXIT

# ---- the commands, each with what it makes in `out` ------------------------------------------

draw_pictures some
mkdir pictures
for number in 1 2 3 4 5 6 7 8; do # enough to be killed in
    for file in some/*.png; do
        cp "$file" "pictures/$number-$(basename "$file")"
    done
done
echo "one of eight" >pictures/8-red-circle.txt
# Five sources: a picture that is broken, and one that two of them have, as other folders.
mkdir lists
for number in 0 1 2 3 4; do
    ln -s ../pictures lists/$number
    ls pictures | grep png | sed "s|^|$number/|" >lists/$number.txt
done
echo 1/broken.png >>lists/1.txt
head -n 30 lists/0.txt >>lists/3.txt
write_captions captions.jsonl
"$nclip" embed --model "$model" --images some --out store >/dev/null 2>&1
mkdir versions # a store of both
cp "$version_1"/shard-* versions
"$nclip" embed --model "$model" --images some --out versions >/dev/null 2>&1
"$nclip" train --model "$model" --captions captions.jsonl --embeddings store --out tuned --quiet \
    --set precision=fp32 --set epochs=1 >/dev/null 2>&1
awk 'BEGIN {
    printf "["
    for (i = 0; i < 4000; i++)
        printf "%s[\"is there a %s %d?\", \"no\", %d]", i ? ", " : "", i % 2 ? "hat" : "dog", i, i / 4
    printf "]\n"
}' | sed 's/ \([0-9]*\)?"/?"/g' >questions.json

# Captions for prepare: several runs of text, so that there are states to go on from.
awk '{ for (i = 0; i < 120; i++) { line = $0; sub(/}$/, ", \"padding\": \"" i "\"}", line); print line } }' \
    captions.jsonl >many.jsonl

commands=${COMMANDS:-embed many upgrade prepare train vqa absence export merge report}
run() { # command; further arguments. In a subshell with `exec` before it, it is that process.
    which=$1
    shift
    case $which in
    embed) $exec "$nclip" embed --model "$model" --images pictures --out out/store --batch 8 "$@" ;;
    prepare) $exec "$nclip" prepare --captions many.jsonl --embeddings store --model "$model" \
        --out out/set --quiet "$@" ;;
    upgrade) $exec "$nclip" store upgrade versions --out out/store "$@" ;;
    many) $exec "$nclip" embed --model "$model" --images 'lists/{0..4}.txt' --out out/store --batch 8 \
        --also-text out/captions.jsonl "$@" ;;
    train)
        resume=
        [ ! -e out/run/last ] && [ ! -e out/run/last.old ] || resume=--resume
        $exec "$nclip" train --model "$model" --captions captions.jsonl --embeddings store \
            --out out/run --quiet --set precision=fp32 --set batch_size=32 --set warmup_steps=0 \
            --set epochs=8 --set learning_rate=0.001 --set validation_fraction=0.2 $resume "$@" ;;
    vqa) $exec "$nclip" generate vqa --questions questions.json --image-name '{id}.jpg' \
        --rejects out/rejects.jsonl --out out/captions.json "$@" ;;
    absence) $exec "$nclip" generate absence --captions "$recorded/captions.jsonl" --no-vision-check \
        --text-model gemma-3-270m-q4_k_m --prompts "$recorded/prompts" --max-requests 0 \
        --journal out/journal --rejects out/rejects.jsonl --out out/captions.json "$@" ;;
    export) $exec "$nclip" export --model "$model" --format open_clip --out out/exported "$@" ;;
    merge) $exec "$nclip" merge --base "$model" --tuned tuned/best --alpha 0.5 --out out/merged "$@" ;;
    report) $exec "$nclip" report --run tuned --out out/report.html "$@" ;;
    esac
}
exec=
begin() { # command
    rm -rf out && mkdir out
    [ "$1" != absence ] || cp "$recorded/journal" out/journal
}
# Without what depends on the clock or on how often a command was started.
settle() { # folder
    find "$1" -name 'events.out.*' -exec rm {} +
    find "$1" -name '*.before-*' -exec rm {} +
    [ ! -f "$1/run/metrics.jsonl" ] ||
        sed -i 's/, "captions_per_second": [^}]*//' "$1/run/metrics.jsonl"
}
same() { # command
    if [ "$1" = embed ]; then
        "$nclip" info out/store --json | sed 's/"shards":[0-9]*//; s/"folder":"[^"]*"//' >out.info
        cmp -s out.info whole-embed.info || fail "$what: another store: $(cat out.info)"
        "$nclip" train --model "$model" --captions keyed.jsonl --embeddings out/store --out check-run \
            --quiet --set precision=fp32 --set epochs=1 >/dev/null 2>&1 || fail "$what: the store cannot be trained on"
        cmp -s check-run/best/model.safetensors whole-check.safetensors || fail "$what: another embedding"
        rm -rf check-run
        no_partials out
        return
    fi
    no_partials out
    settle out
    diff -r "whole-$1" out >difference 2>&1 || fail "$what: other bytes: $(head -n 3 difference)"
}
finish() { # command: the same once more, without a fault
    run "$1" >out.log 2>message || fail "$what: does not go on: $(cat message)"
    same "$1"
}
ended() { # its status, whether one sentence told why
    [ "$1" = 1 ] || fail "$what: exit code $1: $(cat message)"
    [ "$(grep -c '^nclip: ' message)" = 1 ] || fail "$what: not one sentence: $(cat message)"
}
row() { # fault, command, times, what came of it
    printf '| %s | %s | %s | %s |\n' "$1" "$2" "$3" "$4"
}

random() { # below $1, another each time
    seed=$((seed * 1103515245 % 2147483648 + 12345))
    echo $((seed / 65536 % $1))
}
seconds() { # of milliseconds
    printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000))
}
milliseconds() {
    date +%s%N | cut -c 1-13
}

sed 's/"image": "\([^"]*\)"/"image": "1-\1"/' captions.jsonl >keyed.jsonl
for command in $commands; do
    begin "$command"
    what=$command
    started=$(milliseconds)
    run "$command" >out.log 2>message || fail "$command fails undisturbed: $(cat message)"
    eval "length_$command=$(($(milliseconds) - started))"
    if [ "$command" = embed ]; then
        "$nclip" info out/store --json | sed 's/"shards":[0-9]*//; s/"folder":"[^"]*"//' >whole-embed.info
        "$nclip" train --model "$model" --captions keyed.jsonl --embeddings out/store --out check-run \
            --quiet --set precision=fp32 --set epochs=1 >/dev/null 2>&1
        cp check-run/best/model.safetensors whole-check.safetensors
        rm -rf check-run
    fi
    settle out
    rm -rf "whole-$command" && cp -r out "whole-$command"
done
length_of() {
    eval "echo \$length_$1"
}

# ---- kill -9, SIGTERM, SIGSTOP ----------------------------------------------------------------

start() { # command
    (exec=exec && run "$1") >out.log 2>message &
    child=$!
}
for command in $commands; do
    killed=0
    for round in $(seq "$rounds"); do
        begin "$command"
        moment=$(random $(($(length_of "$command") + 1)))
        what="$command, killed after $moment ms"
        start "$command"
        sleep "$(seconds "$moment")"
        ! kill -9 $child 2>/dev/null || killed=$((killed + 1))
        wait $child 2>/dev/null || :
        child=
        if [ $((round % 2)) = 0 ]; then # and once more while it goes on
            start "$command"
            sleep "$(seconds $((moment / 2)))"
            kill -9 $child 2>/dev/null || :
            wait $child 2>/dev/null || :
            child=
        fi
        case $command in
        export | merge) [ ! -e out/exported ] && [ ! -e out/merged ] || { same "$command"; continue; } ;;
        esac
        finish "$command"
    done
    row 'kill -9' "$command" "$rounds ($killed in time)" 'same bytes'
done
for command in $commands; do
    for round in $(seq $(((rounds + 1) / 2))); do
        begin "$command"
        moment=$(random $(($(length_of "$command") + 1)))
        what="$command, SIGTERM after $moment ms"
        start "$command"
        sleep "$(seconds "$moment")"
        kill -TERM $child 2>/dev/null || :
        status=0
        wait $child 2>/dev/null || status=$?
        child=
        [ $status = 0 ] || [ $status = 1 ] || [ $status = 143 ] ||
            fail "$what: exit code $status: $(cat message)"
        case $command in
        export | merge) [ ! -e out/exported ] && [ ! -e out/merged ] || { same "$command"; continue; } ;;
        esac
        finish "$command"
        begin "$command"
        what="$command, stopped after $moment ms"
        start "$command"
        sleep "$(seconds "$moment")"
        kill -STOP $child 2>/dev/null || :
        sleep 0.1
        kill -CONT $child 2>/dev/null || :
        wait $child || fail "$what: $(cat message)"
        child=
        same "$command"
    done
    row 'SIGTERM; SIGSTOP, SIGCONT' "$command" "$(((rounds + 1) / 2)) each" 'same bytes'
done

# ---- a full disk, no handles, no permission ------------------------------------------------------

# A small tmpfs where one can be mounted, else a limit on the size of files.
disk=
mkdir -p small
if mount -t tmpfs -o size=64k tmpfs small 2>/dev/null; then
    disk=small
    umount small
fi
full() { # command, kilobytes
    if [ "$disk" ]; then
        rm -rf out && mkdir out
        mount -t tmpfs -o "size=${2}k" tmpfs out
        [ "$1" != absence ] || cp "$recorded/journal" out/journal 2>/dev/null || { umount out; return 77; }
        status=0
        run "$1" >out.log 2>message || status=$?
        rm -rf kept && cp -r out kept
        umount out && rm -rf out && mv kept out
    else
        begin "$1"
        status=0
        (ulimit -f "$2" && exec=exec && run "$1") >out.log 2>message || status=$?
    fi
}
for command in $commands; do
    failed=0
    size=$(du -sk "whole-$command" | cut -f 1)
    for round in $(seq $((rounds + 1))); do
        kilobytes=$((size * (2 * round - 1) / (2 * rounds + 2) + 4))
        what="$command, a disk of $kilobytes KiB"
        code=0
        full "$command" "$kilobytes" || code=$?
        [ $code != 77 ] || continue
        if [ "$status" != 0 ]; then
            failed=$((failed + 1))
            ended "$status"
            grep -q 'No space left\|cannot write\|File too large' message || fail "$what: $(cat message)"
        fi
        case $command in
        export | merge) [ ! -e out/exported ] && [ ! -e out/merged ] || { same "$command"; continue; } ;;
        esac
        finish "$command"
    done
    row "a full disk ($([ "$disk" ] && echo tmpfs || echo 'limits of files'))" "$command" \
        "$((rounds + 1)) ($failed did not fit)" 'one sentence, then the same bytes'
done
for command in $commands; do
    failed=0
    for handles in 3 4 5 6 8; do
        begin "$command"
        what="$command with $handles handles"
        status=0
        (ulimit -n $handles && exec=exec && run "$command") >out.log 2>message || status=$?
        if [ $status != 0 ]; then
            failed=$((failed + 1))
            grep -q '^nclip: ' message || continue # the system could not start it
            ended $status
        fi
        case $command in
        export | merge) [ ! -e out/exported ] && [ ! -e out/merged ] || { same "$command"; continue; } ;;
        esac
        finish "$command"
    done
    row 'no file handles' "$command" "5 ($failed too few)" 'one sentence, then the same bytes'
done
# A folder that may not be written; root may, so another user tries.
may=
if [ "$(id -u)" != 0 ]; then
    may=env
elif command -v setpriv >/dev/null && setpriv --reuid 65534 --clear-groups test -r captions.jsonl -a -x "$nclip" 2>/dev/null; then
    may='setpriv --reuid 65534 --clear-groups'
fi
for command in ${may:+$commands}; do
    begin "$command"
    chmod 555 out
    what="$command in a read-only folder"
    status=0
    (exec="exec $may" && run "$command") >out.log 2>message || status=$?
    chmod 755 out
    ended $status
    finish "$command"
    row 'a read-only folder' "$command" 1 'one sentence, then the same bytes'
done
[ "$may" ] || row 'a read-only folder' all 0 'SKIPPED: no other user can be taken'

# ---- two at once, and the clock ----------------------------------------------------------------

for command in $commands; do
    for round in $(seq $(((rounds + 1) / 2))); do
        begin "$command"
        what="$command, two at once"
        start "$command"
        (exec=exec && run "$command") >other.log 2>other.message &
        other=$!
        first=0 second=0
        wait $child || first=$?
        wait $other || second=$?
        child= other=
        [ $first = 0 ] || [ $second = 0 ] || fail "$what: both failed: $(cat message other.message)"
        [ $first = 0 ] || ! [ $first -ge 3 ] || fail "$what: $(cat message)"
        [ $second = 0 ] || ! [ $second -ge 3 ] || fail "$what: $(cat other.message)"
        same "$command"
    done
    row 'two at once' "$command" "$(((rounds + 1) / 2))" 'same bytes, or one is refused'
done
for command in $commands; do
    begin "$command"
    what="$command, the clock set back"
    start "$command"
    sleep "$(seconds $(($(length_of "$command") / 2)))"
    kill -9 $child 2>/dev/null || :
    wait $child 2>/dev/null || :
    child=
    case $command in
    export | merge) rm -rf out/exported out/merged ;;
    esac
    FAULT_CLOCK=-86400 LD_PRELOAD=$shim
    export FAULT_CLOCK LD_PRELOAD
    run "$command" >out.log 2>message || fail "$what: $(cat message)"
    unset FAULT_CLOCK LD_PRELOAD
    same "$command"
    row 'the clock a day back' "$command" 1 'same bytes'
done
