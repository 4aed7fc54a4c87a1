// SPDX-License-Identifier: BSD-2-Clause
#include "machine.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "nvme/qtest.h"
#include "subject.h"

#define MEDIUM_BYTES (8u << 20)

/* QEMU's MDTS is 7 unless something else is asked for: 512 KiB. */
static const struct personality personalities[] = {
    {.name = "plain",
     .kind = MACHINE_PLAIN,
     .qpairs = MACHINE_QPAIRS,
     .transfer_bytes = 512 << 10,
     .namespaces = {{.ns_id = 1, .block_bytes = 512}}},
    {.name = "small_transfers",
     .kind = MACHINE_PLAIN,
     .options = ",mdts=1",
     .qpairs = MACHINE_QPAIRS,
     .transfer_bytes = 8 << 10,
     .no_sgls = true,
     .namespaces = {{.ns_id = 1, .block_bytes = 512}}},
    {.name = "any_transfer",
     .kind = MACHINE_PLAIN,
     .options = ",mdts=0",
     .qpairs = MACHINE_QPAIRS,
     .transfer_bytes = SUBJECT_TRANSFER,
     .no_sgls = true,
     .namespaces = {{.ns_id = 1, .block_bytes = 512}}},
    {.name = "any_transfer_sgls",
     .kind = MACHINE_PLAIN,
     .options = ",mdts=0",
     .qpairs = MACHINE_QPAIRS,
     .transfer_bytes = SUBJECT_TRANSFER,
     .no_shadow = true,
     .namespaces = {{.ns_id = 1, .block_bytes = 512}}},
    {.name = "blocks_4096",
     .kind = MACHINE_PLAIN,
     .qpairs = MACHINE_QPAIRS,
     .transfer_bytes = 512 << 10,
     .no_shadow = true,
     .namespaces = {{.ns_id = 1, .block_bytes = 4096}}},
    {.name = "cmb",
     .kind = MACHINE_PLAIN,
     .options = ",cmb_size_mb=16",
     .qpairs = MACHINE_QPAIRS,
     .transfer_bytes = 512 << 10,
     .namespaces = {{.ns_id = 1, .block_bytes = 512}}},
    {.name = "cmb_legacy",
     .kind = MACHINE_PLAIN,
     .options = ",cmb_size_mb=16,legacy-cmb=on",
     .qpairs = MACHINE_QPAIRS,
     .transfer_bytes = 512 << 10,
     .no_sgls = true,
     .no_shadow = true,
     .namespaces = {{.ns_id = 1, .block_bytes = 512}}},
    {.name = "few_queues",
     .kind = MACHINE_PLAIN,
     .options = ",max_ioqpairs=1,msix_qsize=1,ioeventfd=off,aerl=0",
     .qpairs = 1,
     .transfer_bytes = 512 << 10,
     .no_sgls = true,
     .namespaces = {{.ns_id = 1, .block_bytes = 512}}},
    {.name = "namespaces",
     .kind = MACHINE_NAMESPACES,
     .options = ",mdts=3,max_ioqpairs=3",
     .qpairs = 3,
     .transfer_bytes = 32 << 10,
     .namespaces = {{.ns_id = 1, .block_bytes = 512},
                    {.ns_id = 3, .block_bytes = 4096},
                    {.ns_id = 7, .block_bytes = 1024},
                    {.ns_id = 200, .block_bytes = 2048}}},
    {.name = "bad_blocks",
     .kind = MACHINE_BAD_BLOCKS,
     .options = ",mdts=4",
     .qpairs = MACHINE_QPAIRS,
     .transfer_bytes = 64 << 10,
     .namespaces = {{.ns_id = 1, .block_bytes = 512}}},
    {.name = "pulled_out",
     .kind = MACHINE_PC,
     .qpairs = MACHINE_QPAIRS,
     .transfer_bytes = 512 << 10,
     .namespaces = {{.ns_id = 1, .block_bytes = 512}}},
    {.name = "foreign",
     .kind = MACHINE_FOREIGN,
     .qpairs = MACHINE_QPAIRS,
     .transfer_bytes = 512 << 10,
     .namespaces = {{.ns_id = 1, .block_bytes = 512},
                    {.ns_id = 2, .block_bytes = 512, .metadata = 8},
                    {.ns_id = 3, .block_bytes = 4096}}},
};

const struct personality *personality_find(const char *name)
{
    for (uint32_t i = 0; i < array_len(personalities); i++) {
        if (name && !strcmp(name, personalities[i].name))
            return &personalities[i];
        if (!name)
            fprintf(stderr, "    %s\n", personalities[i].name);
    }
    return NULL;
}

