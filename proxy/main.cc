// proxy/main.cc - the program `batchproxy`: its command line, and nothing else.
//
//   batchproxy [--config FILE] [flags]     serve
//   batchproxy check [--config] FILE       look at a configuration
//   batchproxy worker-config FILE          the file that the workers should use
//   batchproxy keys                        every key of the configuration
//   batchproxy sim-engine MODEL [flags]    a simulated vLLM server
//
// Exit codes: 0 fine, 1 run-time failure, 2 usage or configuration, 4 no engine has started.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <boost/system/system_error.hpp>
#include <fmt/format.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "backends/names/resolver.h"
#include "backends/sim/sim_engine.h"
#include "configs/describe.h"
#include "configs/loader.h"
#include "configs/schema/backend_source.h"
#include "configs/schema/host_port.h"
#include "configs/sources/overrides.h"
#include "configs/text/home_path.h"
#include "configs/text/nearest_name.h"
#include "configs/text/printable.h"
#include "configs/worker/worker_config.h"
#include "configs/yaml/values.h"
#include "launcher/plan/command_line.h"
#include "launcher/process/shim.h"
#include "proxy/app.h"
#include "proxy/control/log_level.h"
#include "proxy/wire/api_keys.h"

namespace batchproxy {
namespace {

constexpr int kUsage = 2;

// Flags that set keys of the configuration. configs/schema/options.h has them, and the loader
// checks them.
struct KeyFlags {
  std::vector<Flag> given;

