#!/bin/sh
# A manual page for every command and every kind of one: it names all that --help does, and is set
# without a warning where groff or mandoc is.
set -eu
nclip=$1
folder=$2
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "manual.sh: $*" >&2
    exit 1
}
set_page() { # page: sets it, and no warning is said
    if command -v groff >/dev/null; then
        groff -man -Tutf8 -rLL=100n -ww -P-c "$1" >"$1.txt" 2>warnings || fail "$1: $(cat warnings)"
        [ ! -s warnings ] || fail "$1: $(cat warnings)"
    fi
    if command -v mandoc >/dev/null; then
        mandoc -T lint -W error "$1" >warnings || fail "$1: $(cat warnings)"
    fi
}

"$nclip" help --list >commands
[ "$(grep -c . commands)" -ge 18 ] || fail "commands are missing: $(cat commands)"
"$nclip" help --man >nclip.1
set_page nclip.1
while read -r command; do
    page=nclip-$(echo "$command" | sed 's/ *-- */-/; s/ --*/-/; s/ /-/').1
    # shellcheck disable=SC2086
    "$nclip" help --man $command >"$page"
    grep -q "^\\\\fB$(echo "${page%.1}" | sed 's/-/\\\\-/g')\\\\fR(1)\$" nclip.1 ||
        fail "nclip.1 does not name ${page%.1}"
    set_page "$page"
    # shellcheck disable=SC2086
    "$nclip" $command --help | sed -n 's/^  \(--[a-z-]*\).*/\1/p' >options
    [ -s options ] || fail "$command has no options"
    while read -r option; do
        grep -q "^\\\\fB$(echo "$option" | sed 's/-/\\\\-/g')\\\\fR" "$page" ||
            fail "$page does not have $option"
    done <options
    grep -q '^\.SH NAME$' "$page" || fail "$page has no NAME"
done <commands

# Nothing of a text is lost or taken for a request.
"$nclip" help --man build >page
grep -qF 'pickle.load(open("refs(umd).p", "rb"))' page || fail "nclip-build.1: $(cat page)"
if command -v groff >/dev/null; then
    "$nclip" help --man generate vqa >page
    groff -man -Tutf8 -P-c page 2>/dev/null | grep -qF -- "--image-name 'COCO_train2014_{id:012}.jpg'" ||
        fail "nclip-generate-vqa.1: an example cannot be copied"
else
    echo "SKIPPED: setting the pages, because groff is not here"
fi
"$nclip" help --man nothing 2>/dev/null && fail "a page of nothing" || :
