// SPDX-License-Identifier: BSD-2-Clause
#include "worlds.h"

#include <stdlib.h>

void worlds_init(struct worlds *worlds, const struct model *m)
{
    worlds->models[0] = *m;
    worlds->count = 1;
    worlds->why = NULL;
}

/* The next way through the choices, after one that was asked `asked` times: as in counting, the
 * last "no" becomes a "yes" and all behind it are asked anew. False: that was the last way. */
static bool next_way(uint32_t *answers, uint32_t *answer_count, uint32_t asked)
{
    for (uint32_t i = asked; i-- > 0;)
        if (i >= *answer_count || !(*answers >> i & 1)) {
            *answers = (*answers & ((1u << i) - 1)) | 1u << i;
            *answer_count = i + 1;
            return true;
        }
    return false;
}

static bool add(struct worlds *worlds, const struct model *m)
{
    for (uint32_t i = 0; i < worlds->count; i++)
        if (memcmp(&worlds->models[i], m, sizeof(*m)) == 0)
            return true;
    if (worlds->count == WORLDS_MAX)
        return false;
    worlds->models[worlds->count++] = *m;
    return true;
}

static bool apply_one(struct worlds *worlds, const struct model *before, worlds_event *event,
                      const void *arg)
{
    uint32_t answers = 0, answer_count = 0, asked;

    do {
        struct model m;
        const char *why;

        memcpy(&m, before, sizeof(m));
        m.answers = answers;
        m.answer_count = answer_count;
        why = event(&m, arg);
        asked = m.asked;
        m.answers = m.answer_count = m.asked = 0;
        if (!why && !add(worlds, &m)) {
            worlds->why = "too many ways to read what was seen";
            return false;
        }
        if (why && !worlds->why) {
            worlds->why = why;
            worlds->last = m;
        }
    } while (next_way(&answers, &answer_count, asked));
    return true;
}

bool worlds_apply(struct worlds *worlds, worlds_event *event, const void *arg)
{
    uint32_t count = worlds->count;
    struct model *before = malloc(count * sizeof(*before));
    bool good = before != NULL;

    if (good)
        memcpy(before, worlds->models, count * sizeof(*before));
    worlds->count = 0;
    worlds->why = NULL;
    for (uint32_t i = 0; i < count && good; i++)
        good = apply_one(worlds, &before[i], event, arg);
    free(before);
    return good && worlds->count > 0;
}
