"""One thing that a caller does: asked of the policy, done, and written down once, however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from gateway.access.audit import CANCELLED, DENIED, OK, Action, Audit, Entry
from gateway.domain.access import Principal, Scope, check_instance, check_patient, check_scope
from gateway.domain.errors import CallerError, GatewayError, Internal, NotFound, Unauthenticated
from gateway.domain.model import InstanceName

EXPIRED = "The credentials have expired."

UNKNOWN_PATIENT = "Welkin knows no such patient."
"""What ``check_patient`` says too."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls which instance, in which request, and where that is written down."""

    principal: Principal
    instance: InstanceName
    request_id: str
    audit: Audit
    clock: Callable[[], float]

    @property
    def seconds_left(self) -> float:
        """How long the proof is still good; 0 or less: it is not."""
        expires_at = self.principal.expires_at
        return float("inf") if expires_at is None else expires_at - self.clock()

    def check_expiry(self) -> None:
        """Refuse a proof that has ended.

        Raises:
            Unauthenticated: it has.
        """
        if self.seconds_left <= 0:
            raise Unauthenticated(EXPIRED)

    def act(self, action: Action, patient_id: str | None = None, *, file_id: str | None = None) -> Act:
        """Begin something."""
        return Act(self, action, patient_id, file_id)


class Act:
    """Something being done. Leaving it writes it down: before anything is shown, where all went well.

    ``shows`` is set to False for what shows nothing: its line is then not waited for. ``patients`` are
    those of whom something is shown, where the caller named none.
    """

    def __init__(self, caller: Caller, action: Action, patient_id: str | None, file_id: str | None) -> None:
        self._caller = caller
        self._action = action
        self._file_id = file_id
        self._denied = False
        self.patient_id = patient_id
        self.count = 0
        self.patients: tuple[str, ...] = ()
        self.outcome = OK
        self.shows = True

    async def __aenter__(self) -> Self:
        return self

    def ask(self, scope: Scope) -> None:
        """Ask the policy whether the caller may do this here, at all.

        Raises:
            Unauthenticated: the proof has ended.
            NotFound: the instance is not theirs.
            Forbidden: they lack the scope.
        """
        with _Denial(self):
            self._caller.check_expiry()
            check_instance(self._caller.principal, self._caller.instance)
            check_scope(self._caller.principal, scope)

    def ask_patient(self, patient_id: str) -> None:
        """Ask the policy whether the caller may know of a patient.

        Raises:
            NotFound: they may not.
        """
        with _Denial(self):
            check_patient(self._caller.principal, patient_id)

    def ask_everyone(self, refusal: CallerError) -> None:
        """Ask the policy whether the caller may know of all patients; ``refusal`` is raised if not."""
        with _Denial(self):
            if self._caller.principal.patients is not None:
                raise refusal

    def deny(self) -> None:
        """Note that the policy refused."""
        self._denied = True

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write it down.

        Raises:
            Overloaded: it went well, and cannot be written down.
        """
        caller = self._caller
        if not caller.audit.is_kept:
            return
        entry = Entry(
            caller.audit.name_of(caller.principal, caller.instance),
            self._action,
            self._outcome(error),
            caller.instance,
            self.patient_id,
            self._file_id,
            caller.request_id,
            count=0 if error is not None else self.count,
            shown=() if error is not None else self.patients,
        )
        if error is None and self.shows:
            await caller.audit.record(entry)
        else:
            caller.audit.note(entry)

    def _outcome(self, error: BaseException | None) -> str:
        return DENIED if self._denied else self.outcome if error is None else outcome_of(error)


class _Denial:
    """Tells refusals by the policy from errors of the service behind it."""

    def __init__(self, act: Act) -> None:
        self._act = act

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._act.deny()


@contextmanager
def unknown_patient() -> Generator[None]:
    """Tell of a patient that Welkin does not know in the words that the policy has for a hidden one."""
    try:
        yield
    except NotFound as error:
        raise NotFound(UNKNOWN_PATIENT) from error


def outcome_of(error: BaseException) -> str:
    """Give the word that the trail has for an error."""
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return CANCELLED
    return error.code if isinstance(error, GatewayError) else Internal.code
