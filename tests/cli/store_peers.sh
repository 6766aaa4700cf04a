#!/bin/sh
# tests/check_exchange.py, where NCLIP_PYTHON (or python3) has NumPy: stores to and from .npy files and Parquet.
set -eu
python=${NCLIP_PYTHON:-python3}
if ! command -v "$python" >/dev/null; then
    echo "SKIPPED: there is no $python; NCLIP_PYTHON names one with numpy and pyarrow"
    exit 77
fi
exec "$python" check_exchange.py "$1"
