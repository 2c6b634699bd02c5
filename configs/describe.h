// configs/describe.h - the options as text: what is in force, and what may be written.
//
// Threading: any thread; no state.
#pragma once

#include <string>
#include <vector>

#include "configs/schema/options.h"

namespace batchproxy {

// Every key with its value and where that came from, for `check --show-effective`. Secrets are
// masked.
std::string show_effective(const Options& options);

// The same as JSON: [{"key":…,"value":…,"origin":…,"section":…}].
std::string effective_json(const Options& options);

// The differences between two configurations.
struct Change {
  std::string key;  // as show_effective() names it, but a backend by its URL
  std::string from, to;
};
std::vector<Change> changes_between(const Options& from, const Options& to);

// Every key with type, default, limits, flag, variable, what a reload does and meaning, as Markdown
// tables. docs/CONFIGURATION.md holds
// this text; a test compares them.
std::string describe_keys();

}  // namespace batchproxy
