"""Serves a GGUF model with llama.cpp's own HTTP server, taking the flags of `vllm serve`.

Answers are repeatable as long as --max-num-seqs is 1: one slot, nothing kept from earlier prompts,
so a request never shares a computation with another one."""
import argparse
import signal
import threading

import xllamacpp


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="GGUF file")
    parser.add_argument("--served-model-name", default="tiny")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--max-model-len", type=int, default=16384, help="tokens of one request")
    parser.add_argument("--max-num-seqs", type=int, default=1, help="requests at a time")
    parser.add_argument("--runner", choices=["generate", "pooling"], default="generate", help="pooling: embeddings")
    parser.add_argument("--api-key", help="what clients must send")
    return parser.parse_args()


def parameters(args):
    params = xllamacpp.CommonParams()
    params.model.path = args.model
    params.model_alias = {args.served_model_name}
    params.hostnames = [args.host]
    params.port = args.port
    params.n_parallel = args.max_num_seqs
    params.n_ctx = args.max_model_len * args.max_num_seqs  # shared out evenly among the slots
    if args.runner == "pooling":
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    if args.api_key:
        params.api_keys = [args.api_key]
    params.fit_params = False
    params.offline = True
    params.warmup = False
    params.ui = False
    params.endpoint_metrics = True
    # ggml's threads spin while they wait for each other: with more of them than cores, four engines
    # on a small machine stand still.
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    # Each connection holds one for as long as it is kept. The server would start more when it needs
    # them, but not always: then a request waits until somebody else's idle connection is closed.
    params.n_threads_http = 128
    params.cache_prompt = False
    params.cache_ram_mib = 0
    params.cache_idle_slots = False
    return params


def main():
    args = parse()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server = xllamacpp.Server(parameters(args))
    print(f"serving on {server.listening_address}", flush=True)
    stop.wait()


if __name__ == "__main__":
    main()
