"""Writes imagenet.txt.gz: the names of the classes of ImageNet-22k and of its subsets, as timm orders them.

    pip install --no-deps timm && python imagenet.py

A line for each synset: ImageNet-22k's in the order of its classes, then those of the other sets that are not among them. A name is what timm's
`ImageNetInfo(subset).index_to_description(index)` gives: WordNet's lemmas. After an empty line a line for each other set of classes: their
number, and for each class the line of its name, counted from 0. Timm's own tables are read (timm/data/_info, Apache-2.0; WordNet's licence for
the lemmas), without importing timm, which wants torch.
"""
import csv
import gzip
import importlib.util
import pathlib

tables = pathlib.Path(importlib.util.find_spec("timm").submodule_search_locations[0]) / "data" / "_info"
lemmas = dict(csv.reader((tables / "imagenet_synset_to_lemma.txt").read_text("utf-8").splitlines(), delimiter="\t"))
synsets = lambda name: (tables / f"{name}_synsets.txt").read_text("utf-8").splitlines()
order = synsets("imagenet22k")
subsets = [synsets(name) for name in ("imagenet21k_miil", "imagenet12k", "imagenet22k_ms", "imagenet21k_goog")]
for subset in subsets:
    known = set(order)
    order += [synset for synset in subset if synset not in known]
lines = {synset: line for line, synset in enumerate(order)}
text = "\n".join(lemmas[synset] for synset in order) + "\n\n"
text += "".join(" ".join(map(str, [len(subset)] + [lines[synset] for synset in subset])) + "\n" for subset in subsets)
pathlib.Path(__file__).with_name("imagenet.txt.gz").write_bytes(gzip.compress(text.encode("utf-8"), 9, mtime=0))
