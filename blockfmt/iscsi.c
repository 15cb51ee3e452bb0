/*
 * iscsi.c - protocol "iscsi": a logical unit of an iSCSI target, by libiscsi. The one file that knows that library.
 * Follows SCSI block commands (SBC-3): READ CAPACITY (16), READ (16), WRITE (16), WRITE SAME (16), UNMAP, SYNCHRONIZE
 * CACHE (16). A session does one thing at a time.
 */
#include "blockfmt/driver.h"
#include "blockfmt/uri.h"
#include "util/lazy.h"
#include "config.h"

/* iscsi://[user[%password]@]host[:port]/target/lun */
static int iscsi_parse(const char *filename, struct opts *o, struct error *e)
{
    const char *p = strstr(filename, "://"), *end, *at, *slash, *percent;
    char *s;

    if (!p) goto bad;
    p += 3;
    end = strchr(p, '/');
    slash = end ? strrchr(end, '/') : NULL;
    if (!end || slash == end || !slash[1]) goto bad;
    at = memchr(p, '@', (size_t)(end - p));
    if (at) { /* here % is what stands before the password */
        percent = memchr(p, '%', (size_t)(at - p));
        s = mem_printf("%.*s", (int)((percent ? percent : at) - p), p);
        opts_set(o, "user", s);
        mem_free(s);
        if (percent) {
            s = mem_printf("%.*s", (int)(at - percent - 1), percent + 1);
            opts_set(o, "password", s);
            mem_free(s);
        }
        p = at + 1;
    }
    s = mem_printf("%.*s", (int)(end - p), p);
    opts_set(o, "portal", s);
    mem_free(s);
    s = uri_unescape(end + 1, (size_t)(slash - end - 1));
    if (!s) goto bad;
    opts_set(o, "target", s);
    mem_free(s);
    opts_set(o, "lun", slash + 1);
    opts_set(o, "transport", "tcp");
    return 0;
bad:
    error_set(e, "'%s' is not of the form iscsi://[USER[%%PASSWORD]@]HOST[:PORT]/TARGET/LUN", filename);
    return -EINVAL;
}

static const struct opt_desc iscsi_opts[] = {
    {"transport", OPT_STRING, "tcp"},
    {"portal", OPT_STRING, "host[:port]"},
    {"target", OPT_STRING, "its name (iqn...)"},
    {"lun", OPT_NUMBER, "logical unit"},
    {"user", OPT_STRING, "CHAP: who"},
    {"password", OPT_STRING, "CHAP: the password, from a name"},
    {"password-secret", OPT_STRING, "CHAP: id of the secret with the password"},
    {"initiator-name", OPT_STRING, "our name (iqn.2008-11.org.linux-kvm)"},
    {"header-digest", OPT_STRING, "crc32c, none, crc32c-none, none-crc32c"},
    {"timeout", OPT_NUMBER, "seconds for an answer"},
    {NULL, OPT_STRING, NULL},
};

#ifdef HAVE_ISCSI

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

#ifdef QUERN_SO_ISCSI
#define FUNCTIONS(X) X(iscsi_create_context) X(iscsi_destroy_context) X(iscsi_full_connect_sync) \
    X(iscsi_get_error) X(iscsi_is_logged_in) X(iscsi_logout_sync) X(iscsi_modesense6_sync) \
    X(iscsi_read16_sync) X(iscsi_readcapacity16_sync) X(iscsi_set_header_digest) \
    X(iscsi_set_initiator_username_pwd) X(iscsi_set_session_type) X(iscsi_set_targetname) \
    X(iscsi_set_timeout) X(iscsi_synchronizecache16_sync) X(iscsi_unmap_sync) X(iscsi_write16_sync) \
    X(iscsi_writesame16_sync) X(scsi_datain_unmarshall) X(scsi_free_scsi_task)
LAZY_LIBRARY(FUNCTIONS, QUERN_SO_ISCSI)
#define L(f) lib.f
#define load_library(e) lazy_load(&lazy, e)
#else
#define L(f) f
#define load_library(e) 0
#endif

