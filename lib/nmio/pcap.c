// SPDX-License-Identifier: BSD-2-Clause
/*
 * pcap.c - writes what passes to a file in the pcapng format (draft-ietf-opsawg-pcapng).
 *
 * What is sent is written when it is handed to the port below, which may still drop it and count
 * it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"
#include "nmio/offload.h"

#define BUFFER_BYTES (256u << 10)
#define FLUSH_NS     NS_PER_S

/* Blocks of the draft's section 4; each begins with its type and length, and ends with its length.
 */
#define SECTION_HEADER                0x0a0d0d0au
#define SECTION_HEADER_BYTES          28
#define BYTE_ORDER_MAGIC              0x1a2b3c4du
#define INTERFACE_DESCRIPTION         1
#define INTERFACE_DESCRIPTION_BYTES   32
#define LINK_TYPE_ETHERNET            1
#define OPTION_TS_RESOLUTION          9
#define ENHANCED_PACKET               6
#define ENHANCED_PACKET_HEADER_BYTES  28
#define ENHANCED_PACKET_TRAILER_BYTES 16 /* the flags option, the end of options, the length */
#define ENHANCED_PACKET_BYTES         (ENHANCED_PACKET_HEADER_BYTES + ENHANCED_PACKET_TRAILER_BYTES)
#define OPTION_FLAGS                  2
#define FLAGS_INBOUND                 1
#define FLAGS_OUTBOUND                2

_Static_assert(BUFFER_BYTES > ENHANCED_PACKET_BYTES + FRAME_BYTES_MAX + 3, "any packet fits");

struct pcap {
    struct nmio_port port;
    struct nmio_port *under;
    uint64_t epoch_ns;
    uint64_t flush_ns; /* when the buffer is written out at the latest */
    uint32_t used;
    uint32_t packets; /* in the buffer */
    int fd;
    bool failed; /* the disk is full, say: a file with a hole is worth less than one that ends */
    uint8_t buffer[BUFFER_BYTES];
    uint8_t whole[FRAME_BYTES_MAX];
    uint8_t packet[FRAME_BYTES_MAX];
};

static struct pcap *pcap_of(const struct nmio_port *port)
{
    return container_of(port, struct pcap, port);
}

static int write_out(struct pcap *pcap)
{
    uint32_t done = 0;

    while (done < pcap->used) {
        ssize_t n = write(pcap->fd, pcap->buffer + done, pcap->used - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            pcap->failed = true;
            pcap->used = 0;
            stat_add(&pcap->port.stats.drop_capture, pcap->packets);
            return n < 0 ? -errno : -EIO;
        }
        done += (uint32_t)n;
    }
    pcap->used = 0;
    pcap->packets = 0;
    return 0;
}

static void write_out_if_old(struct pcap *pcap, uint64_t now_ns)
{
    if (pcap->used && now_ns >= pcap->flush_ns)
        (void)write_out(pcap); /* the failure is remembered */
}

static void put_packet(struct pcap *pcap, const uint8_t *data, uint32_t len, uint32_t direction,
                       uint64_t now_ns)
{
    uint32_t padded = (uint32_t)align_up(len, 4);
    uint32_t block_bytes = ENHANCED_PACKET_BYTES + padded;
    uint64_t time_ns = pcap->epoch_ns + now_ns;
    uint8_t *p;

    if (!pcap->failed && pcap->used + block_bytes > BUFFER_BYTES)
        (void)write_out(pcap);
    if (pcap->failed) {
        stat_inc(&pcap->port.stats.drop_capture);
        return;
    }
    if (!pcap->used)
        pcap->flush_ns = now_ns + FLUSH_NS;
    p = pcap->buffer + pcap->used;
    put_le32(p, ENHANCED_PACKET);
    put_le32(p + 4, block_bytes);
    put_le32(p + 8, 0); /* the interface: there is one */
    put_le32(p + 12, (uint32_t)(time_ns >> 32));
    put_le32(p + 16, (uint32_t)time_ns);
    put_le32(p + 20, len);
    put_le32(p + 24, len);
    p += ENHANCED_PACKET_HEADER_BYTES;
    memcpy(p, data, len);
    memset(p + len, 0, padded - len);
    p += padded;
    put_le16(p, OPTION_FLAGS);
    put_le16(p + 2, 4);
    put_le32(p + 4, direction);
    put_le32(p + 8, 0);
    put_le32(p + 12, block_bytes);
    pcap->used += block_bytes;
    pcap->packets++;
}

static void put_cut(struct pcap *pcap, struct nmio_cut *cut, uint32_t direction, uint64_t now_ns)
{
    uint32_t len;

    while ((len = nmio_cut_next(cut, pcap->packet)))
        put_packet(pcap, pcap->packet, len, direction, now_ns);
}

