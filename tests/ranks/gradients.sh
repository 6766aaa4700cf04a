#!/bin/sh
# One batch on one rank, on two and on four: loss and every gradient agree as far as fp32 lets them
# (gradients.c), with whole batches and pieces of them, with and without a sharded optimizer, in
# small buckets and large.
set -eu
nclip=$1
folder=$2
programs=$3
. "$PWD/ranks/shared/ranks.sh"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"
gradients=$programs/ranks_gradients

fail() {
    echo "gradients.sh: $*" >&2
    exit 1
}
make_inputs

config='' captions_file=captions.jsonl trainable=all
# Captions of the batch, and then settings; on how many ranks they are tried.
try() {
    name=$1 counts=$2 captions=$3
    shift 3
    settings="$config precision=fp32 validation_fraction=0 batch_size=$captions $* trainable=$trainable"
    # shellcheck disable=SC2086
    "$gradients" "$name-1" "$model" "$captions_file" store "$captions" $settings
    # shellcheck disable=SC2086
    "$gradients" "$name-pieces" "$model" "$captions_file" store "$captions" $settings \
        "micro_batch_size=$((captions < 10 ? 1 : 7))"
    for ranks in $counts; do
        # shellcheck disable=SC2086
        ranks "$ranks" "$gradients" "$name-$ranks" "$model" "$captions_file" store "$captions" $settings
        "$gradients" --compare "$name-1" "$name-$ranks" "$model" "$name-pieces" || fail "$name: $ranks ranks disagree"
    done
}
try whole "2 4" 128 share_prefixes=false
try pieces "2 4" 128 share_prefixes=false micro_batch_size=9
try sharded "2 3" 128 share_prefixes=false shard_optimizer=true bucket_bytes=4096
try negatives 4 128 share_prefixes=false mask_same_image=false contradictions=false deterministic=false
try odd 3 67 share_prefixes=false bucket_bytes=100000
own="choice=0.5 hinge_picture=2 hinge_picture_low=-0.02 hinge_picture_high=0.03 hinge_text=0.7
hinge_text_low=-0.75 hinge_text_high=-0.6 hinge_apart=0.3 hinge_apart_margin=-0.6"
# shellcheck disable=SC2086
try own "2 4" 128 share_prefixes=false micro_batch_size=9 infonce=0.8 $own
# shellcheck disable=SC2086
try own_alone 3 67 share_prefixes=false infonce=0 hard_negatives=false $own
try preserve "2 4" 128 share_prefixes=false micro_batch_size=9 preserve=2
try few 4 3 share_prefixes=false # a rank without a caption
# Lists of terms over all roles: rectangles whose texts lie apart, masks, a choice of several.
awk '{ sub(/, "contradiction.*/, ""); sub(/}$/, "")
    split($0, part, "\""); image[NR] = part[4]; text[NR] = part[8]; line[NR] = $0 }
    END { for (i = 1; i <= NR; i++) {
        printf "%s, \"contradiction\": \"no %s\", \"distractor\": \"%s\"", line[i], text[i], image[(i * 37) % NR + 1]
        printf ", \"absence\": \"%s without frame\", \"paraphrase\": \"here: %s\"", text[i], text[i]
        if (i % 3) printf ", \"choices\": [\"black %s\", \"not %s\"%s]", text[i], text[i], i % 2 ? "" : ", \"white\""
        print "}" } }' captions.jsonl >roles.jsonl
cat >terms.yaml <<'END'
loss:
  - {term: infonce, texts: [caption, absence, contradiction], rows: [1, 0.5, 0.25], pictures: [image, distractor], columns: [1, 2]}
  - {term: infonce, texts: [paraphrase, contradiction], pictures: [image], hard: choices, weight: 0.5}
  - {term: choice, texts: [choices], weight: 0.25}
  - {term: hinge_apart, texts: [absence], margin: -0.6}
END
config=config=terms.yaml captions_file=roles.jsonl
try terms "2 4" 128 share_prefixes=false micro_batch_size=9
try terms_odd 3 67 share_prefixes=false mask_same_image=false
try terms_few 4 3 share_prefixes=false
# Sources, each with terms of its own.
head -n 40 roles.jsonl >first.jsonl
tail -n +41 roles.jsonl >second.jsonl
cat >sources.yaml <<'END'
loss:
  - {term: infonce, source: 1, texts: [caption, contradiction], pictures: [image, distractor]}
  - {term: infonce, source: 2, texts: [absence, caption], rows: [1, 1], pictures: [image], weight: 0.5}
  - {term: choice, source: 2, texts: [choices], weight: 0.25}
  - {term: hinge_apart, source: 1, texts: [contradiction], margin: -0.6}
  - {term: keep, source: 2, weight: 2}
  - {term: infonce, texts: [caption], pictures: [image], weight: 0.5}
END
config=config=sources.yaml captions_file=first.jsonl,second.jsonl
try sources "2 4" 128 share_prefixes=false micro_batch_size=9 sources=40,88
try sources_few 4 67 share_prefixes=false sources=2,65 # ranks without a caption of a source
cat >sigmoid.yaml <<'END'
loss:
  - {term: sigmoid, texts: [caption, contradiction], pictures: [image], hard: choices, weight: 0.5}
  - {term: infonce, texts: [caption], pictures: [image], weight: 0.1}
END
config=config=sigmoid.yaml captions_file=roles.jsonl trainable=all,logit_bias
try sigmoid "2 4" 128 share_prefixes=false micro_batch_size=9
try sigmoid_odd 3 67 share_prefixes=false mask_same_image=false
config='' captions_file=captions.jsonl trainable=all
# What captions share is computed once on each rank: other sums in another order than on one rank.
try shared "2 4" 128

# The same bits from run to run.
settings="precision=fp32 validation_fraction=0 batch_size=128 trainable=all bucket_bytes=65536"
for run in a b; do
    # shellcheck disable=SC2086
    ranks 4 "$gradients" bits-$run "$model" captions.jsonl store 128 $settings
done
cmp bits-a bits-b || fail "two runs have different bits"
