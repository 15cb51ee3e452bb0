/*
 * test-chardev.c - character backends: device strings, flow control, the mux and its escapes, sockets with
 * telnet, pipes, files, ring buffers, the event loop's timers.
 */
#include "chardev/backend.h"

#include "tests/count.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct front {
    uint8_t got[256];
    int n, room, opened, closed, breaks, in, out;
};

static int front_room(void *p) { return ((struct front *)p)->room; }
static void front_receive(void *p, const uint8_t *buf, int n)
{
    struct front *f = p;
    CHECK(n <= f->room);
    memcpy(f->got + f->n, buf, (size_t)n);
    f->n += n;
    f->got[f->n] = 0;
}
static void front_event(void *p, enum chr_event ev)
{
    struct front *f = p;
    int *const counts[] = { &f->opened, &f->closed, &f->breaks, &f->in, &f->out };
    ++*counts[ev];
}
static struct chr_frontend fe_of(struct front *f)
{
    return (struct chr_frontend){ front_room, front_receive, front_event, f };
}
static bool got(struct front *f, const char *s)
{
    bool same = f->n == (int)strlen(s) && !memcmp(f->got, s, (size_t)f->n);
    if (!same) printf("  got '%.*s', not '%s'\n", f->n, (char *)f->got, s);
    f->n = 0;
    return same;
}

static char dir[] = "/tmp/quern-chardev-XXXXXX";
static const char *in_dir(const char *name)
{
    static char path[8][128];
    static unsigned k;
    char *p = path[k++ % 8];
    snprintf(p, 128, "%s/%s", dir, name);
    return p;
}

static void spin(struct loop *l)
{
    for (int i = 0; i < 5; i++) loop_poll(l, 2000000);
}

static void test_strings(struct chr_set *s)
{
    static const char *const bad[] = {
        "", "stdio2", "tcp:", "tcp:host", "tcp::", "tcp::1,foo", "unix:", "udp:", "vc", "msmouse", "mon:", "chardev:none",
        "tcp::1,wait=maybe", "file:/nonexistent/dir/x", "/dev/nonexistent-tty",
    };
    static const char *const bad_opts[] = {
        "null", "nullx,id=a", "null,id=1", "null,id=a,foo=1", "socket,id=a", "socket,id=a,port=1,path=x", "file,id=a",
        "ringbuf,id=a,size=1000", "ringbuf,id=a,size=0", "socket,id=a,path=x,server,reconnect=1", "vc,id=a", "",
    };
    struct chardev *c;
    bool mon;

    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        struct error e = ERROR_INIT;
        bool refused = chr_new_string(s, "x", bad[i], &c, &mon, &e) == -1 && e.set && !c;
        if (!refused) printf("  taken: '%s'\n", bad[i]);
        CHECK(refused);
    }
    for (unsigned i = 0; i < ARRAY_LEN(bad_opts); i++) {
        struct error e = ERROR_INIT;
        bool refused = !chr_new_opts(s, bad_opts[i], &e) && e.set;
        if (!refused) printf("  taken: '%s'\n", bad_opts[i]);
        CHECK(refused);
    }
    CHECK(!chr_new_string(s, "x", "none", &c, &mon, NULL) && !c);
    CHECK(chr_new_opts(s, "null,id=n0", NULL) && !chr_new_opts(s, "null,id=n0", NULL));
    CHECK(!chr_new_string(s, "y", "chardev:n0", &c, NULL, NULL) && c == chr_find(s, "n0"));
    CHECK(!chr_remove(s, "n0", NULL) && !chr_find(s, "n0") && chr_remove(s, "n0", NULL));
}

