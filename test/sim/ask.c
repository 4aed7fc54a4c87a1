// SPDX-License-Identifier: BSD-2-Clause
/*
 * ask.c - the requests of a client: their text, and the ranges that they ask for.
 */
#include "client.h"

#include <errno.h>
#include <stdarg.h>

#define RESERVE_BYTES (20 * 1024) /* the longest request, one whose head is too long */

static void say(struct client *client, const char *fmt, ...) printf_like(2, 3);
static void say(struct client *client, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    client->text_len += (uint32_t)vsnprintf(client->text + client->text_len,
                                            CLIENT_TEXT_BYTES - client->text_len, fmt, args);
    va_end(args);
    assert(client->text_len < CLIENT_TEXT_BYTES);
}

static void say_random(struct client *client, struct rand *rand, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        client->text[client->text_len++] = (char)world_range(rand, 'a', 'z');
}

/* --- ranges ----------------------------------------------------------------------------------- */

/* Inserts into the list, which is sorted and whose members do not touch. */
static void join_range(struct client_want *want, struct client_range range)
{
    struct client_range joined[CLIENT_RANGES_MAX + 1];
    uint32_t count = 0;
    bool placed = false;

    for (uint32_t i = 0; i < want->range_count; i++) {
        struct client_range r = want->ranges[i];

        if (r.last + 1 < range.first) {
            joined[count++] = r;
        } else if (range.last + 1 < r.first) {
            if (!placed)
                joined[count++] = range;
            placed = true;
            joined[count++] = r;
        } else {
            range.first = min_u64(range.first, r.first);
            range.last = max_u64(range.last, r.last);
        }
    }
    if (!placed)
        joined[count++] = range;
    memcpy(want->ranges, joined, count * sizeof(*joined));
    want->range_count = count;
}

/* "first-last", "first-" or "-suffix" (RFC 9110 14.1.2), sometimes beyond the end. */
static void ask_range(struct client *client, struct rand *rand, struct client_want *want)
{
    uint64_t size = want->object->bytes;
    uint64_t first = rand_below(rand, size) + (rand_chance(rand, 0.1) ? size : 0);
    uint64_t last = first + world_range_log(rand, 1, size) - 1;

    want->asked_count++;
    if (rand_chance(rand, 0.2)) {
        uint64_t suffix = world_range_log(rand, 1, size + 1);

        say(client, "-%llu", (unsigned long long)suffix);
        join_range(want, (struct client_range){size - min_u64(suffix, size), size - 1});
        return;
    }
    if (rand_chance(rand, 0.2)) {
        say(client, "%llu-", (unsigned long long)first);
        last = size - 1;
    } else {
        say(client, "%llu-%llu", (unsigned long long)first, (unsigned long long)last);
    }
    if (first < size)
        join_range(want, (struct client_range){first, min_u64(last, size - 1)});
}

static void ask_ranges(struct client *client, struct rand *rand, struct client_want *want,
                       uint32_t count)
{
    say(client, "Range: bytes=");
    for (uint32_t i = 0; i < count; i++) {
        if (i)
            say(client, ", ");
        ask_range(client, rand, want);
    }
    say(client, "\r\n");
}

/* --- requests --------------------------------------------------------------------------------- */

static void ask_line(struct client *client, const char *method, const struct client_want *want,
                     const char *version)
{
    say(client, "%s %s %s\r\nHost: atlas.example\r\n", method, want->object->asked, version);
}

static void ask_post(struct client *client, struct rand *rand, const char *extra)
{
    uint32_t len = (uint32_t)world_range_log(rand, 1, 12000);

    say(client, "POST /form HTTP/1.1\r\nHost: a\r\n%sContent-Length: %u\r\n\r\n", extra, len);
    say_random(client, rand, len);
}

static void ask_post_chunked(struct client *client, struct rand *rand)
{
    say(client, "POST /form HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (uint64_t chunks = rand_below(rand, 5); chunks; chunks--) {
        uint32_t len = (uint32_t)world_range_log(rand, 1, 600);

        say(client, "%x%s\r\n", len, rand_chance(rand, 0.2) ? ";name=value" : "");
        say_random(client, rand, len);
        say(client, "\r\n");
    }
    say(client, "0\r\n%s\r\n", rand_chance(rand, 0.2) ? "Trailer: yes\r\n" : "");
}

