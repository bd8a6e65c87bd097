"""The findings: sentences by hand, numbers from the records, and no number that nothing computes."""

import math
from statistics import mean

import pytest
from tampering import content, records

from dtcbench.analysis.verdicts import Comparison, Conclusion, Level, Verdict
from dtcbench.errors import UserError
from dtcbench.publish.opening import Answers, rendered
from dtcbench.publish.results import on_site
from dtcbench.records.run import Run
from dtcbench.report.site.claims_page import ClaimsOnHardware
from dtcbench.report.site.pages import judge


def runs_of(folder):
    return list(on_site([Run(folder)]))


@pytest.fixture(scope="module")
def evidence(finished):
    runs = runs_of(finished)
    return Answers(runs, judge(runs, None), finished)


@pytest.fixture
def read(evidence):
    """`read("… {{ … }}")`: what a template gives."""
    return lambda text: rendered(text, "FINDINGS.md.jinja", evidence)


@pytest.fixture(scope="module")
def accuracies(finished):
    """Per method, the accuracies in the records, by seed."""
    found = {}
    for path in records(finished):
        record = content(path)
        name, seed = record["cell"]["method"]["name"], record["cell"]["seed"]
        found.setdefault(name, {})[seed] = record["result"]["accuracy"]
    return found


def t_interval(values):
    """Student's, of three values."""
    centre = mean(values)
    half = 4.302652729911275 * math.sqrt(sum((v - centre) ** 2 for v in values) / 2 / 3)
    return centre - half, centre + half


def test_an_accuracy_is_the_mean_of_the_records(read, accuracies):
    values = list(accuracies["dtc"].values())
    low, high = t_interval(values)
    assert read("{{ accuracy('tiny', 'dtc', 0.5) | percent }}") == f"{100 * mean(values):.1f} %"
    text = read("{{ accuracy('tiny', 'dtc', 0.5, model='mlp') | percent(2, interval=True) }}")
    assert text == f"{100 * mean(values):.2f} [{100 * low:.2f}, {100 * high:.2f}] %"


@pytest.mark.parametrize("other", ["dense", "magnitude"])
def test_a_difference_is_paired_by_seed(read, accuracies, other):
    d = mean(accuracies["dtc"][seed] - accuracies[other][seed] for seed in accuracies["dtc"])
    call = f"difference('tiny', 'dtc', '{other}', 0.5)"
    assert read(f"{{{{ {call} | points(2) }}}}") == f"{100 * d:+.2f}".replace("-", "−")
    assert read(f"{{{{ {call} | points(1, sign=False) }}}}") == f"{abs(100 * d):.1f}"
    assert read(f"{{{{ {call}.seeds | words }}}} seeds") == "three seeds"


def test_a_difference_to_dense_has_the_interval_and_the_p_of_the_leaderboard(evidence):
    row, found = evidence.row("tiny", "dtc", 0.5), evidence.difference("tiny", "dtc", "dense", 0.5)
    assert (found.low, found.high) == (row["difference_low"], row["difference_high"])
    assert found.p == found.p_adjusted == pytest.approx(row["difference_p"])


def test_a_count_a_verdict_and_a_cost_come_from_the_records(read, evidence):
    assert read("{{ trainings() }} trainings, {{ trainings() | words }}") == "9 trainings, nine"
    assert read("{{ claim('2a-energy-of-training').verdict }}") == "not measured"
    assert read("{{ comparisons('4-random-as-good', verdict='supported') | length | words }}") == "no"
    ratio = evidence.row("tiny", "magnitude", 0.5)["parameters_ratio"]
    assert read("{{ row('tiny', 'magnitude', 0.5).parameters_ratio | percent }}") == f"{100 * ratio:.1f} %"


def test_a_published_table_comes_with_its_sources_and_ours_under_it(finished, tmp_path, accuracies):
    (tmp_path / "table.csv").write_text(
        "source,network,dataset,method,baseline_accuracy_pct,accuracy_pct,sparsity\n"
        "a paper,mlp,digits,theirs,98.1,97.4,0.6\n"
    )
    call = "{{ published('table.csv', 'tiny', ['magnitude']) }}"
    titles, _, theirs, ours = rendered(call, "x", Answers(runs_of(finished), (), tmp_path)).splitlines()
    assert titles == "| method | removed | accuracy, % | points to baseline | speed-up | source |"
    assert theirs == "| theirs | 60.0 %\\* | 97.4 | −0.7 | – | a paper |"
    assert ours.startswith("| ours: magnitude | 50.0 % | ")
    assert f"| {100 * mean(accuracies['magnitude'].values()):.2f} " in ours


