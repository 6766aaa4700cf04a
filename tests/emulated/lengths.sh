# How long the captions are that nclip-bench train draws: plain ones where nothing is said, longer
# negated ones, and those of a file.
#   sh lengths.sh BENCH FOLDER
set -eu
bench=$1
rm -rf "$2" && mkdir -p "$2"
tests=$PWD
cd "$2"

fail() {
    echo "lengths.sh: $*" >&2
    exit 1
}
train() {
    "$bench" train --device cpu --shape tiny --precision fp32 --batch 400 --steps 1 --json "$@"
}
mean() { # what --lengths says: tokens of a caption, in the mean
    train --lengths "$1" | sed -n 's/.*"tokens_per_caption":\([0-9.]*\).*/\1/p'
}
between() { # least, number, most
    awk "BEGIN { exit !($1 <= $2 && $2 <= $3) }" || fail "$4: $2 is not between $1 and $3"
}

plain=$(mean plain)
between 13.0 "$plain" 13.8 plain
train >default.json
grep -q "\"lengths\":\"plain\",.*\"tokens_per_caption\":$plain," default.json || fail "the default is not plain"
between 3.2 "$(echo "$(mean negated) $plain" | awk '{ print $1 - $2 }')" 3.8 "negated, longer by"

printf '# length, captions\n20 300\n\n 10\t100 # short ones\n' >table
between 17.0 "$(mean table)" 18.0 table
printf '77 1\n' >longest
[ "$(mean longest)" = 77 ] || fail "77 tokens: $(mean longest)"
printf '{"image": "a", "caption": "a a"}\n' >captions.jsonl
train --lengths captions.jsonl --tokenizer "$tests/tokenizer/golden_tokenizer" >captions.json
grep -q '"tokens_per_caption":4,' captions.json || fail "a file of captions: $(cat captions.json)"

refuse() { # exit code, a piece of the message, arguments
    code=0
    wanted=$1 piece=$2
    shift 2
    train "$@" >out 2>err || code=$?
    [ $code = "$wanted" ] || fail "$*: exit code $code: $(cat err)"
    grep -q "$piece" err || fail "$*: $(cat err)"
}
for line in '1 5' '78 5' '-3 5' '13' '13 5 5' 'thirteen 5' '13 -5' '13 99999999999999999999'; do
    echo "$line" >wrong
    refuse 3 'wrong:1: no length of 2 to 77 tokens' --lengths wrong
done
: >empty
refuse 3 'empty: no captions' --lengths empty
refuse 3 'missing' --lengths missing
refuse 2 'needs --tokenizer' --lengths captions.jsonl
refuse 2 'leave out --lengths' --lengths negated --captions captions.jsonl
