// SPDX-License-Identifier: BSD-2-Clause
/*
 * fault.c - a bad network in front of a good port.
 *
 * Every frame, in either direction, is copied in one piece into a buffer of the fault port's own,
 * rolled for, and held until it is due; frames received as GSO frames or with a checksum left out
 * are first made into the packets that a wire would have carried. Each direction draws from a
 * generator of its own, and as much for each frame whatever becomes of it, so that the same
 * calls with the same seed have the same result, and a frame's fate does not hang on the
 * other direction.
 *
 * What is held is sent in nmio_flush and received in nmio_rx.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/rand.h"
#include "nmio/offload.h"
#include "nmio/wire.h"

/* Frames held at once, both directions together: 24 Mbit/s for a second, or 3 GB/s for a
 * millisecond, in packets of 1,500 bytes. */
#define HELD_MAX           2048
#define ADDRESSES_BYTES    12 /* the Ethernet addresses */
#define FLIPS_MAX          3
#define OPTIONS_MAX        256
#define REORDER_DEFAULT_NS NS_PER_MS

/* A chunk whose memory is the fault port's: the port below holds a reference while the wire reads.
 */
struct held {
    struct list node;
    uint64_t due_ns;
    struct mem_chunk chunk;
    uint32_t len;
    uint8_t data[];
};

struct direction {
    struct rand rand;
    struct list held; /* sorted by due_ns; in order of arrival where that is equal */
};

struct fault {
    struct nmio_port port;
    struct nmio_port *under;
    struct nmio_fault_config config;
    struct nmio_fault_stats stats;
    struct direction rx;
    struct direction tx;
    struct list lent; /* received by our user, not given back yet */
    struct list wire; /* handed to the port below, perhaps still being read */
    struct mem_pool pool;
    uint32_t frame_bytes_max;
    struct nmio_frame frame;
};

struct verdict {
    bool lose;
    bool duplicate;
    bool reorder;
    bool corrupt;
    uint64_t flips; /* which bits */
};

static struct fault *fault_of(const struct nmio_port *port)
{
    return container_of(port, struct fault, port);
}

static struct verdict roll(const struct nmio_fault_config *config, struct rand *rand)
{
    struct verdict verdict;

    verdict.lose = rand_chance(rand, config->loss);
    verdict.duplicate = rand_chance(rand, config->duplicate);
    verdict.reorder = rand_chance(rand, config->reorder);
    verdict.corrupt = rand_chance(rand, config->corrupt);
    verdict.flips = rand_u64(rand);
    return verdict;
}

/* --- held frames ---------------------------------------------------------------------------- */

static struct held *held_new(struct fault *fault, uint32_t len)
{
    struct held *held = mem_pool_get(&fault->pool);

    if (!held) {
        stat_inc(&fault->stats.overrun);
        return NULL;
    }
    list_init(&held->node);
    held->chunk = (struct mem_chunk){.data = held->data, .refs = 1};
    held->len = len;
    return held;
}

static void held_free(struct fault *fault, struct held *held)
{
    list_remove(&held->node);
    mem_pool_put(&fault->pool, held);
}

/* Nearly every frame is due last: the place is found from the end. */
static void held_insert(struct direction *direction, struct held *held, uint64_t due_ns)
{
    struct list *at = &direction->held;

    held->due_ns = due_ns;
    while (at->prev != &direction->held && list_entry(at->prev, struct held, node)->due_ns > due_ns)
        at = at->prev;
    list_insert_before(at, &held->node);
}

static struct held *first_due(const struct direction *direction, uint64_t now_ns)
{
    struct held *held = list_first(&direction->held, struct held, node);

    return held && held->due_ns <= now_ns ? held : NULL;
}

/*
 * All flipped bits lie in one 16-bit word, counted from the frame's start as IP, TCP and UDP count.
 * Flips in different words can cancel out in the Internet checksum, and no stack could see
 * such damage; flips in one word never do.
 */