@pytest.mark.parametrize("text", ["In 11 of the comparisons", "by −2.6 points", "of five\nseeds", "on 98 %", "(58.7)"])
def test_a_number_that_nothing_computes_is_refused_with_its_line(read, text):
    with pytest.raises(UserError, match=r"FINDINGS.md.jinja, line [34]: "):
        read(f"# What was found\n\n{text}\n")


@pytest.mark.parametrize(
    "text",
    [
        "LeNet-300-100 and LeNet-5",
        "log2 n",
        "`dtcbench run 3`",
        "[paper](https://a.org/2505.23869)",
        "{{ given('34 of 34') }}",
    ],
)
def test_the_digits_of_names_links_and_code_are_no_numbers(read, text):
    assert read(f"{text}\n") == text.replace("{{ given('", "").replace("') }}", "") + "\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "a\nb {{ accuracy('huge', 'dtc', 0.5) }}",
            "FINDINGS.md.jinja, line 2: the findings ask for suite 'huge'; there is tiny",
        ),
        ("{{ accuracy('tiny', 'dtc', 0.7) }}", "the findings ask for tiny: dtc at 0.7"),
        ("{{ claim('wealth').verdict }}", "the findings ask for claim 'wealth'"),
        (
            "{{ comparison('4-random-as-good', 'vgg') }}",
            "the findings ask for 4-random-as-good: vgg, of which there are 0",
        ),
        ("\n{{ nothing }}", "FINDINGS.md.jinja, line 2: 'nothing' is undefined"),
        ("{{ claim('2a-energy-of-training') | percent }}", "line 1: "),
        ("\n{% if %}", "line 2: "),
    ],
)
def test_what_is_not_there_is_named(read, text, why):
    with pytest.raises(UserError) as caught:
        read(text)
    assert why in str(caught.value)


def test_publishing_writes_the_findings_and_opens_the_results_with_them(finished, tmp_path, dtcbench):
    results = tmp_path / "results"
    results.mkdir()
    (results / "FINDINGS.md.jinja").write_text("# Found\n\n{{ trainings() | words }} trainings.\n")
    assert dtcbench("publish", finished, "--results", results).code == 0
    assert (results / "FINDINGS.md").read_text() == "# Found\n\nnine trainings.\n"
    assert (results / "README.md").read_text().startswith("# Found\n\nnine trainings.\n\n")
    (results / "FINDINGS.md").write_text("# Found\n\nten trainings.\n")
    assert dtcbench("publish", "--results", results).code == 0
    assert (results / "FINDINGS.md").read_text() == "# Found\n\nnine trainings.\n"


def test_findings_with_a_number_by_hand_are_refused_and_nothing_is_written(finished, tmp_path, dtcbench):
    results = tmp_path / "results"
    assert dtcbench("publish", finished, "--results", results).code == 0
    before = (results / "README.md").read_bytes()
    (results / "FINDINGS.md.jinja").write_text("# Found\n\n17 points.\n")
    ended = dtcbench("publish", "--results", results)
    assert ended.code == 2
    assert "FINDINGS.md.jinja, line 3: 17" in ended.err
    assert (results / "README.md").read_bytes() == before
    assert not (results / "FINDINGS.md").exists()


CURVE = Comparison("x", Verdict.UNDECIDED, "", levels=(Level(460, 0.95, 0.96, 0.005), Level(9, 0.6, 0.8, 0.15)))
REPRODUCED = Conclusion("1-reproduction", "Reproduction", "It comes out again.", Verdict.UNDECIDED, "", "", (CURVE,))


def test_a_figure_is_asked_for_by_its_claim(tmp_path):
    evidence = Answers((), [ClaimsOnHardware("CPU", (), (REPRODUCED,), (), ())], tmp_path)
    assert rendered("{{ figure('1-reproduction') }}", "x", evidence) == ("![Reproduction](claim-1-reproduction.svg)")
    assert list(evidence.figures) == ["claim-1-reproduction.svg"]
    with pytest.raises(UserError, match="a figure 'law' of claim '1-reproduction', of which there are 0"):
        rendered("{{ figure('1-reproduction', 'law') }}", "x", evidence)
