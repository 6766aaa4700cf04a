# Bare roots of Debian, in which nclip is tried as on a fresh machine. Read by the scripts beside it:
#   . "$PWD/tests/fresh/root.sh"          from the repository's folder
# A root has what README asks for, a compiler, CMake and git, and Python with pip, for the quick start's
# download. From this machine come the kernel, the way to mirrors (apt's and pip's settings, certificates,
# proxies) and nothing that is installed.
#   root_missing SUITE      prints why no root can be made here, or nothing
#   root_make SUITE DIR     a new root in DIR; 1 if that fails
#   root_clone DIR          what is committed here, cloned into DIR/nclip
#   root_enter DIR COMMAND...        with ROOT_SHOWS=FOLDER:INSIDE, a folder of this machine is seen inside
# Each runs in a shell of its own ( ), whose variables are not the caller's.
# Packed roots lie in NCLIP_ROOTS for the next time, each for a week; so do logs.

NCLIP_ROOTS=${NCLIP_ROOTS:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/nclip/roots}

# URI, suite and component of each list of this machine's own release.
root_sources() (
    apt-get indextargets --no-release-info --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
        'Created-By: Packages' |
        sort -u | awk -v own="$(. /etc/os-release && echo "$VERSION_CODENAME")" \
        '$2 == own || index($2, own "-") == 1'
)

root_mirror() (
    root_sources | awk '$2 !~ /-/ && $3 == "main" { print $1; exit }'
)

root_missing() (
    if [ "$(id -u)" -ne 0 ]; then
        echo "only root can make a bare root"
    elif ! command -v debootstrap >/dev/null; then
        echo "debootstrap is not installed"
    elif ! unshare --mount --pid --fork true 2>/dev/null; then
        echo "no name space of mounts can be made here"
    elif [ "$(. /etc/os-release && echo "$ID")" != debian ]; then
        echo "this machine's mirrors are not Debian's"
    elif [ ! -e "/usr/share/debootstrap/scripts/$1" ]; then
        echo "debootstrap does not know $1"
    elif [ -z "$(find "$NCLIP_ROOTS/$1.tar" -mtime -7 2>/dev/null)" ] && ! root_answers "$1"; then
        echo "no mirror answers"
    fi
)

root_answers() ( # SUITE: the mirror has it
    answers=$(mktemp -d)
    printf 'deb %s %s main\n' "$(root_mirror)" "$1" >"$answers/list"
    mkdir "$answers/lists"
    status=0
    timeout 60 apt-get update -q -o Dir::Etc::SourceList="$answers/list" -o Dir::Etc::SourceParts=- \
        -o Dir::State::Lists="$answers/lists" -o APT::Get::List-Cleanup=0 -o Acquire::Retries=1 \
        -o APT::Update::Error-Mode=any >/dev/null 2>&1 || status=1
    rm -rf "$answers"
    return $status
)