/* A pipe pair below a mux: what is typed goes to the focus, escapes act. */
static void test_mux(struct chr_set *s, struct loop *l)
{
    struct front a = { .room = 100 }, b = { .room = 100 };
    struct chr_frontend fa = fe_of(&a), fb = fe_of(&b);
    struct chardev *c;
    bool mon = false;
    char str[160], buf[512];
    int in, out, k;

    mkfifo(in_dir("p.in"), 0600);
    mkfifo(in_dir("p.out"), 0600);
    snprintf(str, sizeof str, "mon:pipe:%s", in_dir("p"));
    CHECK(!chr_new_string(s, "serial0", str, &c, &mon, NULL) && mon && c);
    in = open(in_dir("p.in"), O_RDWR);
    out = open(in_dir("p.out"), O_RDWR | O_NONBLOCK);
    CHECK(!chr_attach(c, &fa, NULL) && !chr_attach(c, &fb, NULL));
    CHECK(!a.in && !a.out && !b.in);
    chr_focus_first(s);
    CHECK(a.in == 1 && b.out == 1);

    CHECK(write(in, "hello", 5) == 5);
    spin(l);
    CHECK(got(&a, "hello") && b.n == 0);
    CHECK(write(in, "1\001c2\001\001\001b\001c3", 11) == 11);
    spin(l);
    CHECK(got(&a, "13") && got(&b, "2\001") && b.breaks == 1 && a.breaks == 0);

    /* flow control: nothing more than there is room for, nothing lost up to the mux's own buffer */
    a.room = 0;
    CHECK(write(in, "abcdef", 6) == 6);
    spin(l);
    CHECK(a.n == 0);
    a.room = 4;
    chr_accept_input(c);
    a.room = 100;
    chr_accept_input(c);
    spin(l);
    CHECK(got(&a, "abcdef"));

    CHECK(chr_write(c, &a, (const uint8_t *)"out", 3) == 3);
    CHECK((k = (int)read(out, buf, sizeof buf)) == 3 && !memcmp(buf, "out", 3));
    CHECK(write(in, "\001h", 2) == 2);
    spin(l);
    k = (int)read(out, buf, sizeof buf - 1);
    buf[MAX(k, 0)] = 0;
    CHECK(strstr(buf, "C-a x") && strstr(buf, "C-a c"));
    chr_detach(c, &a);
    CHECK(write(in, "z", 1) == 1);
    spin(l);
    CHECK(got(&b, "z"));
    chr_detach(c, &b);
    CHECK(!chr_remove(s, "serial0", NULL) && !chr_remove(s, "serial0-base", NULL));
    close(in);
    close(out);
}

