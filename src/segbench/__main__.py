"""The program ``segbench``, and ``python -m segbench``."""

import sys
import traceback

from segbench.errors import INTERRUPTED


def main() -> None:
    """Run the command line; on Ctrl-C end with a line, however early it comes."""
    try:
        # Importing takes longest of all in a short command: Ctrl-C is likely to hit it.
        from segbench.cli import main as command_line  # noqa: PLC0415

        command_line()
    except KeyboardInterrupt:
        print("segbench: interrupted", file=sys.stderr)  # noqa: T201  (click may not be there yet)
        sys.exit(INTERRUPTED)
    except Exception:  # noqa: BLE001  # what can't even be imported is not what status 1 tells of
        traceback.print_exc()
        sys.exit(2)


if __name__ == "__main__":
    main()
