"""The command ``gliomaseg``: words of a person in, calls of the workflows out. Heavy parts load when used."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .folders.studies import is_stack, whose
from .terminal import loading, progress_bar, resumable, run, say, serving_ended, with_resume

if TYPE_CHECKING:
    from .evaluate import Evaluation
    from .run import TrainOptions

NOT_FOR_DIAGNOSIS = "Research software. Not for diagnosis."

LOWEST = 3
"""Patients that are named after an evaluation, those that are outlined worst."""

app = typer.Typer(
    name="gliomaseg",
    help=f"Outline FLAIR abnormality (lower-grade glioma) in brain MRI. {NOT_FOR_DIAGNOSIS}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DATA_HELP = "Folder of patients, a table of paths, or a datalist.json."
Data = Annotated[Path, typer.Argument(help=DATA_HELP, show_default=False)]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.", show_default=False)]
ModelName = Annotated[
    Path | None,
    typer.Option(
        "--model",
        "-m",
        help="Run folder, bundle, weights, export, or a cross-validation.",
        show_default="the weights that ship",
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Network = Annotated[str | None, typer.Option(help="A network by name.", show_default="resnext50_unet")]
Config = Annotated[Path | None, typer.Option(help="Another training config.", show_default=False)]
Pretrained = Annotated[str | None, typer.Option(help="imagenet, or a file of weights.", show_default=False)]
TrainDevice = Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.", show_default="auto")]
Resize = Annotated[
    int | None, typer.Option(help="Bring images and masks to this size when loading.", show_default=False)
]
Pre = Annotated[
    str | None, typer.Option(help="The same for pre-contrast T1; none leaves it out.", show_default=False)
]
Post = Annotated[
    str | None, typer.Option(help="The same for post-contrast T1; none leaves it out.", show_default=False)
]
KeepFinished = Annotated[
    bool, typer.Option("--resume", help="Keep the studies that an earlier call has finished there.")
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Use the model otherwise, ID=VALUE, such as threshold=0.4. Repeatable.",
        show_default=False,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override any id of the config, ID=VALUE. Repeatable.", show_default=False),
]


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"gliomaseg {version('gliomaseg')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None: ...


def main() -> None:
    """Run the command line and leave with the exit code of ``terminal.run``."""
    run(lambda: app(prog_name="gliomaseg", standalone_mode=False))


@app.command(epilog="Example: `gliomaseg demo --output runs/demo`")
def demo(output: Output = Path("runs/demo")) -> None:
    """Make patients, train on some, evaluate on the others and write a report: a few minutes."""
    with loading():
        from .demo import run_demo

    try:
        evaluation = run_demo(output)
    except KeyboardInterrupt as stop:
        raise resumable(stop, "gliomaseg", "demo", "--output", output) from stop
    _tell(evaluation, output)
    typer.echo(
        f"\nNext: open {output / 'report.html'}, then try your own data: "
        "gliomaseg train DATA --output runs/first"
    )


@app.command(epilog="Example: `gliomaseg prepare lgg-mri-segmentation/kaggle_3m --output datalist.json`")
def prepare(
    data: Annotated[
        Path, typer.Argument(help="Folder of patients, a CSV of paths, or a list.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The datalist to write.")] = Path(
        "datalist.json"
    ),
    split: Annotated[
        str, typer.Option(help="patient, folds, institution, or slice as the seed.")
    ] = "patient",
    validation: Annotated[float, typer.Option(help="Share of the patients that validates.")] = 0.2,
    test: Annotated[float, typer.Option(help="Share of the patients kept for a last test.")] = 0.0,
    folds: Annotated[int, typer.Option(help="Number of folds, with --split folds.")] = 5,
    fold: Annotated[int, typer.Option(help="The fold that validates, from 0.")] = 0,
    institution: Annotated[
        str | None,
        typer.Option(
            help="The institution left out, such as DU.", show_default="that at the place of --fold"
        ),
    ] = None,
    split_file: Annotated[Path | None, typer.Option(help="A split of your own, JSON or CSV.")] = None,
    participants: Annotated[
        Path | None,
        typer.Option(
            help="CSV or TSV that tells whose each study is, and from which institution.", show_default=False
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
) -> None:
    """Find the patients of a data set, split them and write it down with the hash of every file."""
    with loading():
        from .datalist import build_datalist
        from .splits.datalist_file import write_beside_earlier

    with progress_bar() as progress:
        datalist = build_datalist(
            data,
            split,
            validation,
            test,
            folds,
            fold,
            institution,
            seed,
            str(split_file) if split_file else None,
            progress,
            participants,
        )
    earlier = write_beside_earlier(datalist, output)
    typer.echo(_describe_datalist(datalist))
    if split == "institution" and institution is None:
        typer.echo(f"Left out: {datalist['split']['institution']}. Name another with --institution.")
    if earlier:
        typer.echo(f"Another datalist was there; it is now {earlier}.")
    typer.echo(f"Wrote {output}. Next: gliomaseg train {shlex.quote(str(output))} --output runs/first")


@app.command(epilog="Example: `gliomaseg train DATA --output runs/first --set size=256 --set epochs=40`")
def train(
    data: Data,
    output: Output,
    network: Network = None,
    config: Config = None,
    pretrained: Pretrained = None,
    device: TrainDevice = None,
    resize: Resize = None,
    settings: Settings = None,
    minutes: Annotated[
        float | None,
        typer.Option(help="Take about so long: choose the number of epochs by that.", show_default=False),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --output.")] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Only show where the time of a step goes; trains nothing.")
    ] = False,
) -> None:
    """Train a network, keep its best weights, evaluate them on the validation patients, and report."""
    with loading():
        from .run import NotBegun, TrainOptions
        from .run import train as run_training

    asked = _settings(settings, network, pretrained, device, resize)
    options = TrainOptions(data, output, config, asked, resume, minutes=minutes)
    if profile:
        _profile(options)
        return
    try:
        evaluation = run_training(options)
    except NotBegun as stop:
        say("Interrupted before the training began. Give the same command again.")
        raise typer.Exit(130) from stop
    except KeyboardInterrupt as stop:
        raise resumable(stop, "gliomaseg", "train", data, "--output", output, "--resume") from stop
    _tell(evaluation, output)
    curves = shlex.join(["tensorboard", "--logdir", str(output)])
    typer.echo(f"Next: open {output / 'report.html'}, or watch the curves: {curves}")


@app.command(
    "cross-validate", epilog="Example: `gliomaseg cross-validate DATA --output runs/cv --set epochs=40`"
)
def cross_validate(
    data: Data,
    output: Output,
    split: Annotated[
        str | None, typer.Option(help="folds, or institution: each is left out once.", show_default="folds")
    ] = None,
    folds: Annotated[int | None, typer.Option(help="Number of folds.", show_default="5")] = None,
    fold: Annotated[
        int | None,
        typer.Option(
            help="Only this fold, from 0; whoever finishes last puts all together.", show_default="all"
        ),
    ] = None,
    validation: Annotated[
        float | None,
        typer.Option(help="Share of the patients beside a fold who choose its weights.", show_default="0.15"),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the draw.", show_default="0")] = None,
    network: Network = None,
    config: Config = None,
    pretrained: Pretrained = None,
    device: TrainDevice = None,
    resize: Resize = None,
    settings: Settings = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Take about so long for all folds: choose the number of epochs by that.", show_default=False
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what is in --output.")] = False,
) -> None:
    """Train a network for each fold, test every patient by the one that has not met them, and report."""
    with loading():
        from .cross_validate import CrossOptions, begun, deal_out, in_words
        from .cross_validate import cross_validate as run_folds
        from .system.once import told_once

    asked = _settings(settings, network, pretrained, device, resize)
    options = CrossOptions(data, output, split, folds, validation, seed, config, asked, fold, resume, minutes)
    try:
        with told_once():
            with progress_bar() as progress:
                deal_out(options, progress)
            result = run_folds(options, typer.echo)
    except KeyboardInterrupt as stop:
        if not begun(output):
            say("Interrupted before the training began. Give the same command again.")
            raise typer.Exit(130) from stop
        raise with_resume("What is trained is kept.") from stop
    typer.echo(in_words(result.folds))
    if result.evaluation is None and not result.missing:
        return
    if result.evaluation is None:
        missing = ", ".join(map(str, result.missing))
        typer.echo(f"Still missing: fold {missing}. The figures of all patients come with the last of them.")
        return
    _tell(result.evaluation, output)

    typer.echo(
        f"Next: open {output / 'report.html'}, or let all folds outline scans: gliomaseg predict SCANS "
        f"--model {shlex.quote(str(output))} --output masks"
    )


@app.command(epilog="Example: `gliomaseg evaluate DATA --model runs/first --output runs/first-on-data`")
def evaluate(
    data: Data,
    output: Output,
    model: ModelName = None,
    predictions: Annotated[
        Path | None,
        typer.Option(help="Folder of masks that any program wrote, instead of a model.", show_default=False),
    ] = None,
    missing_as_empty: Annotated[
        bool, typer.Option("--missing-as-empty", help="Scans without a mask there count as found empty.")
    ] = False,
    section: Annotated[str, typer.Option(help="Of a datalist: training, validation, test or all.")] = "all",
    split_file: Annotated[
        Path | None,
        typer.Option(
            help="Datalist that the model was trained with, for masks and exports.", show_default=False
        ),
    ] = None,
    device: Device = "auto",
    resize: Annotated[
        bool, typer.Option("--resize", help="Accept masks of another size than the scan.")
    ] = False,
    settings: Changes = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Take over what an evaluation cut off there has measured.")
    ] = False,
) -> None:
    """Compare a model's masks, or anybody's, with the truth of every patient."""
    with loading():
        from .evaluate_command import evaluate_command

    if predictions is None:
        _name_default(model)
    try:
        evaluation = evaluate_command(
            data,
            output,
            model=model,
            predictions=predictions,
            missing_as_empty=missing_as_empty,
            section=section,
            split_file=split_file,
            device=device,
            resize=resize,
            resume=resume,
            settings=_changes(settings),
        )
    except KeyboardInterrupt as stop:
        raise with_resume("What is measured is kept.") from stop
    _tell(evaluation, output)
    typer.echo(f"Next: open {output / 'report.html'}")


@app.command(
    epilog="Example: `gliomaseg predict scans/TCGA_DU_5872_19950223 --output masks --model runs/first`"
)
def predict(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(help="Slices, NIfTI, NRRD, DICOM, folders of them, or a list.", show_default=False),
    ] = None,
    *,
    output: Output,
    model: ModelName = None,
    device: Device = "auto",
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Write them too, beside the masks.")
    ] = False,
    dicom_seg: Annotated[
        bool, typer.Option("--dicom-seg", help="Write masks of DICOM studies as DICOM Segmentations too.")
    ] = False,
    rtstruct: Annotated[
        bool, typer.Option("--rtstruct", help="Write outlines of DICOM studies as RT Structure Sets too.")
    ] = False,
    flair: Annotated[
        str | None,
        typer.Option(
            help="DICOM series that is FLAIR, by number or description; without INPUTS, a path.",
            show_default=False,
        ),
    ] = None,
    pre: Pre = None,
    post: Post = None,
    settings: Changes = None,
    resume: KeepFinished = False,
    shard: Annotated[
        str | None,
        typer.Option(
            help="Do one part of the studies, such as 3/8: the third of eight.",
            metavar="I/N",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Outline studies: masks on the grid of the scan, overlays, results.csv and results.json."""
    with loading():
        from .checking.findings import amount
        from .ensemble import open_segmenter
        from .folders.dicom_series import wanted_series
        from .predict import predict_studies
        from .results import results_name
        from .resuming.fingerprints import settings_of
        from .resuming.finished import Finished
        from .system.shard import parse_shard

    part = None if shard is None else parse_shard(shard)
    wanted = wanted_series(pre, flair, post)
    _name_default(model)
    changes = _changes(settings)
    segmenter = open_segmenter(model, device, changes)
    asked = {
        "probabilities": probabilities,
        "dicom_seg": dicom_seg,
        **({"rtstruct": True} if rtstruct else {}),
    }
    finished = Finished(output, {**settings_of(segmenter), **asked}, resume)
    try:
        rows = predict_studies(
            inputs or [],
            output,
            segmenter,
            wanted=wanted,
            probabilities=probabilities,
            dicom_seg=dicom_seg,
            rtstruct=rtstruct,
            finished=finished,
            shard=part,
            settings=changes,
        )
    except KeyboardInterrupt as stop:
        raise with_resume("What is finished is kept.") from stop
    found = sum(row["volume_voxels"] > 0 for row in rows)
    doubtful = sum(row["check_by_hand"] for row in rows)
    words = f"; {doubtful} to be checked by hand" if doubtful else ""
    typer.echo(f"{amount(len(rows), 'study')}, abnormality in {found}{words}. {NOT_FOR_DIAGNOSIS}")
    typer.echo(f"Masks and {results_name(part)}.csv are in {output}, pictures in {output / 'overlays'}.")


