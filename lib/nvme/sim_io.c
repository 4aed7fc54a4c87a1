// SPDX-License-Identifier: BSD-2-Clause
#include "sim.h"

/* One or more of every class. */
static const uint16_t errors[] = {
    NVME_INVALID_FIELD,   NVME_DATA_TRANSFER_ERROR,        NVME_INTERNAL_ERROR,
    NVME_ABORT_REQUESTED, NVME_CAPACITY_EXCEEDED,          NVME_NAMESPACE_NOT_READY,
    NVME_WRITE_FAULT,     NVME_UNRECOVERED_READ,           NVME_ACCESS_DENIED,
    NVME_PATH_ERROR,      0x170 /* a command set's own */, 0x7ff /* a vendor's own */,
};

uint16_t sim_io_draw_error(struct sim *sim)
{
    uint16_t status = errors[rand_below(&sim->rand, array_len(errors))];

    return rand_chance(&sim->rand, 0.5) ? status | NVME_STATUS_DNR : status;
}

/* A walk along the PRPs of a command (section 4.3). */
struct walk {
    struct sim *sim;
    uint64_t next; /* the entry in hand */
    const uint64_t *list;
    uint32_t list_left; /* entries up to the end of the list's page */
    uint64_t left;      /* bytes */
    bool first;
};

static bool walk_list(struct walk *w, uint64_t bus)
{
    if (bus & 7) {
        sim_complain(w->sim, "a PRP list at 0x%llx is not aligned", (unsigned long long)bus);
        return false;
    }
    w->list_left = (uint32_t)(PAGE_BYTES - (bus & (PAGE_BYTES - 1))) / sizeof(uint64_t);
    w->list = sim_dma(w->sim, bus, w->list_left * sizeof(uint64_t));
    return w->list != NULL;
}

/* The next piece of memory, within one page; NULL: the host made a mistake. */
static void *walk_step(struct walk *w, uint64_t prp2, uint32_t *bytes)
{
    uint64_t entry = w->next;
    uint32_t off = (uint32_t)(entry & (PAGE_BYTES - 1));

    if (!w->first) {
        if (!w->list && w->left > PAGE_BYTES && !walk_list(w, prp2))
            return NULL;
        // The last entry of a page leads to a further list, unless it is the last of all.
        if (w->list && w->list_left == 1 && w->left > PAGE_BYTES && !walk_list(w, *w->list))
            return NULL;
        entry = w->list ? *w->list++ : prp2;
        w->list_left--;
        off = 0;
        if (entry & (PAGE_BYTES - 1)) {
            sim_complain(w->sim, "PRP 0x%llx has an offset", (unsigned long long)entry);
            return NULL;
        }
    }
    if (off & 3) {
        sim_complain(w->sim, "PRP1 0x%llx is not aligned", (unsigned long long)entry);
        return NULL;
    }
    w->first = false;
    *bytes = (uint32_t)min_u64(w->left, PAGE_BYTES - off);
    w->left -= *bytes;
    return sim_dma(w->sim, entry, *bytes);
}

enum direction { TO_HOST, FROM_HOST, RUBBISH };

/* One piece, which lies at `off` of the medium. */
static uint16_t move(const struct nvme_sim_namespace *ns, void *host, uint32_t bytes, uint64_t off,
                     enum direction direction)
{
    char *media = (char *)ns->media + off;

    if (direction == RUBBISH)
        memset(host, SIM_SCRIBBLE, bytes);
    else if (!ns->move)
        memcpy(direction == TO_HOST ? host : media, direction == TO_HOST ? media : host, bytes);
    else if (ns->move(ns->media, host, bytes, off, direction == FROM_HOST))
        return (direction == TO_HOST ? NVME_UNRECOVERED_READ : NVME_WRITE_FAULT) | NVME_STATUS_DNR;
    return NVME_OK;
}

static uint64_t medium_offset(const struct nvme_sqe *sqe, const struct nvme_sim_namespace *ns)
{
    return (sqe->cdw10 | (uint64_t)sqe->cdw11 << 32) << ns->block_log;
}

