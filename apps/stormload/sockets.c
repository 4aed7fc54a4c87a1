// SPDX-License-Identifier: BSD-2-Clause
#include "sockets.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX      64
#define READS_PER_EVENT 8 /* then the others have their turn; epoll reports it again */
#define BUFFER_BYTES    (256 * 1024)
/* A head is read in a small portion, so that little of a body is copied before it is known how much
 * can be dropped. */
#define HEAD_READ_BYTES 4096

struct sockets {
    struct sockets_config config;
    struct sources sources;
    int epoll_fd;
    uint8_t *buffer;
};

int sockets_open(struct sockets **out, const struct sockets_config *config)
{
    struct sockets *s = mem_arena_alloc(config->arena, sizeof(*s), CACHE_LINE);

    if (!s)
        return -ENOMEM;
    s->config = *config;
    if (config->sources) {
        s->sources = *config->sources;
        s->sources.next = config->index;
    }
    s->buffer = mem_arena_alloc(config->arena, BUFFER_BYTES, PAGE_BYTES);
    if (!s->buffer)
        return -ENOMEM;
    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (s->epoll_fd < 0)
        return -errno;
    *out = s;
    return 0;
}

void sockets_close(struct sockets *s)
{
    close(s->epoll_fd);
}

/* --- opening, asking, closing ----------------------------------------------------------------- */

static enum client_end end_of_errno(int err)
{
    switch (err) {
    case ECONNREFUSED:
        return CLIENT_REFUSED;
    case ECONNRESET:
    case EPIPE:
        return CLIENT_RESET;
    case ETIMEDOUT:
        return CLIENT_TIMED_OUT;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
        return CLIENT_UNREACHABLE;
    default:
        return CLIENT_LOCAL;
    }
}

/* The port is chosen by connect, when the server's address is known: so it may be in use for
 * another server. */
static int bind_source(struct sockets *s, int fd)
{
    struct ip_addr addr = sources_addr(&s->sources, s->sources.next);
    struct sockaddr_storage from = {.ss_family = s->config.server.ss_family};
    int one = 1;

    s->sources.next += s->config.step;
    if (from.ss_family == AF_INET)
        memcpy(&((struct sockaddr_in *)&from)->sin_addr, addr.b + 12, 4);
    else
        memcpy(&((struct sockaddr_in6 *)&from)->sin6_addr, addr.b, 16);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    return bind(fd, (struct sockaddr *)&from, s->config.server_len);
}

static int begin(struct sockets *s, struct client *client)
{
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = client};

    client->fd =
        socket(s->config.server.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (client->fd < 0)
        return -1;
    if (s->config.sources && bind_source(s, client->fd) < 0)
        return -1;
    if (connect(client->fd, (struct sockaddr *)&s->config.server, s->config.server_len) < 0 &&
        errno != EINPROGRESS)
        return -1;
    return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, client->fd, &event);
}

static bool sockets_connect(void *arg, struct client *client, enum client_end *why, uint64_t now_ns)
{
    if (begin(arg, client) == 0)
        return true;
    *why = end_of_errno(errno);
    return false;
}

static void watch(struct sockets *s, struct client *client, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = client};

    epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, client->fd, &event);
}

/* What the socket does not take waits for EPOLLOUT; if it is broken, the next read says so. */
static void sockets_ask(void *arg, struct client *client, uint64_t now_ns)
{
    const struct target *target = client_request(client);
    ssize_t n = send(client->fd, target->request, target->request_len, MSG_NOSIGNAL);

    client->sent = n > 0 ? (uint32_t)n : 0;
    if (client->sent < target->request_len)
        watch(arg, client, EPOLLIN | EPOLLOUT);
}

static void send_rest(struct sockets *s, struct client *client)
{
    const struct target *target = client_request(client);
    ssize_t n = send(client->fd, target->request + client->sent, target->request_len - client->sent,
                     MSG_NOSIGNAL);

    if (n > 0)
        client->sent += (uint32_t)n;
    if (client->sent == target->request_len)
        watch(s, client, EPOLLIN);
}

static void sockets_hang_up(void *arg, struct client *client, uint64_t now_ns)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
}

const struct transport sockets_transport = {
    .open = sockets_connect,
    .ask = sockets_ask,
    .close = sockets_hang_up,
};

/* --- events ----------------------------------------------------------------------------------- */

static void connect_done(struct sockets *s, struct client *client)
{
    uint64_t now_ns = s->config.clock_ns();
    socklen_t len = sizeof(int);
    int err = 0;

    getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &err, &len);
    if (err) {
        client_ended(client, end_of_errno(err), now_ns);
        return;
    }
    watch(s, client, EPOLLIN);
    client_connected(client, now_ns);
}

/* One receive. False: there is nothing more, or nobody to have it. */
static bool receive(struct sockets *s, struct client *client)
{
    uint64_t skippable = client_skippable(client), now_ns;
    bool skip = skippable > HEAD_READ_BYTES;
    size_t want = skip ? min_u64(skippable, BUFFER_BYTES) : HEAD_READ_BYTES;
    ssize_t n;

    if (!skip && client->heard) /* a body that is looked at */
        want = BUFFER_BYTES;
    n = recv(client->fd, s->buffer, want, skip ? MSG_TRUNC : 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    now_ns = s->config.clock_ns();
    if (n <= 0) {
        client_ended(client, n == 0 ? CLIENT_EOF : end_of_errno(errno), now_ns);
        return false;
    }
    if (skip)
        return client_skipped(client, (uint64_t)n, now_ns) && (size_t)n == want;
    return client_received(client, s->buffer, (size_t)n, now_ns) && (size_t)n == want;
}

static void handle(struct sockets *s, const struct epoll_event *event)
{
    struct client *client = event->data.ptr;

    if (client->state == CLIENT_CONNECTING) {
        connect_done(s, client);
        return;
    }
    if ((event->events & EPOLLOUT) && client->state == CLIENT_ASKING)
        send_rest(s, client);
    if (event->events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        for (int i = 0; i < READS_PER_EVENT && receive(s, client); i++)
            ;
}

void sockets_turn(struct sockets *s, uint64_t until_ns)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t now_ns = s->config.clock_ns();
    uint64_t ns = until_ns > now_ns ? until_ns - now_ns : 0;
    struct timespec ts = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
    int n = epoll_pwait2(s->epoll_fd, events, EVENTS_MAX, &ts, NULL);

    for (int i = 0; i < n; i++)
        handle(s, &events[i]);
}
