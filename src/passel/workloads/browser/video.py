"""Films from pictures: a spool of JPEGs with their times becomes an MP4 (H.264), piece by piece, and pieces are joined as they are.

A spool is a file of records, each a time in milliseconds (unsigned, 64 bits), the width and the height of what the picture shows (16 bits
each), the picture's length (32 bits) and the picture; one without a picture says that the last one was still there at that time. What a
process that was killed has left of the last record is not read.
"""

import contextlib
import errno
import os
import struct
from collections.abc import Generator, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

if TYPE_CHECKING:
    import av.filter

_HEAD = struct.Struct(">QHHI")
_LARGEST_PICTURE = 64 * 1024 * 1024
_MILLISECONDS = Fraction(1, 1000)
_ENCODER = "libx264"
_OPTIONS = {"preset": "superfast", "tune": "zerolatency", "crf": "28", "threads": "1", "g": "300"}
"""One thread and no pictures ahead: films of many sessions are made beside their browsers."""


class Picture(NamedTuple):
    """`at` in milliseconds; `jpeg` is empty where the last one stands still."""

    at: int
    width: int
    height: int
    jpeg: bytes


def write(spool: BinaryIO, picture: Picture) -> int:
    """Returns how many bytes that is. Raises `OSError`."""
    data = _HEAD.pack(picture.at, picture.width, picture.height, len(picture.jpeg)) + picture.jpeg
    if spool.write(data) != len(data):  # what does not fit is cut off without a word
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return len(data)


def read(spool: Path) -> Iterator[Picture]:
    with spool.open("rb") as source:
        while len(head := source.read(_HEAD.size)) == _HEAD.size:
            at, width, height, size = _HEAD.unpack(head)
            jpeg = source.read(size) if size <= _LARGEST_PICTURE else b""
            if len(jpeg) < size:
                return
            yield Picture(at, width, height, jpeg)


class Piece(NamedTuple):
    """A film whose time 0 is `at` milliseconds."""

    film: Path
    at: int


def encode(spool: Path, film: Path | BinaryIO, size: tuple[int, int]) -> int | None:
    """Returns the time of its first picture, which is 0 in the film; None where there is none. Raises `OSError` and `av.FFmpegError`."""
    import av
    from av.error import InvalidDataError

    width, height = (side + side % 2 for side in size)  # what H.264 can have
    fitted: dict[tuple[int, int], Any] = {}
    with _film(film) as (container, stream):
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = _OPTIONS
        stream.codec_context.time_base = _MILLISECONDS
        last: Any = None
        began, told = 0, -1
        decoder = av.CodecContext.create("mjpeg", "r")
        for picture in read(spool):
            if picture.jpeg:
                with contextlib.suppress(InvalidDataError):
                    for decoded in decoder.decode(av.Packet(picture.jpeg)):
                        last = _fit(fitted, decoded, width, height)
            if last is None:
                continue
            if told < 0:
                began = picture.at
            told = max(told + 1, picture.at - began)
            last.pts, last.time_base = told, _MILLISECONDS
            container.mux(stream.encode(last))
        container.mux(stream.encode(None))
    return began if told >= 0 else None


def join(pieces: Sequence[Piece], film: Path | BinaryIO) -> None:
    """In their order. Players begin sooner with a file, whose index comes first. Raises `OSError` and `av.FFmpegError`."""
    import av

    with av.open(film, "w", format="mp4", options={"movflags": "+faststart"} if isinstance(film, Path) else {}) as out:
        stream: Any = None
        told = -1
        for piece in pieces:
            with av.open(str(piece.film)) as source:
                video = source.streams.video[0]
                if stream is None:
                    stream = out.add_stream_from_template(video)
                    stream.time_base = _MILLISECONDS
                for packet in source.demux(video):
                    if packet.dts is not None:
                        told = max(told + 1, int(packet.dts * packet.time_base * 1000) + piece.at - pieces[0].at)
                        packet.stream, packet.time_base = stream, _MILLISECONDS
                        packet.dts = packet.pts = told
                        out.mux(packet)


def seconds(film: Path) -> float:
    import av

    with av.open(str(film)) as source:
        return float(source.duration or 0) / 1_000_000


@contextlib.contextmanager
def _film(film: Path | BinaryIO) -> Generator[tuple[Any, Any]]:
    import av

    with av.open(film, "w", format="mp4", options={"video_track_timescale": "1000"}) as container:
        yield container, container.add_stream(_ENCODER, rate=1000)


def _fit(fitted: dict[tuple[int, int], Any], frame: Any, width: int, height: int) -> Any:
    """A picture of another size is made to fit, with black around it."""
    key = frame.width, frame.height
    if key not in fitted:
        fitted[key] = _graph(frame, width, height)
    graph = fitted[key]
    graph.push(frame)
    return graph.pull()


def _graph(frame: Any, width: int, height: int) -> "av.filter.Graph":
    from av.filter import Graph

    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=_MILLISECONDS)
    scale = graph.add("scale", f"{width}:{height}:force_original_aspect_ratio=decrease:out_range=tv")
    pad = graph.add("pad", f"{width}:{height}:-1:-1")
    shape = graph.add("format", "yuv420p")
    sink = graph.add("buffersink")
    parts = (source, scale, pad, shape, sink)
    for one, following in pairwise(parts):
        one.link_to(following)
    graph.configure()
    return graph
