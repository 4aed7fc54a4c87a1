// SPDX-License-Identifier: BSD-2-Clause
#include "base/crc32c_priv.h"

/* The CRC is linear: an entry is the sum of the entries of its bits. Entry 1 << k is the polynomial
 * 0x82f63b78 (reflected) moved k bits. */
#define BIT(i, k, entry) (((i) >> (k)&1) * (entry))
#define T1(i)                                                                                      \
    BIT(i, 0, 0xf26b8303u) ^ BIT(i, 1, 0xe13b70f7u) ^ BIT(i, 2, 0xc79a971fu) ^                     \
        BIT(i, 3, 0x8ad958cfu) ^ BIT(i, 4, 0x105ec76fu) ^ BIT(i, 5, 0x20bd8edeu) ^                 \
        BIT(i, 6, 0x417b1dbcu) ^ BIT(i, 7, 0x82f63b78u)
#define T4(i)  T1(i), T1((i) + 1), T1((i) + 2), T1((i) + 3)
#define T16(i) T4(i), T4((i) + 4), T4((i) + 8), T4((i) + 12)
#define T64(i) T16(i), T16((i) + 16), T16((i) + 32), T16((i) + 48)

static const uint32_t table[256] = {T64(0), T64(64), T64(128), T64(192)};

uint32_t crc32c_table(uint32_t crc, const void *p, size_t n)
{
    const uint8_t *byte = p;

    crc = ~crc;
    for (; n; n--, byte++)
        crc = crc >> 8 ^ table[(crc ^ *byte) & 0xff];
    return ~crc;
}
