// SPDX-License-Identifier: BSD-2-Clause
#include "sim.h"

#define EVENT_NAMESPACE_CHANGED 0x00040002u /* log page 4, a notice, its first kind */

static void text_pad(char *to, size_t bytes, const char *text)
{
    size_t len = strlen(text);

    memset(to, ' ', bytes);
    memcpy(to, text, len < bytes ? len : bytes);
}

static void identify_controller(const struct sim *sim, struct nvme_identify_controller *id)
{
    *id = (struct nvme_identify_controller){.mdts = sim->config.mdts,
                                            .ver = 0x00010400,
                                            .oaes = NVME_EVENTS_NAMESPACE,
                                            .acl = 3,
                                            .sqes = NVME_SQE_SHIFT << 4 | NVME_SQE_SHIFT,
                                            .cqes = NVME_CQE_SHIFT << 4 | NVME_CQE_SHIFT,
                                            .nn = NVME_SIM_NAMESPACES_MAX,
                                            .vwc = 1,
                                            .sgls = sim->config.sgls ? 2 : 0,
                                            .oacs =
                                                sim->config.shadow ? NVME_OACS_DOORBELL_BUFFER : 0};
    text_pad(id->sn, sizeof(id->sn), "1");
    text_pad(id->mn, sizeof(id->mn), "controller in software");
    text_pad(id->fr, sizeof(id->fr), "1");
}

static void identify_namespace(const struct nvme_sim_namespace *ns,
                               struct nvme_identify_namespace *id)
{
    memset(id, 0, sizeof(*id));
    if (!ns)
        return; // one that is not active is all zeros
    id->nsze = id->ncap = id->nuse = ns->blocks;
    id->lbaf[0].lbads = ns->block_log;
}

static uint16_t identify(struct sim *sim, const struct nvme_sqe *sqe)
{
    void *page = sim_dma(sim, sqe->prp1, PAGE_BYTES);
    uint32_t *ids = page;

    if (!page)
        return NVME_DATA_TRANSFER_ERROR;
    switch (sqe->cdw10 & 0xff) {
    case NVME_CNS_CONTROLLER:
        identify_controller(sim, page);
        return NVME_OK;
    case NVME_CNS_NAMESPACE:
        if (!sqe->nsid || sqe->nsid > NVME_SIM_NAMESPACES_MAX)
            return NVME_INVALID_NAMESPACE | NVME_STATUS_DNR;
        identify_namespace(sim_namespace(sim, sqe->nsid), page);
        return NVME_OK;
    case NVME_CNS_ACTIVE_LIST:
        memset(page, 0, PAGE_BYTES);
        for (uint32_t id = sqe->nsid + 1; id <= NVME_SIM_NAMESPACES_MAX; id++)
            if (sim_namespace(sim, id))
                *ids++ = id;
        return NVME_OK;
    default:
        return NVME_INVALID_FIELD | NVME_STATUS_DNR;
    }
}

static uint16_t queue_check(const struct sim *sim, const struct nvme_sqe *sqe)
{
    uint32_t qid = sqe->cdw10 & 0xffff, size = (sqe->cdw10 >> 16) + 1;
    uint32_t queue_size = sim->config.queue_size ? sim->config.queue_size : 0x10000;

    if (!qid || qid >= SIM_QUEUES)
        return NVME_QID_INVALID | NVME_STATUS_DNR;
    if (size < 2 || size > queue_size)
        return NVME_QUEUE_SIZE_INVALID | NVME_STATUS_DNR;
    if (!(sqe->cdw11 & NVME_QUEUE_PC) || sqe->prp1 & (PAGE_BYTES - 1))
        return NVME_INVALID_FIELD | NVME_STATUS_DNR;
    return NVME_OK;
}

