// SPDX-License-Identifier: BSD-2-Clause
/*
 * names.c - which host a client means (RFC 6066 3, RFC 6125 6.4).
 *
 * Wildcards stand among the other names, as they are written. So a name is looked up twice: as it
 * is, and with a star for its first label.
 */
#include "priv.h"

#include <stdlib.h>

/* What certificates have and clients may send: letters, digits, '-', '_', '.', and the '*' of a
 * wildcard, which matches itself alone. */
static char normal_char(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c - 'A' + 'a');
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.')
        return (char)c;
    return 0;
}

bool tls_name_normalize(const uint8_t *name, size_t len, char *out)
{
    bool is_wildcard = len > 2 && name[0] == '*' && name[1] == '.';

    if (len > 0 && name[len - 1] == '.')
        len--;
    if (len == 0 || len > TLS_NAME_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        out[i] = i == 0 && is_wildcard ? '*' : normal_char(name[i]);
        if (!out[i])
            return false;
    }
    out[len] = 0;
    return true;
}

static int compare(const void *a, const void *b)
{
    const struct name *x = a, *y = b;
    int rc = strcmp(x->text, y->text);

    return rc ? rc : (x->host > y->host) - (x->host < y->host);
}

void tls_names_sort(struct names *names)
{
    uint32_t kept = 0;

    if (names->count == 0)
        return;
    qsort(names->sorted, names->count, sizeof(names->sorted[0]), compare);
    for (uint32_t i = 1; i < names->count; i++)
        if (strcmp(names->sorted[kept].text, names->sorted[i].text) != 0)
            names->sorted[++kept] = names->sorted[i];
    names->count = kept + 1;
}

static int find(const struct names *names, const char *text)
{
    uint32_t from = 0, to = names->count;

    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        int rc = strcmp(text, names->sorted[middle].text);

        if (rc == 0)
            return (int)names->sorted[middle].host;
        if (rc < 0)
            to = middle;
        else
            from = middle + 1;
    }
    return -1;
}

int tls_names_find(const struct names *names, const uint8_t *name, size_t len)
{
    char text[TLS_NAME_MAX + 1], *dot;
    int host;

    if (!tls_name_normalize(name, len, text) || text[0] == '*')
        return -1;
    host = find(names, text);
    dot = strchr(text, '.');
    if (host >= 0 || !dot || dot == text)
        return host;
    // The star takes the place of the label's last character: there is always one.
    dot[-1] = '*';
    return find(names, dot - 1);
}
