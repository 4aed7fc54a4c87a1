// SPDX-License-Identifier: BSD-2-Clause
#include "client.h"

#include <errno.h>

static bool client_fail(struct client *client, const char *what, uint64_t a, uint64_t b)
{
    uint32_t i = min_u32(client->answered, client->want_count - 1);
    const struct client_want *want = &client->wants[i];

    return world_fail(client->host->world,
                      "client %u, request %u (kind %d, %s, %u ranges), status %u: %s (%llu, %llu)",
                      client->number, i, want->kind, want->object ? want->object->path : "-",
                      want->asked_count, client->status, what, (unsigned long long)a,
                      (unsigned long long)b);
}

static void client_trace(struct client *client, const char *what, uint64_t a, uint64_t b)
{
    world_trace(client->host->world, "  client %u %s %llu %llu", client->number, what,
                (unsigned long long)a, (unsigned long long)b);
}

/* --- asking ----------------------------------------------------------------------------------- */

static void close_now(struct client *client)
{
    if (client->closed_out)
        return;
    client_trace(client, "closes after requests and answers", client->asked, client->answered);
    if (client->secure && client->tls.ready && client->tls_plan.notifies &&
        !tls_peer_notify(&client->tls))
        client_fail(client, client->tls.error, 0, 0);
    client->closed_out = true;
    tcp_close(client->conn);
}

/* What TLS, or the client itself, sends. */
static void on_wire(void *arg, const uint8_t *data, size_t len)
{
    struct client *client = arg;

    if (client->closed_out || client->ended)
        return; /* OpenSSL answers the server's close_notify, which nobody waits for */
    if (len > CLIENT_WIRE_BYTES - client->wire_len) {
        client_fail(client, "more is said than there is room for", client->wire_len, len);
        return;
    }
    memcpy(client->sealed + client->wire_len, data, len);
    client->wire_len += (uint32_t)len;
    tcp_write(client->conn, len);
}

/* A request is a record or two, sometimes with new keys. */
static bool say_secretly(struct client *client, uint32_t from, uint32_t len)
{
    struct rand *chance = &client->host->world->chance;
    uint32_t first = rand_chance(chance, 0.3) ? (uint32_t)world_range(chance, 1, len) : len;
    bool wanted = rand_chance(chance, 0.6);

    if (client->tls_plan.version == TLSREC_TLS13 && rand_chance(chance, client->tls_plan.updates)) {
        client_trace(client, "updates its keys, wants the same", wanted, 0);
        if (!tls_peer_update(&client->tls, wanted))
            return false;
        if (wanted && client->asked < client->want_count)
            client->updates_due = 1; /* one for any number of wishes */
    }
    return tls_peer_write(&client->tls, client->text + from, first) &&
           (first == len || tls_peer_write(&client->tls, client->text + from + first, len - first));
}

static void say(struct client *client, uint32_t from, uint32_t len)
{
    if (!client->secure) {
        client->wire_len += len;
        tcp_write(client->conn, len);
    } else if (!say_secretly(client, from, len)) {
        client_fail(client, client->tls.error, from, len);
    }
}

static void ask_more(struct client *client)
{
    while (!client->closed_out && client->asked < client->want_count &&
           client->asked - client->answered < client->ahead) {
        uint32_t from = client->asked ? client->wants[client->asked - 1].text_end : 0;

        client_trace(client, "sends request, kind", client->asked,
                     client->wants[client->asked].kind);
        client->asked++;
        say(client, from, client->wants[client->asked - 1].text_end - from);
    }
    if (client->asked == client->want_count && client->close == CLOSE_AFTER_WRITING)
        close_now(client);
}

static void write_event(struct world_event *event)
{
    ask_more(container_of(event, struct client, write));
}

