# What doctor tells agrees with the kernel, in text and as JSON.
set -eu
nclip=$1
rm -rf "$2" && mkdir -p "$2" && cd "$2"

fail() {
    echo "doctor.sh: $*" >&2
    exit 1
}

text=$("$nclip" doctor)
json=$("$nclip" doctor --json)
[ "$(echo "$json" | wc -l)" = 1 ] || fail "--json prints more than one line"

has() {
    grep -m 1 -E '^(flags|Features)' /proc/cpuinfo | tr ' ' '\n' | grep -qx "$1" && echo true || echo false
}
for flag in avx2 fma avx512f avx512_bf16 amx_bf16; do
    case $json in
    *"\"$flag\":$(has $flag)"*) ;;
    *) fail "$flag is $(has $flag) in /proc/cpuinfo, but: $json" ;;
    esac
done
for key in version cpu model cores threads level levels memory onednn isa precisions fp32 bf16 cuda built gpus problem; do
    case $json in *"\"$key\":"*) ;; *) fail "no \"$key\" in: $json" ;; esac
done
for line in processor features memory threads kernels oneDNN fp32 bf16 cuda advice; do
    echo "$text" | grep -q "^$line  *[^ ]" || fail "no line \"$line\" in: $text"
done
# Every operation against the reference.
"$nclip" doctor --check --out check.json >checked || fail "--check: $(tail -3 checked)"
grep -q '^training .* fp32  *right' checked || fail "no training step was checked: $(cat checked)"
grep -q '"what":[^"]*"attention"' check.json || fail "no attention in check.json"
"$nclip" doctor --check --json | grep -q '"checks":\[' || fail "--check --json prints no checks"

OMP_NUM_THREADS=1 "$nclip" doctor --json | grep -q '"threads":1' || fail "OMP_NUM_THREADS is not shown"

# oneDNN's own switch takes instruction sets away; doctor must tell that bf16 is then widened.
for isa in SSE41 AVX2 AVX512_CORE; do
    ONEDNN_MAX_CPU_ISA=$isa "$nclip" doctor --json | grep -q '"bf16":{"support":"widened"' ||
        fail "bf16 is not called widened with no more than $isa"
done

# Levels of processor: each that this one has can be forced, others are refused in a sentence. These tests
# may run with one that is forced already.
levels=$(echo "$json" | sed 's/.*"levels":"\([^"]*\)".*/\1/; s/,//g')
chosen=$(unset NCLIP_CPU && "$nclip" doctor --json | sed 's/.*"level":"\([^"]*\)".*/\1/')
forced=true
for level in $levels; do
    if "$forced"; then
        NCLIP_CPU=$level "$nclip" doctor --json | grep -q "\"level\":\"$level\"" || fail "$level cannot be forced"
    elif NCLIP_CPU=$level "$nclip" doctor >/dev/null 2>refused; then
        fail "$level is taken, although $chosen is the most that this processor has"
    else
        grep -q "NCLIP_CPU asks for $level, but this processor has no more than $chosen" refused ||
            fail "no sentence about $level: $(cat refused)"
    fi
    [ "$level" = "$chosen" ] && forced=false
done
if NCLIP_CPU=v9 "$nclip" doctor >/dev/null 2>refused; then fail "there is a level v9"; fi
grep -q "the kernels of this program are for: " refused || fail "no sentence about v9: $(cat refused)"
