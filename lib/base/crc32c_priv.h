// SPDX-License-Identifier: BSD-2-Clause
/* The variants behind crc32c(), for the files that choose among them and for their test. */
#ifndef BASE_CRC32C_PRIV_H
#define BASE_CRC32C_PRIV_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c_table(uint32_t crc, const void *p, size_t n);

#endif
