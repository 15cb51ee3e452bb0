#!/bin/sh
# Directories as FAT disks (fat:DIR): what mtools and fsck.vfat read there, what becomes of the directory when they write
# (fat:rw:DIR), directories and disks that cannot be.
set -u
build=${QUERN_BUILD:-$(pwd)}
img=$build/quern-img io=$build/quern-io
dir=$(mktemp -d) || exit 1
trap 'chmod -R u+rwx "$dir"; rm -rf "$dir"' EXIT
cd "$dir" || exit 1
passed=0 failed=0
TMPDIR=$dir MTOOLS_SKIP_CHECK=1 TZ=UTC LC_ALL=C.UTF-8
export TMPDIR MTOOLS_SKIP_CHECK TZ LC_ALL
ok() { # NAME COMMAND...: the command succeeds
    name=$1
    shift
    if "$@" >out 2>&1; then passed=$((passed + 1))
    else failed=$((failed + 1)); echo "failed: $name: $*"; head -n 5 out
    fi
}
fails() { # NAME TEXT COMMAND...: it does not, and says TEXT
    name=$1 text=$2
    shift 2
    if "$@" >out 2>&1 || ! grep -q -- "$text" out; then
        failed=$((failed + 1)); echo "failed: $name: $*"; head -n 5 out
    else passed=$((passed + 1))
    fi
}
says() { # NAME TEXT COMMAND...: it succeeds, with a word on TEXT
    name=$1 text=$2
    shift 2
    if "$@" >out 2>&1 && grep -q -- "$text" out; then passed=$((passed + 1))
    else failed=$((failed + 1)); echo "failed: $name: $*"; head -n 5 out
    fi
}
finish() {
    echo "$passed passed, $failed failed"
    [ $failed = 0 ]
    exit
}

# ---- without mtools
mkdir d && echo hello >d/a.txt
info() { "$img" info "$1" | sed -n 's/.*(\([0-9]*\) bytes)/\1/p'; }
for s in fat:d=528482304 fat:12:d=33030144 fat:16:d=528482304 fat:32:d=528482304 fat:floppy:d=2949120 fat:floppy:12:d=1474560; do
    ok "size of ${s%=*}" [ "$(info "${s%=*}")" = "${s#*=}" ]
done
ok 'by options' "$io" -r --image-opts -c 'read -q 0 512' driver=vvfat,dir=d,fat-type=16,label=MINE
ok 'read' "$io" -r -c 'read -q 0 504M' fat:d
fails 'not writable' 'Image is read-only' "$io" -c 'read -q 0 512' fat:d
fails 'rw and read-only' "Unable to set VVFAT to 'rw' when drive is read-only" "$io" -r -c 'read -q 0 512' fat:rw:d
fails 'no directory' 'Could not read directory none' "$img" info fat:none
fails 'a file' 'Could not read directory d/a.txt: Not a directory' "$img" info fat:d/a.txt
fails 'empty name' "requires a 'dir' option" "$img" info fat:
fails 'type' 'Valid FAT types are only 12, 16 and 32' "$img" info --image-opts driver=vvfat,dir=d,fat-type=17
fails 'floppy 16' 'a floppy disk has FAT12' "$img" info fat:floppy:16:d
fails 'label' 'cannot be longer than 11 bytes' "$img" info --image-opts driver=vvfat,dir=d,label=123456789012
mkdir big && truncate -s 3M big/f && ok 'fits' "$img" info fat:12:big
fails 'does not fit' 'Directory does not fit in FAT12 (capacity' "$img" info fat:floppy:big
truncate -s 5G big/f && fails 'over 4 GiB' 'big/f: file is larger than 4 GiB' "$img" info fat:big
rm -rf big && mkdir -p big/sub && (cd big && seq -f 'a-long-name-%g' 300 | xargs touch)
fails 'root is full' 'Too many entries in root directory (big): 512 at most' "$img" info fat:16:big
ok 'root of FAT32 is a chain' "$img" info fat:32:big
(cd big && mv a-* sub)
ok 'many in a directory' "$img" info fat:16:big
(cd big/sub && seq -f 'b-long-name-that-goes-on-and-on-and-on-%g' 20000 | xargs touch)
fails 'a directory is full' 'Too many entries in directory big/sub' "$img" info fat:32:big
rm -rf big && p=big && for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18; do p=$p/$i; done
mkdir -p $p && fails 'too deep' 'directories are nested too deeply' "$img" info fat:big
rm -rf big
if [ "$(id -u)" = 0 ]; then as='setpriv --reuid=65534 --clear-groups'; else as=; fi
chmod 755 "$dir"
if $as true 2>/dev/null && $as "$img" --version >/dev/null 2>&1; then
    echo secret >d/locked && mkdir d/shut && chmod 0 d/locked d/shut
    says 'what cannot be read' "warning: vvfat: 'd/locked' is left out: Permission denied" $as "$img" info fat:d
    says 'which cannot be read' "warning: vvfat: 'd/shut' is left out: Permission denied" $as "$img" info fat:d
    chmod 700 d/locked d/shut && rm -rf d/locked d/shut
    mkdir shut && chmod 0 shut
    fails 'no permission' 'Could not read directory shut: Permission denied' $as "$img" info fat:shut
