"""The arithmetic of `make bench`; what it measures is not tested here."""

import sys

import pytest

from conftest import ROOT

sys.path.insert(0, str(ROOT / "bench"))

import columns  # noqa: E402
import picture  # noqa: E402
import statistic  # noqa: E402
import table  # noqa: E402

HIGHER, LOWER = statistic.HIGHER, statistic.LOWER
NAMES = ["nginx", "haproxy", "hyper", "tls-proxy"]
ROW = columns.Row("r", "requests", "a second", HIGHER, (columns.AtLeast(1.3, "best"),))
SMALL = columns.Row("m", "memory", "MiB", LOWER, (columns.AtMost(6),))


@pytest.mark.parametrize("part, expected", [(0.5, 50), (0.99, 99), (0.999, 100), (0, 1), (1, 100)])
def test_a_percentile_is_the_value_that_so_many_do_not_exceed(part, expected):
    assert statistic.percentile(range(100, 0, -1), part) == expected


def test_a_percentile_of_one_value_is_that_value():
    assert statistic.percentile([7], 0.999) == 7


@pytest.mark.parametrize("better, times", [(HIGHER, 1.5), (LOWER, 1 / 1.5)])
def test_an_advantage_is_how_many_times_better_whichever_way_is_better(better, times):
    assert statistic.advantage([30], [20], better) == pytest.approx(times)


def test_a_machine_that_slows_down_both_of_a_round_changes_no_ratio():
    assert statistic.advantage([10, 200, 40], [5, 100, 20], HIGHER) == 2
    assert statistic.advantage([10, 200, 3], [5, 100, 90], HIGHER) == 2


def test_a_round_that_was_cut_is_not_compared():
    assert statistic.advantage([10, 20], [5], HIGHER) == 2


def test_the_best_peer_is_neither_we_nor_the_baseline():
    values = {"nginx": [100], "haproxy": [120], "hyper": [900], "tls-proxy": [150]}
    assert table.ratio(ROW, values, NAMES) == "1.25 × haproxy"
    assert table.is_met(ROW.targets[0], ROW, values, NAMES) is False
    assert table.is_met(ROW.targets[0], ROW, values | {"tls-proxy": [156]}, NAMES) is True


def test_where_less_is_better_the_smallest_peer_is_the_best():
    values = {"nginx": [13], "haproxy": [12], "tls-proxy": [6]}
    assert table.ratio(SMALL, values, NAMES) == "2.00 × haproxy"
    assert table.verdict(SMALL, values, NAMES) == "≤ 6: met"
    assert "not met" in table.verdict(SMALL, values | {"tls-proxy": [6.1]}, NAMES)


def test_a_target_without_figures_is_neither_met_nor_missed():
    assert table.verdict(ROW, {"tls-proxy": [5]}, NAMES).endswith("?")
    assert table.ratio(ROW, {"nginx": [5]}, NAMES) == "-"


def test_before_and_after_are_compared_by_the_median_of_their_ratios():
    results = {("http1", "before"): [90, 100, 900], ("http1", "after"): [99, 110, 1170]}
    line = table.before_after(results, "before", "after").splitlines()[-1]
    assert line == "| HTTP/1.1, requests / CPU s | 100 | 110 | 1.100 | better |"


def test_before_and_after_are_compared_as_they_are_shown_where_less_is_better():
    results = {("idle", "before"): [10], ("idle", "after"): [8]}
    line = table.before_after(results, "before", "after").splitlines()[-1]
    assert line == "| memory, idle, MiB | 10.0 | 8.0 | 0.800 | better |"


def test_the_picture_has_a_bar_for_each_figure():
    results = {("http1", name): [number] for number, name in enumerate(NAMES, 1)}
    drawn = picture.draw(results, NAMES)
    assert drawn.count('class="bar"') == 3 and drawn.count('class="mine"') == 1
