"""Hugging Face's own client classifies against a running server.      python hf_client.py URL IMAGE LABEL

URL is that of /classify, LABEL what the image shows. Exits 1 with a traceback when the answer is not what the client's users
would expect. Run by tests/conformance."""

import sys

from huggingface_hub import ImageClassificationOutputElement, InferenceClient

url, image, label = sys.argv[1:]
# A token of no meaning: a client that is given none looks for the user's own.
client = InferenceClient(timeout=30, token="none")

# Without parameters the client sends the bytes of the file.
answer = client.image_classification(image, model=url)
assert all(isinstance(element, ImageClassificationOutputElement) for element in answer), answer
assert len(answer) == 5, answer  # the default top_k of pipelines
scores = [element.score for element in answer]
assert answer[0].label == label, answer
assert scores == sorted(scores, reverse=True) and 0 < sum(scores) <= 1.0001, answer

# With parameters it sends JSON: the image in base64 as `inputs`, and `parameters`.
top = client.image_classification(image, model=url, top_k=2, function_to_apply="sigmoid")
assert [element.label for element in top] == [element.label for element in answer[:2]], (top, answer)
assert all(0 < element.score < 1 for element in top), top
