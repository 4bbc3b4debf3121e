"""A table of paths goes in, the studies that it names come out."""

import re
from pathlib import Path

import pytest

from gliomaseg.transforms import keys
from gliomaseg.workflows.datalist import find_cases
from gliomaseg.workflows.system.files import InputError

from ..small_files import table, write_volume


@pytest.mark.parametrize(("mark", "word"), [(";", "semicolons"), ("\t", "tabs")])
def test_a_table_with_another_separator_is_told_of_commas(tmp_path: Path, mark: str, word: str):
    path = tmp_path / "paths.csv"
    path.write_text(mark.join(("patient", "image", "label")) + "\n" + mark.join("pil") + "\n")
    words = rf"separated by commas, but its first line has {word}; save it as CSV with commas\.$"
    with pytest.raises(InputError, match=words):
        find_cases(path)


def test_a_table_of_one_column_still_misses_the_others(tmp_path: Path):
    path = tmp_path / "paths.csv"
    path.write_text("patient\np\n")
    with pytest.raises(InputError, match=r"but has patient; add image, label to its first line\.$"):
        find_cases(path)


def test_a_table_names_the_other_sequences(tmp_path: Path):
    for name in ("f", "p", "q", "m", "g"):
        write_volume(tmp_path / f"{name}.nii.gz")
    table = tmp_path / "table.csv"
    table.write_text(
        "patient,image,label,pre,post,institution\n"
        "anna,f.nii.gz,m.nii.gz,p.nii.gz,q.nii.gz,Lund\nbert,g.nii.gz,m.nii.gz,,,\n",
        encoding="utf-8",
    )
    anna, bert = find_cases(table)
    assert [Path(file).name for file in anna["image"]] == ["p.nii.gz", "f.nii.gz", "q.nii.gz"]
    assert (anna["sequences"], anna["institution"]) == (list(keys.CHANNELS), "Lund")
    assert (Path(bert["image"]).name, "sequences" in bert) == ("g.nii.gz", False)


def test_a_table_with_a_sequence_beside_slices_is_refused(tmp_path: Path):
    table = tmp_path / "table.csv"
    table.write_text("patient,image,label,pre\nanna,a.png,,p.nii.gz\n", encoding="utf-8")
    words = (
        f"The columns pre and post name volumes beside that of FLAIR, but anna in {table} has a.png "
        "with p.nii.gz; slices hold all three as colours."
    )
    with pytest.raises(InputError, match=f"^{re.escape(words)}$"):
        find_cases(table)


def test_a_table_of_paths_lists_slices_and_volumes(tmp_path: Path):
    path = table(
        tmp_path,
        "patient,image,label,slice\np1,x/b.tif,x/bm.tif,2\np1,x/a.tif,x/am.tif,1\np2,v.nii.gz,,\n",
    )
    first, second = find_cases(path)
    assert first["image"] == [str(tmp_path / "x/a.tif"), str(tmp_path / "x/b.tif")]
    assert (first["slices"], second["image"]) == ([1, 2], str(tmp_path / "v.nii.gz"))
    assert "label" not in second


def test_slice_numbers_of_a_table_come_from_the_names_else_from_the_rows(tmp_path: Path):
    path = table(tmp_path, "patient,image,label,institution\np1,p1_7.tif,,CS\np2,a.tif,,\np2,b.tif,,\n")
    first, second = find_cases(path)
    assert (first["slices"], first["institution"], second["slices"]) == ([7], "CS", [1, 2])


@pytest.mark.parametrize(
    ("rows", "numbers"),
    [
        (["p_7.tif,,", "b.tif,,", "p_1.tif,,"], [1, 2, 3]),  # one name does not tell: their order counts
        (["p_7.tif,,3.0", "p_8.tif,,2.0", "p_9.tif,,1.0"], [1, 2, 3]),  # as pandas writes them
        (["p_7.tif,,", "p_9.tif,,", "p_8.tif,,"], [7, 8, 9]),
    ],
)
def test_every_row_of_a_table_keeps_its_slice(tmp_path: Path, rows: list[str], numbers: list[int]):
    lines = "".join(f"p,{row}\n" for row in rows)
    (case,) = find_cases(table(tmp_path, f"patient,image,label,slice\n{lines}"))
    assert (case["slices"], len(case["image"])) == (numbers, 3)


def test_a_slice_of_a_table_that_another_row_has_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = table(tmp_path, "patient,image,label\np,t0/1.tif,\np,t1/1.tif,\n")
    (case,) = find_cases(path)
    assert case["image"] == [str(tmp_path / "t0/1.tif")]
    assert f"Not used: {tmp_path}/t1/1.tif, since another file of p is taken; " in caplog.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "patient,image\np,a\n",
            "needs the columns patient, image, label, but has patient, image; add label",
        ),
        ("", "but has none; add patient, image, label"),
        ("patient,image,label\n", "lists nothing: its first line is the only one"),
        ("patient,image,label\np,,m.tif\n", "needs a patient and an image, but line 2 lacks one"),
        ("patient,image,label,slice\np,a.tif,,two\n", r"whole numbers, in every row .* line 2 has 'two'"),
        ("patient,image,label,slice\np,a.tif,,1\np,b.tif,,\n", r"in every row .* but line 3 has ''"),
        ("patient,image,label\np,a.nii,\np,b.nii,\n", "but p in .*paths.csv has 2 rows, one of them 'a.nii'"),
    ],
)
def test_a_faulty_table_is_refused(tmp_path: Path, text: str, words: str):
    with pytest.raises(InputError, match=words):
        find_cases(table(tmp_path, text))


def test_a_table_that_is_not_text_is_refused(tmp_path: Path):
    path = tmp_path / "paths.csv"
    path.write_bytes(b"patient,image,label\n\xff\xfe,x,y\n")
    with pytest.raises(
        InputError, match=r"Expected a readable CSV file at .*paths.csv, but: .*Save it as UTF-8"
    ):
        find_cases(path)
