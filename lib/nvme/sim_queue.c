// SPDX-License-Identifier: BSD-2-Clause
#include "sim.h"

#include <sys/eventfd.h>

/* --- words of memory that are doorbells ------------------------------------------------------- */

/* Of one of both pages; NULL: there are none. */
static uint32_t *word(struct sim *sim, uint64_t page, uint32_t qid, bool cq)
{
    uint32_t dstrd = sim->config.dstrd;
    uint32_t at = cq ? nvme_cq_doorbell(qid, dstrd) : nvme_sq_doorbell(qid, dstrd);

    return likely(!page) ? NULL : sim_dma(sim, page + at - NVME_REG_DOORBELLS, sizeof(uint32_t));
}

/* The host stores first and looks second, and so do we, the other way around. */
static uint32_t word_read(const uint32_t *at)
{
    return __atomic_load_n(at, __ATOMIC_SEQ_CST);
}

static void word_write(uint32_t *at, uint32_t value)
{
    __atomic_store_n(at, value, __ATOMIC_SEQ_CST);
}

/* --- completing ------------------------------------------------------------------------------- */

static void cq_head_set(struct sim *sim, uint32_t qid, uint32_t value)
{
    struct sim_cq *cq = &sim->cqs[qid];
    uint32_t size = cq->size;

    if (value >= size)
        sim_complain(sim, "the head of completion queue %u is %u of %u", qid, value, size);
    else if ((value + size - cq->head) % size > (cq->tail + size - cq->head) % size)
        // Only what was completed can have been consumed.
        sim_complain(sim, "completion queue %u: the head passed the tail", qid);
    else
        cq->head = value;
}

uint32_t sim_cq_room(struct sim *sim, uint32_t qid)
{
    uint32_t cqid = sim->sqs[qid].cqid;
    struct sim_cq *cq = &sim->cqs[cqid];
    uint32_t *shadow = cqid ? word(sim, sim->shadows, cqid, true) : NULL;

    if (shadow && (cq->tail + 1) % cq->size == cq->head) {
        // The host rings when it has made room; but it may just have done so.
        word_write(word(sim, sim->events, cqid, true), cq->head);
        cq_head_set(sim, cqid, word_read(shadow));
    }
    return cq->size - 1 - (cq->tail + cq->size - cq->head) % cq->size;
}

void sim_complete(struct sim *sim, uint32_t qid, uint16_t cid, uint16_t status, uint32_t dw0)
{
    const struct sim_sq *sq = &sim->sqs[qid];
    struct sim_cq *cq = &sim->cqs[sq->cqid];
    struct nvme_cqe *cqe = sim_dma(sim, cq->bus + cq->tail * sizeof(*cqe), sizeof(*cqe));

    if (!cqe)
        return;
    cqe->dw0 = dw0;
    cqe->sqhd = (uint16_t)sq->head;
    cqe->sqid = (uint16_t)qid;
    cqe->cid = cid;
    // The phase after all that it announces.
    __atomic_store_n(&cqe->sf, (uint16_t)(status << 1 | cq->phase), __ATOMIC_RELEASE);
    if (++cq->tail == cq->size) {
        cq->tail = 0;
        cq->phase ^= NVME_CQE_PHASE;
    }
    if (unlikely(cq->interrupt) && sim->fds[cq->vector] >= 0)
        (void)eventfd_write(sim->fds[cq->vector], 1);
}

/* --- carrying out ----------------------------------------------------------------------------- */

bool sim_running(const struct sim *sim)
{
    return sim->csts & NVME_CSTS_RDY && !(sim->csts & NVME_CSTS_CFS) && !sim->removed && !sim->cut;
}

static void cmd_run(struct sim *sim, const struct sim_cmd *cmd)
{
    uint16_t status = cmd->status;
    uint32_t dw0 = 0;

    if (cmd->qid == 0) {
        if (sim_admin(sim, &cmd->sqe, &status, &dw0))
            sim_complete(sim, 0, cmd->sqe.cid, status, dw0);
        return;
    }
    if (status == NVME_OK)
        status = sim_io(sim, &cmd->sqe);
    else
        sim_io_scribble(sim, &cmd->sqe);
    if (unlikely(sim->config.stray > 0 && sim_cq_room(sim, cmd->qid) > 1 &&
                 rand_chance(&sim->rand, sim->config.stray)))
        sim_complete(sim, cmd->qid, cmd->sqe.cid ^ 0x8000, NVME_OK, 0);
    sim_complete(sim, cmd->qid, cmd->sqe.cid, status, 0);
}