struct lun {
    struct iscsi_context *context;
    int lun;
    uint32_t block;
    bool unmaps, readonly, no_same;
};

static void release(struct lun *l)
{
    if (!l->context) return;
    if (L(iscsi_is_logged_in)(l->context)) L(iscsi_logout_sync)(l->context);
    L(iscsi_destroy_context)(l->context);
}

/* Takes the task. */
static int finish(struct lun *l, struct scsi_task *t)
{
    int rc = 0;

    if (!t) return -EIO;
    if (t->status != SCSI_STATUS_GOOD) {
        rc = -EIO;
        if (t->status == SCSI_STATUS_CHECK_CONDITION) {
            if (t->sense.key == SCSI_SENSE_ILLEGAL_REQUEST) rc = -EINVAL;
            /* 27/07: no space left to allocate */
            if (t->sense.key == SCSI_SENSE_DATA_PROTECTION) rc = t->sense.ascq == 0x2707 ? -ENOSPC : -EACCES;
            if (t->sense.key == SCSI_SENSE_NOT_READY) rc = -EBUSY;
        } else if (t->status == SCSI_STATUS_BUSY || t->status == SCSI_STATUS_TASK_SET_FULL) {
            rc = -EBUSY;
        }
    }
    L(scsi_free_scsi_task)(t);
    return rc;
}

static int digest(struct lun *l, const char *s, struct error *e)
{
    static const struct { const char *name; enum iscsi_header_digest d; } kinds[] = {
        {"crc32c", ISCSI_HEADER_DIGEST_CRC32C}, {"none", ISCSI_HEADER_DIGEST_NONE},
        {"crc32c-none", ISCSI_HEADER_DIGEST_CRC32C_NONE}, {"none-crc32c", ISCSI_HEADER_DIGEST_NONE_CRC32C}};

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (!strcmp(kinds[i].name, s)) return L(iscsi_set_header_digest)(l->context, kinds[i].d), 0;
    }
    return error_set(e, "Invalid header-digest setting : %s", s), -EINVAL;
}

static int chap(struct blk_node *n, struct lun *l, const struct opts *o, struct error *e)
{
    const char *user = opts_get(o, "user"), *id = opts_get(o, "password-secret"), *password = opts_get(o, "password");
    const struct blk_secret *s = id ? blk_object_find(blk_node_graph(n), "secret", id) : NULL;
    char *text;

    if (!user) {
        user = getenv("LIBISCSI_CHAP_USERNAME"), password = getenv("LIBISCSI_CHAP_PASSWORD");
        if (user && password) L(iscsi_set_initiator_username_pwd)(l->context, user, password);
        return 0;
    }
    if (id && !s) return error_set(e, "No secret with id '%s'", id), -ENOENT;
    text = s ? mem_printf("%.*s", (int)s->len, (const char *)s->data) : mem_strdup(password ? password : "");
    L(iscsi_set_initiator_username_pwd)(l->context, user, text);
    mem_free(text);
    return 0;
}

static int capacity(struct blk_node *n, struct lun *l, struct error *e)
{
    struct scsi_task *t = NULL;
    struct scsi_readcapacity16 *c;
    int rc = -EIO;

    for (int tries = 0; tries < 5; tries++) { /* the first answers may tell of resets */
        if (t) L(scsi_free_scsi_task)(t);
        t = L(iscsi_readcapacity16_sync)(l->context, l->lun);
        if (!t || t->status == SCSI_STATUS_GOOD || t->sense.key != SCSI_SENSE_UNIT_ATTENTION) break;
    }
    if (!t || t->status != SCSI_STATUS_GOOD) {
        error_set(e, "iSCSI: failed to send readcapacity16 command: %s", L(iscsi_get_error)(l->context));
    } else if (!(c = L(scsi_datain_unmarshall)(t))) {
        error_set(e, "iSCSI: failed to unmarshall readcapacity16 data");
    } else if (c->block_length < 512 || c->block_length > 65536 || (c->block_length & (c->block_length - 1)) ||
               c->returned_lba >= INT64_MAX / c->block_length) {
        error_set(e, "iSCSI: the target tells of blocks of %u bytes, the last being %llu", c->block_length,
                  (unsigned long long)c->returned_lba);
    } else {
        l->block = c->block_length, l->unmaps = c->lbpme;
        blk_set_size(n, (c->returned_lba + 1) * c->block_length);
        rc = 0;
    }
    if (t) L(scsi_free_scsi_task)(t);
    return rc;
}

