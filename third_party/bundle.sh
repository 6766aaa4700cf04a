#!/bin/sh
# Copies the libraries that nclip builds with into a folder, for a machine that has a compiler
# and CMake but no package registry and no right to install (a node of a cluster, say):
#   sh third_party/bundle.sh DIR|FILE.tar.gz     here, where the packages are installed
#   cd DIR && . ./environment                    there, before cmake
# DIR can be moved. It holds about 60 MB, most of it oneDNN; packed, 20. Only what is built with it
# takes its libraries: other programs there keep their own.
set -eu
[ $# -eq 1 ] || { echo "usage: sh third_party/bundle.sh DIR|FILE.tar.gz" >&2; exit 2; }
case $1 in *.tar.gz)
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    sh "$0" "$folder" && tar czf "$1.partial" -C "$folder" . && mv "$1.partial" "$1"
    exit 0
    ;;
esac
here=$(dirname "$0")
mkdir -p "$1/include" "$1/lib/pkgconfig" "$1/bin"
target=$(cd "$1" && pwd)

copy_libraries() { # those that a program or library needs, but for the C and C++ runtime's own
    ldd "$1" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p' | while read -r library; do
        case $library in
        */libc.so* | */libm.so* | */libdl.so* | */librt.so* | */libpthread.so* | */libresolv.so* | \
            */libutil.so* | */libanl.so* | */libnss_*.so* | */ld-linux*) ;; # parts of one C library
        */libstdc++.so* | */libgcc_s.so* | */libgomp.so*) ;;
        *) cp -L "$library" "$target/lib/$(basename "$library")" ;;
        esac
    done
}

for package in $(sh "$here/install.sh" --list) pkgconf pkgconf-bin libstb-dev; do
    dpkg-query -W "$package" >/dev/null 2>&1 || continue
    dpkg -L "$package" | while read -r file; do
        [ -f "$file" ] || continue
        case $file in
        /usr/include/*)
            part=${file#/usr/include/}
            part=${part#"$(gcc -print-multiarch 2>/dev/null)"/}
            mkdir -p "$target/include/$(dirname "$part")"
            cp -L "$file" "$target/include/$part"
            ;;
        */pkgconfig/*.pc)
            sed -e 's|^prefix=.*|prefix=${pcfiledir}/../..|' -e 's|^exec_prefix=.*|exec_prefix=${pcfiledir}/../..|' \
                -e 's|^libdir=.*|libdir=${pcfiledir}/..|' \
                -e 's|^\(includedir=\).*/include\(/[^/]*-linux-gnu\)\{0,1\}|\1${pcfiledir}/../../include|' \
                -e 's|/usr/include|${pcfiledir}/../../include|g' \
                -e 's|-L/usr/lib[^ ]*|-L${pcfiledir}/..|g' \
                "$file" >"$target/lib/pkgconfig/$(basename "$file")"
            ;;
        /usr/lib/*.so)
            # under the name that is written in it, by which it is loaded; the plain one is a link
            soname=$(objdump -p "$file" | sed -n 's/^ *SONAME *//p')
            cp -Lf "$file" "$target/lib/${soname:-$(basename "$file")}"
            copy_libraries "$file"
            ;;
        /usr/lib/*.a)
            case $file in */libz.a | */libzstd.a) cp -L "$file" "$target/lib/" ;; esac
            ;;
        esac
    done
done
cp -L "$(command -v pkg-config)" "$target/bin/pkg-config.program"
copy_libraries "$target/bin/pkg-config.program"
cat >"$target/bin/pkg-config" <<'END'
#!/bin/sh
here=$(dirname "$0")
LD_LIBRARY_PATH=$here/../lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} exec "$here/pkg-config.program" "$@"
END
chmod +x "$target/bin/pkg-config"

for library in "$target"/lib/*.so.*; do
    plain=${library%%.so.*}
    [ -e "${plain%-0}.so" ] || ln -s "$(basename "$library")" "${plain%-0}.so"
done

cat >"$target/environment" <<'END'
# Read by the shell before cmake, from this folder: cd DIR && . ./environment
NCLIP_BUNDLE=$(pwd)
export PATH="$NCLIP_BUNDLE/bin:$PATH" PKG_CONFIG_PATH="$NCLIP_BUNDLE/lib/pkgconfig"
export LDFLAGS="-Wl,--disable-new-dtags,-rpath,$NCLIP_BUNDLE/lib${LDFLAGS:+ $LDFLAGS}"
export CMAKE_PREFIX_PATH="$NCLIP_BUNDLE" CPATH="$NCLIP_BUNDLE/include" LIBRARY_PATH="$NCLIP_BUNDLE/lib"
END
du -sh "$target" | sed 's|\t.*||' >&2
