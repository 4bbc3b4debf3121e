"""What a person does on the page, in a real browser: choose, look, take home, delete."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gliomaseg.workflows.phantoms.scan import phantom_case
from gliomaseg.workflows.phantoms.study import write_nifti

from .conftest import Serve, Site

PATIENT = "TCGA_CS_P006_20000106"
TOKEN = "0123456789abcdef"


def scan_at(path: Path) -> Path:
    """Write FLAIR of a made-up head, in which something is found."""
    case = phantom_case([7, 3], 64, 7)
    flair = np.where(case.mask > 0, 240, np.where(case.image[1] > 25, 90, 0)).astype(np.int16)
    return write_nifti(path, flair.transpose(1, 0, 2), np.diag([-2.8, -2.8, 5.0, 1.0]))


def open_page(page: Any, site: Site) -> None:
    page.goto(site.address)
    page.get_by_text("The model is bright").wait_for()


def choose(page: Any, *files: Path) -> None:
    page.locator("#choose-files").set_input_files([str(file) for file in files])


def results(page: Any) -> str:
    """Wait for the results and return their heading."""
    page.locator("#results").wait_for(state="visible")
    return str(page.locator("#heading").inner_text())


def picture(page: Any) -> Any:
    """Return the picture of a slice that a study shows, when it has come."""
    found = page.locator("#studies img").first
    page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=found.element_handle())
    return found


def test_a_scan_is_outlined_looked_at_taken_home_and_deleted(page: Any, serve: Serve, tmp_path: Path) -> None:
    site = serve()
    open_page(page, site)
    assert "Not for diagnosis" in page.locator("header").inner_text()
    choose(page, scan_at(tmp_path / "anna.nii.gz"))
    assert results(page) == "1 study, abnormality in 1"
    assert page.locator("#studies h3").inner_text() == "anna"
    outlined = picture(page).get_attribute("src")
    assert re.search(r"/studies/anna/slices/\d$", outlined)

    page.locator("#outline").uncheck()
    assert picture(page).get_attribute("src") == f"{outlined}?outline=false"
    page.locator("#studies input[type=range]").fill("1")
    assert "/slices/1?outline=false" in picture(page).get_attribute("src")
    assert page.locator("#studies output").inner_text() == "1 / 7"

    with page.expect_download() as taken:
        page.locator("#archive").click()
    packed = zipfile.ZipFile(io.BytesIO(Path(taken.value.path()).read_bytes()))
    assert "anna/anna_mask.nii.gz" in packed.namelist()
    with page.expect_download() as mask:
        page.get_by_text("Mask", exact=True).click()
    assert mask.value.suggested_filename == "anna_mask.nii.gz"

    with page.expect_response(lambda answer: answer.request.method == "DELETE") as deleted:
        page.locator("#delete").click()
    assert deleted.value.status == 204
    page.locator("#results").wait_for(state="hidden")
    assert page.url == site.address
    assert all(site.jobs.count(state) == 0 for state in ("waiting", "running", "done", "failed"))


def test_a_folder_of_slices_is_one_study_and_comes_back_with_its_address(
    page: Any, serve: Serve, phantom_data: Path
) -> None:
    open_page(page, serve())
    folder = next(phantom_data.rglob(PATIENT))
    page.locator("#choose-folder").set_input_files(str(folder))
    assert results(page) == "1 study, abnormality in 1"
    assert page.locator("#studies h3").inner_text() == PATIENT
    page.reload()
    assert results(page) == "1 study, abnormality in 1"
    picture(page)


def test_what_cannot_be_outlined_is_said_on_the_page(page: Any, serve: Serve, tmp_path: Path) -> None:
    open_page(page, serve(upload_mb=1))
    notes = tmp_path / "notes.txt"
    notes.write_text("no scan", encoding="utf-8")
    choose(page, notes)
    assert results(page) == "Nothing could be outlined"
    problem = page.locator("#problem")
    assert problem.inner_text().startswith("notes.txt is no scan that can be read: expected slices")
    large = tmp_path / "large.nii"
    large.write_bytes(bytes(2**21))
    choose(page, large)
    assert problem.inner_text() == "These files have 2 MiB, and the server takes 1 at once."
    hidden = tmp_path / ".DS_Store"
    hidden.touch()
    choose(page, hidden)
    assert problem.inner_text().startswith("There is no file in what you chose")


def test_one_study_that_fails_stands_below_the_others(page: Any, serve: Serve, tmp_path: Path) -> None:
    open_page(page, serve())
    broken = tmp_path / "bert.nii.gz"
    broken.write_bytes(b"no scan")
    choose(page, scan_at(tmp_path / "anna.nii.gz"), broken)
    assert results(page) == "1 study, abnormality in 1"
    assert page.locator("#failed p").inner_text().startswith("bert: ")


def test_what_was_not_read_is_told_above_the_studies(page: Any, serve: Serve, tmp_path: Path) -> None:
    open_page(page, serve())
    other = tmp_path / "bert.mgz"
    other.write_bytes(b"of another kind")
    choose(page, scan_at(tmp_path / "anna.nii.gz"), other)
    assert results(page) == "1 study, abnormality in 1"
    assert "Not read: " in page.locator("#notes li").inner_text()
    assert "bert.mgz" in page.locator("#notes li").inner_text()
    choose(page, scan_at(tmp_path / "carl.nii.gz"))
    page.locator("#studies h3", has_text="carl").wait_for()
    assert page.locator("#notes li").count() == 0


def test_words_of_the_server_are_shown_and_not_obeyed(page: Any, serve: Serve, tmp_path: Path) -> None:
    """The server cleans names; the page does not rely on that."""
    evil = "<img src=x onerror=alert(1)>"

    def changed(route: Any) -> None:
        answer = route.fetch()
        job = answer.json()
        for study in job["studies"]:
            study.update(patient=evil, notes=[evil], sequences=[evil])
        job.update(notes=[evil], failed=[{"patient": evil, "input": evil, "reason": evil}], error=evil)
        route.fulfill(response=answer, json=job)

    open_page(page, serve())
    page.route(re.compile(r"/api/jobs/[^/]+$"), changed)
    choose(page, scan_at(tmp_path / "anna.nii.gz"))
    assert results(page) == "1 study, abnormality in 1"
    assert page.locator("#studies h3").inner_text() == evil
    assert page.locator("#problem").inner_text() == evil
    assert page.locator("#failed p").inner_text() == f"{evil}: {evil}"
    assert page.locator("#studies .notes li").inner_text() == page.locator("#notes li").inner_text() == evil
    assert page.locator("img").count() == 1
    picture(page)


def test_dropped_files_are_taken(page: Any, serve: Serve, tmp_path: Path) -> None:
    open_page(page, serve())
    content = list(scan_at(tmp_path / "anna.nii.gz").read_bytes())
    dropped = page.evaluate_handle(
        """content => {
          const dropped = new DataTransfer();
          dropped.items.add(new File([new Uint8Array(content)], "anna.nii.gz"));
          return dropped;
        }""",
        content,
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": dropped})
    assert results(page) == "1 study, abnormality in 1"


def test_a_name_that_no_job_has_any_more_is_said(page: Any, serve: Serve) -> None:
    site = serve()
    page.goto(f"{site.address}#gone")
    page.get_by_text("There is no job 'gone'; results are deleted 60 minutes after").wait_for()
    assert page.url == site.address


@pytest.mark.parametrize("below", ["", "/glioma"])
def test_with_a_token_and_below_a_path_all_of_it_works(
    below: str, browser: Any, serve: Serve, tmp_path: Path
) -> None:
    site = serve(token=TOKEN, root_path=below)
    with browser.new_context() as context:
        assert context.request.get(site.address).status == 401
    with browser.new_context(http_credentials={"username": "anna", "password": TOKEN}) as context:
        page = context.new_page()
        open_page(page, site)
        choose(page, scan_at(tmp_path / "anna.nii.gz"))
        assert results(page) == "1 study, abnormality in 1"
        assert f"{below}/api/jobs/" in picture(page).get_attribute("src")
        page.get_by_text("HTTP API").click()
        page.get_by_text("openapi.json").first.click()
        assert page.url == f"{site.address}api/openapi.json"


def test_an_upload_can_be_cancelled(page: Any, serve: Serve, tmp_path: Path) -> None:
    site = serve()
    open_page(page, site)
    page.route("**/api/jobs", lambda _: None)  # it never arrives
    choose(page, scan_at(tmp_path / "anna.nii.gz"))
    page.locator("#cancel").click()
    page.locator("#drop").wait_for(state="visible")
    assert page.locator("#problem").is_hidden()
    assert site.told == []
