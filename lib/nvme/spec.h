// SPDX-License-Identifier: BSD-2-Clause
/*
 * spec.h - what an NVMe controller and its host say to each other, byte for byte.
 *
 * Registers, queue entries, data structures and status codes of the NVM Express base specification
 * (1.4; what 2.0 moved into the NVM command set specification has the same layout), under the
 * specification's names. Only what somebody here speaks or answers: no fabrics, no metadata, no
 * zoned namespaces. Everything is little-endian, as the machine is (base/bytes.h says so).
 */
#ifndef NVME_SPEC_H
#define NVME_SPEC_H

#include "base/base.h"

/* --- controller registers (section 3.1) ------------------------------------------------------- */

enum nvme_reg {
    NVME_REG_CAP = 0x00,   /* controller capabilities, 64 bits */
    NVME_REG_VS = 0x08,    /* version: major 31:16, minor 15:8, tertiary 7:0 */
    NVME_REG_INTMS = 0x0c, /* interrupt mask set */
    NVME_REG_INTMC = 0x10, /* interrupt mask clear */
    NVME_REG_CC = 0x14,    /* controller configuration */
    NVME_REG_CSTS = 0x1c,  /* controller status */
    NVME_REG_AQA = 0x24,   /* admin queue attributes: ACQS 27:16, ASQS 11:0, both less one */
    NVME_REG_ASQ = 0x28,   /* admin submission queue base, 64 bits */
    NVME_REG_ACQ = 0x30,   /* admin completion queue base, 64 bits */
    NVME_REG_DOORBELLS = 0x1000,
};

/* A field of a register or a double word: its lowest bit and its width. */
#define NVME_FIELD(value, low, width) (((value) >> (low)) & ((1ull << (width)) - 1))

#define NVME_CAP_MQES(cap)            ((uint32_t)NVME_FIELD(cap, 0, 16)) /* largest queue - 1 */
#define NVME_CAP_TO(cap)              ((uint32_t)NVME_FIELD(cap, 24, 8)) /* in units of 500 ms */
#define NVME_CAP_DSTRD(cap)           ((uint32_t)NVME_FIELD(cap, 32, 4))
#define NVME_CAP_CSS(cap)             ((uint32_t)NVME_FIELD(cap, 37, 8))
#define NVME_CAP_MPSMIN(cap)          ((uint32_t)NVME_FIELD(cap, 48, 4)) /* 2^(12 + MPSMIN) bytes */
#define NVME_CAP_MPSMAX(cap)          ((uint32_t)NVME_FIELD(cap, 52, 4))
#define NVME_CAP_CSS_NVM              1u
#define NVME_CAP_TO_UNIT_MS           500u

#define NVME_CC_EN                    1u
#define NVME_CC_MPS_SHIFT             7
#define NVME_CC_SHN_SHIFT             14
#define NVME_CC_SHN_NORMAL            (1u << NVME_CC_SHN_SHIFT)
#define NVME_CC_SHN_MASK              (3u << NVME_CC_SHN_SHIFT)
#define NVME_CC_IOSQES_SHIFT          16
#define NVME_CC_IOCQES_SHIFT          20

#define NVME_CSTS_RDY                 1u
#define NVME_CSTS_CFS                 2u /* controller fatal status */
#define NVME_CSTS_SHST(csts)          ((uint32_t)NVME_FIELD(csts, 2, 2))
#define NVME_SHST_COMPLETE            2u
/* A read that no device answers. No controller has this status: half of its bits are reserved. */
#define NVME_CSTS_REMOVED UINT32_MAX

/* Where the tail (head) of queue `qid` is told (3.1.24, 3.1.25). The shadow doorbells, and the
 * event indices, have the same order from the beginning of their pages. */
static inline uint32_t nvme_sq_doorbell(uint32_t qid, uint32_t dstrd)
{
    return NVME_REG_DOORBELLS + 2 * qid * (4u << dstrd);
}

static inline uint32_t nvme_cq_doorbell(uint32_t qid, uint32_t dstrd)
{
    return NVME_REG_DOORBELLS + (2 * qid + 1) * (4u << dstrd);
}

/* --- queue entries (sections 4.2, 4.6) -------------------------------------------------------- */

struct nvme_sqe {
    uint8_t opc;
    uint8_t flags; /* FUSE 1:0, PSDT 7:6; 0: not fused, PRPs */
    uint16_t cid;
    uint32_t nsid;
    uint32_t cdw2, cdw3;
    uint64_t mptr;
    uint64_t prp1, prp2;
    uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};
_Static_assert(sizeof(struct nvme_sqe) == 64, "CC.IOSQES says 2^6");
_Static_assert(offsetof(struct nvme_sqe, prp1) == 24, "DPTR");
_Static_assert(offsetof(struct nvme_sqe, cdw10) == 40, "CDW10");

