// SPDX-License-Identifier: BSD-2-Clause
#include "box.h"

#include <errno.h>
#include <stdlib.h>

#include "base/list.h"

#define ETH_HEADER_MAX 22 /* with two VLAN tags */
/* Frames taken from a port before what is due is sent: each may stand for 45 packets, and to send
 * 700 of them to a TAP takes a millisecond, in which others become late. */
#define RX_BATCH 16

/* A chunk whose memory is the box's: a port holds a reference while the wire reads. */
struct packet {
    struct wheel_item item;
    struct list node; /* on box->wire */
    struct mem_chunk chunk;
    uint32_t len;
    uint32_t direction;
    uint8_t data[];
};

struct box {
    struct nmio_port *ports[DIRECTIONS]; /* by the direction that leads to them */
    struct path paths[DIRECTIONS];
    struct wheel wheel;
    struct flow_table flows;
    struct mem_pool pool;
    struct list wire; /* sent, and still being read by a port */
    uint32_t frame_bytes_max;
    uint64_t seed;
    struct hist lateness;
};

static enum direction opposite(enum direction direction)
{
    return direction == TO_RIGHT ? TO_LEFT : TO_RIGHT;
}

/* --- packets ---------------------------------------------------------------------------------- */

static struct packet *packet_new(struct box *box, struct path *path)
{
    struct packet *packet = mem_pool_get(&box->pool);

    if (!packet) {
        stat_inc(&path->stats.drop_memory);
        return NULL;
    }
    packet->chunk = (struct mem_chunk){.data = packet->data, .refs = 1};
    packet->direction = path->direction;
    return packet;
}

static void packet_free(struct box *box, struct packet *packet)
{
    mem_pool_put(&box->pool, packet);
}

/*
 * What is due at once overtakes what waits for a tick. It never overtakes a packet of its own flow:
 * that one's way took no time either, since delays are constant and a rate takes more than 0 ns.
 */
static void packet_schedule(struct box *box, struct path *path, struct packet *packet,
                            uint64_t due_ns, uint64_t now_ns)
{
    if (likely(wheel_put(&box->wheel, &packet->item, due_ns, now_ns)))
        return;
    stat_inc(&path->stats.drop_horizon);
    packet_free(box, packet);
}

static void packet_copy(struct box *box, struct path *path, const struct packet *packet,
                        uint64_t due_ns, uint64_t now_ns)
{
    struct packet *copy = packet_new(box, path);

    if (!copy)
        return;
    copy->len = packet->len;
    memcpy(copy->data, packet->data, packet->len);
    packet_schedule(box, path, copy, due_ns, now_ns);
}

/* --- receiving -------------------------------------------------------------------------------- */

static void admit(struct box *box, struct path *path, struct packet *packet, uint64_t now_ns)
{
    struct frame_info info;
    struct transit transit = {.len = packet->len, .now_ns = now_ns};

    frame_parse(&info, packet->data, packet->len, box->seed);
    if (info.kind == FRAME_LINK) {
        stat_inc(&path->stats.link);
        packet_schedule(box, path, packet, now_ns, now_ns);
        return;
    }
    transit.ip = packet->data + info.ip_at;
    transit.ip6 = info.kind == FRAME_IP6;
    transit.ip_len = packet->len - info.ip_at;
    transit.flow = flow_find(&box->flows, info.flow_key, info.proto);
    if (!path_apply(path, &transit)) {
        packet_free(box, packet);
        return;
    }
    if (transit.duplicate)
        packet_copy(box, path, packet, transit.copy_due_ns, now_ns);
    if (transit.damage)
        path_damage(packet->data, packet->len, transit.damage);
    packet_schedule(box, path, packet, transit.due_ns, now_ns);
}

static void count_packet(struct path *path, uint32_t len)
{
    stat_inc(&path->stats.packets);
    stat_add(&path->stats.bytes, len);
}

static void take_frame(struct box *box, struct path *path, const struct nmio_pkt *pkt,
                       uint64_t now_ns)
{
    struct nmio_cut cut;

    nmio_cut_start(&cut, pkt->data, pkt->len, pkt->gso_size, pkt->flags & NMIO_PKT_CSUM_OK);
    if (cut.largest > box->frame_bytes_max) {
        count_packet(path, pkt->len);
        stat_inc(&path->stats.drop_too_big);
        return;
    }
    while (nmio_cut_left(&cut)) {
        struct packet *packet = packet_new(box, path);

        if (!packet) { /* the rest of the frame has no place either */
            stat_add(&path->stats.drop_memory, nmio_cut_left(&cut) - 1);
            stat_add(&path->stats.packets, nmio_cut_left(&cut));
            return;
        }
        packet->len = nmio_cut_next(&cut, packet->data);
        count_packet(path, packet->len);
        admit(box, path, packet, now_ns);
    }
}

