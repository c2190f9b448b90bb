"""What the kernel counts for the block device below a folder."""

import os
from dataclasses import dataclass
from pathlib import Path

SECTOR_BYTES = 512  # of these counters, whatever the device's own sectors are
# Fields of /sys/block/*/stat: Documentation/block/stat.rst. Flushes are the last two, since 5.5.
READ_SECTORS, WRITTEN_SECTORS, FLUSHES = 2, 6, 15


@dataclass(frozen=True)
class Counters:
    """Since the start of the system."""

    read_bytes: int
    written_bytes: int
    flushes: int

    def since(self, before):
        return Counters(self.read_bytes - before.read_bytes,
                        self.written_bytes - before.written_bytes, self.flushes - before.flushes)


def parse(text):
    """The counters of one line of /sys/block/*/stat."""
    fields = [int(field) for field in text.split()]
    if len(fields) <= FLUSHES:
        raise ValueError(f"{len(fields)} fields: flushes are counted from Linux 5.5 on")
    return Counters(fields[READ_SECTORS] * SECTOR_BYTES, fields[WRITTEN_SECTORS] * SECTOR_BYTES,
                    fields[FLUSHES])


class Device:
    """A whole disk: flushes are not counted for a partition or a mapped volume."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.name = self.folder.name
        self.stat = self.folder / "stat"

    @classmethod
    def below(cls, folder):
        number = os.stat(folder).st_dev
        found = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
        if not found.exists():
            raise AssertionError(f"{folder} is on no block device of its own, so nobody counts its "
                                 f"flushes: choose a folder on ext4 or XFS")
        return cls.whole(found.resolve())

    @classmethod
    def whole(cls, folder):
        if (folder / "partition").exists():
            return cls.whole(folder.parent)
        slaves = sorted((folder / "slaves").iterdir()) if (folder / "slaves").exists() else []
        return cls.whole(slaves[0].resolve()) if len(slaves) == 1 else cls(folder)

    def counters(self):
        return parse(self.stat.read_text())
