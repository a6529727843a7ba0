"""What a check found, and how a fault becomes a finding. Command line and its probes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from ambientd.errors import AmbientdError


class Outcome(StrEnum):
    """The exit code knows only FAILED."""

    OK = "ok"
    WARNING = "warning"
    """It starts and plays, but somebody should know."""
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """One row. check: what was looked at. found: one line. remedy: what to do about it; empty when all is well."""

    check: str
    outcome: Outcome
    found: str
    remedy: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Finding:
        return cls(**{**row, "outcome": Outcome(row["outcome"])})


class Report:
    """The findings in order."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    @property
    def ready(self) -> bool:
        return all(finding.outcome is not Outcome.FAILED for finding in self.findings)

    def ok(self, check: str, found: str) -> None:
        self.findings.append(Finding(check, Outcome.OK, found))

    def warn(self, check: str, found: str, remedy: str) -> None:
        self.findings.append(Finding(check, Outcome.WARNING, found, remedy))

    def fail(self, check: str, found: str, remedy: str) -> None:
        self.findings.append(Finding(check, Outcome.FAILED, found, remedy))

    @contextmanager
    def row(self, check: str) -> Iterator[None]:
        """What is raised in here is that check's failure, and the other checks go on."""
        try:
            yield
        except AmbientdError as error:
            self.fail(check, error.what, error.remedy or "See `ambientd run`")
        except Exception as error:  # a check must not end the others, whatever the machine comes up with
            self.fail(check, f"{type(error).__name__}: {error}".splitlines()[0], "Please report this")
