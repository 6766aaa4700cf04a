#!/bin/sh
# nclip train --examples: a small set gives the bits of --captions; a larger one than pool_bytes is
# streamed, goes on in the middle of an epoch with the same bits, and what is wrong with its files is
# said by name, with the last checkpoint left whole.
set -eu
nclip=$1
folder=$2
model=$PWD/../configs/quickstart/model
. "$PWD/cli/shared/pictures.sh"
. "$PWD/cli/shared/stream.sh"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

child=
fail() {
    echo "train_examples.sh: $*" >&2
    exit 1
}
trap '[ -z "$child" ] || kill -9 "$child" 2>/dev/null || :' EXIT
make_stream || fail "$(cat embed.log prepare.log)"

cat >recipe.yaml <<'END_OF_RECIPE'
batch_size: 32
learning_rate: 3.0e-4
warmup_steps: 10
schedule: cosine
precision: fp32
epochs: 3
validation_fraction: 0.2
END_OF_RECIPE
train() { # run folder, arguments
    out=$1
    shift
    "$nclip" train --config recipe.yaml --model "$model" --out "$out" --quiet --json "$@"
}
metrics() { # as they should be for ever
    sed 's/, "captions_per_second": [^}]*//; s/, "waited_seconds": [^}]*//' "$1/metrics.jsonl"
}
same() { # run folders
    for file in last/model last/optimizer best/model; do
        cmp "$1/$file.safetensors" "$2/$file.safetensors" || fail "$1, $2: $file has other bits"
    done
    cmp "$1/last/training.json" "$2/last/training.json" || fail "$1, $2: other training.json"
    metrics "$1" >a.metrics
    metrics "$2" >b.metrics
    cmp a.metrics b.metrics || fail "$1, $2: other metrics"
}
refused() { # exit code, what the message says, command
    code=$1 says=$2
    shift 2
    status=0
    "$@" >output 2>message || status=$?
    [ $status -eq "$code" ] || fail "$*: exit code $status: $(cat message)"
    tail -n 1 message | grep -q "^nclip: .*$says" || fail "$*: does not say \"$says\": $(cat message)"
}

# ---- in memory ----

for split in image caption; do
    train "captions-$split" --captions many.jsonl --embeddings many.store --set split=$split >json
    train "set-$split" --examples many.set --set split=$split >json
    ! grep -q read_bytes json || fail "a small set is streamed: $(cat json)"
    same "captions-$split" "set-$split"
done
grep -q '^pool_bytes: [1-9]' set-image/config.yaml || fail "no pool_bytes in config.yaml"
# With contradictions, distractors and all other roles, and losses that take them.
awk -F '"' -v OFS='"' '{ image[NR] = $4; text[NR] = $8; line[NR] = $0 }
    END { for (i = 1; i <= NR; i++) { sub(/}$/, "", line[i])
        printf "%s, \"contradiction\": \"no %s\", \"distractor\": \"%s\"", line[i], i % 5 ? "shape" : "red one",
            image[(i * 37) % NR + 1]
        printf ", \"absence\": \"%s, no frame\", \"paraphrase\": \"here: %s\"", text[i], text[i]
        if (i % 3) printf ", \"choices\": [\"black %s\"%s]", text[i], i % 2 ? "" : ", \"white\""
        print "}" } }' many.jsonl >denied.jsonl
cat >terms.yaml <<'END'
loss:
  - {term: infonce, texts: [caption, absence, contradiction], rows: [1, 1, 0], pictures: [image, distractor]}
  - {term: choice, texts: [choices], weight: 0.5}
  - {term: alike, texts: [paraphrase]}
