#!/usr/bin/env python3
"""Compares our CTranslate2 form of a Marian, M2M100, NLLB or mBART model with the one that CTranslate2's own converter makes.

    pip install ctranslate2==4.8.4 "transformers<5" torch sentencepiece     # in a virtual environment
    python3 actors/models/tests/official_converter.py OUR-FORM-FOLDER HUGGING-FACE-FOLDER

OUR-FORM-FOLDER is the engine's folder in the cache, of a model imported with 32-bit weights: then every number must be
the same, but for the rounding of M2M100's positions. With 16-bit weights all differ by the rounding. Exits with 1 when names, shapes, types or aliases differ, or
numbers by more than --tolerance.
"""

import argparse
import json
import struct
import sys
import tempfile
from pathlib import Path

import numpy as np

TYPES = [np.float32, np.int8, np.int16, np.int32, np.float16]
# The official converter also makes aliases of arrays that are equal by chance, such as biases of zeros; what they
# resolve to is compared instead.


def read(path):
    """Names with their arrays (aliases resolved) of a `model.bin`, and its head."""
    data, place = Path(path).read_bytes(), 0

    def number(form):
        nonlocal place
        (value,) = struct.unpack_from(form, data, place)
        place += struct.calcsize(form)
        return value

    def text():
        nonlocal place
        length = number("<H")
        value = data[place : place + length - 1].decode()
        place += length
        return value

    head = (number("<I"), text(), number("<I"))
    arrays = {}
    for _ in range(number("<I")):
        name = text()
        shape = [number("<I") for _ in range(number("<B"))]
        kind, size = TYPES[number("<B")], number("<I")
        arrays[name] = np.frombuffer(data, kind, size // np.dtype(kind).itemsize, place).reshape(shape)
        place += size
    for _ in range(number("<I")):
        alias, name = text(), text()
        arrays[alias] = arrays[name]
    assert place == len(data), "bytes are left over"
    return head, arrays


def convert(source, into, vocabulary):
    import transformers
    from ctranslate2.converters import TransformersConverter
    from ctranslate2.converters import transformers as loaders

    def tolerant(load):
        def tolerant_load(cls, *args, **options):
            # The converter uses a name that transformers before 4.56 does not know.
            try:
                return load(cls, *args, **options)
            except TypeError:
                options["torch_dtype"] = options.pop("dtype")
                return load(cls, *args, **options)

        return classmethod(tolerant_load)

    for network in (transformers.MarianMTModel, transformers.M2M100ForConditionalGeneration, transformers.MBartForConditionalGeneration):
        network.from_pretrained = tolerant(network.from_pretrained.__func__)
    # Published mBART models say so; those that transformers saves do not.
    transformers.MBartConfig.normalize_before = transformers.MBartConfig.normalize_embedding = True
    # The tokenisers of transformers since 4.34 do not tell the converter their languages at the right places.
    for loader in (loaders.M2M100Loader, loaders.MBartLoader):
        loader.get_vocabulary = lambda self, model, tokenizer: list(vocabulary)
    TransformersConverter(str(source)).convert(str(into))


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("ours", type=Path)
    arguments.add_argument("source", type=Path)
    arguments.add_argument("--tolerance", type=float, default=1e-5)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        theirs = Path(scratch) / "form"
        convert(given.source, theirs, json.loads((given.ours / "shared_vocabulary.json").read_text()))
        (our_head, ours), (their_head, official) = read(given.ours / "model.bin"), read(theirs / "model.bin")
        vocabularies = [json.loads((d / "shared_vocabulary.json").read_text()) for d in (given.ours, theirs)]
        configs = [json.loads((d / "config.json").read_text()) for d in (given.ours, theirs)]
    for config in configs:
        # Of no effect where add_source_bos is false; mBART's tokeniser has none.
        config.pop("bos_token")
    problems = []
    if our_head != their_head:
        problems.append(f"head {our_head} against {their_head}")
    if vocabularies[0] != vocabularies[1]:
        problems.append("the vocabularies differ")
    if configs[0] != configs[1]:
        problems.append(f"config.json {configs[0]} against {configs[1]}")
    problems += [f"{name} is only in one" for name in sorted(ours.keys() ^ official.keys())]
    largest = 0.0
    for name in sorted(ours.keys() & official.keys()):
        a, b = ours[name], official[name]
        if a.shape != b.shape or a.dtype != b.dtype:
            problems.append(f"{name}: {a.dtype}{a.shape} against {b.dtype}{b.shape}")
        else:
            largest = max(largest, float(np.max(np.abs(a.astype(np.float64) - b))))
    if largest > given.tolerance:
        problems.append(f"numbers differ by up to {largest}")
    print("\n".join(problems) or f"the same {len(ours)} arrays; largest difference {largest}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
