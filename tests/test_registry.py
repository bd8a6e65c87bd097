"""Names, near matches, options read from signatures, and plug-ins."""

import importlib
import linecache
import sys
import threading
from importlib.metadata import EntryPoint
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError
from suites_for_tests import TINY, edited

from dtcbench import registry
from dtcbench.errors import UserError
from dtcbench.plan.grid import expand
from dtcbench.plan.suite import SuiteError, parse
from dtcbench.registry import Plugin, PluginError, Registry

RIDGE = """\
import numpy as np
from dtcbench.registry import register_solver


@register_solver("ridge")
def ridge(theta, y, lam, *, power: int = 1):
    \"\"\"Tikhonov, in closed form.\"\"\"
    return theta.T @ np.linalg.solve(theta @ theta.T + lam**power * np.eye(len(theta)), y)
"""


@pytest.fixture
def plugin(tmp_path):
    """Writes a plug-in file and reads it, as --plugin does."""

    def read(name: str, source: str) -> Plugin:
        path = tmp_path / name
        path.write_text(source)
        return Plugin.read(path)

    return read


def fista(
    theta,
    y,
    lam,
    *,
    steps: Annotated[int, Field(gt=0)] = 500,
    restart: bool = False,
    rule: Literal["a", "b"] = "a",
    tag,
):
    """Accelerated proximal gradient.

    Not shown in a list.
    """
    return theta, y, lam, steps, restart, rule, tag


EXTRAS = """
from dtcbench import registry

@registry.register_method("extra")
def score(group): ...

@registry.register_solver("extra")
def solve(theta, y, lam): ...
"""


@pytest.fixture
def installable(tmp_path, monkeypatch):
    """`installable(module, source)`: a module that can be imported, the last one so made by an entry point."""
    for axis in registry.AXES:
        axis.discover()
        monkeypatch.setattr(axis, "_entries", dict(axis._entries))
    monkeypatch.syspath_prepend(tmp_path)

    def install(module: str, source: str) -> None:
        (tmp_path / f"{module}.py").write_text(source)
        monkeypatch.delitem(sys.modules, module, raising=False)
        entry = EntryPoint(name=module, value=module, group="dtcbench.solvers")
        monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [entry])

    return install


@pytest.fixture
def axis():
    axis = Registry("solver")
    axis.register("fista")(fista)
    return axis


def test_every_axis_finds_the_package_s_own_values():
    assert {"lars", "scs", "clarabel"} <= set(registry.solvers.names())
    assert {"dense", "dtc", "dtc-published", "magnitude", "random"} <= set(registry.methods.names())
    assert {"digits", "mnist"} <= set(registry.datasets.names())
    assert "mlp" in registry.models.names()


def test_names_are_sorted():
    for axis in registry.AXES:
        assert axis.names() == sorted(axis.names())


def test_register_gives_the_callable_back_unchanged(axis):
    assert axis.get("fista") is fista


def test_an_unknown_name_lists_near_matches_and_the_choice(axis):
    with pytest.raises(UserError, match=r"unknown solver 'fitsa'; did you mean 'fista'\? \(known: fista\)"):
        axis.get("fitsa")


def test_an_unknown_name_like_none_lists_the_choice_alone(axis):
    with pytest.raises(UserError, match=r"unknown solver 'xxxxxx'; known: fista$"):
        axis.get("xxxxxx")


def test_options_are_the_keyword_only_parameters_that_have_a_default(axis):
    assert axis.options("fista")().model_dump() == {"steps": 500, "restart": False, "rule": "a"}


@pytest.mark.parametrize(
    "wrong",
    [{"steps": 0}, {"steps": "9"}, {"restart": 1}, {"rule": "c"}, {"unknown": 1}, {"tag": 1}, {"lam": 1}],
    ids=str,
)
def test_options_are_validated_by_their_annotations(axis, wrong):
    with pytest.raises(ValidationError):
        axis.options("fista").model_validate(wrong)


def test_an_option_without_an_annotation_takes_any_value(axis):
    def loose(theta, y, lam, *, power=1):
        return power

    axis.register("loose")(loose)
    assert axis.options("loose").model_validate({"power": "two"}).model_dump() == {"power": "two"}


def test_an_annotation_that_cannot_be_evaluated_is_a_plug_in_s_error(axis):
    def odd(theta, y, lam, *, power: "Nowhere" = 1):  # noqa: F821
        return power

    axis.register("odd")(odd)
    with pytest.raises(PluginError, match=r"solver 'odd': an option's annotation cannot be used: .*Nowhere"):
        axis.options("odd")


