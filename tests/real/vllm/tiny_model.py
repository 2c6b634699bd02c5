"""Writes a tiny llama with random weights as vLLM reads it: a real model for a real vLLM, in three megabytes.

    tiny_model.py FOLDER      (with the Python of build/vllm)

The same answers every time. It reads every byte of a prompt as a token and answers nonsense, but
nonsense that depends on the whole prompt."""
import json
import pathlib
import sys

import numpy
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

CONTEXT = 8192
WIDTH = 128
LAYERS = 2
HEADS = 4
FEED_FORWARD = 256
# Wide enough that the likeliest token stands out: a near tie could fall either way.
WEIGHT_SPREAD = 0.2
SPECIALS = ["<unk>", "<s>", "</s>"]
CHAT_TEMPLATE = ("{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
                 "{% if add_generation_prompt %}assistant:{% endif %}")


def tokenizer():
    """A token for every byte, and the specials."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={text: i for i, text in enumerate([*SPECIALS, *alphabet])}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(SPECIALS)
    return made


def weights(vocabulary):
    source = numpy.random.default_rng(0)

    def matrix(rows, columns):
        return (source.standard_normal((rows, columns)) * WEIGHT_SPREAD).astype(numpy.float32)

    norm = numpy.ones(WIDTH, numpy.float32)
    tensors = {"model.embed_tokens.weight": matrix(vocabulary, WIDTH), "lm_head.weight": matrix(vocabulary, WIDTH),
               "model.norm.weight": norm}
    for layer in range(LAYERS):
        block = {"input_layernorm": norm, "post_attention_layernorm": norm,
                 **{f"self_attn.{name}_proj": matrix(WIDTH, WIDTH) for name in "qkvo"},
                 "mlp.gate_proj": matrix(FEED_FORWARD, WIDTH), "mlp.up_proj": matrix(FEED_FORWARD, WIDTH),
                 "mlp.down_proj": matrix(WIDTH, FEED_FORWARD)}
        tensors |= {f"model.layers.{layer}.{name}.weight": tensor for name, tensor in block.items()}
    return tensors


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1) + "\n")


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    made = tokenizer()
    made.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": CONTEXT, "chat_template": CHAT_TEMPLATE,
        "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "clean_up_tokenization_spaces": False})
    write_json(folder / "config.json", {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": "float32", "hidden_act": "silu",
        "vocab_size": made.get_vocab_size(), "hidden_size": WIDTH, "intermediate_size": FEED_FORWARD,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": HEADS,
        "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": False,
        "bos_token_id": 1, "eos_token_id": 2})
    save_file(weights(made.get_vocab_size()), folder / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    main()
