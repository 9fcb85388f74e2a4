"""How a reader gets from one document to the next: the same rules for publisher and consumers.

=============================================  ==========================================================
what is found                                  what a reader does
=============================================  ==========================================================
nothing, or nothing readable                   keeps the last good document, whose age it knows
a malformed or foreign document                ignores it whole and says why (:mod:`beacon.document.form`)
an epoch lower than the last, or more than     ignores it: a delayed writer, or a clock far ahead
5 minutes in the future
the last epoch again, with other content       ignores it: of two writers in one millisecond the first
                                               counts, until the next epoch
anything else                                  accepts it
=============================================  ==========================================================

Past ``valid_until`` every endpoint is a candidate again, in ranked order. Pure: no I/O, no clock.
"""

from __future__ import annotations

from datetime import datetime

from beacon.document.form import DocumentError, Expected, parse, serialize
from beacon.model import Document

__all__ = ["Reader"]


class Reader:
    """Holds the last good document of one target."""

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        self._last: Document | None = None
        self._text = ""

    @property
    def last(self) -> Document | None:
        """The last good document; ``None`` before the first."""
        return self._last

    @property
    def text(self) -> str:
        """The last good document as it was read; empty before the first."""
        return self._text

    def accept(self, text: str, now: datetime) -> Document:
        """Take ``text`` for the next document by the module's rules.

        Raises :class:`~beacon.document.form.DocumentError` with every reason against it; the last one stays
        then.
        """
        document = parse(text, self._expected, now, self._last)
        if self._last is not None and document.epoch == self._last.epoch and text != self._text:
            raise DocumentError(["epoch is that of the last document, whose content was another"])
        self._last, self._text = document, text
        return document

    def keep(self, document: Document) -> None:
        """Continue from the reader's own document."""
        self._last, self._text = document, serialize(document)
