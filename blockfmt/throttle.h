/*
 * throttle.h - groups that limit the rate of requests: what -object throttle-group makes, and the filter "throttle" and
 * -drive's throttling keys use. All users of a group share its buckets.
 */
#ifndef BLOCKFMT_THROTTLE_H
#define BLOCKFMT_THROTTLE_H

#include "blockfmt/block.h"

struct throttle_group;

/* Keys, with "x-" or "limits." in front or without: bps-total, bps-read, bps-write, iops-total, iops-read, iops-write, each also with
 * -max and -max-length, and iops-size. Others are left alone when they are among `ignore` (NULL-ended), else an error.
 * NULL + *e. */
struct throttle_group *throttle_group_new(const struct opts *, const char *const *ignore, struct error *);
void throttle_group_delete(void *); /* fits blk_object_add */
/* Waits until n more bytes may be read or written, and counts them. [any] */
void throttle_wait(struct throttle_group *, bool write, uint64_t n);

#endif
