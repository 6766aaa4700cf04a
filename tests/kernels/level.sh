# Runs a command with the kernels of one level of processor, oneDNN held down to as much.
#   sh kernels/level.sh LEVEL NCLIP COMMAND [ARGUMENT ...]
set -eu
level=$1 nclip=$2
shift 2
case $level in
v2) isa=SSE41 ;;
v3) isa=AVX2 ;;
v4) isa=AVX512_CORE ;; # as before processors multiplied bf16; with that, all other tests run
*) isa=ALL ;;
esac
if ! said=$(NCLIP_CPU=$level "$nclip" doctor 2>&1 >/dev/null); then
    echo "SKIPPED: $said"
    exit 77
fi
NCLIP_CPU=$level ONEDNN_MAX_CPU_ISA=$isa exec "$@"
