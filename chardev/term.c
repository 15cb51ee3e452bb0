/*
 * term.c - raw mode of the controlling terminal (see term.h).
 */
#include "chardev/term.h"

#include <signal.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved;
static volatile sig_atomic_t is_raw, have_saved;
static bool raw_isig;

void term_restore(void)
{
    if (is_raw) tcsetattr(0, TCSANOW, &saved);
    is_raw = 0;
}

/* A crash must not leave the user's shell without echo. The handler was installed with SA_RESETHAND:
 * raising again ends the process as the signal would have. */
static void on_fatal(int sig)
{
    term_restore();
    raise(sig);
}

/* After ^Z and fg the shell has set its own modes. */
static void on_continue(int sig)
{
    if (is_raw) term_raw(raw_isig);
}

static void install(void)
{
    static const int fatal[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGQUIT, SIGXCPU, SIGSYS };
    struct sigaction sa, old;

    memset(&sa, 0, sizeof sa);
    sa.sa_handler = on_fatal;
    sa.sa_flags = SA_RESETHAND | SA_NODEFER;
    for (unsigned i = 0; i < ARRAY_LEN(fatal); i++) {
        if (!sigaction(fatal[i], NULL, &old) && old.sa_handler == SIG_DFL) sigaction(fatal[i], &sa, NULL);
    }
    sa.sa_handler = on_continue;
    sa.sa_flags = SA_RESTART;
    sigaction(SIGCONT, &sa, NULL);
    atexit(term_restore);
}

void term_raw(bool isig)
{
    struct termios t;

    if (!have_saved) {
        if (tcgetattr(0, &saved)) return;
        have_saved = 1;
        install();
    }
    t = saved;
    raw_isig = isig;
    t.c_iflag &= (tcflag_t) ~(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    t.c_oflag |= OPOST;
    t.c_lflag &= (tcflag_t) ~(ECHO | ECHONL | ICANON | IEXTEN);
    if (!isig) t.c_lflag &= (tcflag_t)~ISIG;
    t.c_cflag &= (tcflag_t) ~(CSIZE | PARENB);
    t.c_cflag |= CS8;
    t.c_cc[VMIN] = 1;
    t.c_cc[VTIME] = 0;
    is_raw = 1;
    tcsetattr(0, TCSANOW, &t);
}
