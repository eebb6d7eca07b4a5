"""Reads an answer whole, and no more of it than fits into memory.

What a service announces says nothing of what comes: a few kilobytes of gzip may unpack to gigabytes. So the size is counted
after unpacking, piece by piece, and the connection is dropped where it goes beyond what any of the services sends.
"""

import requests

MOST = 32 * 1024 * 1024
"""Bytes after unpacking. The largest pages that the services send hold a few MB; bulk results are streamed by their readers."""
PIECE = 64 * 1024


class TooLarge(requests.RequestException):
    """The answer is no answer: reading it whole would cost more memory than a worker has."""


def read_whole(response: requests.Response) -> requests.Response:
    """Takes an answer that was asked for as a stream. Raises RequestException, as reading at once would, and TooLarge."""
    pieces, size = [], 0
    for piece in response.iter_content(PIECE):
        size += len(piece)
        if size > MOST:
            response.close()
            raise TooLarge(f"The answer is larger than {MOST // 1024 // 1024} MB.")
        pieces.append(piece)
    response._content = b"".join(pieces)  # noqa: SLF001 - where the library itself keeps what it has read
    return response
