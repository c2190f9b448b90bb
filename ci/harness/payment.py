"""The command ci/payment: the example with a broker of its own, and against a broker that runs."""

import re
import subprocess
import sys
import tempfile

from harness.broker import ROOT, TARGET, Sillon

TIMEOUT_S = 900
# What a reader must find in its story, in this order.
STORY = [
    r"payment +publishes 600 payments",
    r"example +invoicing-1 is killed; it had partitions \[\d",
    r"invoicing-2 +is given partitions 0 from \d+, 1 from \d+, 2 from \d+, 3 from \d+",
    r"example +invoicing-2 goes on where invoicing-1 had committed",
    r"example +600 payments: all invoiced, \d+ of them twice .*, all audited once",
]


def tells_its_story(*arguments):
    done = subprocess.run(["examples/payment/run", *arguments], cwd=ROOT, text=True, timeout=TIMEOUT_S,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(done.stdout, end="", flush=True)
    if done.returncode:
        return f"it ended with {done.returncode}"
    place = 0
    for line in STORY:
        found = re.compile(line).search(done.stdout, place)
        if not found:
            return f"it does not tell, in its place: {line}"
        place = found.end()
    return None


def main():
    verdicts = {"a broker of its own": tells_its_story()}
    with tempfile.TemporaryDirectory(prefix="payment-", dir=TARGET) as folder:
        broker = Sillon(folder, 2)
        try:
            broker.start()
            verdicts["a broker that runs"] = tells_its_story("--bootstrap", broker.address)
        finally:
            broker.kill()
    for name, complaint in verdicts.items():
        print(f"{'FAIL' if complaint else 'ok  '} {name} {complaint or ''}".rstrip())
    failed = sum(complaint is not None for complaint in verdicts.values())
    print(f"payment: {len(verdicts) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
