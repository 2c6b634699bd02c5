// launcher/repair/flags.h - reading and changing single flags of an engine's argument list.
//
// Dashes and underscores are the same, "--flag value" and "--flag=value" too; of several the last
// counts, as for argparse. `name` is vLLM's long form with dashes: "--max-model-len".
//
// configs/vllm/arguments.h reads what a user has written, names and values apart. This here is the
// finished argv, which a repair changes after all of that: placeholders, versions, profiles.
//
// Threading: pure functions over values.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace batchproxy {

// "" if it is there without a value.
std::optional<std::string> flag_value(const std::vector<std::string>& argv, std::string_view name);

// As vLLM reads its numbers: "8k" is 8000, "8K" is 8192; nothing if it is no number.
std::optional<double> flag_number(const std::vector<std::string>& argv, std::string_view name);

// Where it stands it is changed, else it is put at the end; an empty value is none.
void set_flag(std::vector<std::string>& argv, std::string_view name, const std::string& value);
void remove_flag(std::vector<std::string>& argv, std::string_view name);

}  // namespace batchproxy
