"""The device's counters, and the proof that is made of them."""

import tempfile
import unittest
from pathlib import Path

from comparison import proof, turn
from comparison.cells import CELLS
from comparison.tests import fixtures
from harness import device

LINE = ("  204 17 5120 90  300 30 9216 80 0 150 170  5 1 64 2  123 45\n")
SATURATED = next(cell for cell in CELLS if cell.name == "produce 1x1KiB p16")
SCHEDULED = next(cell for cell in CELLS if cell.name == "latency 1000")


class Counters(unittest.TestCase):
    def test_a_line_of_the_kernel_is_read_in_bytes_and_flushes(self):
        self.assertEqual(device.parse(LINE), device.Counters(5120 * 512, 9216 * 512, 123))

    def test_a_kernel_that_does_not_count_flushes_is_named_as_the_reason(self):
        with self.assertRaisesRegex(ValueError, "flushes are counted from Linux 5.5 on"):
            device.parse(" ".join(LINE.split()[:15]))

    def test_a_difference_is_taken_of_every_counter(self):
        later = device.Counters(10, 20, 30).since(device.Counters(1, 2, 3))
        self.assertEqual(later, device.Counters(9, 18, 27))

    def test_a_partition_is_counted_on_its_disk_and_a_volume_on_what_it_maps_to(self):
        with tempfile.TemporaryDirectory() as folder:
            disk, partition, volume = (Path(folder) / name for name in ("sda", "sda/sda1", "dm-0"))
            partition.mkdir(parents=True)
            (partition / "partition").touch()
            (volume / "slaves").mkdir(parents=True)
            (volume / "slaves" / "sda1").symlink_to(partition)
            for found in (disk, partition, volume):
                self.assertEqual(device.Device.whole(found).folder.resolve(), disk.resolve())


class Proof(unittest.TestCase):
    def run_of(self, cell, durability, flushes_per_s, **report):
        return turn.run(cell, durability, "sillon", 0, fixtures.report(**report),
                        fixtures.sampler(flushes_per_s), 0)

    def test_class_b_without_flushes_is_refused(self):
        for cell in (SATURATED, SCHEDULED):
            run = self.run_of(cell, "B", 0)
            self.assertIn("did not flush before it acknowledged", run["refused"])

    def test_class_b_with_the_flushes_that_it_needs_counts(self):
        # 10,000 requests with 128 on their way: 79 flushes in 10 s at least.
        self.assertIsNone(self.run_of(SATURATED, "B", 8)["refused"])
        self.assertIsNotNone(self.run_of(SATURATED, "B", 7)["refused"])

    def test_a_schedule_needs_as_many_as_the_requests_that_are_not_on_their_way_together(self):
        # Half of 10,000 requests, 1.2 of them on their way at once.
        self.assertAlmostEqual(proof.flushes_min_on_schedule(10_000, 1000, 200e-6), 4166.7, places=1)
        self.assertIsNone(self.run_of(SCHEDULED, "B", 417)["refused"])
        self.assertIsNotNone(self.run_of(SCHEDULED, "B", 416)["refused"])

    def test_class_a_is_never_refused_for_its_flushes_and_shows_them(self):
        run = self.run_of(SATURATED, "A", 3)
        self.assertIsNone(run["refused"])
        self.assertEqual(run["flushes"], 30)

    def test_a_run_that_is_not_verified_or_had_errors_is_refused(self):
        run = self.run_of(SATURATED, "A", 0, findings=["3 records are missing"])
        self.assertIn("3 records are missing", run["refused"])
        run = self.run_of(SATURATED, "A", 0, errors=[{"count": 2, "what": "NOT_LEADER"}])
        self.assertIn("2 x NOT_LEADER", run["refused"])


class Window(unittest.TestCase):
    def test_counters_are_those_of_the_measured_time_alone(self):
        run = turn.run(SATURATED, "A", "sillon", 0, fixtures.report(),
                       fixtures.sampler(100, cpu_share=0.5), 4096 * 10_000)
        self.assertAlmostEqual(run["figures"]["cpu_s_per_gb"], 0.5 * 10 / (10_000 * 1024 / 1e9))
        self.assertEqual(run["flushes"], 1000)
        self.assertAlmostEqual(run["figures"]["device_bytes_per_byte"], 4.0)
        self.assertEqual(run["others_cpu_share"], {"kafka": 0.0})

    def test_a_counter_between_two_samples_lies_on_the_line_between_them(self):
        seen = fixtures.sampler(100)
        flushes = seen.during(1000.5, 1002.25, lambda sample: sample.device.flushes)
        self.assertAlmostEqual(flushes, 175)
