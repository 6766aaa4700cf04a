#!/bin/sh
# Installs the Debian packages that nclip builds with, where they are missing.
# Without the right to install, it names them in one line and stops.
#   sh third_party/install.sh [EXTRA-PACKAGE ...]
#   sh third_party/install.sh --list            only names them
set -eu

# Where names differ between Debian and Ubuntu, or between their releases, a|b: any will do, and the first
# that there is gets installed. (From Debian 13 on libmsgpack-dev is the C++ library too, and all of Boost.)
packages="cmake pkg-config libdnnl-dev libcjson-dev libcyaml-dev libyaml-dev libmsgpack-c-dev|libmsgpack-dev
libstb-dev libxxhash-dev libutf8proc-dev libcmocka-dev zlib1g-dev libzstd-dev libcurl4-openssl-dev libwebp-dev
libjpeg62-turbo-dev|libjpeg-turbo8-dev|libjpeg-dev"
# Better with them, and nobody is asked for them: liburing reads large stores ahead with fewer threads.
optional="liburing-dev"

installed() { # names: the one that is installed
    for package in $(echo "$1" | tr '|' ' '); do
        case $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) in
        ii*) echo "$package" && return ;;
        esac
    done
}

available() { # names: the one to install; the last where nothing is known of any
    for package in $(echo "$1" | tr '|' ' '); do
        ! apt-cache policy "$package" 2>/dev/null | grep -q 'Candidate: [^(]' || break
    done
    echo "$package"
}

if [ "${1:-}" = --list ]; then
    for names in $packages; do
        found=$(installed "$names")
        echo "${found:-$(available "$names")}"
    done
    exit 0
fi

missing=
for names in $packages "$@"; do
    [ -n "$(installed "$names")" ] || missing="$missing $names"
done
[ -n "$missing" ] || exit 0

choose() {
    chosen=
    for names in $missing; do
        chosen="$chosen $(available "$names")"
    done
}

choose
if ! command -v apt-get >/dev/null; then
    echo "nclip needs these packages, by their Debian names; please install them:$chosen" >&2
    exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
    as_root=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    echo "nclip needs these packages: sudo apt-get install$chosen" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -q >/dev/null
choose # now that the lists are there
echo "Installing$chosen" >&2
# shellcheck disable=SC2086
$as_root apt-get install -y -q --no-install-recommends $chosen >/dev/null
for package in $optional; do
    [ -n "$(installed "$package")" ] ||
        $as_root apt-get install -y -q --no-install-recommends "$package" >/dev/null 2>&1 || :
done
