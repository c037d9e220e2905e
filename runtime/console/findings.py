"""What was looked at, how bad it is, and the report of it for people and programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ... import __version__

_SEVERITIES = OK, WARNING, ERROR = "ok", "warning", "error"  # from the best on
_MARKS = {OK: "ok", WARNING: "! ", ERROR: "!!"}
_STATUSES = {OK: 0, ERROR: 1, WARNING: 3}  # 2 is of wrong usage
SCHEMA = 1  # of the report as JSON; fields are added and not changed


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    `problem` says what is wrong and what to do, or nothing; `bearable`, that all runs in spite of
    it, though slower or less. Findings about a bundle are indented.
    """

    subject: str
    state: str
    problem: str = ""
    bearable: bool = False

    @property
    def severity(self) -> str:
        """How bad it is: ok, warning or error."""
        if not self.problem:
            return OK
        return WARNING if self.bearable else ERROR


def severity_of(findings: Sequence[Finding]) -> str:
    """Return the worst severity of some findings."""
    return max((finding.severity for finding in findings), key=_SEVERITIES.index, default=OK)


def to_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return a report for other programs."""
    return {
        "schema": SCHEMA,
        "version": __version__,
        "severity": severity_of(findings),
        "findings": [
            {
                "subject": finding.subject.strip(),
                "severity": finding.severity,
                "state": finding.state,
                "problem": finding.problem,
            }
            for finding in findings
        ],
    }


def report_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield a report for people."""
    for finding in findings:
        yield f"{_MARKS[finding.severity]} {finding.subject:22} {finding.state}"
        if finding.problem:
            yield f"   {'':22} {finding.problem}"


def exit_status(findings: Sequence[Finding]) -> int:
    """Return the status of a command that reports them: 0, or by the worst."""
    return _STATUSES[severity_of(findings)]