static uint32_t pcap_rx(struct nmio_port *port, struct nmio_pkt *pkts, uint32_t max,
                        uint64_t now_ns)
{
    struct pcap *pcap = pcap_of(port);
    uint32_t n = nmio_rx(pcap->under, pkts, max, now_ns);

    for (uint32_t i = 0; i < n; i++) {
        struct nmio_cut cut;

        if (pkts[i].len > FRAME_BYTES_MAX) {
            stat_inc(&port->stats.drop_capture);
            continue;
        }
        nmio_cut_start(&cut, pkts[i].data, pkts[i].len, pkts[i].gso_size,
                       pkts[i].flags & NMIO_PKT_CSUM_OK);
        put_cut(pcap, &cut, FLAGS_INBOUND, now_ns);
    }
    write_out_if_old(pcap, now_ns);
    return n;
}

static void pcap_rx_done(struct nmio_port *port)
{
    nmio_rx_done(pcap_of(port)->under);
}

static struct nmio_frame *pcap_frame(struct nmio_port *port)
{
    struct nmio_frame *frame = nmio_frame(pcap_of(port)->under);

    if (!frame)
        stat_inc(&port->stats.drop_tx_full);
    return frame;
}

static void pcap_tx(struct nmio_port *port, struct nmio_frame *frame, uint64_t now_ns)
{
    struct pcap *pcap = pcap_of(port);
    uint32_t len = frame_len(frame);
    struct nmio_cut cut;

    if (len <= FRAME_BYTES_MAX) {
        frame_copy(pcap->whole, frame);
        if (frame->csum_start && !frame->gso_size)
            nmio_csum_complete(pcap->whole, len, frame->csum_start, frame->csum_offset);
        nmio_cut_start(&cut, pcap->whole, len, frame->gso_size, false);
        put_cut(pcap, &cut, FLAGS_OUTBOUND, now_ns);
    } else
        stat_inc(&port->stats.drop_capture);
    count_sent(port, len);
    nmio_tx(pcap->under, frame, now_ns);
}

static void pcap_flush(struct nmio_port *port, uint64_t now_ns)
{
    struct pcap *pcap = pcap_of(port);

    nmio_flush(pcap->under, now_ns);
    write_out_if_old(pcap, now_ns);
}

static void pcap_reap(struct nmio_port *port)
{
    nmio_reap(pcap_of(port)->under);
}

static uint64_t pcap_next_ns(const struct nmio_port *port)
{
    const struct pcap *pcap = pcap_of(port);
    uint64_t next_ns = nmio_next_ns(pcap->under);

    return pcap->used ? min_u64(next_ns, pcap->flush_ns) : next_ns;
}

static void pcap_close(struct nmio_port *port)
{
    struct pcap *pcap = pcap_of(port);

    nmio_close(pcap->under);
    (void)write_out(pcap); /* nobody is left to be told */
    close(pcap->fd);
    free(pcap);
}

static const struct nmio_ops pcap_ops = {
    .rx = pcap_rx,
    .rx_done = pcap_rx_done,
    .frame = pcap_frame,
    .tx = pcap_tx,
    .flush = pcap_flush,
    .reap = pcap_reap,
    .next_ns = pcap_next_ns,
    .close = pcap_close,
};

static void put_file_header(struct pcap *pcap)
{
    uint8_t *p = pcap->buffer;

    put_le32(p, SECTION_HEADER);
    put_le32(p + 4, SECTION_HEADER_BYTES);
    put_le32(p + 8, BYTE_ORDER_MAGIC);
    put_le16(p + 12, 1); /* version 1.0 */
    put_le16(p + 14, 0);
    put_le64(p + 16, UINT64_MAX); /* the section's length is not known */
    put_le32(p + 24, SECTION_HEADER_BYTES);
    p += SECTION_HEADER_BYTES;
    put_le32(p, INTERFACE_DESCRIPTION);
    put_le32(p + 4, INTERFACE_DESCRIPTION_BYTES);
    put_le16(p + 8, LINK_TYPE_ETHERNET);
    put_le16(p + 10, 0);
    put_le32(p + 12, 0); /* packets are written whole */
    put_le16(p + 16, OPTION_TS_RESOLUTION);
    put_le16(p + 18, 1);
    put_le32(p + 20, 9); /* 10^-9 s, and padding */
    put_le32(p + 24, 0); /* end of options */
    put_le32(p + 28, INTERFACE_DESCRIPTION_BYTES);
    pcap->used = SECTION_HEADER_BYTES + INTERFACE_DESCRIPTION_BYTES;
}

int nmio_pcap_open(struct nmio_port **out, struct nmio_port *under, const char *path,
                   uint64_t epoch_ns)
{
    struct pcap *pcap = calloc(1, sizeof(*pcap));
    int err;

    if (!pcap)
        return -ENOMEM;
    /* Only the owner may read what users were served. */
    pcap->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (pcap->fd < 0) {
        err = -errno;
        goto free_pcap;
    }
    put_file_header(pcap);
    err = write_out(pcap);
    if (err)
        goto close_file;
    pcap->port = (struct nmio_port){.ops = &pcap_ops, .caps = under->caps, .fd = under->fd};
    pcap->under = under;
    pcap->epoch_ns = epoch_ns;
    *out = &pcap->port;
    return 0;

close_file:
    close(pcap->fd);
free_pcap:
    free(pcap);
    return err;
}