fi
if ! command -v mcopy >/dev/null 2>&1; then
    echo 'mtools are not installed (Debian: mtools): most checks are skipped'
    finish
fi
fsck=$(PATH=$PATH:/usr/sbin:/sbin command -v fsck.vfat) || fsck=true

# ---- reading
mkdir -p d/sub/deep d/empty
head -c 300000 /dev/urandom >d/sub/big.bin
: >d/zero
echo 1 >'d/Long name with spaces.text' && echo 2 >d/README && echo 3 >d/readme && echo 4 >'d/ünïcödé – 日本.txt'
echo 5 >'d/a:b?c' && echo 6 >"$(printf 'd/odd\377\001name')" && echo 7 >'d/sub/deep/trailing. ' && echo 8 >d/.hidden
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo $i >"d/sub/alike, but not the same $i"; done
ln -s a.txt d/link && ln -s ../elsewhere d/dirlink && mkdir elsewhere && echo 9 >elsewhere/file && ln -s nowhere d/dangling && mkfifo d/fifo
tree() { (cd "$1" && find . -type f -exec cksum {} + | sort -k3; find . -type d | sort); }
# What FAT cannot have, as it is shown.
rm -rf want && mkdir want
(cd d && tar cf - --exclude=./dirlink --exclude=./dangling --exclude=./fifo -h .) | (cd want && tar xf -)
(cd want && mv 'a:b?c' A_B_C && mv odd*name ODD__NAM && mv 'sub/deep/trailing. ' 'sub/deep/TRAILING._' && mv readme README~1)
rename_shown() { # what mtools show of the names that FAT made
    (cd "$1" && for f in a_b_c:A_B_C odd__name:ODD__NAM sub/deep/trailing._:sub/deep/TRAILING._; do
        [ -e "${f%%:*}" ] && mv "${f%%:*}" "${f#*:}"
    done)
}
off() { case $1 in floppy*) echo 0 ;; *) echo 32256 ;; esac; }
extract() { # TYPE DISK: into got
    rm -rf got && mkdir got && mcopy -s -Q -n -m -i "$2@@$(off "$1")" :: got >/dev/null 2>&1
    rename_shown got
    tail -c +$(($(off "$1") + 1)) "$2" >part.raw
    "$fsck" -n part.raw >fsck.out 2>&1 || cat fsck.out
}
# mtools write names that fit into 8.3 in capitals when they move files.
alike() { tree "$1" | tr A-Z a-z | sort -k3 >1 && tree "$2" | tr A-Z a-z | sort -k3 >2 && diff 1 2; }
same() { tree "$1" >1 && tree "$2" >2 && diff 1 2; }
for t in floppy: floppy:12: 12: 16: 32: ''; do
    ok "$t: convert" "$img" convert -O raw "fat:${t}d" i.raw
    ok "$t: fsck" extract "$t" i.raw
    ok "$t: fsck has nothing to say" [ ! -s out ]
    ok "$t: contents" same want got
done

# ---- writing: the disk is changed by mtools, then written back
begin() { rm -rf w && mkdir -p w/sub/deep w/gone && echo one >w/a.txt && echo two >w/b.txt && head -c 200000 /dev/urandom >w/sub/big.bin &&
    echo three >w/sub/deep/c.txt && echo four >w/gone/d && : >w/zero && cp -R w keep && chmod 755 w/b.txt &&
    "$img" convert -O raw "fat:${t}w" i.raw; }
