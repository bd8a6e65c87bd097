"""Operations that compute: element by element, products with weights, norms, pooling and reductions."""

from __future__ import annotations

from dataclasses import replace

from dtcbench.training.axes import ONE, Product, blur, factored, fix, resolved, split, unify
from dtcbench.training.tracing import Call, Dim, Dims, fresh, met, rule, tensors, unknown

_UNIFORM = ("zeros", "ones", "full", "empty", "empty_strided", "scalar_tensor")


def made(call: Call) -> list[Dims]:
    """Nothing but sizes goes in: equal values have the axes of what they meet, others are counted off anew."""
    reason = None if call.name in _UNIFORM else f"made by {call.name}"
    return [fresh(tensor.shape, reason) for tensor in call.results]


@rule("new_zeros", "new_ones", "new_full", "new_empty", "new_empty_strided")
def _made_like(call: Call) -> list[Dims]:
    return [fresh(call.result.shape)]


@rule("clone", "detach", "alias", "contiguous", "lift_fresh", "to_copy", "_to_copy", "fill", "zero", "bernoulli")
@rule("zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like", "uniform", "normal")
def _same(call: Call) -> list[Dims]:
    return [call.dims()]


@rule("hardswish", "hardsigmoid", "hardtanh", "leaky_relu", "elu", "celu", "selu", "softplus", "mish", "relu6", "prelu")
@rule("copy", "where", "masked_fill", "lerp", "addcmul", "addcdiv", "native_dropout", "dropout")
def pointwise(call: Call) -> list[Dims]:
    """Operands meet by broadcasting: aligned at their last axes, and those of length 1 meet any."""
    operands = [call.forward.dims(tensor) for tensor in tensors((call.args, call.kwargs))]
    found = met(operands)
    return [found[len(found) - tensor.dim() :] for tensor in call.results]


@rule("mm", "_grouped_mm", "addmm", "bmm", "baddbmm", "linear", "mv", "dot", "addmv", "matmul", "addbmm")
def _matrix(call: Call) -> list[Dims]:
    if call.name == "linear":
        one, weight = call.dims(0, "input"), call.dims(1, "weight")
        other, bias = weight[::-1], call.get(2, "bias")
    elif call.name in ("addmm", "baddbmm"):
        one, other, bias = call.dims(1), call.dims(2), call.get(0, "self")
    elif call.name in ("mm", "bmm") or (call.name == "_grouped_mm" and call.args[0].dim() == 2):
        one, other, bias = call.dims(0), call.dims(1), None
    else:
        return unknown(call)
    call.forward.contract(one, one[-1], other, other[-2])
    call.forward.products.append((*(dim.axis for dim in one), other[-1].axis))
    if call.name in ("bmm", "baddbmm"):
        unify(one[0].axis, other[0].axis)
    if len(other) > len(one):  # each row by the matrix of its expert
        fix(other[0].axis, "a choice of experts")
    found = (*one[:-1], other[-1])
    if not (any(dim.places for dim in one) and any(dim.places for dim in other)):
        found = tuple(replace(dim, places=frozenset()) for dim in found)
    if bias is not None:
        met([found, call.forward.dims(bias)])
    return [found]


