"""Scenario files, and the document with its tables."""

import datetime
import tomllib
import unittest

from comparison import generator, limits, result, tables
from comparison.brokers import KafkaMeasured, SillonMeasured
from comparison.cells import CELLS, FIGURES
from comparison.tests.fixtures import run

CELL = next(cell for cell in CELLS if cell.name == "produce 1x1KiB p16")
MACHINE = {"cores": 2, "cpu": "a processor", "kernel": "6.1", "file_system": "ext4",
           "load_average": "0.10 0.20 0.30"}
SETTINGS = {"pairs": 2, "measured_s": 8.0, "warm_up_s": 2.0}
LIMIT = {"rows": {"tcp: all in flight": {"requests/s": 900.0},
                  "disk: all in flight, one flush": {"requests/s": 500.0}}, "note": ""}


def document(ours_b=30.0):
    def cell(durability, ours, theirs):
        runs = [run("kafka", 0, theirs), run("sillon", 0, ours), run("sillon", 1, 1.1 * ours),
                run("kafka", 1, theirs)]
        return result.cell_result(CELL, durability, runs, LIMIT)
    brokers = {"kafka": {"version": "4.4.0"}, "sillon": {"version": "0.1.0"}}
    return result.document(MACHINE, SETTINGS, brokers,
                           [cell("A", 40.0, 20.0), cell("B", ours_b, 5.0)], {},
                           datetime.datetime.now(datetime.UTC))


class Scenarios(unittest.TestCase):
    def test_every_scenario_is_written_as_toml_that_reads_back(self):
        for cell in CELLS:
            if cell.kind == "start":
                continue
            for durability in cell.classes:
                text = generator.scenario(cell, KafkaMeasured, durability, generator.Times(2.0, 8.0))
                read = tomllib.loads(text)
                for key, value in cell.scenario.items():
                    self.assertEqual(read[key], value)

    def test_the_classes_differ_in_the_topics_configuration_alone(self):
        def configs(broker, durability):
            text = generator.scenario(CELL, broker, durability, generator.Times(2.0, 8.0))
            return tomllib.loads(text)["topic_configs"]
        self.assertEqual(configs(KafkaMeasured, "A"), {})
        self.assertEqual(configs(KafkaMeasured, "B"), {"flush.messages": "1"})
        self.assertEqual(configs(SillonMeasured, "A"), {"flush.messages": "9223372036854775807"})
        self.assertEqual(configs(SillonMeasured, "B"), {})

    def test_every_figure_that_is_compared_has_a_heading(self):
        for kind, figures in FIGURES.items():
            self.assertLessEqual(set(figures) | set(tables.SHOWN[kind]), set(tables.UNITS))


class Document(unittest.TestCase):
    def test_ratios_stay_within_a_class_and_those_across_stand_apart(self):
        found = document()
        within = [cell["ratios"]["kafka"]["requests_per_s"]["median"] for cell in found["cells"]]
        self.assertEqual([round(ratio, 3) for ratio in within], [2.1, 6.3])
        across = found["across_classes"]
        self.assertEqual(len(across), 1)
        self.assertAlmostEqual(across[0]["ratio"]["lowest"], 1.5)

    def test_the_control_and_the_physical_limit_stand_beside_a_ratio(self):
        class_a, class_b = document()["cells"]
        self.assertAlmostEqual(class_a["control"]["requests_per_s"]["median"], 1.1)
        self.assertEqual(class_a["limits"]["bound"], 900.0)
        self.assertEqual(class_b["limits"]["bound"], 500.0)

    def test_a_limit_is_the_best_of_its_repetitions(self):
        values = {"requests/s": [3.0, 5.0, 4.0], "p99 us": [30.0, 20.0, 40.0]}
        rows = [{"name": "tcp", "values": {column: {"repetitions": found}
                                           for column, found in values.items()}}]
        self.assertEqual(limits.best(rows), {"tcp": {"requests/s": 5.0, "p99 us": 20.0}})

    def test_markdown_has_a_row_for_every_broker_and_ratio(self):
        text = tables.markdown(document())
        self.assertIn("| 1 x 1 KiB, 16 partitions | sillon / kafka | 2.10 (2.00-2.20) |", text)
        self.assertIn("| 1 x 1 KiB, 16 partitions | kafka | 20 |", text)
        self.assertIn("class B, flushed before acknowledged", text)

    def test_a_refused_run_is_named_and_has_no_part_in_a_ratio(self):
        found = document()
        runs = [dict(one, refused="it did not flush") if one["broker"] == "kafka" else one
                for one in found["cells"][1]["runs"]]
        found["cells"][1] = result.cell_result(CELL, "B", runs, None)
        self.assertEqual(found["cells"][1]["ratios"]["kafka"], {})
        self.assertIn("REFUSED 1 x 1 KiB, 16 partitions, class B: kafka, round 1: it did not flush",
                      tables.terminal(found))
