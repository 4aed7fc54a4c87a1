// SPDX-License-Identifier: BSD-2-Clause
#include "target.h"

#include "hex.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define HTTP_PORT 80

/* --- URLs ------------------------------------------------------------------------------------- */

static bool parse_port(struct url *url, const char *s, size_t len)
{
    uint32_t port = 0;

    if (len == 0 || len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        port = port * 10 + (uint32_t)(s[i] - '0');
    }
    url->port = (uint16_t)port;
    return port > 0 && port <= 65535;
}

/* "host", "host:port", "[v6]" or "[v6]:port" */
static bool parse_authority(struct url *url)
{
    const char *s = url->authority, *end = s + url->authority_len, *host_end;

    url->port = HTTP_PORT;
    if (url->authority_len && *s == '[') {
        s++;
        host_end = memchr(s, ']', (size_t)(end - s));
        if (!host_end)
            return false;
        url->authority_len = (size_t)(end - url->authority);
    } else {
        host_end = memchr(s, ':', (size_t)(end - s));
        if (!host_end)
            host_end = end;
    }
    if (host_end == s || (size_t)(host_end - s) >= sizeof(url->host))
        return false;
    memcpy(url->host, s, (size_t)(host_end - s));
    url->host[host_end - s] = '\0';
    if (host_end < end && *host_end == ']')
        host_end++;
    if (host_end == end)
        return true;
    return *host_end == ':' && parse_port(url, host_end + 1, (size_t)(end - host_end) - 1);
}

bool url_parse(struct url *url, const char *text, const char **why)
{
    static const char scheme[] = "http://";

    *url = (struct url){.port = HTTP_PORT};
    if (strncasecmp(text, scheme, strlen(scheme)) != 0) {
        *why = "it has to begin with http://";
        return false;
    }
    url->authority = text + strlen(scheme);
    url->authority_len = strcspn(url->authority, "/?#");
    url->path = url->authority + url->authority_len;
    url->path_len = strcspn(url->path, "#");
    for (size_t i = 0; i < url->authority_len; i++)
        if (url->authority[i] <= ' ' || url->authority[i] >= 0x7f || url->authority[i] == '@') {
            *why = "the server's name has a character that it cannot have";
            return false;
        }
    if (parse_authority(url))
        return true;
    *why = "the server is to be HOST or HOST:PORT";
    return false;
}

/* --- requests --------------------------------------------------------------------------------- */

/* RFC 9110 5.6.2 */
static bool is_token_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

bool target_header_ok(const char *header)
{
    size_t name = 0;

    while (is_token_char(header[name]))
        name++;
    if (name == 0 || header[name] != ':')
        return false;
    for (const char *c = header + name; *c; c++)
        if ((*c > 0 && *c < ' ' && *c != '\t') || *c == 0x7f)
            return false;
    return true;
}

static bool has_header(const struct target_form *form, const char *name)
{
    size_t len = strlen(name);

    for (uint32_t i = 0; i < form->header_count; i++)
        if (strncasecmp(form->headers[i], name, len) == 0 && form->headers[i][len] == ':')
            return true;
    return false;
}

static void write_request(FILE *out, const struct target_form *form, const char *path, int path_len)
{
    fprintf(out, "GET %s%.*s HTTP/1.1\r\n", path_len && *path == '/' ? "" : "/", path_len, path);
    if (!has_header(form, "Host"))
        fprintf(out, "Host: %.*s\r\n", (int)form->authority_len, form->authority);
    if (!has_header(form, "User-Agent"))
        fprintf(out, "User-Agent: %s\r\n", form->user_agent);
    if (!has_header(form, "Accept"))
        fputs("Accept: */*\r\n", out);
    for (uint32_t i = 0; i < form->header_count; i++)
        fprintf(out, "%s\r\n", form->headers[i]);
    if (form->close)
        fputs("Connection: close\r\n", out);
    fputs("\r\n", out);
}

