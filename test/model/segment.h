// SPDX-License-Identifier: BSD-2-Clause
/*
 * segment.h - a TCP segment as the RFCs describe it, and as it lies in an Ethernet frame.
 *
 * Written for the model test alone, from the RFCs and without the product's parser, so that a
 * mistake there does not hide behind the same mistake here.
 */
#ifndef MODEL_SEGMENT_H
#define MODEL_SEGMENT_H

#include "base/base.h"

enum segment_flags { /* RFC 9293 3.1 */
                     FIN = 0x01,
                     SYN = 0x02,
                     RST = 0x04,
                     PSH = 0x08,
                     ACK = 0x10,
                     URG = 0x20,
                     ECE = 0x40,
                     CWR = 0x80,
};

#define SEGMENT_OPTIONS_MAX 40
#define SEGMENT_SACKS_MAX   4
#define SEGMENT_TEXT_MAX    1460
/* Ethernet, IPv4, TCP with options, text. */
#define SEGMENT_FRAME_MAX (14 + 20 + 20 + SEGMENT_OPTIONS_MAX + SEGMENT_TEXT_MAX)
#define SEGMENT_MTU       1500

struct segment {
    uint8_t flags;
    uint32_t seq, ack;
    uint32_t wnd; /* as in the header */
    uint32_t len; /* of the text; SYN and FIN not counted */
    uint8_t options[SEGMENT_OPTIONS_MAX];
    uint32_t option_bytes; /* a multiple of 4 */
    /* What the options say, by segment_parse_options. */
    bool has_mss, has_scale, has_ts, sack_permitted;
    uint16_t mss;
    uint8_t scale;
    uint32_t tsval, tsecr;
    uint32_t sack_count;
    uint32_t sacks[SEGMENT_SACKS_MAX][2];
};

/* Sequence numbers wrap: RFC 9293 3.4. */
static inline bool seq_before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

/* from =< x < from + len */
static inline bool seq_within(uint32_t x, uint32_t from, uint32_t len)
{
    return x - from < len;
}

/* SEG.LEN of RFC 9293 3.4: SYN and FIN count. */
static inline uint32_t segment_len(const struct segment *seg)
{
    return seg->len + ((seg->flags & SYN) != 0) + ((seg->flags & FIN) != 0);
}

/* Fills in what the options say. They end at the first whose length is impossible. */
void segment_parse_options(struct segment *seg);

/* The two ends of the one conversation. */
struct segment_ends {
    uint8_t mac[2][6];
    uint8_t ip[2][4];
    uint16_t port[2];
};

/* From end 1 to end 0. Returns the frame's length. */
uint32_t segment_write(uint8_t *frame, const struct segment *seg, const uint8_t *text,
                       const struct segment_ends *ends);
/* ARP of end 1 to end 0: a question, after which end 0 knows where end 1 is, or an answer. */
uint32_t segment_write_arp(uint8_t *frame, bool answer, const struct segment_ends *ends);
/* Does end 0 ask where end 1 is? */
bool segment_is_arp(const uint8_t *frame, uint32_t len);
/* From end 0 to end 1. *text points into the frame. NULL, or what is wrong with it. */
const char *segment_read(const uint8_t *frame, uint32_t len, struct segment *seg,
                         const uint8_t **text, const struct segment_ends *ends);
/* One line for a trace. */
void segment_print(const struct segment *seg, char *text, size_t bytes);

#endif