  void add_to(CLI::App& command) {
    for (const KeyFlag& flag : key_flags()) {
      const std::string name(flag.name);
      command
          .add_option_function<std::string>(
              name, [this, name](const std::string& value) { given.emplace_back(name, value); },
              std::string(flag.help))
          ->type_name(std::string(flag.takes))
          ->trigger_on_parse();  // each time it is given, not the last time
    }
  }
};

struct CommandLine {
  std::string config;
  KeyFlags keys;
  bool dry_run = false;
  bool strict = false;
  bool show_effective = false;
};

// The path of our own program; as it was called where there is no /proc.
std::string self_executable() {
  std::error_code no_proc;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", no_proc);
  if (!no_proc) return path.string();
  const auto* const called = reinterpret_cast<const char*>(::getauxval(AT_EXECFN));
  return called == nullptr ? "batchproxy" : std::filesystem::absolute(called).string();
}

void print(const std::vector<Diagnostic>& diagnostics) {
  for (const Diagnostic& diagnostic : diagnostics) std::cerr << diagnostic.format() << '\n';
}

// The message, whoever had a hand in it, as one line without control characters.
class PrintableMessage final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& out) override {
    const std::string text =
        printable(std::string_view(message.payload.data(), message.payload.size()));
    out.append(text.data(), text.data() + text.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<PrintableMessage>();
  }
};

void set_up_logging(const std::string& level) {
  auto logger = spdlog::stderr_color_mt("batchproxy");
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<PrintableMessage>('*').set_pattern("%Y-%m-%d %H:%M:%S.%e %^%l%$ %*");
  logger->set_formatter(std::move(formatter));
  spdlog::set_default_logger(std::move(logger));
  set_log_level(level);
}

LoadResult load_options(const CommandLine& arguments) {
  LoadInputs inputs;
  inputs.file = with_home(arguments.config);
  inputs.flags = arguments.keys.given;
  inputs.environment = collect_environment();
  return load(inputs);
}

// Every client takes a descriptor, and its request another one; the soft limit is often 1024.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// No core dump of prompts and keys, and no debugger of another process of this user. Unlike
// RLIMIT_CORE it is not inherited: engines, which are debugged by their dumps, keep theirs.
void refuse_to_be_read() {
  ::prctl(PR_SET_DUMPABLE, 0);
}

void print(const std::vector<std::string>& remarks) {
  for (const std::string& remark : remarks) std::cerr << remark << '\n';
}

// What a start would do.
std::string plan_text(const Topology& topology) {
  if (!topology.plans.empty()) return dry_run_text(topology.plans);
  const std::size_t count = topology.backends.size();
  std::string text =
      fmt::format("# {} backend{}, nothing to start\n", count, count == 1 ? "" : "s");
  for (const BackendRecord& backend : topology.backends) {
    text += "http://" + backend.endpoint->authority + "\n";
  }
  return text;
}

// What a start would refuse that the file alone does not tell. Written for another machine, the
// file is right all the same.
std::vector<std::string> not_right_here(const Options& options) {
  if (backend_source(options) != BackendSource::kLauncher) return {};
  const auto topology = make_topology(options, self_executable());
  std::vector<std::string> reasons;
  if (topology) {
    reasons = topology->missing;
    const std::string logs =
        EngineLogs::problem(*options.proxy.launcher.log_directory, topology->plans);
    if (!logs.empty()) reasons.push_back(logs);
  } else {
    reasons = topology.error();
  }
  for (std::string& reason : reasons)
    reason = "notice: on this machine it would not start: " + reason;
  if (topology) reasons.insert(reasons.begin(), topology->remarks.begin(), topology->remarks.end());
  return reasons;
}

// A start waits for them: they may be there by then.
void warn_of_missing_names(const Topology& topology) {
  for (const BackendRecord& backend : topology.backends) {
    const auto at = parse_host_port(backend.endpoint->authority);
    if (!at || is_address(at->host)) continue;
    const LookUp answer = look_up(*at);
    if (!answer.error) continue;
    std::cerr << "warning: http://" << backend.endpoint->authority
              << " cannot be found: " << describe_unresolved(at->host, answer.error) << '\n';
  }
}

int serve(const CommandLine& arguments) {
  const LoadResult loaded = load_options(arguments);
  print(loaded.diagnostics);
  if (!loaded.ok()) return kUsage;
  const LoadedApiKeys keys = load_api_keys(loaded.options);
  print(keys.diagnostics);
  if (!keys.ok()) return kUsage;
  set_up_logging(*loaded.options.proxy.log_level);

  // Until the App takes them: a batch system may send them at any time.
  for (const int harmless : {SIGPIPE, SIGUSR1, SIGUSR2}) std::signal(harmless, SIG_IGN);
  const std::string self = self_executable();
  auto topology = make_topology(loaded.options, self);
  if (!topology) {
    for (const std::string& error : topology.error()) std::cerr << "error: " << error << '\n';
    return kUsage;
  }
  for (const std::string& missing : topology->missing) {
    std::cerr << (arguments.dry_run ? "warning: " : "error: ") << missing << '\n';
  }
  print(topology->remarks);
  const std::string& logs = *loaded.options.proxy.launcher.log_directory;
  if (arguments.dry_run) {
    const std::string problem =
        topology->plans.empty() ? "" : EngineLogs::problem(logs, topology->plans);
    if (!problem.empty()) std::cerr << "warning: " << problem << '\n';
    warn_of_missing_names(*topology);
    std::cout << plan_text(*topology);
    return 0;
  }
  if (!topology->missing.empty()) return kUsage;
  raise_descriptor_limit();
  refuse_to_be_read();
  try {
    App app(loaded.options, *std::move(topology), keys.keys, self,
            [&arguments] { return load_options(arguments); });
    return app.run();
  } catch (const UnusableLogs& error) {
    std::cerr << "error: " << error.what() << '\n';
    return kUsage;
  }
}

int check(const CommandLine& arguments) {
  const LoadResult loaded = load_options(arguments);
  const LoadedApiKeys keys = load_api_keys(loaded.options);
  print(loaded.diagnostics);
  print(keys.diagnostics);
  if (arguments.show_effective && loaded.ok()) std::cout << show_effective(loaded.options);
  if (!loaded.ok() || !keys.ok() || (arguments.strict && loaded.has_warnings())) return kUsage;
  print(not_right_here(loaded.options));
  std::cerr << (arguments.config.empty() ? "configuration" : arguments.config)
            << (loaded.has_warnings() ? ": usable; see the warnings above\n" : ": fine\n");
  return 0;
}

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

// Says what of the command line is not known, and what may have been meant; also what is wrong with
// the flags that are.
int refuse_unknown(const CLI::App& app, const std::vector<Flag>& given) {
  std::vector<std::string> names;
  const auto add_names = [&names](const CLI::App& of) {
    for (const CLI::Option* option : of.get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
    for (const CLI::App* command : of.get_subcommands({})) names.push_back(command->get_name());
  };
  add_names(app);
  for (const CLI::App* command : app.get_subcommands()) add_names(*command);
  const std::vector<std::string> unknown = app.remaining(true);
  const auto hint_for = [&names](const std::string& word) {
    return suggestion(word.substr(0, word.find('=')), {names.begin(), names.end()});
  };
  const auto is_flag = [](const std::string& word) { return word.starts_with('-'); };
  // What is nearly right, and flags: one that nobody knows leaves its value over, too.
  std::vector<std::string> told;
  std::ranges::copy_if(unknown, std::back_inserter(told), [&](const std::string& word) {
    return is_flag(word) || !hint_for(word).empty();
  });
  if (told.empty()) told.push_back(unknown.front());
  for (const std::string& word : told) {
    const std::string name = word.substr(0, word.find('='));
    std::string hint = hint_for(word);
    if (name.ends_with(".yaml") || name.ends_with(".yml")) {
      hint = "; to serve with it: --config FILE";
    }
    std::cerr << "error: " << (is_flag(word) ? "unknown flag '" : "unexpected argument '")
              << printable(name) << "'" << hint << '\n';
  }
  Options ignored;
  Findings findings;
  apply_flags(given, ignored, findings);
  print(std::move(findings).take());
  std::cerr << "Run with --help for more information.\n";
  return kUsage;
}

// The words in CLI11's order, the last first. A flag that may stand alone gets the value that it
// has then: CLI11 would give it the next word.
std::vector<std::string> words_for_cli(int argc, char** argv) {
  const std::vector<KeyFlag> flags = key_flags();
  const auto may_stand_alone = [&flags](const std::string& word) {
    const auto flag = std::ranges::find(flags, word, &KeyFlag::name);
    return flag != flags.end() && flag->takes == kOptionalBool;
  };
  std::vector<std::string> words;
  for (int i = 1; i < argc; ++i) {
    const bool has_value = i + 1 < argc && parse_bool(argv[i + 1]).has_value();
    words.emplace_back(argv[i]);
    if (!has_value && may_stand_alone(words.back())) words.back() += "=true";
  }
  std::ranges::reverse(words);
  return words;
}

int run(int argc, char** argv) {
  // These two have command lines of their own.
  const std::string_view first = argc > 1 ? argv[1] : "";
  if (first == "sim-engine") return sim::run_sim_engine(argc - 1, argv + 1);
  if (first == "engine-shim") return run_shim(argc - 1, argv + 1);

  CommandLine arguments;
  CLI::App app("Batching proxy between scoring workers and vLLM servers.", "batchproxy");
  app.set_version_flag("--version", "batchproxy " BATCHPROXY_VERSION);
  app.footer(
      "Examples:\n"
      "  batchproxy --config multi_gpu_batch_config.yaml    start its engines and serve\n"
      "  batchproxy --backend http://gpu1:8000              serve an engine that runs\n"
      "  batchproxy --config configs/demo.yaml              try it without a GPU");
  app.add_option("--config", arguments.config, "Configuration file (the workers' own YAML)")
      ->type_name("FILE");
  arguments.keys.add_to(app);
  app.add_flag("--dry-run", arguments.dry_run, "Print the engines' commands and exit");
  app.fallthrough();

  auto* check_command = app.add_subcommand("check", "Check a configuration; exit 0 if it is fine");
  check_command->add_option("file", arguments.config, "Configuration file");
  check_command->add_flag("--strict", arguments.strict, "Warnings are errors");
  check_command->add_flag("--show-effective", arguments.show_effective,
                          "Print every value and where it came from");
  auto* worker_command =
      app.add_subcommand("worker-config", "Print the file that the workers should use");
  worker_command->add_option("file", arguments.config, "Configuration file")->required();
  auto* keys_command = app.add_subcommand("keys", "Print every key of the configuration");
  auto* sim_command = app.add_subcommand(
      "sim-engine", "A simulated vLLM server; `batchproxy sim-engine --help` tells its flags");
  sim_command->prefix_command();  // what follows is its own
  check_command->footer(
      "Examples:\n"
      "  batchproxy check multi_gpu_batch_config.yaml       every mistake, with its line\n"
      "  batchproxy check --strict --gpus 8 mine.yaml       for a machine with 8 GPUs\n"
      "  batchproxy check --show-effective mine.yaml        each value and where it is from");
  worker_command->footer(
      "Examples:\n"
      "  batchproxy worker-config mine.yaml > workers.yaml\n"
      "  batchproxy worker-config mine.yaml --listen node1:8000 > workers.yaml");
  keys_command->footer("Example:\n  batchproxy keys | less");

  try {
    app.parse(words_for_cli(argc, argv));
  } catch (const CLI::ExtrasError&) {
    return refuse_unknown(app, arguments.keys.given);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : kUsage;
  }
  if (*sim_command) {
    std::cerr << "error: sim-engine has flags of its own, and stands first: batchproxy sim-engine "
                 "MODEL [flags]\n";
    return kUsage;
  }
  if (*keys_command) {
    std::cout << describe_keys();
    return 0;
  }
  if (*check_command) return check(arguments);
  if (*worker_command) return print_worker_config(arguments);
  return serve(arguments);
}

}  // namespace
}  // namespace batchproxy

int main(int argc, char** argv) {
  try {
    return batchproxy::run(argc, argv);
  } catch (const boost::system::system_error& error) {
    const bool scarce = error.code() == boost::system::errc::too_many_files_open;
    std::fprintf(stderr, "error: %s%s\n", error.what(),
                 scarce ? ". Raise the limit: ulimit -n" : "");
    return 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
