"""The gate: run folders in, one verdict for one subject out."""

from langchain_prodtest.gate.judge import Unknown, Verdict, decide, exit_code
from langchain_prodtest.gate.report import describe, table, write_reports

__all__ = ["Unknown", "Verdict", "decide", "describe", "exit_code", "table", "write_reports"]
