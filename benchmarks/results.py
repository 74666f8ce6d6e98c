"""Everything that one run measured, as JSON and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.gates import Gate
from benchmarks.parts import PARTS
from benchmarks.tables import Table

__all__ = ["Results"]

_IS = "is"


@dataclass
class Results:
    """The machine, how it was measured, and the records of each part."""

    when: str
    machine: dict[str, str]
    rounds: int
    seconds: float
    full: bool
    elapsed_s: float = 0.0
    records: dict[str, list[Any]] = field(default_factory=dict)

    def tables(self) -> list[Table]:
        """Those of every part that was measured."""
        return [table for name, records in self._measured() for table in PARTS[name].tables(records)]

    def gates(self) -> list[Gate]:
        """Those of every part that was measured."""
        return [gate for name, records in self._measured() for gate in PARTS[name].gates(records)]

    def _measured(self) -> list[tuple[str, list[Any]]]:
        return [(name, self.records[name]) for name in PARTS if self.records.get(name)]

    def write(self, path: Path) -> None:
        """Write it, a line for each record, beside the claims as they were judged."""
        head = {name: value for name, value in vars(self).items() if name != "records"}
        lines = [f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in head.items()]
        lines.append(f'"gates": {_listed([asdict(gate) for gate in self.gates()])}')
        parts = ",\n".join(f"{json.dumps(name)}: {_listed(_plain(name, found))}" for name, found in self._measured())
        lines.append(f'"records": {{\n{parts}\n}}')
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n")

    @classmethod
    def read(cls, path: Path) -> Results:
        """What `write` wrote. The claims are judged anew."""
        value = json.loads(path.read_text())
        value.pop("gates")
        records = {name: [_record(name, one) for one in found] for name, found in value.pop("records").items()}
        return cls(**value, records=records)


def _listed(values: Sequence[Mapping[str, Any]]) -> str:
    return "[\n" + ",\n".join(json.dumps(value, ensure_ascii=False) for value in values) + "\n]"


def _plain(name: str, records: Sequence[Any]) -> list[dict[str, Any]]:
    """Records as objects, which say of which kind they are where there are several."""
    several = len(PARTS[name].RECORDS) > 1
    return [{_IS: type(one).__name__, **asdict(one)} if several else asdict(one) for one in records]


def _record(name: str, value: dict[str, Any]) -> Any:
    kinds = {kind.__name__: kind for kind in PARTS[name].RECORDS}
    kind = kinds[value.pop(_IS)] if _IS in value else next(iter(kinds.values()))
    return kind(**value)
