// configs/validate.cc - one function per rule.
#include "configs/validate.h"

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "configs/engine_wish.h"
#include "configs/schema/backend_source.h"
#include "configs/schema/host_port.h"
#include "configs/schema/log_choice.h"
#include "configs/text/nearest_name.h"
#include "configs/yaml/values.h"

namespace batchproxy {
namespace {

// The URL as it may be printed: no password reaches a log.
std::string without_user(std::string url) {
  const std::size_t at = url.rfind('@');
  if (at == std::string::npos) return url;
  const std::size_t scheme = url.find("://");
  const std::size_t start = scheme < at ? scheme + 3 : 0;
  return url.replace(start, at - start, "...");
}

// The names in braces in `word`, as in "{gpus}": letters, digits, _ and dots. Those of a shell
// (${HOME}), of curl (%{http_code}) and of templates ({{name}}) are none.
std::vector<std::string_view> placeholders_in(std::string_view word) {
  std::vector<std::string_view> found;
  for (std::size_t open = word.find('{'); open != word.npos; open = word.find('{', open + 1)) {
    const std::string_view rest = word.substr(open + 1);
    const std::size_t length = std::min(
        rest.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_."),
        rest.size());
    const bool is_foreign =
        open > 0 && std::string_view("${%").find(word[open - 1]) != std::string_view::npos;
    if (length > 0 && length < rest.size() && rest[length] == '}' && !is_foreign) {
      found.push_back(rest.substr(0, length));
    }
  }
  return found;
}

// What is written afresh for every hop.
constexpr std::array<std::string_view, 16> kNeverPassed = {"authorization",
                                                           "connection",
                                                           "content-length",
                                                           "expect",
                                                           "host",
                                                           "http2-settings",
                                                           "keep-alive",
                                                           "proxy-authenticate",
                                                           "proxy-authorization",
                                                           "proxy-connection",
                                                           "te",
                                                           "trailer",
                                                           "transfer-encoding",
                                                           "upgrade",
                                                           "x-api-key",
                                                           "x-request-id"};

// batchproxy.allowed_origins decides, and one answer may say it once.
constexpr std::string_view kOfBrowsers = "access-control-";

bool is_never_passed(std::string name) {
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  }
  return std::ranges::count(kNeverPassed, name) > 0 || name.starts_with("x-batchproxy-") ||
         name.starts_with(kOfBrowsers);
}

bool is_name_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.';
}

// What may stand in a request line: no blank, no fragment, nothing to be encoded.
bool is_path(std::string_view text) {
  return text.starts_with('/') && !text.starts_with("//") &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c < 127 && c != '#'; });
}

class Validator {
 public:
  Validator(const Options& options, Findings& findings)
      : options_(options),
        worker_(options.worker),
        proxy_(options.proxy),
        launcher_(options.proxy.launcher),
        findings_(findings) {}

  void run() {
    check_listeners();
    check_pass_headers();
    check_allowed_origins();
    check_jobs();
    check_backend_urls();
    check_backend_words();
    check_launcher();
    check_placement();
    check_access_log();
    check_tls();
    check_tracing();
    if (!source_is_certain()) return;
    switch (backend_source(options_)) {
      case BackendSource::kList:
        check_list();
        break;
      case BackendSource::kLauncher:
        check_boot_local();
        break;
      case BackendSource::kServerAndPort:
        check_server_and_port();
        break;
      case BackendSource::kNone:
        report_no_engines();
        break;
    }
  }

 private:
  Place place_of(const Origin& origin) const {
    if (origin.source == Source::kFile) return {options_.file, origin.line, origin.column};
    if (origin.source != Source::kDefault) return {origin.detail};
    return {options_.file.empty() ? "batchproxy" : options_.file};
  }

  template <class T>
  bool refused(const Key<T>& key) const {
    return key.is_set() && findings_.has_error_at(place_of(key.origin));
  }

