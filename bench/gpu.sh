#!/bin/sh
# Everything that needs a GPU, in one call of less than ten minutes: builds, runs the tests of
# operations and training on the device, compute-sanitizer's memcheck and racecheck, and the
# benchmarks with their peers. Results go to bench/results/ and the log to build/, or both to $OUT; a
# short table comes last.
#   sh bench/gpu.sh [build] [test] [sanitize] [kernels] [train] [epochs]       (all, when none is named)
# Needs the CUDA toolkit, CMake and a compiler. Without the Debian packages, and without a registry
# to get them from: BUNDLE=DIR, made by third_party/bundle.sh on a machine that has them.
# PYTHON (python3) with torch, triton and open_clip makes the peers; what it lacks is SKIPPED.
set -u
cd "$(dirname "$0")/.." || exit 1
parts=${*:-build test sanitize kernels train epochs}
out=${OUT:-bench/results}
python=${PYTHON:-python3}
build=build/gpu
mkdir -p "$out" build
out=$(cd "$out" && pwd)
log=$(pwd)/build/gpu.log
[ -z "${OUT:-}" ] || log=$out/gpu.log
: >"$log"
failures=0

if [ -n "${BUNDLE:-}" ]; then
    here=$(pwd)
    cd "$BUNDLE" && . ./environment && cd "$here" || exit 1
fi

wanted() {
    case " $parts " in *" $1 "*) return 0 ;; *) return 1 ;; esac
}

step() { # name, seconds at most, command: into the log; one line here
    name=$1 limit=$2
    shift 2
    began=$(date +%s)
    printf '== %s: %s\n' "$name" "$*" >>"$log"
    timeout "$limit" "$@" >>"$log" 2>&1
    code=$?
    if [ $code -eq 0 ]; then
        result=ok
    else
        result="FAILED (exit code $code)"
        failures=$((failures + 1))
        tail -n 15 "$log"
    fi
    printf '%-28s %s, %d s\n' "$name" "$result" "$(($(date +%s) - began))"
    return $code
}

kept() { # file, command: its standard output becomes the file when it succeeds
    file=$1
    shift
    "$@" >"$file.partial" && mv "$file.partial" "$file"
}

have() {
    "$python" -c "import $1" 2>/dev/null || {
        echo "SKIPPED: the peers, because $python lacks $1"
        return 1
    }
}

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || {
    echo "no GPU answers: nothing to measure"
    exit 1
}

capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)

if wanted build; then
    step configure 120 cmake -S . -B $build -DCMAKE_BUILD_TYPE=Release -DNCLIP_CUDA=ON \
        -DNCLIP_CUDA_ARCHITECTURES="${ARCHITECTURES:-$capability}" || exit 1
    step build 400 cmake --build $build --parallel "$(nproc)" || exit 1
fi
bench=$build/nclip-bench

if wanted test; then
    step "tests on the GPU" 240 ctest --test-dir $build -L gpu --output-on-failure --no-tests=error
fi

if wanted sanitize; then
    # the tests of operations know small shapes: each is run on the device alone
    for tool in memcheck racecheck; do
        for test in "$build"/tests/kernels_test_*; do
            [ -x "$test" ] || continue
            (cd tests && NCLIP_TEST_BACKEND=cuda step "$tool $(basename "$test" | sed s/kernels_test_//)" 100 \
                compute-sanitizer --tool "$tool" --error-exitcode 9 "../$test") || failures=$((failures + 1))
        done
    done
fi

if wanted kernels; then
    step "kernels" 180 kept "$out/kernels-gpu.json" $bench kernels --device cuda --json
    if have torch; then
        step "kernels, peers" 180 kept "$out/kernels-gpu-peers.jsonl" "$python" bench/peers/kernels_pytorch.py
    fi
fi

if wanted train; then
    tokens=$build/tokens.jsonl
    step "training steps" 100 kept "$out/train-gpu.json" $bench train --device cuda --precision bf16 \
        --tokens-out "$tokens" --json
    step "training steps, shared" 100 kept "$out/train-gpu-shared.json" $bench train --device cuda \
        --precision bf16 --share-prefixes --json
    if have open_clip; then
        for padding in "" --trim; do
            step "training steps, PyTorch $padding" 200 kept "$out/train-gpu-torch$padding.json" "$python" \
                bench/peers/train_pytorch.py --device cuda --tokens "$tokens" --batches 512 --steps 50 $padding
        done
    fi
fi

if wanted epochs; then
    step "15 epochs of 229,000 pairs" 200 kept "$out/epochs-gpu.json" $bench train --device cuda \
        --precision bf16 --pairs 229000 --epochs 15 --json
fi

"$python" bench/gpu_table.py "$out" 2>/dev/null || echo "SKIPPED: the table, because $python does not run"
[ $failures -eq 0 ]
