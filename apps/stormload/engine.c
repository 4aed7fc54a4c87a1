// SPDX-License-Identifier: BSD-2-Clause
/*
 * engine.c - the life of a client, and how many of them may open at a time.
 */
#include "engine.h"

#include <errno.h>
#include <openssl/evp.h>

#define RETRY_NS      (100 * NS_PER_MS) /* after a failure: a dead server is not to be hammered */
#define DRAIN_NS      (2 * NS_PER_S)    /* for a server that said it would close */
#define RATE_BURST_NS (10 * NS_PER_MS)  /* so much of a late turn's openings is made up for */

struct engine {
    struct engine_config config;
    const struct transport *transport;
    void *arg;
    struct client *clients;
    struct client *queue, **queue_tail; /* to be opened */
    uint32_t opening;
    bool going;
    bool stopped;
    uint64_t attempts_left;
    uint64_t next_open_ns; /* by the rate */
    uint64_t now_ns;
    uint32_t next_target;
    struct rand rand;
    struct timer_wheel wheel;
    struct mem_pool replies;
    EVP_MD_CTX **digests; /* by the reply's index; made when first used */
    EVP_MD *sha256;
    struct engine_stats stats;
};

const struct stat_desc engine_stat_descs[] = {ENGINE_STATS(STAT_DESC, struct engine_stats){0}};

#define FAILURE_TEXT(id, name, help) {name, help},
static const char *const failure_texts[][2] = {FAILURES(FAILURE_TEXT)};

const char *failure_name(enum failure failure)
{
    return failure_texts[failure][0];
}

const char *failure_help(enum failure failure)
{
    return failure_texts[failure][1];
}

/* --- statistics ------------------------------------------------------------------------------- */

void engine_stats_merge(struct engine_stats *into, const struct engine_stats *from)
{
    for (const struct stat_desc *d = engine_stat_descs; d->name; d++)
        *(uint64_t *)(void *)((char *)into + d->offset) +=
            stat_get((const uint64_t *)(const void *)((const char *)from + d->offset));
    for (int i = 0; i < FAILURE_COUNT; i++)
        into->failed[i] += stat_get(&from->failed[i]);
    for (size_t i = 0; i < array_len(into->by_status); i++)
        into->by_status[i] += stat_get(&from->by_status[i]);
    hist_merge(&into->connect, &from->connect);
    hist_merge(&into->first_byte, &from->first_byte);
    hist_merge(&into->response, &from->response);
    into->response_max_ns = max_u64(into->response_max_ns, stat_get(&from->response_max_ns));
}

uint64_t engine_failures(const struct engine_stats *stats)
{
    uint64_t sum = 0;

    for (int i = 0; i < FAILURE_COUNT; i++)
        sum += stat_get(&stats->failed[i]);
    return sum;
}

const struct engine_stats *engine_stats(const struct engine *e)
{
    return &e->stats;
}

/* --- a client's states ------------------------------------------------------------------------ */

static bool is_holder(const struct client *c)
{
    return (uint32_t)(c - c->engine->clients) >= c->engine->config.active;
}

static bool is_open(enum client_state state)
{
    return state != CLIENT_CLOSED && state != CLIENT_CONNECTING && state != CLIENT_FINISHED;
}

static void set_state(struct client *c, enum client_state state)
{
    struct engine *e = c->engine;

    if (c->state == CLIENT_CONNECTING)
        e->opening--;
    if (state == CLIENT_CONNECTING)
        e->opening++;
    if (is_open(state) != is_open(c->state))
        stat_set(&e->stats.open, e->stats.open + (is_open(state) ? 1 : (uint64_t)-1));
    c->state = (uint8_t)state;
}

static void settle(struct client *c)
{
    if (!c->settled)
        stat_inc(&c->engine->stats.settled);
    c->settled = true;
}

static void arm(struct client *c, uint64_t due_ns)
{
    timer_arm(&c->engine->wheel, &c->timer, due_ns);
}

static void queue_push(struct client *c)
{
    struct engine *e = c->engine;

    c->next = NULL;
    *e->queue_tail = c;
    e->queue_tail = &c->next;
}

static void drop_reply(struct client *c)
{
    if (c->reply)
        mem_pool_put(&c->engine->replies, c->reply);
    c->reply = NULL;
}

/* The connection goes, whatever state it is in; the client has none. */
static void hang_up(struct client *c, uint64_t now_ns)
{
    struct engine *e = c->engine;

    timer_disarm(&e->wheel, &c->timer);
    drop_reply(c);
    set_state(c, CLIENT_CLOSED);
    c->served = 0;
    e->transport->close(e->arg, c, now_ns);
}

static void finish(struct client *c, uint64_t now_ns)
{
    if (is_open(c->state))
        hang_up(c, now_ns);
    set_state(c, CLIENT_FINISHED);
    stat_inc(&c->engine->stats.finished);
}

