"""Which generation of the SDKs is installed: what they raise and describe differs, what is sent does not."""

from importlib.metadata import version

__all__ = ["ANTHROPIC_0", "OPENAI_2"]

OPENAI_2 = int(version("openai").split(".")[0]) < 3
ANTHROPIC_0 = int(version("anthropic").split(".")[0]) < 1
