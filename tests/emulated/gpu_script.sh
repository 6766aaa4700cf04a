#!/bin/sh
# Rehearses bench/gpu.sh without a GPU: nclip-bench and the tests of the operations run on the backend
# "cuda-emulated", at tiny shapes; nvidia-smi, cmake and compute-sanitizer are played. What is
# looked at is the script: that every part runs, that one that fails or takes too long stops no
# other, and that the results are kept.
#   sh gpu_script.sh BUILT FOLDER     (BUILT: with emulated_bench, emulated_test_*, emulated_nclip)
set -eu
built=$1
folder=$2
root=$PWD/..
rm -rf "$folder" && mkdir -p "$folder/tools" "$folder/out" "$folder/bundle" && cd "$folder"

fail() {
    echo "gpu_script.sh: $*" >&2
    sed 's/^/    /' out/screen >&2
    exit 1
}

cat >tools/nvidia-smi <<'END'
#!/bin/sh
case "$*" in
*compute_cap*) echo 9.0 ;;
*"-l 2"*) while echo "1755, 2619, 412.50, 51, P0"; do sleep 1; done ;;
*clocks.max.sm*) printf 'name, driver_version, memory.total [MiB]\nPlayed GPU, 0.0, 1 MiB\n' ;;
*noheader*) echo "Played GPU, 0.0, 1 MiB" ;;
*) echo "played: $*" ;;
esac
END
# cmake --build FOLDER ...: "builds" by links
cat >tools/cmake <<END
#!/bin/sh
[ "\$1" = --build ] || exit 0
mkdir -p "\$2/tests"
ln -sf "$built/emulated_bench" "\$2/nclip-bench"
ln -sf "$built/emulated_nclip" "\$2/nclip"
for test in adamw rows; do ln -sf "$built/emulated_test_\$test" "\$2/tests/kernels_test_\$test"; done
END
cat >tools/ctest <<'END'
#!/bin/sh
echo "played: $*"
END
cat >tools/compute-sanitizer <<'END'
#!/bin/sh
[ "$*" = "${*#*racecheck}" ] || case $* in *adamw) echo "a played race"; exit 9 ;; esac
shift 4
exec "$@"
END
chmod +x tools/*
PATH=$folder/tools:$PATH
echo 'PLAYED_BUNDLE=$(pwd)' >bundle/environment
tar czf bundle.tar.gz -C bundle .

run() { # parts; sets code
    code=0
    NCLIP_GPU_DEVICE=cuda-emulated NCLIP_GPU_BUILD="$folder/build" OUT="$folder/out" \
        sh "$root/bench/gpu.sh" "$@" >out/screen 2>&1 || code=$?
}
says() {
    grep -q -- "$1" out/screen || fail "does not say: $1"
}

BUNDLE=$folder/bundle.tar.gz COMMIT=played run
[ $code -eq 1 ] || fail "a race was found, and the exit code is $code"
says '^Played GPU, 0.0, 1 MiB$'
for part in configure build doctor 'doctor --check' 'tests on the GPU' 'memcheck adamw' 'memcheck rows' 'racecheck rows' kernels \
    'training steps' 'training steps, shared prefixes' epochs 'pictures, tiny'; do
    says "^$part  *ok, "
done
says '^racecheck adamw  *FAILED (exit code 9)'
says '^    a played race'
[ ! -e build/results/state.csv ] || grep -q '^1755, ' build/results/state.csv || fail "no clocks were read"
for file in kernels train train-shared epochs embed-tiny; do
    [ -s "build/results/$file.json" ] || fail "$file.json is not there"
done
[ "$(cat build/results/commit)" = played ] || fail "the commit is $(cat build/results/commit)"
[ "$(find out -type f | wc -l)" -le 4 ] || fail "too many files: $(ls out)"
if ! command -v python3 >/dev/null; then
    says '^SKIPPED: the table'
else
    says '^infonce .*B=64 D=768'
    says '^epochs .*captions/s'
    says '^pictures, tiny .*decode .*, tower .*, both .* a second'
    grep -q '"commit": "played"' out/gpu.json || fail "gpu.json: $(head -c 300 out/gpu.json)"
    cp out/gpu.json earlier.json
fi

# What crashes or hangs takes nothing with it.
mv tools/cmake tools/cmake.real
cat >tools/cmake <<END
#!/bin/sh
"$folder/tools/cmake.real" "\$@"
[ "\$1" = --build ] || exit 0
rm "\$2/nclip-bench"
cat >"\$2/nclip-bench" <<'BENCH'
#!/bin/sh
case "\$*" in
*--list*) echo adamw; echo rows ;;
*"--operation adamw"*) exec "$built/emulated_bench" "\$@" ;;
*kernels*) echo half; kill -SEGV \$\$ ;;
*epochs*) sleep 100 ;;
*) echo '{"captions_per_second": 1}' ;;
esac
BENCH
chmod +x "\$2/nclip-bench"
END
chmod +x tools/cmake
[ ! -e earlier.json ] || export EARLIER="$folder/earlier.json"
LIMIT=20 run build kernels train epochs
[ $code -eq 1 ] || fail "kernels crashed, and the exit code is $code"
says '^kernels  *FAILED (exit code 139)'
says '^kernels: adamw  *ok'
says '^kernels: rows  *FAILED (exit code 139)'
says '^training steps  *ok'
says '^epochs  *FAILED (over [0-9]* s)'
[ ! -e build/results/kernels.json ] || fail "half a result was kept"
[ -s build/results/kernels-adamw.json ] && [ -s build/results/train.json ] || fail "results were lost"
if [ -e earlier.json ]; then
    grep -q '"epochs"' out/gpu.json && grep -q '"from_earlier"' out/gpu.json || fail "nothing of the earlier call"
fi