static void corrupt(struct held *held, uint64_t flips)
{
    uint32_t words = held->len / 2;
    struct rand rand;
    unsigned count;
    uint16_t bits = 0;
    uint8_t *word;

    if (words <= ADDRESSES_BYTES / 2)
        return;
    rand_seed(&rand, flips);
    word = held->data + 2 * (ADDRESSES_BYTES / 2 + rand_below(&rand, words - ADDRESSES_BYTES / 2));
    count = 1 + (unsigned)rand_below(&rand, FLIPS_MAX);
    while ((unsigned)__builtin_popcount(bits) < count)
        bits |= (uint16_t)(1u << rand_below(&rand, 16));
    word[0] ^= (uint8_t)bits;
    word[1] ^= (uint8_t)(bits >> 8);
}

static void duplicate(struct fault *fault, struct direction *direction, const struct held *held,
                      uint64_t due_ns)
{
    struct held *copy = held_new(fault, held->len);

    if (!copy)
        return;
    memcpy(copy->data, held->data, held->len);
    held_insert(direction, copy, due_ns);
    stat_inc(&fault->stats.duplicated);
}

/* A frame that is not lost enters the network. Its copy, if there is one, is neither damaged nor
 * held back. */
static void admit(struct fault *fault, struct direction *direction, struct held *held,
                  struct verdict verdict, uint64_t now_ns)
{
    uint64_t due_ns = now_ns + fault->config.delay_ns;

    if (verdict.duplicate)
        duplicate(fault, direction, held, due_ns);
    if (verdict.corrupt) {
        corrupt(held, verdict.flips);
        stat_inc(&fault->stats.corrupted);
    }
    if (verdict.reorder) {
        due_ns += fault->config.reorder_ns;
        stat_inc(&fault->stats.reordered);
    }
    held_insert(direction, held, due_ns);
}

/* --- receiving ------------------------------------------------------------------------------ */

static void take_packet(struct fault *fault, const struct nmio_pkt *pkt, uint64_t now_ns)
{
    struct nmio_cut cut;

    nmio_cut_start(&cut, pkt->data, pkt->len, pkt->gso_size, pkt->flags & NMIO_PKT_CSUM_OK);
    if (cut.largest > fault->frame_bytes_max) {
        stat_inc(&fault->port.stats.drop_rx_malformed);
        return;
    }
    while (nmio_cut_left(&cut)) {
        struct held *held = held_new(fault, 0);
        struct verdict verdict;

        if (!held) {
            stat_add(&fault->stats.overrun, nmio_cut_left(&cut) - 1);
            return;
        }
        held->len = nmio_cut_next(&cut, held->data);
        verdict = roll(&fault->config, &fault->rx.rand);
        if (!verdict.lose) {
            admit(fault, &fault->rx, held, verdict, now_ns);
            continue;
        }
        held_free(fault, held);
        stat_inc(&fault->stats.lost);
    }
}

static uint32_t fault_rx(struct nmio_port *port, struct nmio_pkt *pkts, uint32_t max,
                         uint64_t now_ns)
{
    struct fault *fault = fault_of(port);
    uint32_t n = nmio_rx(fault->under, pkts, max, now_ns);
    struct held *held;

    for (uint32_t i = 0; i < n; i++)
        take_packet(fault, &pkts[i], now_ns);
    nmio_rx_done(fault->under);
    for (n = 0; n < max && (held = first_due(&fault->rx, now_ns)); n++) {
        pkts[n] = (struct nmio_pkt){.data = held->data, .len = held->len};
        list_remove(&held->node);
        list_push_tail(&fault->lent, &held->node);
    }
    return n;
}

static void fault_rx_done(struct nmio_port *port)
{
    struct fault *fault = fault_of(port);

    while (!list_empty(&fault->lent))
        held_free(fault, list_first(&fault->lent, struct held, node));
}

/* --- sending -------------------------------------------------------------------------------- */

static struct nmio_frame *fault_frame(struct nmio_port *port)
{
    struct fault *fault = fault_of(port);

    return fault->config.rx_only ? nmio_frame(fault->under) : frame_blank(&fault->frame);
}

