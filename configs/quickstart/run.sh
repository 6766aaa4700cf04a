#!/bin/sh
# The quick start: a small CLIP that cannot tell "a shape that is not red" from a red shape, its
# text tower fine-tuned on captions made from easy-VQA's questions, and how it chooses before and
# after. Everything it makes lies in runs/quickstart.
#   sh configs/quickstart/run.sh
#   NCLIP=/usr/bin/nclip sh configs/quickstart/run.sh     with the one that is installed
set -eu
cd "$(dirname "$0")/../.."

nclip=${NCLIP:-build/nclip}
config=configs/quickstart
runs=runs/quickstart
wheel=easy_vqa-1.0-py3-none-any.whl
wheel_sha256=fcb51b309b78c7b00f97b64cdbcbcf5c105f94da1b39c0796cee5a787c4f650f

say() {
    printf '\n== %s\n' "$1"
}

fail() {
    printf '%s\n' "$1" >&2
    exit 1
}

is_whole() { # the download is there and is what it should be
    echo "$wheel_sha256  $runs/download/$wheel" | sha256sum --check --status 2>/dev/null
}

if [ -n "${NCLIP:-}" ]; then
    command -v "$nclip" >/dev/null || fail "$nclip is not there"
elif is_whole || python3 -m pip --version >/dev/null 2>&1; then
    sh third_party/install.sh
else
    sh third_party/install.sh python3-pip
fi
mkdir -p "$runs/download"
begin=$(date +%s)

if ! is_whole; then
    say "Getting easy-VQA 1.0 (48,000 questions about 5,000 pictures, MIT licence)"
    rm -f "$runs/download/$wheel"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --dest "$runs/download" easy-vqa==1.0 ||
        fail "easy-VQA could not be downloaded: put $wheel into $runs/download and start again"
    is_whole || fail "$runs/download/$wheel is not the file it should be (SHA-256 $wheel_sha256)"
fi
rm -rf "$runs/unpacked" "$runs/store" "$runs/run"
mkdir "$runs/unpacked"
if command -v cmake >/dev/null; then # a wheel is a zip archive
    (cd "$runs/unpacked" && cmake -E tar xf "../download/$wheel")
else
    python3 -m zipfile -e "$runs/download/$wheel" "$runs/unpacked"
fi
data=$runs/unpacked/easy_vqa/data

build() {
    # Nothing here computes on a GPU, and CUDA kernels take minutes to compile: a build without
    # them gets those of the GPU that is there, or none. `cmake --preset default` goes back to all.
    if ! build/nclip doctor --json 2>/dev/null | grep -q '"built":true'; then
        cmake --preset default -DNCLIP_CUDA_ARCHITECTURES=native || return
    fi
    cmake --build build --parallel "$(sh third_party/jobs.sh)" --target nclip
}
if [ -z "${NCLIP:-}" ]; then
    say "Building nclip"
    build >"$runs/build.log" 2>&1 || {
        cat "$runs/build.log" >&2
        fail "nclip could not be built: see above"
    }
    sed -n 's/^-- nclip: \(this build\|with the CUDA\)/\1/p' "$runs/build.log"
fi

say "Embedding the training pictures, once, with the frozen vision tower"
"$nclip" embed --model "$config/model" --images "$data/train/images" --out "$runs/store"

say "Turning questions into captions that deny something"
"$nclip" generate vqa --rewriter rules --questions "$data/train/questions.json" \
    --image-name '{id}.png' --held-out "$config/held_out.json" --plain 1 --out "$runs/captions.json"

choose() { # model, file for what it chooses
    "$nclip" evaluate choices --model "$1" --annotations "$config/items.json" \
        --images "$data" --items "$2" >/dev/null
}

say "Choosing among test pictures, before"
choose "$config/model" "$runs/before.jsonl"

say "Fine-tuning the text tower"
"$nclip" train --config "$config/train.yaml" --model "$config/model" \
    --captions "$runs/captions.json" --embeddings "$runs/store" --out "$runs/run"

say "Choosing among test pictures, after"
choose "$runs/run/best" "$runs/after.jsonl"

say "Result (chance: 25%, twin 50%)"
"$nclip" report --run "$runs/run" --items "$config/items.json" --before "$runs/before.jsonl" \
    --after "$runs/after.jsonl" --images "$data" --title "The quick start, before and after" \
    --seconds "$(($(date +%s) - begin))" --result "$runs/result.json" --out "$runs/report.html"
printf '\nin %s seconds. To look at: %s/report.html; to read: %s/result.json\n' \
    "$(($(date +%s) - begin))" "$runs" "$runs"
