# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
# The system's packages: which are missing, and how they are installed. Read by tools/setup.

system_manager() {
    local m
    for m in apt-get:apt dnf:dnf pacman:pacman brew:brew; do
        command -v "${m%%:*}" >/dev/null && { echo "${m##*:}"; return; }
    done
    echo none
}

# version_ge 3.28.1 3.25: true
version_ge() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n1)" = "$2" ]; }

# One check of tools/setup.d/packages; true when the need is met.
system_has() {
    local kind=${1%%:*} what=${1#*:} min=''
    case $what in *'>='*) min=${what##*>=} what=${what%%>=*} ;; esac
    case $kind in
    cmd)
        command -v "$what" >/dev/null || return 1
        [ -z "$min" ] || version_ge "$("$what" --version | grep -oE '[0-9]+(\.[0-9]+)+' | head -n1)" "$min"
        ;;
    pkg)
        command -v pkg-config >/dev/null || return 1
        if [ -n "$min" ]; then pkg-config --atleast-version="$min" "$what"; else pkg-config --exists "$what"; fi
        ;;
    hdr) echo "#include <$what>" | "${CC:-cc}" -E -x c - >/dev/null 2>&1 ;;
    py) python3 -c "import $what" 2>/dev/null || /usr/bin/python3 -c "import $what" 2>/dev/null ;;
    clang-rt)
        command -v clang >/dev/null || return 1
        local lib dir
        dir=$(clang -print-resource-dir)
        for lib in "$dir"/lib/*/libclang_rt.fuzzer*; do [ -e "$lib" ] && return 0; done
        return 1
        ;;
    *) die "tools/setup.d/packages: unknown check $1" ;;
    esac
}

# Prints the packages that MANAGER should install for the given groups.
system_missing() {
    local manager=$1 column group check name row
    shift
    case $manager in apt) column=2 ;; dnf) column=3 ;; pacman) column=4 ;; brew) column=5 ;; *) column=1 ;; esac
    while read -r -a row; do
        [ ${#row[@]} -eq 6 ] || continue
        group=${row[0]} check=${row[1]} name=${row[$column]}
        [ "$group" != '#' ] && [ "$name" != - ] || continue
        case " $* " in *" $group "*) ;; *) continue ;; esac
        system_has "$check" && continue
        [ "$name" != libclang-rt-dev ] || name=$(apt_clang_rt)
        echo "$name"
    done <"$here/setup.d/packages" | awk '!seen[$0]++'
}

# Debian and Ubuntu name the runtime by clang's version: libclang-rt-19-dev belongs to clang-19.
apt_clang_rt() {
    local version
    version=$(apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9]*\)$/\1/p' | head -n1)
    echo "libclang-rt-${version:-VERSION}-dev"
}

# "" as root, "sudo" where that works without a question or with someone to answer it, else fails.
system_become_root() {
    [ "$(id -u)" -ne 0 ] || return 0
    command -v sudo >/dev/null || return 1
    if [ -t 0 ] || sudo -n true 2>/dev/null; then echo sudo; else return 1; fi
}

system_install_command() {
    local manager=$1 sudo=''
    shift
    [ "$(id -u)" -eq 0 ] || sudo='sudo '
    case $manager in
    apt) echo "${sudo}env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y --no-install-recommends $*" ;;
    dnf) echo "${sudo}dnf install -y $*" ;;
    pacman) echo "${sudo}pacman -S --needed --noconfirm $*" ;;
    brew) echo "brew install $*" ;;
    none) echo "(this system's package manager) install $*" ;;
    esac
}

# system_run COMMAND...: quietly; the output is shown when the command fails.
system_run() {
    local log
    log=$(mktemp)
    say "running: $*"
    if ! "$@" </dev/null >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

system_install() {
    local manager=$1 command
    shift
    [ "$manager" != none ] || die "no package manager that I know (apt, dnf, pacman, brew); please install: $*"
    command=$(system_install_command "$manager" "$@")
    [ "$manager" = brew ] || system_become_root >/dev/null || {
        say "missing: $*"
        [ "$manager" != apt ] || [ -z "$(apt_without_candidate "$@")" ] || command="sudo apt-get update && $command"
        die "I may not install packages here; please run: $command"
    }
    [ "$manager" = apt ] || say "note: the list of $manager packages is untested"
    # shellcheck disable=SC2086
    system_run $command && return
    if [ "$manager" = apt ] && [ -z "$apt_updated" ]; then
        say "trying once more with fresh package lists"
        apt_update
        # shellcheck disable=SC2086
        system_run $command && return
    fi
    die "the installation failed; please run: $command"
}

apt_updated=''
apt_update() {
    local sudo
    sudo=$(system_become_root) || return 0
    # shellcheck disable=SC2086
    system_run $sudo apt-get -qq update || say "the package lists could not be updated"
    apt_updated=1
}

apt_candidate() { apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: \([^(]\)/\1/p'; }

# The packages that apt's present lists do not offer.
apt_without_candidate() {
    local p
    for p in "$@"; do
        [ -n "$(apt_candidate "$p")" ] || echo "$p"
    done
}
