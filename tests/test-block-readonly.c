/*
 * test-block-readonly.c - bochs, cloop and dmg images: their contents, and what is refused. With a directory as argument
 * the images are left there, for other programs to read.
 */
#include "blockfmt/block.h"
#include "tests/block-samples.h"
#include "tests/count.h"

#include <stdlib.h>
#include <unistd.h>

static char *dir;

static void put(const char *name, const uint8_t *p, size_t n)
{
    char *path = mem_printf("%s/%s", dir, name);
    FILE *f = fopen(path, "wb");

    CHECK(f && fwrite(p, 1, n, f) == n);
    if (f) fclose(f);
    mem_free(path);
}

static struct blk_backend *open_image(const char *name, const char *format, struct error *e)
{
    char *path = mem_printf("%s/%s", dir, name);
    struct blk_backend *b = blk_open(path, format, BLK_RDONLY, e);
    mem_free(path);
    return b;
}

static void test_contents(const char *sample, const char *file, const char *format)
{
    uint8_t *disk = mem_alloc(SAMPLE_SIZE), *got = mem_alloc(SAMPLE_SIZE), *image;
    struct error e = ERROR_INIT;
    size_t n = sample_image(sample, &image);
    struct blk_backend *b;

    sample_disk(disk);
    if (n) {
        put(file, image, n);
        b = open_image(file, NULL, &e);
        CHECK(b && !strcmp(blk_node_driver(blk_root(b)), format) && blk_size(b) == SAMPLE_SIZE);
        if (!b) printf("%s: %s\n", sample, e.msg);
        CHECK(b && !blk_read(b, 0, got, SAMPLE_SIZE) && !memcmp(got, disk, SAMPLE_SIZE));
        CHECK(b && !blk_read(b, 39000, got, 123456) && !memcmp(got, disk + 39000, 123456));
        CHECK(b && !blk_read(b, SAMPLE_SIZE - 1, got, 1) && got[0] == disk[SAMPLE_SIZE - 1]);
        blk_close(b);
        char *path = mem_printf("%s/%s", dir, file);
        CHECK(!blk_open(path, format, 0, NULL)); /* for writing */
        mem_free(path);
        /* Cut short anywhere: an error, or an error when what is missing is read. */
        for (size_t cut = 0; cut < n; cut += 509) {
            put("cut.dmg", image, cut);
            b = open_image("cut.dmg", format, NULL);
            if (b && blk_size(b) >= SAMPLE_SIZE) (void)blk_read(b, 0, got, SAMPLE_SIZE);
            blk_close(b);
        }
    }
    mem_free(image);
    mem_free(disk);
    mem_free(got);
}

static void refuse(uint8_t *image, size_t n, size_t at, uint32_t value, const char *format, const char *text)
{
    struct error e = ERROR_INIT;
    uint8_t was[4];

    memcpy(was, image + at, 4);
    st32_be(image + at, value);
    put("bad.img", image, n);
    memcpy(image + at, was, 4);
    struct blk_backend *b = open_image("bad.img", format, &e);
    CHECK(!b && e.set && strstr(e.msg, text));
    if (!b && !strstr(e.msg, text)) printf("%s, not %s\n", e.msg, text);
    blk_close(b);
}

static void test_refusals(void)
{
    uint8_t *image;
    size_t n = sample_image("dmg-fork", &image);

    if (n) {
        for (size_t at = 0; at + 204 + 44 < n; at++) {
            if (memcmp(image + at, "mish", 4)) continue;
            refuse(image, n, at + 204 + 40, 0x80000007u, "dmg", "LZFSE");
            refuse(image, n, at + 204 + 40, 0x80000099u, "dmg", "unknown type");
            refuse(image, n, at + 204 + 24, 0x7fffffffu, "dmg", "beyond the end");
            refuse(image, n, at + 200, 0x10000000u, "dmg", "too short for its entries");
            break;
        }
        refuse(image, n, n - 512, 0, "dmg", "trailer");
        mem_free(image);
    }
    n = sample_image("cloop", &image);
    if (n) {
        refuse(image, n, 128, 100, "cloop", "multiple of 512");
        refuse(image, n, 132, 0x100000, "cloop", "beyond the end");
        refuse(image, n, 136, 0x7fffffff, "cloop", "monotonically");
        mem_free(image);
    }
    n = sample_image("bochs", &image);
    refuse(image, n, 64, 0, "bochs", "not in Bochs format");
    refuse(image, n, 72, 0xffffffff, "bochs", "Catalog size");
    refuse(image, n, 80, 0x01800000, "bochs", "Extent size");
    mem_free(image);
}

int main(int argc, char **argv)
{
    char name[] = "/tmp/test-block-readonly.XXXXXX";

    dir = argc > 1 ? argv[1] : mkdtemp(name);
    if (!dir) return 1;
    test_contents("bochs", "a.bochs", "bochs");
    test_contents("bochs1", "b.bochs", "bochs");
    test_contents("cloop", "c.cloop", "cloop");
    test_contents("dmg", "d.dmg", "dmg");
    test_contents("dmg-fork", "e.dmg", "dmg");
    test_refusals();
    if (argc < 2) {
        static const char *const files[] = {"a.bochs", "b.bochs", "c.cloop", "d.dmg", "e.dmg", "cut.dmg", "bad.img"};
        for (size_t i = 0; i < ARRAY_LEN(files); i++) {
            char *path = mem_printf("%s/%s", dir, files[i]);
            unlink(path);
            mem_free(path);
        }
        rmdir(dir);
    }
    return count_report();
}
