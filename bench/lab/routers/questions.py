"""What is asked: the questions of a file, or made ones, of which two to seven share a passage, as in real files."""
import json
import pathlib
import random

PASSAGES = 44
WORDS_OF_PASSAGE = 650  # a thousand tokens or so
WORDS = """time year people way day man thing woman life child world school state family student group country problem
hand part place case week company system program question work government number night point home water room mother area
money story fact month lot right study book eye job word business issue side kind head house service friend father
power hour game line end member law car city community name president team minute idea body information back parent
face others level office door health person art war history party result change morning reason research girl guy
moment air teacher force education""".split()


def _some(chance, count):
    return " ".join(chance.choices(WORDS, k=count))


def make(chance=None):
    """Questions in the form of configs/questions.jsonl; always the same."""
    chance = chance or random.Random(1)
    made = []
    for _ in range(PASSAGES):
        passage = _some(chance, WORDS_OF_PASSAGE)
        for _ in range(chance.randint(2, 7)):
            options = [f"({letter}) {_some(chance, 8)}" for letter in "ABCD"]
            made.append({"passage": passage, "question": f"{_some(chance, 20)}?", "options": options})
    return made


def _is_question(line):
    return isinstance(line.get("question"), str) and isinstance(line.get("options"), list) and all(
        isinstance(option, str) for option in line["options"]) and isinstance(line.get("passage", ""), str)


def read(file):
    """Lines of JSON with `prompt`, or with `question`, `options` and perhaps `passage`."""
    found = []
    try:
        text = pathlib.Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit(f"{file} cannot be read: {error}") from None
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            question = json.loads(line)
        except ValueError as error:
            raise SystemExit(f"{file}:{number}: this is not JSON ({error}); mend or remove this line") from None
        if not isinstance(question, dict) or not (isinstance(question.get("prompt"), str) or _is_question(question)):
            raise SystemExit(f'{file}:{number}: a line wants "prompt", a text, or "question", a text, and "options", a '
                             "list of texts; mend or remove this line")
        found.append(question)
    if not found:
        raise SystemExit(f"{file} has no questions")
    return found


def about_one_passage(questions):
    """All of them on the passage of the first: the load that makes engines hot."""
    if not questions[0].get("passage"):
        raise SystemExit("--one-passage wants questions with a passage; the first one has none")
    return [{**question, "passage": questions[0]["passage"]} for question in questions]


def prompt_of(question):
    """As batchproxy-bench and `batchproxy run` ask it."""
    if "prompt" in question:
        return question["prompt"]
    context = f"Context:\n{question['passage']}\n\n" if question.get("passage") else ""
    return "\n".join([f"{context}Question:\n{question['question']}", *question["options"], "Answer:"])


def in_order(questions, count, window, salt):
    """`count` prompts: the questions again and again, each time with a first line of its own, so that no cache of an
    earlier time helps; mixed within windows, always alike."""
    prompts = [f"{salt}, time {i // len(questions)}.\n{prompt_of(questions[i % len(questions)])}" for i in range(count)]
    chance, mixed = random.Random(1), []
    for begin in range(0, count, window):
        part = prompts[begin:begin + window]
        chance.shuffle(part)
        mixed += part
    return mixed