static void ask_garbage(struct client *client, struct rand *rand)
{
    switch (rand_below(rand, 6)) {
    case 0:
        say(client, "GET\r\n\r\n");
        break;
    case 1:
        say(client, "GET / HTTP/1.1\r\n\r\n"); /* no Host */
        break;
    case 2:
        say(client, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n");
        break;
    case 3:
        say(client, "GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n");
        break;
    case 4:
        say(client, "GET / HTTP/1.1\r\nHost: a\r\nLong: ");
        say_random(client, rand, 17 * 1024);
        say(client, "\r\n\r\n");
        break;
    default:
        say_random(client, rand, (uint32_t)world_range(rand, 1, 100));
        say(client, "\r\n\r\n");
        break;
    }
}

/* The requests that are a line, some fields and nothing else. */
static void ask_object(struct client *client, struct rand *rand, struct client_want *want)
{
    ask_line(client, want->kind == ASK_HEAD ? "HEAD" : "GET", want,
             want->kind == ASK_OLD ? "HTTP/1.0" : "HTTP/1.1");
    if (want->kind == ASK_RANGE)
        ask_ranges(client, rand, want, 1);
    else if (want->kind == ASK_RANGES)
        ask_ranges(client, rand, want, (uint32_t)world_range(rand, 2, CLIENT_RANGES_MAX));
    else if (want->kind == ASK_UNMODIFIED)
        say(client, "%s\r\n",
            rand_chance(rand, 0.5) ? "If-None-Match: *"
                                   : "If-Modified-Since: Fri, 01 Jan 2038 00:00:00 GMT");
    else if (want->kind == ASK_PRECONDITION)
        say(client, "If-Match: \"another\"\r\n");
    else if (want->kind == ASK_IF_RANGE)
        say(client, "If-Range: \"another\"\r\nRange: bytes=1-2\r\n");
    else if (want->kind == ASK_LAST)
        say(client, "Connection: close\r\n");
    if (want->kind != ASK_PARTIAL)
        say(client, "\r\n");
}

static void ask(struct client *client, struct rand *rand, struct client_want *want)
{
    switch (want->kind) {
    case ASK_MISSING:
        say(client, "GET /missing/%u HTTP/1.1\r\nHost: a\r\n\r\n", client->number);
        break;
    case ASK_POST:
        ask_post(client, rand, "");
        break;
    case ASK_POST_CHUNKED:
        ask_post_chunked(client, rand);
        break;
    case ASK_EXPECT:
        ask_post(client, rand, "Expect: 100-continue\r\n");
        break;
    case ASK_OPTIONS:
        say(client, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
        break;
    case ASK_GARBAGE:
        ask_garbage(client, rand);
        break;
    default:
        ask_object(client, rand, want);
        break;
    }
    want->text_end = client->text_len;
}

static const struct shelf_object *draw_object(const struct shelf *shelf, struct rand *rand,
                                              uint64_t bytes_min, uint64_t bytes_max)
{
    const struct shelf_object *object;

    do
        object = &shelf->objects[rand_below(rand, SHELF_OBJECTS)];
    while (object->bytes < bytes_min || object->bytes > bytes_max);
    return object;
}

static enum client_kind draw_kind(struct rand *rand, bool last)
{
    if (last && rand_chance(rand, 0.3))
        return (enum client_kind)world_range(rand, ASK_PERSISTENT, ASK_KINDS - 1);
    if (rand_chance(rand, 0.4))
        return ASK_WHOLE;
    return (enum client_kind)rand_below(rand, ASK_PERSISTENT);
}

int client_draw(struct client *client, struct client_host *host, uint32_t number,
                uint64_t bytes_max)
{
    struct rand *rand = &host->world->draw;

    client->host = host;
    client->number = number;
    client->text = mem_arena_alloc(host->world->arena, CLIENT_TEXT_BYTES, CACHE_LINE);
    if (!client->text)
        return -ENOMEM;
    client->wire = (const uint8_t *)client->text;
    client->want_count = (uint32_t)world_range_log(rand, 1, CLIENT_REQUESTS_MAX);
    for (uint32_t i = 0; i < client->want_count; i++) {
        struct client_want *want = &client->wants[i];
        bool ranged;

        want->kind = draw_kind(rand, i + 1 == client->want_count);
        ranged = want->kind == ASK_RANGE || want->kind == ASK_RANGES || want->kind == ASK_IF_RANGE;
        want->object = draw_object(host->shelf, rand, ranged ? 3 : 0, bytes_max);
        ask(client, rand, want);
        if (client->text_len > CLIENT_TEXT_BYTES - RESERVE_BYTES)
            client->want_count = i + 1;
    }
    return 0;
}
