// configs/vllm/argument_names.h - the names of vLLM's arguments, however they are written.
//
// Threading: any thread; no state.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace batchproxy {

// One spelling for `max-num-seqs` and `max_num_seqs`.
std::string with_underscores(std::string_view name);

// The argument that a key of `vllm_args` stands for, or the names that it may be the beginning of.
struct ArgumentName {
  std::string name;
  std::vector<std::string_view> candidates;  // several when nobody can tell; `name` is empty then
};

// As vLLM reads its command line: "--max-num-seqs", "-tp", "tensor-parallel". What is neither short
// for a name that we know nor the beginning of one stays as it is, without its dashes.
ArgumentName resolve_argument_name(std::string_view written);

// Whether a word of a command line, without its value, names one as vLLM would read it.
bool is_known_argument(std::string_view written);

// The name that was probably meant; empty when `name` is known, or near to none.
std::string_view nearest_argument(std::string_view name);

}  // namespace batchproxy
