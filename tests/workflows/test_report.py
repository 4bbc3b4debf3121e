"""The report is one file that says everything in words, and nothing that is not known."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from gliomaseg.workflows.measures.averaging import AVERAGING
from gliomaseg.workflows.report import write_report
from gliomaseg.workflows.reports import plots
from gliomaseg.workflows.reports.charts import charts, thinned
from gliomaseg.workflows.reports.patients import STRIP_BYTES, STRIP_WIDTH, gallery, jpeg_uri, patient_table
from gliomaseg.workflows.system.files import InputError

NAMES = [f"TCGA_CS_{number}_19960909" for number in (4941, 4942, 4943, 4944, 4945, 4946, 4947, 4948)]
MISSED = NAMES[0]
VOID = {"meta", "img", "wbr", "br", "link", "hr", "input"}


class Page(HTMLParser):
    """What a reader meets: the shown words, the attributes, and whether every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source, self.open, self.words = text, [], []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def headings(self) -> list[str]:
        return [re.sub(r"<[^>]+>", "", found) for found in re.findall(r"<h[123][^>]*>(.*?)</h", self.source)]


def overlap(mean: float) -> dict[str, Any]:
    return {
        "per_patient_mean": mean,
        "per_patient_median": mean,
        "per_patient_ci95": [mean - 0.1, mean + 0.05],
        "pooled": mean,
        "positive_slices": mean,
        "slices_empty_as_one": mean,
        "seed_protocol": mean,
    }


def metrics(**changes: Any) -> dict[str, Any]:
    return {
        "protocol": {"split": "patient", "patients": 8, "slices": 160, "size": 256, "threshold": 0.5},
        "dice": overlap(0.8125),
        "iou": overlap(0.6875),
        "hd95_px": 4.25,
        "volume_error_voxels": -120.0,
        "volume_error_ml": None,
        "false_positive_slices": 3,
        "missed_patients": 1,
        "missed_patients_names": [MISSED],
        "calibration": None,
        "averaging": dict(AVERAGING),
        **changes,
    }


def patient(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "patient": NAMES[number],
        "slices": 20,
        "lesion_slices": 8,
        "dice": 0.5 + number / 20,
        "iou": 0.4,
        "sensitivity": 0.7,
        "precision": 0.6,
        "hd95_px": 4.0,
        "volume_true_voxels": 1000,
        "volume_pred_voxels": 1200,
        "volume_error_voxels": 200,
        "volume_error_ml": None,
        "false_positive_slices": 0,
        "missed": False,
        **changes,
    }


def strips(names: list[str]) -> dict[str, np.ndarray[Any, np.dtype[np.uint8]]]:
    return {name: np.full((16, 48, 3), 90, np.uint8) for name in names}


def report(tmp_path: Path, **changes: Any) -> Page:
    arguments: dict[str, Any] = {
        "title": "Tiny run",
        "metrics": metrics(),
        "patients": [patient(number) for number in range(8)],
        "strips": strips(NAMES),
        **changes,
    }
    path = write_report(tmp_path / "report.html", **arguments)
    assert path == tmp_path / "report.html"
    return Page(path.read_text(encoding="utf-8"))


def full(tmp_path: Path, **changes: Any) -> Page:
    bins = [
        {"from": 0.0, "to": 0.5, "voxels": 10, "mean_probability": 0.2, "share_positive": 0.1},
        {"from": 0.5, "to": 1.0, "voxels": 0, "mean_probability": None, "share_positive": None},
    ]
    arguments: dict[str, Any] = {
        "metrics": metrics(calibration={"bins": bins, "brier": 0.01}),
        "history": {"train_loss": [(1, 1.0), (2, float("nan")), (3, 0.5)], "val_mean_dice": [(1, 0.5)]},
        "environment": {"torch": "2.8", "cuda": None, "device": {"name": "CPU"}},
        "config_text": "lr: 0.001",
        "split": {"method": "patient", "seed": 7, "folds": None, "warning": None},
        "command": "gliomaseg evaluate DATA",
    }
    return report(tmp_path, **{**arguments, **changes})


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """A page with everything on it, charts drawn by matplotlib."""
    return full(tmp_path_factory.mktemp("report"))


