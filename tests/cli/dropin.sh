#!/bin/sh
# tests/check_dropin.py, where NCLIP_PYTHON (or python3) has the packages: what is exported works in
# transformers, open_clip, diffusers, CLIPSeg and clip-benchmark.
set -eu
python=${NCLIP_PYTHON:-python3}
if ! command -v "$python" >/dev/null; then
    echo "SKIPPED: there is no $python; NCLIP_PYTHON names one with torch and transformers"
    exit 77
fi
exec "$python" -W ignore check_dropin.py "$1"