@app.command(epilog="Example: `gliomaseg convert HOSPITAL --output nifti`")
def convert(
    inputs: Annotated[list[Path], typer.Argument(help="Folders of DICOM studies.", show_default=False)],
    *,
    output: Output,
    truth: Annotated[
        str | None,
        typer.Option(
            help="DICOM Segmentation or contours (number or description), or file, that is the truth; "
            "or none.",
            show_default=False,
        ),
    ] = None,
    segment: Annotated[
        list[str] | None,
        typer.Option(help="A segment of it that counts, by label or number. Repeatable.", show_default="all"),
    ] = None,
    flair: Annotated[
        str | None,
        typer.Option(help="Series that is FLAIR, by number or description.", show_default=False),
    ] = None,
    pre: Pre = None,
    post: Post = None,
    each_its_own: Annotated[
        bool, typer.Option("--each-its-own", help="Take each study as a person, whatever PatientID says.")
    ] = False,
    resume: KeepFinished = False,
) -> None:
    """Write DICOM studies, and the truth beside them, as NIfTI files to train on and to evaluate with."""
    with loading():
        from .checking.findings import amount
        from .convert import PAGE, ConvertOptions, convert_studies
        from .folders.dicom_series import wanted_series

    options = ConvertOptions(wanted_series(pre, flair, post), truth, tuple(segment or ()), each_its_own)
    try:
        rows = convert_studies(inputs, output, options, resume)
    except KeyboardInterrupt as stop:
        raise with_resume("What is finished is kept.") from stop
    drawn = sum(bool(row["truth"]) for row in rows)
    typer.echo(f"{amount(len(rows), 'study')}, {drawn} with truth. {NOT_FOR_DIAGNOSIS}")
    typer.echo(
        f"Next: open {output / PAGE} and look whether each truth lies on its lesion; then gliomaseg doctor "
        f"{shlex.quote(str(output))}"
    )


