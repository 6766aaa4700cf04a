#!/bin/sh
# The Debian packages that cpack makes of this build: what is in them, what they ask for, and whose
# notices they carry. (That they install and work: sh tests/fresh/package.sh.)
set -eu
folder=$2
build=$3
for program in cpack dpkg-deb dpkg-shlibdeps file objdump; do
    command -v $program >/dev/null || { echo "SKIPPED: $program is not here (Debian: cmake, dpkg-dev, file)" && exit 77; }
done
dpkg-query --search "$(command -v cpack)" >/dev/null 2>&1 ||
    { echo "SKIPPED: the packages of this machine are not Debian's" && exit 77; }
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "deb.sh: $*" >&2
    exit 1
}
# The build is there and is not asked for again: Ninja has no such step before an installation.
cpack --config "$build/CPackConfig.cmake" -B "$folder" -D CPACK_CMAKE_GENERATOR=Ninja >log 2>&1 || fail "$(cat log)"
[ "$(find . -maxdepth 1 -name '*.deb' | wc -l)" = 3 ] || fail "not three packages: $(ls)"
unpack() { # package
    file=$(find . -maxdepth 1 -name "$1_*.deb")
    [ -n "$file" ] || fail "no $1"
    dpkg-deb -x "$file" "$1"
    (cd "$1" && find . ! -type d | sed 's/^\.//' | sort) >"$1.list"
    dpkg-deb -f "$file" >"$1.control"
    dpkg-deb -I "$file" triggers >"$1.triggers" 2>/dev/null || :
    [ "$(sed -n 's/^Description: //p' "$1.control" | wc -c)" -gt 20 ] || fail "$1 says nothing of itself"
    dpkg-deb -c "$file" | awk '{ print $2 }' | sort -u | grep -vx root/root && fail "$1: not all is root's" || :
    gzip -dc "$1/usr/share/doc/$1/changelog.Debian.gz" | head -n 1 | grep -q '^nclip (' || fail "$1: no log of changes"
}
has() { # package, path that it must have, as a regular expression
    grep -Eqx -- "$2" "$1.list" || fail "$1 has no $2: $(cat "$1.list")"
}

unpack nclip
has nclip /usr/bin/nclip
has nclip /usr/share/bash-completion/completions/nclip
has nclip '/usr/share/zsh/(vendor-completions|site-functions)/_nclip'
has nclip /usr/share/fish/vendor_completions.d/nclip.fish
has nclip /usr/share/doc/nclip/examples/cluster/train-cpu.sbatch
has nclip /usr/share/doc/nclip/examples/configs/default.yaml
has nclip /usr/share/man/man1/nclip.1.gz
./nclip/usr/bin/nclip help --list >commands
while read -r command; do
    has nclip "/usr/share/man/man1/nclip-$(echo "$command" | sed 's/ --*/-/g; s/ /-/g').1.gz"
done <commands
gzip -dc nclip/usr/share/man/man1/nclip-train.1.gz | grep -q '^\.TH NCLIP' || fail "nclip-train.1 is no manual page"
grep -q '^complete -F _nclip nclip' nclip/usr/share/bash-completion/completions/nclip || fail "bash's completion"
for library in libc6 libdnnl libcyaml libcurl; do
    grep '^Depends:' nclip.control | grep -q "[ ,]$library[0-9t]*\( \|,\|\$\)" || fail "nclip does not ask for $library: $(cat nclip.control)"
done
grep -q '^libnclip' commands && fail "a command that is a library" || :
objdump -h nclip/usr/bin/nclip | grep -q '\.debug_info' && fail "nclip is not stripped" || :

library=$(ls -d libnclip[0-9]*.deb | sed 's/_.*//')
unpack "$library"
has "$library" '/usr/lib/.*/?libnclip\.so\.[0-9]*\.[0-9]*\.[0-9]*'
grep -q '^/usr/include\|\.a$\|libnclip\.so$\|/bin/' "$library.list" && fail "$library: $(cat "$library.list")" || :
grep -qx 'activate-noawait ldconfig' "$library.triggers" || fail "$library: no trigger"
dpkg-deb -I "$library"_*.deb shlibs | grep -q "^libnclip ${library#libnclip} $library" || fail "$library: no shlibs"

unpack libnclip-dev
has libnclip-dev /usr/include/nclip/nclip.h
has libnclip-dev '/usr/lib/.*/?libnclip\.a'
has libnclip-dev '/usr/lib/.*/?libnclip\.so'
has libnclip-dev '/usr/lib/.*/?pkgconfig/nclip\.pc'
version=$(sed -n 's/^Version: //p' libnclip-dev.control)
grep -qx "Depends: $library (= $version)" libnclip-dev.control || fail "libnclip-dev: $(cat libnclip-dev.control)"

# What is linked is named with its notice, and nothing is there twice.
for package in nclip "$library" libnclip-dev; do
    notices=$package/usr/share/doc/$package/copyright
    sed -n 's/^=* \([^ ]*\) (source package .*/\1/p' "$notices" >chapters
    [ -z "$(sort chapters | uniq -d)" ] || fail "$package: chapters twice: $(sort chapters | uniq -d)"
    for asked in $(sed -n 's/^Depends: //p' nclip.control | tr ',' '\n' | sed 's/^ *//; s/ .*//; s/:.*//'); do
        [ $package = nclip ] || continue
        grep -qx "$asked" chapters || fail "$package: no notice of $asked"
    done
    grep -qx libstb-dev chapters || fail "$package: no notice of stb, which is compiled in"
    [ "$(grep -c -i 'licen[cs]e' "$notices")" -gt 20 ] || fail "$package: no licences in $notices"
done
echo "three packages: $(cat nclip.list | wc -l), $(wc -l <"$library.list") and $(wc -l <libnclip-dev.list) files"
