"""Up by one version and back again, one process after another, with traffic: nothing is lost.

And what makes that possible: the version before can go on with what this one writes.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inner_agent.delivery_store import DeliveryStore
from inner_agent.journal_schema import connect_writer
from outer_agent.spool import Spool
from tests.integration.test_pair import Pair
from tests.simulator.steady_traffic import SteadyTraffic, until
from tests.upgrade import version_before
from tests.upgrade.version_before import HERE, PACKAGES, VERSION, VersionBefore

pytestmark = pytest.mark.timeout(300)

MAKERS: dict[str, Callable[[Path], object]] = {
    "outer/spool.db": lambda path: Spool(path, 0),
    "inner/journal.db": connect_writer,
    "inner/delivery.db": DeliveryStore,
}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> VersionBefore:
    commit = version_before.commit()
    if commit is None:
        pytest.skip(f"the history does not reach back to version {VERSION}")
    return version_before.install(commit, tmp_path_factory.mktemp("version-before"))


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path, starts=False)
    yield pair
    for name in list(pair.agents.processes):
        pair.agents.kill(name)


def schema(path: Path) -> tuple[int, dict[str, list[tuple[object, ...]]]]:
    """The version number, and each table's columns: name, type, NOT NULL, default, primary key."""
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)
    [version] = connection.execute("PRAGMA user_version").fetchone()
    names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    columns = {
        name: connection.execute("SELECT * FROM pragma_table_info(?)", (name,)).fetchall()
        for (name,) in names
    }
    connection.close()
    return version, columns


@pytest.mark.parametrize("database", MAKERS)
def test_the_version_before_can_use_a_database_of_this_one(database: str, tmp_path: Path) -> None:
    made = tmp_path / Path(database).name
    MAKERS[database](made).close()  # type: ignore[attr-defined]
    version, columns = schema(made)
    version_then, columns_then = schema(HERE / VERSION / database)
    assert version == version_then
    assert {name: columns.get(name) for name in columns_then} == columns_then


def test_the_version_before_runs_its_own_code(before: VersionBefore) -> None:
    asked = f"import {', '.join(PACKAGES)}; print(*(m.__file__ for m in ({', '.join(PACKAGES)})))"
    told = subprocess.run(
        [before.interpreter, "-I", "-c", asked], capture_output=True, text=True, check=True
    )
    assert [Path(file).parent.parent for file in told.stdout.split()] == [before.tree] * 5


@pytest.mark.skipif(
    "FERRY_VERSIONS" not in os.environ, reason="long: make test-versions, before each release"
)
def test_each_process_goes_up_and_back_under_traffic(pair: Pair, before: VersionBefore) -> None:
    agents = pair.agents

    def swap(processes: tuple[str, ...], command: list[str]) -> None:
        for name in processes:
            agents.stop(name)
            agents.before_command[name] = command
            if name == "outer":
                agents.start_outer()
            else:
                agents.start_inner([name])
        traffic.goes_on(15)

    inner = ("verifier", "replayer")
    agents.before_command = dict.fromkeys((*inner, "outer"), before.before_command)
    agents.start()
    with SteadyTraffic(pair) as traffic:
        traffic.goes_on(15)
        swap(inner, [])  # up: the inner first
        swap(("outer",), [])
        swap(inner, before.before_command)  # back, in the order that is not advised
        swap(("outer",), before.before_command)
    until(agents, traffic.all_arrived)
    assert traffic.collected == traffic.acknowledged
    agents.check_alive()
