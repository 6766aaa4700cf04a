# Sourced by the tests of this folder: what they have in common.
. "$PWD/cli/shared/pictures.sh"

name=$(basename "$0")
fail() {
    echo "$name: $*" >&2
    exit 1
}
# What a command says and how it ends.
refused() { # exit code, what the message says, command
    code=$1 says=$2
    shift 2
    status=0
    "$@" >out.txt 2>message || status=$?
    [ $status -eq "$code" ] || fail "$*: exit code $status: $(cat message)"
    tail -n 1 message | grep -q "^nclip: .*$says" || fail "$*: does not say \"$says\": $(cat message)"
}
no_partials() { # folder
    [ -z "$(find "$1" -name '*.partial-*' -o -name '*.old')" ] ||
        fail "left over: $(find "$1" -name '*.partial-*' -o -name '*.old')"
}
# A process number that belongs to nobody.
dead_process() {
    sh -c 'echo $$'
}
