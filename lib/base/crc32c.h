// SPDX-License-Identifier: BSD-2-Clause
/*
 * crc32c.h - the Castagnoli CRC (RFC 3720, appendix B.4): what guards metadata and extents on disk.
 *
 * crc32c(0, p, n) is the checksum of n bytes; crc32c(crc32c(0, p, n), q, m) that of both in turn.
 */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(uint32_t crc, const void *p, size_t n);

#endif
