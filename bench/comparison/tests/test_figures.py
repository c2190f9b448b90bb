"""Medians, ratios, pairs and controls."""

import unittest

from comparison import schedule
from comparison.figures import Spread, paired_ratios, ratio
from comparison.tests.fixtures import run


class Figures(unittest.TestCase):
    def test_a_median_is_the_middle_one_or_between_the_middle_two(self):
        self.assertEqual(Spread.of([3.0, 1.0, 2.0]), Spread(2.0, 1.0, 3.0, 3))
        self.assertEqual(Spread.of([4.0, 1.0, 3.0, 2.0]), Spread(2.5, 1.0, 4.0, 4))

    def test_unknown_values_are_left_out_and_nothing_has_no_spread(self):
        self.assertEqual(Spread.of([None, 2.0]), Spread(2.0, 2.0, 2.0, 1))
        self.assertIsNone(Spread.of([None]))
        self.assertIsNone(ratio(1.0, 0))
        self.assertIsNone(ratio(None, 1.0))
        self.assertEqual(ratio(0.0, 2.0), 0.0)

    def test_a_ratio_is_taken_within_each_pair_and_not_of_the_medians(self):
        ours = [run("sillon", 0, 20.0), run("sillon", 1, 90.0), run("sillon", 2, 40.0)]
        theirs = [run("kafka", 0, 10.0), run("kafka", 1, 30.0), run("kafka", 2, 40.0)]
        self.assertEqual(paired_ratios(ours, theirs, "requests_per_s"), Spread(2.0, 1.0, 3.0, 3))

    def test_a_refused_run_takes_its_pair_out(self):
        ours = [run("sillon", 0, 20.0), run("sillon", 1, 90.0)]
        theirs = [run("kafka", 0, 10.0), run("kafka", 1, 1.0, refused="it did not flush")]
        self.assertEqual(paired_ratios(ours, theirs, "requests_per_s"), Spread(2.0, 2.0, 2.0, 1))


class Schedule(unittest.TestCase):
    def test_the_order_turns_at_every_round(self):
        turns = schedule.order(["a", "b"], 3)
        self.assertEqual(turns, [(0, "a"), (0, "b"), (1, "b"), (1, "a"), (2, "a"), (2, "b")])

    def test_neighbours_of_the_same_broker_are_the_control(self):
        turns = schedule.order(["a", "b"], 3)
        self.assertEqual(schedule.control_pairs(turns), [(1, 2), (3, 4)])
        runs = [run("a", 0, 10.0), run("b", 0, 30.0), run("b", 1, 33.0), run("a", 1, 9.0),
                run("a", 2, 9.0), run("b", 2, 30.0)]
        control = schedule.control(runs, "requests_per_s")
        self.assertAlmostEqual(control.highest, 1.1)
        self.assertAlmostEqual(control.lowest, 1.0)

    def test_one_pair_has_no_control(self):
        self.assertEqual(schedule.control_pairs(schedule.order(["a", "b"], 1)), [])