static uint16_t create_cq(struct sim *sim, const struct nvme_sqe *sqe)
{
    uint32_t qid = sqe->cdw10 & 0xffff, size = (sqe->cdw10 >> 16) + 1;
    uint16_t status = queue_check(sim, sqe);

    if (status)
        return status;
    if (sim->cqs[qid].size)
        return NVME_QID_INVALID | NVME_STATUS_DNR;
    if (sqe->cdw11 & NVME_CQ_IEN && sqe->cdw11 >> 16 >= SIM_QUEUES)
        return NVME_INVALID_FIELD | NVME_STATUS_DNR;
    if (!sim_dma(sim, sqe->prp1, size * sizeof(struct nvme_cqe)))
        return NVME_DATA_TRANSFER_ERROR;
    sim->cqs[qid] = (struct sim_cq){.bus = sqe->prp1,
                                    .size = size,
                                    .phase = NVME_CQE_PHASE,
                                    .interrupt = sqe->cdw11 & NVME_CQ_IEN,
                                    .vector = (uint16_t)(sqe->cdw11 >> 16)};
    return NVME_OK;
}

static uint16_t create_sq(struct sim *sim, const struct nvme_sqe *sqe)
{
    uint32_t qid = sqe->cdw10 & 0xffff, size = (sqe->cdw10 >> 16) + 1, cqid = sqe->cdw11 >> 16;
    uint16_t status = queue_check(sim, sqe);

    if (status)
        return status;
    if (!cqid || cqid >= SIM_QUEUES || !sim->cqs[cqid].size)
        return NVME_CQ_INVALID | NVME_STATUS_DNR;
    if (sim->sqs[qid].size)
        return NVME_QID_INVALID | NVME_STATUS_DNR;
    if (!sim_dma(sim, sqe->prp1, size * sizeof(struct nvme_sqe)))
        return NVME_DATA_TRANSFER_ERROR;
    sim_sq_init(sim, qid, &(struct sim_sq){.bus = sqe->prp1, .size = size, .cqid = cqid});
    return NVME_OK;
}

static uint16_t delete_sq(struct sim *sim, const struct nvme_sqe *sqe)
{
    uint32_t qid = sqe->cdw10 & 0xffff;

    if (!qid || qid >= SIM_QUEUES || !sim->sqs[qid].size)
        return NVME_QID_INVALID | NVME_STATUS_DNR;
    for (uint32_t i = 0; i < sim->cmd_count; i++)
        if (sim->cmds[i].qid == qid)
            sim_complain(sim, "queue %u is deleted with commands out", qid);
    sim->sqs[qid] = (struct sim_sq){0};
    return NVME_OK;
}

static uint16_t delete_cq(struct sim *sim, const struct nvme_sqe *sqe)
{
    uint32_t qid = sqe->cdw10 & 0xffff;

    if (!qid || qid >= SIM_QUEUES || !sim->cqs[qid].size)
        return NVME_QID_INVALID | NVME_STATUS_DNR;
    for (uint32_t i = 1; i < SIM_QUEUES; i++)
        if (sim->sqs[i].size && sim->sqs[i].cqid == qid)
            return NVME_QUEUE_DELETION_INVALID | NVME_STATUS_DNR;
    sim->cqs[qid] = (struct sim_cq){0};
    return NVME_OK;
}

static uint16_t doorbell_buffer(struct sim *sim, const struct nvme_sqe *sqe)
{
    if (!sim->config.shadow)
        return NVME_INVALID_OPCODE | NVME_STATUS_DNR;
    if ((sqe->prp1 | sqe->prp2) & (PAGE_BYTES - 1))
        return NVME_INVALID_FIELD | NVME_STATUS_DNR;
    if (!sim_dma(sim, sqe->prp1, PAGE_BYTES) || !sim_dma(sim, sqe->prp2, PAGE_BYTES))
        return NVME_DATA_TRANSFER_ERROR;
    sim->shadows = sqe->prp1;
    sim->events = sqe->prp2;
    return NVME_OK;
}

