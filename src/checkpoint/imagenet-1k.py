"""Writes imagenet-1k.txt: the names of ImageNet-1k's classes, one per line in the order of the classes.

    pip install --no-deps timm && python imagenet-1k.py

They are what timm's `ImageNetInfo().index_to_description(index)` gives: WordNet's lemmas of the class's synset. Timm's own
tables are read (timm/data/_info, Apache-2.0; WordNet's licence for the lemmas), without importing timm, which wants torch.
"""
import csv
import importlib.util
import pathlib

tables = pathlib.Path(importlib.util.find_spec("timm").submodule_search_locations[0]) / "data" / "_info"
synsets = (tables / "imagenet_synsets.txt").read_text("utf-8").splitlines()
lemmas = dict(csv.reader((tables / "imagenet_synset_to_lemma.txt").read_text("utf-8").splitlines(), delimiter="\t"))
names = [lemmas[synset] for synset in synsets]
pathlib.Path(__file__).with_suffix(".txt").write_text("\n".join(names) + "\n", "utf-8")
