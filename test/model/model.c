// SPDX-License-Identifier: BSD-2-Clause
/*
 * model.c - the calls (RFC 9293 3.10.1 to 3.10.5), the timeouts (3.10.8), and the text that the
 * application is handed (3.10.7.4, seventh and eighth).
 */
#include "model.h"

void model_init(struct model *m, const struct model_config *config, bool listening)
{
    memset(m, 0, sizeof(*m)); /* padding, too: models are compared byte by byte */
    m->config = *config;
    m->listening = listening;
}

enum tcp_state model_state(const struct model *m)
{
    return m->state == TCP_CLOSED && m->listening ? TCP_LISTEN : m->state;
}

bool model_choose(struct model *m, enum model_choice choice)
{
    bool yes = m->asked < m->answer_count && (m->answers >> m->asked & 1);

    if (choice < MODEL_HABITS && m->habits[choice])
        return m->habits[choice] == 2;
    m->asked++;
    if (choice < MODEL_HABITS)
        m->habits[choice] = yes ? 2 : 1;
    return yes;
}

/* --- what is owed ----------------------------------------------------------------------------- */

uint32_t model_fin_seq(const struct model *m)
{
    return m->iss + 1 + (uint32_t)m->written;
}

bool model_owes(const struct model *m)
{
    switch (m->state) {
    case TCP_CLOSED:
    case TCP_TIME_WAIT:
        return false;
    case TCP_SYN_SENT:
    case TCP_SYN_RECEIVED:
        return true;
    default:
        return m->snd_una != m->snd_nxt || seq_before(m->snd_nxt, model_fin_seq(m)) ||
               (m->closing && !m->fin_sent);
    }
}

void model_need_ack(struct model *m, enum model_need need, uint64_t now_ns)
{
    if (need == MODEL_SOON && m->need < MODEL_SOON)
        m->ack_due_ns = now_ns + MODEL_DELAYED_ACK_NS;
    if (need != MODEL_SOON)
        m->alone++;
    if (need > m->need)
        m->need = need;
}

void model_need_challenge(struct model *m, uint64_t now_ns)
{
    bool lately = m->limited_ns && now_ns - m->limited_ns < MODEL_LIMIT_NS;

    m->limited = true;
    model_need_ack(m, lately ? MODEL_MAY : MODEL_NOW, now_ns);
}

void model_owe_reset(struct model *m, const struct model_reset *reset)
{
    assert(m->reset_count < MODEL_RESETS_MAX);
    m->resets[m->reset_count++] = *reset;
}

/* The clocks of those who wait for an answer begin when there is something to answer. */
static void begins_to_owe(struct model *m, uint64_t now_ns)
{
    if (!model_owes(m))
        m->progress_ns = m->paid_ns = now_ns;
}

/* --- the end ---------------------------------------------------------------------------------- */

/* What is remembered: habits, resets owed, the limit, and where new sequence numbers must begin. */
static void delete_tcb(struct model *m)
{
    struct model old = *m;

    model_init(m, &old.config, old.listening);
    m->want = old.want;
    memcpy(m->resets, old.resets, sizeof(m->resets));
    m->reset_count = old.reset_count;
    m->limited_ns = old.limited_ns;
    memcpy(m->habits, old.habits, sizeof(m->habits));
    m->answers = old.answers;
    m->answer_count = old.answer_count;
    m->asked = old.asked;
}

void model_end(struct model *m, enum tcp_end why)
{
    bool stranger = m->state == TCP_SYN_RECEIVED && m->passive;

    if (!stranger && m->state != TCP_TIME_WAIT) {
        m->want.closed++;
        m->want.why = why;
    }
    delete_tcb(m);
}

void model_time_wait(struct model *m, uint64_t now_ns)
{
    m->state = TCP_TIME_WAIT;
    m->time_wait_min_ns = m->time_wait_max_ns = now_ns + m->config.time_wait_ns;
    m->want.closed++;
    m->want.why = TCP_END_DONE;
}

/* --- 3.10.1 to 3.10.5 ------------------------------------------------------------------------- */

/* OPEN, active. */
void model_connect(struct model *m, uint64_t now_ns)
{
    delete_tcb(m);
    m->state = TCP_SYN_SENT;
    m->syn_owed = true;
    m->snd_mss = MODEL_MSS_DEFAULT;
    m->opened_ns = m->paid_ns = m->progress_ns = m->heard_ns = now_ns;
}

