// configs/vllm/arguments.h - what we know about vLLM's own arguments, as written under `vllm_args`.
//
// Threading: any thread; no state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "configs/schema/argument.h"
#include "configs/text/diagnostic.h"
#include "configs/vllm/argument_names.h"
#include "configs/yaml/tree.h"

namespace batchproxy {

// The argument of that name, however it is spelt; null when absent.
const Argument* find_argument(const Arguments& arguments, std::string_view name);

// `base` with the arguments of `overrides` replaced where names match and added where not.
Arguments merge_arguments(const Arguments& base, const Arguments& overrides);

// "4096", "25.6k" (25600), "32K" (32768), up to T, as vLLM reads them; nothing for anything else.
std::optional<std::int64_t> parse_human_integer(std::string_view text);

// The integer value of argument `name` (dashes and underscores are the same), or `fallback` when it
// is absent or left to vLLM (`auto`, -1). Human sizes count as vLLM counts them: 1k is 1000, 1K
// 1024. The loader has already refused a non-integer for the names that the launcher asks for.
std::int64_t integer_argument(const Arguments& arguments, std::string_view name,
                              std::int64_t fallback);

// Reads `vllm_args`: a mapping, or the words of a command line. `path` names it in messages.
// Refuses what the launcher must own (port, model, ...) and impossible sizes; warns about near
// misses of well-known names. Returns nothing, and an error in `findings`, if it cannot be used.
std::optional<Arguments> read_arguments(const Yaml& node, const std::string& path,
                                        Findings& findings);

// The fault of that value of that argument; empty when it has none.
std::string argument_problem(const Argument& argument);

}  // namespace batchproxy