static uint32_t on_fill(void *user, struct tcp_conn *conn, uint64_t offset, uint32_t len,
                        uint64_t now_ns)
{
    struct client *client = user;
    struct rand *chance = &client->host->world->chance;
    struct nmio_slice slice = {.data = client->wire + offset, .len = len};

    if (offset + len > client->wire_len) {
        client_fail(client, "fill for bytes that were not written", offset, len);
        return 0;
    }
    if (rand_chance(chance, client->host->refuse))
        return 0;
    if (rand_chance(chance, client->host->refuse))
        slice.len = (uint32_t)world_range(chance, 1, len);
    tcp_send(conn, offset, &slice, 1, now_ns);
    return slice.len;
}

static void on_sent(void *user, struct tcp_conn *conn, uint64_t offset, uint64_t now_ns)
{
    struct client *client = user;

    if (offset < client->acked || offset > client->wire_len)
        client_fail(client, "an impossible acknowledgment", offset, client->acked);
    client->acked = offset;
}

/* --- answers ---------------------------------------------------------------------------------- */

static const struct client_want *wanted(const struct client *client)
{
    return &client->wants[client->answered];
}

static bool status_allowed(const struct client_want *want, const struct reader_head *head)
{
    uint32_t status = head->status;

    switch (want->kind) {
    case ASK_WHOLE:
    case ASK_HEAD:
    case ASK_IF_RANGE:
        return status == 200 && !head->close;
    case ASK_LAST:
    case ASK_OLD:
        return status == 200 && head->close;
    case ASK_RANGE:
    case ASK_RANGES:
        if (want->range_count == 0)
            return status == 416;
        return status == 206 || (status == 200 && want->asked_count > 1);
    case ASK_MISSING:
        return status == 404;
    case ASK_UNMODIFIED:
        return status == 304;
    case ASK_PRECONDITION:
        return status == 412;
    case ASK_EXPECT:
        return status == 405 || status == 100;
    case ASK_POST:
    case ASK_POST_CHUNKED:
        return status == 405;
    case ASK_OPTIONS:
        return status == 204;
    case ASK_GARBAGE:
        return status >= 400 && head->close;
    case ASK_PARTIAL:
        return status == 408 && head->close;
    case ASK_KINDS:
        break;
    }
    return false;
}

/* RFC 9110 8.8.3: as long as nobody changes an object, its tag stays what it was. */
static void check_etag(struct client *client, const struct reader_head *head)
{
    const struct shelf_object *object = wanted(client)->object;
    char *known;

    if (!object || (head->status != 200 && head->status != 206) || !head->etag[0])
        return;
    known = client->host->etags[object - client->host->shelf->objects];
    if (known[0] && strcmp(known, head->etag))
        client_fail(client, "another ETag than before", 0, 0);
    strcpy(known, head->etag);
}

static bool on_head(void *arg, const struct reader_head *head)
{
    struct client *client = arg;

    client->status = head->status;
    client_trace(client, "gets status, for request", head->status, client->answered);
    client->part_count = 0;
    client->part_bytes = client->entity_bytes = 0;
    if (client->cut)
        client_fail(client, "an answer after the last one", 0, 0);
    client->cut = head->close;
    if (client->answered >= client->asked && client->answered >= client->want_count) {
        /* Nobody asked: only "you took too long" is a possible last word. */
        if (head->status != 408 || !head->close)
            client_fail(client, "an answer that nobody asked for", 0, 0);
        return true;
    }
    if (head->status == 408 && head->close && !client->host->gentle)
        return true; /* the request is late, by the network's fault */
    if (client->host->draining && head->close) {
        struct reader_head open = *head;

        open.close = false;
        if (!status_allowed(wanted(client), head) && !status_allowed(wanted(client), &open))
            client_fail(client, "the wrong status", head->status, head->close);
    } else if (!status_allowed(wanted(client), head)) {
        client_fail(client, "the wrong status", head->status, head->close);
    }
    check_etag(client, head);
    if (wanted(client)->kind == ASK_HEAD && head->content_length != wanted(client)->object->bytes)
        client_fail(client, "a HEAD's length is wrong", head->content_length, 0);
    if (head->status == 416 && (!head->has_range || head->total != wanted(client)->object->bytes))
        client_fail(client, "416 without the length", head->total, 0);
    return wanted(client)->kind != ASK_HEAD;
}

