"""How compiled loops are made and how arrays are handed to them (``docs/adr/0002-numba.md``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from numba import carray, njit, types  # type: ignore[attr-defined]
from numba.extending import intrinsic

from flobc.errors import LocalProtocolError

Int32s: TypeAlias = npt.NDArray[np.int32]
Int64s: TypeAlias = npt.NDArray[np.int64]
Float32s: TypeAlias = npt.NDArray[np.float32]

P = ParamSpec("P")
R = TypeVar("R")
Scalar = TypeVar("Scalar", bound=np.generic)


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` at its first call, release the GIL while it runs, keep the code on disk.

    Never ``fastmath``: a kernel's result may not depend on how the compiler reorders it.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)  # type: ignore[no-any-return]
    except RuntimeError:
        # A container with a read-only root has nowhere to keep compiled code (numba says so here).
        return njit(cache=False, **options)(function)  # type: ignore[no-any-return]


@intrinsic
def _int32_pointer(_context: Any, _address: Any) -> Any:
    signature = types.CPointer(types.int32)(types.int64)  # type: ignore[no-untyped-call]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return signature, generate


@kernel
def row_at(address: int, first: int, count: int) -> Int32s:
    """The ``count`` int32 from index ``first`` of the row whose data starts at ``address``.

    Lets one compiled loop walk a list of separate arrays without copying them into a matrix;
    the caller keeps the arrays alive (see ``UpdateRows``).
    """
    return carray(_int32_pointer(address + 4 * first), (count,))  # type: ignore[call-arg]


def read_only(array: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """A view that no kernel can write: one compiled version serves writable and frozen inputs alike."""
    view = array.view()
    view.setflags(write=False)
    return view


def checked(array: npt.NDArray[Any], dtype: type[Scalar], size: int, what: str) -> npt.NDArray[Scalar]:
    """``array`` as a read-only vector for kernels.

    Raises:
        LocalProtocolError: it is no contiguous vector of ``size`` numbers of type ``dtype``.
    """
    if array.dtype != dtype or array.shape != (size,) or not array.flags.c_contiguous:
        layout = "contiguous" if array.flags.c_contiguous else "strided"
        raise LocalProtocolError(
            "AGG-1",
            f"{what} as contiguous {np.dtype(dtype)}[{size}]",
            f"{layout} {array.dtype}{list(array.shape)}",
        )
    return read_only(array)
