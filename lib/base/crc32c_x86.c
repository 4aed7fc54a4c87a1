// SPDX-License-Identifier: BSD-2-Clause
/*
 * crc32c_x86.c - CRC32C with SSE4.2's instruction, and PCLMULQDQ to put lanes together.
 *
 * The instruction takes 8 bytes and answers after three cycles, but can be issued every cycle:
 * three lanes of the buffer side by side run three times as fast as one. A lane's CRC is then moved
 * over the n bytes behind it by a multiplication with x^(8n) modulo P. A carry-less product of two
 * bit-reflected 32-bit values read as 64 reflected bits is x times their product, and the CRC
 * instruction multiplies by x^32 and reduces: hence the factor x^(8n - 33) mod P, reflected.
 */
#include "base/crc32c.h"

#include <nmmintrin.h>
#include <wmmintrin.h>

#include "base/bytes.h"
#include "base/crc32c_priv.h"

#define use_sse42 __attribute__((target("sse4.2,pclmul")))

/* Three long lanes and two words make a 4 KiB block, four times that a 16 KiB read. */
#define LONG_LANE     1360
#define LONG_SHIFT_1  0x3f70cc6fu /* x^(8 * 1360 - 33) mod P */
#define LONG_SHIFT_2  0x5aa1f3cfu /* x^(16 * 1360 - 33) mod P */
#define SHORT_LANE    128
#define SHORT_SHIFT_1 0x0d3b6092u /* x^(8 * 128 - 33) mod P */
#define SHORT_SHIFT_2 0xb9e02b86u /* x^(16 * 128 - 33) mod P */

static inline use_sse42 uint64_t multiply(uint64_t crc, uint32_t factor)
{
    return (uint64_t)_mm_cvtsi128_si64(
        _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)crc), _mm_cvtsi32_si128((int)factor), 0));
}

static inline use_sse42 uint64_t three_lanes(uint64_t crc, const uint8_t *p, size_t lane,
                                             uint32_t shift_1, uint32_t shift_2)
{
    uint64_t a = crc, b = 0, c = 0;

    for (size_t i = 0; i < lane; i += 8) {
        a = _mm_crc32_u64(a, get_le64(p + i));
        b = _mm_crc32_u64(b, get_le64(p + lane + i));
        c = _mm_crc32_u64(c, get_le64(p + 2 * lane + i));
    }
    return c ^ _mm_crc32_u64(0, multiply(a, shift_2) ^ multiply(b, shift_1));
}

static use_sse42 uint32_t crc32c_sse42(uint32_t start, const uint8_t *p, size_t n)
{
    uint64_t crc = ~start;

    for (; n >= 3 * LONG_LANE; n -= 3 * LONG_LANE, p += 3 * LONG_LANE)
        crc = three_lanes(crc, p, LONG_LANE, LONG_SHIFT_1, LONG_SHIFT_2);
    for (; n >= 3 * SHORT_LANE; n -= 3 * SHORT_LANE, p += 3 * SHORT_LANE)
        crc = three_lanes(crc, p, SHORT_LANE, SHORT_SHIFT_1, SHORT_SHIFT_2);
    for (; n >= 8; n -= 8, p += 8)
        crc = _mm_crc32_u64(crc, get_le64(p));
    for (; n; n--, p++)
        crc = _mm_crc32_u8((uint32_t)crc, *p);
    return ~(uint32_t)crc;
}

uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
    if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul"))
        return crc32c_sse42(crc, p, n);
    return crc32c_table(crc, p, n);
}
