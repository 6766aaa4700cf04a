#!/bin/sh
# Installs the Debian packages that nclip builds with, where they are missing.
# Without the right to install, it names them in one line and stops.
#   sh third_party/install.sh [EXTRA-PACKAGE ...]
#   sh third_party/install.sh --list            only names them
set -eu

packages="cmake pkg-config libdnnl-dev libcjson-dev libcyaml-dev libmsgpack-dev libstb-dev
libxxhash-dev libutf8proc-dev libcmocka-dev zlib1g-dev libzstd-dev libcurl4-openssl-dev"
# its name differs between Debian and Ubuntu; libjpeg-dev stands for both
pkg-config --exists libjpeg 2>/dev/null || packages="$packages libjpeg-dev"

if [ "${1:-}" = --list ]; then
    pkg-config --exists libjpeg 2>/dev/null && packages="$packages libjpeg62-turbo-dev"
    echo $packages # shellcheck disable=SC2086
    exit 0
fi

missing=
for package in $packages "$@"; do
    status=$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null || true)
    case $status in ii*) ;; *) missing="$missing $package" ;; esac
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "nclip needs these packages, by their Debian names; please install them:$missing" >&2
    exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
    as_root=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    echo "nclip needs these packages: sudo apt-get install$missing" >&2
    exit 1
fi
echo "Installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -q >/dev/null
# shellcheck disable=SC2086
$as_root apt-get install -y -q --no-install-recommends $missing >/dev/null
