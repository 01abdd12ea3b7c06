"""The command `prodtest`. Exit codes: 0 GO, 1 NO-GO, 2 usage or internal error, 3 HOLD."""

import importlib.util
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

import click
import msgspec

from langchain_prodtest.commands.fakes import fakes
from langchain_prodtest.config import Config, find_config, load_config
from langchain_prodtest.errors import ProdtestError, UsageError, unknown_name
from langchain_prodtest.evidence import Run, latest_run
from langchain_prodtest.measure import METRICS, now

if TYPE_CHECKING:
    from langchain_prodtest.gate.judge import Verdict

__all__ = ["cli", "main"]

F = TypeVar("F", bound=Callable[..., object])
INTERRUPTED = 3  # nothing was proven, which is what HOLD says


def main() -> None:
    """Run the command and exit; what is not foreseen exits with 2, never with the 1 of a NO-GO."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = 2
    except ProdtestError as error:
        click.echo(f"prodtest: {error}", err=True)
        code = 2
    except (KeyboardInterrupt, click.Abort):
        click.echo("prodtest: interrupted; what was measured is incomplete and proves nothing", err=True)
        code = INTERRUPTED
    except Exception:
        traceback.print_exc()
        click.echo("prodtest: internal error, see above", err=True)
        code = 2
    sys.exit(code or 0)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


_config = click.option(
    "--config", "config_path", type=click.Path(path_type=Path), help="prodtest.toml or pyproject.toml."
)
_out = click.option(
    "--out", type=click.Path(path_type=Path), help="Folder for runs (default: .prodtest by the config file)."
)  # fmt: skip
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")
_quiet = click.option("-q", "quiet", is_flag=True, help="Print no progress.")
_toxiproxy = click.option("--toxiproxy", metavar="URL", help="Use this Toxiproxy (also TOXIPROXY_URL).")


def _options(*options: Callable[[F], F]) -> Callable[[F], F]:
    def apply(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return apply


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="langchain-prodtest")
def cli() -> None:
    """Prove before promotion that a LangChain service survives production."""


@cli.command()
@click.option("--defect", metavar="NAME", help="Plant this defect in the reference service.")
@click.option("--list-defects", is_flag=True, help="List the defects, one a line, its name first.")
@_options(_toxiproxy, _out, _json, _quiet)
def demo(
    defect: str | None, list_defects: bool, toxiproxy: str | None, out: Path | None,
    as_json: bool, quiet: bool,
) -> int:  # fmt: skip
    """Run tests, load, chaos and audit against the reference service."""
    _need_extra("demo", "fastapi", "langchain", "langchain_openai", "locust", "prometheus_client", "uvicorn")
    from langchain_prodtest.demo.defects import DEFECTS

    if list_defects:
        for known in DEFECTS:
            click.echo(f"{known.name:<18} {known.says} (caught by {', '.join(known.caught_by)})")
        return 0
    if defect and defect not in {known.name for known in DEFECTS}:
        raise UsageError(unknown_name("defect", defect, [known.name for known in DEFECTS]))
    os.environ["DEMO_DEFECT"] = defect or ""
    from langchain_prodtest.demo.run import run_demo
    from langchain_prodtest.demo.stages import Stages

    verdict, run = run_demo(out or Path(".prodtest"), toxiproxy, Stages(quiet=quiet))
    return _conclude(verdict, run.path, as_json)


cli.add_command(fakes)


@cli.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def toxiproxy(options: Sequence[str]) -> int:
    """Serve the embedded Toxiproxy until Ctrl-C; --help shows its options."""
    from langchain_prodtest.toxiproxy.__main__ import main as serve

    return serve(options)


@cli.group()
def chaos() -> None:
    """Chaos experiments."""


@chaos.command("run")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--plan", is_flag=True, help="Print every action and its undo, and do nothing.")
@_options(_toxiproxy, _config, _out, _json, _quiet)
def chaos_run(
    files: Sequence[Path], plan: bool, toxiproxy: str | None, config_path: Path | None,
    out: Path | None, as_json: bool, quiet: bool,
) -> int:  # fmt: skip
    """Run experiments, one after the other, on the rig of the configuration."""
    from langchain_prodtest.chaos.experiment import read_experiment

    experiments = [read_experiment(file) for file in files]
    if plan:
        for experiment in experiments:
            click.echo("\n".join([f"{experiment.name}: {experiment.title}", *experiment.plan()]))
        return 0
    _need_extra("load", "locust")
    from langchain_prodtest.rig.experiments import run_experiments
    from langchain_prodtest.table import reasons, table

    def say(text: str) -> None:
        if not quiet:
            click.echo(text, err=True)

    run, evidence = run_experiments(experiments, _find(config_path), out, toxiproxy, say)
    findings = [finding for one in evidence for finding in one.findings]
    outcomes = {finding.outcome for finding in findings}
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(evidence)))
    else:
        sources = [one.id for one in evidence for _ in one.findings]
        text = [table(findings, sources), *reasons(findings), f"\n  evidence {run.path}"]
        click.echo("\n".join(text))
    if "fail" in outcomes:
        return 1
    return 0 if outcomes == {"pass"} and all(one.complete for one in evidence) else 3


@cli.command()
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@_options(_config, _json)
def gate(runs: Sequence[Path], config_path: Path | None, as_json: bool) -> int:
    """Judge run folders for one subject: GO, NO-GO or HOLD (default: the latest run)."""
    from langchain_prodtest.gate.judge import decide

    config = _find(config_path)
    paths = list(runs) or [latest_run(config.root / ".prodtest")]
    return _conclude(decide(paths, config, now()), paths[-1], as_json)


@cli.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@_options(_config, _out)
def audit(files: Sequence[Path], config_path: Path | None, out: Path | None) -> int:
    """Audit Dockerfiles and write the findings as evidence."""
    from langchain_prodtest import audit as part
    from langchain_prodtest.table import table

    config = _find(config_path)
    run = Run.create(out or config.root / ".prodtest")
    evidence = part.audit(files, config.subject)
    run.write(evidence)
    run.seal()
    click.echo(f"{table(evidence.findings)}\n\n  evidence {run.path}")
    outcomes = {finding.outcome for finding in evidence.findings}
    return 1 if "fail" in outcomes else 3 if "unknown" in outcomes else 0


@cli.command()
def checks() -> None:
    """List every metric that a limit can be put on, and what an experiment needs to measure it."""
    from langchain_prodtest import checks as part

    for metric in METRICS:
        click.echo(f"{metric.pattern:<26} {metric.says}")
        if metric.pattern in part.CHECKS:
            click.echo(f"{'':<26} needs {part.needs(metric.pattern)}; n >= {metric.minimum_n}")


def _find(path: Path | None) -> Config:
    found = path or find_config(Path.cwd())
    if found is None:
        click.echo("no prodtest.toml and no [tool.prodtest] here or above: defaults hold", err=True)
    return load_config(found)


def _need_extra(extra: str, *modules: str) -> None:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f'{missing[0]} is not installed; pip install "langchain-prodtest[{extra}]"')


def _conclude(verdict: "Verdict", path: Path, as_json: bool) -> int:
    from langchain_prodtest.gate.judge import exit_code
    from langchain_prodtest.gate.report import describe, write_reports

    if path.is_dir():
        write_reports(verdict, path)
    click.echo(
        msgspec.json.format(msgspec.json.encode(verdict)) if as_json else f"\n{describe(verdict)}", nl=as_json
    )
    return exit_code(verdict)


if __name__ == "__main__":
    main()