/* SEND. */
void model_write(struct model *m, uint64_t bytes, uint64_t now_ns)
{
    begins_to_owe(m, now_ns);
    m->written += bytes;
}

/* RECEIVE: the buffer has room again. A window that was shut, or of no use, must be opened when
 * there is room for a segment (3.8.6.2.2). */
void model_recved(struct model *m, uint32_t bytes)
{
    uint32_t step = min_u32(m->config.rcv_buffer / 2, m->config.mss);
    uint32_t told = seq_before(m->rcv_nxt, m->rcv_edge) ? m->rcv_edge - m->rcv_nxt : 0;
    uint32_t room;

    m->held -= min_u32(bytes, m->held);
    room = m->config.rcv_buffer - m->held;
    if (m->state < TCP_ESTABLISHED || m->state == TCP_TIME_WAIT)
        return;
    if (told < min_u32(m->config.rcv_buffer / 2, MODEL_MSS_MIN / 2) &&
        room >= told + step + (1u << m->rcv_scale) && !m->fin_taken)
        model_need_ack(m, MODEL_NOW, 0);
}

/* CLOSE. In SYN-SENT the TCB is deleted; else the state changes with the FIN: model_sent. */
void model_close(struct model *m, uint64_t now_ns)
{
    if (m->state == TCP_SYN_SENT) {
        model_end(m, TCP_END_ABORTED);
        return;
    }
    begins_to_owe(m, now_ns);
    m->closing = true;
}

/* ABORT: <SEQ=SND.NXT><CTL=RST>, after both FINs at the endpoint's choice. */
void model_abort(struct model *m)
{
    struct model_reset reset = {
        .seq = m->snd_nxt,
        .ack = m->rcv_nxt,
        .must = m->state != TCP_CLOSING && m->state != TCP_LAST_ACK,
    };

    if (m->state != TCP_SYN_SENT)
        model_owe_reset(m, &reset);
    model_end(m, TCP_END_ABORTED);
}

/* --- 3.10.8 ----------------------------------------------------------------------------------- */

/* From when on the endpoint may give up, and when it must have. */
static bool patience(const struct model *m, uint64_t *may_ns, uint64_t *must_ns)
{
    switch (m->state) {
    case TCP_CLOSED:
    case TCP_TIME_WAIT:
        return false;
    case TCP_SYN_SENT:
        *may_ns = *must_ns = m->opened_ns + MODEL_SYN_NS;
        return true;
    case TCP_SYN_RECEIVED:
        *may_ns = *must_ns = m->opened_ns + (m->passive ? MODEL_STRANGER_NS : MODEL_SYN_NS);
        return true;
    case TCP_FIN_WAIT_2:
        *may_ns = *must_ns = m->fin_wait_2_ns + m->config.fin_wait_2_ns;
        return true;
    default:
        *may_ns = m->progress_ns + m->config.user_timeout_ns;
        *must_ns = max_u64(m->progress_ns, m->heard_ns) + m->config.user_timeout_ns;
        return model_owes(m);
    }
}

void model_time(struct model *m, uint64_t now_ns)
{
    uint64_t may_ns, must_ns;

    if (m->state == TCP_TIME_WAIT && now_ns >= m->time_wait_min_ns &&
        (now_ns > m->time_wait_max_ns + MODEL_TIMER_NS || model_choose(m, MODEL_GIVES_UP)))
        model_end(m, TCP_END_DONE);
    else if (patience(m, &may_ns, &must_ns) && now_ns >= may_ns &&
             (now_ns > must_ns + MODEL_LATE_NS || model_choose(m, MODEL_GIVES_UP)))
        model_end(m, TCP_END_TIMEOUT);
}

/* --- the text, and the FIN -------------------------------------------------------------------- */

/* How far the text reaches without a gap, if all was kept that may have been. */
static uint32_t most(const struct model *m)
{
    uint32_t to = m->rcv_nxt;
    bool grown = true;

    while (grown) {
        grown = false;
        for (uint32_t i = 0; i < m->kept_count; i++)
            if (!seq_before(to, m->kept[i][0]) && seq_before(to, m->kept[i][1])) {
                to = m->kept[i][1];
                grown = true;
            }
    }
    return to - m->rcv_nxt;
}

