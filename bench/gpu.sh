#!/bin/sh
# Everything that needs a GPU: builds, runs nclip doctor --check and the tests of operations and training
# on the device, the benchmarks with their peers, and compute-sanitizer's memcheck and racecheck.
#   sh bench/gpu.sh [build] [check] [kernels] [train] [epochs] [embed] [sanitize] [peers]     (all, when none is named)
# Where time is short, in two calls: `build check kernels train epochs`, then `sanitize peers` with EARLIER, which
# embeds pictures too: they are decoded and embedded beside their peer.
# Correctness comes first, then times, then what takes long. The whole call ends within LIMIT seconds (570): what there is no
# time left for is SKIPPED, and what fails stops nothing but itself. Whatever has run by then is in
# bench/results/gpu.json, written anew after each part; or in $OUT, with gpu.log beside it. A short table
# comes last.
#   EARLIER=FILE   a gpu.json of an earlier call, for the parts that this one leaves out
#   COMMIT=NAME    what is measured, where there is no git
#   BUNDLE=FILE    made by third_party/bundle.sh, for a machine without the Debian packages
#   PYTHON=python3 with torch, triton, and open_clip or transformers: makes the peers
# Needs the CUDA toolkit, CMake and a compiler. tests/emulated/gpu_script.sh rehearses it without a GPU.
set -u
cd "$(dirname "$0")/.." || exit 1
parts=${*:-build check kernels train epochs embed peers sanitize}
out=${OUT:-bench/results}
python=${PYTHON:-python3}
build=${NCLIP_GPU_BUILD:-build/gpu}
device=${NCLIP_GPU_DEVICE:-cuda} # another one for the rehearsal, at shapes of its own
results=$build/results
deadline=$(($(date +%s) + ${LIMIT:-570}))
if [ "$device" != cuda ] && [ -z "${OUT:-}" ]; then
    echo "a rehearsal leaves nothing in bench/results: set OUT" >&2
    exit 2
fi
mkdir -p "$out" "$results" || exit 1
out=$(cd "$out" && pwd)
results=$(cd "$results" && pwd)
log=$out/gpu.log
[ -n "${OUT:-}" ] || log=$results/gpu.log
: >"$log"
failures=0
sampler=

if [ "$device" = cuda ]; then
    kernels_at='' train_at='' epochs_at='--share-prefixes --pairs 229000 --epochs 15' peer_at='--device cuda --batches 512 --steps 50'
    peer_kernels_at='--device cuda'
    embed_shapes='ViT-B/32 ViT-L/14' embed_at='--pictures 2048 --batch 256 --runs 2' peer_embed_at='--device cuda --batch 256 --runs 1'
else
    kernels_at='--captions 2 --repeats 1' train_at='--shape tiny --batch 4 --steps 2'
    epochs_at='--share-prefixes --shape tiny --batch 4 --pairs 24 --epochs 2' peer_at='--batches 4 --steps 1 --shape tiny'
    peer_kernels_at='--device cpu --captions 2 --repeats 1 --most-pairs 64'
    embed_shapes=tiny embed_at='--pictures 3 --batch 2 --runs 1' peer_embed_at='--device cpu --batch 2 --runs 1 --workers 1'
fi

if [ -n "${BUNDLE:-}" ]; then
    here=$(pwd)
    if [ -f "$BUNDLE" ]; then
        mkdir -p "$build/bundle" && tar xzf "$BUNDLE" -C "$build/bundle" && BUNDLE=$build/bundle || exit 1
    fi
    cd "$BUNDLE" && . ./environment && cd "$here" || exit 1
fi

wanted() {
    case " $parts " in *" $1 "*) return 0 ;; *) return 1 ;; esac
}

