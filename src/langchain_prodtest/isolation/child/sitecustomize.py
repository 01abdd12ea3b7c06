"""Run by every Python child of a test at its start: this folder comes first in its PYTHONPATH.

It closes the network of the child as that of the test is closed, and runs the sitecustomize that it hides.
Until the child makes use of a socket, that costs it nothing but an audit hook.
"""

import _thread
import importlib.machinery
import importlib.util
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib would cost every child
PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))  # noqa: PTH120


class Closing:
    """Closes the network as soon as anything asks for it, or uvloop is imported."""

    def __init__(self, settings: str) -> None:
        self.settings = settings
        self.lock = _thread.RLock()  # not threading's: that module would cost every child
        self.closed: object = None  # the closed network, to the end of the process
        sys.addaudithook(self.hear)
        sys.meta_path.insert(0, self)

    def close(self) -> None:
        """Close the network, once. The package may well not be installed for this child."""
        with self.lock:
            if self.closed is not None:
                return
            sys.path.insert(0, PACKAGE)
            try:
                from langchain_prodtest.isolation.children import network_of_child
            finally:
                sys.path.remove(PACKAGE)
            closed = network_of_child(self.settings).closed()
            closed.__enter__()
            self.closed = closed

    def hear(self, event: str, args: tuple[object, ...]) -> None:
        """Close the network on the first event of a socket that exists, and have that event judged."""
        if self.closed is None and event.startswith("socket.") and event != "socket.__new__":
            self.close()
            from langchain_prodtest.isolation.network import check_now

            check_now(event, args)  # a hook that is installed in the middle of an event may not see it

    def find_spec(
        self, name: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find uvloop by the finders that follow, and cover it once it is there; nothing else."""
        if name != "uvloop":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_cover(module: object) -> None:
                execute(module)  # type: ignore[arg-type]
                self.close()
                from langchain_prodtest.isolation.named import cover_uvloop

                cover_uvloop()

            spec.loader.exec_module = execute_and_cover  # type: ignore[method-assign]
        return spec


def run_the_next() -> None:
    """Run the sitecustomize that this one hides, if there is any."""
    others = [folder for folder in sys.path if os.path.abspath(folder) != HERE]  # noqa: PTH100
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        sys.modules["sitecustomize"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)


if sys.version_info >= (3, 11) and os.environ.get("PRODTEST_CHILD"):
    Closing(os.environ["PRODTEST_CHILD"])
run_the_next()
