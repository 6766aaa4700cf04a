#!/bin/sh
# One harness over its seeds and over what once failed.
#   sh replay.sh PROGRAM NAME FOLDER     run in tests/
set -eu
sh fuzz/seeds.sh "$2" "$3"
"$1" "$3" "fuzz/found/$2" >"$3.count" 2>"$3.log" || {
    tail -n 40 "$3.log" >&2
    exit 1
}
cat "$3.count"
