// SPDX-License-Identifier: BSD-2-Clause
#include "test.h"

static void algorithms_have_names(void **state)
{
    assert_ptr_equal(cc_find("newreno"), &cc_newreno);
    assert_ptr_equal(cc_find("cubic"), &cc_cubic);
    assert_ptr_equal(cc_find("bbr"), &cc_bbr);
    assert_null(cc_find("vegas"));
    assert_null(cc_find(""));
}

/* RFC 6928 2: min (10*MSS, max (2*MSS, 14600)) */
static void initial_windows(void **state)
{
    static const struct {
        uint16_t mss;
        uint32_t window;
    } CASES[] = {{536, 5360},   {1448, 14480}, {1460, 14600},  {1500, 14600},
                 {7300, 14600}, {8960, 17920}, {65495, 130990}};

    for (size_t i = 0; i < array_len(CASES); i++)
        assert_int_equal(cc_initial_window(CASES[i].mss), CASES[i].window);
}

static void segments_change_their_size(void **state)
{
    struct cc cc;

    cc_open(&cc, &cc_cubic, 1460, 0);
    assert_int_equal(cc.cwnd, 14600);
    assert_int_equal(cc.ssthresh, CC_WINDOW_MAX);
    cc_set_mss(&cc, 1220);
    assert_int_equal(cc.cwnd, 14600);
    cc_set_mss(&cc, 20000);
    assert_int_equal(cc.cwnd, 20000);
    assert_int_equal(cc_burst(&cc, 0), 40000);
    cc_set_mss(&cc, 0);
    assert_int_equal(cc.mss, 1);
}

/* The window in a round trip, and twice that in slow start; bursts of a millisecond. */
static void windows_are_paced(void **state)
{
    struct cc cc;

    cc_open(&cc, &cc_newreno, 1000, 0);
    cc.cwnd = 100000;
    assert_int_equal(cc_pacing_bps(&cc, 0, false), 0);
    assert_int_equal(cc_pacing_bps(&cc, 50000, false), 4000000); /* 100 kB / 50 ms = 2 MB/s */
    assert_int_equal(cc_burst(&cc, 4000000), 4000);
    cc.ssthresh = cc.cwnd;
    assert_int_equal(cc_pacing_bps(&cc, 50000, false), 2400000);
    assert_int_equal(cc_burst(&cc, 2400000), 2400);
    assert_int_equal(cc_burst(&cc, 240000), 2000);
    cc.cwnd = cc.ssthresh = CC_WINDOW_MAX;
    assert_int_equal(cc_pacing_bps(&cc, 1, false), (1ull << 30) * 1200000);
    assert_int_equal(cc_burst(&cc, (1ull << 30) * 1200000), 65536);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(algorithms_have_names),
        cmocka_unit_test(initial_windows),
        cmocka_unit_test(segments_change_their_size),
        cmocka_unit_test(windows_are_paced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
