// SPDX-License-Identifier: BSD-2-Clause
#include "rig_test.h"

static void comes_up(void **state)
{
    struct rig *rig = rig_open((struct nvme_sim_config){.ready_ns = 300 * NS_PER_MS,
                                                        .delay_max_ns = NS_PER_MS,
                                                        .mdts = 4,
                                                        .dstrd = 3,
                                                        .queue_pairs = 2,
                                                        .queue_size = 32},
                               100, 4);
    const struct nvme_info *info = nvme_ctrlr_info(rig->ctrlr);
    struct nvme_qpair *qp;

    assert_int_equal(nvme_open(&qp, rig->ctrlr, 1, rig->arena), -ENODEV);
    rig_ready(rig);
    assert_string_equal(info->model, "controller in software");
    assert_string_equal(info->serial, "1");
    assert_int_equal(info->version, 0x00010400);
    assert_int_equal(info->transfer_bytes, 65536);
    assert_int_equal(info->qpairs, 2);
    assert_int_equal(rig->qp->depth, 31);
    assert_int_equal(nvme_open(&qp, rig->ctrlr, 1, rig->arena), -EBUSY);
    assert_int_equal(nvme_open(&qp, rig->ctrlr, 0, rig->arena), -ENODEV);
    assert_int_equal(nvme_open(&qp, rig->ctrlr, 3, rig->arena), -ENODEV);
    assert_int_equal(nvme_open(&qp, rig->ctrlr, 2, rig->arena), 0);
    assert_int_equal(nvme_close(rig->qp), -EINPROGRESS);
    assert_int_equal(nvme_open(&qp, rig->ctrlr, 1, rig->arena), -EBUSY);
    rig_qp_close(rig, rig->qp);
    assert_int_equal(nvme_open(&qp, rig->ctrlr, 1, rig->arena), 0);
    rig_close(rig);
}

static void namespaces(void **state)
{
    struct nvme_sim_config config = {
        .namespaces = {{.blocks = 100, .block_log = 9},
                       {.blocks = 0},
                       {.blocks = 200, .block_log = 12}},
        .delay_max_ns = NS_PER_MS,
    };
    struct rig *rig = rig_open(config, 8, 1);
    const struct nvme_namespace *third;

    rig_ready(rig);
    assert_int_equal(nvme_ctrlr_namespace_count(rig->ctrlr), 2);
    assert_int_equal(nvme_ctrlr_namespace(rig->ctrlr, 0)->ns_id, 1);
    assert_int_equal(nvme_ctrlr_namespace(rig->ctrlr, 0)->block_bytes, 512);
    third = nvme_ctrlr_namespace(rig->ctrlr, 1);
    assert_int_equal(third->ns_id, 3);
    assert_int_equal(third->block_bytes, 4096);
    assert_int_equal(third->blocks, 200);
    assert_null(nvme_ctrlr_namespace(rig->ctrlr, 2));
    nvme_sim_detach(rig->access, 3);
    for (uint32_t i = 0; i < 20; i++)
        rig_round(rig);
    assert_int_equal(nvme_ctrlr_stats(rig->ctrlr)->async_events, 1);
    assert_int_equal(third->blocks, 0);
    assert_int_equal(nvme_ctrlr_namespace(rig->ctrlr, 0)->blocks, 100);
    nvme_sim_detach(rig->access, 1); // the next event is awaited, too
    for (uint32_t i = 0; i < 20; i++)
        rig_round(rig);
    assert_int_equal(nvme_ctrlr_namespace(rig->ctrlr, 0)->blocks, 0);
    rig_close(rig);
}

static void never_ready(void **state)
{
    struct rig *rig = rig_open((struct nvme_sim_config){.ready_ns = UINT64_MAX}, 8, 1);

    assert_int_equal(rig_leave(rig, NVME_STARTING), NVME_DEAD);
    assert_non_null(strstr(nvme_ctrlr_why(rig->ctrlr), "never became ready"));
    assert_true(rig->now_ns >= NS_PER_S && rig->now_ns < NS_PER_S + RIG_TIMEOUT);
    assert_int_equal(nvme_ctrlr_next_ns(rig->ctrlr), UINT64_MAX);
    rig_close(rig);
}

