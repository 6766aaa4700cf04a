#!/bin/sh
# nclip prepare: the same set from the same captions, however they come; what it says; what is
# refused. What is in a set, and kills, are tests/train/test_prepare.c's.
set -eu
nclip=$1
folder=$2
model=$PWD/../configs/quickstart/model
. "$PWD/cli/shared/pictures.sh"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "prepare.sh: $*" >&2
    exit 1
}
refused() { # exit code, what the message says, arguments
    code=$1 says=$2
    shift 2
    status=0
    prepare "$@" >out.txt 2>message || status=$?
    [ $status -eq "$code" ] || fail "$*: exit code $status: $(cat message)"
    tail -n 1 message | grep -q "^nclip: .*$says" || fail "$*: does not say \"$says\": $(cat message)"
}
prepare() {
    "$nclip" prepare --embeddings store --model "$model" "$@"
}

draw_pictures pictures
write_captions captions.jsonl
count=$(wc -l <captions.jsonl)
"$nclip" embed --model "$model" --images pictures --out store >embed.log 2>&1

# ---- what it says ----

prepare --captions captions.jsonl --out set >out.txt 2>message || fail "$(cat message)"
grep -q "^$count captions prepared in .* captions/s)\$" out.txt || fail "$(cat out.txt)"
grep -q "^set: $count examples of 24 pictures" out.txt || fail "$(cat out.txt)"
grep -q 'prepare 1/2' message || fail "no progress of the first pass: $(cat message)"
[ "$(ls set)" = "$(printf 'examples-000000.set\nset.json')" ] || fail "left over: $(ls set)"
"$nclip" info set >info.txt
sed -n '/^set:/,$p' out.txt | cmp -s - info.txt || fail "info says something else: $(cat info.txt)"
"$nclip" info set --json >info.json
for part in '"kind":"set"' "\"captions\":$count," "\"examples\":$count," '"pictures":24,' \
    '"roles":\["caption","contradiction"\]' '"left_out":\[\]' "\"embeddings\":\"$PWD/store\""; do
    grep -q "$part" info.json || fail "no $part in: $(cat info.json)"
done
# Again: it is complete.
prepare --captions captions.jsonl --out set >out.txt 2>message || fail "$(cat message)"
grep -q '^set was complete already$' message || fail "$(cat message)"

# ---- however they come ----

