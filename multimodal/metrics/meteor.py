"""METEOR 1.5 (Denkowski and Lavie 2014) through the public jar, where Java and pycocoevalcap are there."""

import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from threading import Timer

from backbone.errors import PolygraftError

# The jar reads and writes numbers and text as the locale has them: a comma as decimal point would make it fail.
_JAVA = ("-Xmx2G", "-Duser.language=en", "-Duser.country=US", "-Dfile.encoding=UTF-8")
_START_SECONDS = 120.0
_SECONDS_EACH = 0.1


def find_jar() -> Path:
    """The METEOR jar of the installed pycocoevalcap.

    Raises:
        PolygraftError: Java or pycocoevalcap is missing.
    """
    if not shutil.which("java"):
        raise PolygraftError(
            "METEOR is left out: it needs Java, and no `java` was found (Debian: openjdk-17-jre-headless)"
        )
    package = importlib.util.find_spec("pycocoevalcap")
    for folder in (package.submodule_search_locations or ()) if package else ():
        jar = Path(folder, "meteor", "meteor-1.5.jar")
        if jar.is_file():
            return jar
    raise PolygraftError("METEOR is left out: its jar comes with pycocoevalcap, try `pip install pycocoevalcap==1.2`")


def meteor(hypotheses: Sequence[str], references: Sequence[Sequence[str]], *, timeout: float | None = None) -> float:
    """METEOR of the whole set, in 0..1, with the parameters for English and normalised punctuation, as coco-caption.

    Args:
        hypotheses: One tokenized text per image.
        references: The tokenized texts it is compared with.
        timeout: The seconds after which Java is ended; by default two minutes and a tenth of a second for each image.

    Raises:
        PolygraftError: Java or the jar is missing, or Java failed or did not answer in time.
    """
    jar = find_jar()
    seconds = _START_SECONDS + _SECONDS_EACH * len(hypotheses) if timeout is None else timeout
    command = ["java", *_JAVA, "-jar", jar.name, "-", "-", "-stdio", "-l", "en", "-norm"]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints:
        process = subprocess.Popen(
            command, cwd=jar.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, encoding="utf-8"
        )
        timer = Timer(seconds, process.kill)
        timer.start()
        try:
            return _ask(process, hypotheses, references)
        except (OSError, ValueError) as error:
            late = not timer.is_alive()
            complaints.seek(0)
            said = " ".join(complaints.read().split())[-200:] or str(error)
            reason = f"no answer in {seconds:.0f} seconds" if late else said
            raise PolygraftError(f"METEOR is left out: Java failed ({reason})") from error
        finally:
            timer.cancel()
            process.kill()
            process.communicate()


def _ask(process: subprocess.Popen[str], hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Send lines to the jar: it answers with statistics for each image, then with the score of all of them."""
    assert process.stdin and process.stdout
    questions, answers = process.stdin, process.stdout

    def ask(*fields: str) -> str:
        questions.write(" ||| ".join(fields) + "\n")
        questions.flush()
        return answers.readline().strip()

    statistics = [
        ask("SCORE", *map(_one_field, truths), _one_field(text).replace("  ", " "))
        for text, truths in zip(hypotheses, references, strict=True)
    ]
    answer = ask("EVAL", *statistics)
    for _ in hypotheses:  # the score of every image comes before that of all
        answer = answers.readline()
    return float(answer)


def _one_field(text: str) -> str:
    return text.replace("|||", "")