@app.command(epilog="Example: `gliomaseg report runs/first`")
def report(
    run: Annotated[Path, typer.Argument(help="Run folder.", show_default=False)], device: Device = "auto"
) -> None:
    """Evaluate a trained run again and write its figures, report and animation."""
    with loading():
        from .training.end import report_run

    _tell(report_run(run, device), run)
    typer.echo(f"Wrote {run / 'report.html'}")


@app.command(epilog="Example: `gliomaseg export runs/first --to bundle --output glioma_mri_segmentation`")
def export(
    model: Annotated[
        Path | None,
        typer.Argument(help="Run folder, bundle or weights file.", show_default="the weights that ship"),
    ] = None,
    *,
    to: Annotated[str, typer.Option("--to", help="bundle, torchscript, onnx or openvino.")] = "bundle",
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="New folder of a bundle, or new file.", show_default=False),
    ],
    whole_study: Annotated[
        bool,
        typer.Option(
            "--whole-study", help="Of onnx and openvino: raw slices in, probabilities out, all in the file."
        ),
    ] = False,
) -> None:
    """Write a model for use elsewhere: a MONAI bundle without gliomaseg, TorchScript, ONNX, OpenVINO."""
    with loading():
        from .export import export_model

    _name_default(model)
    export_model(model, to, output, whole_study)
    typer.echo(f"Wrote {output}. {NOT_FOR_DIAGNOSIS}")
    if to == "bundle":
        typer.echo(f"Next: read {output / 'docs' / 'README.md'}; it says how to train, evaluate and infer.")