struct nvme_cqe {
    uint32_t dw0; /* the command's own result */
    uint32_t dw1;
    uint16_t sqhd;
    uint16_t sqid;
    uint16_t cid;
    uint16_t sf; /* P 0, then the status: SC 8:1, SCT 11:9, CRD 13:12, M 14, DNR 15 */
};
_Static_assert(sizeof(struct nvme_cqe) == 16, "CC.IOCQES says 2^4");
_Static_assert(offsetof(struct nvme_cqe, sf) == 14, "status field");

/* PSDT 01b: in the place of the PRPs there is an SGL descriptor (section 4.4), that is an address,
 * and a length with the type above it; type 0 is a block of data. */
#define NVME_SQE_SGL   0x40u
#define NVME_SQE_SHIFT 6
#define NVME_CQE_SHIFT 4
#define NVME_CQE_PHASE 1u

/* --- commands (sections 5 and 6) -------------------------------------------------------------- */

enum nvme_admin_opc {
    NVME_ADMIN_DELETE_SQ = 0x00,
    NVME_ADMIN_CREATE_SQ = 0x01,
    NVME_ADMIN_GET_LOG_PAGE = 0x02,
    NVME_ADMIN_DELETE_CQ = 0x04,
    NVME_ADMIN_CREATE_CQ = 0x05,
    NVME_ADMIN_IDENTIFY = 0x06,
    NVME_ADMIN_ABORT = 0x08,
    NVME_ADMIN_SET_FEATURES = 0x09,
    NVME_ADMIN_ASYNC_EVENT = 0x0c,
    NVME_ADMIN_DOORBELL_BUFFER =
        0x7c, /* PRP1: shadow doorbells, PRP2: event indices; a page each */
};

enum nvme_io_opc {
    NVME_IO_FLUSH = 0x00,
    NVME_IO_WRITE = 0x01,
    NVME_IO_READ = 0x02,
};

enum nvme_cns { /* CDW10 7:0 of Identify */
                NVME_CNS_NAMESPACE = 0x00,
                NVME_CNS_CONTROLLER = 0x01,
                NVME_CNS_ACTIVE_LIST =
                    0x02, /* up to 1,024 identifiers above CDW1.NSID, rising, 0: the end */
};

enum nvme_fid { /* CDW10 7:0 of Set Features */
                NVME_FID_NUMBER_OF_QUEUES =
                    0x07, /* CDW11 and DW0: NCQ 31:16, NSQ 15:0, both less one */
                NVME_FID_ASYNC_EVENTS = 0x0b,
};

#define NVME_ACTIVE_LIST_MAX   1024
#define NVME_QUEUE_PC          1u     /* CDW11 of Create I/O Queue: physically contiguous */
#define NVME_CQ_IEN            2u     /* CDW11 of Create I/O CQ: interrupts enabled; IV 31:16 */
#define NVME_EVENTS_SMART      0x1fu  /* CDW11 of the feature: everything critical */
#define NVME_EVENTS_NAMESPACE  0x100u /* ... and changes of namespaces, which is optional */
#define NVME_ABORT_NOT_ABORTED 1u     /* DW0 of Abort */

/* --- data structures (section 5.15.2) --------------------------------------------------------- */

struct nvme_identify_controller {
    uint16_t vid, ssvid;
    char sn[20]; /* padded with spaces */
    char mn[40];
    char fr[8];
    uint8_t rab;
    uint8_t ieee[3];
    uint8_t cmic;
    uint8_t mdts; /* 2^MDTS units of CAP.MPSMIN; 0: no limit */
    uint16_t cntlid;
    uint32_t ver;
    uint32_t rtd3r, rtd3e;
    uint32_t oaes; /* optional asynchronous events that it sends, as in their feature */
    uint8_t reserved96[160];
    uint16_t oacs;
    uint8_t acl;  /* Abort commands at once, less one */
    uint8_t aerl; /* Asynchronous Event Requests at once, less one */
    uint8_t reserved260[252];
    uint8_t sqes, cqes; /* smallest entry 3:0, largest 7:4, as powers of two */
    uint16_t maxcmd;
    uint32_t nn; /* highest namespace identifier */
    uint16_t oncs;
    uint16_t fuses;
    uint8_t fna;
    uint8_t vwc; /* bit 0: there is a volatile write cache */
    uint8_t reserved526[10];
    uint32_t sgls;
    uint8_t reserved540[3556];
};
_Static_assert(sizeof(struct nvme_identify_controller) == 4096, "figure 247");
_Static_assert(offsetof(struct nvme_identify_controller, mdts) == 77, "MDTS");
_Static_assert(offsetof(struct nvme_identify_controller, ver) == 80, "VER");
_Static_assert(offsetof(struct nvme_identify_controller, oaes) == 92, "OAES");
_Static_assert(offsetof(struct nvme_identify_controller, oacs) == 256, "OACS");
_Static_assert(offsetof(struct nvme_identify_controller, sqes) == 512, "SQES");
_Static_assert(offsetof(struct nvme_identify_controller, nn) == 516, "NN");
_Static_assert(offsetof(struct nvme_identify_controller, vwc) == 525, "VWC");
_Static_assert(offsetof(struct nvme_identify_controller, sgls) == 536, "SGLS");

