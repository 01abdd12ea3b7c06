"""The gate: run folders in, one verdict for one subject out."""

from langchain_prodtest.gate.judge import Unknown, Verdict, decide, exit_code
from langchain_prodtest.gate.report import describe, write_reports

__all__ = ["Unknown", "Verdict", "decide", "describe", "exit_code", "write_reports"]
