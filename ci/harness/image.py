"""A small disk of its own: an ext4 file system in a file, on a loop device."""

import os
import shutil
import subprocess
from pathlib import Path


class Ext4Image:
    def __init__(self, folder, size_bytes):
        self.file, self.mountpoint = Path(folder) / "disk.img", Path(folder) / "mounted"
        self.size_bytes = size_bytes

    def mount(self):
        self.mountpoint.mkdir(parents=True, exist_ok=True)
        with open(self.file, "wb") as file:
            file.truncate(self.size_bytes)
        # Nothing is kept for root, as whom this runs.
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", self.file], check=True)
        done = subprocess.run(["mount", "-o", "loop", self.file, self.mountpoint],
                              stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise AssertionError(f"a loop device is needed (are you root?): {done.stderr.strip()}")

    def unmount(self):
        if os.path.ismount(self.mountpoint):
            subprocess.run(["umount", "--lazy", self.mountpoint], check=True)
        self.file.unlink(missing_ok=True)

    def free_bytes(self):
        return shutil.disk_usage(self.mountpoint).free
