"""Runs them and closes with a line that ci/verify counts."""

import sys
import unittest
from pathlib import Path

suite = unittest.defaultTestLoader.discover(Path(__file__).parent, top_level_dir=Path(__file__).parents[2])
outcome = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
failed = len(outcome.failures) + len(outcome.errors)
print(f"compare: {outcome.testsRun - failed} passed, {failed} failed")
sys.exit(1 if failed or not outcome.testsRun else 0)
