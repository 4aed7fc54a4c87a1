// SPDX-License-Identifier: BSD-2-Clause
#include <arpa/inet.h>
#include <errno.h>

#include "ip/ip.h"

int ip_addr_parse(const char *text, struct ip_addr *addr)
{
    uint8_t v4[4];

    if (inet_pton(AF_INET, text, v4) == 1) {
        *addr = ip_addr_v4(v4);
        return 0;
    }
    return inet_pton(AF_INET6, text, addr->b) == 1 ? 0 : -EINVAL;
}

/* Up to three digits, nothing else; -1 otherwise. */
static int bits_parse(const char *text)
{
    int bits = 0, digits = 0;

    for (; *text; text++, digits++) {
        if (*text < '0' || *text > '9' || digits == 3)
            return -1;
        bits = bits * 10 + (*text - '0');
    }
    return digits ? bits : -1;
}

int ip_prefix_parse(const char *text, struct ip_prefix *prefix)
{
    char addr[IP_ADDR_TEXT];
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    int bits, max;

    if (len >= sizeof(addr))
        return -EINVAL;
    memcpy(addr, text, len);
    addr[len] = '\0';
    if (ip_addr_parse(addr, &prefix->addr) != 0)
        return -EINVAL;
    max = ip_addr_is_v4(&prefix->addr) ? 32 : 128;
    bits = slash ? bits_parse(slash + 1) : max;
    if (bits < 0 || bits > max)
        return -EINVAL;
    prefix->bits = (uint8_t)bits;
    return 0;
}

const char *ip_addr_format(const struct ip_addr *addr, char *out)
{
    bool v4 = ip_addr_is_v4(addr);

    return inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? addr->b + 12 : addr->b, out, IP_ADDR_TEXT);
}
