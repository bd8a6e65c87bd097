"""A cloud's notice that it takes a machine away: asked for where there is one, and a training is saved by it."""

import pickle
import sys
import threading
from dataclasses import replace
from functools import partial
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest
from cells import cell, job, task

from dtcbench.execution import spot
from dtcbench.execution.on_node import on_node
from dtcbench.execution.task import Task
from dtcbench.execution.worker import attempt
from dtcbench.plan.protocol import Standard
from dtcbench.records.store import Store
from dtcbench.training import saved_state
from dtcbench.training.training_run import TrainingRun

AWS = '{"action": "terminate", "time": "2026-11-28T10:00:00Z"}'


class Metadata(BaseHTTPRequestHandler):
    """The metadata service of both clouds; it refuses who does not ask as they demand."""

    taken = False

    def do_PUT(self):
        is_right = self.path == "/latest/api/token" and self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
        self.answer(200 if is_right else 403, "a token")

    def do_GET(self):
        if self.path == "/latest/meta-data/spot/instance-action":
            is_right, missing = self.headers["X-aws-ec2-metadata-token"] == "a token", not self.taken
            self.answer(401 if not is_right else 404 if missing else 200, AWS)
        else:
            is_right = self.path == "/computeMetadata/v1/instance/preempted" and self.headers["Metadata-Flavor"]
            self.answer(200 if is_right == "Google" else 403, "TRUE" if self.taken else "FALSE")

    def answer(self, status, text):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *given): ...


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setattr(Metadata, "taken", False)
    server = HTTPServer(("127.0.0.1", 0), Metadata)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("vendor", "notice"), [("Amazon EC2", AWS), ("Google", "preempted")])
def test_each_cloud_is_asked_in_its_way(service, monkeypatch, tmp_path, vendor, notice):
    (firmware := tmp_path / "sys_vendor").write_text(f"{vendor}\n")
    ask = spot.of_this_machine(firmware)
    assert ask(service) == ""
    monkeypatch.setattr(Metadata, "taken", True)
    assert ask(service) == notice


def test_other_machines_ask_nobody_and_a_refusal_is_no_notice(service, tmp_path):
    assert spot.of_this_machine(tmp_path / "none") is None
    (firmware := tmp_path / "sys_vendor").write_text("QEMU\n")
    assert spot.of_this_machine(firmware) is None
    with pytest.raises(HTTPException, match="/elsewhere: 403"):
        spot._answer(service, "GET", "/elsewhere", {})


def test_a_notice_saves_the_training_and_ends_the_attempt(service, monkeypatch, tmp_path):
    """One that would take hours; until it has begun the service does not answer, or has no notice."""
    store, begun, answers, real = Store(tmp_path), threading.Event(), [OSError, HTTPException], TrainingRun.train
    store.checkpoints.mkdir()

    def train(run, *given):
        begun.set()
        return real(run, *given)

    def ask():
        if answers:
            raise answers.pop()
        monkeypatch.setattr(Metadata, "taken", begun.is_set())
        return spot.aws(service)

    monkeypatch.setattr(TrainingRun, "train", train)

    hours = Standard(name="standard", steps=10**7, batch_size=32, lr=0.01, cycle_steps=5, keep=0.8)
    taken = Task(
        replace(cell("random"), protocol=hours.choice), 1, replace(job(), checkpoint_s=3600.0, run=str(tmp_path))
    )
    with spot.heeded(ask, every_s=0.01) as notices, pytest.raises(SystemExit):
        attempt(taken, alone=True)
    assert notices == [AWS]
    (left,) = store.checkpoint_files(taken.key)
    assert saved_state.read(left.read_bytes())["steps"] > 0


def _ended(taken):
    raise SystemExit


def test_the_node_of_a_cell_that_a_notice_ended_is_set_aside_and_of_one_that_ended_otherwise_is_not(monkeypatch):
    context = SimpleNamespace(get_node_id=lambda: "node")
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(get_runtime_context=lambda: context))
    heartbeats = SimpleNamespace(report=SimpleNamespace(remote=lambda *told: None))
    run = partial(on_node(), pickle.dumps((_ended, [task(cell("random"))])), {}, "id", heartbeats)
    monkeypatch.setattr(spot, "of_this_machine", lambda: None)
    with pytest.raises(SystemExit):
        list(run())
    monkeypatch.setattr(spot, "heeded", lambda ask: _Noticed())
    ((node, _, why),) = run()
    assert (node, why) == ("node", "is taken away by its cloud (preempted)")


class _Noticed:
    def __enter__(self):
        return ["preempted"]

    def __exit__(self, *error): ...
