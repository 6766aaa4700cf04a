# Every command has help: `nclip`, `nclip --help`, `nclip COMMAND --help`.
set -eu
nclip=$1

fail() {
    echo "help.sh: $*" >&2
    exit 1
}

help=$("$nclip" --help)
case $help in *"Usage: nclip COMMAND"*) ;; *) fail "no usage in --help" ;; esac
[ "$("$nclip" -h)" = "$help" ] || fail "-h is not --help"
[ "$("$nclip" help)" = "$help" ] || fail "help is not --help"
"$nclip" --version | grep -Eq '^nclip [0-9]+\.[0-9]+\.[0-9]+$' || fail "--version: $("$nclip" --version)"

# The commands are the indented first words between "Commands:" and the empty line.
commands=$(echo "$help" | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
[ -n "$commands" ] || fail "--help lists no commands"
for command in $commands; do
    text=$("$nclip" "$command" --help) || fail "$command --help failed"
    case $text in "Usage: nclip $command"*) ;; *) fail "$command --help starts with: $text" ;; esac
    [ "$("$nclip" help "$command")" = "$text" ] || fail "help $command is not $command --help"
    echo "$text" | awk 'length > 100 { exit 1 }' || fail "$command --help has lines over 100 columns"
    [ -z "$("$nclip" "$command" --help 2>&1 >/dev/null)" ] || fail "$command --help writes to stderr"
done
# Every recipe is named where people look for it.
for preset in ../configs/*.yaml; do
    name=$(basename "$preset" .yaml)
    "$nclip" train --help | grep -qF "\`$name\`" || fail "train --help does not name $name"
done
echo "$help" | awk 'length > 80 { exit 1 }' || fail "--help has lines over 80 columns"