@app.command("serve", epilog="Example: `gliomaseg serve --model runs/first --port 8080`")
def serve_page(
    *,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at; 0 takes any that is free.")] = 8000,
    model: ModelName = None,
    device: Device = "auto",
    upload_mb: Annotated[float, typer.Option(help="Largest upload, in MiB.")] = 1024,
    upload_files: Annotated[int, typer.Option(help="Most files of one upload.")] = 20_000,
    waiting: Annotated[int, typer.Option(help="Most uploads that wait for their turn.")] = 16,
    keep_minutes: Annotated[float, typer.Option(help="After which results are deleted.")] = 60,
    settings: Changes = None,
    name: Annotated[
        list[str] | None,
        typer.Option(
            help="A further name of the server, such as that of a proxy. Repeatable.", show_default=False
        ),
    ] = None,
    root_path: Annotated[
        str, typer.Option(help="Path below which a proxy shows it, such as /glioma.", show_default=False)
    ] = "",
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="File with the token that callers have to show; or set GLIOMASEG_TOKEN.", show_default=False
        ),
    ] = None,
) -> None:
    """Outline scans on a web page and through an HTTP API, on this machine; nothing leaves it."""
    from dataclasses import replace

    with loading():
        from ..serving.listening import LOOPBACK, bound_socket
        from ..serving.settings import ServeSettings, read_token
        from ..serving.web_server import require_packages, run_server
        from .ensemble import open_segmenter

    token = read_token(token_file)
    names, changes = tuple(name or ()), _changes(settings)
    serving = ServeSettings(
        host, port, upload_mb, upload_files, waiting, keep_minutes, names, root_path, token, changes
    )
    require_packages()
    bound = bound_socket(host, port)  # before the model is loaded, which takes a while
    serving = replace(serving, port=bound.getsockname()[1])
    _name_default(model)
    segmenter = open_segmenter(model, device, changes)
    if host not in LOOPBACK and token is None:
        say(f"Warning: everyone who reaches {host} can use the server; --token-file has it ask for a token.")
    typer.echo(f"The page is at {serving.address}, the API is described at {serving.address}/api/docs.")
    typer.echo(f"Ctrl-C stops it and deletes what was uploaded. {NOT_FOR_DIAGNOSIS}")
    run_server(segmenter, serving, bound, typer.echo)
    serving_ended()


