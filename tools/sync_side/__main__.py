"""Command line: write the client's side for threads, or check that it is what would be written.

    python -m tools.sync_side [--check]

With ``--check`` nothing is written; exits with 1 after naming each file that is stale.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tools.sync_side.translation import NAMES, translated

CLIENT = Path(__file__).resolve().parents[2] / "layers/beacon/src/beacon/client"
SOURCES = ("async_connection", "async_pool", "async_transaction")


def main(arguments: list[str], client: Path = CLIENT) -> int:
    """The exit status."""
    check = arguments == ["--check"]
    if arguments and not check:
        print(__doc__, file=sys.stderr)
        return 2
    stale = []
    for source in SOURCES:
        path = client / f"{NAMES[source]}.py"
        text = translated((client / f"{source}.py").read_text(encoding="utf-8"), f"{source}.py")
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path.name)
        if not check:
            path.write_text(text, encoding="utf-8")
    if stale and check:
        print(f"stale: {', '.join(stale)}; run `make sync` and commit what it writes", file=sys.stderr)
    return 1 if stale and check else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
