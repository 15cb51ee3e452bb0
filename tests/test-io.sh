#!/bin/sh
# The commands and options of quern-io: for each, whether it succeeds and what it says. A line of the table is
#     STATUS | TEXT | ARGUMENTS
# TEXT is a pattern of grep that a line of the output fits; empty: nothing is said. The images are made anew for each.
set -u
build=${QUERN_BUILD:-$(pwd)}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
passed=0 failed=0
io=$build/quern-io
mkdir base
"$build/quern-img" create -q -f raw base/raw 1M && "$build/quern-img" create -q -f qcow2 base/q2 1M || exit 1
"$io" -f raw -c 'write -q -P 7 64k 64k' base/raw && "$io" -c 'write -q -P 1 0 64k' base/q2 || exit 1
printf abcdefg >base/pattern
: >base/empty
number=0
while IFS='|' read -r status text args; do
    number=$((number + 1))
    case $status in '' | '#'*) continue ;; esac
    text=${text# } text=${text% } status=${status% }
    cp base/* .
    eval "timeout 30 \"$io\" $args" >out 2>&1 </dev/null
    rc=$?
    if [ $rc = "$status" ] && { if [ -n "$text" ]; then grep -q -e "$text" out; else [ ! -s out ]; fi; }; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "failed: line $number:$args (status $rc, not $status; '$text' is not in:)"
        head -n 5 out
    fi
done <<'END'
# read and write
0 | ^read 512/512 bytes at offset 0$ | -f raw -c 'read 0 512' raw
0 | ^512 bytes, 1 ops; 00.00 sec (.*/sec and .* ops/sec)$ | -f raw -c 'read 0 512' raw
0 | ^512,1,0:00:00.00,[0-9.]*,[0-9.]*$ | -f raw -c 'read -C 0 512' raw
0 | ^0000fff8:  00 00 00 00 00 00 00 00 07 07 07 07 07 07 07 07  ................$ | -f raw -c 'read -v 65528 16' raw
0 | | -f raw -c 'read -q -P 7 64k 64k' raw
1 | ^Pattern verification failed at offset 65536, 65536 bytes$ | -f raw -c 'read -P 8 64k 64k' raw
0 | | -f raw -c 'read -q -P 7 -s 512 -l 512 65024 2k' raw
1 | ^pattern verification range exceeds end of read data$ | -f raw -c 'read -P 7 -s 2k -l 512 64k 2k' raw
1 | ^read .* -- reads a number | -f raw -c 'read -s 512 64k 2k' raw
1 | ^256 is not a valid pattern byte$ | -f raw -c 'read -P 256 0 1' raw
1 | ^read .* -- reads a number | -f raw -c 'read 0 512 512' raw
1 | ^write .* -- writes a number | -f raw -c 'write 0 512 512' raw
1 | ^discard .* -- discards a number | -f raw -c 'discard 0 512 512' raw
0 | ^read 1024/1024 bytes at offset 0$ | -f raw -c 'readv 0 512 512' raw
0 | ^wrote 1024/1024 bytes at offset 5$ | -f raw -c 'writev 5 1000 24' raw
1 | ^bad argument count 1 to read, expected at least 2 arguments$ | -f raw -c 'read 0' raw
1 | ^bad argument count 0 to read, expected at least 2 arguments$ | -f raw -c read raw 2>&1 >/dev/null
0 | ^read 10/10 bytes at offset 16$ | -f raw -c 'read 0x10 010' raw
1 | ^Parsing error: argument too large -- 8E$ | -f raw -c 'read 8E 1' raw
1 | ^Parsing error: argument too large -- 99999999999999999999$ | -f raw -c 'read 0 99999999999999999999' raw
1 | ^Parsing error: non-numeric argument, or extraneous/unrecognized suffix -- 1x$ | -f raw -c 'read 0 1x' raw
1 | ^length cannot exceed 2147483136, given 3G$ | -f raw -c 'read 0 3G' raw
1 | ^length cannot exceed 2147483136 without -n, given 3G$ | -f raw -c 'write -z 0 3G' raw
1 | ^write failed: Input/output error$ | -c 'write -zn 0 3G' q2
1 | ^The total number of bytes exceed the maximum size 2147483136$ | -f raw -c 'readv 0 1G 1G' raw
1 | ^read failed: Input/output error$ | -f raw -c 'read 1M 1' raw
1 | ^Only one of -z, -P, and -s can be specified at the same time$ | -f raw -c 'write -z -P 1 0 1' raw
1 | ^-u requires -z to be specified$ | -f raw -c 'write -u 0 1' raw
1 | ^-n requires -z to be specified$ | -f raw -c 'write -n 0 1' raw
1 | ^1000 is not a sector-aligned value for 'count'$ | -c 'write -c 0 1000' q2
0 | ^00000000:  61 62 63 64 65 66 67 61  abcdefga$ | -f raw -c 'write -s pattern 0 512' -c 'read -v 0 8' raw
1 | ^empty: file is empty$ | -f raw -c 'write -s empty 0 512' raw
1 | ^\.: Is a directory$ | -f raw -c 'write -s . 0 512' raw
1 | ^nosuch: No such file or directory$ | -f raw -c 'write -s nosuch 0 512' raw 2>&1 >/dev/null
0 | ^wrote 65536/65536 bytes at offset 65536$ | -f raw -c 'write -zu 64k 64k' -c 'read -q -P 0 64k 64k' raw
0 | ^wrote 512/512 bytes at offset 0$ | -c 'write -b 0 512' -c 'read -b -q -P 0xcd 0 512' -c 'read -q -P 1 0 64k' q2
# asynchronous
0 | ^wrote 1024/1024 bytes at offset 0$ | -f raw -c 'aio_write -P 3 0 512 512' -c aio_flush -c 'read -q -P 3 0 1k' raw
1 | ^-z supports only a single length parameter$ | -f raw -c 'aio_write -z 0 512 512' raw
0 | ^readv failed: Input/output error$ | -f raw -c 'aio_read 1M 512' -c aio_flush raw
0 | ^injecting invalid read request$ | -f raw -c 'aio_read -i 0 512' raw
0 | ^injecting invalid write request$ | -f raw -c 'aio_write -i 0 512' raw
# breakpoints
1 | ^Could not set breakpoint: Operation not supported$ | -c 'break write_aio A' q2
1 | ^Could not set breakpoint: No such file or directory$ | -c 'break nosuch A' blkdebug::q2
1 | ^Could not resume request: No such file or directory$ | -c 'resume A' blkdebug::q2
1 | ^Could not remove breakpoint A: No such file or directory$ | -c 'remove_break A' blkdebug::q2
1 | ^No request is under way that could stop at 'A'$ | -c 'break write_aio A' -c 'wait_break A' blkdebug::q2
0 | ^wrote 4096/4096 bytes at offset 0$ | -c 'break write_aio A' -c 'aio_write -P 9 0 4k' -c 'wait_break A' -c 'read -q -P 0 64k 4k' -c 'resume A' -c aio_flush -c 'read -q -P 9 0 4k' blkdebug::q2
0 | ^wrote 4096/4096 bytes at offset 8192$ | -c 'break write_aio A' -c 'remove_break A' -c 'write 8k 4k' blkdebug::q2
0 | ^wrote 4096/4096 bytes at offset 0$ | -c 'break write_aio A' -c 'aio_write 0 4k' -c 'wait_break A' -c 'remove_break A' -c aio_flush blkdebug::q2
0 | ^wrote 4096/4096 bytes at offset 0$ | -c 'break write_aio A' -c 'aio_write 0 4k' -c 'wait_break A' -c quit blkdebug::q2
0 | ^wrote 4096/4096 bytes at offset 0$ | -c 'break write_aio A' -c 'aio_write 0 4k' -c 'wait_break A' -c close blkdebug::q2
# the image as a whole
0 | ^1 MiB$ | -f raw -c length raw
0 | ^10 KiB$ | -f raw -c 'truncate 9999' -c length raw
1 | ^quern-io: Invalid preallocation mode 'x'$ | -f raw -c 'truncate -m x 2M' raw
0 | | -f raw -c 'truncate 0' -c map raw
0 | ^64 KiB (0x10000) bytes     allocated at offset 0 bytes (0x0)$ | -c map q2
0 | ^65536/131072 bytes allocated at offset 0 bytes$ | -c 'alloc 0 128k' q2
0 | ^cluster size: 64 KiB$ | -c info q2
0 | ^discard 65536/65536 bytes at offset 0$ | -c 'discard 0 64k' -c 'read -q -P 0 0 64k' q2
1 | ^no file open, try 'help open'$ | -c 'read 0 1'
1 | ^no file open, try 'help open'$ | -c close -c length q2
1 | ^quern-io: file open already, try 'help close'$ | -c 'open q2' q2
0 | ^format name: raw$ | -f qcow2 -c 'open -o driver=raw q2' -c info
1 | ^quern-io: Block node is read-only$ | -c 'open -r q2' -c 'write 0 1'
1 | ^quern-io: Block node is read-only$ | -c 'reopen -r' -c 'write 0 1' q2
0 | ^wrote 1/1 bytes at offset 0$ | -r -c 'reopen -w' -c 'write 0 1' q2
1 | ^quern-io: Only one -r/-w option may be given$ | -c 'reopen -r -w' q2
0 | ^wrote 4096/4096 bytes at offset 0$ | -c 'reopen -o lazy-refcounts=on' -c 'write 0 4k' -c 'reopen -o lazy-refcounts=off,l2-cache-size=1M' -c 'read -q -P 0xcd 0 4k' q2
1 | ^quern-io: Parameter 'lazy-refcounts' expects | -c 'reopen -o lazy-refcounts=x' q2
1 | Unsupported value 'x' for qcow2 option 'overlap-check' | -c 'reopen -o overlap-check=x' q2
1 | Unsupported value 'x' for qcow2 option 'overlap-check' | --image-opts -c length driver=qcow2,overlap-check=x,file.filename=q2
1 | ^quern-io: Cannot change the option 'encrypt.format'$ | -c 'reopen -o lazy-refcounts=on,encrypt.format=luks' q2
0 | ^1 MiB (0x100000) bytes not allocated at offset 0 bytes (0x0)$ | -d ignore -c 'reopen -o discard=unmap' -c 'discard 0 64k' -c map q2
0 | ^64 KiB (0x10000) bytes     allocated at offset 0 bytes (0x0)$ | -c 'reopen -o discard=ignore' -c 'discard 0 64k' -c map q2
1 | ^quern-io: setting detect-zeroes to unmap is not allowed without | -d ignore -c 'reopen -o detect-zeroes=unmap' q2
1 | ^quern-io: Invalid discard option 'x'$ | -c 'reopen -o discard=x' q2
1 | ^quern-io: Cannot change the option 'lazy-refcounts'$ | -f raw -c 'reopen -o lazy-refcounts=on' raw
1 | ^quern-io: Cannot change the option 'nosuch'$ | -c 'reopen -o nosuch=1' q2
# the program
1 | ^command "nosuch" not found$ | -c nosuch q2
1 | ^command nosuch not found$ | -c 'help nosuch'
0 | ^flush -- flush all in-core file state to disk$ | -c help
0 | ^1 MiB$ | -c length -c quit -c nosuch q2
1 | ^signal argument '129' is too large to be a valid signal$ | -c 'sigraise 129' q2
1 | ^x is not a valid number$ | -c 'sleep x' q2
1 | ^quern-io: Invalid cache option: x$ | -t x -c length q2
1 | ^quern-io: Invalid discard option: x$ | -d x -c length q2
1 | ^quern-io: Invalid aio option: x$ | -i x -c length q2
1 | ^quern-io: .*: force-share=on can only be used with read-only images$ | -U -c length q2
1 | ^quern-io: Unable to read nosuch: No such file or directory$ | --object secret,id=s,file=nosuch -c length q2
1 | ^quern-io: Either 'file' or 'data' must be provided$ | --object secret,id=s -c length q2
1 | ^quern-io: Parameter 'foo' is unexpected$ | --object secret,id=s,data=x,foo=1 -c length q2
1 | ^quern-io: Parameter 'qom-type' does not accept value 'nosuch'$ | --object nosuch,id=s -c length q2
0 | ^1 MiB$ | --object secret,id=s,data=c2VjcmV0,format=base64 -c length q2
1 | ^quern-io: .* base64 | --object 'secret,id=s,data=c2Vj!mV0,format=base64' -c length q2
END
echo "$passed passed, $failed failed"
[ $failed = 0 ]
