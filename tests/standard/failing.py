"""Tests of LangChain's suites that fail against the real provider too, each with what the client does."""

from typing import ClassVar

import pytest

__all__ = ["Failing"]


class Failing:
    """`fails` names tests, with or without their parameters, and why. Passing all the same is an error."""

    fails: ClassVar[dict[str, str]] = {}

    @pytest.fixture(autouse=True)
    def _fails_as_expected(self, request: pytest.FixtureRequest) -> None:
        node = request.node
        if reason := self.fails.get(node.name, self.fails.get(node.originalname)):
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
