"""The common scientific and image libraries at work under the filter, and how much smaller it is than Docker's default.

The filter is the same for every function in every isolation mode, so it is put on a plain process here: what fails in
it would fail in a function. Packages come from the registry once and are kept in the user's cache.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from paddock.worker.sandbox import seccomp
from tests.security.test_kernel import BY_ARGUMENT, NUMBERS, PERMITTED
from tests.support.clients import kept
from tests.support.server import ROOT

UNDER_THE_FILTER = """
import sys
from paddock.worker.sandbox import linux, seccomp
linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
linux.install_seccomp(seccomp.program())
sys.path.insert(0, sys.argv[1])
exec(sys.argv[2])
print("right")
"""

# package -> what is done with it; each asserts that what comes out is right.
PROGRAMS = {
    "numpy": """
import numpy as np
a = np.random.default_rng(1).random((300, 300))
assert np.allclose(a @ np.linalg.inv(a), np.eye(300), atol=1e-6)
m = np.memmap("/tmp/paddock-library-test", dtype="float64", mode="w+", shape=(1000,))
m[:] = 1; m.flush(); assert m.sum() == 1000
import os; os.unlink("/tmp/paddock-library-test")
""",
    "scipy": """
import numpy as np
from scipy import fft, linalg, optimize, signal, sparse
from scipy.sparse.linalg import spsolve
assert abs(optimize.brentq(lambda x: x * x - 2, 0, 2) - 2 ** 0.5) < 1e-9
assert np.allclose(fft.ifft(fft.fft(np.arange(1024.0), workers=4)).real, np.arange(1024.0))
assert np.allclose(spsolve(sparse.identity(50, format="csc") * 2, np.ones(50)), 0.5)
assert len(signal.find_peaks(np.sin(np.arange(0, 60, 0.1)))[0]) == 10
""",
    "pandas": """
import io, pandas as pd
frame = pd.DataFrame({"k": list("ab") * 500, "v": range(1000)})
assert frame.groupby("k").v.sum().to_dict() == {"a": 249500, "b": 250000}
assert pd.read_csv(io.StringIO(frame.to_csv(index=False))).equals(frame)
""",
    "pillow": """
import io
from PIL import Image, ImageFilter
image = Image.new("RGB", (400, 300), (10, 200, 30)).filter(ImageFilter.GaussianBlur(3))
for kind in ("PNG", "JPEG", "WEBP", "TIFF", "GIF"):
    file = io.BytesIO(); image.save(file, kind)
    assert Image.open(io.BytesIO(file.getvalue())).resize((40, 30)).size == (40, 30)
""",
    "matplotlib": """
import io, os
os.environ["MPLCONFIGDIR"] = "/tmp"
import matplotlib; matplotlib.use("Agg")
from matplotlib import pyplot
figure, axes = pyplot.subplots(); axes.plot(range(100)); axes.set_title("a title")
file = io.BytesIO(); figure.savefig(file); assert file.getvalue().startswith(b"\\x89PNG")
""",
    "scikit-learn": """
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
x, y = make_classification(600, random_state=1)
assert RandomForestClassifier(30, n_jobs=2, random_state=1).fit(x, y).score(x, y) > 0.95
assert LogisticRegression(max_iter=500).fit(x, y).score(x, y) > 0.8
""",
    "opencv-python-headless": """
import cv2, numpy as np
image = np.zeros((480, 640, 3), np.uint8); cv2.circle(image, (320, 240), 100, (255, 255, 255), -1)
edges = cv2.Canny(cv2.GaussianBlur(image, (5, 5), 0), 50, 150)
contours, _ = cv2.findContours(edges, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
assert len(contours) == 1
assert cv2.imdecode(cv2.imencode(".jpg", image)[1], cv2.IMREAD_COLOR).shape == (480, 640, 3)
""",
    "lxml": """
from lxml import etree
tree = etree.fromstring("<a><b n='1'/><b n='2'/></a>")
assert [b.get("n") for b in tree.xpath("//b[@n > 1]")] == ["2"]
""",
    "cryptography": """
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
box = Fernet(Fernet.generate_key()); assert box.decrypt(box.encrypt(b"secret")) == b"secret"
key = ed25519.Ed25519PrivateKey.generate(); key.public_key().verify(key.sign(b"x"), b"x")
assert rsa.generate_private_key(65537, 2048).key_size == 2048
""",
}

# What Docker's default permits to a container without added capabilities, on kernels from 4.8 on, and we do not.
DOCKER_PERMITS = """
    adjtimex capset clock_adjtime fanotify_mark fremovexattr fsetxattr io_cancel io_destroy io_getevents io_pgetevents
    io_setup io_submit ioprio_get ioprio_set landlock_add_rule landlock_create_ruleset landlock_restrict_self
    lremovexattr lsetxattr memfd_secret mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl
    msgget msgrcv msgsnd name_to_handle_at process_mrelease process_vm_readv process_vm_writev ptrace removexattr
    remap_file_pages sched_setattr sched_setparam sched_setscheduler seccomp semctl semget semop semtimedop setgroups
    setxattr shmat shmctl shmdt shmget sync syncfs
""".split()
MORE_THAN_DOCKER = {"get_mempolicy"}  # numeric libraries ask it where memory lies; it changes nothing


@pytest.fixture(scope="module")
def home() -> Path:
    """All of them together, for most of them bring numpy; the first time it takes a while."""
    install = [sys.executable, "-m", "pip", "install", "-q", "--only-binary=:all:", *PROGRAMS, "--target"]
    found = kept("libraries", (platform.machine(), sys.version), install)
    if found is None:
        pytest.skip("the registry does not give the libraries")
    return found


@pytest.mark.timeout(900)
@pytest.mark.parametrize("package", PROGRAMS)
def test_a_library_works_under_the_filter(home: Path, package: str) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": "/tmp", "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", UNDER_THE_FILTER, str(home), PROGRAMS[package]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd="/tmp")
    assert done.stdout.splitlines()[-1:] == ["right"], done.stderr


def test_the_filter_is_on_while_they_work() -> None:
    """Else the tests above would show nothing."""
    program = (
        "import os\ntry: os.setxattr('/tmp', 'user.x', b'x')\nexcept PermissionError: pass\nelse: raise SystemExit"
    )
    command = [sys.executable, "-c", UNDER_THE_FILTER, "/tmp", program]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    assert subprocess.run(command, env=environment, capture_output=True, check=True).stdout == b"right\n"


def test_the_filter_is_smaller_than_dockers_default() -> None:
    refused = [name for name in DOCKER_PERMITS if name in NUMBERS]
    assert len(refused) > 40
    assert set(refused) & (PERMITTED | BY_ARGUMENT) == set()
    assert MORE_THAN_DOCKER <= PERMITTED


def test_every_permitted_call_is_in_one_group_with_a_reason() -> None:
    names = [name for names in seccomp.GROUPS.values() for name in names.split()]
    assert sorted(names) == sorted(set(names))
    source = Path(seccomp.__file__).read_text().splitlines()
    for group in seccomp.GROUPS:
        line = next(number for number, text in enumerate(source) if text.strip().startswith(f'"{group}": """'))
        assert source[line - 1].strip().startswith("# "), f"{group} has no reason above it"
