"""The packages are what they say: each half alone, no question left open, nothing unlicensed.

Quick looks at the definitions; `make test-packages` builds the packages and installs them.
"""

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from deploy.debian import base, sbom, tree, wheels
from deploy.debian.environment import installed, lay_out, unpack
from deploy.debian.licences import copyright_text, licence, table
from deploy.debian.package import DISTRIBUTION, PACKAGES, RELEASES, ROOT

ENVIRONMENT = Path(sys.prefix)
EACH = pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
MOMENT_S = 1_790_000_000


@pytest.fixture
def filled(package, tmp_path):
    """A package's tree, with an environment that holds our own code alone."""
    source = tmp_path / "source"
    wheels.copy_source(package, source, "1.2.3")
    root = tmp_path / "root"
    wheel = _wheel(
        tmp_path,
        f"[console_scripts]\n{package.name} = {package.agent}.__main__:main\n"
        "ferry-keys = ferry_runtime.commands.keys:main\nferry-audit = ferry_runtime.audit:main\n",
    )
    home = f"/opt/{package.name}"
    lay_out(root, home, {release.python: [wheel] for release in RELEASES})
    tree.fill(root, package, MOMENT_S, "1.2.3")
    tree.control(root, package, "1.2.3", "amd64")
    return root


def _wheel(folder, entry_points="", extra=()):
    path = folder / "message_ferry-1.2.3-py3-none-any.whl"
    info = "message_ferry-1.2.3.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            f"{info}/METADATA",
            f"Metadata-Version: 2.4\nName: {DISTRIBUTION}\nVersion: 1.2.3\nLicense: MIT\n",
        )
        archive.writestr(f"{info}/entry_points.txt", entry_points)
        for name in extra:
            archive.writestr(name, "")
    return path


def _field(root, name):
    text = (root / "DEBIAN" / "control").read_text()
    return re.search(rf"(?m)^{name}: (.*)$", text)[1]


@EACH
def test_a_package_holds_nothing_of_the_other_half(package, tmp_path):
    wheels.copy_source(package, tmp_path, "1.2.3")
    assert (tmp_path / package.agent).is_dir()
    assert not (tmp_path / package.other).exists()
    scripts = (tmp_path / "pyproject.toml").read_text().partition("[project.scripts]")[2]
    commands = re.findall(r"(?m)^(ferry-\w+) = ", scripts)
    assert package.name in commands
    assert package.other_command not in commands
    assert "ferry-keys" in commands


def test_our_own_code_has_the_version_that_the_package_is_given(tmp_path):
    wheels.copy_source(PACKAGES[0], tmp_path, "1.2.3")
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]
    assert project["version"] == "1.2.3"


@EACH
def test_maintainer_scripts_are_whole_and_a_shell_reads_them(package, filled):
    scripts = [*(filled / "DEBIAN").glob("p*"), filled / "usr" / "sbin" / package.name]
    assert len(scripts) == 4
    for script in scripts:
        assert not re.search(r"@[A-Z_]+@", script.read_text()), script.name
        assert script.stat().st_mode & 0o111
        assert subprocess.run(["sh", "-n", script], check=False).returncode == 0


@EACH
def test_commands_that_both_packages_bring_are_found_without_the_other(package, filled):
    said = (filled / "DEBIAN" / "postinst").read_text()
    [alternatives] = re.findall(r"(?m)^update-alternatives(?:.*\\\n)*.*$", said)
    for name in ("ferry-keys", "ferry-audit"):
        assert f"/usr/bin/{name} {name} /opt/{package.name}/bin/{name}" in alternatives
    assert f"/usr/bin/{package.name}" not in alternatives


@EACH
def test_units_of_a_package_start_what_the_package_brings(package, filled):
    units = filled / "usr" / "lib" / "systemd" / "system"
    assert {path.name for path in units.iterdir()} == set(package.units)
    for unit in units.glob("*.service"):
        program = re.search(r"(?m)^ExecStart=(\S+)", unit.read_text())[1]
        assert (filled / program.removeprefix("/")).stat().st_mode & 0o111
        assert f"-/opt/{package.name}\n" in unit.read_text()
    assert package.started in package.units


