/*
 * fuzz-vvfat.c - fuzz target: what guests write to a directory shown as a FAT disk (fat:rw:DIR). An input is a recipe:
 * a kind of disk, changes to its boot sector, FAT, directories and data, flushes between them.
 *
 * Nothing may crash or hang; nothing outside the directory may change; the directory can be shown again afterwards, or
 * is refused with a message. FUZZ_BLOCK has no meaning here.
 */
#include "tests/fuzz/fuzz.h"

#include "blockfmt/imgutil.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static void die(const char *what, const char *why)
{
    fprintf(stderr, "fuzz-vvfat: %s: %s\n", what, why);
    abort();
}

static void remove_tree(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *x;

    while (d && (x = readdir(d))) {
        if (!strcmp(x->d_name, ".") || !strcmp(x->d_name, "..")) continue;
        char *p = mem_printf("%s/%s", path, x->d_name);
        struct stat st;
        if (!lstat(p, &st) && S_ISDIR(st.st_mode)) remove_tree(p);
        else unlink(p);
        mem_free(p);
    }
    if (d) closedir(d);
    rmdir(path);
}

static void clean_up(void)
{
    (void)!chdir("/");
    remove_tree(dir);
}

static void put(const char *path, size_t n)
{
    FILE *f = fopen(path, "w");

    if (!f) die("cannot write", path);
    for (size_t i = 0; i < n; i++) putc((int)(i * 7 + i / 256), f);
    fclose(f);
}

/* What lies outside: one file and nothing else. */
static void fill(void)
{
    if (mkdir("d", 0755) || mkdir("d/sub", 0755) || mkdir("d/sub/deep", 0755) || mkdir("d/e", 0755)) die("cannot make", "d");
    put("d/a.txt", 10), put("d/b.bin", 9000), put("d/sub/A long name of a file.text", 5000), put("d/sub/deep/C", 3), put("d/empty", 0);
    if (symlink("../outside", "d/link")) die("cannot make", "d/link");
}

static void check_outside(void)
{
    unsigned n = 0;
    struct stat st;
    DIR *d = opendir(".");
    struct dirent *x;

    while (d && (x = readdir(d))) n++;
    if (d) closedir(d);
    if (n != 4 || stat("outside", &st) || st.st_size != 100) die("something was changed outside", dir);
}

static void damage(uint8_t *p, size_t n, struct fuzz_bytes *f)
{
    static const uint8_t edge[] = {0, 1, 2, 3, 5, 0x0f, 0x10, 0x20, '.', '/', 0xe5, 0xf8, 0xff, 0x40, 0x41, '~'};
    size_t at = fuzz_u16(f) % n, len = 1 + fuzz_pick(f, 4);

    if (fuzz_pick(f, 2)) at = fuzz_pick(f, 16) * 32 % n + fuzz_pick(f, 32) % n; /* a field of an entry */
    for (size_t i = at; i < n && i < at + len; i++) p[i] = fuzz_pick(f, 3) ? edge[fuzz_pick(f, sizeof edge)] : fuzz_u8(f);
}

/* The directories first made lie in the root's sectors and in the first clusters. */
static uint64_t place(unsigned bits, bool floppy, uint64_t size, struct fuzz_bytes *f, const uint8_t *boot)
{
    uint64_t start = floppy ? 0 : 63, reserved = ld16_le(boot + 14);
    uint64_t fat = bits == 32 ? ld32_le(boot + 36) : ld16_le(boot + 22), root = start + reserved + 2 * fat;

    switch (fuzz_pick(f, 8)) {
    case 0: return start;
    case 1:
    case 2: return start + reserved;
    case 3: return start + reserved + fuzz_u16(f) % (2 * fat + 1);
    case 4:
    case 5: return root + fuzz_pick(f, 4);
    case 6: return root + fuzz_pick(f, 200);
    default: return ((uint64_t)fuzz_u32(f)) % (size / 512);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = {"fat:floppy:12:rw:d", "fat:floppy:rw:d", "fat:12:rw:d", "fat:16:rw:d", "fat:32:rw:d"};
    struct fuzz_bytes f = fuzz_bytes(data, size);
    struct error e = ERROR_INIT;
    struct blk_backend *b;
    uint8_t *buf = mem_zalloc(65536), boot[512];
    unsigned type, bits, ops;
    bool floppy;

    if (!dir[0]) {
        const char *tmp = getenv("TMPDIR");
        snprintf(dir, sizeof dir, "%.40s/fuzz-vvfat.XXXXXX", tmp && *tmp ? tmp : "/tmp");
        if (!mkdtemp(dir) || chdir(dir)) die("cannot make", dir);
        atexit(clean_up);
        put("outside", 100);
    }
    fill();
    type = fuzz_pick(&f, ARRAY_LEN(types)), floppy = type < 2, bits = type == 3 ? 16 : type == 4 ? 32 : 12;
    b = blk_open(types[type], "raw", 0, &e);
    if (!b) die(types[type], e.msg);
    if (blk_read(b, floppy ? 0 : 63 * 512, boot, 512)) die(types[type], "read");
    ops = 1 + fuzz_pick(&f, 12);
    for (unsigned i = 0; i < ops; i++) {
        uint64_t at = place(bits, floppy, blk_size(b), &f, boot), from;
        switch (fuzz_pick(&f, 8)) {
        case 0: (void)blk_flush(b); break;
        case 1: /* one piece over another: names, chains, contents go elsewhere */
            from = place(bits, floppy, blk_size(b), &f, boot);
            if (!blk_read(b, from * 512, buf, 4096)) {
                size_t a = fuzz_pick(&f, 16) * 32, c = fuzz_pick(&f, 16) * 32, n = 32 * (1 + fuzz_pick(&f, 4));
                uint8_t *q = buf + 8192;
                if (!blk_read(b, at * 512, q, 4096)) memcpy(q + c, buf + a, n), (void)blk_write(b, at * 512, q, 4096);
            }
            break;
        case 2: (void)blk_write(b, at * 512, buf, 512u << fuzz_pick(&f, 7)); break;
        default:
            if (blk_read(b, at * 512, buf, 512)) break;
            for (unsigned k = 1 + fuzz_pick(&f, 3); k; k--) damage(buf, 512, &f);
            (void)blk_write(b, at * 512, buf, 512);
            break;
        }
    }
    blk_close(b);
    check_outside();
    error_clear(&e);
    b = blk_open("fat:32:d", "raw", BLK_RDONLY, &e);
    if (b) (void)blk_read(b, 1 << 20, buf, 65536);
    else if (!e.msg[0]) die("refused without a word", "");
    blk_close(b);
    remove_tree("d");
    mem_free(buf);
    return 0;
}

size_t fuzz_seed(unsigned n, uint8_t *buf, size_t room)
{
    if (n >= 10 || room < 64) return 0;
    buf[0] = (uint8_t)(n / 2);
    for (unsigned i = 1; i < 64; i++) buf[i] = (uint8_t)(i * 29 + n * 13);
    return 64;
}