  // The address in `key`, or nothing after reporting what is wrong with it.
  std::optional<HostPort> check_address(const Key<std::string>& key) {
    if (refused(key)) return std::nullopt;
    auto address = parse_host_port(key.value);
    if (!address) {
      findings_.error(place_of(key.origin), std::string(key.name) +
                                                ": expected HOST:PORT, such as 127.0.0.1:8000 or "
                                                "[::1]:8000, with a port up to 65535, found '" +
                                                key.value + "'");
    }
    return address;
  }

  bool has_client_keys() const {
    return !proxy_.api_keys_file.value.empty() || !options_.api_keys.empty();
  }

  // Nobody shall be reachable from the network by accident.
  void check_exposure(const Key<std::string>& key, const HostPort& address,
                      const std::string& what) {
    if (is_loopback(address.host) || has_client_keys() || refused(proxy_.api_keys_file)) return;
    const std::string open = std::string(key.name) + ": " + key.value +
                             " is not a loopback address: anyone on the network may " + what;
    if (*proxy_.allow_unauthenticated) return findings_.notice(place_of(key.origin), open);
    findings_.error(place_of(key.origin),
                    open +
                        ". Name a file of keys in batchproxy.api_keys_file, or, if you mean it, "
                        "write batchproxy.allow_unauthenticated: true");
  }

  void check_tls() {
    const Key<std::string>&certificate = proxy_.tls.certificate, &key = proxy_.tls.key;
    if (certificate.value.empty() == key.value.empty()) return;
    const bool lacks_key = key.value.empty();
    findings_.error(place_of(lacks_key ? certificate.origin : key.origin),
                    lacks_key ? "tls: certificate needs key, the file of its key"
                              : "tls: key needs certificate, the file of its certificate");
  }

  void check_tracing() {
    const Key<std::string>& endpoint = proxy_.tracing.otlp_endpoint;
    if (!endpoint->empty()) {
      const CollectorUrl at = parse_collector_url(*endpoint);
      if (!at.problem.empty()) {
        findings_.error(place_of(endpoint.origin), "otlp_endpoint: " + at.problem + ", found '" +
                                                       without_user(*endpoint) + "'");
      }
    }
    // Not shown: it may be a key.
    const Key<std::vector<std::string>>& headers = proxy_.tracing.otlp_headers;
    for (std::size_t i = 0; i < headers->size(); ++i) {
      if (parse_header_pair((*headers)[i])) continue;
      findings_.error(place_of(headers.origin), "otlp_headers: number " + std::to_string(i + 1) +
                                                    " is not NAME=VALUE, as in x-api-key=secret");
    }
  }

  void check_access_log() {
    const Key<std::string>& which = proxy_.access_log.which;
    if (refused(which) || read_log_choice(which.value)) return;
    findings_.error(place_of(which.origin),
                    "which: expected all, slow, failed or a percentage such as 5%, found '" +
                        which.value + "'");
  }

  void check_listeners() {
    listen_ = check_address(proxy_.listen);
    admin_ = check_address(proxy_.admin);
    if (listen_) check_exposure(proxy_.listen, *listen_, "send requests");
    if (admin_) check_exposure(proxy_.admin, *admin_, "read the status and the metrics");
    if (!listen_ || !admin_ || !overlaps(*listen_, *admin_)) return;
    const auto& culprit = proxy_.admin.is_set() ? proxy_.admin : proxy_.listen;
    findings_.error(place_of(culprit.origin),
                    "listen (" + proxy_.listen.value + ") and admin (" + proxy_.admin.value +
                        ") are the same address; give one of them another port");
  }

  void check_pass_headers() {
    for (const std::string& name : proxy_.pass_headers.value) {
      const bool is_name = !name.empty() && std::ranges::all_of(name, is_name_byte);
      if (is_name && !is_never_passed(name)) continue;
      findings_.error(place_of(proxy_.pass_headers.origin),
                      "pass_headers: '" + name + "' " +
                          (is_name ? "is never passed on: it is about one connection, the body's "
                                     "framing, a key, browsers' access (see allowed_origins), or "
                                     "batchproxy itself"
                                   : "is not the name of a header field"));
    }
  }

