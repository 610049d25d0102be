"""The reader of answers alone: whatever bytes come, in whatever pieces, it says what they are and comes to an end."""

import time
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.adapters.partner import replies
from engagement_platform.adapters.partner.replies import MAX_INFORMATIONAL, NoReply, Reader, Reply

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
NO = b"HTTP/1.1 422 No\r\nContent-Length: 0\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def coming(pieces: Sequence[bytes]) -> Callable[[float], bytes]:
    """Return a stream that ends behind these pieces."""
    left = iter([piece for piece in pieces if piece])
    return lambda seconds: next(left, b"")


def read(*pieces: bytes) -> Reply:
    return replies.read(Reader(coming(pieces), time.monotonic() + 10))


@pytest.mark.parametrize(
    ("answer", "status", "body", "keeps"),
    [
        (OK, 200, b"hi", True),
        (NO, 422, b"", True),
        (HINTS + OK, 200, b"hi", True),
        (HINTS * 3 + b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + NO, 422, b"", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
        (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, b"", True),
        (CHUNKED + b"2;name=value\r\nhi\r\n0\r\nTrailer: x\r\n\r\n", 200, b"hi", True),
        # The status is clear, and something else is not: the connection is not used again.
        (OK + b"!", 200, b"hi", False),
        (OK + OK, 200, b"hi", False),
        (OK[:-1], 200, b"h", False),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nhi", 204, b"", False),
        (b"HTTP/1.1 204 No Content\r\n\r\nhi", 204, b"", False),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, b"until the end", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", False),
        (b"HTTP/1.1 200 OK\r\nConnection: Keep-Alive, Close\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", False),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", 200, b"hi", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nno header\r\n\r\nhi", 200, b"hi", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n folded\r\n\r\nhi", 200, b"hi", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nhi", 200, b"hi", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nhi", 200, b"hi", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nhi", 200, b"hi", False),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            200,
            b"0\r\n\r\n",
            False,
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 200, b"0\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nhi", 200, b"hi", False),
        (CHUNKED + b"-2\r\nhi\r\n0\r\n\r\n", 200, b"", False),
        (CHUNKED + b"0x2\r\nhi\r\n0\r\n\r\n", 200, b"", False),
        (CHUNKED + b"2\r\nhi!\r\n0\r\n\r\n", 200, b"hi", False),
        (CHUNKED + b"2\r\nhi\r\n0\r\n", 200, b"hi", False),
        (CHUNKED + b"ffffffff\r\nhi", 200, b"hi", False),
        (CHUNKED + b"2;" + b"x" * 5_000 + b"\r\nhi\r\n0\r\n\r\n", 200, b"", False),
        (b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", 999, b"", False),
    ],
)
def test_what_an_answer_is(answer: bytes, status: int, body: bytes, keeps: bool) -> None:
    reply = read(answer)
    assert (reply.status, reply.body, reply.keeps) == (status, body, keeps)
    bytewise = read(*(answer[at : at + 1] for at in range(len(answer))))
    assert (bytewise.status, bytewise.body) == (status, body)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK",
        OK[:30],
        HINTS,
        b"\r\n" + OK,
        b"hello, this is HTTP/0.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 099 Odd\r\n\r\n",
        b"HTTP/1.1 99 Odd\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 +20 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n" + OK,
        b"HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\nhi" + OK,
        b"HTTP/1.1 102 Processing\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + OK,
        b"HTTP/1.1 103 Early Hints\r\nno header\r\n\r\n" + OK,
        b"HTTP/1.1 103 Early Hints\r\n\r\nhi" + OK,
        HINTS * (MAX_INFORMATIONAL + 1) + OK,
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20_000 + b"\r\n",
        b"HTTP/1.1 200 " + b"x" * 70_000 + b"\r\n\r\n",
    ],
)
def test_what_is_no_answer(answer: bytes) -> None:
    with pytest.raises(NoReply):
        read(answer)


def test_a_head_that_does_not_end_in_time_is_no_answer() -> None:
    def byte_by_byte(_seconds: float) -> bytes:
        time.sleep(0.001)
        return b"a"

    with pytest.raises(TimeoutError):
        replies.read(Reader(byte_by_byte, time.monotonic() + 0.05))


def test_a_body_that_does_not_end_in_time_leaves_the_status() -> None:
    given = iter([b"HTTP/1.1 200 OK\r\nContent-Length: 60000000\r\n\r\n"])
    reply = replies.read(Reader(lambda seconds: next(given, b"x"), time.monotonic() + 0.05))
    assert (reply.status, reply.keeps) == (200, False)


def test_of_a_large_body_a_beginning_is_read() -> None:
    reply = read(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n", b"x" * 9_999_999)
    assert (len(reply.body), reply.keeps) == (replies.MAX_BODY_BYTES, False)
    whole = read(b"HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n", b"x" * 65_536)
    assert (len(whole.body), whole.keeps) == (replies.MAX_BODY_BYTES, True)


parts = st.sampled_from(
    [
        OK,
        NO,
        HINTS,
        CHUNKED,
        b"2\r\nhi\r\n",
        b"0\r\n\r\n",
        b"\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"Content-Length: 3\r\n",
        b"hi",
    ]
)


@given(st.lists(parts | st.binary(max_size=20), max_size=8).map(b"".join), st.lists(st.integers(1, 40), max_size=20))
def test_whatever_comes_only_a_final_status_line_of_2xx_is_a_success(stream: bytes, sizes: list[int]) -> None:
    pieces, rest = [], stream
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    try:
        reply = read(*pieces, rest)
    except NoReply:
        return
    final = stream[reply.begins :]
    assert final.startswith(b"HTTP/1.1 %d" % reply.status)
    assert stream[: reply.begins] == HINTS * (reply.begins // len(HINTS))
    if reply.keeps and not reply.headers:
        assert reply.status == 204
