"""Bulk intake (导入): a company's CSV, TSV or XLSX into a staging table, and SQL that judges it as a set.

1. A file is recognised by its content: packing, workbook or text, encoding, delimiter, header. What cannot be read as a
   whole is refused with the remedy, and then nothing was written.
2. A broken row is reported with its line and never stops the good ones. Its line is the physical line of the file on
   which it begins, also below cells that contain line breaks.
3. Columns are found by their Chinese or English titles; a person may correct the mapping. Nothing is guessed by likeness.
4. A mobile number is sealed before it leaves this process; no plain number reaches the database.
5. Values are judged by SQL on the whole set: one problem per row, the first in the order of the file's columns.

The way: ``open_table`` → ``guess`` or ``apply_mapping`` → ``stage`` → the building blocks of ``scrm.copyin.rules``.
"""

from scrm.copyin import problems, rules
from scrm.copyin.columns import (
    REPORT_HEADERS,
    Column,
    Kind,
    Layout,
    apply_mapping,
    guess,
)
from scrm.copyin.problems import FileRefused, Problem
from scrm.copyin.rows import Batch, Table, open_table
from scrm.copyin.source import Source, from_path, from_sealed
from scrm.copyin.staging import SCHEMA, Settle, Staged, drop, stage, table_name

__all__ = [
    "REPORT_HEADERS", "SCHEMA", "Batch", "Column", "FileRefused", "Kind", "Layout", "Problem", "Settle", "Source", "Staged", "Table",
    "apply_mapping", "drop", "from_path", "from_sealed", "guess", "open_table", "problems", "rules", "stage", "table_name",
]  # fmt: skip