/* A part lies in what was asked for and overlaps no other. */
static void on_part(void *arg, uint64_t first, uint64_t last, uint64_t total)
{
    struct client *client = arg;
    const struct client_want *want = wanted(client);
    bool inside = client->status == 200;

    if (total != want->object->bytes)
        client_fail(client, "the wrong total length", total, want->object->bytes);
    for (uint32_t i = 0; i < want->range_count; i++)
        inside |= want->ranges[i].first <= first && last <= want->ranges[i].last;
    if (!inside)
        client_fail(client, "a part that was not asked for", first, last);
    for (uint32_t i = 0; i < client->part_count; i++)
        if (first <= client->parts[i].last && client->parts[i].first <= last)
            client_fail(client, "a part that overlaps another", first, last);
    if (client->part_count == CLIENT_RANGES_MAX)
        client_fail(client, "more parts than were asked for", first, last);
    else
        client->parts[client->part_count++] = (struct client_range){first, last};
    client->part_bytes += last - first + 1;
}

/* How many bytes from the start are what they were, or have changed (diskmap_fault_config). */
static size_t match_changing(struct client *client, uint64_t key, uint64_t offset,
                             const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t want = *pattern_at(&client->host->shelf->pattern, key, offset + i);

        if (data[i] != want && (data[i] ^ want) != 0xff)
            return i;
    }
    return len;
}

static void on_bytes(void *arg, uint64_t offset, const uint8_t *data, size_t len)
{
    struct client *client = arg;
    uint64_t key = wanted(client)->object->key;
    size_t good = client->host->changing
                      ? match_changing(client, key, offset, data, len)
                      : pattern_match(&client->host->shelf->pattern, key, offset, data, len);

    if (good < len)
        client_fail(client, "a wrong byte at this offset, in a piece of", offset + good, len);
    client->entity_bytes += len;
    client->host->bytes += len;
}

static uint64_t bytes_wanted(const struct client *client)
{
    const struct client_want *want = wanted(client);
    uint64_t bytes = 0;

    if (client->status == 200)
        return want->kind == ASK_HEAD ? 0 : want->object->bytes;
    for (uint32_t i = 0; i < want->range_count; i++)
        bytes += want->ranges[i].last - want->ranges[i].first + 1;
    return bytes;
}

static void think(struct client *client)
{
    struct world *world = client->host->world;

    if (client->answered == client->want_count && client->close == CLOSE_AFTER_READING)
        close_now(client);
    else if (!world_event_scheduled(&client->write))
        world_at(world, &client->write,
                 world->now_ns + rand_below(&world->chance, client->think_ns + 1));
}

static void on_end(void *arg)
{
    struct client *client = arg;

    if (client->answered == client->want_count)
        return;
    if (client->status == 200 || client->status == 206) {
        uint64_t want = bytes_wanted(client);

        if (client->entity_bytes != want || client->part_bytes != want)
            client_fail(client, "not all bytes, or too many", client->entity_bytes, want);
    }
    client->host->responses++;
    client->answered++;
    think(client);
}

static const struct reader_ops reader_ops = {on_head, on_part, on_bytes, on_end};

/* --- receiving -------------------------------------------------------------------------------- */

static void give_back(struct world_event *event)
{
    struct client *client = container_of(event, struct client, give);
    uint32_t n = (uint32_t)client->kept;

    client->kept = 0;
    if (n)
        tcp_recved(client->conn, n);
}

static void on_plain(void *arg, const uint8_t *data, size_t len)
{
    struct client *client = arg;

    if (!reader_feed(&client->reader, data, len))
        client_fail(client, client->reader.error, client->received, len);
}

