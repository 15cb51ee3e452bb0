#!/bin/sh
# test-x86-disas.sh - compares the x86 disassembler with GNU objdump: generated encodings of every line of the table in the three
# modes, then the code of real programs. What differs for a known reason is taken out by the expressions below.
# X86_DISAS_FILES: more programs.
tool=${QUERN_BUILD:-.}/tests/test-x86-table
command -v objdump >/dev/null 2>&1 || { echo "SKIP: no objdump (package binutils)"; exit 77; }
objdump -i | grep -q elf64-x86-64 || { echo "SKIP: objdump without x86 (package binutils)"; exit 77; }
case $(objdump --version | sed -n '1s/.* //p') in
2.40*) ;;
*) echo "SKIP: the texts are those of objdump 2.40"; exit 77 ;;
esac
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
failed=0

# compare NAME MODE FILE KIND
compare() {
    case $2 in 16) m=i8086 ;; 32) m=i386 ;; 64) m=i386:x86-64 ;; esac
    $tool --disas "$2" "$3" >"$tmp/ours"
    objdump -D -w --no-show-raw-insn -b binary -m "$m" "$3" >"$tmp/theirs"
    awk -F'\t' -v name="$1" -v kind="$4" '
    # prefixes without effect are named by objdump, not by us
    function normal(s) {
        sub(/ *#.*/, "", s); sub(/ +$/, "", s); gsub(/ +/, " ", s)
        gsub(/rex(\.[WRXB]+)? |data16 |data32 |addr16 |addr32 /, "", s)
        while (sub(/^(cs|ds|es|ss|fs|gs|repz repz) /, "", s)) { }
        sub(/,p[nt] /, " ", s)
        return s
    }
    function known(ours, theirs) {
        if (theirs ~ /^bnd(mov|ldx|stx|cl|cu|cn|mk)|bnd[0-3]/) return 1          # MPX: not a feature here
        if (theirs ~ /^(incssp|rdssp|saveprevssp|rstorssp|wrss|wruss|setssbsy|clrssbsy)/) return 1
        if (ours ~ /^fwait/) return 1                                             # REX and fwait are split; with fnstcw it is one
        if (theirs ~ /^(cldemote|notrack|bnd)/) return 1                          # hints
        if (ours ~ /^(lcall|ljmp|jmp)/ && theirs ~ /^(lcall|ljmp|jmp)/) return 1  # suffixes with several prefixes; 64 KiB wraps
        if (ours ~ /^(movq2dq|movdq2q|p[fi]|pmulhrw|pavgusb|pswapd)/) return 1    # MMX registers shown as XMM
        if (ours ~ /^(rd|wr)[fg]sbase/) return 1                                  # 66 there
        # aliases and reserved r/m that processors execute, objdump does not know
        if (theirs == "(bad)" && ours ~ /^(fcom|fcomp|fxch|fstp|[lms]fence|xlat|ud|nop|out|in|salc|int1|prefetch|wbinvd|vmmcall|lock|xrelease|xacquire|fnop|rep)/) return 1
        return 0
    }
    NR == FNR { if (NF > 1) { a = $1; gsub(/[ :]/, "", a); t[a] = normal($2) } next }
    {
        a = $1; sub(/:/, "", a)
        o = normal($2)
        if (o == "(bad)" && kind == "real") quiet = 24    # an extension that is not built: both go astray for a while
        if (!(a in t)) { odd++; next }
        if (o == t[a]) { same++; if (quiet) quiet--; next }
        if (quiet) { quiet--; astray++; next }
        if (known(o, t[a])) { explained++; next }
        if (kind != "generated" && (t[a] ~ /bad|zmm|{%k|^rex/ || o ~ /bad/)) { explained++; next }
        diff++
        if (diff <= 20) print name ": " a ": ours \"" o "\", objdump \"" t[a] "\""
    }
    END {
        printf "%s: %d equal, %d explained, %d around unknown extensions, %d different\n", name, same, explained, astray, diff
        exit diff > (kind == "generated" ? 0 : kind == "data" ? same / 100 : same / 10000)
    }' "$tmp/theirs" "$tmp/ours" || failed=1
}

for mode in 16 32 64; do
    for seed in 1 2; do
        $tool --emit $mode $seed 6 >"$tmp/code"
        compare "generated, $mode bits" $mode "$tmp/code" generated
    done
done
for f in /bin/bash /lib/x86_64-linux-gnu/libc.so.6 /lib/x86_64-linux-gnu/libm.so.6 /usr/lib32/libc.so.6 $X86_DISAS_FILES; do
    [ -r "$f" ] || continue
    case $(objdump -f "$f" 2>/dev/null | sed -n 's/^architecture: \(.*\), .*/\1/p') in
    i386:x86-64) mode=64 ;;
    i386) mode=32 ;;
    *) continue ;;
    esac
    objcopy -O binary -j .text "$f" "$tmp/text" 2>/dev/null && compare "$f" $mode "$tmp/text" real
done
# 16-bit code among data and 32-bit code: a few differences where one of the two takes data for an unknown extension
for f in /usr/share/seabios/bios.bin; do
    [ -r "$f" ] && compare "$f" 16 "$f" data
done
exit $failed
