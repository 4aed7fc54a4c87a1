// SPDX-License-Identifier: BSD-2-Clause
/*
 * admin_priv.h - what the answers of the admin thread are made of.
 *
 * Counters and gauges are read while the workers change them (base/stats.h). What cannot be read
 * like that, a worker's connections, is asked for by way of its desk (conns.h).
 */
#ifndef ATLAS_ADMIN_PRIV_H
#define ATLAS_ADMIN_PRIV_H

#include "serve.h"

#include <stdio.h>

/* --- admin_metrics.c -------------------------------------------------------------------------- */

struct admin_layer {
    const char *name;
    const struct stat_desc *descs;
    const void *(*stats)(const struct worker *w);
};
extern const struct admin_layer admin_layers[]; /* to the one without a name */

/* Gauges that are no library's counter. */
struct admin_gauge {
    const char *name, *help;
    uint64_t (*value)(const struct worker *w);
};
extern const struct admin_gauge admin_gauges[]; /* to the one without a name */

uint64_t admin_layer_value(const struct admin_layer *layer, const struct stat_desc *desc,
                           const struct worker *w);
void admin_metrics(FILE *out, const struct server *server);

/* --- admin_status.c --------------------------------------------------------------------------- */

void admin_status(FILE *out, const struct server *server);
bool admin_is_draining(const struct server *server);

/* --- admin_conns.c ---------------------------------------------------------------------------- */

/* /status?connections=...: the status line. `query` is what follows the question mark; it is cut to
 * pieces. */
const char *admin_conns(FILE *out, struct server *server, char *query);

#endif
