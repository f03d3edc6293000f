"""A data set from its configuration: in memory stage by stage, or from files to files for data of any size."""

from ml4t_backtest.dataset_stages.declared import (
    RAW_KINDS,
    RawKind,
    all_source_paths,
    clock_of,
    declared_ends,
    source_paths,
    zone_notes,
)
from ml4t_backtest.dataset_stages.files import (
    PREPARED,
    dataset_at_hand,
    dataset_inputs,
    prepare_dataset,
    prepared_dataset,
    read_dataset,
    stamps_of,
)
from ml4t_backtest.dataset_stages.tables import Tables, prepare_validated, raw_tables, validated_tables

__all__ = [
    "PREPARED",
    "RAW_KINDS",
    "RawKind",
    "Tables",
    "all_source_paths",
    "clock_of",
    "dataset_at_hand",
    "dataset_inputs",
    "declared_ends",
    "prepare_dataset",
    "prepare_validated",
    "prepared_dataset",
    "raw_tables",
    "read_dataset",
    "source_paths",
    "stamps_of",
    "validated_tables",
    "zone_notes",
]
