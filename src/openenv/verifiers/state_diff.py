"""``state_diff``: nothing in the database changed but what may."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from openenv.errors import ValidationFailed
from openenv.verifiers.base import VerifierConfig, need_image, pair_up, shown
from openenv.verifiers.diff import Change, diff_images
from openenv.verifiers.evidence import AllowedChange, ColumnPattern, Evidence, Verdict
from openenv.verifiers.image import open_image, text_of

_SHOWN_CHANGES = 20


class StateDiffConfig(VerifierConfig):
    """``{"allowed"?: [{"table", "kinds"?, "where"?, "columns"?, "max_rows"?}…], "ignored"?: ["table.column"…]}``."""

    allowed: Annotated[list[AllowedChange], Field(max_length=200)] = Field(
        default_factory=list, description="The only changes that are allowed; none of them has to happen"
    )
    ignored: Annotated[list[ColumnPattern], Field(max_length=200)] = Field(
        default_factory=list, description="Columns that never count, as table.column with * as wild card"
    )


@dataclass(frozen=True, slots=True)
class StateDiff:
    """Compares the final image with the initial one, row by row, and passes when every change is allowed.

    A change needs one entry that allows it, wholly; an entry with ``max_rows`` is used for so many changes and no more.
    Tables that were created, dropped or altered are never allowed, only ignored (``table.*``).
    """

    name: str
    config: StateDiffConfig
    verifier_type: str = "state_diff"

    def verify(self, evidence: Evidence) -> Verdict:
        initial, final = need_image(evidence.initial, "initial"), need_image(evidence.final, "final")
        allowed = self.config.allowed
        _check_names(allowed, initial, final)
        changes = diff_images(initial, final, self.config.ignored)
        room = [entry.max_rows for entry in allowed]
        given = pair_up(len(changes), len(allowed), lambda one, other: allows(allowed[other], changes[one]), room)
        damage = [change for change, entry in zip(changes, given, strict=True) if entry is None]
        lines = [str(change) for change in damage[:_SHOWN_CHANGES]]
        if len(damage) > _SHOWN_CHANGES:
            lines.append(f"and {len(damage) - _SHOWN_CHANGES} more")
        if damage:
            message = f"{len(damage)} of {len(changes)} changes are not allowed: {'; '.join(lines)}."
        else:
            message = f"All of {len(changes)} changes are allowed." if changes else "Nothing changed."
        return Verdict(
            name=self.name,
            verifier_type=self.verifier_type,
            passed=not damage,
            message=message,
            expected="no change but the allowed ones",
            actual=lines,
            details={
                "changes": len(changes),
                "not_allowed": len(damage),
                "collateral": [shown(change.as_json()) for change in damage[:_SHOWN_CHANGES]],
            },
        )


def allows(entry: AllowedChange, change: Change) -> bool:
    """Whether the entry allows this change, leaving aside how many."""
    if entry.table.lower() != change.table.lower() or change.kind not in entry.kinds:
        return False
    row = change.before if change.kind == "delete" else change.after
    if row is None or not _has(row, entry.where):
        return False
    if change.kind == "update" and entry.columns is not None:
        return {column.lower() for column in change.columns} <= {column.lower() for column in entry.columns}
    return True


def _has(row: Mapping[str, Any], where: Mapping[str, Any]) -> bool:
    cells = {column.lower(): value for column, value in row.items()}
    return all(
        column.lower() in cells and cells[column.lower()] in (wanted if isinstance(wanted, list) else [wanted])
        for column, wanted in where.items()
    )


def _check_names(allowed: Sequence[AllowedChange], initial: bytes, final: bytes) -> None:
    """Raise `ValidationFailed` for a table or column that neither image has: such an entry could never allow anything."""
    if not allowed:
        return
    known: dict[str, set[str]] = {}
    for image in (initial, final):
        for table, column in _columns(image):
            known.setdefault(table.lower(), set()).add(column.lower())
    for index, entry in enumerate(allowed):
        columns = known.get(entry.table.lower())
        if columns is None:
            raise ValidationFailed(
                f"allowed change {index} names the table {entry.table[:80]!r}, which the database does not have",
                field=f"allowed.{index}.table",
                hint=f"Its tables are: {', '.join(sorted(known))[:1000]}.",
            )
        unknown = next((column for column in (*entry.where, *(entry.columns or ())) if column.lower() not in columns), None)
        if unknown is not None:
            raise ValidationFailed(
                f"allowed change {index} names the column {unknown[:80]!r}, which the table {entry.table[:80]!r} does not have",
                field=f"allowed.{index}",
                hint=f"Its columns are: {', '.join(sorted(columns))[:1000]}.",
            )


def _columns(image: bytes) -> list[tuple[str, str]]:
    connection = open_image(image)
    try:
        connection.text_factory = text_of
        return connection.execute(
            "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'"
        ).fetchall()
    finally:
        connection.close()
