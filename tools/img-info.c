/*
 * img-info.c - quern-img info and check.
 */
#include "tools/img.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

/* ---- info ----------------------------------------------------------------------------------------- */

void img_print_snapshots(const struct blk_snapshot *v, int n)
{
    printf("Snapshot list:\n%-10s%-17s%8s%20s%13s%11s\n", "ID", "TAG", "VM SIZE", "DATE", "VM CLOCK", "ICOUNT");
    for (int i = 0; i < n; i++) {
        char size[32], date[32] = "", clock[48], icount[24] = "";
        time_t t = (time_t)v[i].date_sec;
        struct tm tm;
        uint64_t ms = v[i].vm_clock_ns / 1000000;
        if (localtime_r(&t, &tm)) strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", &tm);
        snprintf(clock, sizeof clock, "%02llu:%02u:%02u.%03u", (unsigned long long)(ms / 3600000),
                 (unsigned)(ms / 60000 % 60), (unsigned)(ms / 1000 % 60), (unsigned)(ms % 1000));
        if (v[i].icount != UINT64_MAX) snprintf(icount, sizeof icount, "%llu", (unsigned long long)v[i].icount);
        printf("%-9s %-16s %8s%20s%13s%11s\n", v[i].id, v[i].name, img_size_text(v[i].vm_state_size, size, sizeof size),
               date, clock, icount);
    }
}

static void snapshots_json(struct json_out *j, const struct blk_snapshot *v, int n)
{
    jout_array(j, "snapshots");
    for (int i = 0; i < n; i++) {
        jout_object(j, NULL);
        if (v[i].icount != UINT64_MAX) jout_uint(j, "icount", v[i].icount);
        jout_uint(j, "vm-clock-nsec", v[i].vm_clock_ns % 1000000000);
        jout_string(j, "name", v[i].name);
        jout_uint(j, "date-sec", v[i].date_sec);
        jout_uint(j, "date-nsec", v[i].date_nsec);
        jout_uint(j, "vm-clock-sec", v[i].vm_clock_ns / 1000000000);
        jout_string(j, "id", v[i].id);
        jout_uint(j, "vm-state-size", v[i].vm_state_size);
        jout_end(j, '}');
    }
    jout_end(j, ']');
}

static void info_human(struct blk_node *n, const char *filename, const struct blk_info *i)
{
    const char *backing = blk_node_backing_file(n);
    struct blk_snapshot *list = NULL;
    char a[32];
    int count;

    printf("image: %s\nfile format: %s\n", filename, blk_node_driver(n));
    printf("virtual size: %s (%llu bytes)\n", img_size_text(blk_node_size(n), a, sizeof a),
           (unsigned long long)blk_node_size(n));
    printf("disk size: %s\n", i->allocated == UINT64_MAX ? "unavailable" : img_size_text(i->allocated, a, sizeof a));
    if (i->encrypted) printf("encrypted: yes\n");
    if (i->cluster_size) printf("cluster_size: %u\n", i->cluster_size);
    if (i->dirty) printf("cleanly shut down: no\n");
    if (*backing) {
        char *full = blk_path_combine(filename, backing);
        printf("backing file: %s", backing);
        if (strcmp(full, backing)) printf(" (actual path: %s)", full);
        printf("\n");
        mem_free(full);
        if (*blk_node_backing_format(n)) printf("backing file format: %s\n", blk_node_backing_format(n));
    }
    count = blk_snapshot_list(n, &list, NULL);
    if (count > 0) img_print_snapshots(list, count);
    mem_free(list);
    img_print_specific(n);
}

static void info_json(struct json_out *j, struct blk_node *n, const char *filename, const struct blk_info *i)
{
    const char *backing = blk_node_backing_file(n);
    struct blk_snapshot *list = NULL;
    int count = blk_snapshot_list(n, &list, NULL);

    jout_object(j, NULL);
    if (count > 0) snapshots_json(j, list, count);
    mem_free(list);
    if (*backing && *blk_node_backing_format(n)) jout_string(j, "backing-filename-format", blk_node_backing_format(n));
    jout_uint(j, "virtual-size", blk_node_size(n));
    jout_string(j, "filename", filename);
    if (i->cluster_size) jout_uint(j, "cluster-size", i->cluster_size);
    jout_string(j, "format", blk_node_driver(n));
    if (i->allocated != UINT64_MAX) jout_uint(j, "actual-size", i->allocated);
    if (i->encrypted) jout_bool(j, "encrypted", true);
    if (i->compressed) jout_bool(j, "compressed", true);
    struct json_out probe;
    jout_init(&probe);
    if (blk_node_info_specific(n, &probe)) {
        jout_object(j, "format-specific");
        blk_node_info_specific(n, j);
        jout_end(j, '}');
    }
    jout_free(&probe);
    if (*backing) {
        char *full = blk_path_combine(filename, backing);
        jout_string(j, "full-backing-filename", full);
        jout_string(j, "backing-filename", backing);
        mem_free(full);
    }
    jout_bool(j, "dirty-flag", i->dirty);
    jout_end(j, '}');
}

