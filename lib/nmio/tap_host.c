// SPDX-License-Identifier: BSD-2-Clause
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nmio/tap.h"

/* Packets that wait in the device for our reader. Linux's 1,000 are fewer than what a window of
 * 64 KB frames and a thousand connections' ACKs can bring in one go, and what does not fit is lost.
 */
#define HOST_QUEUE_PACKETS 10000
#define ADDRESS_TEXT_MAX   (INET6_ADDRSTRLEN + 4) /* and "/128" */

struct address {
    uint8_t family;
    uint8_t prefix_len;
    uint8_t bytes_len;
    uint8_t bytes[16];
};

static bool parse_prefix(const char *text, unsigned max, uint8_t *prefix_len)
{
    char *end;
    unsigned long v;

    if (*text < '0' || *text > '9')
        return false;
    v = strtoul(text, &end, 10);
    if (*end || v > max)
        return false;
    *prefix_len = (uint8_t)v;
    return true;
}

static bool parse_address(const char *text, size_t len, struct address *address)
{
    char copy[ADDRESS_TEXT_MAX + 1];
    char *slash;

    if (len > ADDRESS_TEXT_MAX)
        return false;
    memcpy(copy, text, len);
    copy[len] = 0;
    slash = strchr(copy, '/');
    if (!slash)
        return false;
    *slash = 0;
    address->family = strchr(copy, ':') ? AF_INET6 : AF_INET;
    address->bytes_len = address->family == AF_INET6 ? 16 : 4;
    return inet_pton(address->family, copy, address->bytes) == 1 &&
           parse_prefix(slash + 1, address->bytes_len * 8u, &address->prefix_len);
}

struct address_request {
    struct nlmsghdr header;
    struct ifaddrmsg message;
    uint8_t attributes[2 * RTA_SPACE(16)];
};

static void put_attribute(struct address_request *request, uint16_t type, const void *data,
                          uint16_t len)
{
    struct rtattr attribute = {.rta_len = (uint16_t)RTA_LENGTH(len), .rta_type = type};
    uint8_t *at = (uint8_t *)request + NLMSG_ALIGN(request->header.nlmsg_len);

    memcpy(at, &attribute, sizeof(attribute));
    memcpy(at + RTA_LENGTH(0), data, len);
    request->header.nlmsg_len = NLMSG_ALIGN(request->header.nlmsg_len) + RTA_SPACE(len);
}

/* Sends one request and reads the kernel's verdict on it. */
static int netlink_ask(const struct nlmsghdr *request)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
        uint8_t echo[256];
    } reply;
    ssize_t n;
    int err = 0;

    if (fd < 0)
        return -errno;
    if (send(fd, request, request->nlmsg_len, 0) < 0) {
        err = -errno;
        goto close_socket;
    }
    n = recv(fd, &reply, sizeof(reply), 0);
    if (n < 0)
        err = -errno;
    else if ((size_t)n < NLMSG_LENGTH(sizeof(reply.error)) ||
             reply.header.nlmsg_type != NLMSG_ERROR)
        err = -EPROTO;
    else
        err = reply.error.error;
close_socket:
    close(fd);
    return err;
}

static int add_address(unsigned index, const struct address *address)
{
    struct address_request request = {
        .header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifaddrmsg)),
                   .nlmsg_type = RTM_NEWADDR,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE},
        .message = {.ifa_family = address->family,
                    .ifa_prefixlen = address->prefix_len,
                    .ifa_index = index},
    };
    int err;

    /* The only neighbour is us: nobody can have the address already, and a server that is ready
     * must not be unreachable for the second that duplicate address detection takes. */
    if (address->family == AF_INET6)
        request.message.ifa_flags = IFA_F_NODAD;
    put_attribute(&request, IFA_LOCAL, address->bytes, address->bytes_len);
    put_attribute(&request, IFA_ADDRESS, address->bytes, address->bytes_len);
    err = netlink_ask(&request.header);
    return err == -EEXIST ? 0 : err;
}

static int add_addresses(unsigned index, const char *text, const char **why)
{
    struct address address;

    for (;;) {
        size_t len = strcspn(text, ",");
        int err;

        if (!parse_address(text, len, &address))
            return nmio_fail(why, -EINVAL, "%.*s is not an address for the host: say 192.0.2.1/24",
                             (int)min_u64(len, ADDRESS_TEXT_MAX), text);
        err = add_address(index, &address);
        if (err)
            return nmio_fail(why, err, "the host refuses the address %.*s: %s", (int)len, text,
                             strerror(-err));
        if (!text[len])
            return 0;
        text += len + 1;
    }
}

static int set_mtu(int fd, struct ifreq *request, uint32_t mtu, const char **why)
{
    request->ifr_mtu = (int)mtu;
    if (mtu && ioctl(fd, SIOCSIFMTU, request) < 0)
        return nmio_fail(why, -errno, "the host refuses an MTU of %u: %s", mtu, strerror(errno));
    return 0;
}

static int set_up(int fd, struct ifreq *request, const char **why)
{
    request->ifr_qlen = HOST_QUEUE_PACKETS;
    if (ioctl(fd, SIOCSIFTXQLEN, request) < 0)
        return nmio_fail(why, -errno, "cannot make the TAP's queue longer: %s", strerror(errno));
    if (ioctl(fd, SIOCGIFFLAGS, request) < 0)
        return nmio_fail(why, -errno, "cannot read the TAP's state: %s", strerror(errno));
    request->ifr_flags |= IFF_UP;
    if (ioctl(fd, SIOCSIFFLAGS, request) < 0)
        return nmio_fail(why, -errno, "cannot bring the TAP up: %s (it needs CAP_NET_ADMIN)",
                         strerror(errno));
    return 0;
}

int nmio_tap_host_setup(const char *name, const char *addresses, uint32_t mtu, const char **why)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {0};
    int err;

    if (fd < 0)
        return nmio_fail(why, -errno, "cannot open a socket: %s", strerror(errno));
    memcpy(request.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
    err = set_mtu(fd, &request, mtu, why);
    if (!err)
        err = set_up(fd, &request, why);
    if (!err)
        err = add_addresses(if_nametoindex(name), addresses, why);
    close(fd);
    return err;
}

int nmio_tap_host_mtu(const char *name, uint32_t *mtu)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {0};
    int err = 0;

    if (fd < 0)
        return -errno;
    memcpy(request.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
    if (ioctl(fd, SIOCGIFMTU, &request) < 0)
        err = -errno;
    else
        *mtu = (uint32_t)request.ifr_mtu;
    close(fd);
    return err;
}
