// SPDX-License-Identifier: BSD-2-Clause
/*
 * nmio.h - packet I/O: frames in, frames out, whatever the port is made of.
 *
 * Verbs come in pairs that show who owns what:
 *
 *     rx / rx_done   a received packet's bytes are ours to read and change until rx_done
 *     frame / tx     a blank frame is ours to fill until tx hands it to the port
 *     flush / reap   one doorbell for all that was posted; then the wire is done with it
 *
 * A frame to send is its headers, written into the frame itself, and up to NMIO_SLICES_MAX slices
 * of payload that lie elsewhere: nothing is copied on the way to the port. A slice with an owner
 * holds one reference on that chunk, taken by whoever fills the frame; the port drops it when the
 * wire has read the bytes (in reap, or before). Posting and ringing are separate, though a port for
 * which ringing is free may send at once. A frame that cannot be sent is dropped and counted, as a
 * full queue in the network would: TCP recovers.
 *
 * A frame with gso_size > 0 carries several TCP segments of that size, which the port or the
 * hardware below it cuts. csum_start > 0 asks the port to complete a checksum: the 16-bit field at
 * csum_start + csum_offset holds the pseudo-header's folded sum (as virtio-net and Linux have it).
 * Both only where nmio_caps says so.
 *
 * One thread uses a port (one queue of it). `now_ns` is the worker's clock.
 */
#ifndef NMIO_NMIO_H
#define NMIO_NMIO_H

#include "base/stats.h"
#include "mem/mem.h"

#define NMIO_HEADER_MAX 128 /* Ethernet 18 + IPv6 40 + TCP 60, rounded up */
#define NMIO_SLICES_MAX 6   /* a 64 KB frame of 16 KiB records, each with room for header and tag */
#define NMIO_BATCH      64  /* packets per rx, unless the caller wants fewer */

struct nmio_slice {
    const uint8_t *data;
    uint32_t len;
    struct mem_chunk *owner; /* NULL: memory that outlives the port's use of it */
};

struct nmio_frame {
    uint16_t header_len;
    uint16_t gso_size;    /* payload bytes per segment; 0: this is one packet */
    uint16_t csum_start;  /* from the frame's first byte; 0: the checksum is complete */
    uint16_t csum_offset; /* from csum_start */
    uint8_t gso_ip6;      /* with gso_size: the segments are IPv6 */
    uint8_t slice_count;
    struct nmio_slice slices[NMIO_SLICES_MAX];
    uint8_t header[NMIO_HEADER_MAX]; /* starts with the Ethernet header */
};

enum nmio_pkt_flags {
    NMIO_PKT_CSUM_OK = 1, /* the port vouches for the transport checksum, or it was left out on a
                             path that cannot corrupt (partial checksum of a local sender) */
};

struct nmio_pkt {
    uint8_t *data; /* starts with the Ethernet header */
    uint32_t len;
    uint16_t flags;
    uint16_t gso_size; /* the packet was put together from segments of this size, else 0 */
};

struct nmio_caps {
    uint32_t mtu;       /* largest IP packet on the wire */
    uint32_t gso_bytes; /* largest IP packet handed over as one GSO frame; 0: no GSO */
    bool tx_csum;       /* completes transport checksums */
    uint8_t slices_max; /* 1 to NMIO_SLICES_MAX */
    uint8_t mac[6];     /* the address to use on this port */
};

#define NMIO_STATS(X, t)                                                                           \
    X(t, rx_packets, "packets received")                                                           \
    X(t, rx_bytes, "bytes received, Ethernet headers included")                                    \
    X(t, tx_packets, "frames sent, a GSO frame counted once")                                      \
    X(t, tx_bytes, "bytes sent, Ethernet headers included")                                        \
    X(t, drop_rx_malformed, "received frames that the port could not make sense of")               \
    X(t, drop_tx_error, "frames that the port refused to send")                                    \
    X(t, drop_tx_full, "frames that found the port full")                                          \
    X(t, drop_capture, "packets missing in the capture file, since it could not be written")

struct nmio_stats {
    NMIO_STATS(STAT_FIELD, )
};
extern const struct stat_desc nmio_stat_descs[]; /* ends with a NULL name */

struct nmio_port;

struct nmio_config {
    struct mem_arena *arena; /* where the port takes its buffers from */
    uint32_t queue;          /* which queue of the port this worker has, and of how many */
    uint32_t queue_count;
    uint32_t mtu;          /* 0: the port's own */
    uint8_t mac[6];        /* all zero: the port makes one up */
    const char *host_addr; /* tap: for the host's side, "192.0.2.1/24,2001:db8::1/64", or NULL */
};

/*
 * spec: "tap:NAME". Stacked: "fault:loss=0.01,seed=7/tap:NAME", with the options seed=N, loss=P,
 * duplicate=P, reorder=P, corrupt=P, delay=10ms, reorder_by=2ms and rx_only. 0 or -errno; *why then
 * points at a static or thread-local sentence that says what to do.
 */
must_check int nmio_open(struct nmio_port **out, const char *spec, const struct nmio_config *config,
                         const char **why);
void nmio_close(struct nmio_port *port);

