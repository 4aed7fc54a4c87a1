// SPDX-License-Identifier: BSD-2-Clause
/*
 * hex.h - a hexadecimal digit's value, or -1.
 */
#ifndef STORMLOAD_HEX_H
#define STORMLOAD_HEX_H

static inline int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

#endif
