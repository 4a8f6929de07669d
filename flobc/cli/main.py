"""The program ``flobc``: commands in, exit codes out.

====  ===========================================================================
code  meaning
====  ===========================================================================
0     done
1     flobc doctor found a problem, or cells of an experiment failed
2     the request cannot be done: the sentence on stderr says why and what to do
3     a chain does not hold, or not all that was to be checked could be
4     the chain stopped, or a node broke a rule of the protocol
130   interrupted (143 when asked to end by SIGTERM, 129 when the terminal closed)
====  ===========================================================================
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence

from flobc.cli.commands import build_parser
from flobc.cli.interrupt import Stop, stoppable
from flobc.cli.output import show_text
from flobc.cli.parser import parse
from flobc.errors import FlobcError, UsageError, VerificationError

EXIT_USAGE = 2
EXIT_VERIFICATION = 3
EXIT_STOPPED = 4
EXIT_BROKEN_PIPE = 141
RESTORE = " (What is stored was changed or damaged: restore it from a copy or an export and verify again.)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command line and return the exit code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever called us
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - for as long as the process lives
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a path need not be valid text
    with stoppable() as stop:
        return carry_out(sys.argv[1:] if arguments is None else arguments, stop)


def carry_out(arguments: Sequence[str], stop: Stop) -> int:
    """Parse, execute, and turn errors into one sentence and an exit code."""
    try:
        parsed = parse(build_parser(), arguments)
        code: int = parsed.run(parsed)
        sys.stdout.flush()
    except SystemExit as leave:  # argparse, after --help or --version
        return int(leave.code or 0)
    except KeyboardInterrupt:
        return stop.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at its end
        return EXIT_BROKEN_PIPE
    except UsageError as error:
        return complain(str(error), EXIT_USAGE)
    except VerificationError as error:
        return complain(f"{error}{RESTORE}", EXIT_VERIFICATION)
    except FlobcError as error:
        return complain(str(error), EXIT_STOPPED)
    except OSError as error:
        return complain(describe_os_error(error), EXIT_USAGE)
    return code


def complain(sentence: str, code: int) -> int:
    """Print an error as one line on stderr and return ``code``."""
    print(f"flobc: {show_text(' '.join(sentence.split()))}", file=sys.stderr, flush=True)
    return code


def describe_os_error(error: OSError) -> str:
    """Return what the operating system refused, as a sentence."""
    if error.errno == errno.ENOSPC:
        place = f" for {error.filename}" if error.filename is not None else ""
        return f"There is no room left{place}: free some and give the same command again; finished rounds are kept."
    place = f" {error.filename}" if error.filename is not None else ""
    reason = error.strerror or str(error)
    return f"Cannot use{place}: {reason}; check that the path exists, its permissions, and the free space."


if __name__ == "__main__":
    sys.exit(main())