static uint32_t choose_target(struct engine *e)
{
    uint32_t count = e->config.targets->count, chosen = e->next_target;

    if (e->config.random)
        return (uint32_t)rand_below(&e->rand, count);
    e->next_target = chosen + 1 < count ? chosen + 1 : 0;
    return chosen;
}

/* A request that is asked again keeps its target. */
static bool take_attempt(struct client *c)
{
    if (c->attempt)
        return true;
    if (c->engine->attempts_left == 0)
        return false;
    c->engine->attempts_left--;
    c->attempt = true;
    c->target = choose_target(c->engine);
    return true;
}

static void fail(struct client *c, enum failure cause, uint64_t now_ns)
{
    struct engine *e = c->engine;

    stat_inc(&e->stats.failed[cause]);
    settle(c);
    c->attempt = false;
    hang_up(c, now_ns);
    arm(c, now_ns + RETRY_NS);
}

static void reopen(struct client *c, uint64_t now_ns)
{
    hang_up(c, now_ns);
    queue_push(c);
}

/* --- asking ----------------------------------------------------------------------------------- */

const struct target *client_request(const struct client *c)
{
    return &c->engine->config.targets->list[c->target];
}

static EVP_MD_CTX *digest_of(struct client *c)
{
    return c->engine->digests[mem_pool_index(&c->engine->replies, c->reply)];
}

static bool digest_begin(struct client *c)
{
    struct engine *e = c->engine;
    EVP_MD_CTX **digest = &e->digests[mem_pool_index(&e->replies, c->reply)];

    if (!*digest)
        *digest = EVP_MD_CTX_new();
    return *digest && EVP_DigestInit_ex2(*digest, e->sha256, NULL) == 1;
}

static void ask(struct client *c, uint64_t now_ns)
{
    struct engine *e = c->engine;

    if (!take_attempt(c)) {
        finish(c, now_ns);
        return;
    }
    set_state(c, CLIENT_ASKING);
    c->reply = mem_pool_get(&e->replies);
    assert(c->reply); /* there is one for every client that asks */
    response_init(c->reply, false);
    if (e->config.verify && !digest_begin(c)) {
        fail(c, FAILURE_LOCAL, now_ns);
        return;
    }
    c->heard = false;
    c->began_ns = c->heard_ns = now_ns;
    arm(c, now_ns + e->config.timeout_ns);
    e->transport->ask(e->arg, c, now_ns);
}

static bool digest_right(struct client *c)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    return EVP_DigestFinal_ex(digest_of(c), digest, &len) == 1 && len == TARGET_DIGEST_BYTES &&
           memcmp(digest, client_request(c)->digest, len) == 0;
}

/* A whole response: is it the right one? */
static void judge(struct client *c, uint64_t now_ns)
{
    struct engine *e = c->engine;
    uint16_t status = c->reply->status;
    uint64_t took_ns = now_ns - c->began_ns;

    stat_inc(&e->stats.responses);
    stat_inc(&e->stats.by_status[status]);
    hist_record(&e->stats.response, took_ns);
    if (took_ns > e->stats.response_max_ns)
        stat_set(&e->stats.response_max_ns, took_ns);
    if (status >= 400 || (e->config.verify && status != 200))
        stat_inc(&e->stats.failed[FAILURE_STATUS]);
    else if (e->config.verify && !digest_right(c))
        stat_inc(&e->stats.failed[FAILURE_DIGEST]);
    else if (e->config.verify)
        stat_inc(&e->stats.verified);
}

static void think(struct client *c, uint64_t now_ns)
{
    set_state(c, CLIENT_THINKING);
    arm(c, now_ns + c->engine->config.think_ns);
}

/* The response is whole. False: the connection is not to be used any more. */
static bool complete(struct client *c, uint64_t now_ns)
{
    struct engine *e = c->engine;
    bool keep_alive = c->reply->keep_alive && !e->config.close;

    judge(c, now_ns);
    drop_reply(c);
    c->attempt = false;
    c->served++;
    if (!keep_alive) {
        /* Who closes first keeps the address and port for a minute. That is to be the server, as it
         * is with the clients that it has in life. */
        set_state(c, CLIENT_DRAINING);
        arm(c, now_ns + DRAIN_NS);
        return true;
    }
    if (e->config.think_ns) {
        think(c, now_ns);
        return true;
    }
    ask(c, now_ns);
    return is_open(c->state);
}

/* --- what transports report ------------------------------------------------------------------- */

void client_connected(struct client *c, uint64_t now_ns)
{
    struct engine *e = c->engine;

    hist_record(&e->stats.connect, now_ns - c->began_ns);
    stat_inc(&e->stats.connects);
    settle(c);
    if (is_holder(c) || !e->going) {
        timer_disarm(&e->wheel, &c->timer);
        set_state(c, CLIENT_HOLDING);
    } else {
        ask(c, now_ns);
    }
}