/* Up to `max` packets; 0 when none is there. Does not block. */
uint32_t nmio_rx(struct nmio_port *port, struct nmio_pkt *pkts, uint32_t max, uint64_t now_ns);
/* Every packet of the last nmio_rx is given back. */
void nmio_rx_done(struct nmio_port *port);
/* A blank frame (header_len, gso_size, csum_start, slice_count are 0), or NULL when full (counted).
 * Call tx before the next nmio_frame; a frame that is not handed to tx is simply taken again. */
struct nmio_frame *nmio_frame(struct nmio_port *port);
void nmio_tx(struct nmio_port *port, struct nmio_frame *frame, uint64_t now_ns);
void nmio_flush(struct nmio_port *port, uint64_t now_ns);
void nmio_reap(struct nmio_port *port);

const struct nmio_caps *nmio_caps(const struct nmio_port *port);
const struct nmio_stats *nmio_stats(const struct nmio_port *port);
/* A descriptor that polls readable when rx would find something; -1: there is none (pipe). */
int nmio_fd(const struct nmio_port *port);
/* When the port itself has something to do: a packet to deliver (0: there is one in a pipe), a
 * delayed frame to send (in flush), a capture to write out. UINT64_MAX: nothing. */
uint64_t nmio_next_ns(const struct nmio_port *port);

/* --- ports that are made by hand ------------------------------------------------------------ */

struct nmio_pipe_config {
    /* What each end claims; GSO frames then cross the pipe whole. The second end's MAC address
     * differs from the first one's in the last bit. */
    struct nmio_caps caps;
    /* Frames under way in each direction; more are dropped and counted. The arena gives
     * depth + NMIO_BATCH buffers for the largest frame to each end; untouched ones cost nothing. */
    uint32_t depth;
};
/* Two ends in memory: what one sends the other receives, in order, at once. */
must_check int nmio_pipe_open(struct nmio_port *ends[2], struct mem_arena *arena,
                              const struct nmio_pipe_config *config);

/* Faults, each direction rolled for itself. Probabilities 0 to 1, per frame. */
struct nmio_fault_config {
    uint64_t seed;
    double loss;
    double duplicate;
    double reorder;    /* held back by reorder_ns, so that later frames overtake it */
    double corrupt;    /* one to three bits of a 16-bit word behind the Ethernet addresses flip */
    uint64_t delay_ns; /* every frame */
    uint64_t reorder_ns;
    bool rx_only; /* leave what is sent alone */
};
#define NMIO_FAULT_STATS(X, t)                                                                     \
    X(t, lost, "frames dropped on purpose")                                                        \
    X(t, duplicated, "frames sent twice on purpose")                                               \
    X(t, reordered, "frames held back on purpose")                                                 \
    X(t, corrupted, "frames damaged on purpose")                                                   \
    X(t, overrun, "frames dropped because too many were delayed at once")
struct nmio_fault_stats {
    NMIO_FAULT_STATS(STAT_FIELD, )
};
extern const struct stat_desc nmio_fault_stat_descs[]; /* ends with a NULL name */
/* Takes `under` over; closing the fault port closes it. It offers neither GSO nor checksum offload,
 * since a damaged packet must be seen to be damaged and each packet must be lost for itself. */
must_check int nmio_fault_open(struct nmio_port **out, struct nmio_port *under,
                               struct mem_arena *arena, const struct nmio_fault_config *config);
const struct nmio_fault_stats *nmio_fault_stats(const struct nmio_port *port);

/*
 * Takes `under` over and writes every packet of both directions to `path` as pcapng, timestamped
 * with now_ns on top of `epoch_ns` (the wall clock at now_ns = 0), with partial checksums
 * completed. GSO frames are written as the wire would carry them, cut into segments. The file is
 * written out at least once a second of now_ns, and when the port is closed. Writing it may block:
 * this is for looking at what goes wrong, not for production.
 */
must_check int nmio_pcap_open(struct nmio_port **out, struct nmio_port *under, const char *path,
                              uint64_t epoch_ns);

/* --- packets as a wire would carry them ----------------------------------------------------- */

/*
 * Cuts a GSO frame into its packets, in software:
 *
 *     nmio_cut_start(&cut, frame, len, gso_size, complete);
 *     while ((n = nmio_cut_next(&cut, out)))
 *         use(out, n);
 *
 * A frame that is not a GSO frame comes out once, with its TCP or UDP checksum computed if
 * `complete` says so, as it must be for a received packet with NMIO_PKT_CSUM_OK that is sent on.
 * What is not understood (other protocols, fragments, IPv6 with extension headers, lengths that
 * contradict each other) comes out once, unchanged.
 */
struct nmio_cut {
    uint32_t largest;     /* public: no packet that comes out is longer */
    const uint8_t *frame; /* private: */
    uint32_t len;
    uint32_t ip_at;
    uint32_t transport_at;
    uint32_t payload_at;
    uint32_t end;           /* of the IP packet; what follows is padding */
    uint32_t segment_bytes; /* 0: the frame comes out in one piece */
    uint32_t taken;         /* payload bytes that have come out */
    uint16_t index;
    uint8_t protocol; /* 0: not understood */
    bool ip6;
    bool complete;
    bool done;
};

void nmio_cut_start(struct nmio_cut *cut, const uint8_t *frame, uint32_t len, uint32_t gso_size,
                    bool complete);
/* How many packets are still to come. */
uint32_t nmio_cut_left(const struct nmio_cut *cut);
/* The next packet's length, 0 at the end. */
uint32_t nmio_cut_next(struct nmio_cut *cut, uint8_t *out);

#endif
