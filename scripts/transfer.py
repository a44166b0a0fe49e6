"""polygraft transfer --tokenizer ./german --out models/german

Transfer a language model to another language: new tokenizer, new embedding rows mixed from the old ones, same body.

The new tokenizer is given by --tokenizer, or trained on --text like the model's own. --init selects how a new row is
made, by the data at hand: word vectors of both languages (--source-vectors, --target-vectors) aligned by a dictionary,
parallel text, text of the new language, a donor model with the new tokenizer, or nothing. With --text alone, vectors of
its tokens are trained on it (FOCUS); with --text and --source-vectors, word vectors of its words, which --dictionary
then aligns.

A dictionary has a word, a tab and its translation on each line, in the order source, target; files of FreeDict and
CC-CEDICT are read too. Printed are how often each way of making a row was used, which tokens have no vector and why,
and how well the alignment translates held-out words; --report writes an HTML page with plots. The folder is in
transformers' format, with transfer.json beside the model. Continue with train language --from.
"""

import json
import tempfile
from pathlib import Path

from scripts._app.cli import emit, run_file, stage
from scripts._transfer.options import Options

SHOWN = (
    "out", "model", "tokenizer", "text", "vocab_size", "source_vectors", "target_vectors", "dictionary", "parallel",
    "donor", "init", "neighbors", "seed", "report", "overwrite", "json",
)  # fmt: skip
"""Options of the help page; --config and the command line take all."""


def main(options: Options) -> int:
    """Make the model, write its folder, and print the report."""
    from scripts._transfer.output import check_places

    check_places(options)
    from scripts._transfer.output import as_dict, as_lines, keep
    from scripts._transfer.run import make, read_evidence

    stage("reading vectors, dictionary and texts")
    evidence = read_evidence(options)
    with tempfile.TemporaryDirectory(prefix="polygraft-") as scratch:
        transferred = make(options, evidence, Path(scratch))
        facts = as_dict(transferred, options.out)
        page = None
        if options.report is not None:  # drawn before anything is written
            from scripts._transfer.report_html import as_page

            stage("drawing the report")
            page = as_page(transferred, facts)
    keep(transferred, options, page)
    for line in [json.dumps(facts, ensure_ascii=False)] if options.json else as_lines(facts):
        emit(line)
    return 0


if __name__ == "__main__":
    run_file(__file__)
