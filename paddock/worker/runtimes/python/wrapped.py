"""/var/runtime/bootstrap.py: the managed Python runtime as a program, for functions that need a process of their own.

These are functions with a wrapper (../wrapper.py), with variables that are read when a process starts, and with shared
libraries. Otherwise the runtime is forked from a zygote that has all of this in its memory already. Here a new
interpreter begins, with whatever variables and options it is given, and takes up the channel that it has inherited.
Standard library only; Python 3.9 on.
"""

import importlib
import os
import socket
import sys

_PLATFORM = "/var/runtime/paddock-platform"  # where this runtime's own modules lie, out of the way of functions


def main() -> None:
    sys.path.insert(0, _PLATFORM)
    bootstrap = importlib.import_module("paddock.worker.runtimes.python.bootstrap")
    wrapper = importlib.import_module("paddock.worker.runtimes.wrapper")
    sys.path.remove(_PLATFORM)
    try:
        channel = bootstrap.Channel(socket.socket(fileno=wrapper.CHANNEL_FD))
    except OSError:
        sys.exit(f"{os.environ[wrapper.EXEC_WRAPPER]}: the wrapper must leave descriptors 3 and 4 open for the runtime")
    os.set_inheritable(wrapper.CHANNEL_FD, False)
    os.set_inheritable(wrapper.TELEMETRY_FD, False)
    settings = {"environment": dict(os.environ), "handler": os.environ["_HANDLER"]}
    bootstrap.serve(channel, settings, wrapper.TELEMETRY_FD)


if __name__ == "__main__":
    main()
