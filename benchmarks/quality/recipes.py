"""The file of recipes in, a recipe by name out, with everything that it takes over from another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from gliomaseg.workflows.system.files import InputError

PATH: Final = Path(__file__).resolve().parent / "recipes.yaml"
KINDS: Final = ("gliomaseg", "plain")
FITS: Final = ("temperature", "threshold")
KEYS: Final = (
    "from",
    "changes",
    "kind",
    "minutes",
    "settings",
    "inference",
    "fit",
    "trained_as",
    "starts_from",
    "mean_of",
    "everyone",
    "soft",
)


@dataclass(frozen=True)
class Recipe:
    """How a network is trained and applied; see the head of ``recipes.yaml``.

    Attributes:
        name: its name.
        kind: one of ``KINDS``.
        changes: what differs from ``base``, in words.
        base: name of the recipe it differs from; None for a first one.
        minutes: budget; None where the settings say how long.
        settings: of the training.
        inference: ids of the inference config.
        fit: of ``FITS``.
        trained_as: recipe whose weights are taken; its own name unless told.
        starts_from: recipe whose finished weights this one goes on from, on the same split; None for a
            run that starts afresh.
        mean_of: recipes whose finished runs, on the same split, are averaged weight by weight in place of a
            training (Wortsman et al., ICML 2022, model soups).
        everyone: the inner validation trains too. Nobody is left to choose: the last epoch and the
            temperature of the recipe it starts from are taken.
        soft: folder of soft labels, None for the truth alone.
    """

    name: str
    kind: str
    changes: str
    base: str | None = None
    minutes: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    inference: Mapping[str, Any] = field(default_factory=dict)
    fit: tuple[str, ...] = ("temperature",)
    trained_as: str = ""
    starts_from: str | None = None
    mean_of: tuple[str, ...] = ()
    everyone: bool = False
    soft: str | None = None


def read_recipes(path: Path = PATH) -> dict[str, Recipe]:
    """Read all recipes of a file.

    Raises:
        InputError: one of them has an unknown key, kind or parent, or trains otherwise than the recipe whose
            weights it takes.
    """
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    recipes: dict[str, Recipe] = {}
    for name, written in content.items():
        recipes[name] = _recipe(str(name), written, recipes, path)
    return recipes


def recipe_named(name: str, recipes: Mapping[str, Recipe]) -> Recipe:
    """Return a recipe.

    Raises:
        InputError: there is none of that name.
    """
    if name not in recipes:
        raise InputError(f"A recipe is one of {', '.join(recipes)}, but {name!r} was asked for.")
    return recipes[name]


def _recipe(name: str, written: Mapping[str, Any], before: Mapping[str, Recipe], path: Path) -> Recipe:
    unknown = sorted(set(written) - set(KEYS))
    if unknown:
        raise InputError(f"A recipe has the keys {', '.join(KEYS)}, but {name} in {path} has {unknown[0]!r}.")
    parent = _parent(name, written.get("from"), before, path)
    recipe = Recipe(
        name=name,
        kind=written.get("kind", parent.kind if parent else "gliomaseg"),
        changes=written["changes"],
        base=written.get("from"),
        minutes=written.get("minutes", parent.minutes if parent else None),
        settings={**(parent.settings if parent else {}), **written.get("settings", {})},
        inference={**(parent.inference if parent else {}), **written.get("inference", {})},
        fit=tuple(written.get("fit", parent.fit if parent else ("temperature",))),
        trained_as=written.get("trained_as", name),
        starts_from=written.get("starts_from", parent.starts_from if parent else None),
        mean_of=tuple(written.get("mean_of", ())),
        everyone=written.get("everyone", parent.everyone if parent else False),
        soft=written.get("soft", parent.soft if parent else None),
    )
    _check(recipe, before, path)
    return recipe


def _parent(name: str, wanted: str | None, before: Mapping[str, Recipe], path: Path) -> Recipe | None:
    if wanted is None:
        return None
    if wanted not in before:
        raise InputError(
            f"{name} in {path} is from {wanted!r}, which does not stand above it; write it there."
        )
    return before[wanted]


def _check(recipe: Recipe, before: Mapping[str, Recipe], path: Path) -> None:
    if recipe.kind not in KINDS:
        raise InputError(
            f"A recipe's kind is one of {', '.join(KINDS)}, but {recipe.name} has {recipe.kind!r}."
        )
    wrong = sorted(set(recipe.fit) - set(FITS))
    if wrong:
        raise InputError(f"What is fitted is of {', '.join(FITS)}, but {recipe.name} has {wrong[0]!r}.")
    start = before.get(recipe.starts_from or "")
    if recipe.starts_from is not None and (start is None or {start.kind, recipe.kind} != {"gliomaseg"}):
        raise InputError(
            f"{recipe.name} in {path} starts from {recipe.starts_from!r}, so that must stand above it, and "
            "both be of kind gliomaseg; leave starts_from out to start afresh."
        )
    _check_mean(recipe, before, path)
    if start is not None and start.everyone and not recipe.everyone:
        raise InputError(
            f"{recipe.name} in {path} starts from {start.name}, which the inner validation has trained, so "
            "it cannot choose any more; give it `everyone: true`, or start from a recipe without."
        )
    if recipe.everyone and (recipe.starts_from is None or recipe.fit):
        raise InputError(
            f"With `everyone`, nobody is left to fit anything on, so {recipe.name} in {path} must take over "
            "the temperature of a recipe that it starts from; give it `starts_from`, and `fit: []`."
        )
    if recipe.trained_as == recipe.name:
        return
    source = before.get(recipe.trained_as)
    if source is None or _training(source) != _training(recipe):
        raise InputError(
            f"{recipe.name} in {path} takes the weights of {recipe.trained_as!r}, so it must stand below it "
            "and train alike; leave trained_as out to train it on its own."
        )


def _check_mean(recipe: Recipe, before: Mapping[str, Recipe], path: Path) -> None:
    """Refuse a mean of runs that did not begin alike, whose weights need not lie in one valley."""
    alike = {
        (member.kind, member.starts_from, member.everyone, member.soft, member.trained_as == name)
        for name in recipe.mean_of
        if (member := before.get(name)) is not None
    }
    if recipe.mean_of and (
        set(recipe.mean_of) - set(before)
        or recipe.starts_from is None
        or alike != {(recipe.kind, recipe.starts_from, recipe.everyone, recipe.soft, True)}
    ):
        raise InputError(
            f"{recipe.name} in {path} is the mean of {', '.join(recipe.mean_of)}, so these must stand above "
            f"it, be trained, and start from {recipe.starts_from!r} as it does."
        )


def _training(recipe: Recipe) -> tuple[Any, ...]:
    return (
        recipe.kind,
        recipe.minutes,
        dict(recipe.settings),
        recipe.starts_from,
        recipe.mean_of,
        recipe.everyone,
        recipe.soft,
    )