# name, seconds at most, file or -, command: what it prints becomes the file, if it succeeds or what it
# prints is a line a result (.jsonl), or goes into the log. One line here.
step() {
    name=$1 limit=$2 file=$3
    shift 3
    [ "$device" = cuda ] || limit=$((3 * limit)) # emulated, on a machine that does other things
    began=$(date +%s)
    if [ "$limit" -gt $((deadline - began)) ]; then
        limit=$((deadline - began))
    fi
    if [ "$limit" -lt 5 ]; then
        printf '%-34s SKIPPED: no time left\n' "$name"
        return 1
    fi
    printf '== %s: %s\n' "$name" "$*" >>"$log"
    before=$(wc -l <"$log")
    if [ "$file" = - ]; then
        timeout -k 5 "$limit" "$@" >>"$log" 2>&1
        code=$?
    else
        timeout -k 5 "$limit" "$@" >"$file.partial" 2>>"$log"
        code=$?
        case $code$file in 0* | *.jsonl) mv "$file.partial" "$file" ;; esac
    fi
    result=ok
    if [ $code -ne 0 ]; then
        result="FAILED (exit code $code)"
        [ $code -ne 124 ] && [ $code -ne 137 ] || result="FAILED (over $limit s)"
        failures=$((failures + 1))
    fi
    printf '%-34s %s, %d s\n' "$name" "$result" "$(($(date +%s) - began))"
    [ $code -eq 0 ] || tail -n +$((before + 1)) "$log" | tail -n 12 | cut -c 1-300 | sed 's/^/    /'
    return $code
}

# the table's file, from what there is by now
keep() {
    "$python" bench/gpu_table.py --quiet "$results" "$out/gpu.json" ${EARLIER:+"$EARLIER"} >>"$log" 2>&1
}

# clocks and power every two seconds, while something is measured
watch() {
    nvidia-smi --query-gpu=clocks.sm,clocks.mem,power.draw,temperature.gpu,pstate --format=csv,noheader,nounits \
        -l 2 >>"$results/state.csv" 2>>"$log" &
    sampler=$!
}
unwatch() {
    [ -n "$sampler" ] || return 0
    nvidia-smi -q -d PERFORMANCE >>"$log" 2>&1 # what held the clocks back
    kill "$sampler" 2>>"$log"
    sampler=
}
trap unwatch EXIT
trap 'exit 1' INT TERM HUP

have() { # modules: whether $python has one of them
    for module in "$@"; do
        "$python" -c "import $module" 2>/dev/null && return 0
    done
    echo "SKIPPED: the peers, because $python lacks $*"
    return 1
}

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || {
    echo "no GPU answers: nothing to measure"
    exit 1
}
nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
if wanted build && [ "$device" = cuda ]; then # a build of minutes would end without them
    cuda=$(dirname "$(dirname "$nvcc")")
    find -L "$cuda" ${CPATH:+$(echo "$CPATH" | tr : ' ')} /usr/include -name cublasLt.h 2>/dev/null | grep -q . || {
        echo "cublasLt.h is not under $cuda: install libcublas-dev, or set BUNDLE"
        exit 1
    }
    { ldconfig -p; find -L "$cuda" $(echo "${LD_LIBRARY_PATH:-}" | tr : ' ') -name 'libcublasLt.so*'; } 2>/dev/null |
        grep -q libcublasLt || {
        echo "libcublasLt.so is not there: install libcublas, or set BUNDLE"
        exit 1
    }
fi
generator= # what is there
if ! command -v make >/dev/null && command -v ninja >/dev/null; then
    generator='-G Ninja'
elif wanted build && ! command -v make >/dev/null; then
    echo "there is neither make nor ninja: install one of them"
    exit 1
