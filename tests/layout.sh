#!/bin/sh
# The rules of the folders, checked (README, "Where things are"):
#
#     sh tests/layout.sh [ROOT [OBJECTS]]
#
# ROOT is the tree to check, this one unless it is given. OBJECTS is a file that names the build's
# object files, one a line; without it calls between files, and names, are not checked. A room is a
# folder of host/ with its headers in include/nclip/, or kernels/. Tests and benchmarks may look
# inside all of them. tests/layout_rules.sh breaks each rule once.
set -eu
export LC_ALL=C

# Rooms, from above to below. A room includes headers of its own line and of those below it.
# Headers directly in include/nclip are the kernels', include/public is the library's.
ROOMS='
cli
train embed generate scan evaluate library
encoder
checkpoints model chat ranks
store captions pictures
tokenizer negation kernels
formats
support
'
LONGEST=600 # lines of a file, tables of data (*_table.c) excepted
export ROOMS LONGEST

cd "${1:-$(dirname "$0")/..}"
objects=${2:-}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The circles that tsort finds among the pairs of standard input, one a line; nothing without one.
circles()
{
    tsort 2>&1 >/dev/null | awk '
        function flush() { if (line) print substr(line, 4); line = "" }
        /loop/ { flush(); next }
        { sub(/^tsort: /, ""); line = line " > " $0 }
        END { flush() }'
}

files=$(find host kernels include bench tests \( -name '*.c' -o -name '*.h' -o -name '*.cu' \
    -o -name '*.cuh' -o -name '*.cpp' -o -name '*.hpp' \) -type f 2>/dev/null | sort)

# shellcheck disable=SC2086 # a name a word
FILES=$files awk '
function folder_of(path) { sub(/\/[^\/]*$/, "", path); return path }