#define NVME_OACS_DOORBELL_BUFFER 0x100u
#define NVME_SGLS_SUPPORT(sgls)   ((sgls)&3u) /* 0: no; 1: any address; 2: multiples of 4 bytes */

struct nvme_lbaf {
    uint16_t ms;   /* bytes of metadata a block */
    uint8_t lbads; /* a block has 2^LBADS bytes */
    uint8_t rp;
};

#define NVME_LBAF_MAX 64 /* 16 until 2.0 */

struct nvme_identify_namespace {
    uint64_t nsze, ncap, nuse; /* in blocks */
    uint8_t nsfeat;
    uint8_t nlbaf; /* formats, less one */
    uint8_t flbas; /* the format in use: 6:5 above 3:0 */
    uint8_t mc, dpc, dps;
    uint8_t reserved30[98];
    struct nvme_lbaf lbaf[NVME_LBAF_MAX];
    uint8_t reserved384[3712];
};
_Static_assert(sizeof(struct nvme_identify_namespace) == 4096, "figure 245");
_Static_assert(offsetof(struct nvme_identify_namespace, flbas) == 26, "FLBAS");
_Static_assert(offsetof(struct nvme_identify_namespace, lbaf) == 128, "LBAF0");

static inline uint32_t nvme_flbas_index(uint8_t flbas)
{
    return (flbas & 0xfu) | ((flbas >> 5 & 3u) << 4);
}

/* --- the SMART / Health Information log (section 5.14.1.2) -------------------------------------
 */

#define NVME_LOG_HEALTH 0x02u /* CDW10 7:0 of Get Log Page */

struct nvme_u128 {
    uint64_t low, high;
};

struct nvme_health_log {
    uint8_t critical_warning; /* a bit for each */
    uint8_t temperature[2];   /* in Kelvin */
    uint8_t spare;            /* percent, as is the next */
    uint8_t spare_threshold;
    uint8_t percentage_used; /* of the life that was foreseen; may be more than 100 */
    uint8_t endurance_warning;
    uint8_t reserved7[25];
    struct nvme_u128 units_read, units_written; /* thousands of 512 bytes */
    struct nvme_u128 reads, writes;
    struct nvme_u128 busy_minutes;
    struct nvme_u128 power_cycles;
    struct nvme_u128 power_on_hours;
    struct nvme_u128 unsafe_shutdowns;
    struct nvme_u128 media_errors;
    struct nvme_u128 error_log_entries;
    uint8_t reserved192[320];
};
_Static_assert(sizeof(struct nvme_health_log) == 512, "figure 194");
_Static_assert(offsetof(struct nvme_health_log, units_read) == 32, "Data Units Read");
_Static_assert(offsetof(struct nvme_health_log, error_log_entries) == 176, "the last count");

/* --- status (section 4.6.1) ------------------------------------------------------------------- */

/* A status is a completion's status field without the phase: SC 7:0, SCT 10:8, CRD 12:11, M 13,
 * DNR 14. */
#define NVME_STATUS(sct, sc)     ((uint16_t)((sct) << 8 | (sc)))
#define NVME_STATUS_CODE(status) ((uint16_t)((status)&0x7ffu)) /* SCT and SC */
#define NVME_STATUS_SCT(status)  ((status) >> 8 & 7u)
#define NVME_STATUS_DNR          0x4000u /* do not retry */

enum nvme_sct {
    NVME_SCT_GENERIC = 0,
    NVME_SCT_SPECIFIC = 1,
    NVME_SCT_MEDIA = 2,
    NVME_SCT_PATH = 3,
    NVME_SCT_VENDOR = 7,
};

enum nvme_status {
    NVME_OK = 0,
    NVME_INVALID_OPCODE = 0x001,
    NVME_INVALID_FIELD = 0x002,
    NVME_CID_CONFLICT = 0x003,
    NVME_DATA_TRANSFER_ERROR = 0x004,
    NVME_POWER_LOSS = 0x005,
    NVME_INTERNAL_ERROR = 0x006,
    NVME_ABORT_REQUESTED = 0x007,
    NVME_SQ_DELETED = 0x008,
    NVME_INVALID_NAMESPACE = 0x00b,
    NVME_PRP_OFFSET_INVALID = 0x013,
    NVME_WRITE_PROTECTED = 0x020,
    NVME_LBA_OUT_OF_RANGE = 0x080,
    NVME_CAPACITY_EXCEEDED = 0x081,
    NVME_NAMESPACE_NOT_READY = 0x082,
    NVME_CQ_INVALID = 0x100,
    NVME_QID_INVALID = 0x101,
    NVME_QUEUE_SIZE_INVALID = 0x102,
    NVME_AER_LIMIT = 0x105,
    NVME_QUEUE_DELETION_INVALID = 0x10c,
    NVME_WRITE_FAULT = 0x280,
    NVME_UNRECOVERED_READ = 0x281,
    NVME_ACCESS_DENIED = 0x286,
    NVME_PATH_ERROR = 0x300,
};

#endif
