# Wrong usage: exit code 2, one line on stderr that says what is wrong, nothing on stdout.
set -eu
nclip=$1

fail() {
    echo "usage.sh: $*" >&2
    exit 1
}

# expect CODE PATTERN ARGUMENTS...
expect() {
    code=$1 pattern=$2
    shift 2
    status=0
    output=$("$nclip" "$@" 2>&1 >/dev/null) || status=$?
    [ "$status" = "$code" ] || fail "nclip $*: exit code $status, expected $code: $output"
    echo "$output" | grep -q -- "$pattern" || fail "nclip $*: \"$pattern\" is not in: $output"
    [ "$(echo "$output" | grep -c '^nclip: ')" = 1 ] || fail "nclip $*: not one message: $output"
    [ -z "$("$nclip" "$@" 2>/dev/null || :)" ] || fail "nclip $*: writes to stdout"
}

expect 2 'a command is missing'
expect 2 'did you mean `nclip doctor`?' doctr
expect 2 'there is no command "frobnicate": `nclip --help` lists them' frobnicate
expect 2 'there is no command ""' ''
expect 2 'options follow the command' --json
expect 2 'no option --jsom: did you mean --json?' doctor --jsom
expect 2 'takes no value' doctor --json=1
expect 2 'does not expect "x"' doctor x
expect 2 'there is no command "doctr"' help doctr

for command in $("$nclip" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
    expect 2 '--no-such-option' "$command" --no-such-option
done

# A disk that is full must not look like success.
if [ -w /dev/full ]; then
    status=0
    message=$("$nclip" doctor 2>&1 >/dev/full) || status=$?
    [ "$status" = 1 ] || fail "doctor on a full disk: exit code $status"
    case $message in *"No space left"*) ;; *) fail "doctor on a full disk: $message" ;; esac
fi