  void check_allowed_origins() {
    for (const std::string& origin : proxy_.allowed_origins.value) {
      const std::string problem = origin == "*" ? "" : problem_of_origin(origin);
      if (problem.empty()) continue;
      findings_.error(place_of(proxy_.allowed_origins.origin),
                      "allowed_origins: '" + origin + "': " + problem);
    }
  }

  void check_jobs() {
    const auto& by_key = proxy_.jobs.by_key;
    if (!*by_key || has_client_keys() || refused(by_key)) return;
    findings_.warning(place_of(by_key.origin),
                      "jobs.by_key: does nothing without API keys. Name a file of keys in "
                      "batchproxy.api_keys_file, or have clients send x-batchproxy-job");
  }

  void check_backend_urls() {
    std::vector<std::pair<HostPort, std::string>> seen;
    // Those of flags have one place: looked at first, so that an error of one hides no other's.
    std::vector<const BackendOptions*> backends;
    for (const BackendOptions& backend : proxy_.backends.value) {
      if (backend.url.is_set() && !refused(backend.url)) backends.push_back(&backend);
    }
    for (const BackendOptions* each : backends) {
      const BackendOptions& backend = *each;
      const Place place = place_of(backend.url.origin);
      const BackendUrl url = parse_backend_url(backend.url.value);
      if (!url.address) {
        findings_.error(place, "backend '" + without_user(backend.url.value) + "': " + url.problem);
        continue;
      }
      const auto same = std::ranges::find_if(
          seen, [&](const auto& other) { return overlaps(other.first, *url.address); });
      if (same != seen.end()) {
        findings_.error(place,
                        "backend '" + backend.url.value + "' is listed twice; remove one of them");
      }
      seen.emplace_back(*url.address, backend.url.value);
      check_not_ourselves(*url.address, "backend '" + backend.url.value + "'", place);
    }
  }

  void check_backend_words() {
    for (const BackendOptions& backend : proxy_.backends.value) {
      check_health_path(backend);
      check_models(backend);
    }
  }

  void check_health_path(const BackendOptions& backend) {
    const std::string& path = backend.health_path.value;
    if (!backend.health_path.is_set() || refused(backend.health_path) || is_path(path)) return;
    findings_.error(
        place_of(backend.health_path.origin),
        "health_path: expected a path from the server's root, such as /healthz, found '" + path +
            "'");
  }

  void check_models(const BackendOptions& backend) {
    if (refused(backend.models)) return;
    std::set<std::string_view> seen;
    for (const std::string& name : backend.models.value) {
      const Place place = place_of(backend.models.origin);
      if (name.empty()) {
        findings_.error(place, "models: a name is empty; write what clients send as `model`");
      } else if (!seen.insert(name).second) {
        findings_.error(place, "models: '" + name + "' is listed twice; remove one of them");
      }
    }
  }

  // A proxy that calls itself answers nothing and fills every queue it has.
  void check_not_ourselves(const HostPort& engine, const std::string& name, const Place& place) {
    if (listen_ && overlaps(*listen_, engine)) {
      findings_.error(place, name + " is where batchproxy itself listens (" + proxy_.listen.value +
                                 "); listen elsewhere, for example --listen " +
                                 to_string(elsewhere(*listen_)));
    } else if (admin_ && overlaps(*admin_, engine)) {
      findings_.error(place, name + " is batchproxy's own admin address (" + proxy_.admin.value +
                                 "); move that, for example --admin " +
                                 to_string(elsewhere(*admin_)));
    }
  }

  static HostPort elsewhere(HostPort address) {
    const int port = address.port < 60000 ? address.port + 10 : address.port - 10;
    address.port = static_cast<std::uint16_t>(port);
    return address;
  }