def test_bind_fills_options_in_and_makes_instances_of_classes(axis):
    class Keeper:
        def __init__(self, *, lam: float = 0.3):
            self.lam = lam

    axis.register("keeper")(Keeper)
    assert axis.bind("keeper", {"lam": 0.5}).lam == 0.5
    assert axis.bind("fista", {"steps": 7})("θ", "y", "λ", tag="t") == ("θ", "y", "λ", 7, False, "a", "t")


def test_bind_refuses_options_that_a_suite_would_refuse_all_at_once():
    with pytest.raises(UserError) as caught:
        registry.methods.bind("dtc", {"lam": -1, "score": "nonsense", "side": "both"})
    assert str(caught.value).split("\n") == [
        "method 'dtc': score: 'nonsense': should be 'reconstruction' or 'coefficients'",
        "method 'dtc': lam: -1: should be greater than 0",
        "method 'dtc': side: unknown key 'side'; did you mean 'sides'? "
        "(known: score, drop, lam, f, sides, widths, stream, groups, when)",
    ]


EVERY_OPTION = [
    pytest.param(axis, name, option, id=f"{name}-{option}")
    for axis in registry.AXES
    for name in axis.names()
    for option in axis.options(name).model_fields
]


@pytest.mark.parametrize(("axis", "name", "option"), EVERY_OPTION)
def test_no_option_of_the_package_takes_nonsense(axis, name, option):
    texts = () if axis.options(name).model_fields[option].annotation is str else ("nonsense", "")
    for wrong in (*texts, -1, float("nan"), float("inf"), [], [0], None):
        with pytest.raises(UserError, match=f"^{axis.noun} '{name}': {option}"):
            axis.bind(name, {option: wrong})


@pytest.mark.parametrize(
    ("axis", "name", "options"),
    [
        (registry.methods, "dtc", {"f": 1.5}),
        (registry.methods, "dtc", {"lam": 0}),
        (registry.models, "mlp", {"widths": [256, 0]}),
        (registry.models, "mlp", {"bias": 1}),
        (registry.models, "lenet-5", {"channels": [6]}),
        (registry.models, "vit-tiny", {"heads": 0}),
        (registry.datasets, "digits", {"zoom": 0}),
        (registry.datasets, "tinyshakespeare", {"context": 111_540}),
        (registry.solvers, "fista", {"tolerance": 1.0}),
        (registry.solvers, "omp", {"fraction": 1.01}),
    ],
    ids=lambda value: value.noun if isinstance(value, registry.Registry) else str(value),
)
def test_a_value_just_outside_an_option_s_range_is_refused(axis, name, options):
    with pytest.raises(UserError):
        axis.bind(name, options)


def test_a_summary_is_the_first_line_of_the_docstring(axis):
    assert axis.summary("fista") == "Accelerated proximal gradient."


def test_every_value_of_the_package_has_a_summary_and_valid_defaults():
    for axis in registry.AXES:
        for name in axis.names():
            assert axis.summary(name).endswith("."), name
            model = axis.options(name)
            defaults = model().model_dump(mode="json")
            assert model.model_validate(defaults).model_dump(mode="json") == defaults, name


def test_which_methods_use_a_solver():
    using = [name for name in registry.methods.names() if registry.uses_solver(name)]
    assert using == ["dtc", "dtc-published", "shuffled"]


def test_a_name_is_given_once_also_within_a_module(axis):
    def other(theta, y, lam):
        return theta

    message = r"solver 'fista' is both fista \(.*test_registry\.py:\d+\) and .*other \(.*test_registry\.py:\d+\)"
    with pytest.raises(PluginError, match=message):
        axis.register("fista")(other)
    assert axis.get("fista") is fista


def test_two_values_of_one_name_in_one_plug_in_are_both_named_with_their_lines(plugin):
    twice = RIDGE.replace('"ridge"', '"doubled"') + '\n\n@register_solver("doubled")\nclass Other:\n    pass\n'
    with pytest.raises(PluginError) as caught:
        plugin("twice.py", twice).load()
    assert str(caught.value) == (
        "--plugin twice.py:11: solver 'doubled' is both ridge (twice.py:5) and Other (twice.py:11); "
        "give one of them another name"
    )
    assert "doubled" not in registry.solvers.names()


def test_what_is_typed_at_a_prompt_may_be_typed_again(axis, monkeypatch):
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)

    def first(theta, y, lam):
        return theta

    def second(theta, y, lam):
        return y

    for typed in (first, second):
        typed.__module__ = "__main__"
        axis.register("typed")(typed)
    assert axis.get("typed") is second


