#!/bin/sh
# The notices (copyright and licences) of what programs are made of and linked with, from the files
# that the Debian packages on this machine carry: one chapter a package.
#   sh third_party/package/notices.sh PROGRAM...
# Compiled in are stb's headers and, where there is CUDA, its runtime; everything else is a shared
# library that stays in a package of its own.
set -eu
[ $# -gt 0 ] || { echo "usage: notices.sh PROGRAM..." >&2; exit 2; }

owner() { # the package of a file; paths below /usr and / are one tree
    for path in "$1" "/usr$1" "${1#/usr}"; do
        dpkg-query --search "$path" 2>/dev/null | sed 's/:.*//; q' | grep . && return
    done
    echo "notices.sh: no package has $1" >&2
    return 1
}
packages() {
    echo libstb-dev
    for program in "$@"; do
        needed=$(LC_ALL=C objdump -p "$program" | sed -n 's/^ *NEEDED *//p')
        ldd "$program" >"$found"
        for name in $needed; do
            file=$(sed -n "s|^[[:space:]]*$name => \([^ ]*\) .*|\1|p; s|^[[:space:]]*\(/[^ ]*/$name\) .*|\1|p" "$found" | head -n 1)
            owner "$(readlink -f "$file")"
        done
    done
}
found=$(mktemp)
trap 'rm -f "$found"' EXIT

list=$(packages "$@")
for package in $(echo "$list" | sort -u); do
    file=/usr/share/doc/$package/copyright
    [ -s "$file" ] || { echo "notices.sh: $package has no copyright file" >&2; exit 1; }
    version=$(dpkg-query -W -f '${source:Package} ${source:Version}' "$package")
    printf '================ %s (source package %s) ================\n\n' "$package" "$version"
    cat "$file"
    echo
done