@app.command(epilog="Example: `gliomaseg label --studies lgg-mri-segmentation/kaggle_3m --model runs/first`")
def label(
    studies: Annotated[
        Path,
        typer.Option(help="Slices, NIfTI, NRRD, DICOM, a folder of them; only read.", show_default=False),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the labelling project.")] = Path(
        "runs/label"
    ),
    model: Annotated[
        Path | None,
        typer.Option(
            "--model", "-m", help="Run folder, bundle or weights.", show_default="the weights that ship"
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at.")] = 8000,
    environment: Annotated[
        Path | None,
        typer.Option(help="Environment that has MONAI Label.", show_default=".venv-label, made if missing"),
    ] = None,
    prepare_only: Annotated[
        bool, typer.Option("--prepare-only", help="Bring studies and model together; start nothing.")
    ] = False,
) -> None:
    """Serve studies to 3D Slicer through MONAI Label: segment, correct, retrain, choose the next."""
    with loading():
        from ..serving.label_server import LabelOptions, prepare_project, python_of, serve
        from ..serving.listening import LOOPBACK, require_free_port
        from ..serving.studies import describe
        from ..serving.workspace import Workspace

    if not prepare_only:
        require_free_port(host, port)  # before studies are converted, which takes a while
    if not Workspace(output).served.is_file():
        _name_default(model)
    options = LabelOptions(studies, output, model, host, port, environment)
    for line in describe(prepare_project(options)):
        typer.echo(line)
    typer.echo(f"Studies, labels and models of the project are in {output}. {NOT_FOR_DIAGNOSIS}")
    if prepare_only:
        return
    python = python_of(environment)
    if host not in LOOPBACK:
        say(f"Warning: everyone who reaches {host} can see and change the studies.")
    typer.echo(f"MONAI Label will be at http://{host}:{port}; Ctrl-C stops it.")
    code = serve(options, python)
    serving_ended()
    raise typer.Exit(code)


@app.command(epilog="Example: `gliomaseg compare runs/first-test runs/second-test --output runs/both`")
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="What `evaluate` or `train` wrote; the first is compared with. Folds of one recipe are put "
            "together with commas: runs/a-0,runs/a-1.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder to write to.", show_default="none")
    ] = None,
    common: Annotated[
        bool, typer.Option("--common", help="Compare the patients that all runs have, where they differ.")
    ] = False,
) -> None:
    """Compare evaluated runs patient by patient, with intervals and a paired test; or put folds together."""
    with loading():
        from .compare import compare_runs, in_words

    result = compare_runs(runs, output, common)
    typer.echo(in_words(result))
    typer.echo(NOT_FOR_DIAGNOSIS)
    if output:
        typer.echo(
            f"The page is {output / 'comparison.html'}, every patient is in {output / 'comparison.csv'}."
        )


