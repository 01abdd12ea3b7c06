"""`prodtest fakes`: the fake providers from the command line."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click
import msgspec

__all__ = ["fakes"]


@click.group()
def fakes() -> None:
    """Fake LLM providers on the wire."""


@fakes.command("serve")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address; off loopback with --token only."
)
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Port (default: a free one).")
@click.option("--script", type=click.Path(path_type=Path), help="What is answered, as TOML or JSON.")
@click.option("--cassette", type=click.Path(path_type=Path), help="Recordings that answer what no rule does.")
@click.option("--speed", default=1.0, help="How much faster than recorded; inf: no waiting.")
@click.option("--journal", type=click.Path(path_type=Path), help="Append each call to this file as NDJSON.")
@click.option(
    "--transparent",
    is_flag=True,
    help="Print the environment that leads production URLs here, and serve them.",
)
@click.option("--tls", is_flag=True, help="Speak TLS on the port, and print whom to trust.")
@click.option("--unix", type=click.Path(path_type=Path), help="Listen on this UNIX socket instead of a port.")
@click.option(
    "--token", default="", envvar="PRODTEST_TOKEN", show_envvar=True, help="What the control API asks for."
)
@click.option(
    "--key",
    "keys",
    multiple=True,
    envvar="PRODTEST_KEYS",
    show_envvar=True,
    help="A key that is accepted; with none, any is. May be given again.",
)
@click.option("--processes", default=1, type=click.IntRange(1, 64), help="Processes that answer on the port.")
def fakes_serve(
    host: str, port: int, script: Path | None, journal: Path | None, transparent: bool, tls: bool,
    unix: Path | None, token: str, processes: int, cassette: Path | None, speed: float,
    keys: Sequence[str],
) -> int:  # fmt: skip
    """Serve the fake providers until Ctrl-C."""
    from langchain_prodtest.wire.cassette import read_cassette
    from langchain_prodtest.wire.providers import PROVIDERS
    from langchain_prodtest.wire.replay import Replay
    from langchain_prodtest.wire.scripts import read_rules
    from langchain_prodtest.wire.serve import serve

    mounts = {name: name for name in PROVIDERS}
    rules = [] if script is None else read_rules(script, mounts)
    replay = None if cassette is None else Replay(read_cassette(cassette, mounts), speed)
    serve(
        host, port, mounts, journal, click.echo,
        rules=rules, transparent=transparent, tls=tls, unix=unix, token=token, processes=processes,
        replay=replay, keys=keys, warn=partial(click.echo, err=True),
    )  # fmt: skip
    return 0


@fakes.command("record")
@click.option(
    "--upstream",
    "urls",
    multiple=True,
    required=True,
    metavar="[NAME=]URL",
    help="A provider's API; its host must be in [target] allow, unless it is loopback. May be given again.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The cassette that is written.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Port (default: a free one).")
@click.option("--config", "config", type=click.Path(path_type=Path), help="prodtest.toml or pyproject.toml.")
def fakes_record(urls: Sequence[str], out: Path, port: int, config: Path | None) -> int:
    """Forward to real providers, and record what they answer, until Ctrl-C."""
    from langchain_prodtest.config import find_config, load_config
    from langchain_prodtest.wire.providers import PROVIDERS
    from langchain_prodtest.wire.record import record
    from langchain_prodtest.wire.upstream import upstreams

    allow = load_config(config or find_config(Path.cwd())).target.allow
    count = record(upstreams(urls, allow, PROVIDERS), out, port, click.echo, partial(click.echo, err=True))
    click.echo(f"{count} recorded" + (f" in {out}" if count else f", so {out} was not written"), err=True)
    return 0


@fakes.command("schema")
@click.option("--cassette", is_flag=True, help="Of a cassette.")
def fakes_schema(cassette: bool) -> int:
    """Print the JSON schema of a script file, or of a cassette."""
    from langchain_prodtest.wire import cassette as cassettes
    from langchain_prodtest.wire import scripts

    schema = cassettes.schema if cassette else scripts.schema
    click.echo(msgspec.json.format(msgspec.json.encode(schema())))
    return 0
