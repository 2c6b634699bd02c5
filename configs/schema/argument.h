// configs/schema/argument.h - one argument of `vllm serve` as `vllm_args` has it.
//
// Threading: any thread; plain values.
#pragma once

#include <string>
#include <variant>
#include <vector>

namespace batchproxy {

// A mapping given as the value of a vLLM argument, already serialised.
struct JsonText {
  std::string text;

  friend bool operator==(const JsonText&, const JsonText&) = default;
};

// The value of one vLLM argument. Numbers stay as written, `monostate` is YAML's null, and an item
// of a list that is itself a list or a mapping is JSON text.
using ArgumentValue =
    std::variant<std::monostate, bool, std::string, std::vector<std::string>, JsonText>;

struct Argument {
  std::string name;  // as written: underscores or dashes
  ArgumentValue value;

  friend bool operator==(const Argument&, const Argument&) = default;
};
using Arguments = std::vector<Argument>;  // in the file's order, names unique

}  // namespace batchproxy
