"""Push weights/ to the Hugging Face Hub: one repository, a folder and a card for each network.

    python -m training.publish USER/NAME [--only coco80-lite2 …] [--dry-run]

Needs a token with write access (`hf auth login`, or HF_TOKEN). A page reads the copy before its own
files when SEEING_WHY_WEIGHTS names the repository.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi

WEIGHTS = Path(__file__).parents[1] / "weights"
KINDS = (".safetensors", ".json", ".md")


def folders(only: list[str] | None = None) -> list[Path]:
    """The networks to push. Raises SystemExit for an unknown name or a network without a card."""
    found = sorted(path for path in WEIGHTS.iterdir() if path.is_dir())
    names = [path.name for path in found]
    for name in only or []:
        if name not in names:
            raise SystemExit(f"weights/ holds no {name}: choose from {', '.join(names)}.")
    chosen = [path for path in found if not only or path.name in only]
    for path in chosen:
        if not (path / "README.md").exists():
            raise SystemExit(f"weights/{path.name} has no model card (README.md): write one first.")
    return chosen


def operations(chosen: list[Path]) -> list[CommitOperationAdd]:
    """What goes into the commit: weights, settings and cards, and a card that lists them."""
    rows = [f"- [{path.name}]({path.name}/README.md)" for path in chosen]
    card = "---\nlicense: apache-2.0\n---\n# Seeing Why: networks\n\n" + "\n".join(rows) + "\n"
    files = [file for path in chosen for file in sorted(path.iterdir()) if file.suffix in KINDS]
    return [
        CommitOperationAdd("README.md", card.encode()),
        *(CommitOperationAdd(f"{file.parent.name}/{file.name}", str(file)) for file in files),
    ]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("repo", help="USER/NAME")
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--dry-run", action="store_true", help="say what would be pushed")
    args = parser.parse_args(arguments)
    todo = operations(folders(args.only))
    for each in todo:
        print(each.path_in_repo)
    if args.dry_run:
        return
    api = HfApi()
    api.create_repo(args.repo, exist_ok=True)
    done = api.create_commit(args.repo, todo, commit_message="Networks of Seeing Why, with cards")
    print(done.commit_url)


if __name__ == "__main__":
    main()
