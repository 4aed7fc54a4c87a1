// SPDX-License-Identifier: BSD-2-Clause
/*
 * manifest.h - the digests that bodies are to have, as sha256sum(1) writes them.
 *
 * SHA-256, because every system has a tool that makes such a file and one that checks it, and
 * because libcrypto (OpenSSL 3, Apache-2.0) does it with the CPU's own instructions where there are
 * some: 1 to 2 GB/s of a core.
 */
#ifndef STORMLOAD_MANIFEST_H
#define STORMLOAD_MANIFEST_H

#include "target.h"

/*
 * Gives each target the digest that the file has for its path: "DIGEST  path" or "DIGEST *path", a
 * leading "./" or "/" ignored, with the escapes of coreutils. 0, or -errno and a sentence in `why`:
 * also when a target has no digest there.
 */
must_check int manifest_apply(struct targets *targets, const char *file, char *why,
                              size_t why_bytes);

#endif
