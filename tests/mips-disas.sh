#!/bin/sh
# mips-disas.sh - makes tests/mips-disas.txt anew, with GNU objdump for MIPS as the judge of test-mips-table.
# Usage: mips-disas.sh path/to/test-mips-table > mips-disas.txt
set -e
tool=$1
tmp=$(mktemp)
trap 'rm -f "$tmp"' EXIT
dump() { # set, machine, names, filter
    "$tool" --emit "$1" > "$tmp"
    mipsel-linux-gnu-objdump -D -z -EL -b binary -m "$2" \
        -M "gpr-names=$3,cp0-names=mips32r2,cp1-names=mips32r2,hwr-names=mips32r2" "$tmp" |
        sed -n "s/^ *\\([0-9a-f]*\\):\\t\\([0-9a-f]*\\) \\([0-9a-f]*\\) *\\t/$1 \\1: \\2\\3 /p" |
        # left out: hints and reserved bits that objdump wants to be zero, and "clz a or b"
        grep -v '[.]word\|[.]short\| or ' | eval "$4"
}
dump 32r2 mips:isa32r2 32 cat
dump 64r2 mips:isa64r2 64 cat
dump 16 mips:16 32 "sed 's/0xffffffff\([0-9a-f]\{8\}\)/0x\1/'"
