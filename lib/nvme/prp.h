// SPDX-License-Identifier: BSD-2-Clause
/*
 * prp.h - where a command's data lies, as Physical Region Pages (section 4.3).
 *
 * PRP1 is the first byte. If the data ends in that page, that is all; if it ends in the next one,
 * PRP2 is that page; otherwise PRP2 is a list of all further pages. The bus addresses of a buffer
 * run on (access.h), so that pages are counted and not looked up.
 *
 * A list is a power of two of bytes and aligned to its size, so that none crosses a page and the
 * chaining of lists, which the specification has for longer ones, is never needed.
 */
#ifndef NVME_PRP_H
#define NVME_PRP_H

#include "spec.h"

#define PRP_LIST_MAX (PAGE_BYTES / sizeof(uint64_t))
/* With any offset in the first page: a list of 512 reaches 512 pages behind it. */
#define PRP_TRANSFER_MAX (PRP_LIST_MAX * PAGE_BYTES)

/* How many entries a list has, so that `transfer_bytes` at any offset can be described. */
uint32_t prp_list_entries(uint32_t transfer_bytes);
/* The data does not end in the page that PRP2 can name. */
static inline bool prp_needs_list(uint64_t bus, uint32_t bytes)
{
    return (bus & (PAGE_BYTES - 1)) + bytes > 2 * PAGE_BYTES;
}
/* `bus` has its two lowest bits clear; `list` has `list_bus` and room enough; bytes > 0. */
void prp_build(struct nvme_sqe *sqe, uint64_t bus, uint32_t bytes, uint64_t *list,
               uint64_t list_bus);

#endif