END
"$nclip" prepare --captions denied.jsonl --embeddings many.store --model "$model" --out denied.set --quiet >prepare.log
for recipe in con_clip hard_negative terms.yaml; do
    train "captions-$recipe" --config $recipe --captions denied.jsonl --embeddings many.store \
        --set epochs=1 --set precision=fp32 --set batch_size=64 >json
    train "set-$recipe" --config $recipe --examples denied.set --set epochs=1 --set precision=fp32 \
        --set batch_size=64 >json
    same "captions-$recipe" "set-$recipe"
    train "stream-$recipe" --config $recipe --examples denied.set --set epochs=1 --set precision=fp32 \
        --set batch_size=64 --set pool_bytes=800000 >json
    grep -q '"read_bytes":[1-9]' json || fail "$recipe: not streamed: $(cat json)"
done

# What the set was made without is said as of captions.
{
    cat many.jsonl
    echo 'no JSON'
    sed -n '1s/"caption": *"/&'"$(yes word | head -n 90 | tr '\n' ' ')"'/p' many.jsonl
} >short.jsonl
"$nclip" prepare --captions short.jsonl --embeddings many.store --model "$model" --out short.set \
    --too-long skip --malformed skip --quiet >prepare.log
"$nclip" train --config recipe.yaml --model "$model" --out short --examples short.set --set epochs=1 \
    >output 2>message
grep -q '; 1 left out, too long; 1 left out, not readable$' message || fail "$(cat message)"

# ---- streamed ----

train whole --examples many.set --set pool_bytes=$stream_pool >json
grep -q '"waited_seconds":[0-9.e-]*,"read_bytes":[1-9][0-9]*}' json || fail "not streamed: $(cat json)"
grep -q '"validation_loss": [0-9.]*, "waited_seconds": [0-9.e-]*, "read_bytes": [1-9]' whole/metrics.jsonl ||
    fail "metrics: $(tail -n 1 whole/metrics.jsonl)"
# Whoever reads, the bits are the same; and with a store that has moved.
NCLIP_READER=threads train threads --examples many.set --set pool_bytes=$stream_pool >json
same whole threads
mv many.store moved.store
refused 3 "many.store: the store of the set many.set is not there; --embeddings names it where it has moved" \
    train moved --examples many.set --set pool_bytes=$stream_pool
train moved --examples many.set --embeddings moved.store --set pool_bytes=$stream_pool >json
same whole moved
mv moved.store many.store
# Larger than in the sample that memory was planned from: the same bits as if it had been known.
train other --examples many.set --set pool_bytes=$((stream_pool * 2)) >json
! cmp -s whole/last/model.safetensors other/last/model.safetensors || fail "the pool's size changes nothing"

# ---- stopped and killed in the middle of an epoch ----

interrupt() { # signal, run folder, arguments: stops it in the middle of an epoch, behind a checkpoint
    signal=$1 out=$2
    shift 2
    "$nclip" train --config recipe.yaml --set epochs=300 --set schedule=constant --model "$model" --examples many.set --out "$out" \
        --quiet "$@" >output 2>message &
    child=$!
    waited=0
    while [ ! -e "$out/last/training.json" ]; do
        kill -0 $child 2>/dev/null || fail "$out ended before its first checkpoint: $(cat message)"
        [ $waited -lt 3000 ] || fail "$out writes no checkpoint"
        waited=$((waited + 1))
        sleep 0.02
    done
    sleep 0.1
    kill -"$signal" $child 2>/dev/null || fail "$out was done before the signal"
    status=0
    wait $child 2>/dev/null || status=$?
    child=
}
place() { # run folder: epoch and batch
    tr -d ' \t\n' <"$1/last/training.json" | sed 's/.*"epoch":\([0-9]*\),"batch":\([0-9]*\),.*/\1 \2/'
}
for attempt in 1 2 3 4 5 6 7 8; do # until it is in the middle
    rm -rf stopped
    interrupt TERM stopped --set pool_bytes=$stream_pool
    [ $status = 1 ] || fail "SIGTERM: exit code $status: $(cat message)"
    [ "$(place stopped | cut -d ' ' -f 2)" = 0 ] || break
