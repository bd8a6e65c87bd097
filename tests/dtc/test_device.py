"""A layer whose weights are tensors is measured and recovered where they are, and loses the same neurons."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from dtcbench import registry
from dtcbench.dtc.device import DeviceMatrix
from dtcbench.dtc.lasso import certified_gap
from dtcbench.dtc.recovery import Tolerance, checked_solver
from dtcbench.dtc.sensing import basis, gaussian_phi, project, reconstruct
from dtcbench.errors import NonFiniteError, SolverError
from dtcbench.selftest.checking import Elsewhere
from dtcbench.training.compressor import Compressor
from dtcbench.training.groups import PrunableGroup

ON_A_GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no NVIDIA GPU")]
DEVICES = [torch.device("cpu"), pytest.param(torch.device("cuda"), marks=ON_A_GPU)]
ON_DEVICE = ["admm", "fista", "iht", "interior-point", "ssnal"]
ON_HOST = ["lars", "omp"]


def weights(m, seed=0):
    rng = np.random.default_rng([m, seed])
    return rng.normal(size=(m, 20)), rng.normal(size=(7, m, 3)), gaussian_phi(m, 0.1, rng)


def matrix(array, device):
    return DeviceMatrix.copied(array, device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("m", [2, 3, 257, 512, 1000])
def test_the_transform_of_phi_is_the_one_of_the_host(m, device):
    phi = np.random.default_rng(m).normal(size=(5, m))
    before = matrix(phi, device)
    theta = before @ basis(m) if m > 256 else before.dct().__array__()
    np.testing.assert_allclose(np.asarray(theta), phi @ basis(m), atol=1e-12)
    np.testing.assert_array_equal(np.asarray(before), phi)


@pytest.mark.parametrize("device", DEVICES)
def test_products_with_arrays_are_arrays(device):
    rng = np.random.default_rng(0)
    phi, a, y = rng.normal(size=(4, 9)), rng.normal(size=9), rng.normal(size=(4, 2))
    there = matrix(phi, device)
    for found, expected in ((there @ a, phi @ a), (y[:, 0] @ there, y[:, 0] @ phi), (there.T @ y, phi.T @ y)):
        assert isinstance(found, np.ndarray)
        np.testing.assert_allclose(found, expected, atol=1e-14)
    assert (there.shape, len(there), there.T.shape) == ((4, 9), 4, (9, 4))
    assert (there.max(), there.min()) == (phi.max(), phi.min())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", [*ON_DEVICE, *ON_HOST])
def test_every_solver_gives_the_reconstruction_of_the_host(name, device):
    w_in, w_out, phi = weights(400)
    a_in, a_out = project(w_in, w_out)
    theta = phi @ basis(400)
    lam = 1.2 * np.abs(theta.T @ (phi @ np.column_stack([a_in, a_out]))).max()  # first-order methods are slow below
    solve = registry.solvers.bind(name, {"tolerance": 1e-12} if name in ("admm", "fista") else {})
    expected = reconstruct(w_in, w_out, phi, basis(400), solve, lam)
    there = [torch.tensor(weight, device=device) for weight in (w_in, w_out)]
    found = reconstruct(*there, phi, basis(400), solve, lam)
    for part in ("a_in", "a_out", "y", "s", "x"):
        value = getattr(found, part)
        assert isinstance(value, np.ndarray)
        scale = np.abs(getattr(expected, part)).max()
        np.testing.assert_allclose(value, getattr(expected, part), atol=1e-10 * scale)
    assert np.count_nonzero(found.s)


@pytest.mark.parametrize(("name", "kind"), [("interior-point", DeviceMatrix), ("lars", np.ndarray)])
def test_a_solver_gets_theta_where_it_says_that_it_computes(name, kind, monkeypatch):
    solver = registry.solvers.get(name)
    seen = []
    inner = solver._solver
    monkeypatch.setattr(solver, "_solver", lambda theta, y, lam: seen.append(type(theta)) or inner(theta, y, lam))
    w_in, w_out, phi = weights(300)
    reconstruct(torch.tensor(w_in), torch.tensor(w_out), phi, basis(300), registry.solvers.bind(name, {}), 0.3)
    assert seen == [kind]


@pytest.mark.parametrize("device", DEVICES)
def test_an_answer_is_certified_on_the_device_too(device):
    theta, y = np.random.default_rng(0).normal(size=(2, 40, 300))
    y = y[:, :2]
    rough = registry.solvers.bind("interior-point", {})(theta, y, 0.3) * (1 + 1e-5)
    there = matrix(theta, device)
    gap = certified_gap(there, y, 0.3, rough, 0.0)
    np.testing.assert_allclose(gap, certified_gap(theta, y, 0.3, rough, 0.0), rtol=1e-4)
    with pytest.raises(SolverError, match="duality gap"):
        checked_solver(Tolerance(gap=1e-9), on="device")(lambda *_: rough)(there, y, 0.3)


def test_weights_on_a_device_that_are_not_finite_are_refused():
    with pytest.raises(NonFiniteError):
        project(torch.tensor([[1.0], [torch.nan]]), torch.ones(1, 2))


def test_half_precision_is_summed_in_double():
    w = torch.full((2, 4096), 0.1, dtype=torch.bfloat16)
    np.testing.assert_array_equal(project(w, w.T)[0], w.double().sum(1).numpy())


def compressed(widths, seed, device="cpu", **options):
    """The neurons kept of a random network with these hidden widths, and which weights the method saw."""
    torch.manual_seed(seed)
    sizes = [12, *widths, 5]
    layers = [nn.Linear(*size) for size in pairwise(sizes)]
    model = nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU())))[:-1].to(device)
    compressor = Compressor(model, torch.zeros(1, 12, device=device), method="dtc", seed=seed, **options)
    return {name: layer.indices for name, layer in compressor.compress(0.6).items()}


def unseen(array):
    return DeviceMatrix(Elsewhere.of(array))


def assert_equal_choices(found, expected):
    assert found.keys() == expected.keys()
    for name, kept in expected.items():
        np.testing.assert_array_equal(found[name], kept)


@pytest.mark.parametrize(("solver", "seed"), [("interior-point", 0), ("interior-point", 1), ("lars", 2)])
def test_the_same_neurons_stay_wherever_a_layer_is_computed(solver, seed, monkeypatch):
    widths = (300, 512, 700, 128)
    expected = compressed(widths, seed, solver=solver)
    copied = []
    monkeypatch.setattr(PrunableGroup, "on_gpu", True)
    incoming = PrunableGroup.incoming.fget
    monkeypatch.setattr(PrunableGroup, "incoming", property(lambda group: incoming(group).as_subclass(Elsewhere)))
    monkeypatch.setattr(DeviceMatrix, "copied", lambda phi, device: copied.append(phi.shape[1]) or unseen(phi))
    assert_equal_choices(compressed(widths, seed, solver=solver), expected)
    assert copied == [300, 512, 700]  # a narrow layer, whose choice may depend on the last bit, stays on the host


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no NVIDIA GPU")
@pytest.mark.parametrize("seed", range(3))
def test_the_same_neurons_stay_on_a_gpu(seed):
    widths = (300, 512, 2048, 128)
    assert_equal_choices(compressed(widths, seed, "cuda"), compressed(widths, seed))


def test_a_method_on_the_host_gets_arrays_from_a_gpu_too(monkeypatch):
    monkeypatch.setattr(PrunableGroup, "on_gpu", True)
    seen = []
    magnitude = registry.methods.get("magnitude")
    scores = magnitude.scores
    monkeypatch.setattr(magnitude, "scores", lambda self, group: seen.append(type(group.w_in)) or scores(self, group))
    model = nn.Sequential(nn.Linear(4, 300), nn.ReLU(), nn.Linear(300, 2))
    Compressor(model, torch.zeros(1, 4), method="magnitude").compress(0.5)
    assert seen == [np.ndarray]