static void heard(struct client *c, uint64_t now_ns)
{
    if (!c->heard)
        hist_record(&c->engine->stats.first_byte, now_ns - c->began_ns);
    c->heard = true;
    c->heard_ns = now_ns;
}

bool client_received(struct client *c, const uint8_t *data, size_t len, uint64_t now_ns)
{
    struct engine *e = c->engine;
    size_t at = 0;

    if (c->state != CLIENT_ASKING) {
        if (c->state == CLIENT_DRAINING)
            stat_inc(&e->stats.failed[FAILURE_MALFORMED]); /* more than was asked for */
        else
            stat_inc(&e->stats.idle_ended); /* a 408, as a rule: a word before it closes */
        reopen(c, now_ns);
        return false;
    }
    heard(c, now_ns);
    while (at < len && !c->reply->done) {
        bool body;
        int64_t n = response_feed(c->reply, data + at, len - at, &body);

        if (n < 0) {
            fail(c, FAILURE_MALFORMED, now_ns);
            return false;
        }
        if (body)
            stat_add(&e->stats.body_bytes, (uint64_t)n);
        if (body && e->config.verify)
            EVP_DigestUpdate(digest_of(c), data + at, (size_t)n);
        at += (size_t)n;
    }
    if (at < len) { /* done, and more: pipelining that nobody began */
        fail(c, FAILURE_MALFORMED, now_ns);
        return false;
    }
    return !c->reply->done || complete(c, now_ns);
}

uint64_t client_skippable(const struct client *c)
{
    if (c->state != CLIENT_ASKING || c->engine->config.verify)
        return 0;
    return response_skippable(c->reply);
}

bool client_skipped(struct client *c, uint64_t bytes, uint64_t now_ns)
{
    heard(c, now_ns);
    response_skip(c->reply, bytes);
    stat_add(&c->engine->stats.body_bytes, bytes);
    return !c->reply->done || complete(c, now_ns);
}

static enum failure connect_failure(enum client_end why)
{
    switch (why) {
    case CLIENT_UNREACHABLE:
        return FAILURE_UNREACHABLE;
    case CLIENT_TIMED_OUT:
        return FAILURE_CONNECT_TIMEOUT;
    case CLIENT_LOCAL:
        return FAILURE_LOCAL;
    case CLIENT_EOF:
    case CLIENT_RESET:
    case CLIENT_REFUSED:
        break;
    }
    return FAILURE_REFUSED;
}

static void ended_asking(struct client *c, enum client_end why, uint64_t now_ns)
{
    if (why == CLIENT_EOF && response_end(c->reply)) {
        complete(c, now_ns);
        reopen(c, now_ns);
    } else if (c->served && !c->heard && why != CLIENT_TIMED_OUT) {
        stat_inc(&c->engine->stats.retries);
        reopen(c, now_ns);
    } else {
        fail(c,
             why == CLIENT_EOF         ? FAILURE_CLOSED
             : why == CLIENT_TIMED_OUT ? FAILURE_TIMEOUT
                                       : FAILURE_RESET,
             now_ns);
    }
}

void client_ended(struct client *c, enum client_end why, uint64_t now_ns)
{
    switch ((enum client_state)c->state) {
    case CLIENT_CONNECTING:
        fail(c, connect_failure(why), now_ns);
        break;
    case CLIENT_ASKING:
        ended_asking(c, why, now_ns);
        break;
    case CLIENT_HOLDING:
    case CLIENT_THINKING:
        stat_inc(&c->engine->stats.idle_ended);
        reopen(c, now_ns);
        break;
    case CLIENT_DRAINING:
        reopen(c, now_ns);
        break;
    case CLIENT_CLOSED:
    case CLIENT_FINISHED:
        break;
    }
}

/* --- what is due ------------------------------------------------------------------------------ */

static void open_client(struct client *c, uint64_t now_ns)
{
    struct engine *e = c->engine;
    enum client_end why;

    if (!is_holder(c) && !e->config.hold && !take_attempt(c)) {
        finish(c, now_ns);
        return;
    }
    set_state(c, CLIENT_CONNECTING);
    c->began_ns = now_ns;
    arm(c, now_ns + e->config.timeout_ns);
    if (!e->transport->open(e->arg, c, &why, now_ns))
        fail(c, connect_failure(why), now_ns);
}

/* True while the rate admits one more; and counts it. */
static bool rate_admits(struct engine *e, uint64_t now_ns)
{
    if (e->config.rate == 0)
        return true;
    if (now_ns < e->next_open_ns)
        return false;
    if (now_ns - e->next_open_ns > RATE_BURST_NS)
        e->next_open_ns = now_ns - RATE_BURST_NS;
    e->next_open_ns += NS_PER_S / e->config.rate;
    return true;
}

