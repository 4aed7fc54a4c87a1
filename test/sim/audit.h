// SPDX-License-Identifier: BSD-2-Clause
/*
 * audit.h - what a stack believes about itself, counted again from the beginning.
 *
 * The stack keeps sums where it could count: bytes sacked, lost and asked for, ranges of a
 * scoreboard, places in pools. A sum that has gone wrong is felt much later, as a window that is
 * too small or a connection that waits for nothing. The auditor looks into the private structures
 * of tcpip and says the first thing that does not agree.
 */
#ifndef SIM_AUDIT_H
#define SIM_AUDIT_H

#include "tcpip/tcpip.h"
#include "world.h"

/* All connections. False: world_fail was called. */
bool audit_tcp(struct world *world, struct tcp *tcp, const char *name);
/* What the sender believes its peer to have beyond a gap, the peer has. Both are open. */
bool audit_sacked(struct world *world, const struct tcp_conn *sender, const struct tcp_conn *peer);
/* No connection is left: nothing is in use. */
bool audit_empty(struct world *world, const struct tcp *tcp, const char *name);

#endif