/* All draws in every case, so that one probability leaves the other's dice alone. */
static void cmd_draw(struct sim *sim, struct sim_cmd *cmd)
{
    const struct nvme_sim_config *config = &sim->config;
    uint64_t delay = config->delay_min_ns +
                     rand_below(&sim->rand, config->delay_max_ns - config->delay_min_ns + 1);
    bool error = rand_chance(&sim->rand, config->error);
    uint16_t status = sim_io_draw_error(sim);
    bool stuck = rand_chance(&sim->rand, config->stuck);
    bool fatal = rand_chance(&sim->rand, config->fatal);

    cmd->due_ns = sim->now_ns + delay;
    if (cmd->qid == 0)
        return;
    if (error)
        cmd->status = status;
    if (stuck)
        cmd->due_ns = SIM_NEVER;
    if (fatal)
        sim->csts |= NVME_CSTS_CFS;
}

static void cmd_check(struct sim *sim, const struct sim_cmd *cmd)
{
    for (uint32_t i = 0; i < sim->cmd_count; i++)
        if (sim->cmds[i].qid == cmd->qid && sim->cmds[i].sqe.cid == cmd->sqe.cid)
            sim_complain(sim, "identifier 0x%04x of queue %u is used twice", cmd->sqe.cid,
                         cmd->qid);
    if (cmd->sqe.flags & ~(sim->config.sgls && cmd->qid ? NVME_SQE_SGL : 0))
        sim_complain(sim, "a command is fused, or has data described as nobody asked for");
}

static void fetch(struct sim *sim, uint32_t qid)
{
    struct sim_sq *sq = &sim->sqs[qid];

    while (sq->head != sq->tail && sim->cmd_count < SIM_COMMANDS_MAX && sim_running(sim)) {
        struct nvme_sqe *sqe = sim_dma(sim, sq->bus + sq->head * sizeof(*sqe), sizeof(*sqe));
        struct sim_cmd *cmd = &sim->cmds[sim->cmd_count];

        if (!sqe || (sim->immediate && !sim_cq_room(sim, qid)))
            return;
        if (++sq->head == sq->size)
            sq->head = 0;
        *cmd = (struct sim_cmd){.sqe = *sqe, .qid = (uint16_t)qid};
        if (sim->immediate) {
            cmd_run(sim, cmd);
            continue;
        }
        cmd_check(sim, cmd);
        cmd->order = sim->order++;
        cmd_draw(sim, cmd);
        sim->next_ns = min_u64(sim->next_ns, cmd->due_ns);
        sim->cmd_count++;
    }
}

/* The command that is due first, of those that can be completed. */
static struct sim_cmd *cmd_first(struct sim *sim)
{
    struct sim_cmd *first = NULL;

    for (uint32_t i = 0; i < sim->cmd_count; i++) {
        struct sim_cmd *cmd = &sim->cmds[i];

        // A full queue is looked at again when the host has said that it made room.
        if (cmd->due_ns == SIM_NEVER || !sim_cq_room(sim, cmd->qid))
            continue;
        if (!first || cmd->due_ns < first->due_ns ||
            (cmd->due_ns == first->due_ns && cmd->order < first->order))
            first = cmd;
    }
    return first;
}

static void run_due(struct sim *sim)
{
    struct sim_cmd *first;

    while (sim_running(sim) && sim->next_ns <= sim->now_ns) {
        first = cmd_first(sim);
        sim->next_ns = first ? first->due_ns : SIM_NEVER;
        if (first && first->due_ns <= sim->now_ns) {
            struct sim_cmd cmd = *first;

            *first = sim->cmds[--sim->cmd_count];
            cmd_run(sim, &cmd);
        }
    }
}

void sim_queues_drop(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->cmd_count; i++)
        if (sim->cmds[i].qid && !sim->cut && !sim->removed)
            sim_io_scribble(sim, &sim->cmds[i].sqe);
    sim->cmd_count = 0;
    sim->next_ns = SIM_NEVER;
    memset(sim->sqs, 0, sizeof(sim->sqs));
    memset(sim->cqs, 0, sizeof(sim->cqs));
    sim->shadows = sim->events = 0;
    sim->event_asked = false;
}