back() { "$img" convert -n -f raw -O raw i.raw "fat:${t}rw:w"; }
m() { c=$1; shift; "$c" -i "i.raw@@$(off "$t")" "$@"; }
for t in floppy: 12: 16: 32:; do
    rm -rf keep
    begin
    ok "$t rw: nothing changed" back
    ok "$t rw: nothing is other than it was" same keep w
    head -c 123456 /dev/urandom >new.bin && echo changed >changed
    ok "$t rw: new file" m mcopy new.bin '::sub/A new file, with a long name.bin'
    ok "$t rw: new directory" m mmd ::newdir ::newdir/inner
    ok "$t rw: new file in it" m mcopy changed ::newdir/inner/x.y
    ok "$t rw: overwrite" m mcopy -o changed ::a.txt
    ok "$t rw: delete" m mdel ::b.txt
    ok "$t rw: delete a directory" m mdeltree ::gone
    ok "$t rw: move" m mmove ::sub/deep ::newdir
    ok "$t rw: rename" m mren ::sub/big.bin ::sub/bigger.bin
    ok "$t rw: write back" back
    (cd keep && cp ../new.bin 'sub/A new file, with a long name.bin' && mkdir -p newdir/inner && cp ../changed newdir/inner/x.y &&
        cp ../changed a.txt && rm -r b.txt gone && mv sub/deep newdir && mv sub/big.bin sub/bigger.bin)
    ok "$t rw: the directory" alike keep w
    ok "$t rw: no more than that" [ "$(find w -name '.quern*')" = '' ]
    "$img" convert -O raw "fat:${t}w" i.raw && extract "$t" i.raw
    ok "$t rw: shown again" alike keep got
    # names that change places, a directory that goes into its own neighbour, a file over another
    begin
    rm -rf keep && cp -R w keep
    m mren ::a.txt ::t && m mren ::b.txt ::a.txt && m mren ::t ::b.txt && m mmove ::gone ::sub && m mdel ::zero && m mmd ::zero
    ok "$t rw: names change places" back
    (cd keep && mv a.txt t && mv b.txt a.txt && mv t b.txt && mv gone sub && rm zero && mkdir zero)
    ok "$t rw: they did" alike keep w
done

# ---- one disk, written piece by piece
t=floppy:
begin
ln -s ../outside w/link && echo outside >outside && "$img" convert -O raw fat:floppy:w i.raw
echo inside >inside && m mcopy -o inside ::link
ok 'a link is written over, not through' back
ok 'the file outside is as it was' grep -q outside outside
ok 'the link is a file' [ ! -L w/link ]
ok 'with what was written' grep -q inside w/link
# A file whose entry goes before its clusters do stays; a chain in two files, a chain into nowhere: nothing is done.
begin
ok 'entry gone, clusters there' "$io" -f raw -c 'write -q -P 0xe5 6176 1' fat:floppy:rw:w
ls w >ls
ok 'the file stays' [ -f w/a.txt ]
poke() { printf "$2" | dd of=i.raw bs=1 seek="$1" conv=notrunc status=none; }
root=$(m minfo :: | sed -n 's/^.*reserved (boot) sectors: //p')
[ -n "$root" ] || root=1
fatlen=$(od -An -tu2 -j22 -N2 i.raw)
rootat=$(((1 + 2 * fatlen) * 512))
entry() { # NAME: where its directory entry lies in the root
    i=0
    while [ $i -lt 224 ]; do
        if [ "$(dd if=i.raw bs=1 skip=$((rootat + i * 32)) count=11 status=none)" = "$1" ]; then echo $((rootat + i * 32)); return; fi
        i=$((i + 1))
    done
}
damage() { # NAME PLACE BYTES MESSAGE: the directory stays as it was
    begin
    rm -rf keep && cp -R w keep
    poke "$2" "$3"
    says "$1" "'w' is not what the disk holds: $4" back
    ok "$1: nothing is done" same keep w
}
begin
a=$(entry 'A       TXT') b=$(entry 'B       TXT') s=$(entry 'SUB        ')
damage 'two files, one cluster' $((a + 26)) "$(dd if=i.raw bs=1 skip=$((b + 26)) count=2 status=none | od -An -to1 | sed 's/ /\\/g')" 'a cluster belongs to two files'
damage 'a chain into nowhere' $((a + 26)) '\377\016' 'a chain of clusters leads nowhere: a.txt'
damage 'longer than its clusters' $((a + 30)) '\001' 'a file is longer than its clusters: a.txt'
damage 'a directory in a circle' $((s + 26)) '\000\000' 'a directory without clusters: sub'
damage 'a name with a slash' "$a" '../../X' 'a name that is none here: ../../X'
damage 'made anew' 13 '\004' 'its file system was made anew'
damage 'two of a name' "$b" 'A       TXT' 'two files have one name'
# what the host refuses
begin
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    m mcopy inside ::new
    chmod 755 w && chmod 644 i.raw
    TMPDIR=/tmp
    fails 'a directory that may not be written' "could not create 'w/new': Permission denied" $as "$img" convert -n -f raw -O raw i.raw fat:floppy:rw:w
    TMPDIR=$dir
fi
finish
