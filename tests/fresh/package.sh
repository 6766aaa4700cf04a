#!/bin/sh
# Debian packages of nclip, made in one bare root and used in another, where no compiler is: what
# third_party/Containerfile does as a container.
#   sh tests/fresh/package.sh SUITE
# A line with the seconds it took; exit code 0, 1, or 77 with SKIPPED and the reason. What was printed is
# kept in NCLIP_ROOTS (root.sh).
set -eu
cd "$(dirname "$0")/../.."
. "$PWD/tests/fresh/root.sh"
suite=${1:?a release, such as bookworm}

reason=$(root_missing "$suite")
if [ -n "$reason" ]; then
    echo "SKIPPED: $suite: $reason"
    exit 77
fi
mkdir -p "$NCLIP_ROOTS"
log=$NCLIP_ROOTS/$suite-package.log
maker=$(mktemp -d "$NCLIP_ROOTS/$suite.XXXXXX")
user=$(mktemp -d "$NCLIP_ROOTS/$suite.XXXXXX")
trap 'rm -rf --one-file-system "$maker" "$user"' EXIT
trap 'exit 130' INT TERM HUP

make() {
    root_make "$suite" "$maker" && root_clone "$maker" && mkdir "$maker/packages" &&
        root_enter "$maker" sh -c 'cd /nclip && exec sh third_party/package.sh /packages'
}

# As a user who has no clone and no compiler. The quick start's inputs come from the clone.
cat >"$user/use.sh" <<'END'
set -eux
apt-get purge -y -q gcc g++ make cmake git && apt-get autoremove -y -q --purge
! command -v cc && ! command -v cmake
apt-get update -q
apt-get install -y -q --no-install-recommends /packages/nclip_*.deb
nclip --version
nclip doctor
gzip -dc /usr/share/man/man1/nclip-train.1.gz | grep -q '^\.TH NCLIP'
bash -n /usr/share/bash-completion/completions/nclip
grep -q libdnnl /usr/share/doc/nclip/copyright
cd /nclip
NCLIP=/usr/bin/nclip sh configs/quickstart/run.sh
test ! -e build
# many ranks, with the package that is recommended beside it
apt-get install -y -q --no-install-recommends openmpi-bin
mpirun --allow-run-as-root --oversubscribe --bind-to none -n 2 nclip train --config configs/quickstart/train.yaml \
    --set epochs=1 --model configs/quickstart/model --captions runs/quickstart/captions.json \
    --embeddings runs/quickstart/store --out runs/two
test -s runs/two/best/model.safetensors
# the library
apt-get install -y -q --no-install-recommends /packages/libnclip*.deb gcc libc6-dev pkg-config
cc /usr/share/doc/libnclip-dev/examples/zero_shot.c $(pkg-config --cflags --libs nclip) -o zero_shot
picture=$(find runs/quickstart/unpacked -name '*.png' | sort | head -n 1)
./zero_shot configs/quickstart/model "$picture" "a red circle" "a blue triangle" | grep '%'
apt-get purge -y -q nclip
test ! -e /usr/bin/nclip
test ! -e /usr/share/doc/nclip
END
use() {
    root_make "$suite" "$user" && root_clone "$user" && cp -r "$maker/packages" "$user/packages" &&
        root_enter "$user" sh /use.sh
}

began=$(date +%s) result=ok
{ make && use; } >"$log" 2>&1 || result=FAILED
printf '%-9s %-11s %-7s %4s s   %s\n' "$suite" package "$result" $(($(date +%s) - began)) \
    "$(cd "$maker/packages" 2>/dev/null && ls -- *.deb | tr '\n' ' ')"
if [ "$result" = FAILED ]; then
    echo "$log ends with:"
    tail -n 40 "$log"
    exit 1
fi
