#!/bin/sh
# Breaks each rule of tests/layout.sh once, in a small tree:
#
#     sh tests/layout_rules.sh FOLDER      an empty folder to work in
set -eu
layout=$(cd "$(dirname "$0")" && pwd)/layout.sh
work=${1:?an empty folder}
mkdir -p "$work"
cd "$work"

# A tree that keeps the rules: train includes model, which includes support.
begin()
{
    rm -rf tree
    for room in train model support; do
        mkdir -p "tree/host/$room" "tree/include/nclip/$room"
        echo "int nc_$room(void);" >"tree/include/nclip/$room/$room.h"
    done
    mkdir -p tree/kernels tree/bench tree/tests
    echo '#include "nclip/train/train.h"' >tree/bench/bench.c
    echo '#include "nclip/model/model.h"' >tree/host/train/train.c
    echo '#include "nclip/support/support.h"' >tree/host/model/model.c
    echo 'int nc_support(void) { return 0; }' >tree/host/support/support.c
}

# The check of the tree fails and says `$2`.
refuses()
{
    what=$1 sentence=$2
    shift 2
    if sh "$layout" tree "$@" >out 2>err; then
        echo "$what: not noticed"
        exit 1
    fi
    grep -q "$sentence" err || { echo "$what: reported as"; cat err; exit 1; }
}

begin
sh "$layout" tree >out

echo '#include "nclip/train/train.h"' >>tree/host/model/model.c
refuses 'an arrow upwards' 'host/model/model.c:2: model includes .*, but train is above it'

begin
mkdir tree/host/attic
echo 'int nc_attic;' >tree/host/attic/attic.c
refuses 'a room in no line' 'its room attic is in no line'

begin
mkdir -p tree/host/chat tree/include/nclip/chat
echo '#include "nclip/model/model.h"' >tree/include/nclip/chat/chat.h
echo '#include "nclip/chat/chat.h"' >>tree/host/model/model.c
refuses 'rooms in a circle' 'rooms include each other in a circle: .*chat'

begin
mkdir -p tree/host/train/step
echo '#include "../train.h"' >tree/host/train/step/step.h
echo '#include "step/step.h"' >tree/host/train/train.h
refuses 'folders in a circle' 'folders include each other in a circle: .*host/train/step'

begin
echo 'int nc_inside;' >tree/host/model/inside.h
echo '#include "../model/inside.h"' >>tree/host/train/train.c
refuses 'a private header' 'train includes host/model/inside.h, which model keeps to itself'

begin
echo 'int nc_inside;' >tree/include/nclip/model/inside.h
echo '#include "nclip/model/inside.h"' >>tree/host/model/model.c
refuses 'a public header of one room' 'include/nclip/model/inside.h: no other room includes it'
echo '#include "nclip/model/inside.h"' >>tree/include/nclip/model/model.h
sh "$layout" tree >out # train includes it through model.h

begin
echo 'int test;' >tree/tests/test.h
echo '#include "../../tests/test.h"' >>tree/host/model/model.c
refuses 'a header of the tests' 'includes tests/test.h, which is no part of the program'

begin
awk 'BEGIN { for (i = 0; i < 601; i++) print "" }' >tree/kernels/long.cu
refuses 'a long file' 'kernels/long.cu: 601 lines'
mv tree/kernels/long.cu tree/kernels/numbers_table.c
sh "$layout" tree >out

if command -v nm >/dev/null && command -v "${CC:-cc}" >/dev/null; then
    begin
    echo 'int b(void); int a(void) { return b(); } int c(void) { return 0; }' >tree/host/model/a.c
    echo 'int c(void); int b(void) { return c(); }' >tree/host/model/b.c
    for file in a b; do "${CC:-cc}" -c "tree/host/model/$file.c" -o "tree/host/model/$file.c.o"; done
    printf '%s\n' "$PWD/tree/host/model/a.c.o" "$PWD/tree/host/model/b.c.o" >objects
    refuses 'files that call each other' 'files call each other in a circle: .*host/model/a.c' \
        "$PWD/objects"
    begin
    echo 'int wild(void);' >>tree/include/nclip/model/model.h
    echo 'int wild(void) { return 0; }' >tree/host/model/a.c
    "${CC:-cc}" -c tree/host/model/a.c -o tree/host/model/a.c.o
    echo "$PWD/tree/host/model/a.c.o" >objects
    refuses 'a public name without its prefix' 'host/model/a.c: wild is in a public header' \
        "$PWD/objects"
else
    echo 'layout_rules: SKIPPED calls and names: no compiler or no nm'
fi
echo 'layout_rules: every rule is noticed where it is broken'