static int connect_unix(const char *path)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    strcpy(un.sun_path, path);
    if (connect(fd, (struct sockaddr *)&un, sizeof un)) {
        close(fd);
        return -1;
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void test_socket(struct chr_set *s, struct loop *l)
{
    struct front a = { .room = 100 };
    struct chr_frontend fa = fe_of(&a);
    struct chardev *c, *client;
    char str[200], buf[64];
    int fd, k;

    snprintf(str, sizeof str, "socket,id=s,path=%s,server,nowait,telnet", in_dir("sock"));
    c = chr_new_opts(s, str, NULL);
    CHECK(c && !chr_attach(c, &fa, NULL));
    CHECK(chr_write(c, &a, (const uint8_t *)"lost", 4) == 4); /* no peer: dropped, not stuck */
    fd = connect_unix(in_dir("sock"));
    CHECK(fd >= 0);
    spin(l);
    CHECK(a.opened == 1);
    k = (int)read(fd, buf, sizeof buf);
    CHECK(k == 12 && (uint8_t)buf[0] == 255); /* the negotiation */
    CHECK(write(fd, "a\377\375\001b\377\377\377\363c", 10) == 10);
    spin(l);
    CHECK(got(&a, "ab\377c") && a.breaks == 1);
    chr_write_all(c, &a, (const uint8_t *)"x\377y", 3);
    k = (int)read(fd, buf, sizeof buf);
    CHECK(k == 4 && !memcmp(buf, "x\377\377y", 4));
    close(fd);
    spin(l);
    CHECK(a.closed == 1);
    fd = connect_unix(in_dir("sock")); /* the server listens again */
    spin(l);
    CHECK(fd >= 0 && a.opened == 2);
    close(fd);
    spin(l);
    chr_detach(c, &a);
    CHECK(!chr_remove(s, "s", NULL) && access(in_dir("sock"), F_OK));

    /* two of our own, client and server */
    snprintf(str, sizeof str, "unix:%s,server,nowait", in_dir("s2"));
    CHECK(!chr_new_string(s, "srv", str, &c, NULL, NULL));
    snprintf(str, sizeof str, "unix:%s", in_dir("s2"));
    CHECK(!chr_new_string(s, "cli", str, &client, NULL, NULL));
    CHECK(!chr_attach(c, &fa, NULL));
    chr_write_all(client, NULL, (const uint8_t *)"ping", 4);
    spin(l);
    CHECK(got(&a, "ping"));
    chr_detach(c, &a);
    CHECK(!chr_remove(s, "cli", NULL) && !chr_remove(s, "srv", NULL));
    snprintf(str, sizeof str, "unix:%s", in_dir("absent"));
    CHECK(chr_new_string(s, "cli", str, &client, NULL, NULL) == -1);

    /* a client that comes before its server */
    a.opened = 0;
    snprintf(str, sizeof str, "unix:%s,reconnect=1", in_dir("late"));
    CHECK(!chr_new_string(s, "early", str, &client, NULL, NULL) && !chr_attach(client, &fa, NULL) && !a.opened);
    snprintf(str, sizeof str, "unix:%s,server,nowait", in_dir("late"));
    CHECK(!chr_new_string(s, "late", str, &c, NULL, NULL));
    for (uint64_t end = loop_now_ns() + 3000000000u; !a.opened && loop_now_ns() < end;) loop_poll(l, 100000000);
    CHECK(a.opened == 1);
    chr_detach(client, &a);
    chr_remove(s, "early", NULL);
    chr_remove(s, "late", NULL);
}

static void test_file_ring(struct chr_set *s)
{
    struct chardev *c;
    char str[300], buf[64];
    unsigned n = 4;
    struct stat st;

    snprintf(str, sizeof str, "file,id=f,path=%s,logfile=%s", in_dir("f"), in_dir("log"));
    c = chr_new_opts(s, str, NULL);
    CHECK(c != NULL);
    chr_write_all(c, NULL, (const uint8_t *)"data", 4);
    chr_remove(s, "f", NULL);
    CHECK(!stat(in_dir("f"), &st) && st.st_size == 4 && !stat(in_dir("log"), &st) && st.st_size == 4);
    c = chr_new_opts(s, "ringbuf,id=r,size=8", NULL);
    chr_write_all(c, NULL, (const uint8_t *)"0123456789", 10);
    CHECK(!chr_ringbuf_read(c, (uint8_t *)buf, &n, NULL) && n == 4 && !memcmp(buf, "2345", 4));
    n = sizeof buf;
    CHECK(!chr_ringbuf_read(c, (uint8_t *)buf, &n, NULL) && n == 4 && !memcmp(buf, "6789", 4));
    chr_remove(s, "r", NULL);
}

static unsigned ticks;
static void tick(void *opaque)
{
    ticks++;
    if (ticks == 1) loop_timer_arm(*(struct loop_timer **)opaque, 1000000);
    else loop_timer_delete(*(struct loop_timer **)opaque);
}

static void test_loop(struct loop *l)
{
    static struct loop_timer *t;
    uint64_t t0 = loop_now_ns();

    t = loop_timer_new(l, tick, &t);
    loop_timer_arm(t, 5000000);
    while (ticks < 2 && loop_now_ns() - t0 < 2000000000u) loop_poll(l, 1000000000);
    CHECK(ticks == 2 && loop_now_ns() - t0 >= 6000000);
    loop_wake(l);
    t0 = loop_now_ns();
    loop_poll(l, 5000000000u);
    CHECK(loop_now_ns() - t0 < 4000000000u);
    CHECK(!loop_interrupted(l));
}

int main(void)
{
    struct loop *l = loop_new(NULL);
    struct chr_set *s = chr_set_new(l);
    char cmd[100];

    signal(SIGPIPE, SIG_IGN);
    if (!mkdtemp(dir)) return 1;
    test_strings(s);
    test_loop(l);
    test_mux(s, l);
    test_socket(s, l);
    test_file_ring(s);
    CHECK(!chr_next(s, NULL));
    chr_set_delete(s);
    loop_delete(l);
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", dir);
    CHECK(system(cmd) == 0);
    return count_report();
}