  void check_launcher() {
    const bool by_command = launcher_.engine.value == "command";
    const auto& command = launcher_.command;
    if (by_command && command.value.empty() && !refused(command)) {
      findings_.error(place_of(launcher_.engine.origin),
                      "engine: command needs batchproxy.launcher.command, a list of arguments");
    }
    if (!by_command && !command.value.empty() && !refused(launcher_.engine)) {
      findings_.warning(place_of(command.origin),
                        "batchproxy.launcher.command is not used; write engine: command to use it");
    }
    const bool mentions_port = std::ranges::any_of(command.value, [](const std::string& argument) {
      return argument.find("{port}") != std::string::npos;
    });
    check_placeholders(command, {"model", "port", "host", "gpus", "index"});
    if (!command.value.empty() && !mentions_port) {
      findings_.error(
          place_of(command.origin),
          "batchproxy.launcher.command never mentions {port}, so the engine cannot know its port");
    }
    check_server_count();
    const bool both = launcher_.gpu.is_set() && launcher_.gpus.is_set() &&
                      launcher_.gpu.origin.source == launcher_.gpus.origin.source;
    if (both && !refused(launcher_.gpu) && !refused(launcher_.gpus)) {
      findings_.error(place_of(launcher_.gpu.origin), "gpu and gpus are both given; keep one");
    }
  }

  // Of a key that is a command: a slip would reach the program as it is written.
  void check_placeholders(const Key<std::vector<std::string>>& key,
                          const std::vector<std::string_view>& known) {
    if (refused(key)) return;
    for (const std::string& word : *key) {
      for (const std::string_view name : placeholders_in(word)) {
        if (std::ranges::count(known, name) > 0) continue;
        const auto nearest = nearest_name(name, known);
        std::string all;
        for (const std::string_view one : known) all += " {" + std::string(one) + "}";
        findings_.error(place_of(key.origin),
                        std::string(key.name) + ": nothing is filled in for {" + std::string(name) +
                            "}" +
                            (nearest ? "; did you mean {" + std::string(*nearest) + "}?"
                                     : "; there are" + all));
      }
    }
  }

  // What is of one placement alone.
  void check_placement() {
    if (refused(launcher_.placement)) return;
    const std::string& placement = *launcher_.placement;
    check_used_only_by("exec", launcher_.exec_command, launcher_.nodes);
    check_used_only_by("slurm", launcher_.srun_arguments);
    check_used_only_by("ray", launcher_.ray_address, launcher_.ray_token_file);
    if (!launcher_.agents_listen->empty() && !parse_host_port(*launcher_.agents_listen)) {
      findings_.error(place_of(launcher_.agents_listen.origin),
                      "agents_listen: expected HOST:PORT as other nodes reach this one, such as "
                      "login1:7000, found '" +
                          *launcher_.agents_listen + "'");
    }
    if (!runs_elsewhere(options_)) return;
    if (*launcher_.keep) {
      findings_.error(place_of(launcher_.keep.origin),
                      "keep: engines on other nodes end with batchproxy; with `placement: " +
                          placement + "` leave keep out");
    }
    if (std::holds_alternative<std::vector<std::string>>(asked_gpus(options_))) {
      const bool by_one = !launcher_.gpu->empty();
      findings_.error(place_of(by_one ? launcher_.gpu.origin : launcher_.gpus.origin),
                      "gpus: with `placement: " + placement +
                          "` others choose the GPUs; write how many there are on all nodes, or "
                          "leave it out");
    }
    check_counted_by_gpus(placement);
    if (placement == "exec") check_exec_command();
    if (placement == "ray") check_ray_address();
  }

  template <class... Keys>
  void check_used_only_by(const std::string& placement, const Keys&... keys) {
    if (*launcher_.placement == placement) return;
    const auto check = [&](const auto& key) {
      if (!key.is_set()) return;
      findings_.warning(
          place_of(key.origin),
          std::string(key.name) + ": not used; write placement: " + placement + " to use it");
    };
    (check(keys), ...);
  }