enum { LONG_CHAIN = IMG_OWN };

int img_info(struct blk_graph *g, int argc, char **argv)
{
    static const struct option longs[] = {IMG_LONGS, IMG_LONG_OUTPUT, IMG_LONG_SHARE,
                                          {"format", required_argument, NULL, 'f'},
                                          {"backing-chain", no_argument, NULL, LONG_CHAIN},
                                          IMG_LONGS_END};
    struct img_args a = {0};
    bool chain = false, first = true;
    struct json_out j;
    char *name, *format;
    int c, rc = 0, n_images = 0;

    while ((c = img_getopt(g, &a, argc, argv, ":hf:U", longs)) >= 0) {
        if (c == LONG_CHAIN) chain = true;
    }
    if (c == IMG_STOP) return a.status;
    if (argc - optind != 1) return img_usage("Expecting one image file name");
    jout_init(&j);
    if (chain) jout_array(&j, NULL);
    name = mem_strdup(argv[optind]);
    format = a.format ? mem_strdup(a.format) : NULL;
    while (name && !rc) {
        struct blk_backend *b;
        struct blk_info i;
        const char *backing;
        char *next = NULL;

        if (++n_images > 256) {
            error_report("Backing file '%s' creates an infinite loop.", name);
            rc = 1;
            break;
        }
        b = img_open(g, name, &a, format, NULL, BLK_RDONLY | BLK_NO_BACKING | BLK_NO_IO | BLK_CHECK);
        if (!b) {
            rc = 1;
            break;
        }
        struct blk_node *n = blk_root(b);
        const char *shown = a.image_opts || !strncmp(name, "json:", 5) ? blk_node_filename(n) : name;
        (void)blk_node_info(n, &i);
        if (a.json) info_json(&j, n, shown, &i);
        else {
            if (!first) printf("\n");
            info_human(n, shown, &i);
        }
        first = false;
        backing = blk_node_backing_file(n);
        mem_free(format);
        format = NULL;
        if (chain && *backing) {
            next = blk_path_combine(shown, backing);
            if (*blk_node_backing_format(n)) format = mem_strdup(blk_node_backing_format(n));
        }
        blk_close(b);
        mem_free(name);
        name = next;
        a.image_opts = false;
    }
    if (chain) jout_end(&j, ']');
    if (a.json && !rc) printf("%s\n", j.text);
    jout_free(&j);
    mem_free(name);
    mem_free(format);
    return rc;
}

/* ---- check ---------------------------------------------------------------------------------------- */

static void detail(void *opaque, const char *line)
{
    if (!*(bool *)opaque) fprintf(stderr, "%s\n", line);
}

static void check_human(const struct blk_check *c)
{
    if (!c->corruptions && !c->leaks && !c->check_errors) {
        printf("No errors were found on the image.\n");
    } else {
        if (c->corruptions)
            printf("\n%llu errors were found on the image.\nData may be corrupted, or further writes to the image may corrupt it.\n",
                   (unsigned long long)c->corruptions);
        if (c->leaks)
            printf("\n%llu leaked clusters were found on the image.\nThis means waste of disk space, but no harm to data.\n",
                   (unsigned long long)c->leaks);
        if (c->check_errors)
            printf("\n%llu internal errors have occurred during the check.\n", (unsigned long long)c->check_errors);
    }
    if (c->total_clusters && c->allocated_clusters)
        printf("%llu/%llu = %0.2f%% allocated, %0.2f%% fragmented, %0.2f%% compressed clusters\n",
               (unsigned long long)c->allocated_clusters, (unsigned long long)c->total_clusters,
               (double)c->allocated_clusters * 100 / (double)c->total_clusters,
               (double)c->fragmented_clusters * 100 / (double)c->allocated_clusters,
               (double)c->compressed_clusters * 100 / (double)c->allocated_clusters);
    if (c->image_end_offset) printf("Image end offset: %llu\n", (unsigned long long)c->image_end_offset);
}

