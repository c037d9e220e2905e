"""Where a completion ends.

`code`   left to right: before the first line that begins something else at the margin.
`line`   the hole is one line: after the first line that says something. Blank lines before it
         stay and do not end it, as a hole may follow a blank line; a line that the model ended
         without a line end gets one, as all holes of that benchmark have it.
`own`    where the model itself ended.
"""

from __future__ import annotations

import re

CODE, LINE, OWN = "code", "line", "own"

# The best guess of what the published figures were cut at.
CODE_STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")

# What a task_id of an infilling benchmark begins with: its cut. All others end on their own.
INFILLING_CUTS = {"SingleLineInfilling": LINE}

_FIRST_LINE = re.compile(r"\s*\S[^\n]*\n")


def infilling_cut(task_id: str) -> str:
    """Return the cut for a problem of an infilling benchmark."""
    return INFILLING_CUTS.get(task_id.split("/")[0], OWN)


def is_complete(text: str, cut: str) -> bool:
    """Whether more text would not change what is left after the cut."""
    if cut == LINE:
        return _FIRST_LINE.match(text) is not None
    return cut == CODE and any(stop in text for stop in CODE_STOPS)


def apply(text: str, cut: str) -> str:
    """Return what is left of a completion after the cut."""
    if cut == CODE:
        return text[
            : min((at for stop in CODE_STOPS if (at := text.find(stop)) >= 0), default=None)
        ]
    if cut == LINE and text.strip():
        line = _FIRST_LINE.match(text)
        return line.group() if line else text + "\n"
    return text
