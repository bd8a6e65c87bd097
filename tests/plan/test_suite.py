"""A wrong suite is told everything that is wrong with it: line, place, value and remedy."""

import re

import pytest
from suites_for_tests import DESIGN, TINY, edited, mistakes

from dtcbench import registry
from dtcbench.plan.naming import DEFAULT_SOLVER
from dtcbench.plan.suite import SuiteError, load, parse

STANDARD = "{name: standard, steps: 600, batch_size: 64, lr: 0.001, cycle_steps: 50, keep: 0.9}"
METHODS = "[dtc, dtc-published, magnitude, random]"
SPARSITIES = "    sparsities: [0.5, 0.8, 0.9, 0.95]\n"


def test_the_design_s_example_is_valid():
    suite = parse(DESIGN, "suite.yaml")
    assert (suite.name, suite.timeout, suite.cpus) == ("quick", 600, 1)
    assert suite.grid[0].first_seeds == [0, 1, 2]
    assert suite.grid[0].methods[0].values == {
        "score": "reconstruction",
        "drop": "smallest",
        "lam": 0.3,
        "f": 0.1,
        "sides": "both",
        "widths": "uniform",
        "stream": 0,
        "groups": "simple",
        "when": "during",
    }


WRONG = {
    # names
    "unknown solver": ("[lars]", "[larss]", 9, "grid[0].solvers[0]", "unknown solver 'larss'; did you mean 'lars'"),
    "unknown dataset": ("[digits]", "[mnits]", 7, "grid[0].datasets[0]", "'mnits'; did you mean 'mnist'"),
    "unknown model": ("name: mlp", "name: mpl", 6, "grid[0].models[0]", "unknown model 'mpl'; did you mean 'mlp'"),
    "unknown method": ("random]", "radnom]", 8, "grid[0].methods[3]", "'radnom'; did you mean 'random'"),
    "nothing near": ("[lars]", "[zzzzzzz]", 9, "grid[0].solvers[0]", "'zzzzzzz'; known: admm, clarabel"),
    "unknown protocol": ("name: standard", "name: standrad", 4, "protocol", "'standrad'; did you mean 'standard'?"),
    "unknown bare protocol": (STANDARD, "publishd", 4, "protocol", "'publishd'; did you mean 'published'?"),
    "protocol without a name": ("name: standard, ", "", 4, "protocol", "a protocol is a name or a mapping with a name"),
    "no name in a list of protocols": (STANDARD, f"[{STANDARD}, [x]]", 4, "protocol[1]", "a protocol is a name or a"),
    "solver in a list": ("[lars]", "[[lars]]", 9, "grid[0].solvers[0]", "a solver is a name or a mapping with a name"),
    "misspelt `name`": ("[lars]", "[{nam: lars}]", 9, "grid[0].solvers[0]", "got {'nam': 'lars'}"),
    "excluded name": (
        "timeout: 10m", "exclude: [{method: radnom, reason: x}]", 13, "exclude[0].method", "did you mean 'random'",
    ),
    # keys
    "unknown key": ("resources:", "resource:", 12, "resource", "unknown key 'resource'; did you mean 'resources'?"),
    "a block's key at the top": ("name: quick", "name: quick\nseeds: 3", 2, "seeds", "write it under `grid`"),
    "unknown key in a block": ("    seeds: 3", "    seeds: 3\n    seed: 3", 12, "grid[0].seed", "mean 'seeds'"),
    "a method's option elsewhere": (
        "    seeds: 3",
        "    seeds: 3\n    groups: coupled",
        12,
        "grid[0].groups",
        "it is an option of a method: write {name: …, groups: …} under `methods`",
    ),
    "unknown key in resources": ("gpus: 0", "gpu: 0", 12, "resources.gpu", "did you mean 'gpus'"),
    "unknown key in a protocol": ("keep: 0.9", "kepe: 0.9", 4, "protocol.kepe", "did you mean 'keep'"),
    "another protocol's key": ("keep: 0.9", "stop_width: 9", 4, "protocol.stop_width", "unknown key 'stop_width'"),
    "unknown option": (
        "[lars]", "[{name: lars, max_iteration: 3}]", 9, "grid[0].solvers[0].max_iteration", "'max_iterations'?",
    ),
    "needless option": ("random]", "{name: random, p: 1}]", 8, "grid[0].methods[3].p", "'p'; known: stream, groups,"),
    "needless option of data": (
        "[digits]", "[{name: mnist, p: 1}]", 7, "grid[0].datasets[0].p", "remove it: no key is known",
    ),
    "key that is no text": ("name: quick", "name: quick\n1: 2", 1, "", "unknown key 1; known: name, question"),
    "key `no`": ("name: quick", "name: quick\nno: 2", 1, "", "unknown key false; known: name, question"),
    "key missing": ("name: quick\n", "", 1, "name", "missing; add `name: …`"),
    "key missing in a protocol": ("steps: 600, ", "", 4, "protocol.steps", "missing; add `steps: …`"),
    "bare protocol that needs more": (STANDARD, "standard", 4, "protocol.steps", "missing; add `steps: …`"),
    "key twice": ("timeout: 10m", "timeout: 10m\nname: again", 14, "name", "the key stands twice; remove one"),
    "key twice in a block": ("    seeds: 3", "    seeds: 3\n    seeds: 4", 12, "grid[0].seeds", "stands twice"),
    # axes
    "empty grid": (DESIGN[DESIGN.index("grid:") : DESIGN.index("resources")], "grid: []\n", 5, "grid", "empty; give"),
    "empty axis": ("[digits]", "[]", 7, "grid[0].datasets", "empty; give at least one value"),
    "empty methods": (METHODS, "[]", 8, "grid[0].methods", "empty; give at least one value"),
    "empty sparsities": ("[0.5, 0.8, 0.9, 0.95]", "[]", 10, "grid[0].sparsities", "empty; give at least one value"),
    "empty seeds": ("seeds: 3", "seeds: []", 11, "grid[0].seeds", "empty; give a number of seeds"),
    "no seeds": ("seeds: 3", "seeds: 0", 11, "grid[0].seeds", "0; give a number of seeds from 1"),
    "seeds beyond all measure": ("seeds: 3", "seeds: 1000000000000", 11, "grid[0].seeds", "seeds from 1 to 10000"),
    "seeds as text": ("seeds: 3", "seeds: '3'", 11, "grid[0].seeds", "'3'; give a number of seeds"),
    "seeds as yes": ("seeds: 3", "seeds: yes", 11, "grid[0].seeds", "true; give a number of seeds"),
    "negative seed": ("seeds: 3", "seeds: [-1]", 11, "grid[0].seeds[0]", "-1: should be greater than or equal to 0"),
    "growing seeds that lack a key": (
        "seeds: 3", "seeds: {first: 5, most: 40}", 11, "grid[0].seeds.step", "missing; add `step: …`",
    ),
    "growing seeds with an unknown key": (
        "seeds: 3", "seeds: {first: 5, step: 5, most: 40, last: 3}", 11, "grid[0].seeds.last", "unknown key 'last'",
    ),
    "too few seeds for a verdict": (
        "seeds: 3", "seeds: {first: 3, step: 5, most: 8}", 11, "grid[0].seeds.first", "3: should be greater",
    ),
    "growing seeds off the step": (
        "seeds: 3", "seeds: {first: 5, step: 5, most: 42}", 11, "grid[0].seeds", "write 40 or 45",
    ),
    "growing seeds that shrink": (
        "seeds: 3", "seeds: {first: 5, step: 5, most: 4}", 11, "grid[0].seeds", "most: 4 is less than first: 5",
    ),
    "one value for a list": ("[digits]", "digits", 7, "grid[0].datasets", "'digits': expected a list; write [digits]"),
    "one width for a list": ("[256]", "256", 6, "grid[0].models[0].widths", "256: expected a list; write [256]"),
    "no widths": ("[256]", "[]", 6, "grid[0].models[0].widths", "empty; give at least one value"),
    "mapping for a list": ("timeout: 10m", "exclude: {method: dtc}", 13, "exclude", "begin every value with `- `"),
    "sparsity 1": ("0.95]", "1.0]", 10, "grid[0].sparsities[3]", "1.0: should be less than 1"),
    "sparsity below 0": ("[0.5,", "[-0.5,", 10, "grid[0].sparsities[0]", "-0.5: should be greater than or equal to 0"),
    "sparsity in per cent": ("[0.5,", "[50%,", 10, "grid[0].sparsities[0]", "'50%': should be a valid number"),
    "seed twice": ("seeds: 3", "seeds: [7, 7]", 11, "grid[0].seeds", "7 more than once; remove all but one"),
    "sparsity twice": ("[0.5, 0.8", "[0.5, 0.50", 10, "grid[0].sparsities", "0.5 more than once"),
    "model twice": (
        "{name: mlp, widths: [256]}", "{name: mlp, widths: [9]}, {name: mlp, bias: true, widths: [9]}",
        6, "grid[0].models", "mlp(widths=[9]) more than once",
    ),
    # solvers and methods
    "solver on methods without": (
        METHODS, "[magnitude, random]", 9, "grid[0].solvers", "methods that have none (magnitude, random); remove",
    ),
    "solver inside a method without": (
        "magnitude,", "{name: magnitude, solver: lars},", 8, "grid[0].methods[2]", "takes no solver; remove it",
    ),
    "solver inside a method": (
        "[dtc,", "[{name: dtc, solver: lars},", 8, "grid[0].methods[0]", "move the solver of 'dtc' to the block's",
    ),
    "no solver in the list": ("solvers: [lars]", "solvers: []", 9, "grid[0].solvers", "empty; remove it for interior"),
    "joules without a meter": (
        "[dtc, ", "[dtc, {name: dense-matched, budget: joules}, ", 8, "grid[0].methods[1].budget", "GPUs only; set"
    ),
    "joules of nobody": (
        "[dtc, ", "[{name: dense-matched, budget: joules}, ", 8, "grid[0].methods[0].budget", "add dtc to these"
    ),
    # protocol
    "no protocol": (STANDARD, "[]", 4, "protocol", "empty; give at least one"),
    "protocol twice": (STANDARD, f"[{STANDARD}, {STANDARD}]", 4, "protocol", "more than once; remove all but one"),
    "published beside another": (STANDARD, f"[{STANDARD}, published]", 4, "protocol", "give it a suite of its own"),
    "option of one of several": (
        STANDARD, f"[{STANDARD}, {{name: standard, step: 9}}]", 4, "protocol[1].step", "did you mean 'steps' or",
    ),
    "cores for one of several": (
        STANDARD, f"[{STANDARD}, {{name: standard, steps: 600, threads: 2}}]", 12, "resources.cpus", "raise it to 2",
    ),
    "sparsities missing": (SPARSITIES, "", 6, "grid[0].sparsities", "missing; add for example `sparsities:"),
    "steps too few": ("steps: 600", "steps: 60", 4, "protocol.cycle_steps", "raise steps to 100 or lower"),
    "keep 1": ("keep: 0.9", "keep: 1.0", 4, "protocol.keep", "1.0: should be less than 1"),
    "lr infinite": ("lr: 0.001", "lr: .inf", 4, "protocol.lr", "inf: should be a finite number"),
    "steps with a point": ("steps: 600", "steps: 600.0", 4, "protocol.steps", "valid integer; write 600"),
    "steps and a half": ("steps: 600", "steps: 600.5", 4, "protocol.steps", "write a whole number"),
    "a version": ("keep: 0.9", "version: 1", 4, "protocol.version", "unknown key 'version'"),
    "warm-up that never ends": ("keep: 0.9", "warmup: 600", 4, "protocol.warmup", "600 of 600 steps leave none at the"),
    "parts that are not equal": ("keep: 0.9", "accumulate: 24", 4, "protocol.accumulate", "equal parts; write 16, or"),
    "parts of nothing": ("keep: 0.9", "accumulate: 65", 4, "protocol.accumulate", "write 64, or change batch_size"),
    "decay of nothing": (
        "keep: 0.9", "weight_decay_of: matrices", 4, "protocol.weight_decay_of", "changes nothing; set weight_decay",
    ),
    "clip that stops": ("keep: 0.9", "clip: 0", 4, "protocol.clip", "0: should be greater than 0"),
    "labels smoothed away": ("keep: 0.9", "label_smoothing: 1.0", 4, "protocol.label_smoothing", "less than 1"),
    "GPU precision on cores": ("keep: 0.9", "precision: tf32", 4, "protocol.precision", "write fp32 or bf16, or set"),
    "cores for the threads": ("keep: 0.9", "threads: 2", 12, "resources.cpus", "raise it to 2 or lower"),
    "no core": ("cpus: 1", "cpus: 0", 12, "resources.cpus", "0: should be greater than 0"),
    "GPUs without parts": ("gpus: 0", "gpus: 2", 4, "protocol.accumulate", "1 parts of a batch do not go to 2 GPUs"),
    "resources left empty": ("{cpus: 1, gpus: 0}", "", 12, "resources", "nothing: expected a mapping; write"),
    # YAML's traps
    "1e-3": ("lr: 0.001", "lr: 1e-3", 4, "protocol.lr", "YAML reads it as text: write 0.001"),
    "1e3": ("steps: 600", "steps: 1e3", 4, "protocol.steps", "YAML reads it as text: write 1000"),
    "quoted number": ("[256]", "['256']", 6, "grid[0].models[0].widths[0]", "YAML reads it as text: write 256"),
    "dots that are no number": ("lr: 0.001", "lr: 0.0.1", 4, "protocol.lr", "valid number; write a number"),
    "name no": ("name: quick", "name: no", 1, "name", "YAML reads yes, no, on and off as true and false: quote it"),
    "solver no": ("[lars]", "[no]", 9, "grid[0].solvers[0]", "if false is meant as a name, quote it"),
    "protocol no": (STANDARD, "no", 4, "protocol", "if false is meant as a name, quote it"),
    "solver that is a number": ("[lars]", "[7]", 9, "grid[0].solvers[0]", "quote 7 if it is a name"),
    "quoted no": ("widths: [256]", "bias: 'no'", 6, "grid[0].models[0].bias", "valid boolean; write true or false"),
    "name that is a number": ("name: quick", "name: 12", 1, "name", "12: should be a valid string; quote it"),
    "10:30": ("10m", "10:30", 13, "timeout", "630 is not a time with a unit (YAML reads 10:30 as 630); write 90s"),
    # values
    "timeout without a unit": ("10m", "'600'", 13, "timeout", "'600' is not a time with a unit; write 90s, 10m or 2h"),
    "timeout in words": ("10m", "10 minutes", 13, "timeout", "'10 minutes' is not a time with a unit; write 90s"),
    "timeout of nothing": ("10m", "0s", 13, "timeout", "'0s': should be greater than 0"),
    "name with a space": ("name: quick", "name: My suite", 1, "name", "'My suite'; write small letters and digits"),
    "name that is a path": ("name: quick", "name: ../up", 1, "name", "'../up'; write small letters and digits"),
    "wrong word in an option": (
        "[dtc,", "[{name: dtc, drop: biggest},", 8, "grid[0].methods[0].drop", "should be 'smallest' or 'largest'",
    ),
    "exclusion without a reason": ("timeout: 10m", "exclude: [{method: dtc}]", 13, "exclude[0].reason", "missing; add"),
    "exclusion of everything": ("timeout: 10m", "exclude: [{reason: x}]", 13, "exclude[0]", "name what the cells"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "place", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_suite_is_told_line_place_value_and_remedy(old, new, line, place, message):
    found = mistakes(edited(DESIGN, (old, new)))
    assert len([p for p in found if p[:2] == (line, place) and message in p[2]]) == 1, found


def test_passes_are_compiled_for_one_board_alone():
    compiled = ("keep: 0.9", "keep: 0.9, accumulate: 2, compile: true")
    assert not mistakes(edited(DESIGN, compiled))
    [(line, place, message)] = mistakes(edited(DESIGN, compiled, ("gpus: 0", "gpus: 2")))
    assert (line, place) == (4, "protocol.compile")
    assert "remove it, or set resources.gpus: 1" in message


def test_a_value_that_fits_nowhere_is_one_mistake_only():
    alone = ("unknown solver", "1e-3", "seed twice", "no solver in the list", "name no", "10:30", "unknown protocol")
    for name in alone:
        assert len(mistakes(edited(DESIGN, WRONG[name][:2]))) == 1, name


def test_mistakes_all_over_the_file_are_reported_at_once_in_its_order():
    text = edited(
        DESIGN,
        ("name: quick", "name: no"),
        ("lr: 0.001", "lr: 1e-3"),
        ("[lars]", "[larss]"),
        ("0.95]", "1.5]"),
        ("seeds: 3", "seeds: [1, 1]"),
        ("cpus: 1", "cpus: zero"),
        ("timeout: 10m", "timeout: 10:30\ncost: again"),
    )
    assert [(line, place) for line, place, _ in mistakes(text)] == [
        (1, "name"),
        (4, "protocol.lr"),
        (9, "grid[0].solvers[0]"),
        (10, "grid[0].sparsities[3]"),
        (11, "grid[0].seeds"),
        (12, "resources.cpus"),
        (13, "timeout"),
        (14, "cost"),
    ]


def test_a_mistake_in_the_protocol_does_not_hide_that_the_grid_does_not_fit_it():
    text = edited(DESIGN, ("keep: 0.9", "keep: 1.9"), (SPARSITIES, ""), ("solvers: [lars]", "solvers: []"))
    assert {place for _, place, _ in mistakes(text)} == {"protocol.keep", "grid[0].sparsities", "grid[0].solvers"}


def test_an_unknown_method_does_not_hide_that_another_one_needs_a_solver():
    text = edited(DESIGN, ("magnitude", "magnitud"), ("solvers: [lars]", "solvers: []"))
    assert {place for _, place, _ in mistakes(text)} == {"grid[0].methods[2]", "grid[0].solvers"}


UNKNOWN_PROTOCOL = {
    "like one": ("standrad", {"protocol", "protocol.keep", "protocol.steps", "grid[0].sparsities"}),
    "like none": ("xyz", {"protocol", "protocol.keep"}),
}


@pytest.mark.parametrize(("name", "places"), UNKNOWN_PROTOCOL.values(), ids=UNKNOWN_PROTOCOL.keys())
def test_an_unknown_protocol_hides_no_mistake_in_its_options(name, places):
    text = edited(DESIGN, (STANDARD, f"{{name: {name}, steps: 0, keep: 1.9}}"), (SPARSITIES, ""))
    assert {place for _, place, _ in mistakes(text)} == places


def test_a_missing_protocol_hides_no_mistake_in_the_grid():
    text = edited(DESIGN, (f"protocol: {STANDARD}\n", ""), ("[lars]", "[larss]"), ("seeds: 3", "seeds: [1, 1]"))
    assert {place for _, place, _ in mistakes(text)} == {"protocol", "grid[0].solvers[0]", "grid[0].seeds"}


def test_an_unknown_name_hides_no_mistake_in_its_options():
    text = edited(DESIGN, ("name: mlp, widths: [256]", "name: mpl, widths: [0], bais: true"))
    assert [place for _, place, _ in mistakes(text)] == [
        "grid[0].models[0]",
        "grid[0].models[0].bais",
        "grid[0].models[0].widths[0]",
    ]


def test_a_misplaced_solver_hides_no_mistake_in_the_method_s_options():
    text = edited(DESIGN, ("[dtc,", "[{name: dtc, solver: lars, lam: -1},"))
    assert [place for _, place, _ in mistakes(text)] == ["grid[0].methods[0]", "grid[0].methods[0].lam"]


def test_a_wrong_value_does_not_hide_that_others_stand_twice():
    text = edited(DESIGN, ("seeds: 3", "seeds: [7, 7, -1]"), ("[digits]", "[digits, digits, mnits]"))
    assert [place for _, place, _ in mistakes(text)] == [
        "grid[0].datasets",
        "grid[0].datasets[2]",
        "grid[0].seeds",
        "grid[0].seeds[2]",
    ]


def test_a_block_that_is_no_mapping_hides_nothing_in_the_next():
    text = edited(DESIGN, ("grid:\n", "grid:\n  - mlp\n"), ("[lars]", "[larss]"))
    assert [place for _, place, _ in mistakes(text)] == ["grid[0]", "grid[1].solvers[0]"]


def test_a_mistake_elsewhere_does_not_hide_a_timeout_too_short_to_measure():
    text = edited(DESIGN, ("gpus: 0", "gpus: 1"), ("timeout: 10m", "timeout: 65s"), ("[lars]", "[larss]"))
    assert [place for _, place, _ in mistakes(text)] == ["grid[0].solvers[0]", "timeout"]


def test_an_exclusion_without_a_reason_is_told_that_it_excludes_nothing_too():
    text = edited(DESIGN, ("timeout: 10m", "exclude: [{}]"))
    assert [place for _, place, _ in mistakes(text)] == ["exclude[0]", "exclude[0].reason"]


def test_steps_too_few_for_the_default_cycle_are_refused():
    [(_, place, message)] = mistakes(edited(DESIGN, ("steps: 600", "steps: 60"), ("cycle_steps: 50, ", "")))
    assert place == "protocol"
    assert "raise steps to 100 or lower" in message


def test_options_of_the_recipe_that_fit_each_other_are_valid():
    options = "warmup: 599, accumulate: 16, clip: 1.0, weight_decay: 0.1, weight_decay_of: matrices, precision: tf32"
    assert mistakes(edited(DESIGN, ("keep: 0.9", f"keep: 0.9, {options}"), ("gpus: 0", "gpus: 1"))) == []


def test_every_block_that_does_not_fit_the_protocol_is_named():
    block = DESIGN[DESIGN.index("  - models") : DESIGN.index("resources")]
    text = edited(DESIGN, (STANDARD, "published"), (block, block + block), ("cpus: 1", "cpus: 2"))
    assert [p[:2] for p in mistakes(text)] == [(10, "grid[0].sparsities"), (16, "grid[1].sparsities")]


@pytest.mark.parametrize(
    "text",
    ["grid: 3", "grid: [3]", "grid: [[]]", "protocol: {name: [x]}", "resources: [1]", "grid: [{methods: 3}]"],
)
def test_values_of_a_wrong_shape_are_mistakes_and_no_crash(text):
    assert text.partition(":")[0] in {re.split(r"[.\[]", place)[0] for _, place, _ in mistakes(text)}


def test_a_solver_applies_only_to_the_methods_that_use_one():
    assert mistakes(DESIGN) == []  # dtc beside magnitude and random


def test_a_method_that_solves_has_our_own_solver_where_none_is_named():
    (solver,) = parse(edited(DESIGN, ("    solvers: [lars]\n", "")), "x").grid[0].solvers
    assert solver.name == DEFAULT_SOLVER
    assert solver.values == registry.solvers.options(DEFAULT_SOLVER)().model_dump(mode="json")


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("{name: random, when: rewind}", "'random' with when: rewind belongs to protocol standard"),
        ("{name: random, groups: coupled}", "'random' with groups: coupled belongs to protocol standard"),
        ("{name: dtc, widths: free}", "'dtc' with widths: free belongs to protocol standard"),
        ("{name: dense, stream: 1}", "protocol published draws no data order"),
    ],
)
def test_an_arm_that_protocol_published_does_not_have_is_refused(method, message):
    block = (SPARSITIES, "")
    text = edited(DESIGN, (STANDARD, "published"), block, ("random]", f"{method}]"), ("cpus: 1", "cpus: 2"))
    found = mistakes(text)
    assert [place for _, place, said in found if message in said] == ["grid[0].methods"], found