static void check_json(const struct blk_check *c, const char *filename, const char *format)
{
    struct json_out j;

    jout_init(&j);
    jout_object(&j, NULL);
    if (c->image_end_offset) jout_uint(&j, "image-end-offset", c->image_end_offset);
    if (c->total_clusters) jout_uint(&j, "total-clusters", c->total_clusters);
    jout_uint(&j, "check-errors", c->check_errors);
    if (c->corruptions) jout_uint(&j, "corruptions", c->corruptions);
    if (c->leaks) jout_uint(&j, "leaks", c->leaks);
    if (c->corruptions_fixed) jout_uint(&j, "corruptions-fixed", c->corruptions_fixed);
    if (c->leaks_fixed) jout_uint(&j, "leaks-fixed", c->leaks_fixed);
    if (c->allocated_clusters) jout_uint(&j, "allocated-clusters", c->allocated_clusters);
    if (c->fragmented_clusters) jout_uint(&j, "fragmented-clusters", c->fragmented_clusters);
    if (c->compressed_clusters) jout_uint(&j, "compressed-clusters", c->compressed_clusters);
    jout_string(&j, "filename", filename);
    jout_string(&j, "format", format);
    jout_end(&j, '}');
    printf("%s\n", j.text);
    jout_free(&j);
}

int img_check(struct blk_graph *g, int argc, char **argv)
{
    static const struct option longs[] = {IMG_LONGS, IMG_LONG_OUTPUT, IMG_LONG_SHARE,
                                          {"format", required_argument, NULL, 'f'},
                                          {"repair", required_argument, NULL, 'r'},
                                          IMG_LONGS_END};
    struct img_args a = {0};
    struct error e = ERROR_INIT;
    unsigned fix = 0, cache_flags = 0;
    bool silent;
    int c, rc;

    while ((c = img_getopt(g, &a, argc, argv, ":hf:r:T:qU", longs)) >= 0) {
        if (c != 'r') continue;
        if (!strcmp(optarg, "leaks")) fix = BLK_FIX_LEAKS;
        else if (!strcmp(optarg, "all")) fix = BLK_FIX_LEAKS | BLK_FIX_ERRORS;
        else return img_usage("Unknown option value for -r (expecting 'leaks' or 'all'): %s", optarg);
    }
    if (c == IMG_STOP) return a.status;
    if (a.src_cache && blk_parse_cache(a.src_cache, &cache_flags))
        return error_report("Invalid source cache option: %s", a.src_cache), 1;
    if (argc - optind != 1) return img_usage("Expecting one image file name");
    struct blk_backend *b = img_open(g, argv[optind], &a, a.format, a.src_cache,
                                     BLK_CHECK | BLK_NO_BACKING | (fix ? 0 : BLK_RDONLY));
    if (!b) return 1;
    silent = a.quiet || a.json;
    struct blk_check k = {.message = detail, .opaque = &silent};
    rc = blk_check(b, fix, &k, &e);
    if (rc == -ENOTSUP) {
        error_report("This image format does not support checks");
        blk_close(b);
        return 63;
    }
    if (!rc && fix && (k.corruptions_fixed || k.leaks_fixed)) {
        uint64_t leaks_fixed = k.leaks_fixed, corruptions_fixed = k.corruptions_fixed;
        if (!a.quiet && !a.json)
            printf("The following inconsistencies were found and repaired:\n\n"
                   "    %llu leaked clusters\n    %llu corruptions\n\nDouble checking the fixed image now...\n",
                   (unsigned long long)leaks_fixed, (unsigned long long)corruptions_fixed);
        k = (struct blk_check){.message = detail, .opaque = &silent};
        rc = blk_check(b, 0, &k, &e);
        k.leaks_fixed = leaks_fixed, k.corruptions_fixed = corruptions_fixed;
    }
    if (!a.quiet) {
        if (a.json) check_json(&k, argv[optind], blk_node_driver(blk_root(b)));
        else check_human(&k);
    }
    if (rc || k.check_errors) {
        if (e.set) error_print(&e);
        rc = 1;
    } else {
        rc = k.corruptions ? 2 : k.leaks ? 3 : 0;
    }
    blk_close(b);
    return rc;
}
