"""``python -m castiel``: the operator's command."""

from castiel.cli.main import main

if __name__ == "__main__":
    main()
