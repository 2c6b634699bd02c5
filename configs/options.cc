// configs/options.cc - looking into vLLM arguments.
#include "configs/options.h"

#include "configs/vllm/arguments.h"

namespace batchproxy {

std::int64_t integer_argument(const Arguments& arguments, std::string_view name,
                              std::int64_t fallback) {
  const Argument* argument = find_argument(arguments, name);
  const auto* text = argument ? std::get_if<std::string>(&argument->value) : nullptr;
  if (!text || *text == "auto" || *text == "-1") return fallback;
  return parse_human_integer(*text).value_or(fallback);
}

}  // namespace batchproxy
