#!/bin/sh
# README's two commands, as a new user gives them: each in a bare root and a clone of its own.
#   sh tests/fresh/run.sh SUITE [quickstart] [tests] [rights]     (all, when none is named)
#   sh tests/fresh/run.sh --root DIR [...]      in a root that is given, and left as it has become
# SUITE is Debian's name of a release (bookworm, trixie). `rights` is what a user sees who may not install.
# A line for each, with the seconds it took, downloads and builds included; exit code 0, 1, or 77 with
# SKIPPED and the reason. What was printed is kept in NCLIP_ROOTS (root.sh).
set -eu
cd "$(dirname "$0")/../.."
. "$PWD/tests/fresh/root.sh"

given=
case ${1:-} in
--root) given=${2:?a folder} name=$(basename "$2") && shift 2 ;;
'' | -*) sed -n '2,8s/^# //p' "$0" >&2 && exit 2 ;;
*) name=$1 && shift ;;
esac
parts=${*:-quickstart tests rights}

folder=
trap '[ -z "$folder" ] || rm -rf --one-file-system "$folder"' EXIT
trap 'exit 130' INT TERM HUP

if [ -z "$given" ]; then
    reason=$(root_missing "$name")
    if [ -n "$reason" ]; then
        echo "SKIPPED: $name: $reason"
        exit 77
    fi
    mkdir -p "$NCLIP_ROOTS"
fi

# Without the right to install: one line that names the packages, and they are all that is needed.
rights() { # root
    root_enter "$1" apt-get update -q || return 1
    if root_enter "$1" setpriv --reuid=65534 --regid=65534 --clear-groups sh /nclip/third_party/install.sh; then
        echo "install.sh succeeded without the right to install"
        return 1
    fi
    line=$(root_enter "$1" setpriv --reuid=65534 --regid=65534 --clear-groups \
        sh /nclip/third_party/install.sh 2>&1 || :)
    wanted=${line#nclip needs these packages: sudo }
    [ "$wanted" != "$line" ] && [ "$(echo "$line" | wc -l)" -eq 1 ] || return 1
    # shellcheck disable=SC2086
    root_enter "$1" $wanted -y -q --no-install-recommends &&
        root_enter "$1" setpriv --reuid=65534 --regid=65534 --clear-groups sh /nclip/third_party/install.sh
}

command_of() {
    case $1 in quickstart) echo configs/quickstart/run.sh ;; tests) echo tests/run.sh ;; esac
}

failures=0
for part in $parts; do
    mkdir -p "$NCLIP_ROOTS"
    log=$NCLIP_ROOTS/$name-$part.log
    if [ -n "$given" ]; then
        root=$given
        rm -rf "$root/nclip"
    else
        folder=$(mktemp -d "$NCLIP_ROOTS/$name.XXXXXX")
        root=$folder
        root_make "$name" "$root" || exit 1
    fi
    root_clone "$root"
    began=$(date +%s) result=ok
    case $part in
    rights) rights "$root" >"$log" 2>&1 || result=FAILED ;;
    quickstart | tests)
        # shellcheck disable=SC2016
        root_enter "$root" sh -c 'cd /nclip && exec sh "$0"' "$(command_of "$part")" >"$log" 2>&1 ||
            result=FAILED
        ;;
    *) echo "there is no part $part" >&2 && exit 2 ;;
    esac
    seconds=$(($(date +%s) - began))
    note=$(grep 'tests passed' "$log" | tail -n 1 || :)
    printf '%-9s %-11s %-7s %4s s   %s\n' "$name" "$part" "$result" "$seconds" "$note"
    if [ $result = FAILED ]; then
        echo "$log ends with:"
        tail -n 60 "$log"
        failures=$((failures + 1))
    fi
    [ -z "$folder" ] || rm -rf --one-file-system "$folder"
done
[ $failures -eq 0 ]
