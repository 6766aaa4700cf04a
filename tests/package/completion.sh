#!/bin/sh
# What bash, zsh and fish complete: every command, every kind, every option that --help has, and
# values. Shells that are not here are named.
set -eu
nclip=$1
folder=$2
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "completion.sh: $*" >&2
    exit 1
}
for shell in bash zsh fish; do
    "$nclip" completion $shell >nclip.$shell
    [ -s nclip.$shell ] || fail "nothing for $shell"
done
status=0
"$nclip" completion tcsh 2>message || status=$?
[ $status = 2 ] && grep -q 'bash, zsh or fish' message || fail "tcsh: $(cat message)"

"$nclip" help --list >commands
"$nclip" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' >first
options_of() { # words of a command
    # shellcheck disable=SC2086
    "$nclip" $1 --help | sed -n 's/^  \(--[a-z-]*\).*/\1/p' | sort
}
mkdir folder-a
touch file-a.json

# Each shell gets a function `offers WORDS...`: what it offers for the last word, one a line.
check() {
    shell=$1
    offers "" | sort >offered
    while read -r command; do
        grep -qx -- "$command" offered || fail "$shell: does not offer $command: $(cat offered)"
    done <first
    while read -r command; do
        options_of "$command" >options
        # shellcheck disable=SC2086
        offers $command -- | grep -v '^--misalignment$' | sort >offered
        grep -v '^--misalignment$' options >expected
        cmp -s expected offered || fail "$shell: $command: $(diff expected offered)"
    done <commands
    [ "$(offers generate "" | sort | tr '\n' ' ')" = "absence vqa " ] || fail "$shell: kinds: $(offers generate "")"
    offers scan --mis | grep -qx -- --misalignment || fail "$shell: scan --mis"
    [ "$(offers generate vqa --rewriter "" | sort | tr '\n' ' ')" = "llm rules " ] ||
        fail "$shell: choices: $(offers generate vqa --rewriter "")"
    [ "$(offers evaluate z)" = zeroshot ] || fail "$shell: benchmarks: $(offers evaluate z)"
    offers train --config neg | grep -qx negationclip || fail "$shell: presets"
    offers train --captions file- | grep -q '^file-a.json$' || fail "$shell: files"
    [ "$(offers train --model fold | sed 's|/$||')" = folder-a ] || fail "$shell: folders: $(offers train --model fold)"
    offers tokenize file- | grep -q '^file-a.json$' || fail "$shell: positional files"
    [ -z "$(offers train --set "")" ] || fail "$shell: offers for what nobody can know: $(offers train --set "")"
    offers completion f | grep -qx fish || fail "$shell: shells"
    offers help tr | grep -qx train || fail "$shell: help"
    echo "$shell: every command and option"
}

if command -v bash >/dev/null; then
    cat >offers.bash <<'END'
compopt() { :; } # of a real completion only
source ./nclip.bash
COMP_WORDS=(nclip "$@") COMP_CWORD=$#
_nclip
[[ ${#COMPREPLY[@]} -eq 0 ]] || printf '%s\n' "${COMPREPLY[@]}"
END
    offers() {
        bash --norc offers.bash "$@"
    }
    check bash
    [ "$(offers generate vqa --rewriter = l)" = llm ] || fail "bash: --rewriter=l"
    [ "$(offers generate vqa --rewriter = | sort | tr '\n' ' ')" = "llm rules " ] || fail "bash: --rewriter="
else
    echo "SKIPPED: bash is not here"
fi

if command -v fish >/dev/null; then
    mkdir -p fish-home
    offers() { # the words are those of a command line
        line=nclip
        for word in "$@"; do
            line="$line $word"
        done
        HOME=$PWD/fish-home XDG_CONFIG_HOME=$PWD/fish-home fish --no-config -c \
            'source nclip.fish; complete -C "'"$line"'"' | cut -f 1
    }
    check fish
else
    echo "SKIPPED: fish is not here"
fi

if command -v zsh >/dev/null; then
    # zsh completes in a terminal only: one of its own, whose matches are said as they are added.
    cp nclip.zsh _nclip
    cat >offers.zsh <<'END'
zmodload zsh/zpty
zpty z zsh -f -i
line=nclip
for word; do line+=" $word"; done
zpty -w z "stty -echo; PROMPT= RPROMPT= PS2=; fpath=($PWD \$fpath); autoload -Uz compinit; compinit -u -d $PWD/dump
unsetopt zle_bracketed_paste 2>/dev/null; LISTMAX=0
zstyle ':completion:*' verbose no
compadd() {
    local -a found
    if [[ \${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd \"\$@\"; return; fi
    builtin compadd -A found \"\$@\"
    local one; for one in \$found; do print -r -- \"<match:\$one>\"; done
    builtin compadd \"\$@\"
}
bindkey '^I' complete-word
zle-done() { print '<done>'; zle kill-whole-line }; zle -N zle-done; bindkey '^X' zle-done
print '<re''ady>'"
zpty -r z output '*<ready>*'
zpty -w -n z "$line"$'\t'$'\x18'
zpty -r z output '*<done>*'
print -r -- "$output"
zpty -d z
END
    offers() {
        timeout 20 zsh -f offers.zsh "$@" | tr -d '\r' | sed -n 's/.*<match:\(.*\)>.*/\1/p' | sed 's/=$//' | sort -u
    }
    zsh -n nclip.zsh || fail "zsh: the script is not zsh"
    check zsh
else
    echo "SKIPPED: zsh is not here"
fi
