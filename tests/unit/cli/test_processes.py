import os
import signal
import subprocess
import sys
from pathlib import Path

from cli.processes import descendants
from cli.stack import TETHER
from tests.stack import until

# Starts a tethered process, says its number, and waits to be killed.
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-IS", sys.argv[1], sys.argv[2], "sleep", "60"])
print(child.pid, flush=True)
child.wait()
"""
# Adopts what its dead child has left, ends it, and says what is below it then.
ADOPTER = """
import os, subprocess, sys, time
sys.path.insert(0, sys.argv[1])
from cli.processes import descendants, end_descendants
from cli.tether import adopt_orphans
adopt_orphans()
subprocess.run(["/bin/sh", "-c", "setsid sleep 60 & setsid sh -c 'trap : TERM; sleep 60; sleep 60' & :"], check=True)
end = time.monotonic() + 10
while len(descendants(os.getpid())) < 3 and time.monotonic() < end:
    time.sleep(0.02)
print(len(descendants(os.getpid())))
end_descendants(os.getpid())
print(len(descendants(os.getpid())))
"""


def gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_tethered_process_dies_with_its_parent() -> None:
    command = [sys.executable, "-c", PARENT, str(TETHER), "SIGTERM"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        until(lambda: b"sleep" in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")[0], 30, "the program")
        assert descendants(parent.pid) == [child]
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    until(lambda: gone(child), 30, "the end of the tethered process")


def test_what_left_its_group_and_lost_its_parent_is_found_and_ended() -> None:
    root = Path(__file__).resolve().parents[3]
    said = subprocess.run([sys.executable, "-c", ADOPTER, root], capture_output=True, text=True, check=True, timeout=60)
    before, after = map(int, said.stdout.split())
    assert before >= 3
    assert after == 0


def test_a_process_has_no_descendants_of_others() -> None:
    assert os.getpid() not in descendants(os.getpid())