static uint32_t abort_command(struct sim *sim, const struct nvme_sqe *sqe)
{
    uint32_t qid = sqe->cdw10 & 0xffff, cid = sqe->cdw10 >> 16;

    if (rand_chance(&sim->rand, sim->config.abort_fails))
        return NVME_ABORT_NOT_ABORTED;
    for (uint32_t i = 0; i < sim->cmd_count; i++) {
        struct sim_cmd *cmd = &sim->cmds[i];

        if (cmd->qid != qid || cmd->sqe.cid != cid)
            continue;
        cmd->status = NVME_ABORT_REQUESTED;
        cmd->due_ns = sim->next_ns = sim->now_ns;
        return 0;
    }
    return NVME_ABORT_NOT_ABORTED;
}

static uint16_t set_features(struct sim *sim, const struct nvme_sqe *sqe, uint32_t *dw0)
{
    uint32_t most = sim->config.queue_pairs ? sim->config.queue_pairs : NVME_QPAIRS_MAX;

    switch (sqe->cdw10 & 0xff) {
    case NVME_FID_NUMBER_OF_QUEUES:
        *dw0 = min_u32(sqe->cdw11 & 0xffff, most - 1) | min_u32(sqe->cdw11 >> 16, most - 1) << 16;
        return NVME_OK;
    case NVME_FID_ASYNC_EVENTS:
        if (sqe->cdw11 & ~(NVME_EVENTS_SMART | NVME_EVENTS_NAMESPACE))
            return NVME_INVALID_FIELD | NVME_STATUS_DNR;
        return NVME_OK;
    default:
        return NVME_INVALID_FIELD | NVME_STATUS_DNR;
    }
}

void sim_event(struct sim *sim)
{
    if (!sim->event_asked || !sim->event_due || !sim_cq_room(sim, 0))
        return;
    sim->event_asked = sim->event_due = false;
    sim_complete(sim, 0, sim->event_cid, NVME_OK, EVENT_NAMESPACE_CHANGED);
}

bool sim_admin(struct sim *sim, const struct nvme_sqe *sqe, uint16_t *status, uint32_t *dw0)
{
    void *page;

    *status = NVME_OK;
    *dw0 = 0;
    switch (sqe->opc) {
    case NVME_ADMIN_IDENTIFY:
        *status = identify(sim, sqe);
        return true;
    case NVME_ADMIN_SET_FEATURES:
        *status = set_features(sim, sqe, dw0);
        return true;
    case NVME_ADMIN_CREATE_CQ:
        *status = create_cq(sim, sqe);
        return true;
    case NVME_ADMIN_CREATE_SQ:
        *status = create_sq(sim, sqe);
        return true;
    case NVME_ADMIN_DELETE_SQ:
        *status = delete_sq(sim, sqe);
        return true;
    case NVME_ADMIN_DELETE_CQ:
        *status = delete_cq(sim, sqe);
        return true;
    case NVME_ADMIN_DOORBELL_BUFFER:
        *status = doorbell_buffer(sim, sqe);
        return true;
    case NVME_ADMIN_ABORT:
        *dw0 = abort_command(sim, sqe);
        return true;
    case NVME_ADMIN_GET_LOG_PAGE:
        page = sim_dma(sim, sqe->prp1, ((sqe->cdw10 >> 16) + 1) * 4);
        if (page)
            memset(page, 0, ((sqe->cdw10 >> 16) + 1) * 4);
        *status = page ? NVME_OK : NVME_DATA_TRANSFER_ERROR;
        return true;
    case NVME_ADMIN_ASYNC_EVENT:
        *status = NVME_AER_LIMIT | NVME_STATUS_DNR;
        if (sim->event_asked)
            return true;
        sim->event_asked = true;
        sim->event_cid = sqe->cid;
        sim_event(sim);
        return false;
    default:
        *status = NVME_INVALID_OPCODE | NVME_STATUS_DNR;
        return true;
    }
}
