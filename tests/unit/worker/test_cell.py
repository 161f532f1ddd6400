"""What becomes of a fork that cannot go in."""

from __future__ import annotations

import json
import os
import signal
from typing import NoReturn

from paddock.worker.sandbox import cell, pid1


class Shut:
    """Ways into an environment whose pid 1 has just ended."""

    approach = runtime = helper = None

    def take(self, calls: pid1.Calls | None) -> NoReturn:
        raise cell.Broken("setns: No such process")


def test_a_fork_that_cannot_go_in_tells_why_and_has_no_exit_status_of_a_function() -> None:
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(tell, cell._COMPLAINTS)
            cell.begin(cell.order("runtime"), Shut(), lambda _: "", lambda *_: None)  # type: ignore[arg-type]
        finally:
            os._exit(70)
    os.close(tell)
    _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    with os.fdopen(told) as file:
        assert json.loads(file.read()) == {"event": "broken", "error": "Broken: setns: No such process"}
