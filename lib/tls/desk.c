// SPDX-License-Identifier: BSD-2-Clause
/*
 * desk.c - who computes handshakes: threads with two queues, or nobody else.
 *
 * One lock for both queues, held for a few instructions and, when the first job is done or the last
 * one reaped, for one system call on the eventfd. That call must be made under the lock: made after
 * it, the signal of a job could be taken back by the reaping of the one before.
 */
#include "tls.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#define DESK_NICE 5

struct queue {
    struct tls_job *first, *last;
};

struct tls_desk {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct queue todo, done; /* of those to do, and of those done */
    uint32_t done_count;     /* written under the lock, read without */
    bool closing;
    int fd;
    uint32_t thread_count;
    pthread_t threads[];
};

static void push(struct queue *queue, struct tls_job *job)
{
    job->next = NULL;
    if (queue->last)
        queue->last->next = job;
    else
        queue->first = job;
    queue->last = job;
}

static struct tls_job *pop(struct queue *queue)
{
    struct tls_job *job = queue->first;

    if (!job)
        return NULL;
    queue->first = job->next;
    if (!queue->first)
        queue->last = NULL;
    return job;
}

static void take_step(struct tls_job *job)
{
    if (__atomic_load_n(&job->cancelled, __ATOMIC_RELAXED)) {
        job->result = TLS_FAILED;
        job->out_len = 0;
        return;
    }
    job->result =
        tls_step(job->conn, job->in, job->in_len, job->out, TLS_FLIGHT_BYTES, &job->out_len);
}

/* --- threads ---------------------------------------------------------------------------------- */

static void set_done_count(struct tls_desk *desk, uint32_t count)
{
    __atomic_store_n(&desk->done_count, count, __ATOMIC_RELAXED);
}

static void finish(struct tls_desk *desk, struct tls_job *job)
{
    push(&desk->done, job);
    set_done_count(desk, desk->done_count + 1);
    // The counter is 0 or 1: there is always room for the write.
    if (desk->done_count == 1)
        (void)eventfd_write(desk->fd, 1);
}

static void *desk_main(void *arg)
{
    struct tls_desk *desk = arg;

    // A wish: without it handshakes are as urgent as packets.
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), DESK_NICE);
    pthread_mutex_lock(&desk->lock);
    for (;;) {
        struct tls_job *job;

        while (!desk->closing && !desk->todo.first)
            pthread_cond_wait(&desk->work, &desk->lock);
        if (desk->closing)
            break;
        job = pop(&desk->todo);
        pthread_mutex_unlock(&desk->lock);
        take_step(job);
        pthread_mutex_lock(&desk->lock);
        finish(desk, job);
    }
    pthread_mutex_unlock(&desk->lock);
    return NULL;
}

/* Signals are for the program's threads: these inherit a mask that blocks them all. */
static int start_threads(struct tls_desk *desk, uint32_t threads)
{
    sigset_t all, old;
    int rc = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    while (rc == 0 && desk->thread_count < threads) {
        rc = -pthread_create(&desk->threads[desk->thread_count], NULL, desk_main, desk);
        if (rc == 0)
            desk->thread_count++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc;
}

static uint32_t reap_done(struct tls_desk *desk, struct tls_job **jobs, uint32_t max)
{
    uint32_t count = 0;
    eventfd_t value;

    // Jobs are seen through the lock; the load only saves taking it.
    if (likely(__atomic_load_n(&desk->done_count, __ATOMIC_RELAXED) == 0) || max == 0)
        return 0;
    pthread_mutex_lock(&desk->lock);
    while (count < max && desk->done.first)
        jobs[count++] = pop(&desk->done);
    set_done_count(desk, desk->done_count - count);
    if (desk->done_count == 0)
        (void)eventfd_read(desk->fd, &value);
    pthread_mutex_unlock(&desk->lock);
    return count;
}

/* --- without threads -------------------------------------------------------------------------- */

static uint32_t reap_inline(struct tls_desk *desk, struct tls_job **jobs, uint32_t max)
{
    uint32_t count = 0;

    while (count < min_u32(max, TLS_STEPS_PER_REAP) && desk->todo.first) {
        jobs[count] = pop(&desk->todo);
        take_step(jobs[count++]);
    }
    return count;
}

/* --- both ------------------------------------------------------------------------------------- */

int tls_desk_open(struct tls_desk **out, uint32_t threads)
{
    struct tls_desk *desk = calloc(1, sizeof(*desk) + threads * sizeof(desk->threads[0]));
    int rc;

    if (!desk)
        return -ENOMEM;
    desk->fd = -1;
    pthread_mutex_init(&desk->lock, NULL);
    pthread_cond_init(&desk->work, NULL);
    if (threads > 0) {
        desk->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        rc = desk->fd < 0 ? -errno : start_threads(desk, threads);
        if (rc < 0) {
            tls_desk_close(desk);
            return rc;
        }
    }
    *out = desk;
    return 0;
}

void tls_desk_submit(struct tls_desk *desk, struct tls_job *job)
{
    pthread_mutex_lock(&desk->lock);
    push(&desk->todo, job);
    pthread_mutex_unlock(&desk->lock);
    if (desk->thread_count > 0)
        pthread_cond_signal(&desk->work);
}

uint32_t tls_desk_reap(struct tls_desk *desk, struct tls_job **jobs, uint32_t max)
{
    return desk->thread_count > 0 ? reap_done(desk, jobs, max) : reap_inline(desk, jobs, max);
}

int tls_desk_fd(const struct tls_desk *desk)
{
    return desk->fd;
}

bool tls_desk_busy(const struct tls_desk *desk)
{
    if (desk->thread_count > 0)
        return __atomic_load_n(&desk->done_count, __ATOMIC_RELAXED) > 0;
    return desk->todo.first;
}

void tls_desk_close(struct tls_desk *desk)
{
    if (!desk)
        return;
    pthread_mutex_lock(&desk->lock);
    desk->closing = true;
    pthread_cond_broadcast(&desk->work);
    pthread_mutex_unlock(&desk->lock);
    for (uint32_t i = 0; i < desk->thread_count; i++)
        pthread_join(desk->threads[i], NULL);
    if (desk->fd >= 0)
        close(desk->fd);
    pthread_cond_destroy(&desk->work);
    pthread_mutex_destroy(&desk->lock);
    free(desk);
}
