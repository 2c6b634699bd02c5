// proxy/commands/engines.cc - batchproxy engines [VERB [ENGINE]]: what the engines of a running
// batchproxy do, and orders for them, over its admin address.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "configs/manual/command_words.h"
#include "configs/text/columns.h"
#include "configs/text/items.h"
#include "configs/text/nearest_name.h"
#include "configs/text/printable.h"
#include "proxy/commands/commands.h"
#include "proxy/control/engine_orders.h"
#include "proxy/metrics/snapshot.h"

namespace batchproxy {

namespace {

struct EnginesFlags {
  std::string verb;
  std::string engine;
  bool words = false;  // see kTellWords
};

// While somebody waits for a completion.
constexpr std::chrono::seconds kPatienceOfAShell{1};

void print_engines(const std::string& status) {
  const auto now = read_status(status);
  if (!now) return;
  // The nodes have a column where there are any.
  std::size_t widest = 0;
  for (const BackendSnapshot& backend : now->backends) {
    widest = std::max(widest, columns_of(printable(backend.node)));
  }
  const auto place = [widest](const std::string& node, const std::string& gpus) {
    if (widest == 0) return gpus;
    const std::size_t width = std::max(widest, std::size("node") - 1);
    return node + std::string(width - std::min(width, columns_of(node)), ' ') + "  " + gpus;
  };
  std::cout << fmt::format("{:<16} {:<11} {:>9} {:>9} {:>9}  {}\n", "engine", "state", "in flight",
                           "answered", "restarts", place("node", "GPUs"));
  for (const BackendSnapshot& backend : now->backends) {
    std::cout << fmt::format("{:<16} {:<11} {:>9} {:>9} {:>9}  {}\n", backend.name,
                             to_string(backend.state), backend.inflight.get(),
                             backend.answered.get(), backend.restarts.get(),
                             place(printable(backend.node), backend.gpus));
    // Of one that is not well its remark says why, and more.
    const std::string& told = backend.remark.empty() ? backend.problem : backend.remark;
    if (!told.empty()) std::cout << "    " << printable(told) << '\n';
    for (const std::string& repair : backend.repairs) {
      std::cout << "    repaired: " << repair << '\n';
    }
  }
}

// What may stand behind the words that are there: an order, then an engine.
int print_words(const CommandLine& arguments, const EnginesFlags& flags) {
  if (flags.verb.empty()) {
    for (const std::string& verb : items_between_commas(engine_verbs())) std::cout << verb << '\n';
    return 0;
  }
  const auto proxy = admin_client(arguments);
  if (!proxy || !flags.engine.empty()) return 0;
  const auto now = read_status(proxy->ask("GET", "/status", kPatienceOfAShell).body);
  if (!now) return 0;
  for (const BackendSnapshot& backend : now->backends) {
    if (backend.launched) std::cout << printable(backend.name) << '\n';
  }
  return 0;
}

int engines(const CommandLine& arguments, const EnginesFlags& flags) {
  if (flags.words) return print_words(arguments, flags);
  const auto proxy = admin_client(arguments);
  if (!proxy) return kUsage;
  std::string path = "/status";
  if (!flags.verb.empty()) {
    path = "/admin/engines/" + (flags.engine.empty() ? "" : flags.engine + "/") + flags.verb;
    if (!read_engine_order(path)) {
      const std::vector<std::string> verbs = items_between_commas(engine_verbs());
      const std::string hint = suggestion(flags.verb, {verbs.begin(), verbs.end()});
      std::cerr << "error: no such order: " << printable(flags.verb)
                << (hint.empty() ? "; there are " + engine_verbs() : hint) << '\n';
      return kUsage;
    }
  }
  const bool orders = !flags.verb.empty();
  const AdminClient::Answer answer = proxy->ask(orders ? "POST" : "GET", path);
  if (!answer.is_good()) {
    const bool is_ours =
        answer.status == 0 || answer.status == 401;  // the sentence, not the proxy's
    std::cerr << (is_ours ? "error: " : "") << answer.body;
    return 1;
  }
  if (orders) {
    std::cout << answer.body;
  } else {
    print_engines(answer.body);
  }
  return 0;
}

}  // namespace

Command add_engines(CLI::App& app, CommandLine& arguments) {
  const auto flags = std::make_shared<EnginesFlags>();
  CLI::App* command =
      app.add_subcommand("engines", "What the engines of a running batchproxy do; orders for them");
  command->add_option("VERB", flags->verb, "One of " + engine_verbs());
  command->add_option("ENGINE", flags->engine, "Its name or number; all, if it is left out");
  command->add_flag(kTellWords, flags->words)->group("");
  command->footer(
      "Examples:\n"
      "  batchproxy engines                     a line for each\n"
      "  batchproxy engines restart 1           when it has finished its requests\n"
      "  batchproxy engines restart             all, one after the other\n"
      "  batchproxy engines stop engine-2 --admin 127.0.0.1:8001");
  return {command, [&arguments, flags] { return engines(arguments, *flags); }};
}

}  // namespace batchproxy
