"""A runner that measures nothing, keeps a log of what it sends, and dies when it is told to.

python runner.py LOG DIE_AFTER: after each so many samples, counted over all of its launches, it
kills itself with signal 9. `LOG.hostile` holds further lines that it sends once, in place of a
sample, and then goes on.
"""

import itertools
import json
import os
import random
import signal
import sys
from pathlib import Path


def say(**content: object) -> None:
    """One record, on standard output at once."""
    print(json.dumps(content), flush=True)


def main() -> None:
    """Answer plans until standard input ends."""
    log, die_after = Path(sys.argv[1]), int(sys.argv[2])
    hostile = Path(f"{log}.hostile")
    for line in sys.stdin:
        plan = json.loads(line)
        say(type="hello", nonce=plan["nonce"], runner="made-up", runtime="none",
            backend=plan["backend"], threads=plan["threads"])  # fmt: skip
        timed = [item for item in plan["items"] if item["id"] != plan["sentinel"]]
        for item in plan["items"]:
            say(type="begin", item=item["id"])
            say(type="loaded", item=item["id"], load_ns=1, loops=2)
        samples = 0
        for number, item in itertools.product(range(plan["rounds"]), timed):
            if hostile.exists():
                text = hostile.read_text()
                hostile.unlink()
                sys.stdout.write(text)
                sys.stdout.flush()
            sent = len(log.read_text().splitlines()) if log.exists() else 0
            draw = random.Random(f"{sent} {item['sha256']}")
            at_ns, ns = 1_000_000 * (sent + 1), draw.randrange(200_000, 240_000)
            with log.open("a") as stream:
                stream.write(f"{at_ns} {ns}\n")
            say(type="sample", item=item["id"], round=number, loops=2, ns=ns, first_ns=ns // 2,
                at_ns=at_ns)  # fmt: skip
            samples += 1
            if die_after and (sent + 1) % die_after == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        say(type="bye", samples=samples, sentinels=0, failures=0)


if __name__ == "__main__":
    main()
