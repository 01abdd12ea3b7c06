"""SIGTERM cuts the open streams: the server is given no time to finish them.

A graceful time-out of zero reads like "do not hang at shutdown"; it cancels every answer under way at each
deployment.
"""

from typing import TYPE_CHECKING

import msgspec

from langchain_prodtest.demo.defects.defect import Defect

if TYPE_CHECKING:
    from fastapi import FastAPI

    from langchain_prodtest.demo.agent import Parts
    from langchain_prodtest.demo.drain import Drain


def _serve(app: "FastAPI", port: int, drain: "Drain", grace: float) -> int:
    import uvicorn

    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=0,
        loop="asyncio",
    )
    return 0


def _plant(parts: "Parts") -> "Parts":
    return msgspec.structs.replace(parts, serve=_serve)


DEFECT = Defect(
    name="no_drain",
    says="SIGTERM cuts the streams in flight",
    caught_by=("drain.sigterm",),
    experiment="sigterm",
    may_also={"chat.success": "streams in flight at SIGTERM are cut"},
    plant=_plant,
)
