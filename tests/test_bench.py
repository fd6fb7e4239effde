"""The arithmetic of `make bench`; what it measures is not tested here."""

import sys

import pytest

from conftest import ROOT

sys.path.insert(0, str(ROOT / "bench"))

import columns  # noqa: E402
import picture  # noqa: E402
import processor  # noqa: E402
import statistic  # noqa: E402
import table  # noqa: E402

HIGHER, LOWER = statistic.HIGHER, statistic.LOWER
NAMES = ["nginx", "haproxy", "hyper", "tls-proxy"]
OLD = processor.Processor("an old one", ("AVX2",))
NEW = processor.Processor("a new one", tuple(processor.FEATURES))
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
    assert table.verdict(SMALL, values, NAMES, NEW) == "≤ 6: met"
    assert "not met" in table.verdict(SMALL, values | {"tls-proxy": [6.1]}, NAMES, NEW)


def test_a_target_without_figures_is_neither_met_nor_missed():
    assert table.verdict(ROW, {"tls-proxy": [5]}, NAMES, NEW).endswith("?")
    assert table.ratio(ROW, {"nginx": [5]}, NAMES) == "-"


def test_a_target_of_several_is_met_when_one_of_them_is():
    either = columns.Row("s", "start", "ms", LOWER, (columns.Either((columns.AtMost(5), columns.AtLeast(2, "nginx"))),))
    values = {"nginx": [14], "tls-proxy": [6.9]}
    assert table.verdict(either, values, NAMES, NEW) == "≤ 5 or ≥ 2 × nginx: met"
    assert table.verdict(either, values | {"tls-proxy": [7.1]}, NAMES, NEW).endswith("**not met**")
    assert table.verdict(either, {"tls-proxy": [4]}, NAMES, NEW).endswith(": met")
    assert table.verdict(either, {"tls-proxy": [6]}, NAMES, NEW).endswith("?")


@pytest.mark.parametrize("size", [1, 9])
def test_without_avx_512_no_target_is_met_or_missed(size):
    assert table.verdict(SMALL, {"tls-proxy": [size]}, NAMES, OLD) == "≤ 6: pending, no AVX-512 IFMA"


def test_a_proxy_that_cannot_is_told_from_one_that_was_not_measured():
    results = {("hybrid full", "tls-proxy"): [5], ("hybrid full", "nginx"): []}
    line = table.compare(results, ["nginx", "haproxy", "tls-proxy"], NEW).splitlines()[-1]
    assert line.split(" | ")[1:4] == ["unsupported", "-", "5.0"]


def test_the_own_program_without_avx_512_is_no_peer():
    masked = table.OWN + table.MASKED
    assert table.ratio(ROW, {masked: [900], "nginx": [100], "tls-proxy": [150]}, [masked, *NAMES]) == "1.50 × nginx"


def test_the_table_names_the_processor_and_what_depends_on_it():
    results = {(key, "tls-proxy"): [5] for key in ("http1", "rsa full")}
    head, _, plain, rsa = table.compare(results, ["tls-proxy"], OLD).splitlines()
    assert head.startswith("| an old one: AVX2; without VAES, AVX-512 IFMA |")
    assert "depends on AVX-512 IFMA" in rsa and "depends" not in plain


def test_a_processor_is_read_from_what_the_kernel_says_of_the_first():
    text = "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx2 vaes avx512ifma\n\nprocessor\t: 1\nflags\t: \n"
    found = processor.parse(text)
    assert found == processor.Processor("AMD EPYC", ("AVX2", "VAES", "AVX-512 IFMA")) and found.has_avx512
    assert str(found) == "AMD EPYC: AVX2, VAES, AVX-512 IFMA"
    assert not processor.parse(text.replace(" avx512ifma", "")).has_avx512


def test_the_mask_takes_vaes_and_all_of_avx_512_and_leaves_avx2():
    first, second = processor.MASK["OPENSSL_ia32cap"].split(":")
    mask = int(second.removeprefix("~"), 16)
    # CPUID leaf 7 (Intel's manual, volume 2A): EBX is the lower half, ECX the upper one.
    avx512f, ifma, vaes, avx2, bmi2, sha = 1 << 16, 1 << 21, 1 << 41, 1 << 5, 1 << 8, 1 << 29
    assert first == "~0x0" and second.startswith("~")
    assert all(mask & bit for bit in (avx512f, ifma, vaes))
    assert not any(mask & bit for bit in (avx2, bmi2, sha))


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
    drawn = picture.draw(results, NAMES, NEW)
    assert drawn.count('class="bar"') == 3 and drawn.count('class="mine"') == 1


def test_the_picture_names_the_processor():
    assert "a new one: AVX2, VAES, AVX-512 IFMA" in picture.draw({}, NAMES, NEW)
