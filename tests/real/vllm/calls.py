"""The calls that a real vLLM, the simulated one, and both through batchproxy are asked: one of each kind."""
import dataclasses
import json

from tests.support.asking import call

COMPLETIONS, CHAT, BATCH = "/v1/completions", "/v1/chat/completions", "/v1/chat/completions/batch"
LONG = "word " * 20000
MESSAGES = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Which? (A) one (B) two"}]
# What an engine makes up for every answer anew.
VOLATILE = {"id", "created", "created_at", "completed_at", "item_id"}


@dataclasses.dataclass(frozen=True)
class Call:
    name: str
    path: str
    body: object = None  # a dict is sent as JSON with a model's name; a text as it is; None is a GET
    headers: tuple = ()
    method: str = None
    status: int = 200
    difference: str = ""  # of the answer through batchproxy, on purpose

    def ask(self, url, model):
        """(status, content type, what came) of one request."""
        body = {"model": model, **self.body} if isinstance(self.body, dict) else self.body
        response, text = call(url, self.path, body, dict(self.headers), self.method)
        return response.status, (response.getheader("content-type") or "").partition(";")[0], read(response, text)


def read(response, text):
    """An answer, or the events of one, as Python has them."""
    kind = response.getheader("content-type") or ""
    if kind.startswith("application/json"):
        return json.loads(text)
    if kind.startswith("text/event-stream"):
        lines = [line.removeprefix("data: ") for line in text.decode().split("\n") if line.startswith("data: ")]
        return [line if line == "[DONE]" else json.loads(line) for line in lines]
    return text.decode()


def steady(value):
    """Without what differs from call to call."""
    if isinstance(value, dict):
        return {key: steady(item) for key, item in value.items() if key not in VOLATILE}
    if isinstance(value, list):
        return [steady(item) for item in value]
    return value


def complete(name, prompt="Which? (A) one (B) two\nAnswer:", path=COMPLETIONS, difference="", **fields):
    return Call(name, path, {"prompt": prompt, "max_tokens": 4, "temperature": 0, **fields}, difference=difference)


def chat(name, messages=MESSAGES, path=CHAT, difference="", **fields):
    return Call(name, path, {"messages": messages, "max_tokens": 4, "temperature": 0, **fields}, difference=difference)


def post(name, path, difference="", **fields):
    return Call(name, path, fields, difference=difference)


USAGE = {"stream": True, "stream_options": {"include_usage": True}}
CONTINUOUS = {"stream": True, "stream_options": {"include_usage": True, "continuous_usage_stats": True}}
SAMPLED = {"temperature": 1, "seed": 7}

