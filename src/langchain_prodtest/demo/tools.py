"""The agent's tool, which has a side effect, and the ledger that keeps the side effect single."""

from langchain.tools import ToolRuntime
from langchain_core.tools import BaseTool, tool

from langchain_prodtest.demo.middleware import Turn

__all__ = ["Ledger", "book_seat"]


class Ledger:
    """Bookings by idempotency key: a key that was booked before gives the first booking again."""

    def __init__(self) -> None:
        self.bookings: dict[str, int] = {}

    def book(self, key: str) -> int:
        """Book under `key` and return the booking's number, from 1."""
        return self.bookings.setdefault(key, len(self.bookings) + 1)


def book_seat(ledger: Ledger) -> BaseTool:
    """Return the tool that books a seat in `ledger`, once a request and seat."""

    @tool("book_seat")
    async def book(seat: str, runtime: ToolRuntime[Turn]) -> str:
        """Book a seat, such as 12A."""
        number = ledger.book(f"{runtime.context.trace_id}/{seat}")
        return f"Seat {seat} is booked, booking {number}."

    return book
