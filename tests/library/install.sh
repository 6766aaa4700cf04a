#!/bin/sh
# The installed library: what is installed, what the shared one shows, and the example, compiled
# with nothing but pkg-config's flags, both ways of linking, and run.
set -eu
cmake=$1
build=$2
folder=$3
cc=$4
sanitize=$5
model=$PWD/../configs/quickstart/model
example=$PWD/library/example/zero_shot.c
. "$PWD/cli/shared/pictures.sh"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

"$cmake" --install "$build" --prefix "$folder/first" >log 2>&1 || fail "$(cat log)"
mv first moved # a tree that was moved still finds itself
prefix=$folder/moved
"$prefix/bin/nclip" --version | grep -q '^nclip ' || fail "the installed program does not run"
[ "$(cd "$prefix" && find . -name '*.h')" = ./include/nclip/nclip.h ] || fail "other headers than nclip.h"

pc=$(find "$prefix" -name nclip.pc)
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
libraries=$(pkg-config --variable=libdir nclip)
[ -e "$libraries/libnclip.a" ] && [ -e "$libraries/libnclip.so" ] || fail "no library in $libraries"

# The shared library shows what the header declares, and nothing else.
sed -n 's/^NC_CLIP_API .*\(nc_clip_[a-z_]*\)(.*/\1/p' "$prefix/include/nclip/nclip.h" | sort >declared
nm -D --defined-only "$libraries/libnclip.so" | awk '{ print $3 }' | sort >shown
[ -s declared ] && cmp -s declared shown || fail "declared and shown: $(diff declared shown)"

flags="-std=c99 -Wall -Wextra -Werror ${sanitize:+-fsanitize=$sanitize}"
# shellcheck disable=SC2046,SC2086
"$cc" $flags "$example" $(pkg-config --cflags --libs nclip) -o shared || fail "does not link"
# shellcheck disable=SC2046,SC2086
"$cc" $flags "$example" $(pkg-config --cflags nclip) "$libraries/libnclip.a" \
    $(pkg-config --static --libs-only-l nclip | sed 's/-lnclip//') -fopenmp -o static || fail "does not link statically"
nm shared | grep -q ' U nc_clip_open' || fail "the library was linked in"
nm static | grep -q ' T nc_clip_open' || fail "the library was not linked in"

draw_pictures pictures
LD_LIBRARY_PATH=$libraries
export LD_LIBRARY_PATH
for program in ./shared ./static; do
    $program "$model" pictures/red-circle.png "a picture of a blue rectangle" \
        "a picture of a red circle" "a picture of a teal triangle" >out || fail "$program failed"
    sort -rn out | head -n 1 | grep -q '% .*red circle$' || fail "$program: $(cat out)"
    awk '{ sum += $1 } END { exit !(sum > 99.9 && sum < 100.1) }' out || fail "$program: $(cat out)"
    status=0
    $program "$model" pictures/none.png "a picture" >out 2>err || status=$?
    [ $status -eq 3 ] && grep -q 'zero_shot: pictures/none.png: ' err ||
        fail "$program without a picture: exit code $status: $(cat err)"
done
cc=${CXX:-c++}
if command -v "$cc" >/dev/null; then # the header in C++
    echo '#include <nclip/nclip.h>
int main() { return nc_clip_version()[0] == 0; }' >version.cc
    # shellcheck disable=SC2046,SC2086
    "$cc" -Wall -Werror ${sanitize:+-fsanitize=$sanitize} version.cc $(pkg-config --cflags --libs nclip) -o version
    ./version || fail "no version"
fi
