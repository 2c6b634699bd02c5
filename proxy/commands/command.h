// proxy/commands/command.h - what every subcommand of the program is, and what they share.
//
// A subcommand is one file: it adds its words and flags to the command line, and says what it does
// once it is chosen. It is listed in commands.h and in the table of main.cc.
//
// Threading: start-up only.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "configs/loader.h"
#include "configs/sources/overrides.h"
#include "proxy/admin/admin_client.h"

namespace batchproxy {

// Exit codes that all of them use; 0 is fine, 1 a failure at run time.
inline constexpr int kUsage = 2;

// Flags that set keys of the configuration. configs/schema/options.h has them, and the loader
// checks them.
struct KeyFlags {
  std::vector<Flag> given;

  void add_to(CLI::App& command);
};

// What the flags before and behind a subcommand say.
struct CommandLine {
  std::string config;
  KeyFlags keys;
  std::vector<std::string> engine_words{};  // behind `serve`, and vLLM's
};

struct Command {
  CLI::App* app = nullptr;   // tells whether it is the chosen one
  std::function<int()> run;  // its exit code; none for one that serves with the flags it adds
};

// `arguments` outlives the command.
using AddCommand = Command (*)(CLI::App& app, CommandLine& arguments);

// The file that --config names, or, where nothing else says what to serve, the first of
// usual_places(); empty when there is none.
std::string config_file(const CommandLine& arguments);

// Whether a file, flags or variables say it.
bool knows_what_to_serve(const CommandLine& arguments);

// Says which file is taken that nobody named.
void tell_found_file(const CommandLine& arguments);

// The configuration from file, environment and flags.
// `trial`: keys by name that are tried over these.
LoadResult load_options(const CommandLine& arguments, const std::vector<Flag>& trial = {});

// The same for a command that asks for no backends: without a file nothing need be configured.
// Nothing when it cannot be used; that has been told.
std::optional<Options> options_for_operator(const CommandLine& arguments);

// The running proxy that these name. Nothing when they cannot be used; that has been told.
std::optional<AdminClient> admin_client(const CommandLine& arguments);

// To stderr, a line each.
void print(const std::vector<Diagnostic>& diagnostics);
void print(const std::vector<std::string>& remarks);

// Every connection takes a descriptor, and the soft limit is often 1024.
void raise_descriptor_limit();

// The path of our own program; as it was called where there is no /proc.
std::string self_executable();

}  // namespace batchproxy