static bool fin_came(const struct model *m, uint32_t at)
{
    if (m->must_fin && m->must_fin_at == at)
        return true;
    for (uint32_t i = 0; i < m->fin_count; i++)
        if (m->fins[i] == at)
            return true;
    return false;
}

/* 3.10.7.4, eighth. */
static void take_fin(struct model *m, uint64_t now_ns)
{
    m->rcv_nxt++;
    m->fin_taken = true;
    memset(m->kept, 0, sizeof(m->kept));
    memset(m->fins, 0, sizeof(m->fins));
    m->kept_count = m->fin_count = 0;
    model_need_ack(m, MODEL_NOW, now_ns);
    if (m->state == TCP_ESTABLISHED)
        m->state = TCP_CLOSE_WAIT;
    else if (m->state == TCP_FIN_WAIT_1)
        m->state = TCP_CLOSING; /* our FIN is not acknowledged, or this were FIN-WAIT-2 */
    else if (m->state == TCP_FIN_WAIT_2)
        model_time_wait(m, now_ns);
}

/* What was handed up is no longer kept. */
static void forget_kept(struct model *m)
{
    uint32_t left = 0;

    for (uint32_t i = 0; i < m->kept_count; i++)
        if (seq_before(m->rcv_nxt, m->kept[i][1])) {
            memmove(m->kept[left], m->kept[i], sizeof(m->kept[i]));
            left++;
        }
    memset(m->kept[left], 0, (m->kept_count - left) * sizeof(m->kept[0]));
    m->kept_count = left;
}

static const char *took_text(struct model *m, uint64_t bytes, bool ended, uint64_t now_ns)
{
    if (bytes < m->take_min && !(ended && fin_came(m, m->rcv_nxt + (uint32_t)bytes)))
        return "text in order was not handed up";
    if (bytes > max_u32(m->take_min, most(m)))
        return "text was handed up that never came, or twice";
    if (!bytes)
        return NULL;
    m->rcv_nxt += (uint32_t)bytes;
    forget_kept(m);
    m->held += (uint32_t)bytes;
    m->unacked += (uint32_t)bytes;
    if (m->held > m->config.rcv_buffer)
        return "more text was handed up than the buffer holds";
    if (m->state == TCP_FIN_WAIT_2)
        m->fin_wait_2_ns = now_ns;
    /* RFC 5681 4.2: at least every second full-sized segment. */
    model_need_ack(m, m->unacked >= 2u * m->config.mss ? MODEL_NOW : MODEL_SOON, now_ns);
    return NULL;
}

static const char *told_otherwise(const struct model_seen *want, const struct model_seen *seen)
{
    if (seen->accepted != want->accepted)
        return want->accepted ? "the connection was not accepted" : "a connection was accepted";
    if (seen->connected != want->connected)
        return want->connected ? "`connected` was not called" : "`connected` was called";
    if (seen->closed != want->closed)
        return want->closed ? "`closed` was not called" : "`closed` was called";
    if (seen->closed && seen->why != want->why)
        return "`closed` was called with another reason";
    if (want->told_acked && !seen->told_acked)
        return "`sent` was not called";
    return NULL;
}

const char *model_took(struct model *m, const struct model_seen *seen, uint64_t now_ns)
{
    const char *wrong = took_text(m, seen->bytes, seen->ended, now_ns);
    uint64_t acked = m->want.told_acked ? m->want.acked : m->told_acked;

    if (wrong)
        return wrong;
    if (seen->ended > 1 || (seen->ended && (m->fin_taken || !fin_came(m, m->rcv_nxt))))
        return "`recv_end` was called without a FIN";
    if (!seen->ended && m->must_fin && m->must_fin_at == m->rcv_nxt)
        return "the FIN was not taken";
    if (seen->ended)
        take_fin(m, now_ns);
    wrong = told_otherwise(&m->want, seen);
    if (wrong)
        return wrong;
    if (seen->told_acked && seen->acked != acked)
        return "`sent` was called with another offset";
    m->told_acked = m->state == TCP_CLOSED ? 0 : acked;
    m->take_min = 0;
    m->must_fin = false;
    memset(&m->want, 0, sizeof(m->want));
    return NULL;
}