@app.command(epilog="Example: `gliomaseg doctor lgg-mri-segmentation/kaggle_3m`")
def doctor(
    data: Annotated[Path | None, typer.Argument(help=DATA_HELP)] = None,
    resize: Annotated[
        int | None, typer.Option(help="Size that slices will be brought to.", show_default=False)
    ] = None,
    all_findings: Annotated[
        bool, typer.Option("--all", help="Show every finding, not the first few of a kind.")
    ] = False,
) -> None:
    """Check this machine, and every file of a data set, and say what to do about what is wrong."""
    with loading():
        from .doctor import describe_machine

    typer.echo(describe_machine())
    if data is not None:
        from .checking.findings import format_findings
        from .checks import check_data

        with progress_bar() as progress:
            found = check_data(data, resize=resize, progress=progress)
        typer.echo(format_findings(found, all=all_findings))
        if any(finding.level == "error" for finding in found.findings):
            raise typer.Exit(2)


def _settings(
    settings: list[str] | None,
    network: str | None,
    pretrained: str | None,
    device: str | None,
    resize: int | None,
) -> dict[str, Any]:
    """Return what was set, by id of the training config."""
    from .overrides import parse_setting

    asked = dict(parse_setting(setting) for setting in settings or [])
    named = {"network_name": network, "pretrained": pretrained, "device": device, "resize": resize}
    return asked | {name: value for name, value in named.items() if value is not None}


def _changes(settings: list[str] | None) -> dict[str, Any]:
    """Return what was set, by id of the inference config."""
    from .overrides import parse_setting

    return dict(parse_setting(setting) for setting in settings or [])


def _name_default(model: Path | None) -> None:
    """Say what the weights that ship are, when no other are named."""
    if model is None:
        from .models import describe_default

        typer.echo(describe_default())


def _profile(options: TrainOptions) -> None:
    """Show where the time of a training step goes, and say where the trace is."""
    from .profiling import profile_training

    typer.echo(profile_training(options))
    typer.echo(
        f"\nThe trace is in {options.output / 'profile'}: drop it on ui.perfetto.dev, or see it in "
        "TensorBoard with its plugin torch-tb-profiler."
    )


def _tell(evaluation: Evaluation, output: Path) -> None:
    """Print the headline of an evaluation."""
    from .checking.findings import amount

    metrics = evaluation.metrics
    dice = metrics["dice"]
    low, high = dice["per_patient_ci95"]
    interval = "" if low is None else f" (95 % interval {low:.3f} to {high:.3f})"
    typer.echo(
        f"Volume Dice, mean over {amount(metrics['protocol']['patients'], 'patient')}: "
        f"{dice['per_patient_mean']:.3f}{interval}, median {dice['per_patient_median']:.3f}. "
        f"{NOT_FOR_DIAGNOSIS}"
    )
    figures = sorted(evaluation.figures, key=lambda case: case.dice)
    if len(figures) > LOWEST:
        lowest = ", ".join(f"{case.patient} {case.dice:.3f}" for case in figures[:LOWEST])
        typer.echo(f"Lowest: {lowest}.")
    typer.echo(
        f"All figures are in {output / 'metrics.json'}, every patient in {output / 'per_patient.csv'}."
    )


def _describe_datalist(datalist: dict[str, Any]) -> str:
    """Say how many patients each section has, and how many slices where they are files of their own."""
    lines = []
    for section in ("training", "validation", "test"):
        cases = datalist[section]
        stacks = [case["image"] for case in cases if is_stack(case)]
        if cases:
            persons = len({whose(case) for case in cases})
            line = f"{section:<11}{persons:>5} {'patient' if persons == 1 else 'patients':<8}"
            line += f" {len(cases):>7} studies" if persons < len(cases) else ""
            if len(stacks) == len(cases):
                slices = sum(map(len, stacks))
                line += f" {slices:>7} {'slice' if slices == 1 else 'slices'}"
            lines.append(line.rstrip())
    return "\n".join(lines)


if __name__ == "__main__":
    main()