@rule("convolution", "_convolution", "mkldnn_convolution", "convolution_overrideable", "cudnn_convolution")
def _convolution(call: Call) -> list[Dims]:
    x, weight, bias = call.dims(0, "input"), call.dims(1, "weight"), call.get(2, "bias")
    is_transposed, groups = call.get(6, "transposed"), call.get(8, "groups")
    forward, channels = call.forward, x[-weight_rank(weight) - 1]
    wide, narrow = weight[:2]
    group, within = factored(wide.axis, [groups, wide.axis.size // groups])
    read_group, read = factored(channels.axis, [groups, channels.axis.size // groups])
    unify(group, read_group)
    unify(read, within if is_transposed else narrow.axis)
    if groups == 1:  # the kernels of grouped convolutions belong to their channels
        forward.reads |= (wide if is_transposed else narrow).places
        forward.writes |= (narrow if is_transposed else wide).places
    written = resolved(Product((group, narrow.axis))) if is_transposed else wide.axis
    if bias is not None:
        unify(written, forward.dims(bias)[0].axis)
    spatial = fresh(call.result.shape[-weight_rank(weight) :], "a position")
    moved = x[-weight_rank(weight) :] if is_transposed else spatial
    forward.products.append(tuple(dim.axis for dim in (*x[: -weight_rank(weight) - 1], *moved, *weight)))
    for dim in (*x[-weight_rank(weight) :], *weight[2:]):
        fix(dim.axis, "a position")
    return [(*x[: -weight_rank(weight) - 1], Dim(resolved(written)), *spatial)]


def weight_rank(weight: Dims) -> int:
    """Number of axes along which a kernel moves."""
    return len(weight) - 2


@rule("native_layer_norm", "rms_norm", "_fused_rms_norm", "layer_norm")
def _layer_norm(call: Call) -> list[Dims]:
    x, normed = call.dims(0, "input"), len(call.get(1, "normalized_shape"))
    for dim in x[-normed:]:
        blur(dim.axis, "normalised over it")
    for tensor in tensors((call.args[2:4], call.kwargs)):
        met([x[-normed:], call.forward.dims(tensor)])
    statistics = tuple(Dim(ONE) if place >= len(x) - normed else dim for place, dim in enumerate(x))
    return [x if place == 0 else statistics[: tensor.dim()] for place, tensor in enumerate(call.results)]


@rule("native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training", "cudnn_batch_norm")
@rule("_batch_norm_with_update", "_batch_norm_no_update", "batch_norm", "_batch_norm_with_update_functional")
def _batch_norm(call: Call) -> list[Dims]:
    x = call.dims(0, "input")
    for tensor in tensors(call.args[1:5]):
        unify(x[1].axis, call.forward.dims(tensor)[0].axis)
    is_training = (
        bool(call.get(5, "training", False)) and "no_training" not in call.name and "no_update" not in call.name
    )
    if is_training:  # of a weight's own values, as weight standardisation does
        for place, dim in enumerate(x):
            if place != 1:
                blur(dim.axis, "normalised over it")
    return [
        x if place == 0 else ((x[1],) if len(tensor) == x[1].axis.size else fresh(tensor.shape))
        for place, tensor in enumerate(call.results)
    ]


@rule("native_group_norm", "group_norm")
def _group_norm(call: Call) -> list[Dims]:
    x, groups = call.dims(0, "input"), call.get(6, "group")
    group, within = factored(x[1].axis, [groups, x[1].axis.size // groups])
    blur(within, "normalised over it")
    for tensor in tensors(call.args[1:3]):
        unify(x[1].axis, call.forward.dims(tensor)[0].axis)
    x = tuple(replace(dim, axis=resolved(dim.axis)) for dim in x)
    statistics = (x[0], Dim(resolved(group)))
    return [x, statistics, statistics]


@rule("max_pool2d_with_indices", "avg_pool2d", "_adaptive_avg_pool2d", "adaptive_max_pool2d", "max_pool3d_with_indices")
@rule("avg_pool1d", "avg_pool3d", "_adaptive_avg_pool3d", "adaptive_avg_pool1d", "max_pool1d", "max_pool2d")
@rule(
    "upsample_bilinear2d", "upsample_nearest2d", "upsample_bicubic2d", "_upsample_bilinear2d_aa", "upsample_nearest1d"
)
@rule("upsample_linear1d", "_upsample_bicubic2d_aa", "upsample_trilinear3d", "upsample_nearest3d", "grid_sampler_2d")
@rule("mkldnn_max_pool2d", "mkldnn_adaptive_avg_pool2d", "_upsample_nearest_exact2d")
def _pool(call: Call) -> list[Dims]:
    x = call.dims(0, "self") if call.args else call.dims(0, "input")
    moved = 1 if "1d" in call.name else 3 if "3d" in call.name else 2
    for dim in x[-moved:]:
        fix(dim.axis, "a position")
    return [(*x[:-moved], *fresh(tensor.shape[-moved:], "a position")) for tensor in call.results]


_ALL = (
    "sum",
    "mean",
    "var",
    "std",
    "var_mean",
    "std_mean",
    "amax",
    "amin",
    "max",
    "min",
    "prod",
    "norm",
    "argmax",
    "argmin",
)
_MORE = ("linalg_vector_norm", "logsumexp", "any", "all", "aminmax", "nansum", "count_nonzero", "median")


@rule(*_ALL, *_MORE)
def _reduced(call: Call) -> list[Dims]:
    if len(list(tensors((call.args, call.kwargs)))) > 1:
        return pointwise(call)  # max(a, b)
    dims = call.dims()
    over = call.get(2, "dim") if call.name == "linalg_vector_norm" else call.get(1, "dim")
    if call.name == "norm":
        over = call.get(2, "dim")
    over = range(len(dims)) if over is None or over == [] else [over] if isinstance(over, int) else over
    over = {place % len(dims) for place in over} if dims else set()
    for place in over:
        blur(dims[place].axis, f"reduced by {call.name}")
    keeps = all(tensor.dim() == len(dims) for tensor in call.results)
    found = tuple(Dim(ONE) if place in over else dim for place, dim in enumerate(dims) if keeps or place not in over)
    return [found for _ in call.results]


@rule("_softmax", "softmax", "_log_softmax", "log_softmax", "cumsum", "cumprod", "logcumsumexp", "_safe_softmax", "glu")
def _along(call: Call) -> list[Dims]:
    dims, place = list(call.dims()), call.get(1, "dim", -1)
    if call.name == "glu":
        one, other = split(dims[place].axis, [dims[place].axis.size // 2] * 2)
        unify(one, other)
        dims[place] = Dim(resolved(one))
        return [tuple(dims)]
    blur(dims[place].axis, f"normalised by {call.name.strip('_')}" if "softmax" in call.name else call.name)
    return [tuple(dims)]
