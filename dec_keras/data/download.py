"""Downloads of data sets' files: over HTTPS, with a checksum and a limit of size."""

import sys
import tarfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pooch

from dec_keras.files.untrusted import in_brief

PROTOCOLS = ("https://",)


@dataclass(frozen=True)
class Mirror:
    """A place to download a data set from: a base URL and {file: checksum}. An archive is unpacked in its folder."""

    url: str
    files: dict[str, str]
    members: tuple[str, ...] = ()  # members of the archive to unpack
    largest: int = 2**26  # largest size of a file in bytes


def download(mirror, name, checksum, folder):
    """Downloads a file of a Mirror to a folder, and unpacks it there if it is an archive."""
    print(f"Downloading {mirror.url}{name} to {folder}")
    pooch.get_logger().setLevel("WARNING")
    pooch.retrieve(
        mirror.url + name,
        known_hash=checksum,
        fname=name,
        path=folder,
        downloader=pooch.HTTPDownloader(
            progressbar=sys.stderr is not None,
            chunk_size=2**16,
            hooks={"response": partial(_check_response, largest=mirror.largest)},
        ),
        processor=partial(_unpack, members=mirror.members) if mirror.members else None,
    )


def _check_response(response, *_, largest, **__):
    """Raises ValueError if a response or redirect is not over HTTPS, and limits its content to `largest` bytes."""
    if not response.url.startswith(PROTOCOLS):
        raise ValueError(f"it sends to {response.url}, which is not HTTPS")
    response.iter_content = partial(_limited, response.iter_content, response.url, largest)


def _limited(content, url, largest, chunk_size):
    left = largest
    for chunk in content(chunk_size):
        left -= len(chunk)
        if left < 0:
            raise ValueError(f"it sends more than the {largest} bytes that {url} can have")
        yield chunk


def _unpack(archive, *_, members):
    """Unpacks members of a .tar into its folder, and never outside, as pooch.Untar does before Python 3.12."""
    with tarfile.open(archive) as tar:
        try:
            tar.extractall(Path(archive).parent, [tar.getmember(name) for name in members], filter="data")
        except (tarfile.TarError, KeyError) as error:
            raise ValueError(f"{archive} is damaged ({in_brief(error)})") from error