static bool write_protected(struct lun *l)
{
    struct scsi_task *t =
        L(iscsi_modesense6_sync)(l->context, l->lun, 1, SCSI_MODESENSE_PC_CURRENT, SCSI_MODEPAGE_RETURN_ALL_PAGES, 0, 255);
    struct scsi_mode_sense *m = t && t->status == SCSI_STATUS_GOOD ? L(scsi_datain_unmarshall)(t) : NULL;
    bool yes = m && (m->device_specific_parameter & 0x80);

    if (t) L(scsi_free_scsi_task)(t);
    return yes;
}

static int iscsi_open(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e)
{
    struct lun *l = blk_state(n);
    const char *portal = opts_get(o, "portal"), *target = opts_get(o, "target"), *name = opts_get(o, "initiator-name"), *s;
    uint64_t number = opts_number(o, "lun", 0);
    int rc;

    if (load_library(e)) return -ENOENT;
    if (!portal || !target) return error_set(e, "Need all of transport, portal and target options"), -EINVAL;
    if ((s = opts_get(o, "transport")) && strcmp(s, "tcp")) return error_set(e, "Unsupported transport: %s", s), -ENOTSUP;
    if (number > 16383) return error_set(e, "Invalid parameter for lun"), -EINVAL;
    l->lun = (int)number;
    l->context = L(iscsi_create_context)(name ? name : "iqn.2008-11.org.linux-kvm");
    if (!l->context) return error_set(e, "iSCSI: Failed to create iSCSI context."), -ENOMEM;
    L(iscsi_set_targetname)(l->context, target);
    L(iscsi_set_session_type)(l->context, ISCSI_SESSION_NORMAL);
    L(iscsi_set_header_digest)(l->context, ISCSI_HEADER_DIGEST_NONE_CRC32C);
    L(iscsi_set_timeout)(l->context, (int)MIN(opts_number(o, "timeout", 0), UINT64_C(100000)));
    rc = chap(n, l, o, e);
    if (!rc && (s = opts_get(o, "header-digest"))) rc = digest(l, s, e);
    if (!rc && L(iscsi_full_connect_sync)(l->context, portal, l->lun)) {
        error_set(e, "iSCSI: Failed to connect to LUN : %s", L(iscsi_get_error)(l->context));
        rc = -EIO;
    }
    if (!rc) rc = capacity(n, l, e);
    if (!rc) l->readonly = write_protected(l);
    if (!rc && l->readonly && !(flags & BLK_RDONLY)) error_set(e, "LUN is write protected"), rc = -EACCES;
    if (rc) {
        release(l);
        return rc;
    }
    blk_set_limits(n, l->block, 8 << 20);
    return 0;
}

static void iscsi_close(struct blk_node *n) { release(blk_state(n)); }

static int iscsi_reopen(struct blk_node *n, unsigned flags, bool prepare, struct error *e)
{
    struct lun *l = blk_state(n);
    return !(flags & BLK_RDONLY) && l->readonly ? (error_set(e, "Cannot open a write protected LUN as read-write"), -EACCES) : 0;
}

static int iscsi_read(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    struct lun *l = blk_state(n);
    struct scsi_task *t = L(iscsi_read16_sync)(l->context, l->lun, offset / l->block, (uint32_t)len, (int)l->block, 0, 0, 0, 0, 0);

    if (t && t->status == SCSI_STATUS_GOOD) {
        if (t->datain.size < 0 || (size_t)t->datain.size < len) {
            L(scsi_free_scsi_task)(t);
            return -EIO;
        }
        memcpy(buf, t->datain.data, len);
    }
    return finish(l, t);
}

