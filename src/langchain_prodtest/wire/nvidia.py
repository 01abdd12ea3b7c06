"""NVIDIA's dialect of OpenAI's API. Source: the API reference of NIM."""

from langchain_prodtest.wire.dialect import Dialect

__all__ = ["NVIDIA"]


class NVIDIA(Dialect):
    """Codec of NVIDIA's NIM, led to by `NVIDIA_BASE_URL`."""

    operations = frozenset({"chat", "embeddings"})
