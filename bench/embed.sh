#!/bin/sh
# Times nclip embed in its parts, and PyTorch's DataLoader with PIL and webdataset beside it on the same
# pictures, and keeps the result in bench/results/. Run nothing else meanwhile. Takes about two minutes
# on two cores.
#   PYTHON=python3 sh bench/embed.sh [nclip-bench embed options: --shape, --pictures, --device, ...]
# PYTHON needs torch and pillow, and webdataset for its part; without them only nclip is timed, and it
# says so.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
cmake --preset default >/dev/null
cmake --build build --parallel "$(sh third_party/jobs.sh)" --target nclip-bench >/dev/null
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT INT TERM

load=$(cut -d ' ' -f 1 /proc/loadavg)
run=$(build/nclip-bench embed --data "$folder/data" --json "$@" 2>"$folder/log") ||
    { cat "$folder/log" >&2; exit 1; }
peer='"SKIPPED: no torch and pillow"'
if "$python" -c 'import torch, PIL' 2>/dev/null; then
    peer=$("$python" bench/peers/embed_pytorch.py --data "$folder/data" 2>"$folder/log") ||
        { cat "$folder/log" >&2; exit 1; }
else
    echo "SKIPPED: PyTorch's part, because $python lacks torch or pillow" >&2
fi
shape=ViT-B/32 device=cpu previous=
for argument in "$@"; do
    [ "$previous" != --shape ] || shape=$argument
    [ "$previous" != --device ] || device=$argument
    previous=$argument
done
commit=$(git describe --always --dirty 2>/dev/null || echo unknown)
processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
result=bench/results/embed-$device-$(echo "$shape" | tr -d / | tr '@' '-').json
printf '{"commit": "%s", "processor": "%s", "cores": %s, "load_before": %s,\n"run": %s,\n"peers": %s}\n' \
    "$commit" "$processor" "$(nproc)" "$load" "$run" "$peer" >"$result.partial"
mv "$result.partial" "$result"
echo "$result" >&2
