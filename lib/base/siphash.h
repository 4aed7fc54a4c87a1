// SPDX-License-Identifier: BSD-2-Clause
/*
 * siphash.h - SipHash-1-3 and -2-4 (Aumasson, Bernstein 2012): a keyed hash that nobody without the
 * key can steer.
 *
 * 1-3 places connections in tables that an adversary would like to make into lists; 2-4 makes
 * initial sequence numbers (RFC 6528).
 */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t siphash13(const uint64_t key[2], const void *data, size_t len);
uint64_t siphash24(const uint64_t key[2], const void *data, size_t len);

#endif
