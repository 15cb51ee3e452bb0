/*
 * fuzz-options.c - fuzz target: option strings and whole command lines of the system emulator, up to the machine that
 * is not made. Lines of the input are words; one that begins with '@' and a byte stands for an option of the table.
 */
#include "tests/fuzz/fuzz.h"

#include "periph/devices.h"
#include "tools/system.h"
#include "util/opts.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MAX_WORDS = 64 };

static void strings(const char *s)
{
    static const struct opt_desc desc[] = {
        { "name", OPT_STRING, "" }, { "on", OPT_BOOL, "" }, { "count", OPT_NUMBER, "" }, { "size", OPT_SIZE, "" }, { NULL, OPT_STRING, NULL },
    };
    struct error e = ERROR_INIT;
    struct opts o;
    uint64_t n;
    bool b;

    for (unsigned k = 0; k < 3; k++) {
        error_clear(&e);
        if (opts_parse(&o, s, k ? "name" : NULL, k == 2 ? desc : NULL, &e)) {
            if (!e.set) abort();
        } else {
            opts_bool(&o, "on", true);
            opts_number(&o, "count", 1);
            opts_size(&o, "size", 1);
            opts_set(&o, "name", s);
            if (strcmp(opts_get(&o, "name"), s)) abort();
        }
        opts_free(&o);
    }
    error_clear(&e);
    opt_parse_bool("x", s, &b, &e);
    error_clear(&e);
    opt_parse_number("x", s, 1000, &n, &e);
    error_clear(&e);
    opt_parse_size("x", s, 1 << 20, &n, &e);
    error_clear(&e);
    opt_is_id(s);
}

/* -D opens a file for writing, two others print a warning each time. -daemonize and the like only take effect later. */
static bool left_out(const char *word)
{
    static const char *const names[] = { "D", "startdate", "localtime" };
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) if (!strcmp(word, names[i])) return true;
    return false;
}

static const struct option_desc *option(uint8_t k)
{
    const struct option_desc *o = &system_options[k % system_option_count];
    return o->name && !left_out(o->name) ? o : NULL;
}

static void command_line(char *text, size_t size)
{
    static const char *const targets[] = { "mips", "mipsel", "mips64", "mips64el" };
    char *argv[MAX_WORDS + 1] = { (char *)"quern" }, *names[MAX_WORDS] = { NULL };
    int argc = 1;
    unsigned n_names = 0;
    bool be = false;
    const char *target = targets[text[0] & 3];
    struct sysopts s;
    struct error e = ERROR_INIT;

    for (char *p = text + 1, *end = text + size; p < end && argc < MAX_WORDS; p += strlen(p) + 1) {
        const struct option_desc *o = p[0] == '@' && p[1] ? option((uint8_t)p[1]) : NULL;
        if (o) argv[argc++] = names[n_names++] = mem_printf("-%s", o->name);
        else if (p[0] != '-' || !left_out(p + (p[1] == '-' ? 2 : 1))) argv[argc++] = p;
    }
    argv[argc] = NULL;
    sysopts_init(&s, target, isa_find_target(target, &be), be);
    int rc = sysopts_parse(&s, argc, argv, &e);
    if (!rc) rc = sysopts_resolve(&s, &e);
    if (rc < 0 && (!e.set || !e.msg[0])) abort();
    sysopts_free(&s);
    error_clear(&e);
    for (unsigned i = 0; i < n_names; i++) mem_free(names[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    if (!ready) {
        /* Help texts go nowhere. Findings are told on standard error. */
        int fd = open("/dev/null", O_WRONLY);
        if (fd < 0 || !freopen("/dev/null", "w", stdout)) abort();
        close(fd);
        periph_register_all();
        ready = true;
    }
    if (!size) return 0;
    char *text = malloc(size + 1);
    if (!text) return 0;
    memcpy(text, data, size);
    text[size] = 0;
    for (size_t i = 1; i < size; i++) if (text[i] == '\n') text[i] = 0;
    if (size > 1) strings(text + 1);
    command_line(text, size);
    free(text);
    return 0;
}

size_t fuzz_seed(unsigned n, uint8_t *buf, size_t room)
{
    static const char *const seeds[] = {
        "0-M\nmalta\n-m\n256M\n-kernel\nvmlinux\n-append\nconsole=ttyS0 root=/dev/sda\n-nographic",
        "1-drive\nfile=a.img,,b,if=ide,index=1,media=disk,format=raw,snapshot=on,id=d0\n-hda\nx",
        "2-smp\ncpus=4,cores=2,threads=1,sockets=2\n-cpu\n5KEf\n-accel\ninterp,mode=ref",
        "3-global\npcnet.mac=52:54:00:12:34:56\n-device\npcnet,id=n0\n-nic\nnone\n-rtc\nbase=2020-01-01T00:00:00,clock=vm",
        "0-chardev\nsocket,id=c0,host=localhost,port=1234,server=on,wait=off\n-serial\nchardev:c0\n-mon\nchardev=c0,mode=readline",
        "1-icount\nshift=3,sleep=off\n-uuid\n01234567-89ab-cdef-0123-456789abcdef\n-name\nguest,process=p\n-seed\n1\n-m\nsize=1.5G,slots=0",
        "2-d\nin_asm,int\n-dfilter\n0x1000..0x2000,0x8000+0x100\n-echr\n0x14\n-monitor\nnull\n-gdb\ntcp::1234\n-S\n-s",
        "3-startdate\n2006-06-17T16:01:21\n-localtime\n-boot\norder=c\n-L\n/usr\n-bios\nx\n-pflash\ny\n-cdrom\nz\n-vga\nnone\n-display\nnone",
    };
    if (n < ARRAY_LEN(seeds)) {
        size_t len = MIN(strlen(seeds[n]), room);
        memcpy(buf, seeds[n], len);
        return len;
    }
    /* Each option of the table, with its own argument text. */
    unsigned k = n - ARRAY_LEN(seeds);
    if (k >= MIN(system_option_count, 256u)) return 0;
    const char *args = system_options[k].args;
    return (size_t)snprintf((char *)buf, MIN(room, 200), "0@%c\n%s", k ? (char)k : 'M', args ? args : "x") % MIN(room, 200);
}
