"""Write the JSON forms of the configs that are written by hand in YAML."""

import json
from pathlib import Path

from monai.bundle import ConfigParser

CONFIGS = Path(__file__).resolve().parent.parent / "configs"


def main() -> None:
    """Write train.json and inference.json beside their YAML."""
    for name in ("train", "inference"):
        content = ConfigParser.load_config_file(str(CONFIGS / f"{name}.yaml"))
        (CONFIGS / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
