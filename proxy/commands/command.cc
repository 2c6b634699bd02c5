// proxy/commands/command.cc - see command.h.
#include "proxy/commands/command.h"

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <system_error>

#include <sys/auxv.h>
#include <sys/resource.h>

#include "configs/manual/short_help.h"
#include "configs/schema/host_port.h"
#include "configs/sources/usual_places.h"
#include "configs/text/home_path.h"

namespace batchproxy {

void KeyFlags::add_to(CLI::App& command) {
  for (const KeyFlag& flag : key_flags()) {
    const std::string name(flag.name);
    command
        .add_option_function<std::string>(
            name, [this, name](const std::string& value) { given.emplace_back(name, value); },
            std::string(flag.help))
        ->type_name(std::string(flag.takes))
        ->group(flag.order <= kLastOfShortHelp ? "Options" : kMoreFlags)
        ->trigger_on_parse();  // each time it is given, not the last time
  }
}

namespace {

// Whether flags or variables say already what is to be served.
bool says_what_to_serve(const CommandLine& arguments, const Environment& environment) {
  const auto names_it = [](const Flag& flag) {
    return flag.first == "--backend" || flag.first == "--model";
  };
  return std::ranges::any_of(arguments.keys.given, names_it) ||
         environment.contains("BATCHPROXY_BACKENDS") || environment.contains("BATCHPROXY_MODEL");
}

}  // namespace

std::string config_file(const CommandLine& arguments) {
  const Environment environment = process_environment();
  if (!arguments.config.empty()) return with_home(arguments.config);
  if (says_what_to_serve(arguments, environment)) return "";
  for (const std::string& place : usual_places(environment)) {
    std::error_code ignored;
    if (std::filesystem::is_regular_file(place, ignored)) return place;
  }
  return "";
}

bool knows_what_to_serve(const CommandLine& arguments) {
  return says_what_to_serve(arguments, process_environment()) || !config_file(arguments).empty();
}

void tell_found_file(const CommandLine& arguments) {
  const std::string file = config_file(arguments);
  if (!arguments.config.empty() || file.empty()) return;
  std::cerr << "notice: without --config, " << file << " is taken\n";
}

LoadResult load_options(const CommandLine& arguments, const std::vector<Flag>& trial) {
  LoadInputs inputs;
  inputs.file = config_file(arguments);
  inputs.flags = arguments.keys.given;
  inputs.engine_words = arguments.engine_words;
  inputs.environment = collect_environment();
  inputs.trial = trial;
  return load(inputs);
}

std::optional<Options> options_for_operator(const CommandLine& arguments) {
  LoadResult loaded = load_options(arguments);
  // Of a file that nobody named only what is there counts: its faults are told by who serves.
  if (arguments.config.empty()) return std::move(loaded.options);
  print(loaded.diagnostics);
  if (!loaded.ok()) return std::nullopt;
  return std::move(loaded.options);
}

std::optional<AdminClient> admin_client(const CommandLine& arguments) {
  const auto options = options_for_operator(arguments);
  if (!options) return std::nullopt;
  const auto at = parse_host_port(*options->proxy.admin);
  const bool has_tls = !options->proxy.tls.certificate->empty();
  if (at && has_tls && !is_loopback(at->host)) {
    std::cerr << "error: the admin address " << *options->proxy.admin
              << " speaks TLS, and this command does not: give batchproxy.admin an address of this "
                 "machine alone, such as 127.0.0.1:8001, or use `curl`\n";
    return std::nullopt;
  }
  // A file that merely lies about must not say where a key goes.
  const bool is_named =
      !arguments.config.empty() || options->proxy.admin.origin.source != Source::kFile;
  const Origin& origin = options->proxy.admin.origin;
  const std::string by = origin.source == Source::kFile ? " (" + origin.detail + ")" : "";
  if (at) return AdminClient(*at, by, is_named || is_loopback(at->host));
  std::cerr << "error: --admin " << *options->proxy.admin << " is not HOST:PORT\n";
  return std::nullopt;
}

void print(const std::vector<Diagnostic>& diagnostics) {
  for (const Diagnostic& diagnostic : diagnostics) std::cerr << diagnostic.format() << '\n';
}

void print(const std::vector<std::string>& remarks) {
  for (const std::string& remark : remarks) std::cerr << remark << '\n';
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

std::string self_executable() {
  std::error_code no_proc;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", no_proc);
  if (!no_proc) return path.string();
  const auto* const called = reinterpret_cast<const char*>(::getauxval(AT_EXECFN));
  return called == nullptr ? "batchproxy" : std::filesystem::absolute(called).string();
}

}  // namespace batchproxy
