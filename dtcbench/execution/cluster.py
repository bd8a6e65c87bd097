"""Ray itself: start one on this machine or join a cluster. `nodes` asks its nodes what they have, and cells run in
`ray_executor`."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dtcbench.cores import usable
from dtcbench.energy import nvml
from dtcbench.errors import UserError
from dtcbench.execution.interrupts import kept_from_children
from dtcbench.text import error_line

_CONNECT_S = 10.0
"""Time limit for a connection to an address."""
_MAX_FOLDER = 107 - len("/ray/session_2026-11-26_12-00-00_000000_4194304/sockets/plasma_store")
"""Maximum bytes in the path of Ray's folder: a socket's path, which begins with it, may have 107."""
_MIN_FREE = 16 * 2**20
"""Bytes that must be free on the file system of Ray's folder."""
_SILENT: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
"""Keeps Ray's messages out of this process's."""
_EVERYWHERE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # hides the GPUs from a task that asks for none
    "CUDA_DEVICE_ORDER": nvml.PCI_ORDER,  # Ray counts GPUs as NVML does; CUDA's own order is another
}
_DECIDING, _OWN = threading.Lock(), threading.Lock()
"""A process has one Ray at a time. `_OWN` is held while it is one that `local_ray` or `joined_ray` started."""


def in_job() -> bool:
    """Whether this process is of a job submitted to Ray: `ray job stop` sends SIGTERM, and SIGKILL 3 s later."""
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ


def loopback() -> dict[str, str]:
    """Environment variables of a Ray on loopback, with a new random token: every local user reaches its ports, and only
    this user's processes know the token."""
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),  # not in a file: Ray would choose one in the home folder
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }


def prepare() -> None:
    """Set the environment variables that Ray reads when it is first imported; values set by the user stay."""
    for name, value in _EVERYWHERE.items():
        os.environ.setdefault(name, value)


@contextmanager
def local_ray(cpus: int, cores: int | None) -> Iterator[Any]:
    """A Ray on loopback for this run alone. It and its folder are removed afterwards.

    If the caller has started a Ray in this process, the run uses it, and it keeps running. UserError if another
    run of this process uses Ray.

    Parameters
    ----------
    cpus : cores that one cell asks for
    cores : cores that Ray may use; all that this process may use if None
    """
    _check_loopback()
    # If a cell asks for more threads than there are cores it is slow, not wrong: then one cell runs at a time.
    num_cpus = max(cores or usable(), cpus)
    with _callers() as ray:
        if ray is not None:
            yield ray
            return
        with short_folder(_MAX_FOLDER, folder_candidates()) as folder:
            # Ray opens its own folder to all users; the one around it stays closed to them.
            options = {"num_cpus": num_cpus, "include_dashboard": False, "_temp_dir": str(folder / "ray")}

            def start(ray: Any) -> None:
                try:
                    ray.init(address="local", **options, **_SILENT)  # never join a cluster that runs on this machine
                except Exception as error:  # Ray raises plain exceptions
                    reason = f"Ray does not start here ({error_line(error)}); run with --inline"
                    raise UserError(reason) from error

            with _started(start, loopback()) as ray:
                yield ray


@contextmanager
def joined_ray(address: str) -> Iterator[Any]:
    """Ray, connected to the cluster at `address`, and disconnected afterwards.

    If the caller has connected this process to that cluster, it stays connected. UserError if the caller has
    connected it to another one, or if another run of this process uses Ray.
    """
    _check_address(address)
    with _callers() as ray:
        if ray is not None:
            _check_same_cluster(ray, address)
            yield ray
            return

        def join(ray: Any) -> None:
            try:
                if is_here := _has_node_here(address):
                    ray.init(address=address, **_SILENT)
            except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
                reason = f"{error_line(error)}; is the cluster up, and RAY_AUTH_MODE right?"
                raise UserError(f"--address {address}: {reason}") from error
            if not is_here:
                raise UserError(
                    f"--address {address}: no node of that cluster runs on this machine, and a driver needs one; start "
                    "one without cells, in the environment of the cluster's start commands, by `ray start "
                    f"--address={address} --num-cpus=0 --num-gpus=0`, or run on the head: `ray job submit -- dtcbench "
                    "run … --address auto`"
                )

        with _started(join, {}) as ray:
            yield ray


@contextmanager
def _callers() -> Iterator[Any]:
    """The Ray that this process's user has started; None if there is none: then no other run may start one meanwhile.

    UserError if another run has.
    """
    with _DECIDING:
        is_free = _OWN.acquire(blocking=False)
        ray = sys.modules.get("ray") if is_free else None
        is_callers = ray is not None and ray.is_initialized()
        if is_callers:
            _OWN.release()
    if not is_free:
        raise UserError(
            "another run of this process uses Ray; wait for it to end, run this one with --inline or in another "
            "process, or call ray.init() before both: then they share that Ray"
        )
    if is_callers:
        yield ray
        return
    try:
        yield None
    finally:
        _OWN.release()


