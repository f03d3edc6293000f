"""What a version of a data set holds and what it was made from: `manifest.json`, written last, checked when read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ml4t_backtest.core.schemas import SCHEMA_VERSION
from ml4t_backtest.errors import BacktestError, CorruptDatasetError

# Schema version -> the migration to the next, and why it cannot be done from the files alone.
MIGRATIONS: Mapping[int, str] = {
    1: "migration 1-to-2 (trades gained pnl_net_pessimistic and pnl_net_optimistic, states period_return, and "
    "rejected_orders became a table) needs what only the run knew; write it again: ml4t-backtest prepare, then run",
}
MANIFEST = "manifest.json"
TABLE_HASHES = "table_hashes"


@dataclass(frozen=True)
class Manifest:
    """What a version holds and what it was made from.

    Attributes:
        kind: `prepared`, `result` or another sort of data set.
        content_hash: sha256 over tables, attachments, kind, inputs and facts; the name of the version's folder.
        files: File name -> rows (null for attachments) and sha256 of the bytes.
        inputs: Name -> content hash of what it was made from (data, config, engine version).
        facts: Small values that belong to the data set, JSON only; `table_hashes` (table -> its hash) among them.
        schema_version: Version of `core.schemas` it was written with.
        provenance: Where it was made and with what; no part of the content hash, so that the same content made
            elsewhere is the same version. Whoever uses it compares it with `inputs`.
    """

    kind: str
    content_hash: str
    files: dict[str, dict[str, Any]]
    inputs: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION
    provenance: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        kind: str,
        files: Mapping[str, dict[str, Any]],
        *,
        inputs: Mapping[str, str],
        facts: Mapping[str, Any],
        table_hashes: Mapping[str, str],
        provenance: Mapping[str, Any] | None = None,
    ) -> Manifest:
        """Return the manifest of a version, exactly as a reader will find it.

        Raises:
            BacktestError: Facts or inputs are no JSON.
        """
        try:
            stored = json.loads(
                json.dumps(
                    [dict(inputs), {**facts, TABLE_HASHES: dict(table_hashes)}, dict(provenance or {})],
                    allow_nan=False,
                )
            )
        except (TypeError, ValueError, RecursionError) as error:
            raise BacktestError(f"facts and inputs of a data set must be JSON without NaN: {error}") from error
        made_from, told, made_by = stored
        identity = _identity(kind, files, made_from, told)
        return cls(kind, identity, dict(files), made_from, told, provenance=made_by)

    def text(self) -> str:
        """Return the manifest as JSON."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)


def read_manifest(version: str | Path) -> Manifest:
    """Return the manifest of a version folder.

    Raises:
        CorruptDatasetError: It is absent, unreadable or changed, or was written by another schema version.
    """
    path = Path(version) / MANIFEST
    if not path.is_file():
        raise CorruptDatasetError(f"{version} has no {MANIFEST}: the data set is incomplete")
    try:
        manifest = Manifest(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, RecursionError, OSError) as error:
        raise CorruptDatasetError(f"{path} is damaged: {error}") from error
    if manifest.schema_version != SCHEMA_VERSION:
        raise CorruptDatasetError(f"{path} {_other_schema(manifest.schema_version)}")
    if not _is_whole(manifest):
        raise CorruptDatasetError(f"{path} is damaged: it does not say what it says it holds; write it again")
    return manifest


def _other_schema(found: Any) -> str:
    """Return what to do about a data set or result of another schema version, by the name of its migration."""
    said = f"has schema version {found}, this package reads {SCHEMA_VERSION}"
    if not isinstance(found, int):
        return f"{said}: write it again"
    if found > SCHEMA_VERSION:
        return f"{said}: a later version of ml4t_backtest wrote it; upgrade the package"
    return f"{said}: {MIGRATIONS.get(found, 'write it again')}"


def _is_whole(manifest: Manifest) -> bool:
    """Return whether the parts of a manifest have their types and its hash is the one they give."""
    dicts = (manifest.files, manifest.inputs, manifest.facts, manifest.provenance)
    if not all(isinstance(part, dict) for part in dicts) or not all(map(_is_entry, manifest.files.values())):
        return False
    expected = _identity(manifest.kind, manifest.files, manifest.inputs, manifest.facts)
    return isinstance(manifest.kind, str) and manifest.content_hash == expected


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or set(entry) != {"rows", "sha256"}:
        return False
    return isinstance(entry["rows"], int | None) and isinstance(entry["sha256"], str)


def _identity(
    kind: str, files: Mapping[str, dict[str, Any]], inputs: Mapping[str, str], facts: Mapping[str, Any]
) -> str:
    # Tables count by `table_hashes`: the bytes of a Parquet file differ between versions of its writer.
    attached = {file: entry["sha256"] for file, entry in files.items() if entry["rows"] is None}
    text = json.dumps([kind, inputs, facts, attached], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
