// SPDX-License-Identifier: BSD-2-Clause
/*
 * limits.h - the bounds and times of the link that are no options, and where they are from.
 */
#ifndef ETH_LIMITS_H
#define ETH_LIMITS_H

#include "base/base.h"

/* RFC 4861 10, which RFC 1122 2.3.2.1's one request a second agrees with. */
#define NEIGH_REACHABLE_NS  (30 * NS_PER_S)
#define NEIGH_DELAY_NS      (5 * NS_PER_S)
#define NEIGH_RETRANS_NS    (1 * NS_PER_S)
#define NEIGH_MULTICAST_MAX 3
#define NEIGH_UNICAST_MAX   3

/* First questions about neighbours; a second's worth at once. Strangers who connect from addresses
 * of the link that nobody has would else make us ask everybody for each of them (RFC 6583). */
#define NEIGH_QUESTIONS_PER_S 1000

#define NEIGH_LIMIT           (1u << 20) /* of eth_config.neigh_max */

/* Frames that wait for neighbours, 0.2 KiB each. One neighbour is as a rule the gateway, behind
 * which everybody is. Answers to SYNs are headers only; the few frames that have payload when a
 * neighbour is unknown are first answers after a pause and datagrams. In a flood of SYNs from
 * made-up addresses of the link, 100,000 a second, so many give a real one 10 ms to answer. Since a
 * neighbour that nobody holds is asked for only while frames wait for it, no more of them, a
 * quarter of ETH_NEIGH_DEFAULT, take places of neighbours that are known. */
#define WAITING_MAX       1024
#define WAITING_PER_NEIGH 64
#define WAITING_CHUNKS    64

/* RFC 5227 1.1 */
#define ARP_ANNOUNCE_COUNT 2
#define ARP_ANNOUNCE_NS    (2 * NS_PER_S)
#define ARP_DEFEND_NS      (10 * NS_PER_S)

/* RFC 4862 5.1, RFC 4861 10 */
#define NDP_PROBE_NS         NEIGH_RETRANS_NS
#define NDP_ANNOUNCE_NS      (1 * NS_PER_S)
#define NDP_ANNOUNCE_COUNT   2
#define NDP_MESSAGE_MAX      1280 /* fits any link (RFC 8200 5); routers have no more to say */
#define ROUTER_SOLICIT_COUNT 3
#define ROUTER_SOLICIT_NS    (4 * NS_PER_S)
/* A link has one to four routers, and a prefix of each of its owner's networks. */
#define ROUTERS_MAX         8
#define ROUTER_PREFIXES_MAX 16
/* The shortest prefix that an advertisement may put on the link: providers get a /32, and a much
 * shorter one would make neighbours of half the Internet. */
#define ROUTER_PREFIX_MIN 32
/* RFC 3810 9.12, with its defaults: how long an old querier is remembered. */
#define MLD_OLD_QUERIER_NS (260 * NS_PER_S)

#endif
