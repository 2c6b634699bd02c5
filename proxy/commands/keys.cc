// proxy/commands/keys.cc - batchproxy keys: every key of the configuration.
#include <iostream>
#include <memory>

#include "configs/describe.h"
#include "configs/json_schema.h"
#include "proxy/commands/commands.h"

namespace batchproxy {

Command add_keys(CLI::App& app, CommandLine&) {
  CLI::App* command = app.add_subcommand("keys", "Print every key of the configuration");
  const auto schema = std::make_shared<bool>(false);
  command->add_flag("--json-schema", *schema, "As a JSON Schema, for editors and validators");
  command->footer(
      "Examples:\n"
      "  batchproxy keys | less\n"
      "  batchproxy keys --json-schema > batchproxy.schema.json");
  return {command, [schema] {
            std::cout << (*schema ? json_schema() : describe_keys());
            return 0;
          }};
}

}  // namespace batchproxy
