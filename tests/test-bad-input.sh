#!/bin/sh
# test-bad-input.sh - files and values that must be refused: the message names the thing and the value, the status is 1.
# What options themselves refuse is in test-cli.sh; here are files, boards, and user mode.
set -u
build=$(cd "${QUERN_BUILD:-.}" && pwd)
. "${QUERN_SOURCE:-$(cd "$(dirname "$0")/.." && pwd)}/tests/patience.sh"
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
passed=0 failed=0

# refused TEXT PROGRAM ARGS...: status 1, TEXT on standard error, nothing on standard output
refused() {
    text=$1
    shift
    prog=$1
    shift
    timeout -s KILL $((10 * patience)) "$build/$prog" "$@" >out 2>err </dev/null
    rc=$?
    case $rc:$(cat out):$(cat err) in
    1::*"$text"*) passed=$((passed + 1)) ;;
    *)
        failed=$((failed + 1))
        echo "FAILED: $prog $* -> $rc '$(head -c 200 out)' '$(head -c 300 err)' (wanted '$text')"
        ;;
    esac
}

: >empty
printf '\177ELF' >short
printf '\177ELF\001\001\001' >cut
printf 'this is no program at all, but it is longer than an ELF header would be, is it not' >junk
mkdir dir
# An ELF header: 32 bits, little-endian; \$1 machine, \$2 e_phoff, \$3 e_phnum (octal escapes)
elf() {
    printf '\177ELF\001\001\001\000\000\000\000\000\000\000\000\000\002\000'"$1"'\000\001\000\000\000'
    printf '\000\000\000\200'"$2"'\000\000\000\000\000\020\000\000\064\000\040\000'"$3"'\050\000\000\000\000\000'
}
elf '\076' '\064\000\000\000' '\001\000' >other
elf '\010' '\064\000\000\000' '\000\000' >nosegments
elf '\010' '\377\377\377\377' '\001\000' >faraway
elf '\010' '\064\000\000\000' '\377\377' >toomany
(elf '\010' '\064\000\000\000' '\001\000'
 printf '\001\000\000\000\000\000\000\000\000\000\000\200\000\000\000\000\377\377\377\177\377\377\377\177\007\000\000\000\000\000\001\000') >huge
printf 'xxxx' >small

s=quern-system-mipsel
refused "'missing'" $s -kernel missing
refused "'empty' is empty" $s -kernel empty
refused "'short': the ELF header is cut off" $s -kernel short
refused "'cut': the ELF header is cut off" $s -kernel cut
refused "'junk': not an ELF file" $s -kernel junk
refused "'other': The image is from incompatible architecture (e_machine 62)" $s -kernel other
refused "'nosegments': e_phnum 0" $s -kernel nosegments
refused "'faraway': e_phoff 0xffffffff" $s -kernel faraway
refused "'toomany': e_phnum 65535" $s -kernel toomany
refused "'huge': segment 0" $s -kernel huge
refused "'dir': Is a directory" $s -kernel dir
refused "could not open ''" $s -kernel ''
refused "incorrect endianness" quern-system-mips -kernel nosegments
refused "'missing'" $s -bios missing
refused "'empty' is empty" $s -bios empty
refused "'empty' is empty" $s -M mipssim -bios empty
refused "'dir': Is a directory" $s -bios dir
refused "needs a kernel" $s
refused "'missing'" $s -hda missing
refused "'dir': Is a directory" $s -hda dir
refused "'empty' is empty" $s -hda empty -bios small
refused "'missing'" $s -cdrom missing
refused "'missing'" $s -drive file=missing,format=raw
refused "'teapot'" $s -drive file=small,format=teapot
refused "image empty 0" $s -pflash empty
refused "its image small" $s -pflash small
refused "'nix'" $s -M nix
refused "'nix'" $s -cpu nix
refused "invalid option" $s -nix
refused "'wings'" $s -M malta,wings=1
refused "-m 0: a machine needs memory" $s -m 0 -bios small
refused "-m 0k: a machine needs memory" $s -m 0k -bios small
refused "maximum 2048 MB" $s -m 4096 -bios small
refused "maximum 256 MB" $s -M mipssim -m 512 -bios small
refused "Invalid SMP CPUs 0" $s -smp 0
refused "'-1'" $s -smp -1
refused "Duplicate ID 'a'" $s -chardev null,id=a -chardev null,id=a -bios small
refused "Duplicate ID 'd'" $s -drive file=small,id=d,if=none -drive file=small,id=d,if=none
refused "no property 'nix'" $s -global pcnet.nix=1 -bios small
refused "/nonexistent/x" $s -serial file:/nonexistent/x -bios small
refused "99999" $s -gdb tcp::99999 -bios small
refused "\"nix\" not found" $s -mon nix -bios small
refused "/nonexistent/p" $s -pidfile /nonexistent/p -bios small -serial null -monitor null
refused "99 is out of range" $s -icount shift=99
refused "index 99" $s -drive file=small,index=99
refused "-initrd only allowed" $s -initrd small

u=quern-mipsel
refused "no program given" $u
refused "missing: No such file" $u missing
refused "empty: not an ELF file" $u empty
refused "short: not an ELF file" $u short
refused "cut: not an ELF file" $u cut
refused "junk: not an ELF file" $u junk
refused "other: is an ELF file for another machine (machine 62" $u other
refused "nosegments" $u nosegments
refused "faraway" $u faraway
refused "toomany" $u toomany
refused "huge" $u huge
refused "nosegments" quern-mips nosegments
refused "nosegments" quern-mips64el nosegments
refused "dir: not a regular file" $u dir
refused "'-nix'" $u -nix
refused "'nix'" $u -cpu nix junk
refused "'-cpu' needs an argument" $u -cpu
refused "-s 0" $u -s 0 junk
refused "-s x" $u -s x junk
refused "-R 1" $u -R 1 junk
refused "-B x" $u -B x junk
refused "-p 3" $u -p 3 junk
refused "'nix'" $u -d nix junk
refused "-seed x" $u -seed x junk
refused "/nonexistent/x" $u -D /nonexistent/x junk
refused "-accel nix" $u -accel nix junk
refused "nix: invalid option" quern nix
refused "no target given" quern

echo "$passed passed, $failed failed"
[ $failed = 0 ]
