// proxy/commands/asking.cc - see asking.h.
#include "proxy/commands/asking.h"

#include <cstdlib>
#include <iostream>
#include <stdexcept>

#include "backends/call/http_client.h"

namespace batchproxy {

void add_asking_flags(CLI::App& command, ProxyChoice& proxy, QuestionDefaults& defaults,
                      RunLimits& limits) {
  command.add_option("--url", proxy.url, "Ask this proxy or server, instead of one of its own");
  command.add_option("--concurrency", limits.in_flight, "Questions in flight (1024)")
      ->check(CLI::Range(1, 100'000));
  command.add_option("--attempts", limits.attempts, "Tries for each question (5)")
      ->check(CLI::Range(1, 1000));
  command.add_option("--column", defaults.column,
                     "The file is CSV; its prompts are in this column");
  command.add_flag("--chat", defaults.chat, "Ask prompts as a user's messages");
  command.add_flag("--choices", defaults.choices,
                   "Ask multiple choice for the probability of each option");
  command.add_option("--default-model", defaults.model,
                     "For lines that name no model (the first that is served)");
  command.add_option("--max-tokens", defaults.max_tokens, "For lines that do not say");
  command.add_option("--temperature", defaults.temperature, "For lines that do not say");
}

bool choose_proxy(const CommandLine& arguments, ProxyChoice& proxy) {
  raise_descriptor_limit();
  if (const char* key = std::getenv("OPENAI_API_KEY")) proxy.api_key = key;
  if (!proxy.url.empty()) {
    try {
      parse_url(proxy.url);
    } catch (const std::runtime_error& error) {
      std::cerr << "error: --url: " << error.what() << '\n';
      return false;
    }
    return true;
  }
  tell_found_file(arguments);
  const LoadResult loaded = load_options(arguments);
  print(loaded.diagnostics);
  if (!loaded.ok()) return false;
  proxy.program = self_executable();
  if (!arguments.config.empty()) proxy.flags.push_back("--config=" + arguments.config);
  for (const auto& [name, value] : arguments.keys.given) proxy.flags.push_back(name + "=" + value);
  return true;
}

}  // namespace batchproxy