def test_a_baseline_of_protocol_standard_is_refused_under_published():
    text = edited(DESIGN, (STANDARD, "published"), (SPARSITIES, ""), ("random", "scratch"), ("cpus: 1", "cpus: 2"))
    assert [(place, message) for _, place, message in mistakes(text)] == [
        ("grid[0].methods", "'scratch' belongs to protocol standard; remove it")
    ]


def test_a_date_is_text():
    assert parse(edited(TINY, ("Does it run?", "2024-12-05")), "x").question == "2024-12-05"


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("2h", 7200), ("1.5 h", 5400)])
def test_a_timeout_is_a_number_with_its_unit(text, seconds):
    assert parse(edited(DESIGN, ("10m", text)), "x").timeout == seconds


def test_no_timeout_means_none():
    assert parse(TINY, "x").timeout is None


NOT_A_SUITE = {
    "empty": ("", 1, "this is empty; `dtcbench suites quick` writes one out"),
    "comment only": ("# later\n", 1, "this is empty; `dtcbench suites quick` writes one out"),
    "text": ("hello", 1, "a suite is a mapping (`name: …` and so on), and this is 'hello'"),
    "list": ("- a\n- b\n", 1, "this is ['a', 'b']"),
    "colon inside a value": ("name: x\nquestion: Does: it\n", 2, "mapping values are not allowed here; check"),
    "bracket left open": ("a: [1\nb: 2\n", 2, "while parsing a flow sequence, expected ',' or ']'"),
    "tab": ("a:\n\tb: 1\n", 2, "found character '\\t' that cannot start any token"),
    "two documents": ("a: 1\n---\nb: 2\n", 2, "found another document"),
    "alias to nothing": ("a: 1\nb: *nope\n", 2, "undefined alias 'nope'"),
    "list as a key": ("? [a]\n: 1\n", 1, "unhashable key"),
    "control character": ("a: 1\nb: '\x00'\n", 2, "not text: special characters are not allowed (#x0000); remove"),
    "misused tag": ("a: 1\nb: !!int many\n", 2, "'many' cannot be read as int; write plain values"),
    "date by tag": ("a: !!timestamp soon\n", 1, "'soon' cannot be read as timestamp"),
    "number of 5000 digits": ("a: 1\nb: " + "9" * 5000, 2, "cannot be read as int"),
    "within itself": ("a: &a [*a]\n", 1, "nested deeper than 20 levels, or within itself"),
    "brackets without end": ("{" * 3000, 0, "nested far too deeply"),
}


