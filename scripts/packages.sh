# SPDX-License-Identifier: Apache-2.0
# packages.sh - sourced by the README's two commands: install the Debian packages that are missing
#
# need PACKAGE... installs those that are not there; as another user than root it asks sudo. Says what it
# does, and what to type where it cannot.

need () {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    # sudo hands on no environment.
    local as_root=(env DEBIAN_FRONTEND=noninteractive)
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || { echo "these packages are needed; as root: apt-get install ${missing[*]}" >&2; return 69; }
        as_root=(sudo "${as_root[@]}")
    fi
    echo "installing: ${missing[*]}"
    if ! "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1; then
        "${as_root[@]}" apt-get update -qq &&
        "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null || {
            echo "could not install these; as root: apt-get install ${missing[*]}" >&2
            return 69
        }
    fi
}

BUILD_PACKAGES=(gcc make autoconf automake libtool pkg-config python3 libzmq3-dev libczmq-dev libmsgpack-dev
    libsqlite3-dev libjansson-dev libyaml-dev zlib1g-dev libsodium-dev libcurl4-openssl-dev mpich libmpich-dev libucx-dev)
