#!/bin/sh
# Compiles, and keeps what ptxas -v says of each kernel beside the object, for check_spills.sh.
#   sh tests/kernels/record_resources.sh OBJECT COMMAND...
set -eu
object=$1
shift
status=0
"$@" 2>"$object.messages" || status=$?
report='^ptxas info|bytes stack frame'
grep -E "$report" "$object.messages" >"$object.resources" || true
grep -vE "$report" "$object.messages" >&2 || true
rm "$object.messages"
exit $status