static void not_there(void **state)
{
    struct rig *rig = rig_open((struct nvme_sim_config){.remove_ns = 1}, 8, 1);

    assert_int_equal(rig_leave(rig, NVME_STARTING), NVME_DEAD);
    assert_non_null(strstr(nvme_ctrlr_why(rig->ctrlr), "all ones"));
    rig_close(rig);
}

/* All that is out and all that waits ends, once, and new requests are refused. */
static void pulled_out(void **state)
{
    struct rig *rig = rig_open((struct nvme_sim_config){.delay_min_ns = NS_PER_S / 2,
                                                        .delay_max_ns = NS_PER_S / 2,
                                                        .remove_ns = 20 * NS_PER_S},
                               2, 1);
    struct rig_io r[5];

    rig_ready(rig);
    rig->now_ns = 20 * NS_PER_S - NS_PER_MS;
    for (uint32_t i = 0; i < 5; i++) {
        r[i] = rig_request(rig, i, i + 1, i * 8192);
        assert_int_equal(nvme_read(&r[i].io), 0);
    }
    rig_drain(rig);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(r[i].ended, 1);
        assert_int_equal(r[i].error, -ENODEV);
    }
    assert_int_equal(nvme_ctrlr_turn(rig->ctrlr, rig->now_ns), NVME_DEAD);
    assert_int_equal(nvme_read(&r[0].io), -ENODEV);
    rig_close(rig);
}

static void fatal(void **state)
{
    struct rig *rig = rig_open((struct nvme_sim_config){.delay_max_ns = 1, .fatal = 1}, 8, 1);
    struct rig_io r;

    rig_ready(rig);
    r = rig_request(rig, 7, 9, 0);
    assert_int_equal(nvme_read(&r.io), 0);
    rig_round(rig);
    rig_sim(rig)->config.fatal = 0;
    rig_drain(rig);
    assert_int_equal(r.error, 0);
    assert_memory_equal(rig->buf, rig->media + 7 * 512, 9 * 512);
    assert_int_equal(nvme_ctrlr_stats(rig->ctrlr)->resets, 1);
    rig_close(rig);
}

/* It neither carries out nor stops: what is out comes back when it is cut off, not before. */
static void wont_stop(void **state)
{
    struct rig *rig = rig_open(
        (struct nvme_sim_config){.delay_max_ns = 1, .stuck = 1, .abort_fails = 1, .wont_stop = 1},
        8, 1);
    struct rig_io r;

    rig_ready(rig);
    r = rig_request(rig, 0, 8, 0);
    assert_int_equal(nvme_read(&r.io), 0);
    while (!rig_sim(rig)->cut) {
        assert_int_equal(r.ended, 0);
        memset(rig->buf, 0, 4096);
        rig_round(rig);
    }
    assert_int_equal(r.ended, 1);
    assert_int_equal(r.error, -ENODEV);
    assert_int_equal(rig->buf[0], SIM_SCRIBBLE);
    assert_non_null(strstr(nvme_ctrlr_why(rig->ctrlr), "does not stop"));
    rig_close(rig);
}

/* What is out when the controller is shut down comes back, and only when it has stopped. */
static void shuts_down(void **state)
{
    struct rig *rig = rig_open((struct nvme_sim_config){.delay_min_ns = NS_PER_S / 2,
                                                        .delay_max_ns = NS_PER_S / 2,
                                                        .ready_ns = NS_PER_MS},
                               8, 1);
    struct rig_io r;

    rig_ready(rig);
    r = rig_request(rig, 0, 1, 0);
    assert_int_equal(nvme_read(&r.io), 0);
    nvme_sqsync(rig->qp);
    nvme_ctrlr_turn(rig->ctrlr, rig->now_ns);
    nvme_ctrlr_stop(rig->ctrlr);
    nvme_ctrlr_turn(rig->ctrlr, rig->now_ns);
    assert_int_equal(r.ended, 0);
    assert_int_equal(rig_leave(rig, NVME_STOPPING), NVME_CLOSED);
    assert_int_equal(r.ended, 0);
    assert_int_equal(nvme_peek_completions(rig->qp), 1);
    assert_int_equal(nvme_consume_completions(rig->qp, 1), 1);
    assert_int_equal(r.ended, 1);
    assert_int_equal(r.error, -ECANCELED);
    assert_int_equal(rig_sim(rig)->cut, false);
    rig_close(rig);
}

