#!/bin/sh
# tests/check_families.py, where NCLIP_PYTHON (or python3) has the packages: every family of text towers
# goes through nclip and back into transformers and open_clip.
set -eu
python=${NCLIP_PYTHON:-python3}
if ! command -v "$python" >/dev/null; then
    echo "SKIPPED: there is no $python; NCLIP_PYTHON names one with torch and transformers"
    exit 77
fi
exec "$python" -W ignore check_families.py "$1"