static void hold_frame(struct fault *fault, const struct nmio_frame *frame, uint32_t len,
                       uint64_t now_ns)
{
    struct verdict verdict = roll(&fault->config, &fault->tx.rand);
    struct held *held;

    if (verdict.lose) {
        stat_inc(&fault->stats.lost);
        return;
    }
    held = held_new(fault, len);
    if (!held)
        return;
    frame_copy(held->data, frame);
    admit(fault, &fault->tx, held, verdict, now_ns);
}

static void fault_tx(struct nmio_port *port, struct nmio_frame *frame, uint64_t now_ns)
{
    struct fault *fault = fault_of(port);
    uint32_t len = frame_len(frame);

    if (!fault->config.rx_only && len > fault->frame_bytes_max) {
        stat_inc(&port->stats.drop_tx_error);
        frame_release(frame);
        return;
    }
    count_sent(port, len);
    if (fault->config.rx_only) {
        nmio_tx(fault->under, frame, now_ns);
        return;
    }
    hold_frame(fault, frame, len, now_ns);
    frame_release(frame);
}

/* Hands a held frame to the port below; its memory is ours again when that drops its reference. */
static void send_held(struct fault *fault, struct held *held, uint64_t now_ns)
{
    struct nmio_frame *frame = nmio_frame(fault->under);

    list_remove(&held->node);
    list_push_tail(&fault->wire, &held->node);
    if (!frame)
        return;
    frame->header_len = (uint16_t)min_u32(held->len, NMIO_HEADER_MAX);
    memcpy(frame->header, held->data, frame->header_len);
    if (held->len > frame->header_len) {
        frame->slices[0] = (struct nmio_slice){
            .data = held->data + frame->header_len,
            .len = held->len - frame->header_len,
            .owner = &held->chunk,
        };
        frame->slice_count = 1;
        mem_chunk_hold(&held->chunk);
    }
    nmio_tx(fault->under, frame, now_ns);
}

static void take_back(struct fault *fault)
{
    struct held *held;

    while ((held = list_first(&fault->wire, struct held, node)) && held->chunk.refs == 1)
        held_free(fault, held);
}

static void fault_flush(struct nmio_port *port, uint64_t now_ns)
{
    struct fault *fault = fault_of(port);
    struct held *held;

    while ((held = first_due(&fault->tx, now_ns)))
        send_held(fault, held, now_ns);
    nmio_flush(fault->under, now_ns);
    take_back(fault);
}

static void fault_reap(struct nmio_port *port)
{
    struct fault *fault = fault_of(port);

    nmio_reap(fault->under);
    take_back(fault);
}

static uint64_t fault_next_ns(const struct nmio_port *port)
{
    const struct fault *fault = fault_of(port);
    uint64_t next_ns = nmio_next_ns(fault->under);

    if (!list_empty(&fault->rx.held))
        next_ns = min_u64(next_ns, list_first(&fault->rx.held, struct held, node)->due_ns);
    if (!list_empty(&fault->tx.held))
        next_ns = min_u64(next_ns, list_first(&fault->tx.held, struct held, node)->due_ns);
    return next_ns;
}

static void fault_close(struct nmio_port *port)
{
    struct fault *fault = fault_of(port);

    nmio_close(fault->under);
    free(fault);
}

static const struct nmio_ops fault_ops = {
    .rx = fault_rx,
    .rx_done = fault_rx_done,
    .frame = fault_frame,
    .tx = fault_tx,
    .flush = fault_flush,
    .reap = fault_reap,
    .next_ns = fault_next_ns,
    .close = fault_close,
};

/* --- opening -------------------------------------------------------------------------------- */

static bool is_probability(double p)
{
    return p >= 0 && p <= 1; /* not so for NaN */
}

