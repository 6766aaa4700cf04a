#!/bin/sh
# No memory: for each command, each place that allocates finds none once, at its first and at its last
# time. The run ends with one sentence and exit code 1 and leaves nothing behind, or it ends as if
# nothing had been, with the same bytes. FAULTS_EVERY=1 tries all places, else one of so many (16).
set -eu
nclip=$1
folder=$2
shim=$3
every=${FAULTS_EVERY:-16}
model=$PWD/../configs/quickstart/model
recorded=$PWD/generate/recorded
version_1=$PWD/store/version_1
. "$PWD/cli/shared/pictures.sh"
rm -rf "$folder"
mkdir -p "$folder"
cd "$folder"
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive

found=0
report() {
    echo "memory.sh: $*" >&2
    found=$((found + 1))
}

draw_pictures pictures
write_captions captions.jsonl
printf 'a red circle\na street with no cars\n' >texts.txt
cut -d '"' -f 8 captions.jsonl >lines.txt
"$nclip" embed --model "$model" --images pictures --out store >/dev/null 2>&1
mkdir versions # a store of both
cp "$version_1"/shard-* versions
"$nclip" embed --model "$model" --images pictures --out versions >/dev/null 2>&1
mkdir more # names that repeat, and a caption
cp pictures/red-*.png more
echo red >more/red-circle.txt
"$nclip" train --model "$model" --captions captions.jsonl --embeddings store --out trained --quiet \
    --set precision=fp32 --set epochs=1 >/dev/null
printf '{"questions": [{"image_id": 1, "question": "Is there a hat?", "question_id": 1}, {"image_id": 1,
"question": "Is the dog black?", "question_id": 2}, {"image_id": 2, "question": "Are there any cars?",
"question_id": 3}]}\n' >questions.json
printf '{"annotations": [' >answers.json
for number in 1 2 3; do
    printf '%s{"question_id": %s, "image_id": %s, "multiple_choice_answer": "no", "answers": [' \
        "$([ $number = 1 ] || echo ,)" $number $((number / 3 + 1))
    for who in 1 2 3 4 5 6 7 8 9 10; do
        printf '%s{"answer": "no", "answer_id": %s}' "$([ $who = 1 ] || echo ,)" $who
    done
    printf ']}'
done >>answers.json
printf ']}\n' >>answers.json
# Which of two boxes of a picture a phrase is about.
printf '[{"image": "red-circle.png", "phrase": "not the left one", "ref_bbox": [32, 0, 32, 64], ' >items.json
printf '"bbox_list": [[0, 0, 32, 64], [32, 0, 32, 64]]}]\n' >>items.json
# A folder as open_clip writes it, to be taken in.
"$nclip" export --model "$model" --format open_clip --out foreign >/dev/null

# One run in an empty folder `out`: its output and files, without what depends on the clock.
run() { # command with its arguments
    rm -rf out && mkdir out
    [ ! -e out.before ] || cp -r out.before/. out/
    status=0
    "$@" >out/stdout 2>message || status=$?
}
settle() { # folder
    rm -f "$1"/run/events.out.* "$1"/message
    for file in "$1"/stdout "$1"/run/metrics.jsonl "$1"/report.html; do
        [ ! -f "$file" ] || sed -E -i 's/"?(captions|pictures)_per_second"?: ?[0-9.e+-]+//g; s/"seconds": ?[0-9.e+-]+//g;
            s/[0-9.]+ (captions\/s|pictures\/s|MB\/s)//g; s/in [0-9.]+ s//g; s/[0-9.]+ GiB at the peak//g;
            s/; [a-z]+ limits//g;
            s/"peak_(bytes|memory)": ?[0-9]+//g' "$file"
    done
}

try() { # name, arguments of nclip
    name=$1
    shift
    run "$nclip" "$@"
    [ $status = 0 ] || { report "$name: fails undisturbed: $(cat message)"; return; }
    settle out
    rm -rf whole && mv out whole
    rm -f sites
    run env FAULT_SITES="$PWD/sites" LD_PRELOAD="$shim" "$nclip" "$@"
    [ -s sites ] || { report "$name: no allocation was seen"; return; }
    tried=0
    for number in $(sort -n sites | awk -v every="$every" 'NR % every == 1 || every == 1'); do
        tried=$((tried + 1))
        run env FAULT_ALLOCATION="$number" LD_PRELOAD="$shim" "$nclip" "$@"
        if [ $status = 0 ]; then
            settle out
            diff -r whole out >difference 2>&1 ||
                report "$name: allocation $number: exit code 0 with another result: $(head -n 4 difference)"
            continue
        fi
        [ $status = 1 ] || report "$name: allocation $number: exit code $status: $(tail -n 2 message)"
        [ "$(grep -c '^nclip: ' message)" = 1 ] || report "$name: allocation $number: not one sentence: $(cat message)"
        # What is left: nothing half-written.
        left=$(find out -name '*partial*')
        [ -z "$left" ] || report "$name: allocation $number: left $left"
    done
    echo "$name: $tried of $(wc -l <sites) places"
}

only=${FAULTS_ONLY:-}
case_of() { # name, arguments
    [ -z "$only" ] || [ "$only" = "$1" ] || return 0
    try "$@"
}
case_of tokenize tokenize --model "$model" texts.txt
case_of encode encode --model "$model" --text texts.txt --out out/x.npy
case_of embed embed --model "$model" --images pictures --out out/store --batch 8
case_of upgrade store upgrade versions --out out/store
case_of embed-many embed --model "$model" --images pictures --images more --out out/store --batch 8 \
    --also-text out/captions.jsonl
case_of info info "$model"
case_of info-store info store
case_of verify info store --verify
case_of info-captions info captions.jsonl
case_of info-run info trained
case_of scan scan --json lines.txt
case_of scan-jsonl scan captions.jsonl
case_of vqa generate vqa --questions questions.json --annotations answers.json \
    --image-name 'p{id:03}.jpg' --rejects out/rejects.jsonl --out out/captions.json
cp "$recorded/journal" journal
case_of absence generate absence --captions "$recorded/captions.jsonl" --no-vision-check \
    --text-model gemma-3-270m-q4_k_m --prompts "$recorded/prompts" --max-requests 0 \
    --journal journal --rejects out/rejects.jsonl --out out/captions.json
cmp journal "$recorded/journal" || report "absence: the journal changed"
case_of train train --model "$model" --captions captions.jsonl --embeddings store --out out/run \
    --quiet --set precision=fp32 --set epochs=1
for format in hf open_clip hf-text; do
    case_of export-$format export --model "$model" --format $format --out out/exported
done
case_of merge merge --base "$model" --tuned trained/best --alpha 0.5 --out out/merged
case_of negrefcocog evaluate negrefcocog --model "$model" --annotations items.json --images pictures --json
case_of report report --run trained --out out/report.html
case_of import import foreign --out out/imported

[ $found = 0 ] || { echo "memory.sh: $found faults" >&2; exit 1; }
