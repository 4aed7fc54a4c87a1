// SPDX-License-Identifier: BSD-2-Clause
/* Memory that is in a pool is nobody's: AddressSanitizer, where it is on, reports who touches it.
 */
#ifndef MEM_POISON_H
#define MEM_POISON_H

#include "base/base.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MEM_HAS_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define MEM_HAS_ASAN 1
#endif

#if defined(MEM_HAS_ASAN)
#include <sanitizer/asan_interface.h>

static inline void mem_poison(const void *p, size_t bytes)
{
    ASAN_POISON_MEMORY_REGION(p, bytes);
}

static inline void mem_unpoison(const void *p, size_t bytes)
{
    ASAN_UNPOISON_MEMORY_REGION(p, bytes);
}

static inline bool mem_is_poisoned(const void *p)
{
    return __asan_address_is_poisoned(p);
}
#else
static inline void mem_poison(const void *p, size_t bytes)
{
}

static inline void mem_unpoison(const void *p, size_t bytes)
{
}

static inline bool mem_is_poisoned(const void *p)
{
    return false;
}
#endif

#endif
