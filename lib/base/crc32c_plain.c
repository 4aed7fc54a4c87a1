// SPDX-License-Identifier: BSD-2-Clause
/* For processors without a variant of their own. */
#include "base/crc32c.h"

#include "base/crc32c_priv.h"

uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
    return crc32c_table(crc, p, n);
}