/* The file that a path means: "/a%20b?c" is "a b". */
static char *decode(const char *path, size_t len)
{
    char *out = malloc(len + 1);
    size_t n = 0;

    if (!out)
        return NULL;
    if (len && *path == '/')
        path++, len--;
    for (size_t i = 0; i < len && path[i] != '?'; i++) {
        if (path[i] == '%' && i + 2 < len && hex_digit(path[i + 1]) >= 0 &&
            hex_digit(path[i + 2]) >= 0) {
            out[n++] = (char)(hex_digit(path[i + 1]) << 4 | hex_digit(path[i + 2]));
            i += 2;
        } else {
            out[n++] = path[i];
        }
    }
    out[n] = '\0';
    return out;
}

static int grow(struct targets *targets)
{
    uint32_t capacity = targets->capacity ? targets->capacity * 2 : 16;
    struct target *list = realloc(targets->list, capacity * sizeof(*list));

    if (!list)
        return -ENOMEM;
    targets->list = list;
    targets->capacity = capacity;
    return 0;
}

int targets_add(struct targets *targets, const struct target_form *form, const char *path,
                size_t path_len)
{
    struct target t = {0};
    char *request = NULL;
    size_t request_len = 0;
    FILE *out;

    if (path_len > TARGET_URL_BYTES)
        return -EINVAL;
    for (size_t i = 0; i < path_len; i++)
        if ((unsigned char)path[i] <= ' ' || path[i] == 0x7f)
            return -EINVAL;
    if (targets->count == targets->capacity && grow(targets) < 0)
        return -ENOMEM;
    out = open_memstream(&request, &request_len);
    if (!out)
        return -ENOMEM;
    write_request(out, form, path, (int)path_len);
    if (fclose(out) != 0) {
        free(request);
        return -ENOMEM;
    }
    t.request = request;
    t.request_len = (uint32_t)request_len;
    t.path = decode(path, path_len);
    if (!t.path) {
        free(request);
        return -ENOMEM;
    }
    targets->list[targets->count++] = t;
    return 0;
}

/* --- a file of them --------------------------------------------------------------------------- */

/* NULL, or what is wrong with the line. */
static const char *add_line(struct targets *targets, const struct target_form *form,
                            const char *line)
{
    struct url url;
    const char *why;
    int rc;

    if (*line == '/') {
        rc = targets_add(targets, form, line, strcspn(line, "#"));
    } else if (!url_parse(&url, line, &why)) {
        return "it is neither a path that begins with / nor an http URL";
    } else if (url.authority_len != form->authority_len ||
               strncasecmp(url.authority, form->authority, url.authority_len) != 0) {
        return "it names another server than the command line";
    } else {
        rc = targets_add(targets, form, url.path, url.path_len);
    }
    if (rc == -ENOMEM)
        return "there is no memory for so many";
    return rc < 0 ? "it has a character that has to be written as %XX, or is too long" : NULL;
}

int targets_read(struct targets *targets, const struct target_form *form, const char *file,
                 char *why, size_t why_bytes)
{
    FILE *in = fopen(file, "re");
    char *line = NULL;
    size_t capacity = 0;
    unsigned long number = 0;
    int rc = 0;

    if (!in) {
        rc = -errno;
        snprintf(why, why_bytes, "cannot read %s: %s", file, strerror(-rc));
        return rc;
    }
    while (rc == 0 && getline(&line, &capacity, in) >= 0) {
        const char *wrong;

        number++;
        line[strcspn(line, "\r\n")] = '\0';
        if (*line == '\0' || *line == '#')
            continue;
        wrong = add_line(targets, form, line);
        if (wrong) {
            snprintf(why, why_bytes, "%s, line %lu: %s", file, number, wrong);
            rc = -EINVAL;
        }
    }
    if (rc == 0 && targets->count == 0) {
        snprintf(why, why_bytes, "%s has no URL", file);
        rc = -EINVAL;
    }
    free(line);
    fclose(in);
    return rc;
}

void targets_free(struct targets *targets)
{
    for (uint32_t i = 0; i < targets->count; i++) {
        free((void *)(uintptr_t)targets->list[i].request);
        free(targets->list[i].path);
    }
    free(targets->list);
    *targets = (struct targets){0};
}
