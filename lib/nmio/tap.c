// SPDX-License-Identifier: BSD-2-Clause
/*
 * tap.c - a TAP device with the virtio-net header: 64 KB frames and checksums left out, both ways.
 *
 * There is no batch call for a TAP: a system call per frame is the price, and GSO frames make it a
 * small one. Frames are kept until there are TX_FRAMES, or until flush, and are then written one
 * after the other: sealing and sending each keep to their own memory and code for longer, and the
 * core that receives, woken by the first frame, is less often asleep again at the next. The kernel
 * copies what is written, so that the owners' references are dropped then; reap has nothing to do.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "nmio/tap.h"
#include "nmio/vnet.h"

/* A frame's IP header says its length in 16 bits. */
#define TAP_GSO_BYTES 65535
#define TAP_MTU_MIN   68 /* RFC 791 */
/*
 * A receive buffer: the largest packet and more, so that one that was cut off shows by filling it.
 * 1,029 lines are five more than a multiple of the first-level cache's 64 sets, and 5 is coprime to
 * 64: the headers of the 64 packets of a batch lie in different sets.
 */
#define RX_BUFFER_BYTES ((size_t)(1029 * CACHE_LINE))

/* 16 and 32 bring no more; half a MB is still in the second-level cache when it is copied. */
#define TX_FRAMES 8

_Static_assert(RX_BUFFER_BYTES > sizeof(struct vnet_header) + FRAME_BYTES_MAX, "room to spare");

struct tap {
    struct nmio_port port;
    uint8_t *buffers; /* NMIO_BATCH of them, taken from the first in each rx */
    uint32_t tx_count;
    struct nmio_frame tx[TX_FRAMES]; /* the first tx_count of them are to be written */
};

static struct tap *tap_of(const struct nmio_port *port)
{
    return container_of(port, struct tap, port);
}

static ssize_t read_packet(int fd, uint8_t *buffer)
{
    ssize_t n;

    do
        n = read(fd, buffer, RX_BUFFER_BYTES);
    while (n < 0 && errno == EINTR);
    return n;
}

static bool parse_packet(uint8_t *buffer, size_t n, struct nmio_pkt *pkt)
{
    struct vnet_header header;

    if (n < sizeof(header) || n == RX_BUFFER_BYTES)
        return false;
    memcpy(&header, buffer, sizeof(header));
    return vnet_parse(&header, buffer + sizeof(header), (uint32_t)(n - sizeof(header)), pkt);
}

static uint32_t tap_rx(struct nmio_port *port, struct nmio_pkt *pkts, uint32_t max, uint64_t now_ns)
{
    struct tap *tap = tap_of(port);
    uint32_t count = 0;

    /* Packets that make no sense count as well, so that a stream of them cannot hold us here. */
    for (uint32_t reads = 0; reads < max; reads++) {
        uint8_t *buffer = tap->buffers + count * RX_BUFFER_BYTES;
        ssize_t n = read_packet(port->fd, buffer);

        if (n <= 0)
            break;
        if (parse_packet(buffer, (size_t)n, &pkts[count]))
            count++;
        else
            stat_inc(&port->stats.drop_rx_malformed);
    }
    return count;
}

static void tap_rx_done(struct nmio_port *port)
{
}

static struct nmio_frame *tap_frame(struct nmio_port *port)
{
    struct tap *tap = tap_of(port);

    return frame_blank(&tap->tx[tap->tx_count]);
}

static void write_frame(struct nmio_port *port, struct nmio_frame *frame)
{
    struct vnet_header header = vnet_make(frame);
    struct iovec iov[2 + NMIO_SLICES_MAX] = {
        {.iov_base = &header, .iov_len = sizeof(header)},
        {.iov_base = frame->header, .iov_len = frame->header_len},
    };
    ssize_t n;

    for (unsigned i = 0; i < frame->slice_count; i++)
        iov[2 + i] = (struct iovec){.iov_base = (void *)(uintptr_t)frame->slices[i].data,
                                    .iov_len = frame->slices[i].len};
    do
        n = writev(port->fd, iov, 2 + frame->slice_count);
    while (n < 0 && errno == EINTR);
    /* ENOBUFS and EAGAIN: no room; EIO: the device is down; EINVAL: the kernel does not like the
     * frame. To TCP each is a lost packet. */
    if (n < 0)
        stat_inc(&port->stats.drop_tx_error);
    else
        count_sent(port, (uint32_t)((size_t)n - sizeof(header)));
    frame_release(frame);
}

