// SPDX-License-Identifier: BSD-2-Clause
/*
 * loss.c - packets lost each for itself, and packets lost in bursts.
 *
 * Bursts come from the channel of Gilbert (1960) and Elliott (1963): a good and a bad state, a
 * step from one to the other before each packet with the probabilities p and r, and in each state a
 * probability that the packet comes through. With h = 0 and k = 1 a burst loses 1/r packets on
 * average, and p / (p + r) of all packets are lost.
 *
 * Each direction of each flow goes through a channel of its own, which begins in the good state: so
 * the fate of a flow does not hang on the others, and two senders can be compared.
 */
#include <stdio.h>

#include "path.h"
#include "units.h"

/* --- each packet for itself ------------------------------------------------------------------- */

static bool parse_loss(struct path_settings *settings, const char *text)
{
    return parse_probability(&settings->loss, text);
}

static bool loss_wanted(const struct path_settings *settings)
{
    return settings->loss > 0;
}

static bool loss_apply(struct path *path, struct transit *transit)
{
    if (!rand_chance(&transit->rand, path->settings.loss))
        return true;
    stat_inc(&path->stats.drop_loss);
    return false;
}

static const struct path_option loss_options[] = {
    {"loss", "P", "lose each packet with this probability", "a probability, as in 0.01 or 1%",
     parse_loss},
    {0},
};

const struct stage stage_loss = {"loss", loss_options, loss_wanted, loss_apply};

/* --- in bursts -------------------------------------------------------------------------------- */

#define BURST_TEXT_MAX 100

static bool parse_parameter(struct burst_model *model, const char *text)
{
    double *to;

    switch (*text) {
    case 'p':
        to = &model->p;
        break;
    case 'r':
        to = &model->r;
        break;
    case 'h':
        to = &model->h;
        break;
    case 'k':
        to = &model->k;
        break;
    default:
        return false;
    }
    return text[1] == '=' && parse_probability(to, text + 2);
}

/* "p=0.005,r=0.3", "p=0.01,r=0.25,h=0.1,k=0.999" */
static bool parse_burst(struct path_settings *settings, const char *text)
{
    struct burst_model model = {.on = true, .p = -1, .r = -1, .h = 0, .k = 1};
    char copy[BURST_TEXT_MAX], *rest = copy, *part;
    int len = snprintf(copy, sizeof(copy), "%s", text);

    if (len < 0 || len >= BURST_TEXT_MAX)
        return false;
    while ((part = strsep(&rest, ",")))
        if (!parse_parameter(&model, part))
            return false;
    settings->burst = model;
    return model.p >= 0 && model.r >= 0;
}

static bool burst_wanted(const struct path_settings *settings)
{
    return settings->burst.on;
}

static bool burst_apply(struct path *path, struct transit *transit)
{
    const struct burst_model *model = &path->settings.burst;
    bool *bad = &transit->flow->bad[path->direction];

    if (rand_chance(&transit->rand, *bad ? model->r : model->p))
        *bad = !*bad;
    if (rand_chance(&transit->rand, *bad ? model->h : model->k))
        return true;
    stat_inc(&path->stats.drop_burst);
    return false;
}

static const struct path_option burst_options[] = {
    {"burst", "p=P,r=P[,h=P][,k=P]", "lose packets in bursts (Gilbert-Elliott)",
     "p=P,r=P and, if wanted, h=P and k=P, as in p=0.005,r=0.3", parse_burst},
    {0},
};

const struct stage stage_burst = {"burst", burst_options, burst_wanted, burst_apply};