/* --- doorbells -------------------------------------------------------------------------------- */

void sim_sq_init(struct sim *sim, uint32_t qid, const struct sim_sq *sq)
{
    sim->sqs[qid] = *sq;
    // The host has cleared the event index: it rings for the first entry.
    sim->sqs[qid].asleep = sim->shadows != 0;
}

static void sq_tail_set(struct sim *sim, uint32_t qid, uint32_t value)
{
    struct sim_sq *sq = &sim->sqs[qid];

    if (value >= sq->size)
        sim_complain(sim, "the tail of submission queue %u is %u of %u", qid, value, sq->size);
    else
        sq->tail = value;
}

/* Nothing is left: the register is to be rung for the next entry, if it does not come just now. */
static void sq_sleep(struct sim *sim, uint32_t qid)
{
    struct sim_sq *sq = &sim->sqs[qid];

    word_write(word(sim, sim->events, qid, false), sq->tail);
    sq_tail_set(sim, qid, word_read(word(sim, sim->shadows, qid, false)));
    sq->asleep = sq->head == sq->tail;
}

/* Of a queue that is not asleep. */
static void sq_look(struct sim *sim, uint32_t qid)
{
    struct sim_sq *sq = &sim->sqs[qid];

    if (!qid || !sim->shadows || sq->asleep)
        return;
    sq_tail_set(sim, qid, word_read(word(sim, sim->shadows, qid, false)));
    if (sq->head == sq->tail && rand_chance(&sim->rand, 0.5))
        sq_sleep(sim, qid);
}

/* Nobody polls: what is there is carried out, until there is nothing or no room for completions. */
static void immediate_run(struct sim *sim, uint32_t qid)
{
    struct sim_sq *sq = &sim->sqs[qid];

    fetch(sim, qid);
    if (likely(!sim->shadows) || !qid)
        return;
    do {
        sq_tail_set(sim, qid, word_read(word(sim, sim->shadows, qid, false)));
        fetch(sim, qid);
        if (sq->head == sq->tail)
            sq_sleep(sim, qid);
    } while (!sq->asleep && sq->size && sim_cq_room(sim, qid));
}

static void doorbell_take(struct sim *sim, uint32_t qid, bool cq, uint32_t value)
{
    uint32_t *shadow = word(sim, sim->shadows, qid, cq);

    if (unlikely(shadow) && word_read(shadow) != value)
        sim_complain(sim, "doorbell %u of queue %u is not in memory", value, qid);
    if (cq) {
        cq_head_set(sim, qid, value);
        sim->next_ns = sim->cmd_count ? sim->now_ns : SIM_NEVER;
    } else {
        sim->sqs[qid].asleep = false;
        sq_tail_set(sim, qid, value);
    }
    if (sim->immediate)
        immediate_run(sim, qid);
}

void sim_doorbell(struct sim *sim, uint32_t off, uint32_t value)
{
    uint32_t index = (off - NVME_REG_DOORBELLS) / (4u << sim->config.dstrd);
    uint32_t qid = index / 2;
    bool cq = index & 1;

    if (likely(qid < SIM_QUEUES && (cq ? sim->cqs[qid].size : sim->sqs[qid].size)))
        doorbell_take(sim, qid, cq, value);
    else if (qid >= SIM_QUEUES || !sim->config.threads)
        // A thread may be overtaken by a reset between its last look and its ringing.
        sim_complain(sim, "doorbell at 0x%x: there is no such queue", off);
}

void sim_queues_poll(struct sim *sim)
{
    for (uint32_t qid = 0; qid < SIM_QUEUES; qid++) {
        if (!sim->sqs[qid].size)
            continue;
        sq_look(sim, qid);
        if (sim->sqs[qid].head != sim->sqs[qid].tail)
            fetch(sim, qid);
    }
    run_due(sim);
}

bool sim_queues_pending(struct sim *sim)
{
    for (uint32_t qid = 0; qid < SIM_QUEUES; qid++) {
        const struct sim_sq *sq = &sim->sqs[qid];
        const uint32_t *shadow = sq->size ? word(sim, sim->shadows, qid, false) : NULL;

        if (sq->head != sq->tail || (qid && shadow && !sq->asleep && word_read(shadow) != sq->head))
            return true;
    }
    return false;
}
