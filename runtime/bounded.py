"""What passes between two stages that run side by side: so few things at a time that nothing can pile up."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class BoundedQueue(Generic[T]):
    """A queue of `capacity`, between threads.

    The giver calls `put` (which waits) or `replace` (which does not), and `end` when there is no more; the taker iterates.
    Anybody may `close` it: then nobody waits any longer, and what was in it is gone.
    """

    def __init__(self, capacity: int = 1) -> None:
        self._capacity = capacity
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._error: BaseException | None = None
        self.closed = False

    def put(self, item: T) -> bool:
        """Wait until there is room, then give `item`. False where the queue is closed."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self._capacity or self.closed)
            return self._give(item)

    def replace(self, item: T) -> T | None:
        """Give `item`; if there is no room, in place of the oldest, which is returned: nobody has taken it."""
        with self._changed:
            oldest = self._items.popleft() if len(self._items) == self._capacity else None
            self._give(item)
            return oldest

    def take(self, wait: bool = True) -> T | None:
        """The next; None at the end, or at once where there is none and we do not `wait`. Raises what the giver ended with."""
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: self._items or self._ended or self.closed)
            if self._items:
                item = self._items.popleft()
                self._changed.notify_all()
                return item
            if self._error is not None and not self.closed:
                raise self._error
            return None

    def __iter__(self) -> Iterator[T]:
        while (item := self.take()) is not None:
            yield item

    def end(self, error: BaseException | None = None) -> None:
        """There is no more; what is still in it may be taken first. `error` is raised in the taker."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def close(self) -> None:
        """Nobody gives or takes any more."""
        with self._changed:
            self.closed = True
            self._items.clear()
            self._changed.notify_all()

    def _give(self, item: T) -> bool:
        if not self.closed:
            self._items.append(item)
            self._changed.notify_all()
        return not self.closed