static void tap_flush(struct nmio_port *port, uint64_t now_ns)
{
    struct tap *tap = tap_of(port);

    for (uint32_t i = 0; i < tap->tx_count; i++)
        write_frame(port, &tap->tx[i]);
    tap->tx_count = 0;
}

static void tap_tx(struct nmio_port *port, struct nmio_frame *frame, uint64_t now_ns)
{
    struct tap *tap = tap_of(port);

    assert(frame == &tap->tx[tap->tx_count]);
    if (++tap->tx_count == TX_FRAMES)
        tap_flush(port, now_ns);
}

static void tap_reap(struct nmio_port *port)
{
}

static uint64_t tap_next_ns(const struct nmio_port *port)
{
    return UINT64_MAX;
}

static void tap_close(struct nmio_port *port)
{
    struct tap *tap = tap_of(port);

    for (uint32_t i = 0; i < tap->tx_count; i++)
        frame_release(&tap->tx[i]);
    close(port->fd);
    free(tap_of(port));
}

static const struct nmio_ops tap_ops = {
    .rx = tap_rx,
    .rx_done = tap_rx_done,
    .frame = tap_frame,
    .tx = tap_tx,
    .flush = tap_flush,
    .reap = tap_reap,
    .next_ns = tap_next_ns,
    .close = tap_close,
};

/* --- opening -------------------------------------------------------------------------------- */

static int name_check(const char *name, const char **why)
{
    if (!*name)
        return nmio_fail(why, -EINVAL, "tap: needs the device's name: tap:atlas0");
    if (strlen(name) >= IFNAMSIZ)
        return nmio_fail(why, -ENAMETOOLONG, "%.32s: a device's name has at most %d characters",
                         name, IFNAMSIZ - 1);
    /* A per cent sign would make the kernel choose a name that nobody knows. */
    if (strpbrk(name, "/:% \t\n") || !strcmp(name, ".") || !strcmp(name, ".."))
        return nmio_fail(why, -EINVAL, "%s cannot be a device's name", name);
    return 0;
}

static int open_error(int err, const char **why)
{
    switch (err) {
    case -ENOENT:
    case -ENODEV:
    case -ENXIO:
        return nmio_fail(why, err,
                         "there is no /dev/net/tun: modprobe tun, or give the container the "
                         "device (docker run --device /dev/net/tun)");
    case -EACCES:
    case -EPERM:
        return nmio_fail(why, err, "may not open /dev/net/tun: run as root or chmod 666 it");
    default:
        return nmio_fail(why, err, "cannot open /dev/net/tun: %s", strerror(-err));
    }
}

static int attach_error(int err, const char *name, bool multi, const char **why)
{
    switch (err) {
    case -EPERM:
        return nmio_fail(why, err,
                         "a TAP needs CAP_NET_ADMIN: run as root, or have it made for you: "
                         "ip tuntap add dev %s mode tap user YOU%s",
                         name, multi ? " multi_queue" : "");
    case -EBUSY:
        return nmio_fail(why, err, "%s is in use: another process has it open", name);
    case -EINVAL:
        return nmio_fail(why, err,
                         multi ? "%s exists and is not a TAP with multi_queue: use one worker, or "
                                 "another name"
                               : "%s exists and is not a TAP: use another name",
                         name);
    case -E2BIG:
        return nmio_fail(why, err, "%s has no queue left", name);
    default:
        return nmio_fail(why, err, "cannot make %s: %s", name, strerror(-err));
    }
}

static int attach(int fd, const char *name, int flags)
{
    struct ifreq request = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | flags)};

    memcpy(request.ifr_name, name, strlen(name));
    return ioctl(fd, TUNSETIFF, &request) < 0 ? -errno : 0;
}

/* One descriptor is one queue. A device that an operator made may have several though we want one.
 */
static int attach_queue(int fd, const char *name, bool multi, const char **why)
{
    int err = attach(fd, name, multi ? IFF_MULTI_QUEUE : 0);

    if (err == -EINVAL && !multi)
        err = attach(fd, name, IFF_MULTI_QUEUE);
    return err ? attach_error(err, name, multi, why) : 0;
}

