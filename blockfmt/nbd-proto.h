/*
 * nbd-proto.h - the Network Block Device protocol: numbers on the wire, and the channel both ends talk through. What
 * is said over it is in nbd-client.c, nbd-handshake.c and nbd-session.c.
 *
 * Follows "The NBD protocol" (doc/proto.md of the NBD project): newstyle negotiation, structured replies, block status.
 * All numbers are big-endian.
 */
#ifndef BLOCKFMT_NBD_PROTO_H
#define BLOCKFMT_NBD_PROTO_H

#include "util/error.h"

struct tls_session;

#define NBD_MAGIC        UINT64_C(0x4e42444d41474943) /* "NBDMAGIC" */
#define NBD_OPTION_MAGIC UINT64_C(0x49484156454f5054) /* "IHAVEOPT" */
#define NBD_OLD_MAGIC    UINT64_C(0x0000420281861253)
#define NBD_REP_MAGIC    UINT64_C(0x0003e889045565a9)
#define NBD_REQUEST_MAGIC    0x25609513u
#define NBD_SIMPLE_MAGIC     0x67446698u
#define NBD_STRUCTURED_MAGIC 0x668e33efu

enum nbd_handshake_flags { NBD_FLAG_FIXED_NEWSTYLE = 1, NBD_FLAG_NO_ZEROES = 2 };

enum nbd_option {
    NBD_OPT_EXPORT_NAME = 1, NBD_OPT_ABORT, NBD_OPT_LIST, NBD_OPT_STARTTLS = 5, NBD_OPT_INFO, NBD_OPT_GO,
    NBD_OPT_STRUCTURED_REPLY, NBD_OPT_LIST_META_CONTEXT, NBD_OPT_SET_META_CONTEXT
};

enum nbd_option_reply {
    NBD_REP_ACK = 1, NBD_REP_SERVER, NBD_REP_INFO, NBD_REP_META_CONTEXT,
};
#define NBD_REP_ERROR 0x80000000u /* or one of these */
enum nbd_option_error {
    NBD_ERR_UNSUP = 1, NBD_ERR_POLICY, NBD_ERR_INVALID, NBD_ERR_PLATFORM, NBD_ERR_TLS_REQD, NBD_ERR_UNKNOWN,
    NBD_ERR_SHUTDOWN, NBD_ERR_BLOCK_SIZE_REQD, NBD_ERR_TOO_BIG
};

enum nbd_info { NBD_INFO_EXPORT, NBD_INFO_NAME, NBD_INFO_DESCRIPTION, NBD_INFO_BLOCK_SIZE };

enum nbd_export_flags {
    NBD_HAS_FLAGS = 1 << 0, NBD_READ_ONLY = 1 << 1, NBD_SEND_FLUSH = 1 << 2, NBD_SEND_FUA = 1 << 3,
    NBD_ROTATIONAL = 1 << 4, NBD_SEND_TRIM = 1 << 5, NBD_SEND_WRITE_ZEROES = 1 << 6, NBD_SEND_DF = 1 << 7,
    NBD_CAN_MULTI_CONN = 1 << 8, NBD_SEND_RESIZE = 1 << 9, NBD_SEND_CACHE = 1 << 10, NBD_SEND_FAST_ZERO = 1 << 11
};

enum nbd_command {
    NBD_CMD_READ, NBD_CMD_WRITE, NBD_CMD_DISC, NBD_CMD_FLUSH, NBD_CMD_TRIM, NBD_CMD_CACHE, NBD_CMD_WRITE_ZEROES,
    NBD_CMD_BLOCK_STATUS
};
enum nbd_command_flags {
    NBD_CMD_FUA = 1, NBD_CMD_NO_HOLE = 2, NBD_CMD_DF = 4, NBD_CMD_REQ_ONE = 8, NBD_CMD_FAST_ZERO = 16
};

enum nbd_chunk {
    NBD_CHUNK_NONE, NBD_CHUNK_DATA, NBD_CHUNK_HOLE, NBD_CHUNK_STATUS = 5, NBD_CHUNK_ERROR = 1 << 15 | 1,
    NBD_CHUNK_ERROR_OFFSET = 1 << 15 | 2
};
enum { NBD_CHUNK_DONE = 1, NBD_CHUNK_IS_ERROR = 1 << 15 };

enum nbd_state { NBD_STATE_HOLE = 1, NBD_STATE_ZERO = 2, NBD_STATE_DIRTY = 1 };

enum {
    NBD_REQUEST_SIZE = 28, NBD_SIMPLE_SIZE = 16, NBD_CHUNK_SIZE = 20,
    NBD_MAX_STRING = 4096,
    NBD_MAX_DATA = 32 << 20, /* of one read or write */
    NBD_PORT = 10809
};

/* The context names. */
#define NBD_BASE_ALLOCATION  "base:allocation"
#define NBD_ALLOCATION_DEPTH "qemu:allocation-depth"
#define NBD_DIRTY_BITMAP     "qemu:dirty-bitmap:"

/* errno values have numbers of the protocol's own; what it has no number for is EINVAL (sent), EIO (received). */
uint32_t nbd_errno_out(int rc);   /* of -errno */
int nbd_errno_in(uint32_t wire);  /* -errno; 0 for 0 */

/* "flush fua trim ..." of export flags, each with a blank behind it. */
void nbd_flags_text(unsigned flags, char *buf, size_t room);

/*
 * A channel: a connected socket, plain or TLS, with a buffer of what has come in. One thread may read while another
 * writes. fd is the channel's.
 */
struct nbd_chan {
    int fd;
    struct tls_session *tls;
    uint64_t deadline;     /* loop_now_ns() when reading gives up; 0: never */
    uint8_t *in;
    size_t in_pos, in_len;
    bool exact;            /* read no more than is asked for: large payloads follow */
};
void nbd_chan_init(struct nbd_chan *, int fd);
void nbd_chan_close(struct nbd_chan *, bool goodbye);
void nbd_chan_shutdown(struct nbd_chan *); /* [any thread] whoever waits in it comes back with an error */
/* All n bytes: 0 or -errno; the peer's end is -ENOTCONN before the first byte, -ECONNRESET after it. */
int nbd_chan_read(struct nbd_chan *, void *buf, size_t n);
int nbd_chan_skip(struct nbd_chan *, uint64_t n);
static inline size_t nbd_chan_buffered(const struct nbd_chan *c) { return c->in_len - c->in_pos; }
/* All n bytes, or -errno. */
int nbd_chan_write(struct nbd_chan *, const void *buf, size_t n);
/* Two parts as one message. */
int nbd_chan_write2(struct nbd_chan *, const void *head, size_t head_len, const void *body, size_t body_len);

#endif
