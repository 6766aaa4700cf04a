#!/bin/sh
# Writes the manual pages and the completion of three shells, made by the program itself from its
# tables of options.
#   sh third_party/package/pages.sh DIR NCLIP...     NCLIP may be a command with arguments (an emulator)
# Into DIR/man1, DIR/bash, DIR/zsh and DIR/fish.
set -eu
target=$1
shift
rm -rf "$target.partial" && mkdir -p "$target.partial/man1" "$target.partial/bash" \
    "$target.partial/zsh" "$target.partial/fish"
page() { # name, words of the command
    name=$1
    shift
    "$@" >"$target.partial/man1/$name.1"
    gzip -9 -n "$target.partial/man1/$name.1"
}
page nclip "$@" help --man
"$@" help --list >"$target.partial/commands"
while read -r command; do
    name=nclip-$(echo "$command" | sed 's/ --*/-/g; s/ /-/g')
    # shellcheck disable=SC2086
    page "$name" "$@" help --man $command
done <"$target.partial/commands"
rm "$target.partial/commands"
"$@" completion bash >"$target.partial/bash/nclip"
"$@" completion zsh >"$target.partial/zsh/_nclip"
"$@" completion fish >"$target.partial/fish/nclip.fish"
rm -rf "$target" && mv "$target.partial" "$target"
