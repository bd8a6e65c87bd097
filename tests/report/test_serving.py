"""The page of a run while it runs: who is answered, what is shown, and how it looks on a phone."""

import contextlib
import http.client
import json
import socket
import stat
import urllib.request

import pytest
from browser import PHONE, expect, overhang, serious
from cells import cell, task
from prometheus_client.parser import text_string_to_metric_families
from suites_for_tests import TINY
from test_watching import START, watched

import dtcbench as package
from dtcbench.errors import UserError
from dtcbench.execution.task import ActiveNode
from dtcbench.execution.watcher import Watcher
from dtcbench.record import Status
from dtcbench.records.store import Store, file_kind
from dtcbench.report import serving
from dtcbench.report.serving import Server

HOSTILE = 'rack-3"} 1\n<img src=x onerror=alert(1)>'


class Page:
    """A run that is served, and requests to it."""

    def __init__(self, folder):
        self.store, self.live, self.told = Store(folder), watched(), []
        self.show()

    def show(self):
        self.store.snapshot_file.write_text(self.live.snapshot().model_dump_json())

    @property
    def url(self):
        return self.told[0].removeprefix("this run is at ")

    @property
    def token(self):
        return self.url.split("/")[3]

    @property
    def port(self):
        return int(self.url.split("/")[2].partition(":")[2])

    def ask(self, path, method="GET", **headers):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request(method, path.replace("TOKEN", self.token), headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()


@pytest.fixture
def page(tmp_path):
    served = Page(tmp_path)
    with Server(served.store, 0, served.told.append) as server:
        server.planned("tiny", 40, 20)
        yield served


@pytest.mark.parametrize(
    ("path", "how", "status"),
    [
        ("/", {}, 401),
        ("/metrics", {}, 401),
        ("/state?TOKEN", {}, 401),
        ("/TOKE/", {}, 401),
        ("/metrics", {"Authorization": "Bearer guessed"}, 401),
        ("/%C3%A9/", {"Authorization": "Basic \xe9"}, 401),
        ("/TOKEN/", {"Host": "evil.example"}, 421),
        ("/TOKEN/", {"Host": "127.0.0.1.evil.example:80"}, 421),
        ("/TOKEN/", {"Host": ""}, 421),
        ("/TOKEN/", {"method": "POST"}, 405),
        ("/TOKEN/state", {"method": "DELETE"}, 405),
        ("/TOKEN/suite.yaml", {}, 404),
        ("/TOKEN/../suite.yaml", {}, 404),
        ("/TOKEN/assets/../../suite.yaml", {}, 404),
        ("/TOKEN/%2e%2e/suite.yaml", {}, 404),
        ("/TOKEN//etc/passwd", {}, 404),
    ],
)
def test_who_lacks_the_token_or_asks_for_more_is_refused_and_told_nothing_of_the_run(page, path, how, status):
    page.store.suite.write_text("name: tiny")
    got, headers, text = page.ask(path, **how)
    assert got == status
    assert "tiny" not in text
    assert headers["Cache-Control"] == "no-store"


def test_the_token_is_in_the_address_or_in_a_header_and_in_a_file_of_the_owners_alone(page):
    file = page.store.token_file
    assert file.read_text() == page.token
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(page.token) >= 43  # 256 bits
    for path, headers in (("/TOKEN/snapshot.json", {}), ("/snapshot.json", {"Authorization": f"Bearer {page.token}"})):
        status, _, text = page.ask(path, Host=f"localhost:{page.port}", **headers)
        assert (status, json.loads(text)["cells"]) == (200, 40)


def test_the_page_may_load_and_run_nothing_from_elsewhere_and_leaks_no_address(page):
    _, headers, text = page.ask("/TOKEN/")
    assert "tiny" in text
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert (headers["Referrer-Policy"], headers["X-Content-Type-Options"]) == ("no-referrer", "nosniff")


def test_after_the_run_nothing_listens_and_no_token_is_left(tmp_path):
    served = Page(tmp_path)
    with Server(served.store, 0, served.told.append) as server:
        server.planned("tiny", 40, 20)
        server.planned("tiny", 60, 20)  # its seeds have grown
    assert len(served.told) == 1
    assert not served.store.token_file.exists()
    with pytest.raises(ConnectionRefusedError):
        served.ask("/")


def test_who_opens_connections_and_sends_nothing_takes_no_more_of_the_runs_files_than_a_few(page):
    with contextlib.ExitStack() as held:
        idle = [held.enter_context(socket.create_connection(("127.0.0.1", page.port))) for _ in range(serving._AT_ONCE)]
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            page.ask("/TOKEN/")
        idle[0].sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert idle[0].recv(100).startswith(b"HTTP/1.0 421")


def test_a_port_that_is_taken_is_refused_by_its_name(page):
    with pytest.raises(UserError, match=f"--serve-port {page.port}: "), Server(page.store, page.port, print):
        pass


def test_before_there_is_anything_to_show_it_says_so(page):
    page.store.snapshot_file.unlink()
    assert page.ask("/TOKEN/state")[0] == 503


def test_prometheus_reads_cells_nodes_and_pace_whatever_a_host_is_called(page):
    page.live.nodes([ActiveNode(HOSTILE, {"CPU": 2.0}, ())])
    page.show()
    _, headers, text = page.ask("/TOKEN/metrics")
    assert headers["Content-Type"].startswith("text/plain")
    samples = {
        (sample.name, *(value for name, value in sorted(sample.labels.items()) if name != "suite")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["dtcbench_cells", "ok"] == 20
    assert samples["dtcbench_cells", "missing"] == 19
    assert samples["dtcbench_node_attempts_total", "rack-2", "failed"] == 1
    assert samples["dtcbench_node_usable", HOSTILE] == 1
    assert samples["dtcbench_node_usable", "rack-2"] == 0  # it was set aside
    assert 0 < samples[("dtcbench_cells_per_second",)] < 1
    assert not [name for name, *_ in samples if "watts" in name]  # not measured: no sample, and no 0


def test_hostile_names_stay_text(page):
    page.live.nodes([ActiveNode(HOSTILE, {"CPU": 2.0}, ())])
    page.show()
    assert "<img" not in page.ask("/TOKEN/")[2]


def test_a_run_is_served_while_it_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    class Reader(Watcher):
        def noted(self, note):
            self.url = note.removeprefix("this run is at ")

        def ended(self, record, final):
            with urllib.request.urlopen(f"{self.url}snapshot.json", timeout=30) as answer:  # noqa: S310 - ours
                self.seen = json.load(answer)

    package.run(TINY, inline=True, progress=(reader := Reader()), serve=0)
    assert (reader.seen["suite"], reader.seen["cells"], reader.seen["ended_at"]) == ("tiny", 3, None)


@pytest.mark.browser
def test_a_phone_sees_a_cell_end_without_loading_the_page_again(page, browser):
    width, height = PHONE
    with browser.new_context(viewport={"width": width, "height": height}, color_scheme="dark") as context:
        errors, asked = [], []
        context.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        context.on("request", lambda request: asked.append(request.url))
        opened = context.new_page()
        opened.goto(page.url)
        expect(opened.get_by_text("21 of 40 cells: 20 ok, 1 oom; 2 under way")).to_be_visible()
        page.live.ended(task(cell("dtc", seed=1)).record(Status.ERROR, "it broke", START.isoformat(), 1.0), final=True)
        page.show()
        expect(opened.get_by_text("22 of 40 cells: 20 ok, 1 oom, 1 error; 1 under way")).to_be_visible()
        assert overhang(opened) == 0
        assert serious(opened) == []
        assert errors == []
        assert {url.startswith(page.url) for url in asked} == {True}


def test_a_token_that_a_killed_run_left_behind_is_a_file_of_a_run(tmp_path):
    assert file_kind(Store(tmp_path).token_file.name) == "own"
