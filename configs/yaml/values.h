// configs/yaml/values.h - one YAML value as a typed one, or an error that says what was expected.
//
// Threading: any thread; no state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "configs/schema/key.h"
#include "configs/text/diagnostic.h"
#include "configs/yaml/tree.h"

namespace batchproxy {

// The purpose that a value is read for.
struct Expectation {
  const std::string& path;  // "batch_size", "batchproxy.launcher.gpus"
  const Limits& limits;
};

// Each returns nothing after reporting an error at the value's place. Quoted numbers and booleans
// are accepted, because the workers' own schema accepts them.
std::optional<bool> read_bool(const Yaml& node, const Expectation& expected, Findings& findings);
std::optional<std::int64_t> read_integer(const Yaml& node, const Expectation& expected,
                                         Findings& findings);
std::optional<double> read_number(const Yaml& node, const Expectation& expected,
                                  Findings& findings);
std::optional<Seconds> read_seconds(const Yaml& node, const Expectation& expected,
                                    Findings& findings);
std::optional<std::string> read_string(const Yaml& node, const Expectation& expected,
                                       Findings& findings);
std::optional<std::vector<std::string>> read_strings(const Yaml& node, const Expectation& expected,
                                                     Findings& findings);

// YAML 1.1's booleans: true, yes, on, false, no, off, also capitalised.
std::optional<bool> parse_bool(std::string_view text);
std::optional<std::int64_t> parse_integer(std::string_view text);  // also 32_768, as YAML 1.1
std::optional<double> parse_number(std::string_view text);         // finite

// "32_768" -> "32768", as the workers' loader reads numbers; what is no number stays as it is.
std::string without_underscores(std::string_view text);

// 0.5 -> "0.5", 1e7 -> "10000000".
std::string number_text(double value);

// "'abc'", "nothing", "a list" or "a mapping": for the end of a message.
std::string found(const Yaml& node);

// Reports "batch_size: expected a mapping, found ..." at the place of `node`.
void report_unexpected(const Yaml& node, const std::string& path, std::string_view expected,
                       Findings& findings);

}  // namespace batchproxy
