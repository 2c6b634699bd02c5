// proxy/terminal/console.cc - see console.h.
#include "proxy/terminal/console.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include <fmt/format.h>
#include <unistd.h>

#include "configs/text/printable.h"
#include "launcher/plan/command_line.h"

namespace batchproxy {

namespace {

std::string describe_engine(const BackendRecord& backend) {
  std::string text = backend.endpoint->url();
  if (!backend.gpus.empty()) {
    text += (backend.gpus.size() > 1 ? "  GPUs " : "  GPU ") + backend.gpus;
  }
  if (backend.simulated) text += "  (simulated engine)";
  return text;
}

}  // namespace

void Console::write(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void Console::line(std::string_view text) {
  const std::string shown = printable(text);
  write(board_ ? board_->line(shown) : shown + "\n");
}

void Console::engine(const BackendRecord& engine, std::string_view text, bool milestone,
                     TimePoint now) {
  if (board_) {
    write(board_->update(engine.id(), printable(text), milestone, now));
  } else if (milestone) {
    line(fmt::format("{}: {}", engine.name(), text));
  }
}

void Console::banner(const Roster& roster, const std::string& logs, const std::string& listen,
                     const std::string& admin) {
  line(fmt::format("batchproxy {}{}{}", BATCHPROXY_VERSION, options_.file.empty() ? "" : "  ",
                   options_.file));
  line(fmt::format("  listening  {}", listen));
  line(fmt::format("  admin      {}/status  {}/metrics", admin, admin));
  std::vector<StartupDisplay::Engine> engines;
  for (const BackendPtr& backend : roster.all()) {
    line(fmt::format("  {:<10} {}", backend->name(), describe_engine(*backend)));
    if (backend->origin == BackendOrigin::kLaunched)
      engines.push_back({backend->id(), backend->name()});
  }
  if (engines.empty()) return;
  line(fmt::format("starting {} engine{}; logs in {}", engines.size(),
                   engines.size() == 1 ? "" : "s", logs));
  board_.emplace(std::move(engines), ::isatty(STDOUT_FILENO) == 1);
}

void Console::how_to_use(const Snapshot& now, const std::string& listen) {
  board_.reset();
  const auto ready = std::count_if(now.backends.begin(), now.backends.end(),
                                   [](const auto& b) { return b.state == BackendState::kReady; });
  line(fmt::format("ready: {} of {} backends serve {}", ready, now.backends.size(),
                   now.models.empty() ? "whatever is asked for" : now.models));
  line(fmt::format("  point workers at {}/v1", listen));
  const bool has_workers = !options_.worker.hf_model_id->empty() || !options_.worker.model->empty();
  if (!options_.file.empty() && has_workers) {
    line("  or make their file: " + worker_config_command(listen) + " > workers.yaml");
  }
}

// With what the file does not say: an address that a flag gave, or that was picked.
std::string Console::worker_config_command(std::string_view listen) const {
  const ProxyOptions& proxy = options_.proxy;
  const auto by_flag = [](const auto& key) {
    return key.origin.source == Source::kFlag || key.origin.source == Source::kEnvironment;
  };
  std::string command = "batchproxy worker-config " + shell_quoted(options_.file);
  if (by_flag(proxy.listen) || proxy.listen->ends_with(":0")) {
    command += " --listen " + std::string(listen.substr(listen.find("//") + 2));
  }
  if (by_flag(proxy.api_keys_file)) {
    command += " --api-keys-file " + shell_quoted(*proxy.api_keys_file);
  }
  return command;
}

void Console::batch_done(const BatchSummary& batch, const std::string& backend) {
  const double seconds = std::chrono::duration<double>(batch.took).count();
  line(fmt::format(
      "batch {}: {} prompts ({}) to {}: {} answers in {:.2f} s, {:.1f} answers/s, {}/{} "
      "successful",
      batch.batch.id, batch.batch.prompts, to_string(batch.batch.reason), backend, batch.answered,
      seconds, batch.answered / std::max(seconds, 1e-6), batch.answered, batch.batch.prompts));
  history_.batches += 1;
  history_.prompts += batch.batch.prompts;
  history_.by_timeout += batch.batch.reason == FlushReason::kTimeout ? 1 : 0;
}

void Console::tick(const Snapshot& now) {
  if (now.prompts_answered != last_.prompts_answered) summary(now);
  last_ = now;
  history_.clients = std::max(history_.clients, now.connections.get());
  history_.batch_size = static_cast<std::uint32_t>(*options_.worker.batch_size);
  history_.batch_timeout = options_.worker.batch_timeout->count();
  if (hinted_) return;
  if (const auto hint = batch_hint(history_)) {
    line(*hint);
    hinted_ = true;
  }
}

void Console::summary(const Snapshot& now) {
  std::string text =
      fmt::format("{:7.0f} s  {} answers  {:.1f}/s  {} queued  {} in flight ", now.uptime,
                  now.prompts_answered.get(),
                  static_cast<double>(now.prompts_answered - last_.prompts_answered) /
                      std::max(now.uptime - last_.uptime, 1e-3),
                  now.queued.get(), now.inflight.get());
  std::uint64_t total = 0;
  for (const BackendSnapshot& backend : now.backends) total += backend.answered;
  for (const BackendSnapshot& backend : now.backends) {
    text += fmt::format(" {} {:.0f}%", backend.name,
                        100.0 * static_cast<double>(backend.answered) /
                            static_cast<double>(std::max<std::uint64_t>(total, 1)));
    if (backend.state != BackendState::kReady) {
      text += fmt::format(" ({})", to_string(backend.state));
    }
  }
  line(text);
}

}  // namespace batchproxy
