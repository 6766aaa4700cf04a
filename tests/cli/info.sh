#!/bin/sh
# nclip info on a model, an embedding store, a run and captions; what is none of them is refused.
set -eu
nclip=$1
folder=$2
models=$PWD/checkpoints/golden_model
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "info.sh: $*" >&2
    exit 1
}

has() { # a piece of the last output
    case $output in *"$1"*) ;; *) fail "no $1 in: $output" ;; esac
}

expect() { # exit code, piece of the message, arguments of nclip info
    wanted=$1 piece=$2
    shift 2
    status=0
    "$nclip" info "$@" >/dev/null 2>message || status=$?
    [ "$status" -eq "$wanted" ] || fail "info $*: exit code $status: $(cat message)"
    grep -q -e "$piece" message || fail "info $*: no \"$piece\" in: $(cat message)"
}

# A model.
output=$("$nclip" info "$models/fp16")
has "$models/fp16: a CLIP of"
has "fp16"
has "first token 59"
output=$("$nclip" info "$models/sharded-bf16" --parameters)
has "text_model.encoder.layers.1.self_attn.v_proj.weight"
has "BF16"
output=$("$nclip" info "$models/fp32" --json)
[ "$(echo "$output" | wc -l)" = 1 ] || fail "--json prints more than one line"
for piece in '"kind":"model"' '"width":32' '"width":40' '"type":"fp32"' '"image_size":11' \
    '"activation":"quick_gelu"' '"end_rule":"first"' '"end_token":59' '"unknown":[]'; do
    has "$piece"
done
hash=$(echo "$output" | sed 's/.*"hash":"\([0-9a-f]*\)".*/\1/')
[ ${#hash} = 16 ] || fail "no vision hash in: $output"

# A run: the config, the last step, the validations and which was the best.
mkdir -p run/best run/last
: >run/best/model.safetensors
: >run/last/model.safetensors
cat >run/config.yaml <<'END'
batch_size: 64
learning_rate: 1.0e-3
epochs: 3
seed: 18446744073709551615
precision: fp32
trainable: [blocks.0-3, projection]
END
cat >run/metrics.jsonl <<'END'
{"step": 1, "epoch": 1, "loss": 4.5, "logit_scale": 2.66, "learning_rate": 0.001, "captions_per_second": 90}
{"step": 1, "epoch": 1, "validation_loss": 3.25}
{"step": 2, "epoch": 2, "loss": 2.5, "logit_scale": 2.71, "learning_rate": 0.001, "captions_per_second": 95.5}
{"step": 2, "epoch": 2, "validation_loss": 2.75}
{"step": 3, "epoch": 3, "loss": 1.5, "logit_scale": 2.75, "learning_rate": 0.001, "captions_per_second": 95}
{"step": 3, "epoch": 3, "validation_loss": 2.875}
END
printf '{"step": 4, "epo' >>run/metrics.jsonl # a run that was killed while it wrote
output=$("$nclip" info run)
for piece in "3 steps done" "epoch          3 of 3" "blocks.0-3, projection" "loss 1.5000" \
    "last, best" "0.001"; do
    has "$piece"
done
echo "$output" | grep -q '2   2.7500   the best$' || fail "the best epoch is not marked: $output"
output=$("$nclip" info run --json)
for piece in '"kind":"run"' '"steps":3' '"loss":1.5' '{"epoch":2,"validation_loss":2.75}' \
    '"batch_size":64' '"precision":"fp32"' '"seed":18446744073709551615' '"best":true' '"last":true'; do
    has "$piece"
done
printf '{"step": "five"}\n' >run/metrics.jsonl
expect 3 'metrics.jsonl line 1: "step" is not a whole number' run
rm run/metrics.jsonl
output=$("$nclip" info run) # before the first step
has "0 steps done"

# Captions: of two pipelines, and without a source.
cat >captions.json <<'END'
{"images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}], "annotations": [
{"id": 1, "image_id": 1, "caption": "a dog", "updated_caption": "a dog with no hat",
 "source": {"pipeline": "absence", "object": "hat", "phrasing": "rewrite-no", "text_model": "t",
            "vision_model": "v", "prompts": {"object": "0123", "rewrite": "4567"}}},
{"id": 2, "image_id": 1, "caption": "a dog", "updated_caption": "a dog, not a cat, no cat",
 "contradiction": "a cat",
 "source": {"pipeline": "vqa", "rewriter": "rules", "phrasing": "p"}},
{"id": 3, "image_id": 2, "caption": "a horse", "source": 7},
{"id": 4, "image_id": 2, "caption": "a horse on a hill", "absence": "no hill", "choices": ["a cow"],
 "paraphrase": "on a hill a horse", "distractor_id": 1}]}
END
output=$("$nclip" info captions.json)
for piece in "4 captions of 2 pictures" "2 (50.0%)" "4.8 in the mean, at most 7" "no 2, not 1" \
    "absence, text model t, vision model v" "1 vqa by rules" "rewrite 4567" "no source named" \
    "contradiction   1" "absence         1" "choices         1" "distractor      1" "original        2"; do
    has "$piece"
done
output=$("$nclip" info captions.json --json)
for piece in '"kind":"captions"' '"negated":2' '"fraction":0.5' '"contradictions":1' \
    '"roles":{"contradiction":1,"absence":1,"paraphrase":1,"choices":1,"distractor":1,"original":2}' \
    '"by_word":{"no":2,"not":1}' '"objects":{"hat":1}' '"object 0123":1'; do
    has "$piece"
done

# What is none of them.
mkdir -p nothing model store
expect 3 'neither a model' nothing
expect 3 'no such file or folder' gone
expect 3 'neither COCO JSON nor JSONL' run/config.yaml
expect 2 'with a model folder' run --parameters
echo '{' >model/config.json
expect 3 'model/config.json: not valid JSON' model
echo '{}' >model/config.json
expect 3 'model: holds neither model.safetensors nor' model
: >store/shard-000000.embeddings
expect 3 'shard-000000.embeddings' store
expect 2 . nothing nothing
