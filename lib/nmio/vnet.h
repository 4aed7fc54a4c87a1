// SPDX-License-Identifier: BSD-2-Clause
/* vnet.h - frames and packets to and from the virtio-net header. */
#ifndef NMIO_VNET_H
#define NMIO_VNET_H

#include "nmio/priv.h"
#include "nmio/wire.h"

struct vnet_header vnet_make(const struct nmio_frame *frame);
/* Reads a received packet's header, which whoever sent the packet had a say in. False: the packet
 * makes no sense. `data` and `len` are the frame behind the header. */
bool vnet_parse(const struct vnet_header *header, uint8_t *data, uint32_t len,
                struct nmio_pkt *pkt);

#endif
