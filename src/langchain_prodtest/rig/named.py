"""Which files pytest's command line names; it imports nothing, since the plugin always loads it."""

from pathlib import Path

import pytest

__all__ = ["is_named"]


def is_named(path: Path, config: pytest.Config) -> bool:
    """Tell whether the command line names this file or its very folder; an experiment never runs unasked."""
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        return False
    start = config.invocation_params.dir
    named = {(start / arg.split("::")[0]).resolve() for arg in config.args}
    return path.resolve() in named or path.resolve().parent in named
