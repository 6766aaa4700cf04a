#!/bin/sh
# nclip evaluate against each benchmark's own evaluation, with a randomly initialised CLIP; needs a
# Python ($PYTHON, else python3) with torch, transformers, clip-benchmark and scikit-learn.
set -eu
python=${PYTHON:-python3}
command -v "$python" >/dev/null || { echo "SKIPPED: no python3" && exit 77; }
exec "$python" evaluate/check_references.py "$1"
