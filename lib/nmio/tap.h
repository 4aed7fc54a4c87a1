// SPDX-License-Identifier: BSD-2-Clause
/* tap.h - the host's side of a TAP, for tap.c. */
#ifndef NMIO_TAP_H
#define NMIO_TAP_H

#include "nmio/priv.h"

/* Gives the device its addresses ("192.0.2.1/24", several with commas between) and, if mtu is not
 * 0, its MTU, and brings it up. */
must_check int nmio_tap_host_setup(const char *name, const char *addresses, uint32_t mtu,
                                   const char **why);
must_check int nmio_tap_host_mtu(const char *name, uint32_t *mtu);

#endif
