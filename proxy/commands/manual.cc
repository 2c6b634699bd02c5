// proxy/commands/manual.cc - batchproxy completion, batchproxy manual: what a shell and man(1) want
// to know of this program.
#include "configs/key_tables.h"
#include "configs/manual/manual_commands.h"
#include "configs/manual/manual_page.h"
#include "proxy/commands/commands.h"

namespace batchproxy {

namespace {

constexpr const char* kFlagsNote =
    "They serve, and may stand behind a command that needs a configuration.";
constexpr const char* kExitCodes =
    "0: fine.\n1: a failure at run time.\n2: usage or configuration.\n4: no engine has started.\n"
    "5: some questions of a run have failed or flipped.\n130: a run was stopped.";

}  // namespace

Command add_completion(CLI::App& app, CommandLine&) {
  WordCommand made = add_completion_command(app);
  return {made.app, std::move(made.run)};
}

Command add_manual(CLI::App& app, CommandLine&) {
  const auto program = [&app] {
    return program_page(words_of(app), {.version = BATCHPROXY_VERSION,
                                        .flags_note = kFlagsNote,
                                        .codes = kExitCodes,
                                        .see_also = {"batchproxy-bench(1)", "batchproxy.yaml(5)"}});
  };
  const auto keys = [] { return keys_page(key_tables(), BATCHPROXY_VERSION); };
  WordCommand made =
      add_manual_command(app, {{1, {"the program", program}}, {5, {"its configuration", keys}}});
  return {made.app, std::move(made.run)};
}

}  // namespace batchproxy