static int set_offloads(int fd, const char **why)
{
    int header_bytes = sizeof(struct vnet_header);

    if (ioctl(fd, TUNSETVNETHDRSZ, &header_bytes) < 0 ||
        ioctl(fd, TUNSETOFFLOAD, (unsigned long)(TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6)) < 0)
        return nmio_fail(why, -errno, "this kernel's TAP does not segment: %s", strerror(errno));
    return 0;
}

/*
 * The address made up is the host's (random, unless an operator chose it) with one bit changed, and
 * locally administered: every queue of a device comes to the same one, and so does the next
 * start on a device that stays, whose neighbours remember us.
 */
static int choose_mac(int fd, const struct nmio_config *config, uint8_t mac[6], const char **why)
{
    static const uint8_t none[6];
    struct ifreq request = {0};
    uint8_t host[6];

    if (ioctl(fd, SIOCGIFHWADDR, &request) < 0)
        return nmio_fail(why, -errno, "cannot read the TAP's address: %s", strerror(errno));
    memcpy(host, request.ifr_hwaddr.sa_data, 6);
    memcpy(mac, config->mac, 6);
    if (!memcmp(mac, none, 6)) {
        memcpy(mac, host, 6);
        mac[0] = (uint8_t)((mac[0] | 0x02) & 0xfe);
        mac[5] ^= 1;
    }
    if (mac[0] & 1)
        return nmio_fail(why, -EINVAL, "a multicast address cannot be a port's own");
    if (!memcmp(mac, host, 6))
        return nmio_fail(why, -EINVAL, "the host's side of the TAP has this Ethernet address");
    return 0;
}

static int choose_mtu(const char *name, const struct nmio_config *config, uint32_t *mtu,
                      const char **why)
{
    int err;

    if (config->mtu && (config->mtu < TAP_MTU_MIN || config->mtu > TAP_GSO_BYTES))
        return nmio_fail(why, -EINVAL, "an MTU is %d to %d", TAP_MTU_MIN, TAP_GSO_BYTES);
    if (config->host_addr) {
        err = nmio_tap_host_setup(name, config->host_addr, config->mtu, why);
        if (err)
            return err;
    }
    *mtu = config->mtu;
    if (*mtu)
        return 0;
    err = nmio_tap_host_mtu(name, mtu);
    return err ? nmio_fail(why, err, "cannot read %s's MTU: %s", name, strerror(-err)) : 0;
}

static int configure(struct tap *tap, const char *name, const struct nmio_config *config,
                     const char **why)
{
    struct nmio_caps *caps = &tap->port.caps;
    int err = attach_queue(tap->port.fd, name, config->queue_count > 1, why);

    if (!err)
        err = set_offloads(tap->port.fd, why);
    if (!err)
        err = choose_mac(tap->port.fd, config, caps->mac, why);
    if (!err)
        err = choose_mtu(name, config, &caps->mtu, why);
    if (err)
        return err;
    caps->gso_bytes = TAP_GSO_BYTES;
    caps->tx_csum = true;
    caps->slices_max = NMIO_SLICES_MAX;
    tap->buffers = mem_arena_alloc(config->arena, NMIO_BATCH * RX_BUFFER_BYTES, PAGE_BYTES);
    if (!tap->buffers)
        return nmio_fail(why, -ENOMEM, "%s needs %zu KiB of the arena, which has less left", name,
                         NMIO_BATCH * RX_BUFFER_BYTES / 1024);
    return 0;
}

int nmio_tap_open(struct nmio_port **out, const char *name, const struct nmio_config *config,
                  const char **why)
{
    struct tap *tap;
    int err = name_check(name, why);

    if (err)
        return err;
    tap = calloc(1, sizeof(*tap));
    if (!tap)
        return nmio_fail(why, -ENOMEM, "no memory left");
    tap->port.ops = &tap_ops;
    tap->port.fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (tap->port.fd < 0) {
        err = open_error(-errno, why);
        goto free_tap;
    }
    err = configure(tap, name, config, why);
    if (err)
        goto close_fd;
    *out = &tap->port;
    return 0;

close_fd:
    close(tap->port.fd);
free_tap:
    free(tap);
    return err;
}
