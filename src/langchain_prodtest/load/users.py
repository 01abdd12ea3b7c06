"""The simulated user of which scenarios are made: `class Chat(ChatUser)` with a prompt."""

from typing import ClassVar

from locust import User, task

from langchain_prodtest.load.arrivals import sample_of
from langchain_prodtest.load.hooks import current_session
from langchain_prodtest.measure import now
from langchain_prodtest.outcome import Outcome
from langchain_prodtest.script import answer_for

__all__ = ["ChatUser"]


class ChatUser(User):
    """Asks one question per arrival, each as a new visitor, and checks the whole answer.

    A scenario gives `scenario`, the name its metrics begin with, and `prompt`. The number of users only
    caps how many questions can be open at once; when they are asked is the schedule's decision.
    """

    abstract = True
    scenario: ClassVar[str] = "chat"

    def prompt(self, nonce: str) -> str:
        """Return the question; the nonce must be in it, so that answer and provider calls can be joined."""
        raise NotImplementedError(f"{type(self).__name__} needs a method prompt(self, nonce) -> str")

    def expected(self, nonce: str) -> str | None:
        """Return the whole right answer; None where only the model knows it: any complete text is right."""
        return answer_for(nonce)

    @task
    def ask(self) -> None:
        """Take the next arrival, ask, and record what became of it."""
        session = current_session()
        arrivals = session.arrivals
        arrival = arrivals.take()
        try:
            prompt, expected = self.prompt(arrival.nonce), self.expected(arrival.nonce)
        except Exception as error:  # the scenario is broken, which says nothing about the service
            arrivals.leave(arrival, Outcome.CENSORED, f"the scenario raised {type(error).__name__}: {error}")
            raise
        arrival.sent = now()
        exchange = session.client.ask(prompt, arrival.nonce, arrival.sent + arrivals.patience)
        arrivals.settle(arrival, sample_of(arrival, self.scenario, exchange, expected))
