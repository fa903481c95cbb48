"""`python -m farthing_litellm`: sends what waits in FARTHING_SPOOL and ends, 0 when nothing is left.

For the volume of a proxy that will not start again, and for a look at whether address and key are right.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .sender import Endpoint, Sender
from .spool import Spool


def main() -> int:
    missing = [name for name in ("FARTHING_URL", "FARTHING_KEY", "FARTHING_SPOOL") if not os.environ.get(name)]
    if missing:
        print(f"{missing[0]} is not set", file=sys.stderr)
        return 2
    spool = Spool(Path(os.environ["FARTHING_SPOOL"]).expanduser())
    endpoint = Endpoint(os.environ["FARTHING_URL"], os.environ["FARTHING_KEY"])
    there = len(spool.waiting())
    Sender(spool, endpoint, lambda text: print(text, file=sys.stderr)).round()
    left = len(spool.waiting()) + len(list(spool.directory.glob("*.refused")))
    print(f"{there - left} of {there} batches sent")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
