"""What a SIGKILL in the middle of a run costs with other recipes: the seed's loop, MONAI's stock handlers.

    python -m benchmarks.resume_peers

Each recipe is run undisturbed, and killed and started again. Printed: whether the final weights are the
same, and how many epochs were computed twice. The same network, data and seed for all.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

EPOCHS = 3
KILL_AFTER_EPOCH = 2


def dataset(data: Path) -> Any:
    """Return MONAI's CacheDataset of slices with a random flip, the way its tutorials build one."""
    from monai.data import CacheDataset
    from monai.transforms import (
        Compose,
        EnsureTyped,
        RandCropByPosNegLabeld,
        RandFlipd,
        SqueezeDimd,
    )

    from gliomaseg.transforms import LoadStudyd, SliceIndicesd
    from gliomaseg.workflows.datalist import load_cases

    both = ["image", "label"]
    crop = RandCropByPosNegLabeld(
        both, "label", (-1, -1, 1), fg_indices_key="lesion_slices", bg_indices_key="other_slices"
    )
    steps = [LoadStudyd(both), SliceIndicesd("label"), crop, SqueezeDimd(both, dim=-1), RandFlipd(both, 0.5)]
    cases = [{key: case[key] for key in both} for case in load_cases(data)]
    typed = EnsureTyped(both, dtype="float32", track_meta=False)
    return CacheDataset(cases, Compose([*steps, typed]), progress=False)


def parts(data: Path) -> tuple[Any, Any, Any, Any]:
    """Return loader, network, optimizer and loss, seeded."""
    import torch
    from monai.data import DataLoader
    from monai.losses import DiceCELoss
    from monai.utils import set_determinism

    from gliomaseg.networks import create_network

    torch.set_num_threads(1)
    set_determinism(seed=0)
    network = create_network("resnext26_unet_tiny")
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    loader = DataLoader(dataset(data), batch_size=2, shuffle=True, num_workers=0)
    return loader, network, optimizer, DiceCELoss(sigmoid=True, batch=True)


def die_if(asked: bool, epoch: int) -> None:
    """Kill this process after the epoch, if asked."""
    if asked and epoch == KILL_AFTER_EPOCH:
        os.kill(os.getpid(), signal.SIGKILL)


def seed_loop(data: Path, folder: Path, killed: bool) -> None:
    """Train as the seed's README does: a plain loop that saves the weights when it is through."""
    import torch

    loader, network, optimizer, loss = parts(data)
    for epoch in range(1, EPOCHS + 1):
        for batch in loader:
            optimizer.zero_grad()
            loss(network(batch["image"]), batch["label"]).backward()
            optimizer.step()
        count_epoch(folder)
        die_if(killed, epoch)
    torch.save(network.state_dict(), folder / "model.pt")


def stock_handlers(data: Path, folder: Path, killed: bool) -> None:
    """Train with SupervisedTrainer, CheckpointSaver every epoch and CheckpointLoader at the start."""
    import torch
    from ignite.engine import Events
    from monai.engines import SupervisedTrainer
    from monai.handlers import CheckpointLoader, CheckpointSaver

    loader, network, optimizer, loss = parts(data)
    trainer = SupervisedTrainer("cpu", EPOCHS, loader, network, optimizer, loss, decollate=False)
    state = {"network": network, "optimizer": optimizer, "trainer": trainer}
    saved = sorted(folder.glob("checkpoint*.pt"), key=os.path.getmtime)
    if saved:
        CheckpointLoader(str(saved[-1]), state).attach(trainer)
    CheckpointSaver(str(folder), state, save_interval=1, n_saved=2).attach(trainer)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda _: count_epoch(folder))
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: die_if(killed, engine.state.epoch))
    trainer.run()
    torch.save(network.state_dict(), folder / "model.pt")


def count_epoch(folder: Path) -> None:
    """Note that an epoch was computed, also by a process that is about to die."""
    with (folder / "epochs.txt").open("a", encoding="utf-8") as log:
        log.write("x")


def run(recipe: Any, data: Path, folder: Path, kill: bool) -> tuple[str, int]:
    """Run a recipe, restarted once if it is killed, and return the hash of its weights and its epochs."""
    import torch

    folder.mkdir(parents=True)
    for killed in (True, False) if kill else (False,):
        process = multiprocessing.get_context("spawn").Process(target=recipe, args=(data, folder, killed))
        process.start()
        process.join()
    digest = hashlib.sha256()
    for value in torch.load(folder / "model.pt", weights_only=True).values():
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()[:12], len((folder / "epochs.txt").read_text(encoding="utf-8"))


def main() -> None:
    """Run both recipes twice and print a table."""
    from gliomaseg.workflows.phantom import make_phantom

    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "phantoms"
        make_phantom(data, patients=8, size=64, slices=(6, 8), seed=0)
        print(f"{'recipe':<16} {'undisturbed':<14} {'killed, restarted':<18} same   epochs")
        for recipe in (seed_loop, stock_handlers):
            whole, _ = run(recipe, data, Path(name) / recipe.__name__ / "whole", kill=False)
            again, epochs = run(recipe, data, Path(name) / recipe.__name__ / "killed", kill=True)
            print(f"{recipe.__name__:<16} {whole:<14} {again:<18} {whole == again!s:<6} {epochs}")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
