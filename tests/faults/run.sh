#!/bin/sh
# The long campaign: sh tests/faults/run.sh [ROUNDS]
# Kills and other faults at ROUNDS (100) moments of each command, every place that allocates without
# memory once, a kill after every rename. Needs build/nclip and build/tests/libfaults.so. An hour on
# two cores; SEED=N takes other moments.
set -eu
cd "$(dirname "$0")/.."
nclip=${NCLIP:-$PWD/../build/nclip}
shim=$(dirname "$nclip")/tests/libfaults.so
work=${TMPDIR:-/tmp}/nclip-faults
export ROUNDS=${1:-100} FAULTS_EVERY=1
for part in campaign stream checkpoints files memory; do
    echo "== $part"
    sh faults/$part.sh "$nclip" "$work/$part" "$shim"
done
