"""The command ci/dump-log-segments."""

import sys

from harness import segments


def main():
    if len(sys.argv) < 2:
        print("usage: ci/dump-log-segments DATA_FOLDER [COMPACTED_TOPIC...]", file=sys.stderr)
        return 2
    count, records, complaints = segments.check_closed(sys.argv[1], sys.argv[2:])
    for complaint in complaints:
        print(complaint)
    print(f"{count} closed segments, {records} records, {len(complaints)} complaints")
    return 1 if complaints or not count else 0


sys.exit(main())
