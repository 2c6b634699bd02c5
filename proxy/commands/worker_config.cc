// proxy/commands/worker_config.cc - batchproxy worker-config FILE: the file that the workers should
// use.
#include "configs/worker/worker_config.h"

#include <fstream>
#include <iostream>
#include <sstream>
#include <string>

#include "configs/schema/host_port.h"
#include "proxy/commands/commands.h"

namespace batchproxy {

namespace {

int print_worker_config(const CommandLine& arguments) {
  const LoadResult loaded = load_options(arguments);
  print(loaded.diagnostics);
  if (!loaded.ok()) return kUsage;
  std::ifstream file(loaded.options.file);
  std::stringstream text;
  text << file.rdbuf();
  const auto at = parse_host_port(*loaded.options.proxy.listen);
  if (at->port == 0) {
    std::cerr
        << "error: listen has port 0, which is picked at start; give --listen HOST:PORT with the "
           "port that batchproxy printed\n";
    return kUsage;
  }
  std::string host = at->host;
  if (is_wildcard(host)) host = "localhost";
  const bool asks_for_key =
      !loaded.options.proxy.api_keys_file->empty() || !loaded.options.api_keys.empty();
  const WorkerConfig made =
      make_worker_config(text.str(), arguments.config, host, at->port, asks_for_key);
  print(made.diagnostics);
  if (!made.ok()) return kUsage;
  if (is_wildcard(at->host)) {
    std::cerr << "notice: for workers on other machines write this one's name as server\n";
  }
  if (asks_for_key) {
    std::cerr << "notice: batchproxy asks for API keys: write one as api_key, in place of "
              << kKeyGoesHere << "\n";
  }
  std::cout << made.text;
  return 0;
}

}  // namespace

Command add_worker_config(CLI::App& app, CommandLine& arguments) {
  CLI::App* command =
      app.add_subcommand("worker-config", "Print the file that the workers should use");
  command->add_option("FILE", arguments.config, "Configuration file")->required();
  command->footer(
      "Examples:\n"
      "  batchproxy worker-config mine.yaml > workers.yaml\n"
      "  batchproxy worker-config mine.yaml --listen node1:8000 > workers.yaml");
  return {command, [&arguments] { return print_worker_config(arguments); }};
}

}  // namespace batchproxy
