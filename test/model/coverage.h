// SPDX-License-Identifier: BSD-2-Clause
/*
 * coverage.h - which states have met which kinds of segments, calls and times.
 *
 * A test that draws at random says little unless it says what it has drawn. Every segment is put
 * into one class of each table by what it is to the connection's state; cells that the RFC cannot
 * reach are known, and every other one that stays empty is a failure of the test.
 */
#ifndef MODEL_COVERAGE_H
#define MODEL_COVERAGE_H

#include "model.h"

enum coverage_seq {
    SEQ_OPPOSITE,  /* 2^31 away, more or less 2^16 */
    SEQ_OLD,       /* ends at RCV.NXT or before it */
    SEQ_OVERLAPS,  /* begins before RCV.NXT, ends in the window */
    SEQ_SPANS,     /* begins before RCV.NXT, ends beyond the window */
    SEQ_NEXT,      /* begins at RCV.NXT and fits */
    SEQ_NEXT_LONG, /* begins at RCV.NXT and does not fit */
    SEQ_AHEAD,     /* behind a gap, fits */
    SEQ_CROSSES,   /* begins in the window, ends beyond it */
    SEQ_AT_EDGE,   /* begins at the window's edge */
    SEQ_BEYOND,
    SEQ_CLASSES,
};

enum coverage_ack {
    ACK_ABSENT,
    ACK_OPPOSITE,
    ACK_TOO_OLD, /* RFC 5961 5.2 */
    ACK_OLD,
    ACK_UNA,
    ACK_MIDDLE,
    ACK_NXT, /* where that is not SND.UNA */
    ACK_NOT_SENT,
    ACK_CLASSES,
};

enum coverage_len {
    LEN_NONE,
    LEN_ONE,
    LEN_SOME,
    LEN_FULL,
    LEN_CLASSES,
};

enum coverage_option {
    OPTION_NONE, /* and none was negotiated */
    OPTION_STAMP,
    OPTION_OLD_STAMP, /* before TS.Recent */
    OPTION_MISSING,   /* negotiated */
    OPTION_UNASKED,   /* not negotiated */
    OPTION_GARBAGE,   /* malformed or unknown, whatever else there is */
    OPTION_CLASSES,
};

enum coverage_call {
    CALL_CONNECT,
    CALL_WRITE,
    CALL_RECVED,
    CALL_CLOSE,
    CALL_ABORT,
    CALL_TIME,
    CALL_CLASSES,
};

#define COVERAGE_FLAGS 64 /* FIN to URG */

struct coverage {
    uint32_t flags[TCP_STATES][COVERAGE_FLAGS];
    uint32_t seq[TCP_STATES][SEQ_CLASSES];
    uint32_t ack[TCP_STATES][ACK_CLASSES];
    uint32_t len[TCP_STATES][LEN_CLASSES];
    uint32_t option[TCP_STATES][OPTION_CLASSES];
    uint32_t call[TCP_STATES][CALL_CLASSES];
    uint64_t segments;
};

void coverage_segment(struct coverage *c, const struct model *m, const struct segment *seg);
void coverage_call(struct coverage *c, const struct model *m, enum coverage_call call);
/* Prints the tables as TAP comments, with the cells that are empty and need not be. Returns how
 * many those are. */
uint32_t coverage_report(const struct coverage *c);

#endif
