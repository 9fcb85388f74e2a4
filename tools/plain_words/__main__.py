"""Command line: check every text that git tracks, or the files that are named.

    python -m tools.plain_words [FILE…]

Exits with 1 after listing each use and what to write instead.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.plain_words.passages import passages
from tools.plain_words.words import judge, read_rules, uses

ROOT = Path(__file__).resolve().parents[2]
WORDS = Path(__file__).with_name("words.toml")
KINDS = (".md", ".py", ".sql", ".yaml", ".yml", ".toml", ".mjs", ".json", ".sh")
NAMES = ("Makefile", "run", "deploy-region", ".editorconfig")
NO_PROSE = ("uv.lock", "results.json")


def texts() -> list[str]:
    """The tracked files that hold prose, relative to the root."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    names = [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    own = WORDS.relative_to(ROOT).as_posix()  # it quotes every word
    return [
        name
        for name in names
        if (name.endswith(KINDS) or Path(name).name in NAMES)
        and Path(name).name not in NO_PROSE
        and name != own
    ]


def main(named: Sequence[str]) -> int:
    """Check, print what is wrong, and return the exit status."""
    rules = read_rules(WORDS)
    every = [name for name in texts() if not name.startswith(rules.pending)]
    checked = [name for name in every if name in named] if named else every
    found = [
        use
        for name in checked
        for use in uses(name, passages(name, (ROOT / name).read_text(encoding="utf-8")), rules.words)
    ]
    # A few files do not need every exception.
    exempt = [entry for entry in rules.exempt if not named or any(entry.covers(use) for use in found)]
    wrong = judge(found, exempt)
    for line in wrong:
        print(line)
    if not wrong:
        print(f"{len(checked)} texts in plain words")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
