#!/bin/sh
# Adds up the tests of a build: summary.sh DIRECTORY, where `make check` left its .log and .trs files.
#
# Every test ends with a line `N passed, N failed` (perhaps `, N skipped`) of its own. A test that ended
# without such a line, or with a failing status after a line that says no failure, counts as one failed.
# Prints one line per failing test, what its log says of failures, and the sum; the status is 1 when anything failed or nothing ran.
set -u
dir=${1:?directory of .trs files}

for trs in "$dir"/*.trs; do
    [ -e "$trs" ] || continue
    name=$(basename "$trs" .trs)
    result=$(sed -n 's/^:test-result: *\([A-Z]*\).*/\1/p' "$trs" | tail -n 1)
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$' "$dir/$name.log" 2>/dev/null | tail -n 1)
    printf '%s|%s|%s\n' "$name" "$result" "$line"
    case $result in PASS | SKIP) ;; *)
        { grep -A 8 'FAILED' "$dir/$name.log" || tail -n 8 "$dir/$name.log"; } 2>/dev/null | head -n 40 | cut -c 1-400 | sed 's/^/    /' >&2 ;;
    esac
done | awk -F'|' '
{
    p = f = s = 0
    if ($3 != "") { split($3, w, " "); p = w[1]; f = w[3]; s = w[5] + 0 }
    else if ($2 == "PASS") p = 1
    else if ($2 == "SKIP") s = 1
    if ($2 != "PASS" && $2 != "SKIP" && f == 0) { f = 1; why = "ended with status " $2 }
    else why = f " failed"
    if (f) print "FAILED: " $1 " (" why "), see " "tests/" $1 ".log"
    passed += p; failed += f; skipped += s
}
END {
    printf "%d passed, %d failed", passed, failed
    if (skipped) printf ", %d skipped", skipped
    printf "\n"
    exit failed > 0 || passed == 0
}'
