"""What an object is asked for is worked out once: `functools.cached_property` without its lock, which Python 3.12 dropped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

T = TypeVar("T")


class once(Generic[T]):  # noqa: N801 - it stands where `property` does
    """A property that is kept in the object's own dictionary from when it is first asked for."""

    def __init__(self, of: Callable[[Any], T]) -> None:
        self._of, self._name, self.__doc__ = of, of.__name__, of.__doc__

    @overload
    def __get__(self, owner: None, kind: type) -> Self: ...
    @overload
    def __get__(self, owner: object, kind: type) -> T: ...
    def __get__(self, owner: object | None, kind: type) -> T | Self:
        if owner is None:
            return self
        found = self._of(owner)
        setattr(owner, self._name, found)
        return found