/* From the file up: where errors are made, where events come from, where requests are held up. */
static void namespace_add(struct machine *m, uint32_t index, const struct medium *medium)
{
    uint32_t id = medium->ns_id;

    qemu_option(&m->qemu, "-blockdev",
                "driver=file,filename=/proc/self/fd/%d,locking=off,node-name=file%u", medium->fd,
                id);
    if (m->personality->kind == MACHINE_BAD_BLOCKS)
        qemu_option(&m->qemu, "-blockdev",
                    "driver=blkdebug,image=file%u,node-name=errors%u"
                    ",inject-error.0.event=none,inject-error.0.iotype=read"
                    ",inject-error.0.sector=%u,inject-error.0.errno=%d"
                    ",inject-error.1.event=none,inject-error.1.iotype=write"
                    ",inject-error.1.sector=%u,inject-error.1.errno=%d",
                    id, id, MACHINE_BAD_READ, EIO, MACHINE_BAD_WRITE, EIO);
    else
        qemu_option(&m->qemu, "-blockdev", "driver=blkdebug,image=file%u,node-name=errors%u", id,
                    id);
    qemu_option(&m->qemu, "-blockdev", "driver=raw,file=errors%u,node-name=raw%u", id, id);
    qemu_option(&m->qemu, "-blockdev",
                "driver=throttle,throttle-group=limits,file=raw%u,node-name=medium%u", id, id);
    qemu_option(
        &m->qemu, "-device",
        "nvme-ns,id=ns%u,drive=medium%u,nsid=%u,logical_block_size=%u,physical_block_size=%u,ms=%u",
        id, id, id, medium->block_bytes, medium->block_bytes,
        m->personality->namespaces[index].metadata);
}

bool machine_start(struct machine *m, const struct personality *p)
{
    m->personality = p;
    qemu_option(&m->qemu, "-object", "throttle-group,id=limits");
    // Only with a subsystem do namespaces come and go.
    qemu_option(&m->qemu, "-device", "nvme-subsys,id=subsystem");
    qemu_option(&m->qemu, "-device", "nvme,id=disk,subsys=subsystem,addr=%u,serial=%s%s",
                MACHINE_SLOT, p->name, p->options ? p->options : "");
    for (uint32_t i = 0; i < MACHINE_MEDIA && p->namespaces[i].ns_id; i++) {
        bool foreign = p->namespaces[i].metadata;
        struct medium *medium = foreign ? &m->foreign : &m->media[m->medium_count++];

        if (!medium_open(medium, p->namespaces[i].ns_id, p->namespaces[i].block_bytes,
                         MEDIUM_BYTES))
            return false;
        namespace_add(m, i, medium);
    }
    return qemu_start(&m->qemu, p->kind == MACHINE_PC ? "pc" : "q35");
}

bool machine_stop(struct machine *m)
{
    return !m->qemu.pid || qemu_stop(&m->qemu);
}

void machine_forget(struct machine *m)
{
    for (uint32_t i = 0; i < m->medium_count; i++)
        medium_close(&m->media[i]);
    if (m->foreign.state)
        medium_close(&m->foreign);
}

struct nvme_access *machine_reach(struct machine *m, char *why, size_t why_bytes)
{
    struct nvme_qtest_config config = {.fd = dup(m->qemu.qtest_fd),
                                       .memory_fd = m->qemu.memory_fd,
                                       .memory_bytes = QEMU_MEMORY_BYTES};
    struct nvme_access *access;

    if (nvme_qtest_open(&access, &config, why, why_bytes) == 0)
        return access;
    close(config.fd);
    return NULL;
}

bool machine_hold(struct machine *m, const struct medium *medium, const char *what, const char *tag)
{
    char line[128];

    // By the device's name: for a node's, QEMU would wait until nothing is under way there.
    snprintf(line, sizeof(line), "qemu-io -d ns%u \"%s %s\"", medium->ns_id, what, tag);
    return qemu_command(&m->qemu, line);
}

bool machine_limit(struct machine *m, uint32_t requests_per_second)
{
    return qemu_ask(&m->qemu,
                    "{\"execute\":\"qom-set\",\"arguments\":{\"path\":\"/objects/limits\","
                    "\"property\":\"limits\",\"value\":{\"iops-total\":%u}}}",
                    requests_per_second);
}

void machine_command(struct machine *m, uint32_t value)
{
    (void)qemu_question(&m->qemu, "outl 0xcf8 0x%x", 1u << 31 | MACHINE_SLOT << 11 | 4);
    (void)qemu_question(&m->qemu, "outl 0xcfc 0x%x", value);
}

bool machine_trace(struct machine *m, const char *event, bool on)
{
    return qemu_ask(&m->qemu,
                    "{\"execute\":\"trace-event-set-state\",\"arguments\":"
                    "{\"name\":\"%s\",\"enable\":%s}}",
                    event, on ? "true" : "false");
}