@pytest.fixture(autouse=True)
def _quick_charts(drawn: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no charts but those of `drawn`: each takes half a second."""
    monkeypatch.setattr(plots, "figure_to_svg", lambda figure: "<svg></svg>")


def test_the_page_loads_nothing_from_elsewhere(drawn: Page) -> None:
    page = drawn
    loaded = [
        value
        for _, attributes in page.tags
        for key in ("src", "srcset", "data")
        if (value := attributes.get(key))
    ]
    assert loaded
    assert all(value.startswith("data:image/") for value in loaded)
    links = [attributes.get("href") or attributes.get("xlink:href") for _, attributes in page.tags]
    assert all(link.startswith("#") for link in links if link)
    assert "default-src 'none'" in page.source
    assert "@import" not in page.source
    assert not re.search(r"url\((?!#)", page.source)
    assert not page.all("link")


def test_every_tag_is_closed_and_every_id_is_unique(drawn: Page) -> None:
    page = drawn
    assert page.open == []
    identifiers = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    for _, attributes in page.tags:
        target = attributes.get("href") or attributes.get("aria-labelledby") or ""
        assert target.removeprefix("#") in {"", *identifiers}


def test_not_for_diagnosis_stands_at_the_top_and_at_the_bottom(tmp_path: Path) -> None:
    text = report(tmp_path).text
    assert text.count("Not for diagnosis") == 2
    assert text.index("Not for diagnosis") < text.index("Tiny run", 20)
    assert text.rindex("Not for diagnosis") > text.rindex(NAMES[-1])


def test_every_patient_is_in_the_table_and_in_one_picture(tmp_path: Path) -> None:
    page = report(tmp_path)
    pictured = [attributes["alt"] or "" for attributes in page.all("img")]
    for name in NAMES:
        assert sum(name in alt for alt in pictured) == 1
        assert page.text.count(name) == (3 if name == MISSED else 2)


def test_best_and_worst_are_three_each_and_nobody_is_in_both() -> None:
    groups = gallery([patient(number) for number in range(8)], strips(NAMES))
    assert [figure["name"] for figure in groups["best"]] == [NAMES[7], NAMES[6], NAMES[5]]
    assert [figure["name"] for figure in groups["worst"]] == [NAMES[0], NAMES[1], NAMES[2]]
    assert [figure["name"] for figure in groups["others"]] == [NAMES[3], NAMES[4]]


@pytest.mark.parametrize(
    ("patients", "best", "worst", "others"), [(1, 0, 0, 1), (2, 1, 1, 0), (3, 2, 1, 0), (7, 3, 3, 1)]
)
def test_few_patients_are_shared_out(patients: int, best: int, worst: int, others: int) -> None:
    groups = gallery([patient(number) for number in range(patients)], strips(NAMES))
    assert [len(groups[name]) for name in ("best", "worst", "others")] == [best, worst, others]


def test_the_headline_says_mean_interval_median_patients_and_split(drawn: Page) -> None:
    text = drawn.text
    assert "0.812" in text
    assert "interval 0.713 to 0.863" in text
    assert "8 patients" in text
    assert "160 slices" in text
    assert "by patient: nobody is on two sides, seed 7" in text


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), pd.NA])
def test_a_missing_value_is_a_dash_and_its_reason(tmp_path: Path, value: Any) -> None:
    rows = [patient(number, hd95_px=value, institution=value, confidence=value) for number in range(8)]
    text = full(tmp_path, patients=rows).text
    assert "HD95, px: no slice has an outline in both truth and prediction" in text
    assert not re.search(r"\b(nan|none|null|inf|<na>)\b", text, re.IGNORECASE)
    assert "Site" not in text
    assert "Confidence" not in text


def test_an_interval_of_one_patient_is_a_dash_and_its_reason(tmp_path: Path) -> None:
    figures = metrics(dice={**overlap(0.5), "per_patient_ci95": [None, None]})
    text = report(tmp_path, metrics=figures, patients=[patient(0)]).text
    assert "interval \u2013 (no value for fewer than two persons)" in text


def test_each_average_says_how_it_was_averaged_and_the_seed_s_is_not_comparable(tmp_path: Path) -> None:
    page = report(tmp_path)
    assert "Dice of all voxels of all patients taken as one volume; large lesions weigh most." in page.text
    row = page.source[page.source.index('<tr class="not-comparable">') :].split("</tr>")[0]
    assert "seed project" in row
    assert "not comparable" in row
    assert (
        "As “Volume error, voxels”, in millilitres. Here: no value unless every patient has a spacing."
        in page.text
    )


def test_missing_parts_leave_no_headings(tmp_path: Path) -> None:
    few = metrics(dice={}, iou={}, protocol={}, calibration=None)
    page = report(tmp_path, metrics=few, strips={}, patients=[{"patient": "P1"}])
    absent = {
        "The patients",
        "Training",
        "Volumes and probabilities",
        "Environment",
        "Do it again",
        "Protocol",
    }
    assert absent.isdisjoint(page.headings())
    assert "Patient by patient" in page.headings()
    assert "This split leaks" not in page.text


def test_all_parts_have_their_headings(drawn: Page) -> None:
    present = {
        "The patients",
        "Training",
        "Volumes and probabilities",
        "Environment",
        "Do it again",
        "Protocol",
    }
    assert present <= set(drawn.headings())
    assert "lr: 0.001" in drawn.text
    assert "gliomaseg evaluate DATA" in drawn.text
    assert "device.name" in drawn.text
    assert len(drawn.all("svg")) == 3


def test_charts_follow_the_page_into_the_dark(drawn: Page) -> None:
    (first, *_) = re.findall(r"<svg.*?</svg>", drawn.source, re.DOTALL)
    assert "currentColor" in first
    assert "var(--curve, #0072b2)" in first
    assert "#ffffff" not in first
    assert "<metadata>" not in first


def test_a_long_curve_is_averaged_over_stretches() -> None:
    assert thinned([(1, 2.0), (2, 4.0), (3, 6.0), (4, 8.0), (5, 1.0)], most=3) == [
        (2, 3.0),
        (4, 7.0),
        (5, 1.0),
    ]
    assert thinned([(1, 2.0), (2, float("nan"))], most=2) == [(1, 2.0)]


def test_a_history_without_finite_values_draws_nothing(tmp_path: Path) -> None:
    assert "Training" not in full(tmp_path, history={"train_loss": [(1, float("nan"))]}).headings()


def test_a_leak_is_said_in_words(tmp_path: Path) -> None:
    page = report(tmp_path, split={"method": "slice", "warning": "5 patients are on both sides."})
    assert "This split leaks" in page.headings()
    assert "5 patients are on both sides." in page.text


def test_a_split_by_slice_is_a_leak_even_without_a_warning(tmp_path: Path) -> None:
    text = report(tmp_path, metrics=metrics(protocol={"split": "slice"})).text
    assert "This split leaks" in text
    assert "higher than they would be for new patients" in text


def test_validation_patients_who_train_are_a_leak_even_without_a_warning(tmp_path: Path) -> None:
    page = report(tmp_path, split={"method": "everyone"})
    assert "This split leaks" in page.headings()
    assert "figures on them say nothing about new patients" in page.text
    assert "the validation patients train too" in page.text


def test_a_warning_of_the_figures_stands_on_top_and_only_there(tmp_path: Path) -> None:
    page = report(tmp_path, metrics=metrics(protocol={"split": "given", "warning": "3 trained the model."}))
    assert "This split leaks" in page.headings()
    assert page.text.count("3 trained the model.") == 1


def test_names_and_texts_are_escaped(tmp_path: Path) -> None:
    name = "<script>alert(1)</script>_\"&'"
    page = full(
        tmp_path,
        title="<b>title</b>",
        patients=[patient(0, patient=name), patient(1)],
        strips=strips([name, NAMES[1]]),
        history={"<i>loss</i>": [(1, 1.0)]},
        config_text="</code><script>",
        command="<u>",
        split={"method": "<s>", "warning": "<q>"},
    )
    assert page.text.count(name) == 2
    assert len(page.all("script")) == 1
    assert {"u", "q", "s"}.isdisjoint(tag for tag, _ in page.tags)
    assert "<b>title</b>" in page.text


def test_flags_name_what_to_look_at(tmp_path: Path) -> None:
    rows = [
        patient(0, missed=True, confidence=0.9),
        patient(1, false_positive_slices=1, check_by_hand=True),
        patient(2, false_positive_slices=2, check_by_hand=False),
    ]
    texts = [[flag["text"] for flag in row["flags"]] for row in patient_table(rows)["rows"]]
    assert texts == [["missed"], ["1 false-positive slice", "check by hand"], ["2 false-positive slices"]]
    assert "check by hand" in report(tmp_path, patients=rows, strips={}).text


def test_a_data_frame_reads_as_its_rows(tmp_path: Path) -> None:
    rows = [patient(number, missed=number == 0) for number in range(8)]
    assert report(tmp_path, patients=pd.DataFrame(rows)).source == report(tmp_path, patients=rows).source


def test_pictures_and_controls_can_be_heard(drawn: Page) -> None:
    page = drawn
    assert all(attributes["alt"] for attributes in page.all("img"))
    assert page.all("html") == [{"lang": "en"}]
    assert sum(attributes.get("loading") == "lazy" for attributes in page.all("img")) == 2


def test_a_strip_stays_small_and_keeps_its_proportions() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (256, 1792, 3), dtype=np.uint8)
    smooth = np.ascontiguousarray(
        np.broadcast_to(np.arange(1792)[:, None] // 7, (256, 1792, 3)).astype(np.uint8)
    )
    uri, width, height = jpeg_uri(smooth, "P1")
    content = base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))
    assert len(content) <= STRIP_BYTES
    assert (width, height) == (STRIP_WIDTH, 219) == Image.open(io.BytesIO(content)).size
    assert jpeg_uri(noise[:8], "P1")[1:] == (STRIP_WIDTH, 7)


@pytest.mark.parametrize(
    ("strip", "came"),
    [
        (np.zeros((4, 4), np.uint8), r"got \(4, 4\) uint8 for P1"),
        (np.zeros((4, 4, 3), np.float32), r"got \(4, 4, 3\) float32 for P1"),
        (np.zeros((0, 4, 3), np.uint8), r"got \(0, 4, 3\) uint8 for P1"),
    ],
)
def test_a_strip_of_another_kind_is_refused(strip: Any, came: str) -> None:
    with pytest.raises(ValueError, match=came):
        jpeg_uri(strip, "P1")


def test_a_report_needs_a_patient(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one patient, got none"):
        report(tmp_path, patients=[])


def test_a_row_needs_its_patient(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"needs `patient`, row 2 has \['dice'\]"):
        report(tmp_path, patients=[patient(0), {"dice": 0.5}])


def test_a_failed_report_leaves_the_old_one(tmp_path: Path) -> None:
    before = report(tmp_path).source
    with pytest.raises(InputError):
        report(tmp_path, patients=[])
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == before
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_whom_the_headline_is_of_and_what_patients_without_lesion_do_stands_beside_it(tmp_path: Path) -> None:
    note = "These are validation patients, so the figures are a little too good."
    figures = metrics(patients_without_lesion=1, all_background_per_patient_mean=0.25)
    figures["protocol"] = {**figures["protocol"], "patients": 4, "persons": 3, "note": note}
    text = report(tmp_path, metrics=figures).text
    assert text.count(note) == 1
    assert "4 patients, studies of 3 persons" in text
    assert (
        "1 patient of 4 has no lesion, which counts 1 if nothing is outlined, else 0: outlining nothing at "
        "all would have a mean of 0.250."
    ) in text
    assert "no lesion, which counts 1" not in report(tmp_path).text


def test_confidence_and_dice_are_drawn_of_those_who_have_an_outline(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(
        plots, "paired_scores", lambda *given: drawn.append(given) or plots.sorted_differences([0], [1], "")
    )
    told = [patient(0, confidence=0.75), patient(1, confidence=0.875), patient(2)]
    nothing = patient(3, confidence=0.97, volume_pred_voxels=0)  # how sure it is that nothing is there
    groups = charts(None, [*told, nothing], {})
    assert drawn == [([0.75, 0.875], [0.5, 0.55], ("confidence", "Dice"))]
    captions = [chart["caption"] for group in groups for chart in group["charts"]]
    assert sum("the Dice that the model expects of its own outline" in words for words in captions) == 1
    charts(None, [patient(2), nothing], {})
    assert len(drawn) == 1  # nobody to draw