static void on_ready(void *arg)
{
    struct client *client = arg;

    client_trace(client, "has shaken hands, resumed", SSL_session_reused(client->tls.ssl), 0);
    client->trusted =
        client->tls_plan.version == TLSREC_TLS12 && !SSL_session_reused(client->tls.ssl);
    ask_more(client);
}

static const struct tls_peer_ops tls_ops = {on_wire, on_ready, on_plain};

static void on_recv(void *user, struct tcp_conn *conn, const uint8_t *data, uint32_t len,
                    uint64_t now_ns)
{
    struct client *client = user;
    struct world *world = client->host->world;

    client->received += len;
    client->kept += len;
    if (client->kept > client->host->rcv_wnd_bytes)
        client_fail(client, "received beyond the window", client->kept, len);
    client->trusted |= client->tls.ready;
    if (!client->secure)
        on_plain(client, data, len);
    else if (!tls_peer_feed(&client->tls, data, len))
        client_fail(client, client->tls.error, client->received, len);
    if (client->stop_ns && client->received >= client->stop_at) {
        world_at(world, &client->give, now_ns + client->stop_ns);
        client->stop_ns = 0;
    }
    if (world_event_scheduled(&client->give))
        return;
    if (rand_chance(&world->chance, client->host->keep))
        world_at(world, &client->give,
                 now_ns + rand_below(&world->chance, client->host->keep_ns + 1));
    else
        give_back(&client->give);
}

static void on_recv_end(void *user, struct tcp_conn *conn, uint64_t now_ns)
{
    struct client *client = user;

    client_trace(client, "is told the end, after answers", client->answered, client->received);
    client->peer_closed = true;
    client->truncated = client->trusted && !client->tls.closed;
    if (!reader_between(&client->reader))
        client_fail(client, "the stream ended in the midst of an answer", client->received, 0);
    close_now(client);
}

/* --- the beginning and the end ---------------------------------------------------------------- */

static void on_connected(void *user, struct tcp_conn *conn, uint64_t now_ns)
{
    struct client *client = user;

    if (client->opened)
        client_fail(client, "opened twice", 0, 0);
    client->opened = true;
    if (!client->secure)
        ask_more(client);
    else if (!tls_peer_start(&client->tls))
        client_fail(client, client->tls.error, 0, 0);
}

static void client_end(struct client *client, enum tcp_end why)
{
    struct world *world = client->host->world;

    client->ended = true;
    client->end = why;
    client->conn = NULL;
    world_cancel(world, &client->write);
    world_cancel(world, &client->give);
}

static void on_closed(void *user, struct tcp_conn *conn, enum tcp_end why, uint64_t now_ns)
{
    struct client *client = user;

    client_trace(client, "ends, cause", why, client->answered);
    if (client->ended)
        client_fail(client, "ended twice", why, client->end);
    if (why == TCP_END_DONE && (!client->peer_closed || !client->closed_out))
        client_fail(client, "done before both sides had closed", client->received, 0);
    client_end(client, why);
}

static const struct tcp_ops client_ops = {
    .connected = on_connected,
    .recv = on_recv,
    .recv_end = on_recv_end,
    .fill = on_fill,
    .sent = on_sent,
    .closed = on_closed,
};

