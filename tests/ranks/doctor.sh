#!/bin/sh
# nclip doctor --check on several ranks: one table, with the operations between them.
set -eu
nclip=$1
folder=$2
. "$PWD/ranks/shared/ranks.sh"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "doctor.sh: $*" >&2
    exit 1
}
ranks 2 "$nclip" doctor --check --out check.json >out 2>err || fail "$(cat out err)"
grep -q '^MPI  *2 ranks  *right' out || fail "MPI was not checked: $(tail -3 out)"
[ "$(grep -c '^MPI ' out)" = 1 ] || fail "more than one table: $(cat out)"
grep -q '^[0-9]* right, 0 wrong, [0-9]* left out$' out || fail "no sum: $(tail -3 out)"
grep -q '"what":[^"]*"MPI"' check.json || fail "check.json has no MPI"
"$nclip" doctor --check >out || fail "alone: $(tail -3 out)"
grep -q '^MPI .*left out .*one process' out || fail "alone: $(tail -3 out)"