static int iscsi_write(struct blk_node *n, uint64_t offset, const void *buf, size_t len, unsigned flags)
{
    struct lun *l = blk_state(n);

    if (flags & BLK_RESIZE) return -ENOSPC;
    return finish(l, L(iscsi_write16_sync)(l->context, l->lun, offset / l->block, (unsigned char *)(uintptr_t)buf, (uint32_t)len,
                                        (int)l->block, 0, 0, 0, 0, 0));
}

static int iscsi_flush(struct blk_node *n)
{
    struct lun *l = blk_state(n);
    int rc = finish(l, L(iscsi_synchronizecache16_sync)(l->context, l->lun, 0, 0, 0, 0));
    return rc == -EINVAL ? 0 : rc; /* a target without a cache need not know the command */
}

static int iscsi_zero(struct blk_node *n, uint64_t offset, uint64_t len, unsigned flags)
{
    struct lun *l = blk_state(n);
    unsigned char *block;
    int rc = 0;

    if (flags & BLK_RESIZE) return -ENOSPC;
    if (l->no_same || (flags & BLK_NO_FALLBACK)) return -ENOTSUP;
    block = mem_zalloc(l->block);
    while (len && !rc) {
        uint64_t k = MIN(len, UINT64_C(4) << 20); /* what targets without a limit of their own take */
        rc = finish(l, L(iscsi_writesame16_sync)(l->context, l->lun, offset / l->block, block, l->block, (uint32_t)(k / l->block),
                                              0, l->unmaps && (flags & BLK_MAY_UNMAP), 0, 0));
        offset += k, len -= k;
    }
    mem_free(block);
    if (rc == -EINVAL) l->no_same = true, rc = -ENOTSUP;
    return rc;
}

static int iscsi_discard(struct blk_node *n, uint64_t offset, uint64_t len)
{
    struct lun *l = blk_state(n);
    int rc = 0;

    if (!l->unmaps) return -ENOTSUP;
    /* Inwards to whole blocks. */
    uint64_t at = ALIGN_UP(offset, (uint64_t)l->block), end = ALIGN_DOWN(offset + len, (uint64_t)l->block);
    while (at < end && !rc) {
        uint64_t k = MIN(end - at, UINT64_C(64) << 20);
        struct unmap_list list = {at / l->block, (uint32_t)(k / l->block)};
        rc = finish(l, L(iscsi_unmap_sync)(l->context, l->lun, 0, 0, &list, 1));
        at += k;
    }
    return rc == -EINVAL ? -ENOTSUP : rc;
}

static int iscsi_truncate(struct blk_node *n, uint64_t size, enum blk_prealloc prealloc, struct error *e)
{
    if (size <= blk_node_size(n)) return 0;
    return error_set(e, "Cannot grow iSCSI devices"), -EINVAL;
}

static int iscsi_info(struct blk_node *n, struct blk_info *i) { return i->is_host_device = true, 0; }

#define ISCSI_CALLS                                                                                \
    .state_size = sizeof(struct lun), .close = iscsi_close, .reopen = iscsi_reopen, .flush = iscsi_flush, .zero = iscsi_zero, \
    .discard = iscsi_discard, .truncate = iscsi_truncate, .info = iscsi_info

#else

static int iscsi_open(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e)
{
    return error_set(e, "this program was built without libiscsi, which the protocol 'iscsi' needs"), -ENOTSUP;
}
static int iscsi_read(struct blk_node *n, uint64_t offset, void *buf, size_t len) { return -EIO; }
static int iscsi_write(struct blk_node *n, uint64_t offset, const void *buf, size_t len, unsigned flags) { return -EIO; }

#define ISCSI_CALLS .state_size = 1

#endif

static const char *const iscsi_prefixes[] = {"iscsi", NULL};
const struct blk_driver blk_drv_iscsi = {
    .name = "iscsi", .kind = BLK_PROTOCOL, .open_opts = iscsi_opts, .prefixes = iscsi_prefixes, .parse_filename = iscsi_parse,
    .open = iscsi_open, .read = iscsi_read, .write = iscsi_write, ISCSI_CALLS,
};
