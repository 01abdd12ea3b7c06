"""One question per visitor; copy this file for a scenario of your own.

    locust -f loadtests --headless -H http://127.0.0.1:8000

Rate, count and patience come from [load] of prodtest.toml, or from --prodtest-rate and --prodtest-count.
`scenario` is the name that [load] scenario chooses by and that metrics begin with ("chat.ttft.p95").
"""

from langchain_prodtest.load.users import ChatUser


class Chat(ChatUser):
    """Asks about refunds. Where no fake provider answers, add `def expected(self, nonce): return None`."""

    scenario = "chat"
    weight = 1

    def prompt(self, nonce: str) -> str:
        """Return the question, with the nonce in it."""
        return f"What is the refund policy? ({nonce})"
