// SPDX-License-Identifier: BSD-2-Clause
#include <fcntl.h>
#include <sys/stat.h>

#include "priv.h"

#define DIRECT_ALIGN_MIN 512
#define DIRECT_ALIGN_MAX DISKMAP_BLOCK_BYTES

/*
 * The granularity that direct reads of this file need; 0: they are not possible. Kernels before 6.1
 * and some file systems do not say: a whole block satisfies every disk there is.
 */
static uint32_t direct_align(int fd)
{
    struct statx st;
    uint32_t align;

    if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) || !(st.stx_mask & STATX_DIOALIGN))
        return DIRECT_ALIGN_MAX;
    if (!st.stx_dio_offset_align)
        return 0;
    align = max_u32(st.stx_dio_offset_align, st.stx_dio_mem_align);
    align = max_u32(align, DIRECT_ALIGN_MIN);
    return align <= DIRECT_ALIGN_MAX && is_pow2(align) ? align : 0;
}

uint32_t direct_enable(int fd)
{
    uint32_t align = direct_align(fd);
    int flags = fcntl(fd, F_GETFL);

    if (align && flags >= 0 && !fcntl(fd, F_SETFL, flags | O_DIRECT))
        return align;
    return DIRECT_ALIGN_MIN; // through the page cache
}