@contextmanager
def _started(start: Callable[[Any], None], environment: Mapping[str, str]) -> Iterator[Any]:
    """Ray, started by `start` with these environment variables, whatever the user's are, and shut down afterwards.

    Afterwards the environment and `sys.excepthook` are as they were: Ray changes both.
    """
    before, hook = dict(os.environ), sys.excepthook
    changed: set[str] = set()
    try:
        prepare()
        os.environ.update(environment)
        import ray

        _read_token_again()
        try:
            with kept_from_children(), _only_errors(logging.getLogger("ray")):
                start(ray)
            changed = _changed(before)
            yield ray
        finally:
            ray.shutdown()
    finally:
        for name in changed or _changed(before):
            if name in before:
                os.environ[name] = before[name]
            else:
                os.environ.pop(name, None)
        sys.excepthook = hook
        if "ray" in sys.modules:
            _read_token_again()


def _read_token_again() -> None:
    """Let Ray read the environment's token anew: it keeps the first that a process has used."""
    from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]  # compiled

    Config.initialize("")  # first: a thread of an ended Ray that finds a mode and no token ends the process
    AuthenticationTokenLoader.instance().reset_cache()


def _changed(before: Mapping[str, str]) -> set[str]:
    """Names of the environment variables that are not as they were."""
    return {name for name in before.keys() | os.environ.keys() if os.environ.get(name) != before.get(name)}


@contextmanager
def _only_errors(log: logging.Logger) -> Iterator[None]:
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _check_same_cluster(ray: Any, address: str) -> None:
    """UserError if this process is connected to another cluster than that at HOST:PORT."""
    connected = ray.get_runtime_context().gcs_address
    host, _, port = address.rpartition(":")
    if not port.isdigit() or "/" in host:  # auto, ray://…
        return
    here, _, connected_port = connected.rpartition(":")
    asked = _ips(host.strip("[]"))
    if any(ip.startswith("127.") or ip == "::1" for ip in asked):
        asked.add(ray.util.get_node_ip_address())
    if port != connected_port or not asked & _ips(here.strip("[]")):
        raise UserError(
            f"--address {address}: this process is already connected to the Ray at {connected}; call ray.shutdown() "
            "first, or leave the address out"
        )


def _ips(host: str) -> set[str]:
    return {str(found[4][0]) for found in socket.getaddrinfo(host, None)}


def _check_loopback() -> None:
    """UserError if loopback accepts no connection: Ray would wait for one forever."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), timeout=_CONNECT_S).close()
    except OSError as error:
        raise UserError(
            f"nothing can connect to 127.0.0.1 on this machine ({error}); bring its loopback interface up with "
            "`ip link set lo up`, or run with --inline"
        ) from error


def _check_address(address: str) -> None:
    """UserError if nothing listens at HOST:PORT: Ray would retry for a quarter of an hour."""
    host, _, port = address.rpartition(":")
    if not port.isdigit() or "/" in host:  # auto, ray://…
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
    except OSError as error:
        raise UserError(
            f"--address {address}: nothing answers there ({error}); is the cluster up, and the port right?"
        ) from error


def _has_node_here(address: str) -> bool:
    """Whether a node of the cluster at HOST:PORT runs on this machine: for a driver without one Ray waits a minute.

    True also while the head's own node starts, for which Ray waits.
    """
    _, _, port = address.rpartition(":")
    if not port.isdigit() or "/" in address:  # auto, ray://…
        return True
    from ray._private.services import find_node_ids
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # compiled

    known = GcsClient(address=address).get_all_node_info(timeout=_CONNECT_S)
    nodes = {id.hex(): node for id, node in known.items() if node.state == node.ALIVE}
    return not any(node.is_head_node for node in nodes.values()) or bool(nodes.keys() & find_node_ids())


def folder_candidates() -> list[str]:
    """Folders in which Ray's may be made: those that the environment names, then the system's."""
    named = [os.environ.get(name) for name in ("RAY_TMPDIR", "TMPDIR")]
    folders = filter(None, (*named, "/tmp", "/var/tmp", "/dev/shm"))  # noqa: S108 - a new folder is made in one
    return list(dict.fromkeys(str(Path(folder).absolute()) for folder in folders))


@contextmanager
def short_folder(longest: int, candidates: Sequence[str]) -> Iterator[Path]:
    """A new folder in the first suitable candidate, open to this user alone, and removed afterwards.

    Its path has at most `longest` bytes. UserError if no candidate is suitable.
    """
    folder = _new_folder(longest, candidates)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # processes that are ending may still write there


def _new_folder(longest: int, candidates: Sequence[str]) -> Path:
    tried = []
    for parent in candidates:
        try:
            if shutil.disk_usage(parent).free < _MIN_FREE:
                raise OSError(0, "no space left")
            folder = Path(tempfile.mkdtemp(prefix="dtc-", dir=parent))
        except OSError as error:
            tried.append(f"{parent} ({error.strerror})")
            continue
        if len(os.fsencode(folder)) <= longest:
            return folder
        folder.rmdir()
        tried.append(f"{parent} (a path too long for sockets)")
    raise UserError(
        f"no folder for Ray's sockets: tried {', '.join(tried)}; set RAY_TMPDIR to a folder with a short path that you "
        "can write to and that has space, or run with --inline"
    )
