"""Events per CPU-second of the stream client in Locust, beside a bare receive loop in Locust.

Run as `python tests/benchmarks/bench_load.py`; it takes about ten seconds. Both read the same server at the
same concurrency (about 30 streams of 27 events, 5 ms apart). The bare loop is Locust's own FastHttp client
read by `recv`, counting `data:` and doing nothing else: no clocks, no text, no outcome.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

SECONDS = 4
STREAMS = 30

SERVER = """
import asyncio, re, sys
from langchain_prodtest.script import answer_for, find_nonce

async def serve(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\\r\\n\\r\\n")).decode()
            length = int(re.search(r"content-length: (\\d+)", head, re.I)[1])
            nonce = find_nonce((await reader.readexactly(length)).decode())
            writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Type: text/event-stream\\r\\n"
                         b"Transfer-Encoding: chunked\\r\\n\\r\\n")
            for word in re.findall(r"\\s*\\S+", answer_for(nonce)):
                await asyncio.sleep(0.005)
                event = b'event: token\\ndata: {"text": "%s"}\\n\\n' % word.encode()
                writer.write(b"%x\\r\\n%s\\r\\n" % (len(event), event))
            event = b"event: done\\ndata: {}\\n\\n"
            writer.write(b"%x\\r\\n%s\\r\\n0\\r\\n\\r\\n" % (len(event), event))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.wait_for(asyncio.to_thread(sys.stdin.read), 120)  # ends with its parent

asyncio.run(main())
"""

CPU = """
import time
from locust import events

began = 0.0

@events.test_start.add_listener
def begin(**_):
    global began
    began = time.process_time()

@events.quitting.add_listener
def end(**_):
    spent = time.process_time() - began
    print(f"BENCH {EVENTS()} events in {spent} CPU-seconds", flush=True)
"""

OURS = """
from langchain_prodtest.load.hooks import current_session
from langchain_prodtest.load.users import ChatUser

class Chat(ChatUser):
    def prompt(self, nonce):
        return f"What is the refund policy? ({nonce})"

def EVENTS():
    from langchain_prodtest.load.judge import read_samples
    samples = read_samples(current_session().plan.samples)
    assert all(sample.outcome == "ok" for sample in samples)
    return sum(sample.tokens + 1 for sample in samples)
"""

BARE = """
import random
import time

from locust import FastHttpUser, task

count = 0

def EVENTS():
    return count

class Bare(FastHttpUser):
    def on_start(self):
        time.sleep(random.random() * 0.2)  # or all streams would run in step, and wake the client together

    @task
    def ask(self):
        global count
        body = b'{"message":"What is the refund policy? (pt-0000000100000001)"}'
        more = {"headers": {"Accept-Encoding": "identity"}, "stream": True, "catch_response": True}
        with self.client.post("/chat", data=body, **more) as answer:
            raw = answer._response
            while True:
                count += raw._body_buffer.count(b"data: ")
                raw._body_buffer.clear()
                if raw.message_complete:
                    return
                raw.feed(raw._sock.recv(65536))
"""


def main() -> None:
    """Run both, one after the other, and print their figures and ratio."""
    rate = round(STREAMS / (27 * 0.005 + 0.02))
    with tempfile.TemporaryDirectory() as folder, serving() as server:
        assert server.stdout is not None
        host = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        samples = Path(folder) / "samples.ndjson"
        load = ("--prodtest-rate", str(rate), "--prodtest-count", str(rate * SECONDS))
        ours = measure(OURS, folder, "-H", host, "--prodtest-samples", str(samples), *load)
        bare = measure(BARE, folder, "-H", host, "-u", str(STREAMS), "-r", str(STREAMS), "-t", f"{SECONDS}s")
        server.communicate("")
    print(f"stream client  {ours:8.0f} events per CPU-second")
    print(f"bare receive   {bare:8.0f} events per CPU-second")
    print(f"ratio          {ours / bare:8.2f}")


def serving() -> "subprocess.Popen[str]":
    """Start the server; it prints its port and ends when its input is closed."""
    return subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # it complains of clients that leave at the end
        text=True,
    )


def measure(locustfile: str, folder: str, *words: str) -> float:
    """Run Locust with this locustfile and return the events per CPU-second that it prints."""
    path = Path(folder) / "bench_locustfile.py"
    path.write_text(locustfile + CPU)
    command = [sys.executable, "-m", "locust", "-f", str(path), "--headless", "--only-summary", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=folder)
    found = re.search(r"BENCH (\d+) events in ([\d.]+) CPU-seconds", done.stdout)
    if not found or found[1] == "0":
        raise SystemExit(f"locust gave no figure:\n{done.stdout}{done.stderr}")
    return int(found[1]) / float(found[2])


if __name__ == "__main__":
    main()
