"""Writes a tiny llama with random weights as a GGUF file: a real model for a real engine, in a tenth of a megabyte.

    tiny_model.py FILE

The same bytes every time, so that its answers can be compared. It reads every byte of a prompt as a
token and answers nonsense, but nonsense that depends on the whole prompt."""
import array
import random
import struct
import sys

CONTEXT = 16384
WIDTH = 32
LAYERS = 1
HEADS = 2
FEED_FORWARD = 64
# Wide enough that the likeliest token stands out: a near tie could fall either way.
WEIGHT_SPREAD = 0.3

ALIGNMENT = 32
F32_TENSOR = 0
TYPE_CODES = {"i32": 5, "f32": 6, "string": 8, "u32": 4, "array": 9}

# The kinds of token that GGUF knows.
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
CHAT_TEMPLATE = ("{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
                 "{% if add_generation_prompt %}assistant:{% endif %}")


def vocabulary():
    """(text, kind, score) of every token: three specials, every byte, every printable character."""
    tokens = [("<unk>", UNKNOWN, 0.0), ("<s>", CONTROL, 0.0), ("</s>", CONTROL, 0.0)]
    tokens += [(f"<0x{byte:02X}>", BYTE, 0.0) for byte in range(256)]
    blank = "\u2581"  # SentencePiece writes a blank like this
    characters = [blank] + [chr(code) for code in range(ord("!"), ord("~") + 1)]
    tokens += [(character, NORMAL, -1.0 - rank) for rank, character in enumerate(characters)]
    return tokens


def metadata(tokens):
    texts, kinds, scores = zip(*tokens)
    return [
        ("general.architecture", "string", "llama"),
        ("general.name", "string", "tiny random llama"),
        ("llama.context_length", "u32", CONTEXT),
        ("llama.embedding_length", "u32", WIDTH),
        ("llama.block_count", "u32", LAYERS),
        ("llama.feed_forward_length", "u32", FEED_FORWARD),
        ("llama.attention.head_count", "u32", HEADS),
        ("llama.attention.head_count_kv", "u32", HEADS),
        ("llama.attention.layer_norm_rms_epsilon", "f32", 1e-5),
        ("llama.rope.dimension_count", "u32", WIDTH // HEADS),
        ("llama.vocab_size", "u32", len(tokens)),
        ("tokenizer.ggml.model", "string", "llama"),
        ("tokenizer.ggml.tokens", "array", ("string", texts)),
        ("tokenizer.ggml.token_type", "array", ("i32", kinds)),
        ("tokenizer.ggml.scores", "array", ("f32", scores)),
        ("tokenizer.ggml.unknown_token_id", "u32", 0),
        ("tokenizer.ggml.bos_token_id", "u32", 1),
        ("tokenizer.ggml.eos_token_id", "u32", 2),
        ("tokenizer.chat_template", "string", CHAT_TEMPLATE),
    ]


def tensors(vocabulary_size):
    """(name, shape) of every tensor, rows last, as GGUF wants them."""
    shapes = [("token_embd.weight", (WIDTH, vocabulary_size)), ("output_norm.weight", (WIDTH,)),
              ("output.weight", (WIDTH, vocabulary_size))]
    for layer in range(LAYERS):
        block = {"attn_norm": (WIDTH,), "attn_q": (WIDTH, WIDTH), "attn_k": (WIDTH, WIDTH),
                 "attn_v": (WIDTH, WIDTH), "attn_output": (WIDTH, WIDTH), "ffn_norm": (WIDTH,),
                 "ffn_gate": (WIDTH, FEED_FORWARD), "ffn_up": (WIDTH, FEED_FORWARD),
                 "ffn_down": (FEED_FORWARD, WIDTH)}
        shapes += [(f"blk.{layer}.{name}.weight", shape) for name, shape in block.items()]
    return shapes


def weights(shape, source):
    if len(shape) == 1:  # a norm
        return array.array("f", [1.0] * shape[0]).tobytes()
    return array.array("f", [source.gauss(0, WEIGHT_SPREAD) for _ in range(shape[0] * shape[1])]).tobytes()


def encode(kind, value):
    if kind == "string":
        data = value.encode()
        return struct.pack("<Q", len(data)) + data
    if kind == "array":
        element, values = value
        return struct.pack("<IQ", TYPE_CODES[element], len(values)) + b"".join(
            encode(element, item) for item in values)
    return struct.pack({"u32": "<I", "i32": "<i", "f32": "<f"}[kind], value)


def padded(data):
    return data + bytes(-len(data) % ALIGNMENT)


def model_bytes():
    tokens = vocabulary()
    entries = metadata(tokens)
    shapes = tensors(len(tokens))
    source = random.Random(0)
    data, directory = b"", b""
    for name, shape in shapes:
        directory += encode("string", name) + struct.pack("<I", len(shape))
        directory += struct.pack(f"<{len(shape)}Q", *shape) + struct.pack("<IQ", F32_TENSOR, len(data))
        data += padded(weights(shape, source))
    header = struct.pack("<4sIQQ", b"GGUF", 3, len(shapes), len(entries))
    for key, kind, value in entries:
        header += encode("string", key) + struct.pack("<I", TYPE_CODES[kind]) + encode(kind, value)
    return padded(header + directory) + data


if __name__ == "__main__":
    with open(sys.argv[1], "wb") as file:
        file.write(model_bytes())