static void open_some(struct engine *e, uint64_t now_ns)
{
    while (e->queue && e->opening < e->config.opening_max && rate_admits(e, now_ns)) {
        struct client *c = e->queue;

        e->queue = c->next;
        if (!e->queue)
            e->queue_tail = &e->queue;
        open_client(c, now_ns);
    }
}

static void client_timer(struct client *c, uint64_t now_ns)
{
    struct engine *e = c->engine;

    switch ((enum client_state)c->state) {
    case CLIENT_CLOSED:
        queue_push(c);
        break;
    case CLIENT_CONNECTING:
        fail(c, FAILURE_CONNECT_TIMEOUT, now_ns);
        break;
    case CLIENT_ASKING:
        if (now_ns < c->heard_ns + e->config.timeout_ns)
            arm(c, c->heard_ns + e->config.timeout_ns);
        else
            fail(c, FAILURE_TIMEOUT, now_ns);
        break;
    case CLIENT_THINKING:
        ask(c, now_ns);
        break;
    case CLIENT_DRAINING:
        reopen(c, now_ns);
        break;
    case CLIENT_HOLDING:
    case CLIENT_FINISHED:
        break;
    }
}

void engine_turn(struct engine *e, uint64_t now_ns)
{
    struct timer *timer;

    e->now_ns = now_ns;
    if (e->stopped)
        return;
    while ((timer = timer_pop(&e->wheel, now_ns)))
        client_timer(container_of(timer, struct client, timer), now_ns);
    open_some(e, now_ns);
}

uint64_t engine_next_ns(const struct engine *e)
{
    uint64_t next = timer_next_ns(&e->wheel);

    if (e->queue && e->opening < e->config.opening_max)
        next = min_u64(next, e->config.rate ? e->next_open_ns : e->now_ns);
    return next;
}

void engine_go(struct engine *e, uint64_t now_ns)
{
    e->now_ns = now_ns;
    e->going = true;
    for (uint32_t i = 0; i < e->config.active; i++)
        if (e->clients[i].state == CLIENT_HOLDING)
            ask(&e->clients[i], now_ns);
}

bool engine_finished(const struct engine *e)
{
    return e->stats.finished > 0 && e->stats.finished == e->config.active;
}

/* --- beginning and end ------------------------------------------------------------------------ */

size_t engine_arena_bytes(const struct engine_config *config)
{
    return PAGE_BYTES + sizeof(struct engine) + (size_t)config->clients * sizeof(struct client) +
           (size_t)config->active * (sizeof(struct response) + 16 + 2 * sizeof(void *)) +
           4 * CACHE_LINE;
}

int engine_open(struct engine **out, const struct engine_config *config,
                const struct transport *transport, void *arg, uint64_t now_ns)
{
    struct engine *e = mem_arena_alloc(config->arena, sizeof(*e), CACHE_LINE);

    if (!e)
        return -ENOMEM;
    e->config = *config;
    e->transport = transport;
    e->arg = arg;
    e->attempts_left = config->requests;
    e->going = !config->hold;
    e->next_open_ns = e->now_ns = now_ns;
    e->next_target = (uint32_t)(config->seed % config->targets->count);
    e->queue_tail = &e->queue;
    rand_seed(&e->rand, config->seed);
    timer_wheel_init(&e->wheel, now_ns);
    e->clients = mem_arena_alloc(config->arena, config->clients * sizeof(struct client), 64);
    e->digests = mem_arena_alloc(config->arena, config->active * sizeof(EVP_MD_CTX *), 64);
    if (!e->clients || !e->digests ||
        mem_pool_init(&e->replies, config->arena, sizeof(struct response), config->active) < 0)
        return -ENOMEM;
    if (config->verify) {
        e->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
        if (!e->sha256)
            return -ENOMEM;
    }
    for (uint32_t i = 0; i < config->clients; i++) {
        e->clients[i].engine = e;
        timer_init(&e->clients[i].timer);
        queue_push(&e->clients[i]);
    }
    *out = e;
    return 0;
}

void engine_stop(struct engine *e, uint64_t now_ns)
{
    e->stopped = true;
    for (uint32_t i = 0; i < e->config.clients; i++) {
        struct client *c = &e->clients[i];

        if (is_open(c->state) || c->state == CLIENT_CONNECTING)
            hang_up(c, now_ns);
    }
}

void engine_close(struct engine *e)
{
    for (uint32_t i = 0; i < e->config.active; i++)
        EVP_MD_CTX_free(e->digests[i]);
    EVP_MD_free(e->sha256);
}

struct client *engine_client(struct engine *e, uint32_t index)
{
    return &e->clients[index];
}