/* One descriptor, a block of data: that is all that we say we take. */
static uint16_t transfer_sgl(struct sim *sim, const struct nvme_sqe *sqe,
                             const struct nvme_sim_namespace *ns, uint64_t bytes,
                             enum direction direction)
{
    char *host;

    if (sqe->prp2 >> 56 || sqe->prp1 & 3 || (uint32_t)sqe->prp2 != bytes) {
        sim_complain(sim, "an SGL descriptor of %u bytes and type 0x%x for %llu bytes",
                     (uint32_t)sqe->prp2, (unsigned)(sqe->prp2 >> 56), (unsigned long long)bytes);
        return NVME_INVALID_FIELD;
    }
    host = sim_dma(sim, sqe->prp1, bytes);
    if (!host)
        return NVME_DATA_TRANSFER_ERROR;
    return move(ns, host, (uint32_t)bytes, medium_offset(sqe, ns), direction);
}

static uint16_t transfer(struct sim *sim, const struct nvme_sqe *sqe,
                         const struct nvme_sim_namespace *ns, enum direction direction)
{
    uint64_t off = medium_offset(sqe, ns);
    uint64_t bytes = (uint64_t)((sqe->cdw12 & 0xffff) + 1) << ns->block_log;
    struct walk walk = {.sim = sim, .next = sqe->prp1, .left = bytes, .first = true};
    uint16_t status = NVME_OK;
    uint32_t piece;

    if (sqe->flags & NVME_SQE_SGL)
        return transfer_sgl(sim, sqe, ns, bytes, direction);
    while (walk.left && status == NVME_OK) {
        void *host = walk_step(&walk, sqe->prp2, &piece);

        if (!host)
            return NVME_DATA_TRANSFER_ERROR;
        status = move(ns, host, piece, off, direction);
        off += piece;
    }
    return status;
}

static uint16_t range_check(struct sim *sim, const struct nvme_sqe *sqe,
                            const struct nvme_sim_namespace *ns)
{
    uint64_t lba = sqe->cdw10 | (uint64_t)sqe->cdw11 << 32;
    uint64_t blocks = (sqe->cdw12 & 0xffff) + 1;
    uint8_t mdts = sim->config.mdts;

    if (lba >= ns->blocks || blocks > ns->blocks - lba)
        return NVME_LBA_OUT_OF_RANGE | NVME_STATUS_DNR;
    if (mdts && blocks << ns->block_log > (uint64_t)PAGE_BYTES << mdts) {
        sim_complain(sim, "a command of %llu blocks exceeds MDTS", (unsigned long long)blocks);
        return NVME_INVALID_FIELD | NVME_STATUS_DNR;
    }
    return NVME_OK;
}

uint16_t sim_io(struct sim *sim, const struct nvme_sqe *sqe)
{
    const struct nvme_sim_namespace *ns = sim_namespace(sim, sqe->nsid);
    uint16_t status;

    if (!ns)
        return NVME_INVALID_NAMESPACE | NVME_STATUS_DNR;
    if (sqe->opc == NVME_IO_FLUSH)
        return NVME_OK;
    if (sqe->opc != NVME_IO_READ && sqe->opc != NVME_IO_WRITE)
        return NVME_INVALID_OPCODE | NVME_STATUS_DNR;
    status = range_check(sim, sqe, ns);
    if (status || !ns->media)
        return status;
    return transfer(sim, sqe, ns, sqe->opc == NVME_IO_READ ? TO_HOST : FROM_HOST);
}

void sim_io_scribble(struct sim *sim, const struct nvme_sqe *sqe)
{
    const struct nvme_sim_namespace *ns = sim_namespace(sim, sqe->nsid);

    if (!ns || !ns->media)
        return;
    // What a failed write left on the medium is old or new.
    if (sqe->opc == NVME_IO_WRITE && rand_chance(&sim->rand, 0.5))
        sim_io(sim, sqe);
    if (sqe->opc == NVME_IO_READ && range_check(sim, sqe, ns) == NVME_OK)
        transfer(sim, sqe, ns, RUBBISH);
}
