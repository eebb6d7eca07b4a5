"""The sandbox's memory: named collections of JSON documents, kept across restarts by an append-only journal.

The journal is written before an answer leaves, so that what a client was told survives a killed sandbox.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from threading import RLock
from typing import Any, TextIO

Document = dict[str, Any]


class Store:
    """`lock` is held by the server around each request, so handlers read and write without further care."""

    def __init__(self, journal: Path | None = None) -> None:
        self.lock = RLock()
        self._collections: dict[str, dict[str, Document]] = {}
        self._journal: TextIO | None = None
        if journal is not None:
            self._replay(journal)
            journal.parent.mkdir(parents=True, exist_ok=True)
            self._journal = journal.open("a", encoding="utf-8")

    def _replay(self, journal: Path) -> None:
        if not journal.exists():
            return
        with journal.open(encoding="utf-8") as lines:
            for line in lines:
                try:
                    collection, key, document = json.loads(line)
                except ValueError:
                    continue  # the last line of a killed process may be cut off
                self._apply(collection, key, document)

    def _apply(self, collection: str, key: str, document: Document | None) -> None:
        table = self._collections.setdefault(collection, {})
        if document is None:
            table.pop(key, None)
        else:
            table[key] = document

    def put(self, collection: str, key: str, document: Document) -> Document:
        """Writes a document. One that was changed in place has to be put again to be kept."""
        self._apply(collection, key, document)
        self._write(collection, key, document)
        return document

    def delete(self, collection: str, key: str) -> None:
        self._apply(collection, key, None)
        self._write(collection, key, None)

    def _write(self, collection: str, key: str, document: Document | None) -> None:
        if self._journal is not None:
            self._journal.write(json.dumps([collection, key, document], ensure_ascii=False) + "\n")

    def flush(self) -> None:
        if self._journal is not None:
            self._journal.flush()

    def get(self, collection: str, key: str) -> Document | None:
        return self._collections.get(collection, {}).get(key)

    def all(self, collection: str) -> Iterator[Document]:
        return iter(list(self._collections.get(collection, {}).values()))

    def count(self, collection: str) -> int:
        return len(self._collections.get(collection, {}))

    def collections(self) -> list[str]:
        return sorted(self._collections)

    def next_number(self, name: str, start: int = 1) -> int:
        """A counter that never repeats, also after a restart."""
        value = int((self.get("_counters", name) or {"value": start - 1})["value"]) + 1
        self.put("_counters", name, {"value": value})
        return value

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None
