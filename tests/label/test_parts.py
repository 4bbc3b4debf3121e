"""The parts of our app hold where a write is cut short, a study goes away, or nobody answers."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ENVIRONMENT = os.environ.get("GLIOMASEG_LABEL_ENVIRONMENT", "")


def inside(program: str, *words: str) -> str:
    """Run a program where MONAI Label is; return what it printed last."""
    command = [str(Path(ENVIRONMENT) / "bin" / "python"), "-c", program, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


INTERRUPTED = """
import pathlib, sys
from gliomaseg.serving.label_app.datastore import StudyDatastore

folder = pathlib.Path(sys.argv[1])
store = StudyDatastore(str(folder / "store"), auto_reload=False)
store.add_image("a", str(folder / "a.nii.gz"), {})
before = (folder / "store/datastore_v2.json").read_bytes()

def cut_short(*_):
    raise KeyboardInterrupt

pathlib.Path.replace = cut_short
try:
    store.update_image_info("a", {"new": 1})
except KeyboardInterrupt:
    print((folder / "store/datastore_v2.json").read_bytes() == before)
"""


def test_the_list_of_studies_is_whole_when_a_write_is_cut_short(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(b"x")
    assert inside(INTERRUPTED, str(tmp_path)) == "True"
    assert not list((tmp_path / "store").glob(".partial*"))


GONE = """
from types import SimpleNamespace
from gliomaseg.serving.label_app import activelearning
from gliomaseg.serving.label_app.activelearning import UncertaintyScoring
from gliomaseg.serving.refusals import UnknownError

class Store(SimpleNamespace):
    def update_image_info(self, name, info):
        if name == "b":
            raise UnknownError("There is no study 'b'.")
        self.stored.append(name)

store = Store(
    stored=[],
    known=lambda names: {name: {} for name in names},
    get_unlabeled_images=lambda: ["a", "b", "c"],
    get_image_uri=str,
)
activelearning.record_of = str
said = SimpleNamespace(confidence=0.75)
segmenter = type("S", (), {"__call__": lambda self, case: said})()
task = SimpleNamespace(mark=lambda: "1" * 64, segmenter=lambda: segmenter)
print(UncertaintyScoring(task)({}, store), store.stored)
"""


def test_a_study_that_is_deleted_meanwhile_does_not_keep_others_from_their_scores() -> None:
    assert inside(GONE) == "{'a': 0.25, 'c': 0.25} ['a', 'c']"


ALONE = """
import socket
from monailabel.config import settings
from gliomaseg.serving.label_app.app import GliomaApp

with socket.socket() as listener:  # bound, but nobody listens
    listener.bind(("127.0.0.1", 0))
    settings.MONAI_LABEL_SERVER_PORT = listener.getsockname()[1]
    print(GliomaApp._local_request(GliomaApp.__new__(GliomaApp), "/scoring/uncertainty", None, "Scoring"))
"""


def test_a_training_does_not_fail_because_nobody_takes_its_request_for_scores() -> None:
    assert inside(ALONE) == "None"


SETTINGS = """
import os, pathlib, sys
from types import SimpleNamespace
from gliomaseg.serving.label_app import infer

folder = pathlib.Path(sys.argv[1])
weights, config = folder / "models" / "model.pt", folder / "configs" / "inference.json"
weights.parent.mkdir()
config.parent.mkdir()
weights.write_bytes(b"weights")
config.write_text('{"temperature": 1.0}')
set_up = []
infer.Segmenter = SimpleNamespace(from_name=lambda *words: set_up.append(words) or len(set_up))
workspace = SimpleNamespace(model_folder=lambda: folder, require_weights=lambda: weights)
task = infer.SegmenterTask(workspace)
before = task.mark(), task.sha256(), task.segmenter(), task.segmenter()
config.write_text('{"temperature": 1.25}')
after = task.mark(), task.sha256(), task.segmenter()
weights.unlink()
config.unlink()
gone = task.sha256() or "none", len(task.mark())
print(before[0] != after[0], before[1] == after[1], before[2:], after[2], *gone)
"""


def test_other_settings_beside_the_same_weights_are_another_model(tmp_path: Path) -> None:
    assert inside(SETTINGS, str(tmp_path)) == "True True (1, 1) 2 none 64"
