/*
 * i8257.h - the DMA controllers of PCs ("i8257"): two cascaded 8237A with page registers.
 *
 * Channels 0..3 move bytes, 5..7 move 16-bit words. A device asks for service with dma_request, and
 * when the controller can serve the channel the device's callback is called; the device then moves
 * data by dma_transfer.
 */
#ifndef PERIPH_MISC_I8257_H
#define PERIPH_MISC_I8257_H

#include "bus/dev.h"

/* Called when the channel has a request, is not masked and is programmed: the device should
 * transfer now. */
typedef void (*dma_ready_fn)(void *opaque, unsigned channel);

/* Names the device of a channel (0..7, not 4). One per channel; NULL fn removes it. */
void dma_connect(struct device *dma, unsigned channel, dma_ready_fn fn, void *opaque);
/* The DREQ line. */
void dma_request(struct device *dma, unsigned channel, bool level);
/* Moves up to n bytes (even on channels 5..7) between buf and memory as the channel is programmed:
 * to_memory is the device's idea of the direction and must agree with the mode, else nothing moves.
 * Ends at terminal count, after which the channel reloads (autoinitialise) or is masked. *tc (may
 * be NULL) tells that the count ended. Returns the bytes moved. A channel in verify mode counts and
 * moves nothing. */
uint32_t dma_transfer(struct device *dma, unsigned channel, bool to_memory, void *buf, uint32_t n,
                      bool *tc);

#endif