  // What is filled in by the number of GPUs, which nobody tells us of other nodes.
  void check_counted_by_gpus(const std::string& placement) {
    if (told_gpus(options_) || refused(launcher_.gpus)) return;
    const auto& servers = launcher_.servers;
    const auto& profile = launcher_.profile;
    const bool by_servers = std::holds_alternative<AutoServers>(*servers);
    if (!by_servers && *profile != "auto" && *profile != "multi") return;
    findings_.error(place_of(by_servers ? servers.origin : profile.origin),
                    std::string(by_servers ? "servers: auto" : "profile: " + *profile) +
                        " goes by the number of GPUs, and with `placement: " + placement +
                        "` nobody counts them: write in batchproxy.launcher.gpus how many there "
                        "are on all nodes, or a number of servers");
  }

  void check_exec_command() {
    const auto& command = launcher_.exec_command;
    if (refused(command)) return;
    if (command->empty()) {
      return findings_.error(place_of(launcher_.placement.origin),
                             "placement: exec needs batchproxy.launcher.exec_command, such as "
                             "[ssh, -oBatchMode=yes, \"{node}\", \"{agent}\"]");
    }
    const auto mentions = [&command](std::string_view what) {
      return std::ranges::any_of(*command, [what](const std::string& word) {
        return word.find(what) != std::string::npos;
      });
    };
    if (!mentions("{agent}") && !mentions("{agent...}")) {
      findings_.error(place_of(command.origin),
                      "exec_command never mentions {agent...} or {agent}, so nothing would run the "
                      "engine's agent");
    }
    check_carrier_placeholders();
    if (mentions("{node}") == launcher_.nodes->empty() && !refused(launcher_.nodes)) {
      findings_.error(place_of(launcher_.nodes->empty() ? command.origin : launcher_.nodes.origin),
                      launcher_.nodes->empty()
                          ? "exec_command mentions {node}: name the nodes in "
                            "batchproxy.launcher.nodes"
                          : "nodes: exec_command never mentions {node}, so they are not used");
    }
  }

  void check_carrier_placeholders() {
    const auto& command = launcher_.exec_command;
    check_placeholders(command, {"node", "index", "gpus", "agent", "agent..."});
    const bool is_glued = std::ranges::any_of(*command, [](const std::string& word) {
      return word != "{agent...}" && word.find("{agent...}") != std::string::npos;
    });
    if (!is_glued) return;
    findings_.error(place_of(command.origin),
                    "exec_command: {agent...} becomes several words, so it is a word of its own; "
                    "within one write {agent}");
  }

  void check_ray_address() {
    const auto& address = launcher_.ray_address;
    if (refused(address)) return;
    if (address->empty()) {
      return findings_.error(place_of(launcher_.placement.origin),
                             "placement: ray needs batchproxy.launcher.ray_address, the URL of "
                             "Ray's dashboard, such as http://head:8265");
    }
    const BackendUrl at = parse_backend_url(*address);
    if (at.address) return;
    const std::string shown = without_user(*address);
    const bool names_user = shown != *address;
    findings_.error(place_of(address.origin),
                    "ray_address: " +
                        (names_user ? "no user or password in the URL: Ray knows a token, of the "
                                      "file in ray_token_file or in RAY_AUTH_TOKEN"
                                    : at.problem) +
                        ", found '" + shown + "'");
  }

  void check_server_count() {
    const auto* servers = std::get_if<std::vector<ServerOptions>>(&launcher_.servers.value);
    if (!servers) return;
    std::int64_t total = 0;
    for (const ServerOptions& server : *servers) total += server.count.value;
    if (static_cast<double>(total) <= launcher_.servers.limits.max) return;
    findings_.error(place_of(launcher_.servers.origin),
                    "batchproxy.launcher.servers: " + std::to_string(total) +
                        " engines in all; at most " + number_text(launcher_.servers.limits.max));
  }