@pytest.mark.parametrize(("text", "line", "message"), NOT_A_SUITE.values(), ids=NOT_A_SUITE.keys())
def test_text_that_is_no_suite_is_one_mistake_with_its_line(text, line, message):
    [(found_line, place, found)] = mistakes(text)
    assert (found_line, place) == (line, "")
    assert message in found
    assert len(found) < 300


def test_aliases_of_aliases_are_refused_before_they_are_expanded():
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 12)]
    [(_, _, message)] = mistakes("\n".join(["l0: &l0 [lol]", *levels]))
    assert "aliases expand to more than 100000 values" in message


def test_merged_mappings_of_merged_mappings_are_refused_before_they_are_expanded():
    levels = [f"l{n}: &l{n} {{<<: [{', '.join([f'*l{n - 1}'] * 9)}]}}" for n in range(1, 9)]
    [(_, _, message)] = mistakes("\n".join(["l0: &l0 {a: 1}", *levels]))
    assert "aliases expand to more than 100000 values" in message


def test_an_anchor_may_be_shared_between_blocks():
    block = DESIGN[DESIGN.index("  - models") : DESIGN.index("resources")]
    shared = edited(block, ("methods: [dtc", "methods: &all [dtc"))
    again = edited(block, (METHODS, "*all"), ("seeds: 3", "seeds: [9]"))
    suite = parse(edited(DESIGN, (block, shared + again)), "x")
    assert suite.grid[0].methods == suite.grid[1].methods


