// launcher/plan/command_line.h - from an engine's settings to its argument list and environment.
//
// Arguments are a list from the first to the last step; no shell ever reads them.
//
// Threading: pure functions over values.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "configs/schema/options.h"
#include "launcher/plan/engine_plan.h"

namespace batchproxy {

// vLLM's flags for `arguments`: true is `--name`, false nothing or, for what is on by default,
// `--no-name`, a list the flag once and then its values, a mapping one JSON argument, null nothing.
std::vector<std::string> flags_for(const Arguments& arguments);

// `serve`-style arguments without the program: MODEL, address, served names, then `arguments`.
std::vector<std::string> serve_arguments(const EnginePlan& plan, const Arguments& arguments);

// `command` with {model} {port} {host} {gpus} {index} filled in. Other braces are left alone, since
// arguments may be JSON.
std::vector<std::string> fill_command(const std::vector<std::string>& command,
                                      const EnginePlan& plan);

// {port}, {host} and {gpus} in a word of a command filled in: where the engine is, and what
// CUDA_VISIBLE_DEVICES it has.
std::string fill_place(std::string word, const std::string& host, int port,
                       const std::string& gpus);

// The variable by which an engine and all that it starts can be told from others.
inline constexpr const char* kEngineMarker = "BATCHPROXY_ENGINE_ID";

// The variables that are set and unset for an engine with `gpus`; `engine_id` is its unique marker.
EnvironmentChanges engine_environment(const Gpus& gpus, const std::string& engine_id,
                                      const Environment& inherited);

// Cores from `first` to before `last`; none for those that vLLM picks.
struct CoreRange {
  unsigned first = 0;
  unsigned last = 0;
};

// Adds what vLLM's CPU build needs beside others of its kind: no GPU to find, a KV cache of 4 GiB
// instead of a share of all memory, and cores of its own. What we have inherited of it stays.
void run_on_cpu(const CoreRange& cores, const Environment& inherited, EnvironmentChanges& changes);

// "0,1"
std::string join_gpus(const Gpus& gpus);

// `word` as a POSIX shell reads it back.
std::string shell_quoted(std::string_view word);

// One block for each engine: a comment line, then a command that can be pasted into a shell.
std::string dry_run_text(const std::vector<EnginePlan>& plans);

}  // namespace batchproxy