/* At every moment of the bring-up. */
static void stops_while_starting(void **state)
{
    enum nvme_state before = NVME_STARTING;

    for (uint32_t turns = 0; before == NVME_STARTING; turns++) {
        struct rig *rig = rig_open((struct nvme_sim_config){.delay_min_ns = 3 * NS_PER_MS,
                                                            .delay_max_ns = 3 * NS_PER_MS,
                                                            .ready_ns = 3 * NS_PER_MS},
                                   8, 2);
        struct nvme_qpair *qp;

        for (uint32_t i = 0; i < turns; i++) {
            before = nvme_ctrlr_turn(rig->ctrlr, rig->now_ns);
            rig->now_ns = max_u64(rig->now_ns + 1, nvme_ctrlr_next_ns(rig->ctrlr));
        }
        nvme_ctrlr_stop(rig->ctrlr);
        assert_int_equal(rig_leave(rig, NVME_STOPPING), NVME_CLOSED);
        assert_int_equal(nvme_open(&qp, rig->ctrlr, 1, rig->arena), -ENODEV);
        assert_false(rig_sim(rig)->cut);
        assert_string_equal(nvme_ctrlr_why(rig->ctrlr), "");
        assert_true(turns < 1000);
        rig_close(rig);
    }
}

static void closed_abruptly(void **state)
{
    struct rig *rig = rig_open(
        (struct nvme_sim_config){.delay_min_ns = NS_PER_S / 2, .delay_max_ns = NS_PER_S / 2}, 2, 1);
    struct rig_io r[3];
    uint32_t ended = 0;

    rig_ready(rig);
    for (uint32_t i = 0; i < 3; i++) {
        r[i] = rig_request(rig, i, 1, i * 512);
        assert_int_equal(nvme_read(&r[i].io), 0);
    }
    rig_close(rig);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(r[i].error, -ECANCELED);
        ended += r[i].ended;
    }
    assert_int_equal(ended, 3);
}

static bool printable(const char *text)
{
    while (*text >= ' ' && *text <= '~')
        text++;
    return !*text;
}

/* Bytes of what the controller answered are changed before the driver sees them: it comes up with
 * limits that make sense, or not at all. */
