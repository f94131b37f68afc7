"""Everything that can go wrong, once.

    UnstillError
    ├── RequestError       a knob is unknown or out of range; lists every problem   exit 2
    ├── PictureError       the picture cannot be read, or is not one                exit 3
    ├── ModelError                                                                  exit 4
    │   ├── ModelMissing   the model is not on this machine
    │   ├── ModelGated     the hub wants a licence accepted or a token
    │   └── WeightsError   files that are not the model they claim to be
    ├── DownloadError      the hub cannot be reached or broke off; trying again may help   exit 5
    ├── MachineError       this machine cannot run it: device, dtype, memory        exit 6
    │   └── WorkerLost     whoever made it died or hung; trying again may help
    ├── ResultError        the clip came out black, not finite or constant          exit 7
    ├── WriteError         the file cannot be written                               exit 8
    │   └── DiskFull
    ├── RecipeError        the file carries no recipe that can be repeated          exit 9
    ├── JobMissing         there is no such job                                     exit 10
    ├── JobConflict        it does not go with what the job is                      exit 10
    │   └── LostClaim      another worker has the job
    ├── QueueFull          more jobs wait than may                                  exit 11
    ├── StoreError         the jobs on disk cannot be read or written               exit 12
    ├── ServerError        a server of clips answers what makes no sense            exit 13
    │   ├── KeyRefused     it wants a key, or another one
    │   └── ServerMissing  it cannot be reached; trying again may help
    ├── BatchError         pictures of a batch have no clip; which and why is told           exit 14
    └── Cancelled          the caller stopped it                                    exit 130

A class exists where a caller may do something differently. Every message says what happened, what was
found and what is possible; `hint` is the next thing to try. This module knows nothing else of the package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class UnstillError(Exception):
    """The root: a message for people, and what a program needs to decide."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\nhint: {self.hint}"

    def to_dict(self) -> dict[str, object]:
        """Give the form that `--json` and HTTP answers carry."""
        return {"code": self.code, "message": self.message, "hint": self.hint, "retryable": self.retryable}


class RequestError(UnstillError):
    """One or more knobs cannot be what they were set to."""

    code, exit_code, http_status = "bad_request", 2, 422

    def __init__(self, problems: Sequence[str] | str, *, hint: str | None = None) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems), hint=hint)

    def to_dict(self) -> dict[str, object]:
        return {**super().to_dict(), "problems": list(self.problems)}


class PictureError(UnstillError):
    """The picture cannot be read, or is not a picture."""

    code, exit_code, http_status = "bad_picture", 3, 422


class ModelError(UnstillError):
    """Something about a model's files."""

    code, exit_code, http_status = "model_error", 4, 503


class ModelMissing(ModelError):
    """The model is not on this machine."""

    code = "model_missing"


class ModelGated(ModelError):
    """The hub gives the model only to people who accepted its licence."""

    code = "model_gated"


class WeightsError(ModelError):
    """The files are not the model that they claim to be."""

    code = "bad_weights"


class DownloadError(UnstillError):
    """The hub cannot be reached, or a transfer broke off."""

    code, exit_code, http_status, retryable = "download_failed", 5, 503, True


class MachineError(UnstillError):
    """This machine cannot run what was asked."""

    code, exit_code, http_status = "machine", 6, 503


class WorkerLost(MachineError):
    """The worker that made it died or hung."""

    code, retryable = "worker_lost", True


class ResultError(UnstillError):
    """The clip that came out is not one: black, constant or not finite."""

    code, exit_code, http_status, retryable = "bad_result", 7, 500, True


class WriteError(UnstillError):
    """The file cannot be written."""

    code, exit_code, http_status = "write_failed", 8, 500


class DiskFull(WriteError):
    """No room is left where the file should go."""

    code, http_status, retryable = "disk_full", 507, True


class RecipeError(UnstillError):
    """The file carries no recipe, or none that can be repeated."""

    code, exit_code, http_status = "no_recipe", 9, 422


class JobMissing(UnstillError):
    """There is no such job."""

    code, exit_code, http_status = "no_such_job", 10, 404


class JobConflict(UnstillError):
    """What is asked does not go with what the job is."""

    code, exit_code, http_status = "conflict", 10, 409


class LostClaim(JobConflict):
    """Another worker has taken the job over."""

    code = "lost_claim"


class QueueFull(UnstillError):
    """More jobs wait than may."""

    code, exit_code, http_status, retryable = "queue_full", 11, 429, True


class StoreError(UnstillError):
    """The jobs on disk cannot be read or written."""

    code, exit_code, http_status = "store", 12, 503


class ServerError(UnstillError):
    """A server of clips answers what makes no sense, or says that it failed."""

    code, exit_code, http_status = "server", 13, 502


class KeyRefused(ServerError):
    """The server wants a key, or another one."""

    code, http_status = "bad_key", 401


class ServerMissing(ServerError):
    """The server cannot be reached."""

    code, http_status, retryable = "no_server", 503, True


class BatchError(UnstillError):
    """Some pictures of a batch have no clip."""

    code, exit_code, retryable = "batch_failed", 14, True


class Cancelled(UnstillError):
    """The caller stopped the work."""

    code, exit_code, http_status, retryable = "cancelled", 130, 499, True


def make_error(told: Mapping[str, Any], otherwise: type[UnstillError] = UnstillError) -> UnstillError:
    """Make an error of what another process says of it: of the class with its code, if there is one."""
    kind = list_codes().get(str(told.get("code")), otherwise)
    message, hint = str(told.get("message") or "It failed, and no reason is given"), told.get("hint")
    if issubclass(kind, RequestError):
        return kind(told.get("problems") or message, hint=hint)
    return kind(message, hint=hint)


def list_codes(root: type[UnstillError] = UnstillError) -> dict[str, type[UnstillError]]:
    """List all classes of errors by their codes."""
    found = {root.code: root}
    for kind in root.__subclasses__():
        found |= list_codes(kind)
    return found
