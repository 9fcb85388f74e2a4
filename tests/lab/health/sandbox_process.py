"""A sandbox as a process: answers each line on standard input with one on the descriptor it is given.

A line is two numbers: by how many seconds the monotonic clock jumps, and at which of its readings in this
answer (0: before all). The answer is the HTTP status and the reason code. Standard output is the function's.
"""

import json
import os
import sys
import threading
import time

REAL = time.monotonic
GET = {"httpMethod": "GET", "path": "/token/health", "requestContext": {"stage": "live"}}


class Clock:
    """The monotonic clock with its jumps."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self.jump_s = 0.0
        self.jump_in = 0

    def __call__(self) -> float:
        if self.jump_in > 0:
            self.jump_in -= 1
            if self.jump_in == 0:
                self.ahead_s += self.jump_s
        return REAL() + self.ahead_s


def main() -> None:
    """Serve until standard input ends."""
    assert threading.current_thread() is threading.main_thread()
    clock = Clock()
    # Before anything of Beacon is imported; threads wait by their own, real clock.
    time.monotonic = clock
    import health_handler  # noqa: PLC0415 - see above

    with os.fdopen(int(sys.argv[1]), "w") as answers:
        for line in sys.stdin:
            jump, at = line.split()
            if int(at):
                clock.jump_s, clock.jump_in = float(jump), int(at)
            else:
                clock.ahead_s += float(jump)
            result = health_handler.handler(GET, None)
            clock.jump_in = 0
            (check,) = json.loads(str(result["body"]))["checks"]["dsql:select"]
            answers.write(f"{result['statusCode']} {check['output']}\n")
            answers.flush()


if __name__ == "__main__":
    main()
