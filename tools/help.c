/*
 * help.c - texts derived from the option table: -h, the manual page, the version.
 */
#include "tools/system.h"

#include <stdio.h>

void print_version(void)
{
    printf("Quern emulator version %s\n", PACKAGE_VERSION);
    printf("Copyright (c) 2026 the Quern authors; MIT licence\n");
}

void print_usage(void)
{
    printf("usage: quern-system-TARGET [options] [disk_image]\n"
           "       quern-TARGET [options] program [arguments]\n"
           "       quern --target=system-TARGET|TARGET ...   the same by one name\n"
           "       quern --version | --help\n"
           "targets:");
    for (unsigned i = 0; i < isa_count; i++) {
        for (const struct isa_target *t = isa_list[i]->targets; t->suffix; t++) printf(" %s", t->suffix);
    }
    printf("\n'quern-system-TARGET -h' and 'quern-TARGET -h' list their options.\n");
}

/* Prints text in lines of at most `width` columns, those after the first indented. */
static void wrap(const char *text, unsigned indent, unsigned width, unsigned col)
{
    while (*text) {
        size_t n = strcspn(text, " ");
        if (col + n + 1 > width && col > indent) {
            printf("\n%*s", (int)indent, "");
            col = indent;
        } else if (col > indent) {
            putchar(' ');
            col++;
        }
        printf("%.*s", (int)n, text);
        col += (unsigned)n;
        text += n;
        while (*text == ' ') text++;
    }
    putchar('\n');
}

void print_options(void)
{
    print_version();
    printf("usage: %s [options] [disk_image]\n", error_progname());
    printf("disk_image is a raw image for IDE disk 0\n");
    for (unsigned i = 0; i < system_option_count; i++) {
        const struct option_desc *o = &system_options[i];
        unsigned col;

        if (o->section) {
            printf("\n%s:\n", o->section);
            continue;
        }
        if (!o->help[0]) continue;
        col = (unsigned)printf("  -%s%s%s", o->name, o->args[0] ? " " : "", o->args);
        if (col < 23) printf("%*s", (int)(24 - col), "");
        else printf("\n%24s", "");
        wrap(o->fn ? o->help : "(not supported yet)", 24, 96, 24);
    }
}

/* Text for troff: hyphens that are typed, and backslashes, escaped. */
static void roff(const char *s)
{
    for (; *s; s++) {
        if (*s == '-' || *s == '\\') putchar('\\');
        putchar(*s);
    }
}

static const char man_head[] =
    ".\\\" Made by `quern --man` from tools/options.def and tools/help.c: edit those.\n"
    ".TH QUERN 1 \"\" \"quern " PACKAGE_VERSION "\"\n"
    ".SH NAME\n"
    "quern \\- portable machine emulator\n"
    ".SH SYNOPSIS\n"
    ".B quern\\-system\\-\\fITARGET\\fP\n[options] [disk_image]\n.br\n"
    ".B quern\\-\\fITARGET\\fP\n[options] program [arguments]\n.br\n"
    ".B quern \\-\\-target=\\fR[\\fPsystem\\-\\fR]\\fP\\fITARGET\\fP\n\\&...\n"
    ".SH DESCRIPTION\n"
    "Quern runs a whole machine, or a single Linux program, of another kind of computer. One program does all: "
    "it is told by the name it is called by, or by\n.B \\-\\-target\nas the first argument, what to be.\n"
    ".B quern \\-\\-help\nlists the targets. This page describes the system emulator; "
    "each user-mode emulator lists its options with\n.BR \\-h .\n"
    ".SH \"OPTION SYNTAX\"\n"
    "One dash and two are the same. Lists are\n.IR key = value\nitems with commas between; a comma within a value is "
    "written twice. The key of the first item may be left out where it is shown in brackets. A key alone means "
    ".IR key =on,\n.RI no key\nmeans\n.IR key =off.\nNumbers are decimal, hexadecimal after 0x, octal after 0. Sizes take "
    "a suffix B, K, M, G, T, P, E and a fraction (1.5G). Identifiers start with a letter; letters, digits, "
    "\\(oq\\-\\(cq, \\(oq.\\(cq and \\(oq_\\(cq follow.\n";

static const char man_tail[] =
    ".SH \"CHARACTER DEVICES\"\n"
    "Where an option takes\n.IR DEV ,\nit is one of:\n"
    ".TP\n.B none\nnot connected\n"
    ".TP\n.B null\ntakes everything, gives nothing\n"
    ".TP\n.B stdio\nstandard input and output\n"
    ".TP\n.B pty\na new pseudo terminal, whose name is printed\n"
    ".TP\n.BI file: PATH\noutput to a file\n"
    ".TP\n.BI pipe: PATH\nthe named pipes\n.IR PATH .in\nand\n.IR PATH .out\n"
    ".TP\n.BI /dev/ TTY\na serial port of the host\n"
    ".TP\n.BR tcp: [\\fIHOST\\fP]:\\fIPORT\\fP[,server][,nowait][,nodelay][,reconnect=\\fIS\\fP]\n"
    "TCP; a server waits for its first connection before the guest starts, unless nowait is given\n"
    ".TP\n.BR telnet: \\fIHOST\\fP:\\fIPORT\\fP[,...]\nthe same, speaking the telnet protocol\n"
    ".TP\n.BR unix: \\fIPATH\\fP[,server][,nowait][,reconnect=\\fIS\\fP]\na Unix-domain socket\n"
    ".TP\n.BR udp: [\\fIHOST\\fP]:\\fIPORT\\fP[@[\\fIADDR\\fP]:\\fIPORT\\fP]\nUDP datagrams\n"
    ".TP\n.BI chardev: ID\na backend made by \\-chardev\n"
    ".TP\n.BI mon: DEV\nthe device and a monitor share DEV; Ctrl\\-A c switches between them\n"
    ".SH KEYS\n"
    "On a shared device, Ctrl\\-A (or what \\-echr says) and then:\n"
    ".TP\n.B h\nhelp\n.TP\n.B x\nend the emulator\n.TP\n.B c\nswitch between console and monitor\n"
    ".TP\n.B b\nsend a break\n.TP\n.B t\ntoggle time stamps\n.TP\n.B s\nwrite \\-snapshot data back\n"
    ".TP\n.B Ctrl\\-A\nsend the character itself\n"
    ".SH \"EXIT STATUS\"\n"
    "0 when the guest powered off or the emulator was told to end, also by SIGTERM, SIGINT or SIGHUP; 1 when an option or the "
    "machine's making failed.\n"
    ".SH EXAMPLES\n"
    "Boot a Linux kernel with its initial ram disk, console on the terminal:\n.PP\n.nf\n"
    "quern\\-system\\-mipsel \\-M malta \\-m 256 \\-nographic \\-kernel vmlinuz \\-initrd initrd.gz \\e\n"
    "    \\-append \\(dqconsole=ttyS0\\(dq\n.fi\n";

void print_man(void)
{
    fputs(man_head, stdout);
    for (unsigned i = 0; i < system_option_count; i++) {
        const struct option_desc *o = &system_options[i];

        if (o->section) {
            printf(".SH \"");
            for (const char *p = o->section; *p; p++) putchar(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
            printf("\"\n");
            continue;
        }
        if (!o->help[0]) continue;
        printf(".TP\n\\fB\\-");
        roff(o->name);
        printf("\\fP");
        if (o->args[0]) printf(" "), roff(o->args);
        putchar('\n');
        roff(o->help);
        printf("%s\n", o->fn ? "" : " (not supported yet)");
    }
    fputs(man_tail, stdout);
}
