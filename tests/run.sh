#!/bin/sh
# Builds nclip and passes every test. Needs no GPU, no Python and no network
# once the packages are there.
#   sh tests/run.sh [ctest options]
set -eu
cd "$(dirname "$0")/.."
# MPI is no must for nclip, but for its tests on many ranks.
sh third_party/install.sh libopenmpi-dev openmpi-bin iproute2 procps
cmake --preset default >/dev/null
cmake --build build --parallel "$(nproc)"
exec ctest --test-dir build --parallel "$(nproc)" --output-on-failure "$@"