static void answers_nonsense(void **state)
{
    uint32_t ready = 0, dead = 0, harmed = 0;

    for (uint64_t seed = 1; seed <= 500; seed++) {
        struct rig *rig = rig_open((struct nvme_sim_config){.delay_max_ns = 1}, 8, 4);
        const struct nvme_info *info = nvme_ctrlr_info(rig->ctrlr);
        const struct ring *ring = &rig->ctrlr->admin.ring;
        uint8_t *page = rig->ctrlr->data, *cq = (uint8_t *)ring->cq;
        enum nvme_state is = NVME_STARTING;
        struct nvme_qpair *qp;
        uint32_t turns = 0;
        struct rand rand;

        rand_seed(&rand, seed);
        // Also while queue pairs are created.
        for (uint32_t i = 0; i < 10000 && (is == NVME_STARTING || turns < 1000); i++) {
            if (is != NVME_STARTING && turns++ < 4 && is == NVME_READY)
                (void)!nvme_open(&qp, rig->ctrlr, turns, rig->arena);
            rig->access->ops->poll(rig->access, rig->now_ns);
            for (uint64_t n = rand_below(&rand, 3) * 20; n; n--)
                page[rand_below(&rand, rand_chance(&rand, 0.5) ? PAGE_BYTES : 160)] =
                    (uint8_t)rand_u64(&rand);
            // Anything but the byte with the phase bit, which says that there is something.
            if (rand_chance(&rand, 0.2))
                cq[16 * ring->cq_head + (14 + rand_below(&rand, 15) + 1) % 16] =
                    (uint8_t)rand_u64(&rand);
            is = nvme_ctrlr_turn(rig->ctrlr, rig->now_ns);
            rig->now_ns = max_u64(rig->now_ns + 1, nvme_ctrlr_next_ns(rig->ctrlr));
        }
        assert_true(is == NVME_READY || is == NVME_RESETTING || is == NVME_DEAD);
        assert_true(is != NVME_DEAD || nvme_ctrlr_why(rig->ctrlr)[0]);
        assert_true(printable(info->model) && printable(info->serial) && printable(info->firmware));
        for (uint32_t i = 0; i < nvme_ctrlr_namespace_count(rig->ctrlr); i++) {
            const struct nvme_namespace *ns = nvme_ctrlr_namespace(rig->ctrlr, i);

            assert_true(!ns->blocks || (ns->block_bytes >= 512 && ns->block_bytes <= 4096));
            assert_true(!ns->blocks || ns->blocks <= UINT64_MAX / ns->block_bytes);
        }
        assert_true(is == NVME_DEAD || (info->qpairs >= 1 && info->qpairs <= 4));
        assert_true(is == NVME_DEAD || info->transfer_bytes >= PAGE_BYTES);
        ready += is == NVME_READY;
        dead += is == NVME_DEAD;
        harmed += nvme_ctrlr_why(rig->ctrlr)[0] != '\0';
        rig_close(rig);
    }
    // A queue pair that is refused is not the end of the controller.
    assert_true(ready > 50 && dead > 50 && harmed > 100);
}

static void refuses_nonsense(void **state)
{
    struct nvme_config config = {.qpairs = 1, .depth = 1};
    struct nvme_sim_config sim = {.namespaces = {{.blocks = 1, .block_log = 9}}};
    struct nvme_ctrlr *ctrlr;
    char why[200];

    assert_int_equal(mem_arena_open(&config.arena, 2 << 20, 0), 0);
    assert_int_equal(nvme_sim_open(&config.access, &sim), 0);
    config.qpairs = 0;
    assert_int_equal(nvme_ctrlr_open(&ctrlr, &config, why, sizeof(why)), -EINVAL);
    config.qpairs = 1;
    config.depth = NVME_DEPTH_MAX + 1;
    assert_int_equal(nvme_ctrlr_open(&ctrlr, &config, why, sizeof(why)), -EINVAL);
    config.depth = 1;
    config.transfer_bytes = 6000;
    assert_int_equal(nvme_ctrlr_open(&ctrlr, &config, why, sizeof(why)), -EINVAL);
    config.transfer_bytes = 2 << 20;
    assert_non_null(mem_arena_alloc(config.arena, (2 << 20) - 8 * PAGE_BYTES, 1));
    assert_int_equal(nvme_ctrlr_open(&ctrlr, &config, why, sizeof(why)), -ENOMEM);
    assert_non_null(strstr(why, "arena"));
    nvme_access_close(config.access);
    sim.namespaces[0].block_log = 13;
    assert_int_equal(nvme_sim_open(&config.access, &sim), -EINVAL);
    mem_arena_close(config.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_up),
        cmocka_unit_test(namespaces),
        cmocka_unit_test(never_ready),
        cmocka_unit_test(not_there),
        cmocka_unit_test(pulled_out),
        cmocka_unit_test(fatal),
        cmocka_unit_test(wont_stop),
        cmocka_unit_test(shuts_down),
        cmocka_unit_test(stops_while_starting),
        cmocka_unit_test(closed_abruptly),
        cmocka_unit_test(refuses_nonsense),
        cmocka_unit_test(answers_nonsense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
