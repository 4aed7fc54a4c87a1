// SPDX-License-Identifier: BSD-2-Clause
#include "ask.h"

#include "base/base.h"

#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIPELINED  16 /* heads asked for at a time */
#define HEAD_BYTES 1024

int ask_put(const struct ask_set *set, const char *method, uint32_t n, bool small, char *out)
{
    char folder[16] = "", range[40] = "";

    if (set->per_dir > 0)
        snprintf(folder, sizeof(folder), "/%u", n / set->per_dir);
    if (small)
        snprintf(range, sizeof(range), "Range: bytes=0-%d\r\n", ASK_SMALL_BYTES - 1);
    return snprintf(out, ASK_BYTES, "%s %s/%u.bin HTTP/1.1\r\nHost: bench\r\n%s\r\n", method,
                    folder, set->per_dir > 0 ? n % set->per_dir : n, range);
}

bool ask_head(const char *head, bool small, uint64_t *body_bytes)
{
    const char *status = small ? "HTTP/1.1 206 " : "HTTP/1.1 200 ";
    const char *length = strcasestr(head, "\r\nContent-Length:");

    if (strncmp(head, status, strlen(status)) != 0 || !length)
        return false;
    *body_bytes = strtoull(strchr(length, ':') + 1, NULL, 10);
    return true;
}

/* `count` heads, one after the other; anything else is wrong. */
static bool read_heads(char *text, uint32_t count, uint64_t *sizes)
{
    for (uint32_t i = 0; i < count; i++) {
        char *end = strstr(text, "\r\n\r\n");
        uint64_t body_bytes;

        if (!end)
            return false;
        end[2] = '\0';
        if (!ask_head(text, false, &body_bytes))
            return false;
        sizes[i] = (uint64_t)(end + 4 - text) + body_bytes;
        text = end + 4;
    }
    return *text == '\0';
}

static uint32_t count_heads(const char *text)
{
    uint32_t count = 0;

    while ((text = strstr(text, "\r\n\r\n"))) {
        text += 4;
        count++;
    }
    return count;
}

static bool learn_some(const struct ask_set *set, int fd, uint32_t first, uint32_t count,
                       uint64_t *sizes)
{
    char text[PIPELINED * HEAD_BYTES], request[ASK_BYTES];
    size_t len = 0;

    for (uint32_t n = first; n < first + count; n++) {
        int request_len = ask_put(set, "HEAD", n, false, request);

        if (write(fd, request, (size_t)request_len) != request_len)
            return false;
    }
    do {
        ssize_t n = read(fd, text + len, sizeof(text) - 1 - len);

        if (n <= 0)
            return false;
        len += (size_t)n;
        text[len] = '\0';
    } while (count_heads(text) < count);
    return read_heads(text, count, sizes + first);
}

bool ask_sizes(const struct ask_set *set, const struct sockaddr_in *server, uint64_t *sizes)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    bool good = fd >= 0 && connect(fd, (const struct sockaddr *)server, sizeof(*server)) == 0;

    if (good)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    for (uint32_t n = 0; n < set->objects && good; n += PIPELINED)
        good = learn_some(set, fd, n, min_u32(PIPELINED, set->objects - n), sizes);
    if (fd >= 0)
        close(fd);
    return good;
}
