// backends/sim/sim_engine.cc - from flags to a running simulated server.
#include "backends/sim/sim_engine.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <boost/system/system_error.hpp>

#include "backends/sim/failure.h"
#include "backends/sim/flags.h"
#include "backends/sim/server.h"
#include "backends/sim/sizing.h"
#include "backends/sim/startup_log.h"

namespace batchproxy::sim {
namespace {

void print(const std::string& line) {
  std::fprintf(stdout, "%s\n", line.c_str());
  std::fflush(stdout);
}

void log(std::string_view level, std::string_view where, std::string_view text) {
  print(vllm_log_line(level, where, text, std::time(nullptr)));
}

EngineLimits limits_of(const SimFlags& flags, const Hardware& hardware, const Sizing& sizing) {
  EngineLimits limits;
  limits.max_num_seqs = flags.max_num_seqs.value_or(hardware.default_max_num_seqs());
  limits.max_num_batched_tokens =
      flags.max_num_batched_tokens.value_or(hardware.default_max_num_batched_tokens());
  limits.kv_blocks = sizing.memory.blocks();
  limits.prefix_caching = flags.prefix_caching;
  return limits;
}

std::chrono::duration<double> keep_alive() {
  const char* text = std::getenv("VLLM_HTTP_TIMEOUT_KEEP_ALIVE");
  const double seconds = text != nullptr ? std::atof(text) : 0;
  return std::chrono::duration<double>(seconds > 0 ? seconds : 5);
}

// As vLLM reads it.
bool may_load_adapters() {
  const char* text = std::getenv("VLLM_ALLOW_RUNTIME_LORA_UPDATING");
  const std::string_view value = text != nullptr ? text : "";
  return value == "1" || value == "true" || value == "True" || value == "TRUE";
}

SimServerOptions server_options(const SimFlags& flags, const Hardware& hardware,
                                const Sizing& sizing) {
  SimServerOptions options;
  options.host = flags.host;
  options.port = flags.port;
  options.hardware = hardware;
  options.limits = limits_of(flags, hardware, sizing);
  options.costs = flags.costs;
  options.api = {flags.model,          flags.served_names,           flags.api_keys,
                 sizing.max_model_len, flags.gpu_memory_utilization, flags.answer_mode,
                 flags.token_ids,      may_load_adapters(),          flags.pooling,
                 flags.tokenizer_info};
  options.time_scale = flags.time_scale;
  options.keep_alive = keep_alive();
  options.crash_after = flags.crash_after;
  options.die_after = flags.die_after;
  options.hang_after = flags.hang_after;
  options.end = [](int code) { std::_Exit(code); };
  options.tell_death = [] {
    for (const std::string& line : death_lines(std::time(nullptr))) print(line);
  };
  options.stop_on_signals = true;
  return options;
}

void print(const StartupLine& line) {
  if (line.where.empty()) {
    print(line.text);
  } else {
    log("INFO", line.where, line.text);
  }
}

std::vector<LoadStep> load_steps(const std::vector<StartupLine>& lines, double load_seconds) {
  std::vector<LoadStep> steps;
  for (const StartupLine& line : lines) {
    steps.push_back(
        {std::chrono::duration<double>(line.after * load_seconds), [line] { print(line); }});
  }
  return steps;
}

// What stands in the log until the engine fails, at its time, and what it says then.
int fail(const SimFlags& flags, const Failure& failure, const std::vector<StartupLine>& lines) {
  if (failure.ending == Ending::kHang) std::signal(SIGTERM, SIG_IGN);  // as vLLM while it loads
  double at = 0;
  const auto sleep_until = [&](double share) {
    if (share > at) {
      std::this_thread::sleep_for(std::chrono::duration<double>((share - at) * flags.load_seconds));
    }
    at = std::max(at, share);
  };
  for (const StartupLine& line : lines) {
    if (line.after > failure.after) break;
    sleep_until(line.after);
    print(line);
  }
  sleep_until(failure.after);
  while (failure.ending == Ending::kHang) {
    print(stall_line(std::time(nullptr)));
    std::this_thread::sleep_for(std::chrono::duration<double>(60 * flags.time_scale));
  }
  for (const std::string& line : failure_lines(failure, std::time(nullptr))) print(line);
  return 1;
}

int serve(const SimFlags& flags) {
  const Hardware hardware(flags.gpu, flags.tensor_parallel_size);
  const Sizing sizing = sizing_of(flags, hardware);
  const SimServerOptions options = server_options(flags, hardware, sizing);
  const EngineSize size{sizing.memory.tokens(), sizing.memory.gib, sizing.max_model_len,
                        options.limits.max_num_batched_tokens};
  if (const auto failure = failure_while_loading(flags, sizing)) {
    const std::string listen = flags.host + ":" + std::to_string(flags.port);
    return fail(flags, *failure, startup_lines(flags, size, listen, {}));
  }

  SimServer server(options);
  const std::string address = flags.host + ":" + std::to_string(server.port());
  const std::vector<std::string> routes = Api::routes(options.api);
  server.run(load_steps(startup_lines(flags, size, address, routes), flags.load_seconds));
  print("INFO:     Application shutdown complete.");
  return 0;
}

}  // namespace

int run_sim_engine(int argc, char** argv) {
  SimFlags flags;
  try {
    const std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
    flags = parse_sim_flags(arguments);
    if (flags.help) {
      print(sim_usage());
      return 0;
    }
    return serve(flags);
  } catch (const std::invalid_argument& error) {
    std::fprintf(stderr, "sim-engine: error: %s\n", error.what());
    return 2;
  } catch (const boost::system::system_error& error) {
    log("ERROR", "api_server.py:3",
        "OSError: [Errno " + std::to_string(error.code().value()) + "] " + error.code().message() +
            " (http://" + flags.host + ":" + std::to_string(flags.port) + ")");
    return 1;
  } catch (const std::exception& error) {
    log("ERROR", "api_server.py:3", error.what());
    return 1;
  }
}

}  // namespace batchproxy::sim
