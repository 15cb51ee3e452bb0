# patience.sh - for scripts to include: how long they wait for a guest before they call it stuck. Waiting ends as soon as what is waited
# for is there, so these are only the ends of hope; they are given in seconds of the fast interpreter on an idle host.
# $patience: times as long, by the engine ($QUERN_ACCEL) and for hosts that do other things, too.
case ${QUERN_ACCEL:-} in
*mode=ref* | *backend=null*) patience=24 ;;
*gccjit* | *chaos=* | *sync=on* | *threshold=*) patience=8 ;;
*) patience=4 ;;
esac

# within SECONDS COMMAND...: tries it until it succeeds; its status if it never does
within() {
    tries=$(($1 * 10 * patience))
    shift
    until "$@"; do
        [ $tries -gt 0 ] || return 1
        tries=$((tries - 1))
        sleep 0.1
    done
}
# gone PID
gone() { ! kill -0 "$1" 2>/dev/null; }