done
[ "$(place stopped | cut -d ' ' -f 2)" != 0 ] || fail "never stopped in the middle of an epoch"
epochs=$(($(place stopped | cut -d ' ' -f 1) + 2))
sed -i "s/epochs: 300/epochs: $epochs/" stopped/last/training.json
train full --examples many.set --set pool_bytes=$stream_pool --set epochs=$epochs --set schedule=constant >json
# The pool is the run's own, from its config.yaml; another one would be another order.
refused 3 'pool_bytes is 300000, and was 200000 when the run began' train stopped --examples many.set --resume \
    --set epochs=$epochs --set schedule=constant --set pool_bytes=300000
train stopped --examples many.set --resume --set epochs=$epochs --set schedule=constant >json
same full stopped
cmp full/config.yaml stopped/config.yaml || fail "another config.yaml"

for attempt in 1 2 3; do
    rm -rf killed
    interrupt KILL killed --set pool_bytes=$stream_pool
    [ $status = 137 ] || fail "kill -9: exit code $status: $(cat message)"
    epochs=$(($(place killed | cut -d ' ' -f 1) + 1))
    sed -i "s/epochs: 300/epochs: $epochs/" killed/last/training.json
    train undisturbed --examples many.set --set pool_bytes=$stream_pool --set epochs=$epochs --set schedule=constant >json
    train killed --examples many.set --resume --set epochs=$epochs --set schedule=constant >json
    same undisturbed killed
    rm -rf undisturbed
done

# ---- what is refused ----

refused 2 '--captions and --examples exclude each other' train no --captions many.jsonl --examples many.set
refused 2 '--captions FILE or --examples SET is missing' train no
refused 2 '--embeddings STORE is missing' train no --captions many.jsonl
refused 3 'nowhere' train no --examples nowhere
refused 3 'validation_fraction' train no --examples many.set --set validation_fraction=0.99 --set pool_bytes=$stream_pool
refused 3 'pool_bytes is 24576: half of it must hold two batches of 32 captions' \
    train no --examples many.set --set pool_bytes=24576
"$nclip" embed --model "$model" --images few --out few.store >embed.log 2>&1
refused 3 'many.set: ' train no --examples many.set --embeddings few.store
[ ! -e no ] || fail "a refused run leaves its folder"

# ---- what is damaged, lost or changed under the run ----

checkpoint() { # run folder
    find "$1/last" -type f -exec cksum {} + | sort
}
spoil() { # file, place: changes a byte, the file keeps its time
    cp -p "$1" spoiled
    printf '\125' | dd of=spoiled bs=1 seek="$2" conv=notrunc 2>/dev/null
    cmp -s "$1" spoiled && printf '\052' | dd of=spoiled bs=1 seek="$2" conv=notrunc 2>/dev/null
    touch -r "$1" spoiled
    mv "$1" "$1.whole"
    mv spoiled "$1"
}
mend() { mv "$1.whole" "$1"; }
train base --examples many.set --set pool_bytes=$stream_pool --set epochs=1 --set schedule=constant >json
for what in store set gone; do
    rm -rf run && cp -r base run
    sed -i 's/epochs: 1$/epochs: 2/; s/epochs: 1\\n/epochs: 2\\n/' run/last/training.json
    file=many.store/shard-000011.embeddings place=4101
    [ $what != set ] || { file=many.set/examples-000000.set && place=$(($(wc -c <$file) - 4091)); }
    says=$file
    if [ $what = gone ]; then
        mv $file $file.whole
        says='many.set: examples joined to other embeddings than those in .*many.store'
    else
        spoil $file $place
    fi
    checkpoint run >before
    refused 3 "$says" train run --examples many.set --resume --set epochs=2 --set schedule=constant
    [ $what = gone ] || grep -q 'block [0-9]* ([a-z]*) is damaged' message || fail "$what: no block: $(cat message)"
    checkpoint run >after
    cmp before after || fail "$what: the checkpoint changed"
    mend $file
    train run --examples many.set --resume --set epochs=2 --set schedule=constant >json
done
