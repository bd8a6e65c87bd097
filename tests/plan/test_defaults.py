"""A default that changes raises the version of its value: options at their defaults are not part of a cell's key."""

import json
from pathlib import Path

from dtcbench import registry
from dtcbench.plan.names import REGISTERED
from dtcbench.plan.protocol import PROTOCOLS, defaults

PINNED = Path(__file__).with_name("defaults.json")
"""By axis, name and version, every option with the default it had when it came in. New ones are added by hand."""


def present():
    """The package's own values as they are."""
    found = {
        axis.noun: {
            name: {str(meaning.version): meaning.defaults}
            for name in axis.names()
            if (meaning := REGISTERED.meaning(axis.noun, name)).plugin is None
        }
        for axis in registry.AXES
    }
    found["protocol"] = {name: {str(kind.version): defaults(kind)} for name, kind in PROTOCOLS.items()}
    return json.loads(json.dumps(found))


def test_every_option_has_the_default_that_it_came_in_with():
    pinned = json.loads(PINNED.read_text())
    for noun, values in present().items():
        for name, of_version in values.items():
            ((version, now),) = of_version.items()
            then = pinned[noun][name].get(version)
            assert then is not None, f"{noun} {name}: version {version} is not in {PINNED.name}; add its defaults"
            assert now == then, f"{noun} {name}: options were added, or defaults changed without a new version"
