"""polygraft caption photo.jpg

Caption images: one line each with the path, a tab and the caption.

Folders are searched recursively, patterns such as 'photos/*.jpg' are expanded, and - reads a list of paths from
standard input. An image that cannot be read is reported on standard error and the others are captioned; the exit code
is then 1.

With --user, captions are in that user's own style, which is read from past posts: a folder of images with a .txt file
beside each, a JSONL file with lines of {"image": "a.jpg", "text": "..."} or {"text": "..."} alone, or a profile that
--save-profile wrote. This needs a user-aware captioner and no training. With --others, the posts of many users, the
profile is completed with past captions of users who write alike.
"""

import json
import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from backbone.errors import PolygraftError, UsageError
from backbone.generation.config import Decoding
from backbone.io.settings import check_range
from scripts._app.cli import Device, Json, emit, progress, remark, run_file

if TYPE_CHECKING:
    from multimodal.captioner import Captioner
    from multimodal.data.posts import Post, SidecarWriter
    from multimodal.pipeline import Captioned, UserSettings
    from multimodal.profile.profile import Profile
    from multimodal.users.neighbors import Neighbours


SHOWN = (
    "model", "user", "user_name", "others", "personal", "save_profile", "consensus", "max_tokens", "num_return",
    "beams", "temperature", "batch_size", "write_txt", "overwrite", "cache", "device", "seed", "json",
)  # fmt: skip
"""Options of the help page; --config and the command line take all."""

_TEMPERATURE = 0.6  # of the samples of --consensus, unless another one is given


@dataclass(frozen=True, kw_only=True)
class Options:
    """The images, the captioner and how captions are decoded."""

    images: tyro.conf.Positional[tuple[str, ...]]
    """Images, folders or patterns; - reads a list of them, one a line."""
    model: str = "starter"
    """Folder of a captioner; starter: the small one that ships with the package, or with --user starter-personal, its
    user-aware variant."""
    backbone: str = ""
    """Folder of the captioner's language model, if it has moved since the training."""
    clip: str = ""
    """Folder of its image encoder, likewise."""
    user: Path | None = None
    """Past posts of a user, or a saved profile: captions are in that user's style."""
    user_name: str = ""
    """The user, where the posts are by several."""
    others: Path | None = None
    """Posts of other users: past captions of those who write alike complete the user's own."""
    personal: float = 1.0
    """Strength of the style, 0 to 2: 0 without it, 1 as trained, above 1 exaggerated (classifier-free guidance)."""
    save_profile: Path | None = None
    """Save the user's profile to this file, which --user reads in place of the posts."""
    consensus: int = 0
    """Sample this many captions, at temperature 0.6 unless one is given, and return the MBR winner among them and the
    user's past captions of similar images; 0: off."""
    decoding: Decoding = field(default_factory=lambda: Decoding(no_repeat_ngram=3))
    batch_size: int = 32
    """Images per batch."""
    write_txt: bool = False
    """Also write the captions of photo.jpg into photo.txt."""
    overwrite: bool = False
    """Let --write-txt replace text files that are there."""
    cache: Path = Path("~/.cache/polygraft")
    """Cache folder of user profiles and image features."""
    device: Device = "auto"
    json: Json = False

    def __post_init__(self) -> None:
        if not self.images:
            raise UsageError("no image named: give files, folders, patterns, or - for a list on standard input")
        check_range(self, "batch_size", 1)
        if self.overwrite and not self.write_txt:
            raise UsageError("--overwrite has nothing to overwrite without --write-txt")
        self._check_user()
        check_consensus(self.consensus, self.decoding)

    def _check_user(self) -> None:
        check_range(self, "personal", 0, 2)
        idle = {"user_name": self.user_name, "others": self.others, "personal": self.personal != 1}
        idle |= {"save_profile": self.save_profile}
        for name, given in idle.items():
            if given and self.user is None:
                raise UsageError(f"{name} {getattr(self, name)} does nothing without --user")


def check_consensus(count: int, decoding: Decoding) -> None:
    """Refuse what contradicts it; 0 is none.

    Raises:
        UsageError: one caption is to be agreed on, or other options ask for other captions.
    """
    if count == 0:
        return
    if count < 2:
        raise UsageError(f"consensus is {count}, allowed is 0, or 2 or more")
    for name, given in {
        "beams": decoding.beams > 1,
        "contrastive": decoding.contrastive is not None,
        "num_return": decoding.num_return > 1,
    }.items():
        if given:
            value = getattr(decoding, name)
            raise UsageError(f"consensus draws captions and gives one, so {name} {value} contradicts it")


def drawn(count: int, decoding: Decoding) -> Decoding:
    """Return how captions are searched for: as asked, or so many samples."""
    if not count:
        return decoding
    return replace(decoding, temperature=decoding.temperature or _TEMPERATURE, num_return=count)


