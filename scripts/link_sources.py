"""Write the folder of links that mypy and pyright need to see our folders as ``gliomaseg.*``."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "build" / "typing" / "gliomaseg"
PARTS = ("transforms", "networks", "workflows", "serving", "configs", "models")


def main() -> None:
    """Link every part into ``build/typing/gliomaseg``; links that are there already stay."""
    TARGET.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        link = TARGET / part
        if not link.is_symlink():
            link.symlink_to(ROOT / part, target_is_directory=True)


if __name__ == "__main__":
    main()