static void start_event(struct world_event *event)
{
    struct client *client = container_of(event, struct client, start);
    struct client_host *host = client->host;
    struct world *world = host->world;
    struct ip_prefix local = net_prefix(0), remote = net_prefix(1);
    int err = tcp_connect(host->net.tcp, &client->conn, &local.addr, client->port, &remote.addr,
                          client->secure ? SERVER_TLS_PORT : SERVER_PORT, &client_ops, client,
                          world->now_ns);

    client->started = true;
    client_trace(client, "connects from port", client->port, client->want_count);
    if (!err && client->secure)
        client->wire = client->sealed =
            mem_arena_alloc(host->world->arena, CLIENT_WIRE_BYTES, CACHE_LINE);
    if (!err && client->secure &&
        tls_peer_open(&client->tls, &host->tls, &client->tls_plan, &tls_ops, client) < 0)
        client_fail(client, "OpenSSL does not want to do as planned", client->tls_plan.version,
                    client->tls_plan.suite);
    if (client->secure)
        world_trace(world, "  client %u: tls %d suite %d%s%s%s fragment %u updates %.1f",
                    client->number, client->tls_plan.version == TLSREC_TLS13 ? 13 : 12,
                    client->tls_plan.suite, client->tls_plan.resumes ? " resumes" : "",
                    client->tls_plan.alpn ? " alpn" : "",
                    client->tls_plan.notifies ? " notifies" : "", client->tls_plan.fragment,
                    client->tls_plan.updates);
    if (err) {
        client_fail(client, "tcp_connect failed", (uint64_t)-err, 0);
        client_end(client, TCP_END_REFUSED);
        return;
    }
    if (client->abort_after_ns != WORLD_NEVER)
        world_at(world, &client->abort, world->now_ns + client->abort_after_ns);
    if (client->vanish_after_ns != WORLD_NEVER)
        world_at(world, &client->vanish, world->now_ns + client->vanish_after_ns);
}

static void abort_event(struct world_event *event)
{
    struct client *client = container_of(event, struct client, abort);

    if (client->ended)
        return;
    client_trace(client, "aborts", client->answered, client->received);
    client->aborting = true;
    tcp_abort(client->conn, client->host->world->now_ns);
}

static void vanish_event(struct world_event *event)
{
    struct client *client = container_of(event, struct client, vanish);

    client_trace(client, "hears nothing any more", client->answered, client->received);
    client->vanished = true;
}

void client_init(struct client *client)
{
    reader_init(&client->reader, &reader_ops, client);
    world_event_init(&client->start, start_event);
    world_event_init(&client->write, write_event);
    world_event_init(&client->give, give_back);
    world_event_init(&client->abort, abort_event);
    world_event_init(&client->vanish, vanish_event);
}

void client_fini(struct client *client)
{
    tls_peer_close(&client->tls);
}

void client_describe(const struct client *client, char *text, size_t bytes)
{
    snprintf(text, bytes, "client %u %s asked %u of %u answered %u received %llu; ", client->number,
             client->conn ? tcp_state_name(tcp_conn_state(client->conn)) : "-", client->asked,
             client->want_count, client->answered, (unsigned long long)client->received);
}

static void check_tls(struct client *client, bool whole)
{
    const struct tls_peer *tls = &client->tls;

    client->host->updates += tls->updates_seen;
    client->host->resumed += client->trusted && SSL_session_reused(tls->ssl);
    if (client->truncated)
        client_fail(client, "a FIN, but no close_notify before it", client->received, 0);
    if (tls->updates_seen > tls->updates_wanted && !client->host->worn)
        client_fail(client, "a KeyUpdate that nobody asked for", tls->updates_seen,
                    tls->updates_wanted);
    if (whole && tls->updates_seen < client->updates_due)
        client_fail(client, "no KeyUpdate, though one was asked for", client->updates_due, 0);
}

void client_check(struct client *client)
{
    const struct client_want *last = &client->wants[client->want_count - 1];
    bool disturbed =
        client->abort_after_ns != WORLD_NEVER || client->vanish_after_ns != WORLD_NEVER;

    if (!client->ended)
        client_fail(client, "never ended", 0, 0);
    if (client->secure)
        check_tls(client, !disturbed && !client->host->draining && client->host->gentle);
    if (disturbed || client->host->draining || !client->host->gentle)
        return;
    if (client->end != TCP_END_DONE)
        client_fail(client, "did not end well, but as", client->end, 0);
    if (client->answered < client->want_count - (last->kind == ASK_PARTIAL))
        client_fail(client, "has not got all answers", client->answered, client->want_count);
}