ANSWERED = [
    complete("one prompt"),
    complete("list of prompts", ["one", "two", "three"]),
    complete("token ids", [70, 71, 72]),
    complete("list of token ids", [[70, 71, 72], [80, 81]]),
    complete("list of 40 prompts", [f"question {i}" for i in range(40)], max_tokens=1),
    complete("`n`", n=3, **SAMPLED),
    complete("`n` of a list", ["one", "two"], n=2, **SAMPLED),
    complete("`echo`", echo=True),
    complete("`echo` with `logprobs`, one token", echo=True, logprobs=1, max_tokens=1),
    complete("`echo` with `logprobs`, no token", echo=True, logprobs=1, max_tokens=0),
    complete("`echo` of a list", ["one", "two"], echo=True),
    complete("`logprobs`", logprobs=3),
    complete("`logprobs` of the chosen only", logprobs=0),
    complete("`prompt_logprobs`", prompt_logprobs=1),
    complete("`return_token_ids`", return_token_ids=True),
    complete("`return_token_ids` of a list", ["one", "two"], return_token_ids=True),
    complete("`echo` with `return_token_ids`", echo=True, return_token_ids=True),
    complete("`stop`", stop=["e", "a", " ", "1"]),
    complete("`stop` that stays", stop=["e", "a", " ", "1"], include_stop_str_in_output=True),
    complete("`min_tokens` and `ignore_eos`", min_tokens=4, ignore_eos=True),
    Call("no `max_tokens`", COMPLETIONS, {"prompt": "one", "temperature": 0}),
    complete("`max_tokens: null`", max_tokens=None),
    complete("more `max_tokens` than fit", max_tokens=8192, stop=["e", "a", " ", "1"]),
    complete("an unknown field", no_such_field=1),
    complete("`user`, `priority`, `request_id`", user="me", priority=0, request_id="mine"),
    complete("`cache_salt`", cache_salt="x"),
    complete("`logit_bias`", logit_bias={"70": 100}),
    complete("`allowed_token_ids`", allowed_token_ids=[70, 71]),
    complete("`response_format`", response_format={"type": "json_object"}),
    Call("no model", COMPLETIONS, '{"prompt":"one","max_tokens":2,"temperature":0}'),
    complete("stream", stream=True),
    complete("stream with usage", **USAGE),
    complete("stream with usage in every event", **CONTINUOUS),
    complete("stream of a list", ["one", "two"], stream=True),
    complete("stream with `logprobs` and ids", ignore_eos=True, stream=True, logprobs=1, return_token_ids=True),
    complete("stream with `echo`", ignore_eos=True, stream=True, echo=True),
    chat("one answer"),
    chat("`n`", n=2, **SAMPLED),
    chat("`max_completion_tokens`", max_tokens=None, max_completion_tokens=3),
    chat("no `max_tokens`", max_tokens=None, stop=["e", "a", " ", "1"]),
    chat("`return_token_ids`", return_token_ids=True),
    chat("`logprobs`", logprobs=True, top_logprobs=2),
    chat("`logprobs` of the chosen only", logprobs=True),
    chat("any role", [{"role": "parrot", "content": "one"}]),
    chat("parts", [{"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]}]),
    chat("stream", stream=True),
    chat("stream with usage", **USAGE),
    chat("stream with `logprobs`", stream=True, logprobs=True, top_logprobs=2),
    chat("several conversations", [MESSAGES, [{"role": "user", "content": "one"}]], BATCH),
    post("text", "/tokenize", prompt="one two"),
    post("text with its tokens", "/tokenize", prompt="one two", return_token_strs=True),
    post("conversation", "/tokenize", messages=MESSAGES),
    post("tokens", "/detokenize", tokens=[70, 71, 72]),
    Call("list", "/v1/models"),
    Call("is it well", "/health"),
]

# Of a model that embeds.
POOLED = [
    post("list of texts", "/v1/embeddings", input=["one", "two"]),
    post("one text, as `base64`", "/v1/embeddings", input="one", encoding_format="base64"),
    post("token ids", "/v1/embeddings", input=[[70, 71], [72]]),
    post("one text", "/pooling", input="one"),
    *[post("a text and two others", path, queries="one", documents=["two", "three"])
      for path in ("/score", "/v1/score")],
    post("`text_1` and `text_2`", "/score", text_1="one", text_2=["two", "three"]),
    *[post("`top_n` of two", path, query="one", documents=["two", "three"], top_n=1)
      for path in ("/rerank", "/v1/rerank", "/v2/rerank")],
]

POOLED_REFUSED = [
    post("empty text", "/v1/embeddings", input=""),
    post("empty list", "/v1/embeddings", input=[]),
    post("no `input`", "/v1/embeddings"),
    post("longer than the context, as ids", "/v1/embeddings", input=[70] * 9000),
    post("no documents", "/rerank", query="one", documents=[]),
]

OF_AN_EMBEDDER = [complete("of a model that embeds"), chat("of a model that embeds"),
                  chat("of a model that embeds", path=BATCH)]

OF_A_GENERATOR = [
    *[post("of a model that generates", path, input="one", text_1="one", text_2="two", query="one", documents=["two"])
      for path in ("/v1/embeddings", "/pooling", "/classify", "/score", "/v1/score", "/rerank", "/v1/rerank",
                   "/v2/rerank")],
    Call("not enabled", "/tokenizer_info"),
]

REFUSED = [
    complete("longer than the context", LONG),
    complete("longer than the context, as ids", [70] * 9000),
    complete("one longer than the context, as ids", [70] * 8193),
    complete("longer than the context, in a list", ["one", LONG]),
    complete("no room for the answer", [70] * 8192),
    complete("more `max_tokens` than the context", max_tokens=8193),
    complete("token id out of the vocabulary", [70, 10**17]),
    complete("negative token id", [70, -5]),
    complete("texts and ids", ["one", [70]]),
    complete("empty prompt", ""),
    complete("empty list", []),
    complete("empty prompt in a list", ["one", ""]),
    complete("`prompt` is a number", 5),
    post("no `prompt`", COMPLETIONS, max_tokens=4),
    complete("`max_tokens` is 0", max_tokens=0),
    complete("`max_tokens` is negative", max_tokens=-5),
    complete("`max_tokens` is a text", max_tokens="many"),
    complete("`max_tokens` is a fraction", max_tokens=1.5),
    complete("`temperature` is a text", temperature="hot"),
    complete("`temperature` is negative", temperature=-1),
    complete("`top_p` is 2", top_p=2),
    complete("`top_p` is 0", top_p=0),
    complete("`top_k` is -2", top_k=-2),
    complete("`min_p` is 2", min_p=2),
    complete("`presence_penalty` is 3", presence_penalty=3),
    complete("`repetition_penalty` is 0", repetition_penalty=0),
    complete("`n` is 0", n=0),
    complete("`n` is 2, greedily", n=2),
    complete("`n` is a million", n=1000000, **SAMPLED),
    complete("`logprobs` is -1", logprobs=-1),
    complete("`logprobs` is 50", logprobs=50),
    complete("`prompt_logprobs` is 50", prompt_logprobs=50),
    complete("`prompt_logprobs` in a stream", prompt_logprobs=1, stream=True),
    complete("`min_tokens` above `max_tokens`", min_tokens=5),
    complete("`stop` has an empty text", stop=["a", ""]),
    complete("`stop` is a number", stop=5),
    complete("`seed` is a text", seed="x"),
    complete("`stream` is a text", stream="perhaps"),
    complete("`echo` is a text", echo="perhaps"),
    complete("`suffix`", suffix="end"),
    complete("`cache_salt` is empty", cache_salt=""),
    complete("`stream_options` without a stream", stream_options={"include_usage": True}),
    complete("a bad regular expression", structured_outputs={"regex": "("}),
    chat("longer than the context", [{"role": "user", "content": LONG}]),
    Call("no `messages`", CHAT, {"max_tokens": 4}),
    chat("empty `messages`", []),
    chat("`messages` is a text", "one"),
    chat("an image", [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,x"}}]}]),
    chat("tools without a parser", tools=[{"type": "function", "function": {"name": "f"}}]),
    chat("`top_logprobs` without `logprobs`", top_logprobs=2),
    chat("`top_logprobs` is 50", logprobs=True, top_logprobs=50),
    chat("no conversation", [], BATCH),
    post("no `prompt`", "/tokenize"),
    post("no `tokens`", "/detokenize"),
    Call("not said to be JSON", COMPLETIONS, '{"prompt":"x","max_tokens":1}', (("Content-Type", "text/plain"),)),
]

OURS = "the message is ours; `code` is `invalid_json` or `invalid_request`"
UNREADABLE = [
    Call("no JSON", COMPLETIONS, '{"prompt": "x", ', difference=OURS),
    Call("a list", COMPLETIONS, "[1]", difference=OURS),
    Call("nothing", COMPLETIONS, "", difference=OURS),
]

UNKNOWN = "the message lists the models that are served; `code` is `unknown_model`"
UNKNOWN_MODEL = [
    complete("unknown model", model="nope", difference=UNKNOWN),
    chat("unknown model", model="nope", difference=UNKNOWN),
    post("unknown model", "/tokenize", model="nope", prompt="x", difference=UNKNOWN),
]

UNKNOWN_ROUTE = [
    Call("unknown path", "/nothing", status=404, difference="the body has OpenAI's shape; `code` is `unknown_route`"),
    Call("wrong method", COMPLETIONS, status=405, difference="the body has OpenAI's shape"),
]

SLASH = Call("a slash at the end", "/v1/models/", status=307, difference="answers as without the slash")

ALL = [*ANSWERED, *POOLED, *POOLED_REFUSED, *OF_AN_EMBEDDER, *OF_A_GENERATOR, *REFUSED, *UNREADABLE, *UNKNOWN_MODEL, *UNKNOWN_ROUTE, SLASH]