bool box_receive(struct box *box, uint64_t now_ns)
{
    bool more = false;

    for (unsigned d = 0; d < DIRECTIONS; d++) {
        struct nmio_port *from = box->ports[opposite(d)];
        struct nmio_pkt pkts[RX_BATCH];
        uint32_t n = nmio_rx(from, pkts, RX_BATCH, now_ns);

        for (uint32_t i = 0; i < n; i++) {
            if (i + 1 < n)
                __builtin_prefetch(pkts[i + 1].data);
            take_frame(box, &box->paths[d], &pkts[i], now_ns);
        }
        nmio_rx_done(from);
        more |= n == RX_BATCH;
    }
    return more;
}

/* --- sending ---------------------------------------------------------------------------------- */

static void take_back(struct box *box)
{
    struct packet *packet;

    while ((packet = list_first(&box->wire, struct packet, node)) && packet->chunk.refs == 1) {
        list_remove(&packet->node);
        packet_free(box, packet);
    }
}

static void fill_frame(struct nmio_frame *frame, struct packet *packet)
{
    frame->header_len = (uint16_t)min_u32(packet->len, NMIO_HEADER_MAX);
    memcpy(frame->header, packet->data, frame->header_len);
    if (packet->len == frame->header_len)
        return;
    frame->slices[0] = (struct nmio_slice){
        .data = packet->data + frame->header_len,
        .len = packet->len - frame->header_len,
        .owner = &packet->chunk,
    };
    frame->slice_count = 1;
    mem_chunk_hold(&packet->chunk);
}

static void send_packet(struct box *box, struct packet *packet, uint64_t now_ns)
{
    struct nmio_port *to = box->ports[packet->direction];
    struct path_stats *stats = &box->paths[packet->direction].stats;
    struct nmio_frame *frame = nmio_frame(to);

    hist_record(&box->lateness, now_ns - packet->item.due_ns);
    stat_inc(&stats->sent);
    stat_add(&stats->sent_bytes, packet->len);
    if (frame) { /* else the port has counted it */
        fill_frame(frame, packet);
        nmio_tx(to, frame, now_ns);
    }
    if (packet->chunk.refs == 1) /* the port has sent it at once */
        packet_free(box, packet);
    else
        list_push_tail(&box->wire, &packet->node);
}

void box_send(struct box *box, uint64_t now_ns)
{
    struct wheel_item *item;

    while ((item = wheel_take(&box->wheel, now_ns)))
        send_packet(box, container_of(item, struct packet, item), now_ns);
    for (unsigned d = 0; d < DIRECTIONS; d++) {
        nmio_flush(box->ports[d], now_ns);
        nmio_reap(box->ports[d]);
    }
    take_back(box);
}

uint64_t box_next_ns(const struct box *box)
{
    uint64_t next_ns = wheel_next_ns(&box->wheel);

    for (unsigned d = 0; d < DIRECTIONS; d++)
        next_ns = min_u64(next_ns, nmio_next_ns(box->ports[d]));
    return next_ns;
}

/* --- the whole -------------------------------------------------------------------------------- */

static size_t packet_bytes(uint32_t mtu)
{
    return align_up(sizeof(struct packet) + mtu + ETH_HEADER_MAX, CACHE_LINE);
}

size_t box_arena_bytes(const struct box_config *config)
{
    size_t bytes = wheel_arena_bytes() + flow_table_arena_bytes();

    for (unsigned d = 0; d < DIRECTIONS; d++)
        bytes += path_arena_bytes(&config->settings[d]);
    /* The pool's stack of free packets, and its alignment. */
    return bytes + config->packets * (packet_bytes(config->mtu) + sizeof(void *)) + 4 * PAGE_BYTES;
}

int box_open(struct box **out, const struct box_config *config, uint64_t now_ns)
{
    struct box *box = calloc(1, sizeof(*box));
    int err;

    if (!box)
        return -ENOMEM;
    box->ports[TO_LEFT] = config->left;
    box->ports[TO_RIGHT] = config->right;
    box->seed = config->seed;
    box->frame_bytes_max = config->mtu + ETH_HEADER_MAX;
    list_init(&box->wire);
    err = wheel_init(&box->wheel, config->arena, now_ns);
    if (!err)
        err = flow_table_init(&box->flows, config->arena, config->flows_by_order);
    if (!err)
        err = mem_pool_init(&box->pool, config->arena, packet_bytes(config->mtu), config->packets);
    for (unsigned d = 0; d < DIRECTIONS && !err; d++)
        err = path_init(&box->paths[d], &(struct path_config){.settings = config->settings[d],
                                                              .direction = d,
                                                              .seed = config->seed,
                                                              .arena = config->arena});
    if (err) {
        free(box);
        return err;
    }
    *out = box;
    return 0;
}

void box_close(struct box *box)
{
    for (unsigned d = 0; d < DIRECTIONS; d++)
        nmio_close(box->ports[d]);
    free(box);
}

uint64_t box_waiting(const struct box *box)
{
    return box->wheel.count;
}

const struct path *box_path(const struct box *box, enum direction direction)
{
    return &box->paths[direction];
}

const struct nmio_port *box_port(const struct box *box, enum direction towards)
{
    return box->ports[towards];
}

const struct flow_table *box_flows(const struct box *box)
{
    return &box->flows;
}

const struct mem_pool *box_pool(const struct box *box)
{
    return &box->pool;
}

const struct hist *box_lateness(const struct box *box)
{
    return &box->lateness;
}