@EACH
def test_both_halves_give_the_mediums_group_the_same_number(package, filled):
    users = (filled / "usr" / "lib" / "sysusers.d" / f"{package.name}.conf").read_text()
    assert re.search(r"(?m)^g ferry-medium 960$", users)


@EACH
def test_only_the_pythons_that_a_tree_lies_there_for_satisfy_the_package(package, filled):
    trees = {path.name for path in (filled / "opt" / package.name / "lib").iterdir()}
    assert trees == {f"python{release.python}" for release in RELEASES}
    allowed = [word.strip() for word in _field(filled, "Depends").split(",")]
    minors = [
        minor
        for minor in range(9, 16)
        if all(_satisfied(word, minor) for word in allowed if word.startswith("python3"))
    ]
    assert [f"3.{minor}" for minor in minors] == [release.python for release in RELEASES]


def _satisfied(dependency, minor):
    compare = {">=": lambda a, b: a >= b, "<<": lambda a, b: a < b}
    ways = re.findall(r"python3 \((>=|<<) 3\.(\d+)\)", dependency)
    assert ways
    return any(compare[relation](minor, int(bound)) for relation, bound in ways)


@EACH
def test_every_file_is_summed_for_dpkg(package, filled):
    summed = {line[34:] for line in (filled / "DEBIAN" / "md5sums").read_text().splitlines()}
    there = {
        str(path.relative_to(filled))
        for path in filled.rglob("*")
        if path.is_file() and not path.is_symlink() and "DEBIAN" not in path.parts
    }
    assert summed == there


@EACH
def test_every_file_of_data_that_the_code_reads_is_declared_to_be_packaged(package, tmp_path):
    wheels.copy_source(package, tmp_path, "1.2.3")
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text())
    declared = {
        path
        for name, patterns in project["tool"]["setuptools"]["package-data"].items()
        for pattern in patterns
        for path in (tmp_path / name.replace(".", "/")).glob(pattern)
    }
    there = {path for path in tmp_path.glob("*/**/*") if path.is_file()}
    left_out = {path for path in there - declared if path.suffix != ".py"}
    assert {path.name for path in left_out} <= {"README.md"}


def test_a_wheel_that_writes_elsewhere_is_refused(tmp_path):
    wheel = _wheel(tmp_path, extra=["message_ferry-1.2.3.data/scripts/odd"])
    with pytest.raises(ValueError, match="does not belong"):
        unpack(wheel, tmp_path / "site")


def test_each_part_names_a_licence():
    for_people, for_debian = table(ENVIRONMENT), copyright_text(ENVIRONMENT)
    listed = 0
    for part in installed(ENVIRONMENT):
        if part.name.lower().replace("_", "-") in _locked():
            assert f"| {part.name} | {part.version} | {licence(part)} |" in for_people
            assert f"{part.name} {part.version}: {licence(part)}" in for_debian
            listed += 1
    assert listed == len(_locked())


@EACH
def test_the_bill_of_materials_names_every_locked_part_and_is_always_the_same(package):
    first, second = (sbom.bill(package, "1.2.3", ENVIRONMENT, [], MOMENT_S) for _ in range(2))
    assert first == second
    told = json.loads(first)
    assert told["bomFormat"] == "CycloneDX"
    parts = {
        part["purl"].removeprefix("pkg:pypi/").partition("@")[0]: part
        for part in told["components"]
    }
    assert _locked() <= set(parts)
    assert all(part["licenses"] for part in parts.values())


def _locked():
    lock = (ROOT / "requirements" / "runtime.txt").read_text()
    return {name.lower().replace("_", "-") for name in re.findall(r"(?m)^([\w.-]+)==", lock)}


def test_the_bundles_folder_of_debian_packages_is_indexed_for_apt(tmp_path):
    (tmp_path / "tree" / "DEBIAN").mkdir(parents=True)
    (tmp_path / "tree" / "DEBIAN" / "control").write_text(
        "Package: small\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: small\n"
    )
    repository = tmp_path / "repository"
    repository.mkdir()
    deb = repository / "small_1_all.deb"
    try:
        subprocess.run(["dpkg-deb", "--build", tmp_path / "tree", deb], check=True, stdout=-3)
    except FileNotFoundError:
        pytest.skip("dpkg-deb is not installed")
    base.write_index(repository)
    text = (repository / "Packages").read_text()
    assert "Package: small" in text
    assert f"Filename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: " in text
