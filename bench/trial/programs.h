// bench/trial/programs.h - the program `batchproxy`, and what it tells before anything is started:
// the GPUs of this machine, and what fits there.
//
// Threading: find_batchproxy(), gpus_here() and plan_of() look at the machine and block; the rest
// are pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace batchproxy::bench {

// Beside this program, in the build's folder beside this program's, or else on PATH. `told`: a path
// that the user gave, which counts alone. Throws std::runtime_error when it is nowhere.
std::string find_batchproxy(const std::string& told);

// GPUs that engines may get. 0: there is none, or no driver.
std::size_t gpus_here(const std::string& program);

// What `batchproxy plan --json` says of an engine.
struct MemoryAnswer {
  bool fits = true;      // it may: also where nothing is known of the model
  std::string reason{};  // why it does not
};
MemoryAnswer plan_of(const std::string& program, const std::string& config);

// From what these commands print.
std::size_t count_gpus(const std::string& gpus_json);
MemoryAnswer read_plan(const std::string& plan_json);

}  // namespace batchproxy::bench
