"""Spot notices: a cloud says beforehand that it takes a machine away, AWS two minutes before and Google thirty seconds.

Only a machine that says in its firmware that it is one of theirs asks for them, at an address that leads to the cloud's
own service there and nowhere else.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

ADDRESS = "169.254.169.254"
"""Of the metadata service of either cloud."""
ASK_S = 5.0
"""From a cell's beginning to the first question, and between two."""
_ANSWER_S = 1.0
_VENDOR = Path("/sys/class/dmi/id/sys_vendor")


def aws(address: str = ADDRESS) -> str:
    """The notice of this machine of AWS; empty if there is none. OSError or HTTPException without an answer.

    IMDSv2, https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
    """
    token = _answer(address, "PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
    return _answer(address, "GET", "/latest/meta-data/spot/instance-action", {"X-aws-ec2-metadata-token": token})


def google(address: str = ADDRESS) -> str:
    """The same of a machine of Google's.

    https://docs.cloud.google.com/compute/docs/instances/create-use-preemptible
    """
    answer = _answer(address, "GET", "/computeMetadata/v1/instance/preempted", {"Metadata-Flavor": "Google"})
    return "preempted" if answer == "TRUE" else ""


def of_this_machine(vendor: Path = _VENDOR) -> Callable[[], str] | None:
    """What asks for this machine's notice; None if it is of neither cloud."""
    try:
        return {"Amazon EC2": aws, "Google": google}.get(vendor.read_text(encoding="utf-8").strip())
    except OSError:  # no firmware tells
        return None


@contextmanager
def heeded(ask: Callable[[], str] | None, every_s: float = ASK_S) -> Iterator[list[str]]:
    """Inside, once there is a notice, this process gets SIGTERM, by which a training is saved and ended.

    Yields a list, in which the notice then is. A service that does not answer is asked again.
    """
    notices: list[str] = []
    if ask is None:
        yield notices
        return
    over = threading.Event()

    def watch() -> None:
        while not over.wait(every_s):
            with suppress(OSError, HTTPException):
                if notice := ask():
                    notices.append(notice)
                    os.kill(os.getpid(), signal.SIGTERM)
                    return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield notices
    finally:
        over.set()
        thread.join()


def _answer(address: str, method: str, path: str, headers: Mapping[str, str]) -> str:
    """The text that the service has at the path; empty if it has nothing there (404). No proxy is asked."""
    connection = HTTPConnection(address, timeout=_ANSWER_S)
    try:
        connection.request(method, path, headers=dict(headers))
        response = connection.getresponse()
        text = response.read().decode(errors="replace").strip()
    finally:
        connection.close()
    if response.status == 404:
        return ""
    if response.status != 200:
        raise HTTPException(f"{path}: {response.status}")
    return text
