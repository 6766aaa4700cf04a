#!/bin/sh
# Trains the quick start's model with the CUDA kernels on the CPU, under AddressSanitizer: the
# losses follow those of the CPU's backend, and the same seed gives the same bits in whatever
# order threads, blocks and streams run.
#   sh train.sh NCLIP FOLDER     (NCLIP: built with the backend "cuda-emulated")
set -eu
nclip=$1
folder=$2
model=$PWD/../configs/quickstart/model
. "$PWD/cli/shared/pictures.sh"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "train.sh: $*" >&2
    exit 1
}

draw_pictures pictures
write_captions captions.jsonl
"$nclip" embed --model "$model" --images pictures --out store --device cuda-emulated \
    >embed.log 2>&1 || fail "embed: $(cat embed.log)"
# 192 captions, a quarter of the pictures held out: 3 batches, the last of 16.
cat >recipe.yaml <<'END_OF_RECIPE'
batch_size: 64
learning_rate: 1.0e-3
warmup_steps: 1
epochs: 1
validation_fraction: 0.25
END_OF_RECIPE
train() { # name of the run, device, precision, order, other options
    name=$1 device=$2 precision=$3 order=$4
    shift 4
    NCLIP_EMULATED_SEED=$order "$nclip" train --config recipe.yaml --model "$model" \
        --captions captions.jsonl --embeddings store --out "$name" --device "$device" \
        --set precision="$precision" --quiet "$@" >"$name.log" 2>&1 ||
        fail "train $name: $(cat "$name.log")"
}
losses() { # of a run: each line's step and loss, training and validation
    sed -n 's/.*"step": \([0-9]*\),.*loss": \([^,}]*\).*/\1 \2/p' "$1/metrics.jsonl"
}
near() { # two runs, the largest relative difference between their losses that is allowed, their lines
    losses "$1" >first.losses
    losses "$2" >second.losses
    paste -d ' ' first.losses second.losses | awk -v allowed="$3" -v lines="${4:-4}" '
        { difference = ($2 - $4) / $2; if (difference < 0) difference = -difference }
        $1 != $3 || NF != 4 || !(difference <= allowed) { bad = 1 }
        END { exit bad || NR != lines }' ||
        fail "$1 and $2 differ: $(paste first.losses second.losses)"
}

train cpu cpu fp32 1
train cuda cuda-emulated fp32 1
near cpu cuda 1e-5
train cpu_bf16 cpu bf16 1
train cuda_bf16 cuda-emulated bf16 1
near cpu_bf16 cuda_bf16 0.01
train again cuda-emulated bf16 2
cmp cuda_bf16/last/model.safetensors again/last/model.safetensors ||
    fail "another order of threads gave other weights"
cmp cuda_bf16/last/optimizer.safetensors again/last/optimizer.safetensors ||
    fail "another order of threads gave other moments"

# CoN-CLIP's loss, in batches of 13 and a last one of 10: nothing is a multiple of a vector.
sed -i 's/"contradiction"/"distractor": "yellow-triangle.png", "contradiction"/' captions.jsonl
train con_cpu cpu fp32 1 --set loss=con_clip --set batch_size=13
train con_cuda cuda-emulated fp32 3 --set loss=con_clip --set batch_size=13
near con_cpu con_cuda 1e-5

# A set that is streamed: a step is in flight while the next batch comes, and while memory is read again.
# Six shards, which are six blocks; what is held out is one of them.
ls pictures | split -l 4 - list.
for list in list.*; do
    mv "$list" pictures/list
    "$nclip" embed --model "$model" --images pictures/list --out blocks >embed.log 2>&1 || fail "$(cat embed.log)"
done
"$nclip" prepare --captions captions.jsonl --embeddings blocks --model "$model" --out set --quiet >prepare.log 2>&1 ||
    fail "prepare: $(cat prepare.log)"
stream() { # name, device, order
    NCLIP_EMULATED_SEED=$3 "$nclip" train --config recipe.yaml --model "$model" --examples set --out "$1" \
        --device "$2" --set precision=fp32 --set batch_size=16 --set pool_bytes=80000 --quiet --json >"$1.log" 2>&1 ||
        fail "train $1: $(cat "$1.log")"
    grep -q '"read_bytes":[1-9]' "$1.log" || fail "$1 was not streamed: $(cat "$1.log")"
}
stream stream_cpu cpu 1
stream stream_cuda cuda-emulated 1
near stream_cpu stream_cuda 1e-5 9
stream stream_again cuda-emulated 2
cmp stream_cuda/last/model.safetensors stream_again/last/model.safetensors ||
    fail "another order of threads gave other weights to a stream"
