#!/bin/sh
# Makes a root directory of Debian 12 for a guest, for `quern-mipsel -L DIR`: the packages named and all that they
# depend on, unpacked but not configured. Needs no privilege and leaves the host's package state alone: apt works
# with lists, a cache and a status of its own under DIR/.apt. Not a chroot, and not run by the default tests: it
# downloads some 150 MB. nodejs, named as a package, is tried by those commands when it is there.
#
# Usage: debian-sysroot.sh [-a ARCHITECTURE] [-s SUITE] [-m MIRROR] DIR [PACKAGE]...
# Defaults: mipsel, bookworm, the mirror of the host's sources (or deb.debian.org), and the packages that the
# commands of tests/debian-commands.txt need.
set -eu

arch=mipsel
suite=bookworm
mirror=
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

usage() {
    echo "usage: $0 [-a ARCHITECTURE] [-s SUITE] [-m MIRROR] DIR [PACKAGE]..." >&2
    exit 2
}

while getopts a:s:m: option; do
    case $option in
    a) arch=$OPTARG ;;
    s) suite=$OPTARG ;;
    m) mirror=$OPTARG ;;
    *) usage ;;
    esac
done
shift $((OPTIND - 1))
[ $# -ge 1 ] || usage
mkdir -p "$1"
dir=$(cd "$1" && pwd)
shift
[ $# -ge 1 ] || set -- base-files base-passwd bsdextrautils busybox bash coreutils findutils diffutils grep sed gawk tar gzip bzip2 xz-utils \
    bc file dash libc-bin python3 perl sqlite3 gcc libc6-dev make openssl procps util-linux

for tool in apt-get dpkg-deb; do
    command -v $tool >/dev/null 2>&1 || { echo "$0: $tool is needed (a Debian host)" >&2; exit 1; }
done
[ -r "$keyring" ] || { echo "$0: install debian-archive-keyring" >&2; exit 1; }
if [ -z "$mirror" ]; then
    mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
        sed -nE 's,^(URIs:|deb( \[[^]]*\])?) *(https?://[^ ]*/debian)/?( .*)?$,\3,p' | head -n 1)
    mirror=${mirror:-http://deb.debian.org/debian}
fi

# Directories and files of apt's own, named one by one: what is left out would be the host's.
apt=$dir/.apt
mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$apt/etc/preferences.d" "$apt/log"
: >"$apt/etc/preferences"
[ -e "$apt/state/status" ] || : >"$apt/state/status"
echo "deb [arch=$arch signed-by=$keyring] $mirror $suite main" >"$apt/etc/sources.list"
cat >"$apt/apt.conf" <<END
APT::Architecture "$arch";
APT::Architectures { "$arch"; };
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Dir::State "$apt/state";
Dir::State::status "$apt/state/status";
Dir::State::lists "$apt/state/lists";
Dir::Cache "$apt/cache";
Dir::Cache::archives "$apt/cache/archives";
Dir::Etc::SourceList "$apt/etc/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "$apt/etc/preferences";
Dir::Etc::PreferencesParts "$apt/etc/preferences.d";
Dir::Log "$apt/log";
END
# The host's hooks (those of a container, say) have no business here.
export APT_CONFIG="$apt/apt.conf"
hooks='-o DPkg::Pre-Install-Pkgs= -o DPkg::Post-Invoke= -o APT::Update::Post-Invoke= -o APT::Update::Pre-Invoke='

echo "lists of $suite, $arch, from $mirror"
apt-get -q -q $hooks update
echo "packages: $*"
rm -f "$apt/complete"
apt-get -q -q -y $hooks -o Debug::NoLocking=1 install --download-only "$@" >"$apt/log/download.log" 2>&1 || {
    cat "$apt/log/download.log" >&2
    exit 1
}

# The links of a merged /usr come first, where they are not there yet: packages then unpack through them.
for name in bin sbin lib; do
    mkdir -p "$dir/usr/$name"
    [ -e "$dir/$name" ] || ln -s "usr/$name" "$dir/$name"
done
count=0
for package in "$apt"/cache/archives/*.deb; do
    # tar replaces a link by a directory of the package unless it is told to keep it.
    dpkg-deb --fsys-tarfile "$package" | tar -x -C "$dir" --keep-directory-symlink --no-same-owner
    count=$((count + 1))
done
# What the packages' scripts would make and the programs need: see update-alternatives(1).
if [ ! -e "$dir/usr/bin/awk" ] && [ -e "$dir/usr/bin/gawk" ]; then ln -sf gawk "$dir/usr/bin/awk"; fi
if [ ! -e "$dir/bin/sh" ] && [ -e "$dir/bin/dash" ]; then ln -sf dash "$dir/bin/sh"; fi
for file in passwd group; do
    if [ -e "$dir/usr/share/base-passwd/$file.master" ]; then cp "$dir/usr/share/base-passwd/$file.master" "$dir/etc/$file"; fi
done
mkdir -p "$dir/tmp"
: >"$apt/complete"
echo "$dir: $count packages unpacked"
