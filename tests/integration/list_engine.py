"""An engine that completes prompts alone or in lists."""
import json
import threading

from tests.support.scripted_engine import ScriptedEngine
from tests.support.wire import OPENAPI, answer


class ListEngine:
    """Completes prompts, alone or in lists, as vLLM does; a prompt with `poison` fails the whole call."""

    def __init__(self, poison=None, status=b"400 Bad Request", token_ids=True, fails=float("inf")):
        self.poison, self.status, self.token_ids, self.fails = poison, status, token_ids, fails
        self.calls = []  # prompts of each
        self.heads = []
        self.gate = threading.Event()
        self.gate.set()
        self.backend = ScriptedEngine(self.serve, {"/openapi.json": OPENAPI} if token_ids else {})
        self.url = self.backend.url

    def serve(self, number, request, carried):
        self.gate.wait(60)
        head, _, text = request.partition(b"\r\n\r\n")
        body = json.loads(text)
        self.heads.append(head.decode().lower())
        prompts = body["prompt"] if isinstance(body["prompt"], list) else [body["prompt"]]
        self.calls.append(prompts)
        if self.poison and self.fails > 0 and any(self.poison in prompt for prompt in prompts):
            self.fails -= 1
            return answer(json.dumps({"error": {"message": f"{self.poison} is not allowed", "type": "BadRequestError",
                                                "param": None, "code": int(self.status[:3])}}).encode(), self.status)
        ids = self.token_ids and body.get("return_token_ids")
        choices = [{"index": i, "text": f"<{prompt}>", "finish_reason": "stop",
                    "token_ids": [1] * (len(prompt) % 3) if ids else None,
                    "prompt_token_ids": [2] * len(prompt) if ids else None} for i, prompt in enumerate(prompts)]
        usage = {"prompt_tokens": sum(map(len, prompts)), "total_tokens": 0,
                 "completion_tokens": sum(len(prompt) % 3 for prompt in prompts), "prompt_tokens_details": None}
        usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
        return answer(json.dumps({"id": f"cmpl-{number}", "object": "text_completion", "model": "m",
                                  "choices": choices, "usage": usage}).encode())
