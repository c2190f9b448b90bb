"""A broker on a file system that holds an fsync on request, and whose power can be cut."""

import argparse
import os
import subprocess
import tempfile
import time
from pathlib import Path

from harness.broker import TARGET, Sillon


class HeldFileSystem:
    """ci/heldfs, mounted. What was not synced is in its memory alone."""

    def __init__(self, folder):
        self.backing, self.mountpoint = Path(folder) / "backing", Path(folder) / "mounted"
        for path in (self.backing, self.mountpoint):
            path.mkdir(parents=True, exist_ok=True)
        self.process = None

    def mount(self):
        binary = TARGET / "release" / "heldfs"
        if not binary.exists():
            raise AssertionError(f"{binary} is missing: cargo build --release --package heldfs")
        self.process = subprocess.Popen([binary, self.backing, self.mountpoint], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        said = self.process.stdout.readline().strip()
        if said != "mounted":
            raise AssertionError(f"heldfs cannot mount (are you root, is /dev/fuse there?): {said!r}")

    def command(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def hold(self, text):
        """Syncs of paths that contain `text` wait from now on."""
        if (said := self.command(f"hold {text}")) != "ok":
            raise AssertionError(f"heldfs: {said}")

    def waiting(self):
        """Paths whose sync waits."""
        return self.command("waiting").split()[2:]

    def release(self):
        self.command("release")

    def fail(self, operation, text):
        """Reads, writes or syncs of paths that contain `text` fail with EIO from now on."""
        if (said := self.command(f"fail {operation} {text}")) != "ok":
            raise AssertionError(f"heldfs: {said}")

    def failed(self):
        """How many operations failed since the start."""
        return int(self.command("failed").split()[1])

    def heal(self):
        self.command("heal")

    def cut(self, seed=None):
        """Everything that was not synced is lost; with a seed only a part of it, block by block
        and name by name."""
        if self.process is not None:
            if seed is None:
                self.process.kill()
            elif (said := self.command(f"cut {seed}")) != "cut":
                raise AssertionError(f"heldfs: {said!r}")
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                pipe.close()
            self.process = None
            subprocess.run(["umount", "--lazy", self.mountpoint], check=True)


class PoweredSillon(Sillon):
    """`sillon serve` whose kill is a power cut: the next start sees what was synced, only."""

    def __init__(self, folder, shards, options=None, arguments=()):
        super().__init__(folder, shards, options, arguments)
        self.files = HeldFileSystem(self.folder)
        self.data = self.files.mountpoint / "data"
        self.cut_seed = None  # of the next cut

    def start(self):
        if self.files.process is None:
            self.files.mount()
        return super().start()

    def kill(self):
        # The process ends once its file system does: until then its held syncs go on.
        if self.process is not None:
            self.process.kill()
        self.files.cut(self.cut_seed)
        super().kill()

    def remove(self):
        self.kill()
        if os.path.ismount(self.files.mountpoint):
            raise AssertionError(f"{self.files.mountpoint} is still mounted")
        super().remove()


def run_cases(command, cases, options, journal_bytes):
    """The command ci/`command`: gives each of `cases` a new broker of two shards, and counts. Returns
    the exit code."""
    parser = argparse.ArgumentParser(prog=f"ci/{command}")
    parser.add_argument("--only", default="", help="run cases whose name contains this")
    parser.add_argument("--keep", action="store_true", help="keep the folder of a failed case")
    chosen = parser.parse_args()
    folder = TARGET / command
    folder.mkdir(parents=True, exist_ok=True)
    passed = failed = 0
    for case in cases:
        name = case.__name__.replace("_", "-")
        if chosen.only not in name:
            continue
        begin = time.monotonic()
        broker = PoweredSillon(tempfile.mkdtemp(dir=folder), 2, options,
                               arguments=[f"--journal={journal_bytes}"])
        try:
            note = case(broker)
        except AssertionError as error:
            failed += 1
            print(f"FAIL {name} {time.monotonic() - begin:.1f} s: {error}\n"
                  f"     the broker's last words:\n{broker.log_end()}", flush=True)
            if chosen.keep:
                print(f"     its folder: {broker.folder}")
                broker.kill()
                continue
        else:
            passed += 1
            print(f"ok   {name} {time.monotonic() - begin:.1f} s {note}", flush=True)
        finally:
            broker.kill()
        broker.remove()
    print(f"{command}: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0
