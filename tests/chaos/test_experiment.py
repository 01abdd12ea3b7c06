"""An experiment file is checked as a whole before anything is touched."""

from pathlib import Path

import pytest

from langchain_prodtest.chaos.experiment import TOXICS, read_experiment
from langchain_prodtest.errors import UsageError
from langchain_prodtest.rig.bundled import bundled
from langchain_prodtest.steps import Fault
from langchain_prodtest.toxiproxy import toxics as server

GOOD = """
title = "The provider fails"
[steady]
"chat.success" = ">= 90%"
[[fault]]
at = "2s"
for = "3s"
provider = "openai"
status = 503
[expect]
"retry.amplification" = "<= 3"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "outage.toml"
    path.write_text(text, "utf-8")
    return path


def test_a_file_becomes_an_experiment(tmp_path: Path) -> None:
    experiment = read_experiment(written(tmp_path, GOOD))
    (fault,) = experiment.faults
    assert (experiment.name, experiment.title) == ("outage", "The provider fails")
    assert (fault.seam, fault.what, fault.start, fault.seconds) == ("provider", "503", 2.0, 3.0)
    assert experiment.seconds == 10 + 10 + 5 + 15
    assert fault.as_fault().status == 503


def test_an_experiment_has_steady_load(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD.replace("[steady]", '[load]\nprofile = "spike"\n[steady]'))
    with pytest.raises(UsageError, match="faults are judged under steady load"):
        read_experiment(path)


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ('how = "missing"\nwhat = "finish"', Fault(how="missing", what="finish")),
        ('how = "duplicate"\nafter = 3', Fault(how="duplicate", after=3)),
        ('how = "error_event"\nafter = 3', Fault(how="error_event", after=3)),
        (
            'how = "eof"\nafter_bytes = 99\nframing = "close"',
            Fault(how="eof", after_bytes=99, framing="close"),
        ),
        ('how = "html"', Fault(how="html")),
    ],
)
def test_a_request_fault_has_the_fields_of_a_fault(tmp_path: Path, keys: str, fault: Fault) -> None:
    (read,) = read_experiment(written(tmp_path, GOOD.replace("status = 503", keys))).faults
    assert (read.as_fault(), read.what) == (fault, fault.how)


def test_a_toxic_is_in_toxiproxys_units(tmp_path: Path) -> None:
    """Durations become milliseconds, and only the toxic's own attributes are sent."""
    text = GOOD.replace(
        'provider = "openai"\nstatus = 503', 'proxy = "openai"\ntoxic = "latency"\nlatency = "1.5s"'
    )
    (fault,) = read_experiment(written(tmp_path, text)).faults
    assert fault.seam == "proxy"
    assert fault.as_toxic() == {
        "type": "latency",
        "stream": "downstream",
        "toxicity": 1.0,
        "attributes": {"latency": 1500, "jitter": 0},
    }


def test_experiments_know_every_toxic_and_its_attributes() -> None:
    """The two lists are one: an experiment cannot import the server, so this holds them together."""
    assert {kind: tuple(effect.numbers) for kind, effect in server.TOXICS.items()} == TOXICS


@pytest.mark.parametrize(
    ("keys", "attributes"),
    [
        ('"bandwidth"\nrate = 5', {"rate": 5}),
        ('"limit_data"\nbytes = 9', {"bytes": 9}),
        ('"noop"', {}),
        ('"packet_loss"\nloss_rate = 0.5', {"loss_rate": 0.5, "correlation": 0.0}),
        ('"prodtest_close"\nafter_time = "2s"', {"after": 2000}),
        ('"prodtest_connect"\nrefuse = 1', {"refuse": 1}),
        ('"reset_peer"\ntimeout = "1s"', {"timeout": 1000}),
        (
            '"slicer"\naverage_size = 4\ndelay = "2ms"',
            {"average_size": 4, "size_variation": 0, "delay": 2000},
        ),
        ('"slow_close"\ndelay = "2ms"', {"delay": 2}),
        ('"timeout"', {"timeout": 0}),
    ],
)
def test_every_toxic_can_be_asked_for(tmp_path: Path, keys: str, attributes: dict[str, float]) -> None:
    text = GOOD.replace('provider = "openai"\nstatus = 503', f'proxy = "openai"\ntoxic = {keys}')
    (fault,) = read_experiment(written(tmp_path, text)).faults
    assert fault.as_toxic()["attributes"] == attributes


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("status = 503", "statsu = 503", 'unknown key "statsu". Did you mean "status"?'),
        ("title =", "titel =", 'unknown key "titel". Did you mean "title"?'),
        ("retry.amplification", "retry.amplifcation", 'Did you mean "retry.amplification"?'),
        ("<= 3", "<= 3s", "has the wrong unit"),
        ("<= 3", "< 3", "is not a limit"),
        ('"3s"', '"3"', '"3" is not a duration'),
        ("status = 503", "status = 200", "status must be 400 to 599"),
        ("status = 503", "", "give either status"),
        ("status = 503", 'how = "missing"', "missing needs what"),
        ("status = 503", 'how = "explode"', "Invalid enum value"),
        ('provider = "openai"', 'provider = "openai"\nproxy = "openai"', "exactly one of provider, proxy"),
        ('provider = "openai"\nstatus = 503', 'proxy = "openai"', "either down = true or toxic"),
        ('provider = "openai"\nstatus = 503', 'proxy = "x"\ntoxic = "latncy"', 'Did you mean "latency"?'),
        (
            'provider = "openai"\nstatus = 503',
            'proxy = "x"\ntoxic = "timeout"\ntoxicity = 2',
            "toxicity lies",
        ),
        (
            'provider = "openai"\nstatus = 503',
            'proxy = "x"\ntoxic = "latency"\nrate = 5',
            "toxic latency has no rate; it takes: jitter, latency",
        ),
        (
            'provider = "openai"\nstatus = 503',
            'proxy = "x"\ndown = true\nlatency = "1s"',
            "down has no latency",
        ),
        ('provider = "openai"\nstatus = 503', 'proxy = "x"\ntoxic = "bandwidth"', "needs a rate"),
        ('provider = "openai"\nstatus = 503', 'proxy = "x"\ntoxic = "slicer"', "needs an average_size"),
        ('"3s"', '"2h"', "at most one hour"),
        ('"chat.success" = ">= 90%"', "", "[steady] is empty"),
        ("[[fault]]", "[[fault", "cannot be read"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, old: str, new: str, says: str) -> None:
    """Each message names the file and what was expected."""
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(UsageError) as raised:
        read_experiment(path)
    assert str(path) in str(raised.value)
    assert says in str(raised.value)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.toml cannot be read"):
        read_experiment(tmp_path / "nowhere.toml")


def test_the_plan_names_every_action_and_its_undo(tmp_path: Path) -> None:
    plan = read_experiment(written(tmp_path, GOOD)).plan()
    assert "    2 s openai: 503" in plan
    assert "    5 s openai: remove it, verify" in plan
    assert plan[-1] == "       expect retry.amplification <= 3"


@pytest.mark.parametrize("path", sorted(bundled("chaos").glob("*.toml")), ids=lambda path: path.stem)
def test_the_bundled_experiments_are_whole(path: Path) -> None:
    """Each is readable, expects something, and ends within two minutes."""
    experiment = read_experiment(path)
    assert experiment.expect
    assert experiment.seconds < 120