same() { # sets that differ in their sources alone
    for file in "$1"/*.set; do
        cmp "$file" "$2/$(basename "$file")" || fail "$2 has other bytes than $1"
    done
    for which in "$1" "$2"; do
        tr -d '\n\t ' <"$which/set.json" | sed 's/"sources":[^]]*\]//' >"$which.said"
    done
    cmp "$1.said" "$2.said" || fail "$2 says something else than $1"
}
gzip -k captions.jsonl
prepare --captions captions.jsonl.gz --out packed --quiet >/dev/null 2>message
[ ! -s message ] || fail "--quiet speaks: $(cat message)"
same set packed
cat captions.jsonl | prepare --captions - --out piped --quiet >/dev/null
same set piped
head -n 100 captions.jsonl >first.jsonl
tail -n +101 captions.jsonl | sed 's/$/\r/' >second.jsonl
prepare --captions first.jsonl --captions second.jsonl --out parts --quiet >/dev/null
same set parts
awk 'BEGIN { printf "{\"annotations\": [" }
    { sub(/"image":/, "\"image_id\":"); printf "%s%s", (NR > 1 ? ", " : ""), $0
      match($0, /"image_id": *"[^"]*"/); name = substr($0, RSTART, RLENGTH)
      sub(/.*: *"/, "", name); sub(/"$/, "", name); names[name] }
    END { printf "], \"images\": ["
        for (name in names) printf "%s{\"id\": \"%s\", \"file_name\": \"%s\"}", (n++ ? ", " : ""), name, name
        print "]}" }' captions.jsonl >captions.json
prepare --captions captions.json --out coco --quiet >/dev/null
same set coco
OMP_NUM_THREADS=1 prepare --captions captions.jsonl --out alone --quiet >/dev/null
same set alone

# ---- roles, and what is left out ----

cat >roles.jsonl <<'END'
{"image": "red-circle.png", "caption": "a red circle", "contradiction": "no red circle", "distractor": "blue-circle.png"}
{"image": "nowhere.png", "caption": "nothing"}
{"image": "blue-circle.png", "caption": "a blue circle", "absence": "no square", "paraphrase": "a circle, blue", "choices": ["a red one", "a green one"], "distractor": "nowhere.png"}
END
prepare --captions roles.jsonl --out roles --json --quiet >roles.json
for part in '"captions":3,"examples":2,"pictures":2,"texts":7,' '"distractors":1,' \
    '"roles":\["caption","contradiction","absence","paraphrase","choices"\]' \
    '{"reason":"picture_not_in_store","count":1,"first":"roles.jsonl line 2: nowhere.png"}' \
    '{"reason":"distractor_not_in_store","count":1,"first":"roles.jsonl line 3: nowhere.png"}' \
    '"captions_per_second":' '"resumed":false'; do
    grep -q "$part" roles.json || fail "no $part in: $(cat roles.json)"
done
"$nclip" info roles | grep -q ' 1  picture_not_in_store, first roles.jsonl line 2: nowhere.png' ||
    fail "$("$nclip" info roles)"

# Records that cannot be read end it, or are counted.
{
    cat first.jsonl
    printf '{"image": "red-circle.png", "caption": 3}\nnot JSON\n'
    tail -n +101 captions.jsonl
} >torn.jsonl
prepare --captions torn.jsonl --malformed skip --out torn --json --quiet >torn.json
grep -q "\"captions\":$((count + 2)),\"examples\":$count," torn.json || fail "torn: $(cat torn.json)"
grep -q '{"reason":"malformed","count":2,"first":"torn.jsonl line 101: ' torn.json ||
    fail "torn: $(cat torn.json)"

# ---- what is refused ----

refused 2 'standard input' --captions - --captions - --out x
refused 2 '\-\-captions' --out x
refused 3 'missing.jsonl' --captions missing.jsonl --out x
[ ! -e x ] || fail "left over: $(ls x)"
printf '{"image": "nowhere.png", "caption": "nothing"}\n' >nowhere.jsonl
refused 3 'none of the captions' --captions nowhere.jsonl --out x
[ ! -e x ] || fail "left over: $(ls x)"
refused 2 'made with other captions' --captions roles.jsonl --out set
refused 2 'holds something else' --captions roles.jsonl --out pictures
sed '100s/"caption"/"text"/' captions.jsonl >wrong.jsonl
refused 3 'wrong.jsonl line 100: ' --captions wrong.jsonl --out x
[ ! -e x ] || fail "left over: $(ls x)"
# The second file is wrong: what the first one gave stays, and the mended one goes on.
refused 3 'wrong.jsonl line 100: ' --captions first.jsonl --captions wrong.jsonl --out x
status=0
"$nclip" info x >out.txt 2>message || status=$?
[ $status = 3 ] && grep -q 'the same command goes on' message || fail "half a set: $(cat message)"
tail -n +101 captions.jsonl >wrong.jsonl
prepare --captions first.jsonl --captions wrong.jsonl --out x --quiet --json >x.json
grep -q '"resumed":true' x.json || fail "it did not go on: $(cat x.json)"
same set x

# A set that was damaged is named.
printf 'x' | dd of=set/examples-000000.set bs=1 seek=300 conv=notrunc 2>/dev/null
status=0
"$nclip" info set >out.txt 2>message || status=$?
[ $status = 3 ] && grep -q 'examples-000000.set: damaged' message || fail "damage: $(cat message)"
