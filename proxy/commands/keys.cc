// proxy/commands/keys.cc - batchproxy keys: every key of the configuration.
#include <iostream>

#include "configs/describe.h"
#include "proxy/commands/commands.h"

namespace batchproxy {

Command add_keys(CLI::App& app, CommandLine&) {
  CLI::App* command = app.add_subcommand("keys", "Print every key of the configuration");
  command->footer("Example:\n  batchproxy keys | less");
  return {command, [] {
            std::cout << describe_keys();
            return 0;
          }};
}

}  // namespace batchproxy
