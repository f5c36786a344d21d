# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
# The libraries that older systems lack: OpenSSL >= 3.5 and BLAKE3's C library. Where pkg-config does not find
# them, they are built, statically, from a newer release of the same distribution. Read by tools/setup.
#
# The sources come through apt with a private state directory: the machine's own package sources, whatever
# mirror they name, with the release's name exchanged for a newer one. So apt checks the signatures, and the
# system's own package lists stay as they are.

openssl_min=3.5

# The oldest release of each distribution that has OpenSSL 3.5 (a version with long-term support).
deps_newer_release() {
    case $1 in debian) echo trixie ;; ubuntu) echo resolute ;; esac
}

# kith needs TLS 1.3, DTLS, QUIC, X25519, Ed25519, ECDSA, RSA, ML-KEM, ML-DSA, SLH-DSA, AES, ChaCha20, SHA-2,
# SHA-3, BLAKE2, HKDF and Argon2; what is switched off here is neither used nor missed.
openssl_options=(no-shared no-apps no-tests no-docs no-module no-legacy no-engine no-dso no-autoload-config
    no-ssl3 no-comp no-zlib no-srp no-rc2 no-rc4 no-rc5 no-idea no-seed no-bf no-cast no-camellia no-aria
    no-sm2 no-sm3 no-sm4 no-gost no-md4 no-mdc2 no-whirlpool no-rmd160 no-cmp no-cms no-ts no-ct)
# -O3 is what both choose for themselves; at -O2 gcc leaves ML-KEM's loops unvectorized, which costs a fifth of it.
deps_cflags=(-O3 -fPIC -fstack-protector-strong)

deps_root() { echo "${KITH_DEPS:-${XDG_CACHE_HOME:-$HOME/.cache}/kith/deps}"; }

# What a cached build depends on besides its version: the system (its libc and compiler) and the flags.
deps_key() {
    local flags id
    case $1 in openssl) flags="${openssl_options[*]} ${deps_cflags[*]}" ;; *) flags="${deps_cflags[*]}" ;; esac
    id=$(. /etc/os-release 2>/dev/null && echo "${ID:-unknown}${VERSION_ID:-}") || id=unknown
    printf '%s-%s-%.8s\n' "$id" "$(uname -m)" "$(printf '%s' "$flags" | sha256sum)"
}

# The newest cached build of NAME, or nothing.
deps_cached() {
    local dirs
    dirs=$(printf '%s\n' "$(deps_root)/$1"-*-"$(deps_key "$1")"/ | sort -V | tail -n1)
    [ -d "$dirs" ] && echo "${dirs%/}"
}

# The libraries that the system itself does not offer.
deps_wanted() {
    system_has "pkg:openssl>=$openssl_min" || echo openssl
    system_has pkg:libblake3 || echo blake3
}

deps_missing() {
    local name
    for name in $(deps_wanted); do
        deps_cached "$name" >/dev/null || echo "$name"
    done
}

deps_pkg_config_path() {
    local name dir path=''
    for name in $(deps_wanted); do
        dir=$(deps_cached "$name") || continue
        path+="${path:+:}$dir/lib/pkgconfig"
    done
    echo "$path"
}

# deps_package MANAGER NAME: the system's package of the library, if there is one that is new enough.
deps_package() {
    local version
    case $1:$2 in
    apt:openssl)
        version=$(apt_candidate libssl-dev)
        [ -n "$version" ] && version_ge "$version" "$openssl_min" && echo libssl-dev
        ;;
    apt:blake3) [ -n "$(apt_candidate libblake3-dev)" ] && echo libblake3-dev ;;
    dnf:openssl) echo openssl-devel ;;
    dnf:blake3) echo blake3-devel ;;
    pacman:openssl) echo openssl ;;
    pacman:blake3) echo libblake3 ;;
    brew:openssl) echo openssl@3 ;;
    brew:blake3) echo blake3 ;;
    *) return 1 ;;
    esac
}

# The packages that the builds of the named libraries themselves need.
deps_tools_missing() {
    [ "$1" = apt ] || return 0
    command -v flock >/dev/null || echo util-linux
    [[ " $* " == *' openssl '* ]] || return 0
    command -v dpkg-source >/dev/null || echo dpkg-dev
    # OpenSSL's Configure uses modules that perl-base leaves out.
    perl -MFindBin -MIPC::Cmd -MPod::Usage -e1 2>/dev/null || echo perl
}

deps_build() {
    local manager=$1 name=$2 root
    [ "$manager" = apt ] || die "$name: no package that is new enough, and it can be built only where apt is"
    root=$(deps_root)
    mkdir -p "$root"
    (
        exec 9>"$root/lock"
        flock -n 9 || { say "another setup is building; waiting for it"; flock 9; }
        if [ -z "$refresh" ] && deps_cached "$name" >/dev/null; then
            exit 0
        fi
        work=$(mktemp -d "$root/.work.XXXXXX")
        trap 'rm -rf "$work"' EXIT
        started=$SECONDS
        say "$name: fetching the source package (log: $root/$name.log)"
        if ! (set -e; cd "$work"; private_apt_update "$work"; "fetch_$name") >"$root/$name.log" 2>&1; then
            tail -n 15 "$root/$name.log" >&2
            die "$name: no newer source package could be fetched; the whole log is $root/$name.log"
        fi
        version=$(cat "$work/version")
        [ ! -e "$work/note" ] || say "$name: $(cat "$work/note")"
        final="$root/$name-$version-$(deps_key "$name")"
        [ ! -d "$final" ] || { say "$name $version is up to date"; exit 0; }
        say "$name: building $version"
        if ! (set -e; cd "$work"; "build_$name" "$final") >>"$root/$name.log" 2>&1; then
            tail -n 15 "$root/$name.log" >&2
            die "$name: the build failed; the whole log is $root/$name.log"
        fi
        # The rename is what makes the library exist, so nobody ever sees half of one.
        mv "$work/out$final" "$final"
        say "$name: $version is in $final ($((SECONDS - started)) s)"
    ) || exit 1
}

