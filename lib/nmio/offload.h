// SPDX-License-Identifier: BSD-2-Clause
/*
 * offload.h - what a network card does with partial checksums, done in software. What it does with
 * GSO frames, nmio_cut, is public: see nmio.h.
 */
#ifndef NMIO_OFFLOAD_H
#define NMIO_OFFLOAD_H

#include "nmio/priv.h"

/* Completes a partial checksum of a frame in one piece, as csum_start and csum_offset ask for. */
void nmio_csum_complete(uint8_t *frame, uint32_t len, uint32_t csum_start, uint32_t csum_offset);

#endif
