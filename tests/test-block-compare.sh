#!/bin/sh
# Small runs of block-compare.sh (outputs beside qemu-img's) and block-matrix.sh (formats and options, both ways).
here=$(dirname "$0") rc=0
for t in block-compare block-matrix; do
    sh "$here/$t.sh" small
    c=$?
    [ $c = 77 ] && exit 77
    [ $c = 0 ] || rc=1
done
exit $rc
