// SPDX-License-Identifier: BSD-2-Clause
/*
 * admin.c - /metrics, /status and /healthz on an ordinary socket, from a thread of its own.
 *
 * It reads the workers' counters while they run (stats.h), asks them for what it must not read
 * itself (conns.h), and touches nothing else of theirs. One client at a time: operators and
 * Prometheus are patient, and a client that is not quick is cut off.
 */
#include "admin_priv.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENT_TIMEOUT_S 2
#define REQUEST_MAX      2048

struct admin {
    struct server *server;
    int listen_fd, stop_fd;
    pthread_t id;
};

/* `target` is cut to pieces. */
static const char *answer(FILE *body, struct server *server, char *target, const char **type)
{
    char *query = target;
    const char *path = strsep(&query, "?");

    *type = "text/plain; version=0.0.4; charset=utf-8";
    if (strcmp(path, "/metrics") == 0) {
        admin_metrics(body, server);
    } else if (strcmp(path, "/status") == 0) {
        *type = "application/json";
        if (query)
            return admin_conns(body, server, query);
        admin_status(body, server);
    } else if (strcmp(path, "/healthz") == 0) {
        fputs(admin_is_draining(server) ? "draining\n" : "ok\n", body);
        return admin_is_draining(server) ? "503 Service Unavailable" : "200 OK";
    } else {
        fputs("there are /metrics, /status, /status?connections=N and /healthz\n", body);
        return "404 Not Found";
    }
    return "200 OK";
}

static void send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

        if (n <= 0)
            return; /* gone, or too slow: its loss */
        data += n;
        len -= (size_t)n;
    }
}

/* The request's head, to the empty line: false if it is none that we understand. */
static bool read_request(int fd, char *buf, char *target)
{
    size_t len = 0;

    while (len < REQUEST_MAX - 1) {
        ssize_t n = recv(fd, buf + len, REQUEST_MAX - 1 - len, 0);

        if (n <= 0)
            return false;
        len += (size_t)n;
        buf[len] = '\0';
        if (strstr(buf, "\r\n\r\n"))
            return sscanf(buf, "GET %511[^ ]", target) == 1;
    }
    return false;
}

static void talk(const struct admin *admin, int fd)
{
    struct timeval timeout = {.tv_sec = CLIENT_TIMEOUT_S};
    char request[REQUEST_MAX], target[512], head[256];
    const char *type, *status_line;
    char *body = NULL;
    size_t body_len = 0;
    FILE *out;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    if (!read_request(fd, request, target))
        return;
    out = open_memstream(&body, &body_len);
    if (!out)
        return;
    status_line = answer(out, admin->server, target, &type);
    fclose(out);
    snprintf(head, sizeof(head),
             "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
             status_line, type, body_len);
    send_all(fd, head, strlen(head));
    send_all(fd, body, body_len);
    free(body);
}

static void *admin_main(void *arg)
{
    struct admin *admin = arg;
    struct pollfd fds[2] = {{.fd = admin->listen_fd, .events = POLLIN},
                            {.fd = admin->stop_fd, .events = POLLIN}};

    for (;;) {
        int fd;

        if (poll(fds, array_len(fds), -1) < 0)
            continue;
        if (fds[1].revents)
            return NULL;
        fd = accept4(admin->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        talk(admin, fd);
        close(fd);
    }
}

static int listen_on(const char *addr, uint16_t port)
{
    struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    bool v4 = inet_pton(AF_INET, addr, &in4.sin_addr) == 1;
    int fd, one = 1, rc;

    if (!v4 && inet_pton(AF_INET6, addr, &in6.sin6_addr) != 1)
        return -EINVAL;
    fd = socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    rc = v4 ? bind(fd, (struct sockaddr *)&in4, sizeof(in4))
            : bind(fd, (struct sockaddr *)&in6, sizeof(in6));
    if (rc < 0 || listen(fd, 16) < 0) {
        rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

int admin_open(struct admin **out, struct server *server, const char *addr, uint16_t port)
{
    struct admin *admin = calloc(1, sizeof(*admin));
    int rc;

    if (!admin)
        return -ENOMEM;
    admin->server = server;
    admin->stop_fd = eventfd(0, EFD_CLOEXEC);
    admin->listen_fd = listen_on(addr, port);
    rc = admin->listen_fd;
    if (rc < 0) {
        log_error("--admin %s:%u: %s: choose an address of this machine and a free port", addr,
                  port, strerror(-rc));
        goto close_stop;
    }
    rc = -pthread_create(&admin->id, NULL, admin_main, admin);
    if (rc < 0)
        goto close_listen;
    *out = admin;
    return 0;

close_listen:
    close(admin->listen_fd);
close_stop:
    close(admin->stop_fd);
    free(admin);
    return rc;
}

void admin_close(struct admin *admin)
{
    uint64_t one = 1;

    if (write(admin->stop_fd, &one, sizeof(one)) == sizeof(one))
        pthread_join(admin->id, NULL);
    close(admin->listen_fd);
    close(admin->stop_fd);
    free(admin);
}
