#!/bin/sh
# nclip train: loss, gradient norm and logit scale of 100 steps are PyTorch's, in one piece and in
# micro batches. tests/train/make_golden_training.py makes the expected values and says what is in
# them: contradictions, masks, warm-up and cosine, clipping, decay, the clamp.
set -eu
nclip=$1
folder=$2
model=$PWD/../configs/quickstart/model
expected=$PWD/train/golden_training.txt
. "$PWD/cli/shared/pictures.sh"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "golden_training.sh: $*" >&2
    exit 1
}

draw_pictures pictures
write_captions captions.jsonl
"$nclip" embed --model "$model" --images pictures --out store >embed.log 2>&1 || fail "$(cat embed.log)"
cat >recipe.yaml <<'END_OF_RECIPE'
batch_size: 192
epochs: 100
learning_rate: 3.0e-4
schedule: cosine
warmup_steps: 10
weight_decay: 0.1
gradient_clip: 1.0
logit_scale_max: 2.651
precision: fp32
trainable: [all]
validation_fraction: 0
mask_same_image: true
contradictions: true
END_OF_RECIPE

train() { # name of the run, arguments
    run=$1
    shift
    "$nclip" train --config recipe.yaml --model "$model" --captions captions.jsonl --quiet \
        --embeddings store --out "$run" "$@" >"$run.log" 2>&1 || fail "train $*: $(cat "$run.log")"
}

# Losses of the first 100 lines within 1e-4, relative; norms 1e-3; the scale to 1e-5.
agrees() { # name of the run
    sed -n 's/.*"loss": \([^,]*\), "logit_scale": \([^,]*\),.*"gradient_norm": \([^,]*\),.*/\1 \3 \2/p' \
        "$1/metrics.jsonl" >"$1.values"
    [ "$(wc -l <"$1.values")" -eq 100 ] || fail "$1: not 100 steps in $(head -n 2 "$1/metrics.jsonl")"
    paste -d ' ' "$expected" "$1.values" | awk -v run="$1" '
        function far(a, b, tolerance) { return a - b > tolerance || b - a > tolerance }
        {
            loss = ($4 - $1) / $1; norm = ($5 - $2) / $2; scale = $6 - $3
            worst = loss > worst ? loss : -loss > worst ? -loss : worst
        }
        far($4, $1, 1e-4 * $1) || far($5, $2, 1e-3 * $2) || far($6, $3, 1e-5) {
            printf "%s, step %d: loss %s %s %s instead of %s %s %s\n", run, NR, $4, $5, $6, $1, $2, $3
            bad = 1
        }
        END { printf "%s: losses within %.1e of PyTorch\n", run, worst; exit bad }' || fail "$1 differs"
}

train whole
agrees whole
train micro --set micro_batch_size=50
agrees micro
train plain --set share_prefixes=false
agrees plain

# The test can fail: what is left out of the recipe shows.
for change in mask_same_image=false logit_scale_max=0; do
    train "without-$change" --set "$change"
    (agrees "without-$change") >/dev/null 2>&1 && fail "$change changes nothing"
done
exit 0