# Writes DIR/sources.list and sets the array `private_apt`: options that make apt live in DIR alone.
private_apt_update() {
    local dir=$1 id codename newer uri release component keyring signed=''
    # shellcheck disable=SC1091
    . /etc/os-release
    id=$ID codename=$VERSION_CODENAME
    newer=$(deps_newer_release "$id")
    [ -n "$newer" ] || { echo "no newer release is known for $id"; return 1; }
    for keyring in "/usr/share/keyrings/$id-archive-keyring".{pgp,gpg}; do
        [ ! -e "$keyring" ] || { signed=" signed-by=$keyring"; break; }
    done
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' | sort -u |
        while read -r uri release component; do
            case $release in "$codename" | "$codename"-updates | "$codename"-security) ;; *) continue ;; esac
            case $component in main | universe) ;; *) continue ;; esac
            printf '%s [arch=%s%s] %s %s %s\n' deb "$(dpkg --print-architecture)" "$signed" "$uri" \
                "${release/#$codename/$newer}" "$component"
            printf '%s [%s] %s %s %s\n' deb-src "${signed# }" "$uri" "${release/#$codename/$newer}" "$component"
        done | sed 's/ \[\]//' >"$dir/sources.list"
    [ -s "$dir/sources.list" ] || { echo "apt names no source for $id $codename"; return 1; }
    mkdir -p "$dir"/state/lists/partial "$dir"/cache/archives/partial
    private_apt=(-q -o "Dir::State=$dir/state" -o "Dir::State::status=/dev/null" -o "Dir::Cache=$dir/cache"
        -o "Dir::Etc::SourceList=$dir/sources.list" -o "Dir::Etc::SourceParts=-" -o "Dir::Etc::Preferences=-"
        -o "Dir::Etc::PreferencesParts=-" -o "Acquire::Languages=none" -o "APT::Sandbox::User="
        -o "APT::Update::Post-Invoke-Success::=" -o "Acquire::Retries=2")
    cat "$dir/sources.list"
    apt-get "${private_apt[@]}" update
}

# Mirrors are not always complete, so older versions are tried in turn, and at last OpenSSL's own archive alone.
# Whatever is taken, apt has checked it against its signed lists.
fetch_openssl() {
    local version versions
    versions=$(apt-cache "${private_apt[@]}" showsrc openssl | sed -n 's/^Version: //p' | sort -Vru)
    for version in $versions; do
        version_ge "$version" "$openssl_min" || continue
        apt-get "${private_apt[@]}" source --download-only "openssl=$version" || continue
        # --no-check: the developer's own signature on the description is not looked up a second time.
        dpkg-source --no-check -x openssl_*.dsc src
        echo "${version//\~/_}" >version
        return 0
    done
    for version in $versions; do
        version_ge "$version" "$openssl_min" || continue
        rm -f openssl_*
        apt-get "${private_apt[@]}" source --download-only --tar-only "openssl=$version" || continue
        mkdir src
        tar -xf openssl_*.orig.tar.* -C src --strip-components=1
        echo "${version%%-*}" >version
        echo "the mirror lacks the distribution's patches to OpenSSL $version; building it without them" >note
        return 0
    done
    return 1
}

build_openssl() {
    local final=$1
    cd src
    nice ./Configure --prefix="$final" --libdir=lib "${openssl_options[@]}" "${deps_cflags[@]}"
    nice make -j"$(nproc)" build_libs
    make DESTDIR="$PWD/../out" install_dev
}

# BLAKE3's authors ship the C library with the Rust crate, and Debian's package of the crate is source code.
fetch_blake3() {
    local version
    for version in $(apt-cache "${private_apt[@]}" show librust-blake3-dev | sed -n 's/^Version: //p' | sort -Vru); do
        apt-get "${private_apt[@]}" download "librust-blake3-dev=$version" || continue
        dpkg-deb -x librust-blake3-dev_*.deb src
        echo "${version//\~/_}" >version
        return 0
    done
    return 1
}

build_blake3() {
    local final=$1 out=$PWD/out$1 version flags=() sources=(blake3.c blake3_dispatch.c blake3_portable.c)
    version=$(cat version)
    cd src/usr/share/cargo/registry/blake3-*/c
    case $(uname -m) in
    x86_64) sources+=(blake3_{sse2,sse41,avx2,avx512}_x86-64_unix.S) ;;
    aarch64) sources+=(blake3_neon.c) flags+=(-DBLAKE3_USE_NEON=1) ;;
    *) flags+=(-DBLAKE3_USE_NEON=0 -DBLAKE3_NO_SSE2 -DBLAKE3_NO_SSE41 -DBLAKE3_NO_AVX2 -DBLAKE3_NO_AVX512) ;;
    esac
    "${CC:-cc}" "${deps_cflags[@]}" -fvisibility=hidden "${flags[@]}" -c "${sources[@]}"
    mkdir -p "$out"/{include,lib/pkgconfig}
    ar rcs "$out/lib/libblake3.a" ./*.o
    cp blake3.h "$out/include/"
    printf '%s\n' "prefix=$final" 'Name: libblake3' 'Description: BLAKE3, the C library of its authors' \
        "Version: ${version%%-*}" 'Libs: -L${prefix}/lib -lblake3' 'Cflags: -I${prefix}/include' \
        >"$out/lib/pkgconfig/libblake3.pc"
}