def test_what_is_typed_at_a_prompt_takes_no_name_of_the_package(monkeypatch):
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    known = registry.solvers.get("lars")

    def lars(theta, y, lam):
        return theta

    lars.__module__ = "__main__"
    with pytest.raises(PluginError, match="solver 'lars' is both lars"):
        registry.solvers.register("lars")(lars)
    assert registry.solvers.get("lars") is known


def test_another_thread_cannot_read_an_axis_while_it_is_discovered(monkeypatch):
    registry.solvers.discover()
    fresh, original, got_in = Registry("solver"), importlib.import_module, []

    def another_thread_tries():
        entered = registry._IMPORTING.acquire(blocking=False)
        got_in.append(entered)
        if entered:
            registry._IMPORTING.release()

    def import_module(name):
        other = threading.Thread(target=another_thread_tries)
        other.start()
        other.join()
        return original(name)

    monkeypatch.setattr("importlib.import_module", import_module)
    fresh.discover()
    assert got_in and not any(got_in)
    another_thread_tries()
    assert got_in[-1]


@pytest.mark.parametrize("error", [ImportError, KeyboardInterrupt])
def test_an_axis_that_could_not_be_discovered_says_so_again(monkeypatch, error):
    def broken(name):
        raise error(name)

    monkeypatch.setattr("importlib.import_module", broken)
    fresh = Registry("solver")
    for _ in range(2):
        with pytest.raises(error):
            fresh.names()


def test_an_axis_whose_discovery_was_interrupted_is_whole_the_next_time(monkeypatch, installable):
    installable("extras", EXTRAS + "\nif not hasattr(registry, 'waited'):\n    raise KeyboardInterrupt\n")
    fresh = Registry("solver")
    with pytest.raises(KeyboardInterrupt):
        fresh.names()
    assert "extra" not in registry.solvers.names()
    monkeypatch.setattr(registry, "waited", True, raising=False)
    fresh.names()
    assert "extra" in registry.solvers.names()


def test_a_broken_installed_plug_in_is_left_out_whole(installable, caplog):
    installable("extras", EXTRAS + "\n1 / 0\n")
    for _ in range(2):
        Registry("solver").names()
    assert [record.message for record in caplog.records] == [
        "plug-in extras (extras) is left out: division by zero",
        "plug-in extras (extras) is left out: division by zero",
    ]
    assert "extra" not in registry.solvers.names()
    assert "extra" not in registry.methods.names()


def test_what_a_broken_plug_in_imported_stays_as_python_keeps_it(installable):
    installable("whole", EXTRAS)
    installable("extras", "import whole\n1 / 0\n")
    Registry("solver").names()
    assert "extra" in registry.solvers.names()


def test_a_plug_in_given_twice_is_one_and_two_of_one_name_are_refused(tmp_path):
    one, other = tmp_path / "mine.py", tmp_path / "elsewhere" / "mine.py"
    other.parent.mkdir()
    one.write_text("x = 1\n")
    other.write_text("x = 1\n")
    assert Plugin.read_all([one, one, other]) == (Plugin("mine", "x = 1\n"),)
    other.write_text("x = 2\n")
    with pytest.raises(PluginError, match=r"elsewhere/mine\.py: another plug-in is called mine.py too; rename one"):
        Plugin.read_all([one, other])


def test_what_a_broken_plug_in_registered_before_its_error_is_taken_back(plugin):
    source = RIDGE.replace('"ridge"', '"half-done"')
    with pytest.raises(PluginError, match=r"half\.py:11: ZeroDivisionError"):
        plugin("half.py", source + "\n\n1 / 0\n").load()
    assert "half-done" not in registry.solvers.names()
    plugin("half.py", source).load()
    assert "half-done" in registry.solvers.names()


def test_a_plug_in_s_solver_can_be_used_by_a_suite(plugin):
    suite = edited(TINY, ("[lars]", "[{name: ridge, power: 2}]"))
    with pytest.raises(SuiteError, match="unknown solver 'ridge'"):
        parse(suite, "suite.yaml")
    plugin("ridge.py", RIDGE).load()
    dtc = expand(parse(suite, "suite.yaml")).cells[1]
    assert (dtc.solver.name, dtc.solver.options) == ("ridge", {"power": 2})


def test_loading_a_plug_in_twice_runs_it_once(plugin):
    counting = plugin("counting.py", "import dtcbench\ndtcbench.loads = getattr(dtcbench, 'loads', 0) + 1\n")
    counting.load()
    counting.load()
    import dtcbench

    assert dtcbench.loads == 1
    del dtcbench.loads


