"""The whole error tree. The class is the decision: who broke the rule, and what happens next.

::

    FlobcError
    ├── RemoteProtocolError     a peer broke a rule: reject the record, count it, go on
    ├── LocalProtocolError      we broke a rule: stop loudly before anything is published
    ├── PayloadFault            an update's payload breaks an objective rule: vote the fault
    ├── TransientError          the world is not ready: retry after ``delay_s``
    ├── NotHeld                 this node has not, or no longer, what it is asked about: ask another one
    ├── UsageError              the person asked for something impossible: say it, exit 2
    │   └── DataError           a file or data set is missing or not what it should be
    └── VerificationError       a chain does not hold: names height and rule, exit 3
"""

from __future__ import annotations

MAX_FOUND = 200
"""How many characters of a stranger's bytes an error quotes: it may be written to a log."""


class FlobcError(Exception):
    """Root of every error that FLoBC raises on purpose."""


class ProtocolError(FlobcError):
    """A rule of ``spec/`` is broken; carries the rule's id, what was expected and what was found."""

    def __init__(self, rule: str, expected: str, found: str) -> None:
        found = found if len(found) <= MAX_FOUND else found[:MAX_FOUND] + "..."
        super().__init__(f"{rule}: expected {expected}, found {found}")
        self.rule = rule
        self.expected = expected
        self.found = found

    def __reduce__(self) -> tuple[type[FlobcError], tuple[object, ...]]:
        """Let it pass between processes."""
        return type(self), (self.rule, self.expected, self.found)


class RemoteProtocolError(ProtocolError):
    """A peer's bytes break a rule: the record is rejected whole and changes nothing."""


class LocalProtocolError(ProtocolError):
    """Our own node was about to break a rule: nothing is published."""


class PayloadFault(FlobcError):
    """An update's payload breaks an objective rule.

    ``code`` is the vote's fault code (see ``flobc.protocol.messages.Fault``), the same on
    every honest validator because it depends on the signed bytes alone.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self._message = message

    def __reduce__(self) -> tuple[type[FlobcError], tuple[object, ...]]:
        """Let it pass between processes."""
        return type(self), (self.code, self._message)


class TransientError(FlobcError):
    """Something outside is not ready; trying again after ``delay_s`` seconds may help."""

    def __init__(self, message: str, delay_s: float) -> None:
        super().__init__(message)
        self.delay_s = delay_s

    def __reduce__(self) -> tuple[type[FlobcError], tuple[object, ...]]:
        """Let it pass between processes."""
        return type(self), (str(self), self.delay_s)


class NotHeld(FlobcError):
    """This node has not, or no longer, what it is asked about."""


class UsageError(FlobcError):
    """A person's request cannot be done; the message says what, why and what to do."""


class DataError(UsageError):
    """A file or data set is missing, unreadable or not of the form it should have."""


class VerificationError(FlobcError):
    """A chain does not hold at ``height`` because ``rule`` is broken."""

    def __init__(self, height: int, rule: str, message: str) -> None:
        super().__init__(f"height {height} breaks {rule}: {message}")
        self.height = height
        self.rule = rule
