// SPDX-License-Identifier: BSD-2-Clause
#include "nmio/vnet.h"

struct vnet_header vnet_make(const struct nmio_frame *frame)
{
    /* hdr_len is said for plain frames too: without it Linux wants the whole frame in one piece
     * of physically contiguous memory. */
    struct vnet_header header = {.hdr_len = frame->header_len};

    if (frame->csum_start) {
        header.flags = VNET_NEEDS_CSUM;
        header.csum_start = frame->csum_start;
        header.csum_offset = frame->csum_offset;
    }
    if (frame->gso_size) {
        header.gso_type = frame->gso_ip6 ? VNET_GSO_TCP6 : VNET_GSO_TCP4;
        header.gso_size = frame->gso_size;
    }
    return header;
}

static bool gso_valid(const struct vnet_header *header, uint32_t len)
{
    uint8_t type = header->gso_type & (uint8_t)~VNET_GSO_ECN;

    if (type == VNET_GSO_NONE)
        return header->gso_type == VNET_GSO_NONE;
    /* UDP in one piece (UFO, USO) was never asked for. */
    if (type != VNET_GSO_TCP4 && type != VNET_GSO_TCP6)
        return false;
    return header->gso_size > 0 && header->hdr_len <= len;
}

bool vnet_parse(const struct vnet_header *header, uint8_t *data, uint32_t len, struct nmio_pkt *pkt)
{
    bool needs_csum = header->flags & VNET_NEEDS_CSUM;

    if (len < ETH_HEADER_BYTES || !gso_valid(header, len))
        return false;
    if (needs_csum && (uint32_t)header->csum_start + header->csum_offset + 2 > len)
        return false;
    *pkt = (struct nmio_pkt){
        .data = data,
        .len = len,
        .flags = needs_csum || header->flags & VNET_DATA_VALID ? NMIO_PKT_CSUM_OK : 0,
        .gso_size = header->gso_type == VNET_GSO_NONE ? 0 : header->gso_size,
    };
    return true;
}