def test_two_plug_ins_of_one_file_name_are_both_loaded(plugin):
    plugin("same.py", RIDGE).load()
    plugin("same.py", RIDGE.replace("ridge", "ridge2")).load()
    assert {"ridge", "ridge2"} <= set(registry.solvers.names())


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\ny = 1 / 0\n", "--plugin broken.py:2: ZeroDivisionError: division by zero"),
        ("import nowhere_at_all\n", "--plugin broken.py:1: ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("def f(:\n", "--plugin broken.py: SyntaxError: "),
        (
            RIDGE.replace('"ridge"', '"lars"'),
            "solver 'lars' is both lars (dtcbench/solvers/lars.py:",
        ),
    ],
    ids=["error", "import", "syntax", "taken name"],
)
def test_a_broken_plug_in_names_itself_the_line_and_the_error(plugin, source, message):
    with pytest.raises(PluginError) as caught:
        plugin("broken.py", source).load()
    assert str(caught.value).startswith("--plugin broken.py")
    assert message in str(caught.value)


def test_a_broken_plug_in_is_tried_again_once_it_is_mended(plugin):
    broken = plugin("mended.py", RIDGE.replace("import numpy as np", "import numpi as np"))
    for _ in range(2):
        with pytest.raises(PluginError, match="numpi"):
            broken.load()
    plugin("mended.py", RIDGE).load()
    assert "ridge" in registry.solvers.names()


def test_an_edited_plug_in_replaces_its_earlier_version_and_a_broken_edit_nothing(plugin):
    first = plugin("edited.py", RIDGE + EXTRAS)
    second = plugin("edited.py", RIDGE.replace("power: int = 1", "power: int = 2"))
    first.load()
    second.load()
    assert registry.solvers.options("ridge")().power == 2
    assert "extra" not in registry.methods.names()
    with pytest.raises(PluginError, match="ZeroDivisionError"):
        plugin("edited.py", RIDGE + "\n1 / 0\n").load()
    assert registry.solvers.options("ridge")().power == 2
    first.load()
    assert registry.solvers.options("ridge")().power == 1
    assert "extra" in registry.methods.names()
    with pytest.raises(PluginError, match="solver 'ridge' is both"):
        plugin("another.py", RIDGE).load()


def test_what_a_notebook_defines_is_known_by_the_source_of_its_cell(monkeypatch):
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    monkeypatch.setattr(registry.solvers, "_entries", dict(registry.solvers._entries))

    def typed(source, keeps_it):
        name = f"<cell {source!r}>"
        if keeps_it:
            linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        exec(compile(source, name, "exec"), {"__name__": "__main__"})  # noqa: S102 - as a prompt does
        return registry.plugins_of([("solver", "ridge")], [])

    first = typed(RIDGE, True)
    assert list(first) == ["__main__.ridge"]
    assert typed(RIDGE, True) == first
    assert typed(RIDGE.replace("lam**", "2 * lam**"), True) != first
    assert registry.without_source([("solver", "ridge")]) == []
    assert typed(RIDGE + "# unknown", False) == {}
    assert registry.without_source([("solver", "ridge"), ("solver", "lars")]) == ["solver 'ridge'"]
    assert registry.in_this_process_only([("solver", "ridge"), ("solver", "lars")], []) == ["solver 'ridge'"]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "No such file or directory"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.write_bytes(b"\xff"), "is not UTF-8 text"),
    ],
    ids=["missing", "folder", "not UTF-8"],
)
def test_a_plug_in_that_cannot_be_read_is_named_with_the_remedy(tmp_path, make, reason):
    path = tmp_path / "plug.py"
    make(path)
    with pytest.raises(PluginError) as caught:
        Plugin.read(path)
    assert str(caught.value) == f"--plugin {path}: {reason}; give the path of a Python file"


def test_a_broken_installed_plug_in_is_left_out_and_logged(monkeypatch, caplog):
    class Broken:
        name, value = "bad", "bad_package:solver"

        def load(self):
            raise ImportError("no bad_package")

    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [Broken()])
    axis = Registry("solver")
    assert axis.names() == []  # the package's own modules register with the package's own axis
    assert "plug-in bad (bad_package:solver) is left out: no bad_package" in caplog.text


@pytest.mark.parametrize("decorator", ["", "@dataclass\n"])
def test_a_class_whose_fields_no_suite_can_set_is_refused_with_the_remedy(decorator):
    source = (
        "from dataclasses import dataclass\nfrom dtcbench.registry import register_method\n\n"
        f"@register_method('fielded')\n{decorator}class Fielded:\n    power: float = 1.0\n"
    )
    with pytest.raises(PluginError, match=r"power no suite can set; write @dataclass\(frozen=True, kw_only=True\)"):
        Plugin("fielded", source).load()
