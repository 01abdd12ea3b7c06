"""A model without a script: it calls tools, ends agent loops, obeys schemas, and is deterministic."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from langchain_prodtest.script import Reply, Request, Script, answer_for, new_nonce
from langchain_prodtest.wire import FakeServer
from langchain_prodtest.wire.auto import auto

NONCE = new_nonce(3)
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["city", "days"],
}


def function(name: str, schema: Any = WEATHER, description: str = "") -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


TOOLS = [
    function("send_mail", description="Send a letter to somebody."),
    function("get_weather", description="Tell the weather."),
]


def request(text: str = "What is the weather in Bern for 3 days?", *more: Any, **body: Any) -> Request:
    messages = [{"role": "user", "content": text}, *more]
    return Request(provider="p", model="m", messages=messages, body={"messages": messages, **body})


def called(reply: Reply) -> list[tuple[str, dict[str, Any]]]:
    return [(call.name, call.args) for call in reply.tool_calls]


RESULT = [
    {
        "role": "assistant",
        "tool_calls": [{"id": "1", "function": {"name": "get_weather", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "1", "content": "7 degrees, rain"},
]


def test_a_nonce_gets_its_answer() -> None:
    assert auto(request(f"Say it {NONCE}")) == Reply(answer_for(NONCE))
    assert auto(request("Say it")) == Reply(answer_for(""))


def test_the_fitting_tool_is_called_with_what_the_prompt_names() -> None:
    assert called(auto(request(tools=TOOLS))) == [("get_weather", {"city": "Bern", "days": 3})]
    assert called(auto(request("Hello!", tools=TOOLS)))[0][0] == "send_mail"
    assert (
        called(auto(request("Use get_weather, a letter is not needed", tools=TOOLS)))[0][0] == "get_weather"
    )


def test_after_the_result_comes_an_answer_that_contains_it() -> None:
    reply = auto(request("Weather in Bern?", *RESULT, tools=TOOLS))
    assert (called(reply), "7 degrees, rain" in reply.text) == ([], True)


def test_after_the_result_a_nonce_gets_its_answer_so_that_loss_shows() -> None:
    assert auto(request(f"Weather? {NONCE}", *RESULT, tools=TOOLS)) == Reply(answer_for(NONCE))


def test_another_question_gets_another_call() -> None:
    more = [*RESULT, {"role": "assistant", "content": "Rain."}, {"role": "user", "content": "And in Rome?"}]
    assert called(auto(request("Weather in Bern?", *more, tools=TOOLS)))[0][1]["city"] == "Rome"


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("auto", ["get_weather"]),
        ("none", []),
        ("required", ["get_weather"]),
        ({"type": "function", "function": {"name": "send_mail"}}, ["send_mail"]),
    ],
)
def test_a_tool_choice_is_obeyed(choice: Any, names: list[str]) -> None:
    assert [name for name, _ in called(auto(request(tools=TOOLS, tool_choice=choice)))] == names


def test_a_call_forced_after_a_result_is_of_a_tool_not_called_yet() -> None:
    reply = auto(request("What is the weather?", *RESULT, tools=TOOLS, tool_choice="required"))
    assert [name for name, _ in called(reply)] == ["send_mail"]


def test_json_with_a_schema_obeys_it() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "w", "schema": WEATHER, "strict": True}}
    assert json.loads(auto(request(response_format=form)).text) == {"city": "Bern", "days": 3}


def test_json_without_a_schema_has_the_keys_that_the_prompt_quotes() -> None:
    text = "A joke about cats, as JSON with the keys `setup` and 'punchline'."
    assert set(json.loads(auto(request(text, response_format={"type": "json_object"})).text)) == {
        "setup",
        "punchline",
    }


def test_json_without_a_schema_obeys_one_that_is_written_in_the_prompt() -> None:
    text = f"Weather in Bern for 3 days, {{not JSON}}. Output schema: {json.dumps(WEATHER)}"
    reply = auto(request(text, response_format={"type": "json_object"}))
    assert json.loads(reply.text) == {"city": "Bern", "days": 3}


def test_json_comes_after_the_tools() -> None:
    form = {"type": "json_schema", "json_schema": {"schema": WEATHER}}
    assert auto(request(tools=TOOLS, response_format=form)).tool_calls
    assert (
        json.loads(auto(request("Bern, 3 days", *RESULT, tools=TOOLS, response_format=form)).text)["days"]
        == 3
    )


def test_it_depends_on_seed_and_body_alone() -> None:
    text = "Hello!"
    one = auto(request(text, tools=TOOLS))
    later = Request(provider="p", model="m", body=request(text, tools=TOOLS).body, received=9.0, attempt=2)
    assert auto(later) == one
    assert auto(request(text, tools=TOOLS), seed=1) != one


# -- with the real client ---------------------------------------------------------------------------------


class Trip(BaseModel):
    """A trip."""

    city: str
    days: int
    by: str | None = None


@pytest.fixture
def script() -> Script:
    return Script(default=auto)


@pytest.fixture
def model(script: Script) -> Iterator[ChatOpenAI]:
    with FakeServer(script) as server:
        yield ChatOpenAI(model="gpt-4o", api_key=SecretStr("sk-fake"), base_url=server.url("openai"))


def get_weather(city: str, days: int) -> str:
    """Tell the weather."""
    return f"{days} days of snow in {city}"


def test_an_agent_loop_ends_by_itself(model: ChatOpenAI, script: Script) -> None:
    agent: Any = create_agent(model, tools=[get_weather])
    said = agent.invoke(
        {"messages": [{"role": "user", "content": "What is the weather in Zürich for 4 days?"}]}
    )
    assert "4 days of snow in Zürich" in said["messages"][-1].text
    assert len(script.calls) == 2


def test_an_agent_with_a_structured_answer_ends_by_itself(model: ChatOpenAI, script: Script) -> None:
    agent: Any = create_agent(model, tools=[get_weather], response_format=Trip)
    said = agent.invoke({"messages": [{"role": "user", "content": "The weather in Rome for 2 days?"}]})
    assert said["structured_response"].days == 2
    assert len(script.calls) <= 3


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # the client's own, on every such answer
@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_structured_output_by_every_method(model: ChatOpenAI, method: Any) -> None:
    structured = model.with_structured_output(Trip, method=method)
    trip = structured.invoke(f"Plan 5 days in Oslo. Answer in JSON by {json.dumps(Trip.model_json_schema())}")
    assert isinstance(trip, Trip)
    assert (trip.city, trip.days) == ("Oslo", 5)
