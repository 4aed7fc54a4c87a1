// SPDX-License-Identifier: BSD-2-Clause
/*
 * The sum is kept modulo 2^64 - 1, of which 2^16 - 1 is a divisor: whole 64-bit words are added
 * with the carry going round, and only the end folds to 16 bits (RFC 1071 2, parts B and C). Words
 * are taken as they lie in memory, since the byte order does not matter until the sum is stored.
 */
#include "base/bytes.h"
#include "ip/ip.h"

static inline uint64_t add(uint64_t a, uint64_t b)
{
    uint64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? sum + 1 : sum;
}

static uint64_t sum_tail(uint64_t sum, const uint8_t *p, size_t len)
{
    for (; len >= 8; p += 8, len -= 8)
        sum = add(sum, get_le64(p));
    if (len >= 4) {
        sum = add(sum, get_le32(p));
        p += 4;
        len -= 4;
    }
    if (len >= 2) {
        sum = add(sum, get_le16(p));
        p += 2;
        len -= 2;
    }
    return len ? add(sum, *p) : sum; /* as if a zero followed (RFC 1071 1) */
}

/* Four sums side by side keep the adders busy; their high halves count the carries. */
uint64_t ip_sum(uint64_t sum, const void *data, size_t len)
{
    const uint8_t *p = data;
    unsigned __int128 a = sum, b = 0, c = 0, d = 0;

    for (; len >= 32; p += 32, len -= 32) {
        a += get_le64(p);
        b += get_le64(p + 8);
        c += get_le64(p + 16);
        d += get_le64(p + 24);
    }
    a += b;
    c += d;
    a += c;
    return sum_tail(add((uint64_t)a, (uint64_t)(a >> 64)), p, len);
}

/* Turning by 8 bits swaps the bytes of every 16-bit word, and is a multiplication by 2^8 modulo
 * 2^64 - 1 (RFC 1071 2 B). */
uint64_t ip_sum_at(uint64_t sum, size_t at, const void *data, size_t len)
{
    uint64_t part;

    if (!(at & 1))
        return ip_sum(sum, data, len);
    part = ip_sum(0, data, len);
    return add(sum, part << 8 | part >> 56);
}

uint64_t ip_sum_pseudo6(const struct ip_addr *src, const struct ip_addr *dst, uint8_t proto,
                        uint32_t len)
{
    uint64_t sum = add((uint64_t)proto << 8, __builtin_bswap32(len));

    sum = add(sum, get_le64(src->b));
    sum = add(sum, get_le64(src->b + 8));
    sum = add(sum, get_le64(dst->b));
    return add(sum, get_le64(dst->b + 8));
}