root_settings() ( # SUITE DIR: this machine's way to mirrors
    own=$(. /etc/os-release && echo "$VERSION_CODENAME")
    root_sources | sed "s/ $own/ $1/; s/^/deb /" >"$2/etc/apt/sources.list"
    apt-config dump Acquire | grep -v '"";$' >"$2/etc/apt/apt.conf.d/80mirrors"
    for file in /etc/apt/auth.conf /etc/apt/auth.conf.d/*; do
        if [ -f "$file" ]; then
            cp "$file" "$2$file"
        fi
    done
    home=${HOME:-/root}
    for file in "$home/.pip/pip.conf" "${XDG_CONFIG_HOME:-$home/.config}/pip/pip.conf" /etc/pip.conf; do
        if [ -f "$file" ]; then
            cp "$file" "$2/etc/pip.conf"
        fi
    done
    mkdir -p "$2/usr/local/share/ca-certificates"
    cp -rL /usr/local/share/ca-certificates/. "$2/usr/local/share/ca-certificates/"
)

root_pack() ( # SUITE: makes NCLIP_ROOTS/SUITE.tar
    mkdir -p "$NCLIP_ROOTS" && packing=$(mktemp -d "$NCLIP_ROOTS/packing.XXXXXX") &&
        chmod 755 "$packing" || return 1
    status=0
    {
        debootstrap --variant=minbase --include=ca-certificates "$1" "$packing" "$(root_mirror)" &&
            root_settings "$1" "$packing" &&
            root_enter "$packing" update-ca-certificates &&
            root_enter "$packing" apt-get update &&
            root_enter "$packing" apt-get upgrade -y &&
            root_enter "$packing" apt-get install -y --no-install-recommends \
                gcc g++ make cmake git python3 python3-pip &&
            root_enter "$packing" apt-get clean &&
            tar -C "$packing" --numeric-owner -cf "$NCLIP_ROOTS/$1.partial" . &&
            mv "$NCLIP_ROOTS/$1.partial" "$NCLIP_ROOTS/$1.tar"
    } >"$NCLIP_ROOTS/$1.log" 2>&1 || status=1
    rm -rf "$packing" "$NCLIP_ROOTS/$1.partial"
    if [ $status -ne 0 ]; then
        echo "no bare root of $1 could be made: $NCLIP_ROOTS/$1.log ends with:" >&2
        tail "$NCLIP_ROOTS/$1.log" >&2
    fi
    return $status
)

root_make() (
    if [ -z "$(find "$NCLIP_ROOTS/$1.tar" -mtime -7 2>/dev/null)" ]; then
        root_pack "$1" || return 1
    fi
    mkdir -p "$2" && chmod 755 "$2" && tar -C "$2" --numeric-owner -xf "$NCLIP_ROOTS/$1.tar"
)

# Mounts are in a name space of their own: they, and what still runs, go when the command ends, however
# it ends, and the folder can then be removed. No variable goes in but those that show the way to mirrors,
# and what holds processors and builds down.
root_enter() (
    inside=$1
    shift
    for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY PIP_INDEX_URL \
        PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST PIP_DEFAULT_TIMEOUT PIP_CERT SSL_CERT_FILE SSL_CERT_DIR \
        REQUESTS_CA_BUNDLE CURL_CA_BUNDLE GIT_SSL_CAINFO CI TERM NCLIP_CPU ONEDNN_MAX_CPU_ISA; do
        eval "value=\${$name-}"
        case $name in *CERT* | *CA*) [ -e "$inside/$value" ] || continue ;; esac
        if [ -n "$value" ]; then
            set -- "$name=$value" "$@"
        fi
    done
    # shellcheck disable=SC2016
    unshare --mount --pid --fork --kill-child sh -c '
        set -eu
        root=$1
        shift
        mount --bind "$root" "$root"
        mount --rbind /dev "$root/dev"
        mount -t tmpfs shm "$root/dev/shm"
        mount -t proc proc "$root/proc"
        mount -t sysfs sys "$root/sys"
        cp /etc/resolv.conf /etc/hosts "$root/etc/"
        if [ -n "${ROOT_SHOWS:-}" ]; then
            mkdir -p "$root/${ROOT_SHOWS#*:}"
            mount --bind "${ROOT_SHOWS%%:*}" "$root/${ROOT_SHOWS#*:}"
        fi
        exec chroot "$root" env -i HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
            PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
    ' sh "$inside" "$@" </dev/null
)

root_clone() (
    top=$(pwd)
    [ -z "$(git -c safe.directory="$top" status --porcelain)" ] ||
        echo "what is not committed is not tried" >&2
    git init -q "$1/nclip" &&
        git -C "$1/nclip" fetch -q --depth 1 --upload-pack 'git -c safe.directory=* upload-pack' \
            "file://$top" HEAD &&
        git -C "$1/nclip" checkout -q FETCH_HEAD
)
