// configs/vllm/argument_history.h - arguments that some versions of vLLM have and others do not.
//
// vLLM ends at once with an argument that it does not know. The table says from which version on
// one is gone, or before which it is not there yet, and what says the same in the other versions.
// A new row is all it takes: `check`, the launcher and `doctor` read this table.
//
// Threading: any thread; no state.
#pragma once

#include <span>
#include <string_view>

#include "configs/vllm/version.h"

namespace batchproxy {

// What becomes of an argument in a version that does not have it.
enum class Fate {
  kRenamed,        // `other` takes the same value
  kLeftOut,        // it has no effect there, or is what happens anyway
  kTask,           // `task` became `runner` and `convert`, whose words differ
  kNoReplacement,  // leaving it out would change what the engine does: it has to be written anew
};

struct ArgumentHistory {
  std::string_view name;     // with underscores
  Version since{};           // the first version that has it
  Version gone{9999, 0, 0};  // the first version that no longer has it, or ignores it
  Fate fate = Fate::kLeftOut;
  std::string_view other{};   // for kRenamed
  std::string_view advice{};  // what to do by hand: "write ...", "remove it"
  std::string_view value{};   // where there is one, the row is about this value alone
};

std::span<const ArgumentHistory> argument_history();

// The row of `name`, however it is spelt, or of that `value` of it; null for what all versions
// have, or none.
const ArgumentHistory* history_of(std::string_view name, std::string_view value = {});

// Whether `version` has that argument, as far as the table tells.
bool is_missing(const ArgumentHistory& row, const Version& version);

}  // namespace batchproxy
