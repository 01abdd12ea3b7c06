"""What all tests share."""

import signal

pytest_plugins = ("pytester",)

# A shell starts background jobs with SIGINT ignored, nohup ignores SIGHUP, and children inherit that; the
# tests send both to theirs.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