def main(options: Options) -> int:
    """Caption the images; 1 if any of them failed."""
    from multimodal.data.posts import SidecarWriter

    complaints = _Complaints()
    sidecars = SidecarWriter(overwrite=options.overwrite) if options.write_txt else None
    paths = _find(options.images, complaints)
    if sidecars:
        paths = _writable(paths, sidecars, complaints)
    listed = None if "-" in options.images else list(paths)
    waiting = paths if listed is None else iter(listed)
    first = next(waiting, None)
    # whether there is anything to do is known before the models are loaded
    if first is not None:
        for done in _caption(options, chain([first], waiting), len(listed) if listed else None):
            try:
                _deliver(done, options.json, sidecars)
            except PolygraftError as error:
                complaints.add(str(error))
    elif not complaints.count:
        complaints.add("standard input names no image: give one path a line")
    return 1 if complaints.count else 0


class _Complaints:
    """What failed: each reported at once, all counted."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, sentence: str) -> None:
        remark(f"polygraft: {sentence}")
        self.count += 1


def _find(names: tuple[str, ...], complaints: _Complaints) -> Iterator[Path]:
    """Yield each image that ``names`` name, once; names that lead nowhere are reported."""
    from backbone.io.images import list_images

    seen: set[Path] = set()
    for name in chain.from_iterable(_read_list() if name == "-" else [name] for name in names):
        try:
            found = [path for path in list_images([name]) if path not in seen]
        except PolygraftError as error:
            complaints.add(str(error))
            continue
        seen.update(found)
        yield from found


def _read_list() -> Iterator[str]:
    return (line.rstrip("\r\n") for line in sys.stdin if line.strip())


def _writable(paths: Iterator[Path], sidecars: "SidecarWriter", complaints: _Complaints) -> Iterator[Path]:
    """Yield the images beside which a caption may be written; the others are reported."""
    for path in paths:
        if refusal := sidecars.refusal(path):
            complaints.add(refusal)
        else:
            yield path


def _caption(options: Options, paths: Iterable[Path], total: int | None) -> Iterable["Captioned"]:
    """Load the models and yield captions as they are made."""
    from backbone.checkpoint import STARTER
    from multimodal.captioner import PERSONAL, Captioner
    from multimodal.pipeline import caption_files

    past = _past(options)
    model = PERSONAL if past is not None and options.model == STARTER else options.model
    captioner = Captioner.from_pretrained(
        model, device=options.device, backbone=options.backbone or None, encoder=options.clip or None
    )
    user = _user_settings(options, captioner, past)
    done = caption_files(
        captioner, paths, drawn(options.consensus, options.decoding), user=user, batch_size=options.batch_size
    )
    return progress(done, "caption", total)


def _past(options: Options) -> "Profile | list[Post] | None":
    """Return the user's past posts, before anything large is loaded."""
    from multimodal.users.load import is_replaceable, read_past

    if options.save_profile and not is_replaceable(options.save_profile):
        raise PolygraftError(f"{options.save_profile} is there and holds no profile: save it to another file")
    return read_past(options.user, options.user_name, report=remark) if options.user else None


def _user_settings(options: Options, captioner: "Captioner", past: "Profile | list[Post] | None") -> "UserSettings":
    """Return whose style captions are in, and which of several is given."""
    from multimodal.pipeline import UserSettings

    profile = None if past is None else _profile(options, captioner, past)
    return UserSettings(
        profile=profile,
        personal=options.personal,
        neighbours=_neighbours(options, captioner, profile) if profile is not None and options.others else None,
        consensus=bool(options.consensus),
    )


def _neighbours(options: Options, captioner: "Captioner", profile: "Profile") -> "Neighbours":
    """Return the other users as this one sees them."""
    from multimodal.users.load import read_community

    assert options.others is not None
    if profile.pooled is None:
        raise UsageError("--others compares images, and the posts of --user have none")
    community = read_community(options.others, captioner.encoder, options.cache.expanduser(), report=remark)
    return community.neighbours(profile)


def _profile(options: Options, captioner: "Captioner", past: "Profile | list[Post]") -> "Profile":
    from multimodal.users.load import cached_profile

    if not captioner.config.knows_users:
        raise PolygraftError(
            f"the captioner {options.model} knows no users: leave --user out, take starter-personal, or train one that "
            "does with `polygraft train captioner --preset default`"
        )
    cache = options.cache.expanduser()
    profile = cached_profile(past, captioner.encoder, cache, report=remark) if isinstance(past, list) else past
    if options.save_profile:
        profile.save(options.save_profile)
    return profile


def _deliver(done: "Captioned", as_json: bool, sidecars: "SidecarWriter | None") -> None:
    """Print and write the captions of one image.

    Raises:
        PolygraftError: it could not be read, or its captions cannot be written beside it.
    """
    from multimodal.pipeline import one_line

    if done.error:
        raise PolygraftError(done.error)
    lines = [one_line(caption.text) for caption in done.captions]
    if as_json:
        captions = [{"text": caption.text, "score": _plain(caption.score)} for caption in done.captions]
        emit(json.dumps({"path": str(done.path), "captions": captions}, ensure_ascii=False))
    else:
        for line in lines:
            emit(f"{_escape(str(done.path))}\t{line}")
    if sidecars:
        sidecars.write(done.path, lines)


def _plain(score: float) -> float | None:
    """Return a score as JSON can say it."""
    return round(score, 4) if math.isfinite(score) else None


def _escape(path: str) -> str:
    """Return a path that stays in its column."""
    return path.replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


if __name__ == "__main__":
    run_file(__file__)