int nmio_fault_open(struct nmio_port **out, struct nmio_port *under, struct mem_arena *arena,
                    const struct nmio_fault_config *config)
{
    struct fault *fault;
    int err;

    if (!is_probability(config->loss) || !is_probability(config->duplicate) ||
        !is_probability(config->reorder) || !is_probability(config->corrupt))
        return -EINVAL;
    fault = calloc(1, sizeof(*fault));
    if (!fault)
        return -ENOMEM;
    fault->frame_bytes_max = under->caps.mtu + ETH_HEADER_MAX;
    err =
        mem_pool_init(&fault->pool, arena, sizeof(struct held) + fault->frame_bytes_max, HELD_MAX);
    if (err) {
        free(fault);
        return err;
    }
    fault->port = (struct nmio_port){.ops = &fault_ops, .caps = under->caps, .fd = under->fd};
    fault->port.caps.gso_bytes = 0;
    fault->port.caps.tx_csum = false;
    if (!config->rx_only)
        fault->port.caps.slices_max = NMIO_SLICES_MAX;
    fault->under = under;
    fault->config = *config;
    rand_seed(&fault->rx.rand, config->seed);
    rand_seed(&fault->tx.rand, rand_u64(&fault->rx.rand));
    list_init(&fault->rx.held);
    list_init(&fault->tx.held);
    list_init(&fault->lent);
    list_init(&fault->wire);
    *out = &fault->port;
    return 0;
}

const struct nmio_fault_stats *nmio_fault_stats(const struct nmio_port *port)
{
    assert(port->ops == &fault_ops);
    return &fault_of(port)->stats;
}

/* --- options -------------------------------------------------------------------------------- */

static bool parse_probability(double *to, const char *text)
{
    char *end;

    *to = strtod(text, &end);
    return end != text && !*end && is_probability(*to);
}

static bool parse_seed(uint64_t *to, const char *text)
{
    char *end;

    errno = 0;
    *to = strtoull(text, &end, 0);
    return *text >= '0' && *text <= '9' && !*end && !errno;
}

static bool parse_duration(uint64_t *to, const char *text)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {{"ns", 1}, {"us", NS_PER_US}, {"ms", NS_PER_MS}, {"s", NS_PER_S}};
    uint64_t count;
    char *end;

    errno = 0;
    count = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || errno)
        return false;
    for (size_t i = 0; i < array_len(units); i++)
        if (!strcmp(end, units[i].name) && count <= 3600 * NS_PER_S / units[i].ns) {
            *to = count * units[i].ns;
            return true;
        }
    return false;
}

static bool parse_option(struct nmio_fault_config *config, const char *name, const char *value)
{
    if (!strcmp(name, "seed"))
        return parse_seed(&config->seed, value);
    if (!strcmp(name, "loss"))
        return parse_probability(&config->loss, value);
    if (!strcmp(name, "duplicate"))
        return parse_probability(&config->duplicate, value);
    if (!strcmp(name, "reorder"))
        return parse_probability(&config->reorder, value);
    if (!strcmp(name, "corrupt"))
        return parse_probability(&config->corrupt, value);
    if (!strcmp(name, "delay"))
        return parse_duration(&config->delay_ns, value);
    if (!strcmp(name, "reorder_by"))
        return parse_duration(&config->reorder_ns, value);
    config->rx_only = !strcmp(name, "rx_only");
    return config->rx_only && !*value;
}

int nmio_fault_parse(struct nmio_fault_config *config, const char *options, size_t len,
                     const char **why)
{
    char copy[OPTIONS_MAX + 1];
    char *rest = copy, *option;

    *config = (struct nmio_fault_config){.reorder_ns = REORDER_DEFAULT_NS};
    if (!len)
        return 0;
    if (len > OPTIONS_MAX)
        return nmio_fail(why, -EINVAL, "fault: too many options");
    memcpy(copy, options, len);
    copy[len] = 0;
    while ((option = strsep(&rest, ","))) {
        char *value = option;
        const char *name = strsep(&value, "=");

        if (!parse_option(config, name, value ? value : ""))
            return nmio_fail(why, -EINVAL,
                             "fault: %.40s%s%.40s is wrong: options are seed=N, loss=P, "
                             "duplicate=P, reorder=P, corrupt=P (0 to 1), delay=10ms, "
                             "reorder_by=2ms, rx_only",
                             name, value ? "=" : "", value ? value : "");
    }
    return 0;
}
