"""The peers' own environments: made once, never a dependency of the project.

They lie under `.parity/` of the checkout, or in the folder that `ML4T_PEER_ENVIRONMENTS` names, which several checkouts
can share.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from parity.tape import Outcome, Tape

HERE = Path(__file__).parent
ENVIRONMENTS = Path(os.environ.get("ML4T_PEER_ENVIRONMENTS", HERE.parents[1] / ".parity"))


@dataclass(frozen=True)
class Peer:
    """A peer engine.

    Attributes:
        name: Of its environment, its requirements file and its runner.
        package: Distribution name and version it is pinned to.
        profile: The profile that reproduces it.
        python: Interpreters it works with, the best first.
        merges: Whether it tells trades instead of fills, so that fills are added up before they are compared.
    """

    name: str
    package: tuple[str, str]
    profile: str
    python: tuple[str, ...] = ("python3.12", "python3.13")
    merges: bool = False

    @property
    def folder(self) -> Path:
        """Where its environment is."""
        return ENVIRONMENTS / self.name

    @property
    def requirements(self) -> Path:
        """What is installed there."""
        return HERE / "requirements" / f"{self.name}.txt"

    def make(self) -> None:
        """Make the environment unless it is there and its requirements are the ones it was made from."""
        make_environment(self.folder, self.python, self.requirements.read_text())

    def replay(self, tapes: Sequence[Tape], **options: str) -> dict[str, Outcome]:
        """Return what the peer makes of tapes, by name; `options` are written into every tape for its runner."""
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "tapes.json", Path(folder) / "outcomes.json"
            source.write_text(json.dumps([{**tape.as_json(), **options} for tape in tapes]))
            runner = HERE / "peers" / f"run_{self.name}.py"
            python = str(self.folder / "bin" / "python")
            subprocess.run([python, "-W", "ignore", str(runner), str(source), str(target)], check=True)
            answer = json.loads(target.read_text())
        if answer["version"] != self.package[1]:
            raise RuntimeError(f"{self.name} is {answer['version']}, wanted {self.package[1]}")
        return {name: Outcome.of_json(outcome) for name, outcome in answer["outcomes"].items()}


PEERS = {
    peer.name: peer
    for peer in (
        Peer("backtrader", ("backtrader", "1.9.78.123"), "backtrader@1.9"),
        Peer("backtesting", ("backtesting", "0.6.6"), "backtesting.py@0.6", merges=True),
        Peer("vectorbt", ("vectorbt", "1.2.0"), "vectorbt@1.2"),
        Peer("zipline", ("zipline-reloaded", "3.2.1"), "zipline@3"),
    )
}


def make_environment(folder: Path, pythons: Sequence[str], requirements: str) -> Path:
    """Return the interpreter of an environment, made unless it is there with these requirements.

    Args:
        folder: Where it is.
        pythons: Interpreters it may be made with, the best first.
        requirements: Text of a requirements file.

    Raises:
        RuntimeError: None of the interpreters runs here.
    """
    done, wanted = folder / "requirements.txt", folder / "wanted.txt"
    own = folder / "bin" / "python"
    if done.exists() and done.read_text() == requirements:
        return own
    shutil.rmtree(folder, ignore_errors=True)
    python = next((each for each in pythons if works(each)), None)
    if python is None:
        raise RuntimeError(f"{folder.name} needs one of {', '.join(pythons)}")
    print(f"making the environment of {folder.name} with {python}", flush=True)
    subprocess.run([python, "-m", "venv", str(folder)], check=True, env=_environment(python))
    wanted.write_text(requirements)
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(wanted)]
    subprocess.run([str(own), *install], check=True)
    wanted.rename(done)
    return own


def _environment(python: str) -> dict[str, str]:
    """Return the present environment, in which pyenv, where there is one, finds this interpreter."""
    return {**os.environ, "PYENV_VERSION": python.removeprefix("python")}


def works(python: str) -> bool:
    """Return whether an interpreter of this name runs here."""
    try:
        found = subprocess.run([python, "-c", "import venv"], capture_output=True, env=_environment(python))
        return found.returncode == 0
    except FileNotFoundError:
        return False
