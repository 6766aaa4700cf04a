#!/bin/sh
# Training on a set that is streamed: killed at ROUNDS random moments (default: 3), a run goes on and
# ends with the bytes of one that was never disturbed; a disk that fails under it is said by name, and
# the last checkpoint stays whole; no memory, few handles.
set -eu
nclip=$1
folder=$2
shim=$3
rounds=${ROUNDS:-3}
seed=${SEED:-1}
model=$PWD/../configs/quickstart/model
. "$PWD/faults/shared.sh"
. "$PWD/cli/shared/stream.sh"
rm -rf "$folder"
mkdir -p "$folder"
cd "$folder"
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive

child=
trap '[ -z "$child" ] || kill -9 "$child" 2>/dev/null || :' EXIT
make_stream || fail "$(cat embed.log prepare.log)"

train() { # run folder, arguments
    out=$1
    shift
    $exec "$nclip" train --model "$model" --examples many.set --out "$out" --quiet --set precision=fp32 \
        --set batch_size=8 --set warmup_steps=0 --set epochs=5 --set schedule=constant --set learning_rate=0.0003 \
        --set validation_fraction=0.2 --set pool_bytes=$stream_pool "$@"
}
exec=
settle() { # without what depends on the clock
    find "$1" -name 'events.out.*' -exec rm {} +
    find "$1" -name '*.before-*' -exec rm {} +
    sed -i 's/, "captions_per_second": [^}]*//; s/, "waited_seconds": [^}]*//' "$1/metrics.jsonl"
}
same() { # run folder
    no_partials "$1"
    settle "$1"
    diff -r whole "$1" >difference 2>&1 || fail "$what: other bytes: $(head -n 3 difference)"
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
begun=$(milliseconds)
train whole >out.log 2>message || fail "fails undisturbed: $(cat message)"
length=$(($(milliseconds) - begun))
settle whole

# ---- kill -9 -------------------------------------------------------------------------------------

killed=0
for round in $(seq "$rounds"); do
    rm -rf run
    kills=$((round % 2 + 1)) # and once more while it goes on
    for kill in $(seq $kills); do
        moment=$(random $((length + 1)))
        what="killed after $moment ms"
        resume=
        [ ! -e run/last ] && [ ! -e run/last.old ] || resume=--resume
        (exec=exec && train run $resume) >out.log 2>message &
        child=$!
        sleep "$(seconds "$moment")"
        ! kill -9 $child 2>/dev/null || killed=$((killed + 1))
        wait $child 2>/dev/null || :
        child=
    done
    resume=
    [ ! -e run/last ] && [ ! -e run/last.old ] || resume=--resume
    train run $resume >out.log 2>message || fail "$what: does not go on: $(cat message)"
    same run
done
printf '| kill -9 | streamed training | %s (%s in time) | same bytes |\n' "$rounds" "$killed"

# ---- a disk that fails -----------------------------------------------------------------------------

what="a bad disk"
cp -r whole base
train first --set epochs=1 >out.log 2>message || fail "$(cat message)"
for file in shard-000007 examples-000000; do
    for number in 1 2 4; do
        rm -rf run && cp -r first run
        sed -i 's/epochs: 1\([^0-9]\)/epochs: 5\1/' run/last/training.json
        find run/last -type f -exec cksum {} + | sort >before
        FAULT_READ=$file:$number NCLIP_READER=threads LD_PRELOAD=$shim
        export FAULT_READ NCLIP_READER LD_PRELOAD
        status=0
        train run --resume >out.log 2>message || status=$?
        unset FAULT_READ NCLIP_READER LD_PRELOAD
        [ $status = 1 ] || [ $status = 3 ] || fail "$what, $file, $number: exit code $status: $(cat message)"
        tail -n 1 message | grep -q "^nclip: .*$file.*Input/output error" ||
            fail "$what, $file: $(cat message)"
        find run/last -type f -exec cksum {} + | sort >after
        [ $status = 1 ] || cmp before after || fail "$what: the checkpoint changed"
        train run --resume >out.log 2>message || fail "$what: does not go on: $(cat message)"
        no_partials run
        cmp whole/last/model.safetensors run/last/model.safetensors || fail "$what: other bits"
    done
done
echo "| a disk that fails | streamed training | 6 | one sentence, then the same bytes |"

# ---- a disk that is slow ---------------------------------------------------------------------------

what="a slow disk"
rm -rf run
FAULT_SLOW=shard-:700 NCLIP_READER=threads LD_PRELOAD=$shim "$nclip" train --model "$model" --examples many.set \
    --out run --json --set precision=fp32 --set batch_size=32 --set epochs=2 --set pool_bytes=$stream_pool \
    >out.log 2>message || fail "$what: $(cat message)"
[ "$(grep -c 'the steps wait for the disk: they need [0-9.]* MB/s, and it brings [0-9.]* MB/s (read by threads)' message)" = 1 ] ||
    fail "$what is not said once: $(cat message)"
sed 's/.*"waited_seconds":\([0-9.]*\),.*/\1/' out.log | awk '{ exit !($1 > 1 && $1 < 60) }' || fail "$what: $(cat out.log)"
echo "| a slow disk | streamed training | 1 | one line says so |"

# ---- few handles -------------------------------------------------------------------------------------

for handles in 6 10 14 20 30; do
    what="$handles handles"
    rm -rf run
    status=0
    (ulimit -n $handles && exec=exec && train run) >out.log 2>message || status=$?
    if [ $status != 0 ]; then
        grep -q '^nclip: ' message || continue # the system could not start it
        [ $status = 1 ] || fail "$what: exit code $status: $(cat message)"
        [ "$(grep -c '^nclip: ' message)" = 1 ] || fail "$what: not one sentence: $(cat message)"
    fi
    resume=
    [ ! -e run/last ] || resume=--resume
    train run $resume >out.log 2>message || fail "$what: does not go on: $(cat message)"
    same run
done
echo "| no file handles | streamed training | 5 | one sentence, then the same bytes |"

# ---- no memory -----------------------------------------------------------------------------------------

# Reading threads come in any order, so that a number is not always the same place: what counts is that
# each place of a few dozen ends well.
every=${FAULTS_EVERY:-16}
run_once() {
    rm -rf run
    status=0
    NCLIP_READER=threads "$@" "$nclip" train --model "$model" --examples many.set --out run --quiet \
        --set precision=fp32 --set batch_size=32 --set epochs=1 --set pool_bytes=$stream_pool \
        >out.log 2>message || status=$?
}
run_once env
cp -r run plain
run_once env FAULT_SITES="$PWD/sites" LD_PRELOAD="$shim"
tried=0
for number in $(sort -n sites | awk -v every="$every" 'NR % every == 1 || every == 1'); do
    tried=$((tried + 1))
    run_once env FAULT_ALLOCATION="$number" LD_PRELOAD="$shim"
    if [ $status = 0 ]; then
        cmp run/last/model.safetensors plain/last/model.safetensors || fail "allocation $number: other bits"
        continue
    fi
    [ $status = 1 ] || fail "allocation $number: exit code $status: $(tail -n 2 message)"
    [ "$(grep -c '^nclip: ' message)" = 1 ] || fail "allocation $number: not one sentence: $(cat message)"
    [ -z "$(find run -name '*partial*' 2>/dev/null)" ] || fail "allocation $number: left $(find run)"
done
echo "| no memory | streamed training | $tried of $(wc -l <sites) places | one sentence |"
