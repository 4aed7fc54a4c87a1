// SPDX-License-Identifier: BSD-2-Clause
/*
 * worlds.h - every model that agrees with what was seen so far.
 *
 * Where an RFC leaves a choice that does not show at once, a model cannot know which way the
 * endpoint went. So there are several: before an event each is copied once for every way through
 * the choices that the event asks it about, and those that contradict what is seen are dropped.
 * When none is left the endpoint did something that no reading of the RFCs allows.
 */
#ifndef MODEL_WORLDS_H
#define MODEL_WORLDS_H

#include "model.h"

#define WORLDS_MAX 256

struct worlds {
    struct model models[WORLDS_MAX];
    uint32_t count;
    struct model last; /* that was dropped when none was left, and why */
    const char *why;
};

/* What happens to a model; NULL, or in what it contradicts. */
typedef const char *worlds_event(struct model *m, const void *arg);

void worlds_init(struct worlds *worlds, const struct model *m);
/* False: no model agrees, or there are too many to tell. */
bool worlds_apply(struct worlds *worlds, worlds_event *event, const void *arg);
/* Any of those that are left: what they disagree in has not shown yet. */
static inline const struct model *worlds_any(const struct worlds *worlds)
{
    return &worlds->models[0];
}

#endif