@pytest.mark.parametrize("tag", ["object/apply:os.mkdir", "object/new:os.mkdir", "name:os.mkdir", "module:os"])
def test_python_tags_are_refused_and_do_nothing(tag, tmp_path):
    [(line, _, message)] = mistakes(f"a: !!python/{tag} [{tmp_path / 'made'}]\n")
    assert line == 1
    assert "could not determine a constructor for the tag" in message
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "No such file or directory"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.write_bytes(b"name: \xff\xfe"), "is not UTF-8 text"),
    ],
    ids=["missing", "folder", "not UTF-8"],
)
def test_a_path_that_holds_no_text_is_named_with_the_remedy(tmp_path, make, reason):
    path = tmp_path / "s.yaml"
    make(path)
    with pytest.raises(SuiteError) as caught:
        load(path)
    [message] = str(caught.value).splitlines()
    assert message.startswith(f"{path}: {reason}; give the path of a suite's YAML file, or the name of a shipped one (")


def test_the_message_gives_one_line_per_mistake_with_file_and_line(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(edited(DESIGN, ("[lars]", "[fitsa]"), ("10m", "10")))
    with pytest.raises(SuiteError) as caught:
        load(path)
    first, second = str(caught.value).split("\n")
    assert first.startswith(f"{path}:9: grid[0].solvers[0]: unknown solver 'fitsa'; ")
    assert second.startswith(f"{path}:13: timeout: 10 is not a time with a unit")


def test_the_blocks_of_a_suite_grow_by_the_same_seeds_or_not_at_all():
    block = DESIGN[DESIGN.index("  - models") : DESIGN.index("resources")]
    growing, fixed = "seeds: {first: 5, step: 5, most: 40}", "seeds: 3"
    alike = edited(
        DESIGN, (fixed, growing), ("resources", edited(block, ("[digits]", "[mnist]"), (fixed, growing)) + "resources")
    )
    assert mistakes(alike) == []
    assert parse(alike, "suite.yaml").growing.most == 40

    [(_, place, message)] = mistakes(edited(alike, (f"{growing}\n  -", f"{fixed}\n  -")))
    assert (place, message.partition(";")[0]) == (
        "grid[0].seeds",
        "differ from those of grid[1], which grow until decided",
    )
