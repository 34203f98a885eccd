"""The browser client's decisions, in Node, on a scripted server and a moved clock; the real one is in tests/flows."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

NODE = shutil.which("node")
SCRIPT = Path(__file__).with_name("browser_client.mjs")


def version() -> int:
    """Return Node's major version, 0 where there is none; the clock that can be moved came with 20."""
    text = subprocess.run([NODE, "--version"], capture_output=True, text=True).stdout if NODE else ""
    found = re.match(r"v(\d+)", text)
    return int(found[1]) if found else 0


@pytest.mark.skipif(version() < 20, reason="BROWSER CLIENT NOT MEASURED: its decisions need node 20, and there is none")
def test_R1_R2_R3_the_browser_client_s_decisions() -> None:
    command = [str(NODE), "--test", "--test-reporter=tap", str(SCRIPT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    written = len(re.findall(r"^test\(", SCRIPT.read_text(), re.MULTILINE))
    assert done.returncode == 0, done.stdout[-8000:]
    assert re.search(rf"^# pass {written}$", done.stdout, re.MULTILINE), "some of them did not run"
