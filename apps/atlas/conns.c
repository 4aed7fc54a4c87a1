// SPDX-License-Identifier: BSD-2-Clause
#include "conns.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

const char *session_phase_name(enum session_phase phase)
{
    static const char *const names[SESSION_PHASES] = {[PHASE_IDLE] = "idle",
                                                      [PHASE_HEAD] = "head",
                                                      [PHASE_SEND] = "send",
                                                      [PHASE_LINGER] = "linger"};

    return names[phase];
}

/* --- the worker's side ------------------------------------------------------------------------ */

static bool is_wanted(const struct conns_filter *filter, const struct tcp_info *info)
{
    if (filter->states && !(filter->states & 1u << info->state))
        return false;
    return ip_addr_common_bits(&filter->peer, &info->remote) >= filter->peer_bits;
}

static void take_row(struct conns_page *page, const struct tcp_conn *conn, uint64_t now_ns)
{
    struct conns_row *row = &page->rows[page->count];
    const struct session *session = tcp_conn_user(conn);

    tcp_conn_info(conn, &row->tcp);
    if (!is_wanted(&page->filter, &row->tcp))
        return;
    page->count++;
    row->has_session = session;
    if (!session)
        return;
    row->phase = session->phase;
    row->phase_ns = now_ns - session->since_ns;
    row->responses = session->response_count;
    row->reads = session->reads;
}

static void fill_slice(struct conns_page *page, struct tcp *tcp, uint64_t now_ns)
{
    uint32_t places = tcp_conn_places(tcp);

    for (uint32_t i = 0; i < CONNS_PLACES_PER_TURN && !page->finished; i++) {
        if (page->place >= places) {
            page->finished = page->last = true;
            return;
        }
        for (struct tcp_conn *conn = tcp_conn_at(tcp, page->place);
             conn && page->count < array_len(page->rows); conn = tcp_conn_beside(conn))
            take_row(page, conn, now_ns);
        page->place++;
        page->looked++;
        page->finished = page->count >= page->rows_max || page->looked == CONNS_PLACES_PER_PAGE;
    }
}

bool conns_desk_serve(struct conns_desk *desk, struct worker *worker, uint64_t now_ns)
{
    bool more = false;

    if (likely(!__atomic_load_n(&desk->page, __ATOMIC_RELAXED)))
        return false;
    pthread_mutex_lock(&desk->lock);
    if (desk->page) {
        fill_slice(desk->page, worker->tcp, now_ns);
        more = !desk->page->finished;
        if (!more) {
            __atomic_store_n(&desk->page, NULL, __ATOMIC_RELAXED);
            pthread_cond_signal(&desk->answered);
        }
    }
    pthread_mutex_unlock(&desk->lock);
    return more;
}

void conns_desk_close(struct conns_desk *desk)
{
    pthread_mutex_lock(&desk->lock);
    desk->closed = true;
    pthread_cond_signal(&desk->answered);
    pthread_mutex_unlock(&desk->lock);
}

/* --- the other side --------------------------------------------------------------------------- */

/* The rows are many, and are written before they are read. */
void conns_page_begin(struct conns_page *page, const struct conns_filter *filter, uint32_t place,
                      uint32_t rows_max)
{
    memset(page, 0, offsetof(struct conns_page, rows));
    page->filter = *filter;
    page->place = place;
    page->rows_max = rows_max;
}

int conns_desk_init(struct conns_desk *desk)
{
    pthread_condattr_t attr;
    int rc;

    *desk = (struct conns_desk){0};
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    rc = -pthread_cond_init(&desk->answered, &attr);
    pthread_condattr_destroy(&attr);
    return rc < 0 ? rc : -pthread_mutex_init(&desk->lock, NULL);
}

static void wake(int fd)
{
    uint64_t one = 1;

    /* It can only fail when the counter is full, and then the sleeper is awake already. */
    if (write(fd, &one, sizeof(one)) < 0)
        return;
}

int conns_desk_ask(struct conns_desk *desk, struct conns_page *page, int wake_fd)
{
    struct timespec until;
    int rc = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += CONNS_WAIT_MS / 1000;
    pthread_mutex_lock(&desk->lock);
    if (!desk->closed) {
        __atomic_store_n(&desk->page, page, __ATOMIC_RELAXED);
        wake(wake_fd);
    }
    while (desk->page && !desk->closed && rc == 0)
        rc = -pthread_cond_timedwait(&desk->answered, &desk->lock, &until);
    if (page->finished)
        rc = 0;
    else if (desk->closed)
        rc = -ESHUTDOWN;
    __atomic_store_n(&desk->page, NULL, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&desk->lock);
    return rc;
}
