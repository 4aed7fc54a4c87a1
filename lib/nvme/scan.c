// SPDX-License-Identifier: BSD-2-Clause
/*
 * scan.c - which namespaces there are, and what their blocks are like.
 *
 * The first scan is part of the bring-up; later ones follow a reset or an event that says that
 * something changed. A namespace keeps its place in the table for good: users hold pointers to it,
 * and one that is gone, or has become something else, has no blocks.
 */
#include "ctrlr.h"

#define BLOCK_LOG_MIN 9
#define BLOCK_LOG_MAX 12 /* a block fits every command, whatever MDTS is */
_Static_assert(1 << BLOCK_LOG_MAX == PAGE_BYTES, "see above");

static struct nvme_namespace *table_find(struct qpair_namespaces *table, uint32_t ns_id)
{
    for (uint32_t i = 0; i < table->count; i++)
        if (table->list[i].ns_id == ns_id)
            return &table->list[i];
    return NULL;
}

/* What Identify said; no blocks if it is not a format that we read. */
static struct nvme_namespace parse(uint32_t ns_id, const struct nvme_identify_namespace *id)
{
    struct nvme_namespace ns = {.ns_id = ns_id};
    uint32_t index = nvme_flbas_index(id->flbas);
    struct nvme_lbaf format = id->lbaf[index % NVME_LBAF_MAX];

    if (format.lbads < BLOCK_LOG_MIN || format.lbads > BLOCK_LOG_MAX || format.ms)
        return ns;
    ns.block_bytes = 1u << format.lbads;
    // Every byte has an address in 64 bits, so that sums of blocks need no care later.
    ns.blocks = min_u64(id->nsze, UINT64_MAX >> format.lbads);
    return ns;
}

/* Owners look at the table meanwhile: what is counted is filled in, and what has blocks has a size
 * of blocks. */
static void blocks_set(struct nvme_namespace *ns, uint64_t blocks)
{
    __atomic_store_n(&ns->blocks, blocks, __ATOMIC_RELEASE);
}

void scan_record(struct nvme_ctrlr *ctrlr, const struct nvme_namespace *ns)
{
    struct qpair_namespaces *table = &ctrlr->board.namespaces;
    struct nvme_namespace *known = table_find(table, ns->ns_id);

    if (!known && table->count < NVME_NAMESPACES_MAX) {
        table->list[table->count] = *ns;
        __atomic_store_n(&table->count, table->count + 1, __ATOMIC_RELEASE);
        return;
    }
    if (!known)
        return;
    if (!known->block_bytes)
        known->block_bytes = ns->block_bytes;
    blocks_set(known, known->block_bytes == ns->block_bytes ? ns->blocks : 0);
}

void scan_forget_unlisted(struct nvme_ctrlr *ctrlr)
{
    struct qpair_namespaces *table = &ctrlr->board.namespaces;

    for (uint32_t i = 0; i < table->count; i++) {
        bool listed = false;

        for (uint32_t k = 0; k < ctrlr->scan.count; k++)
            listed |= ctrlr->scan.ids[k] == table->list[i].ns_id;
        if (!listed)
            blocks_set(&table->list[i], 0);
    }
}

static void identify_next(struct nvme_ctrlr *ctrlr);

static void identified(void *arg, const struct nvme_cqe *cqe)
{
    struct nvme_ctrlr *ctrlr = arg;
    struct nvme_namespace ns = {.ns_id = ctrlr->scan.ids[ctrlr->scan.at]};

    // It may have gone since it was listed: then it has no blocks.
    if (cqe->sf >> 1 == NVME_OK)
        ns = parse(ns.ns_id, ctrlr->data);
    else
        stat_inc(&ctrlr->stats.admin_errors);
    scan_record(ctrlr, &ns);
    ctrlr->scan.at++;
    identify_next(ctrlr);
}

static void identify_next(struct nvme_ctrlr *ctrlr)
{
    struct scan *scan = &ctrlr->scan;
    struct nvme_sqe sqe = {.opc = NVME_ADMIN_IDENTIFY, .cdw10 = NVME_CNS_NAMESPACE};

    if (scan->at == scan->count) {
        scan_forget_unlisted(ctrlr);
        scan->running = false;
        ctrlr_scanned(ctrlr);
        return;
    }
    sqe.nsid = scan->ids[scan->at];
    sqe.prp1 = ctrlr->data_bus;
    ctrlr_command(ctrlr, &sqe, identified);
}

static void listed(void *arg, const struct nvme_cqe *cqe)
{
    struct nvme_ctrlr *ctrlr = arg;
    const uint32_t *ids = ctrlr->data;
    struct scan *scan = &ctrlr->scan;

    if (!ctrlr_succeeded(ctrlr, cqe, "Identify (list of namespaces)"))
        return;
    while (scan->count < NVME_NAMESPACES_MAX && ids[scan->count]) {
        scan->ids[scan->count] = ids[scan->count];
        scan->count++;
    }
    identify_next(ctrlr);
}

void scan_start(struct nvme_ctrlr *ctrlr)
{
    struct nvme_sqe sqe = {.opc = NVME_ADMIN_IDENTIFY, .cdw10 = NVME_CNS_ACTIVE_LIST};

    ctrlr->scan = (struct scan){.running = true};
    sqe.prp1 = ctrlr->data_bus;
    ctrlr_command(ctrlr, &sqe, listed);
}