fi
if wanted build; then
    rm -f "$results"/* # of an earlier build
    : >>"$log"
fi
nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,clocks.max.mem,power.limit,persistence_mode \
    --format=csv >"$results/device.csv" 2>>"$log"
nvidia-smi >>"$log" 2>&1
echo "${COMMIT:-$(git describe --always --dirty 2>/dev/null || echo unknown)}" >"$results/commit"
"$nvcc" --version 2>>"$log" | tail -n 1 >"$results/toolkit"

if wanted build; then
    capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)
    # shellcheck disable=SC2086 # two words, or none
    step configure 60 - cmake $generator -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DNCLIP_CUDA=ON -DNCLIP_MPI=OFF \
        -DNCLIP_CUDA_ARCHITECTURES="${ARCHITECTURES:-$capability}" || exit 1
    step build 400 - cmake --build "$build" --parallel "$(sh third_party/jobs.sh)" --target nclip nclip-bench gpu_tests || exit 1
fi
bench=$build/nclip-bench

if wanted check; then
    step doctor 30 - "$build/nclip" doctor
    step "doctor --check" 90 "$results/check.json" "$build/nclip" doctor --check --device "$device" --json
    step "tests on the GPU" 150 - ctest --test-dir "$build" -L gpu --output-on-failure --no-tests=error
    keep
fi

if wanted kernels; then
    watch
    # in one run; where something breaks it, each operation by itself
    step kernels 120 "$results/kernels.json" "$bench" kernels --device "$device" --most-pairs 65536 $kernels_at --json ||
        for operation in $("$bench" kernels --list); do
            step "kernels: $operation" 40 "$results/kernels-$operation.json" "$bench" kernels --device "$device" \
                --operation "$operation" --most-pairs 65536 $kernels_at --json
        done
    unwatch
    keep
fi

if wanted train; then
    watch
    tokens=$results/tokens.jsonl
    step "training steps" 60 "$results/train.json" "$bench" train --device "$device" --precision bf16 \
        --tokens-out "$tokens" $train_at --json
    keep
    step "training steps, shared prefixes" 60 "$results/train-shared.json" "$bench" train --device "$device" \
        --precision bf16 --share-prefixes $train_at --json
    unwatch
    keep
fi

if wanted epochs; then
    watch
    step "epochs" 170 "$results/epochs.json" "$bench" train --device "$device" --precision bf16 $epochs_at --json
    unwatch
    keep
fi

# Pictures: decoding, the tower, both; the peer reads the same files. The first shape's peer decodes, too.
if wanted embed || wanted peers; then
    watch
    pictures=$build/pictures peer_parts=decode,tower,both
    for shape in $embed_shapes; do
        name=embed-$(echo "$shape" | tr -d /)
        step "pictures, $shape" 75 "$results/$name.json" "$bench" embed --device "$device" --precision bf16 \
            --shape "$shape" --data "$pictures" $embed_at --json
        keep
        wanted peers && [ -s "$pictures/pictures.tar" ] && have torch && have PIL || continue
        step "pictures, $shape, PyTorch" 100 "$results/$name-torch.json" "$python" bench/peers/embed_pytorch.py \
            --data "$pictures" --shape "$shape" --precision bf16 --parts $peer_parts $peer_embed_at
        peer_parts=tower,both
        keep
    done
    unwatch
    keep
fi

if wanted peers; then
    watch
    tokens=$results/tokens.jsonl
    if [ ! -s "$tokens" ]; then
        echo "SKIPPED: PyTorch's training steps, because those of nclip did not run: they share their captions"
    elif have open_clip transformers; then
        step "training steps, PyTorch" 120 "$results/train-torch.json" "$python" bench/peers/train_pytorch.py \
            --tokens "$tokens" $peer_at
        keep
        step "training steps, PyTorch, trimmed" 120 "$results/train-torch-trim.json" "$python" \
            bench/peers/train_pytorch.py --tokens "$tokens" $peer_at --trim
        keep
    fi
    if have torch; then
        step "kernels, PyTorch and Triton" 150 "$results/kernels-peers.jsonl" "$python" \
            bench/peers/kernels_pytorch.py $peer_kernels_at
    fi
    unwatch
    keep
fi

if wanted kernels && [ "$device" = cuda ]; then # a minute, most of it three runs
    step "kernels, a million pairs" 120 "$results/kernels-large.json" "$bench" kernels --device "$device" \
        --operation infonce --shape "B=1048576 D=768" --json
fi

if wanted sanitize; then
    sanitizer=$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)
    ends=$(($(date +%s) + 90)) each=30 # beside the rest; in a call of its own, all the time there is
    if ! wanted kernels && ! wanted train && ! wanted epochs; then
        ends=$deadline each=200
    fi
    : >"$results/sanitizer.txt"
    for tool in memcheck racecheck; do
        for program in "$(cd "$build" && pwd)"/tests/kernels_test_*; do # they know small shapes
            test=${program##*/kernels_test_}
            left=$((ends - $(date +%s)))
            [ $left -lt $each ] || left=$each
            if [ ! -x "$sanitizer" ]; then
                echo "SKIPPED: the sanitizer, because there is no compute-sanitizer"
                break 2
            elif [ $left -lt 5 ]; then
                echo "$tool $test SKIPPED: no time left" | tee -a "$results/sanitizer.txt"
            elif [ -x "$program" ]; then
                step "$tool $test" "$left" - env -C tests NCLIP_TEST_BACKEND="$device" \
                    "$sanitizer" --tool "$tool" --error-exitcode 9 "$program"
                echo "$tool $test $result" >>"$results/sanitizer.txt"
            fi
        done
    done
    keep
fi

"$python" bench/gpu_table.py "$results" "$out/gpu.json" ${EARLIER:+"$EARLIER"} 2>>"$log" ||
    echo "SKIPPED: the table, because $python did not make it: the figures are in $results"
[ $failures -eq 0 ]