  // When the file tells how many GPUs there are, the driver need not be asked.
  void check_gpus() {
    const auto gpus = told_gpus(options_);
    if (!gpus || refused(launcher_.placement) || refused(launcher_.gpus) ||
        refused(launcher_.servers) || refused(launcher_.engine) || refused(worker_.vllm_args)) {
      return;
    }
    const std::string problem = gpu_shortage(wished_engines(options_, *gpus), options_, *gpus);
    if (!problem.empty()) findings_.error(place_of(launcher_.gpus.origin), problem);
  }

  // After "boot_local: ture" nobody knows which engines were meant.
  bool source_is_certain() const {
    return !refused(worker_.boot_local) && !refused(proxy_.backends) && !refused(worker_.server) &&
           !refused(worker_.port);
  }

  void check_list() {
    if (!worker_.boot_local.value) return;
    findings_.notice(place_of(worker_.boot_local.origin),
                     "boot_local is ignored: the backends are given (" +
                         to_string(place_of(proxy_.backends.origin)) + ")");
  }

  void check_boot_local() {
    for (const Origin* origin : {&worker_.server.origin, &worker_.port.origin}) {
      if (origin->source == Source::kDefault) continue;
      const std::string name = origin == &worker_.port.origin ? "port" : "server";
      findings_.notice(
          place_of(*origin),
          name + " is ignored: with boot_local, batchproxy picks the engines' addresses");
    }
    check_gpus();
    if (refused(worker_.hf_model_id) || refused(launcher_.servers) || has_model()) return;
    findings_.error(place_of(worker_.boot_local.origin),
                    "boot_local: true needs hf_model_id, the model to load");
  }

  bool has_model() const {
    if (!worker_.hf_model_id.value.empty() || launcher_.engine.value == "command") return true;
    const auto* servers = std::get_if<std::vector<ServerOptions>>(&launcher_.servers.value);
    return servers && std::ranges::all_of(*servers, [](const ServerOptions& server) {
             return !server.hf_model_id.value.empty();
           });
  }

  void check_server_and_port() {
    const Source model_from = worker_.hf_model_id.origin.source;
    if (model_from == Source::kFlag || model_from == Source::kEnvironment) {
      findings_.warning(place_of(worker_.hf_model_id.origin),
                        "not used: the engine runs already (boot_local, server and port say so)");
    }
    const Origin& origin = worker_.port.is_set() ? worker_.port.origin : worker_.server.origin;
    const std::string& host = worker_.server.value;
    const auto port = static_cast<std::uint16_t>(worker_.port.value);
    const std::string url = "http://" + to_string(host_port_of(host, port));
    const BackendUrl parsed = parse_backend_url(url);
    if (!parsed.address) {
      findings_.error(place_of(worker_.server.origin),
                      "server: expected a host name or an address, found '" + host + "'");
      return;
    }
    // The defaults of both sides are the same port: a file that names no engine at all ends here.
    const bool written = worker_.server.is_set() || worker_.port.is_set();
    if (!written && listen_ && overlaps(*listen_, *parsed.address)) return report_no_engines();
    check_not_ourselves(*parsed.address, "the engine at " + url + " (server and port)",
                        place_of(origin));
  }

  void report_no_engines() {
    findings_.error(place_of({}),
                    "no engines: name running ones (--backend URL, or batchproxy.backends in the "
                    "file), or have batchproxy start them (boot_local: true and hf_model_id in the "
                    "file), or point at one with server and port in the file");
  }

  const Options& options_;
  const WorkerOptions& worker_;
  const ProxyOptions& proxy_;
  const LauncherOptions& launcher_;
  Findings& findings_;
  std::optional<HostPort> listen_;
  std::optional<HostPort> admin_;
};

}  // namespace

void validate(const Options& options, Findings& findings) {
  Validator(options, findings).run();
}

}  // namespace batchproxy
