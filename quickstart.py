"""Make a virtual environment from the locked requirements and run the gateway, or its tests, in it.

Needs Python 3.11 to 3.13 and nothing else. Usage:

    python3 quickstart.py [run] [--port N]   the gateway with its embedded sandbox
    python3 quickstart.py test [PYTEST ARGS] every test
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
WORKERS = 2 * (os.cpu_count() or 1)
"""Of the tests: most of them wait for a deadline, or for a server to start."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def main(arguments: list[str]) -> int:
    """Do what the first argument says."""
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        print(f"Python 3.11, 3.12 or 3.13 is needed; this is {sys.version.split()[0]}.", file=sys.stderr)
        return 2
    command, rest = (
        (arguments[0], arguments[1:]) if arguments[:1] in (["run"], ["test"]) else ("run", arguments)
    )
    if command == "run":
        install("run")
        return call(["-m", "gateway", "dev", *rest])
    install("dev")
    install_browser()
    return call(["-m", "pytest", *(rest or ["-n", str(WORKERS), "--dist", "worksteal"])])


def install(name: str) -> None:
    """Install a lock file into the environment, unless that very one is there already."""
    lock = ROOT / "requirements" / f"{name}.lock"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    stamp = VENV / f"{name}.sha256"
    if PYTHON.exists() and stamp.exists() and stamp.read_text() == digest:
        return
    print(f"Installing {lock.relative_to(ROOT)} into .venv …", flush=True)
    pip = [str(PYTHON), "-m", "pip"]
    if (
        not PYTHON.exists()
        or subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode
    ):
        make_environment()
    pip += ["install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "--requirement", str(lock)], check=True)
    stamp.write_text(digest)


def make_environment() -> None:
    """Make the environment, or say what is missing."""
    try:
        venv.create(VENV, with_pip=True, clear=True)
    except subprocess.CalledProcessError:
        print(
            "Python cannot make a virtual environment: on Debian, apt-get install python3-venv.",
            file=sys.stderr,
        )
        sys.exit(2)


def install_browser() -> None:
    """Get Chromium for the tests of the GraphiQL page, if the machine has none."""
    if any(map(shutil.which, BROWSERS)):
        return
    print("Installing Chromium for the tests of the GraphiQL page …", flush=True)
    if shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-qq"], stdout=subprocess.DEVNULL, check=True)
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"]
        subprocess.run(install, stdout=subprocess.DEVNULL, check=True)
    else:
        subprocess.run([str(PYTHON), "-m", "playwright", "install", "chromium"], check=True)


def call(arguments: list[str]) -> int:
    """Run Python in the environment, from the root of the checkout, in place of this process if it goes."""
    os.chdir(ROOT)
    if os.name == "posix":
        os.execv(PYTHON, [str(PYTHON), *arguments])  # signals reach it as they are
    return subprocess.run([str(PYTHON), *arguments], check=False).returncode


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except subprocess.CalledProcessError as error:
        print(f"Failed: {' '.join(map(str, error.cmd))}", file=sys.stderr)
        sys.exit(1)
