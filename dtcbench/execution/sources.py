"""Before a run goes on: are the data and the plug-ins still those that its cells were made with?"""

from __future__ import annotations

from collections.abc import Sequence

from dtcbench import registry
from dtcbench.plan.grid import Plan
from dtcbench.plan.names import choices_of
from dtcbench.record import Outline
from dtcbench.records.location import REMEDY, StoreError
from dtcbench.records.mixing import changed
from dtcbench.records.store import Contents, Store
from dtcbench.registry import Plugin


def refuse_to_mix(plan: Plan, store: Store, contents: Contents[Outline], plugins: Sequence[Plugin]) -> None:
    """StoreError where an ok cell of the run was made from other data or another plug-in source than are here now.

    The package's own data sets pin their content, so only those of plug-ins are loaded and compared.
    """
    if not contents.attempts:
        return
    if found := changed(plan, contents, digests(plan, plugins), _data(plan)):
        raise StoreError(f"{store.root}: {'; '.join(found)}; {REMEDY}, or bring back what they were made with")


def digests(plan: Plan, plugins: Sequence[Plugin]) -> dict[str, str]:
    """SHA-256 of the source of each plug-in whose values the suite names, by its file's or its module's name."""
    named = {(noun, choice.name) for noun, choices in choices_of(plan.suite).items() for choice in choices}
    return registry.plugins_of(named, plugins)


def _data(plan: Plan) -> dict[str, str]:
    """SHA-256 of the content of every data set of a plug-in that the plan uses, by `Choice.label`."""
    found: dict[str, str] = {}
    for block in plan.suite.grid:
        for choice in block.datasets:
            if plan.names.meaning("dataset", choice.name).plugin is None or choice.label in found:
                continue
            try:
                found[choice.label] = registry.datasets.bind(choice.name, choice.values)().sha256
            except Exception:  # noqa: S112 - on a cluster the data may lie on the nodes only; their cells say what fails
                continue
    return found