# host/train/step/ring.c and include/nclip/train/train.h are of the room train.
function room_of(path,   part) {
    split(path, part, "/")
    if (path ~ /^include\/public\//) return "library"
    if (path ~ /^include\/nclip\/[^\/]*$/) return "kernels"
    return part[1] == "host" ? part[2] : part[1] == "include" ? part[3] : part[1]
}

function is_outside(room) { return room == "bench" || room == "tests" }

# The file of this tree that `path` includes as `name`, or "".
function find_header(path, name,   whole) {
    whole = "/" folder_of(path) "/" name
    while (whole ~ /\/[^\/.]+\/\.\.\//)
        sub(/\/[^\/.]+\/\.\.\//, "/", whole)
    whole = substr(whole, 2)
    if (whole in known) return whole
    if (("include/" name) in known) return "include/" name
    return ("include/public/" name) in known ? "include/public/" name : ""
}

# `room` has included `path`: the public headers that come with it are used.
function use(path, room,   list, i, count) {
    if (path in seen) return
    seen[path] = 1
    if (room != room_of(path)) used[path] = 1
    count = split(includes[path], list, " ")
    for (i = 1; i <= count; i++)
        if (list[i] ~ /^include\//) use(list[i], room)
}

function fail(sentence) { print sentence > "/dev/stderr"; failures++ }

BEGIN {
    count = split(ENVIRON["FILES"], list, "\n")
    for (i = 1; i <= count; i++) known[list[i]] = 1
    count = split(ENVIRON["ROOMS"], list, "\n")
    for (i = 1; i <= count; i++) {
        rooms = split(list[i], names, " ")
        for (k = 1; k <= rooms; k++) line[names[k]] = i
    }
    longest = ENVIRON["LONGEST"] + 0
}

FNR == 1 {
    room = room_of(FILENAME)
    if (!is_outside(room) && !(room in line) && !(room in lost)) {
        lost[room] = 1
        fail(FILENAME ": its room " room " is in no line of the list in tests/layout.sh")
    }
}

{ length_of[FILENAME] = FNR }

/^[ \t]*#[ \t]*include[ \t]*"/ {
    name = $0
    sub(/^[^"]*"/, "", name)
    sub(/".*/, "", name)
    header = find_header(FILENAME, name)
    if (header == "") next
    includes[FILENAME] = includes[FILENAME] " " header
    to = room_of(header)
    where = FILENAME ":" FNR ": "
    if (is_outside(room)) next
    if (is_outside(to))
        fail(where "includes " header ", which is no part of the program")
    else if ((room in line) && (to in line) && line[to] < line[room])
        fail(where room " includes " header ", but " to " is above it")
    if (to != room && header !~ /^include\//)
        fail(where room " includes " header ", which " to " keeps to itself: what a room promises" \
             " to others is in include/nclip")
    if (to != room)
        print room, to > (scratch "/rooms")
    else if (header !~ /^include\// && folder_of(header) != folder_of(FILENAME))
        print folder_of(FILENAME), folder_of(header) > (scratch "/folders")
}

END {
    for (path in known) {
        if (length_of[path] > longest && path !~ /_table\.c$/)
            fail(path ": " length_of[path] " lines, more than " longest ": find its second subject")
        split("", seen)
        if (room_of(path) != "tests") use(path, room_of(path))
    }
    for (path in known)
        if (path ~ /^include\/nclip\/.*\// && !(path in used))
            fail(path ": no other room includes it: it belongs in host/" room_of(path))
    exit failures > 0
}' scratch="$scratch" $files && failed=0 || failed=1

for kind in rooms folders; do
    [ -f "$scratch/$kind" ] || continue
    found=$(sort -u "$scratch/$kind" | circles | sed "s/^/$kind include each other in a circle: /")
    [ -z "$found" ] || { echo "$found" >&2; failed=1; }
done

# Object files that call each other: nm -A -P tells "FILE: SYMBOL TYPE ...".
missing=no
if [ -n "$objects" ]; then
    grep '/host/' "$objects" >"$scratch/objects" || missing='object files of host/ in the list'
    while read -r object; do
        [ -f "$object" ] || missing=$object
    done <"$scratch/objects"
    command -v nm >/dev/null || missing=nm
else
    missing='list of object files'
fi
if [ "$missing" = no ]; then
    tr '\n' '\0' <"$scratch/objects" | xargs -0 nm -A -P |
        sed 's|^[^:]*/host/|host/|; s|\.o: | |' >"$scratch/symbols"
    awk '$3 == "U" { needs[$1 " " $2] }
        $3 ~ /^[TDRBVWGSC]$/ { owner[$2] = $1 }
        END {
            for (pair in needs) {
                split(pair, part, " ")
                if (part[2] in owner && owner[part[2]] != part[1]) print part[1], owner[part[2]]
            }
        }' "$scratch/symbols" | sort -u >"$scratch/calls"
    found=$(circles <"$scratch/calls" | sed 's/^/files call each other in a circle: /')
    [ -z "$found" ] || { echo "$found" >&2; failed=1; }
    # Functions that a public header promises have the program's prefix.
    find include/nclip -name '*.h' -exec awk '/^ *[\/ ]\*/ { next }
        { while (match($0, /[A-Za-z_][A-Za-z_0-9]*\(/)) {
              print substr($0, RSTART, RLENGTH - 1)
              $0 = substr($0, RSTART + RLENGTH)
        } }' '{}' + | sort -u >"$scratch/promised"
    awk 'FILENAME ~ /promised$/ { promised[$1]; next }
        $3 ~ /^[TW]$/ && ($2 in promised) && $2 !~ /^nc_/ {
            print $1 ": " $2 " is in a public header and has no nc_ before it" }' \
        "$scratch/promised" "$scratch/symbols" >"$scratch/names"
    [ ! -s "$scratch/names" ] || { cat "$scratch/names" >&2; failed=1; }
    echo "layout: looked at $(wc -l <"$scratch/calls") pairs of files that call each other"
else
    echo "layout: calls between files and their names SKIPPED: no $missing"
fi
[ "$failed" = 1 ] || echo "layout: $(echo "$files" | wc -l) files keep the rules"
exit "$failed"
