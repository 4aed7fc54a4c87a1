// SPDX-License-Identifier: BSD-2-Clause
/*
 * witness.h - remembers every byte of TCP's streams that a host has sent, as a port on top of the
 * host's own.
 *
 * TCP sends a byte of its stream once or more often, and it must be the same byte each time. Over
 * TLS nobody else would notice: the peer takes one copy and throws the others away, and can decrypt
 * the one that it takes. But two ciphertexts at one place of a stream are two plaintexts under one
 * keystream, and whoever has seen both, on a wire that loses one of them, has their difference. So
 * the witness stands where bytes leave the host, before anything can happen to them, and is told
 * nothing of records, keys or responses.
 *
 * That a record's number is never used for two records at different places is shown by the peer,
 * which counts them and decrypts each with the number that it has come to.
 */
#ifndef SIM_WITNESS_H
#define SIM_WITNESS_H

#include "nmio/nmio.h"
#include "tcpip/tcpip.h"
#include "world.h"

#define WITNESS_STATS(X, t)                                                                        \
    X(t, new_bytes, "bytes seen for the first time")                                               \
    X(t, compared, "bytes seen again")
struct witness_stats {
    WITNESS_STATS(STAT_FIELD, )
};
extern const struct stat_desc witness_stat_descs[];

/* Takes `under` over. Two different bytes at one place of a stream are a world_fail. */
must_check int witness_open(struct nmio_port **out, struct nmio_port *under, struct world *world);
/* Whose streams: from now on, of all of its ports or of one. */
void witness_watch(struct nmio_port *port, struct tcp *tcp, uint16_t local_port);
const struct witness_stats *witness_stats(const struct nmio_port *port);

#endif
