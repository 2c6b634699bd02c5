// proxy/terminal/console.cc - see console.h.
#include "proxy/terminal/console.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "configs/text/columns.h"
#include "configs/text/printable.h"
#include "launcher/plan/command_line.h"
#include "proxy/terminal/summary.h"

namespace batchproxy {

namespace {

constexpr double kMinute = 60;  // seconds
// So many engines are listed when it begins; of more, the first few.
constexpr std::size_t kMostListed = 32;
constexpr std::size_t kFewListed = 8;

std::string describe_engine(const BackendRecord& backend) {
  std::string text = backend.endpoint->url();
  if (text.empty()) text = "on no node yet";
  if (!backend.node.empty()) text += "  on " + backend.node;
  if (!backend.gpus.empty()) {
    text += (backend.gpus.size() > 1 ? "  GPUs " : "  GPU ") + backend.gpus;
  }
  if (backend.simulated) text += "  (simulated engine)";
  return text;
}

}  // namespace

Console::Console(const Options& options) : options_(options) {
  log_through(writer_);
}

void Console::line(std::string_view text) {
  writer_->line(printable(text));
}

void Console::event(std::string_view text) {
  writer_->event(printable(text));
}

void Console::engine(const BackendRecord& engine, std::string_view text, bool milestone,
                     TimePoint now) {
  if (writer_->has_board()) {
    writer_->update(engine.id(), printable(text), milestone, now);
  } else if (milestone) {
    event(fmt::format("{}: {}", engine.name(), text));
  }
}

void Console::engine_in_place(const BackendRecord& engine, std::string_view text, TimePoint now) {
  if (writer_->moves_cursor()) writer_->update(engine.id(), printable(text), false, now);
}

void Console::banner(const Roster& roster, const std::string& logs, const std::string& listen,
                     const std::string& admin) {
  line(fmt::format("batchproxy {}{}{}", BATCHPROXY_VERSION, options_.file.empty() ? "" : "  ",
                   options_.file));
  line(fmt::format("  listening  {}", listen));
  line(fmt::format("  admin      {}/ui  {}/status  {}/metrics", admin, admin, admin));
  std::vector<StartupDisplay::Engine> engines;
  const std::size_t count = roster.all().size();
  const std::size_t listed = count > kMostListed ? kFewListed : count;
  for (const BackendPtr& backend : roster.all()) {
    if (backend->id() < listed) {
      line(fmt::format("  {:<10} {}", backend->name(), describe_engine(*backend)));
    }
    if (backend->origin == BackendOrigin::kLaunched)
      engines.push_back({backend->id(), backend->name()});
  }
  if (listed < count) {
    line(fmt::format("  and {} more: `batchproxy status --admin {}` lists them", count - listed,
                     admin.substr(admin.find("//") + 2)));
  }
  if (engines.empty()) return;
  line(fmt::format("starting {} engine{}; logs in {}", engines.size(),
                   engines.size() == 1 ? "" : "s", logs));
  writer_->begin_board(std::move(engines));
}

void Console::how_to_use(const Snapshot& now, const std::string& listen) {
  writer_->end_board();
  const auto ready = std::count_if(now.backends.begin(), now.backends.end(),
                                   [](const auto& b) { return b.state == BackendState::kReady; });
  event(fmt::format("ready: {} of {} backends serve {}", ready, now.backends.size(),
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
  event(fmt::format(
      "batch {}: {} prompts ({}) to {}: {} answers in {:.2f} s, {:.1f} answers/s, {}/{} "
      "successful",
      batch.batch.id, batch.batch.prompts, to_string(batch.batch.reason), backend, batch.answered,
      seconds, batch.answered / std::max(seconds, 1e-6), batch.answered, batch.batch.prompts));
  history_.batches += 1;
  history_.prompts += batch.batch.prompts;
  history_.by_timeout += batch.batch.reason == FlushReason::kTimeout ? 1 : 0;
}

void Console::tick(const Snapshot& now) {
  if (wants_summary(now)) show_summary(now);
  history_.clients = std::max(history_.clients, now.connections.get());
  history_.batch_size = static_cast<std::uint32_t>(*options_.worker.batch_size);
  history_.batch_timeout = options_.worker.batch_timeout->count();
  if (hinted_) return;
  if (const auto hint = batch_hint(history_)) {
    line(*hint);
    hinted_ = true;
  }
}

void Console::show_summary(const Snapshot& now) {
  const bool watched = writer_->is_terminal();
  const std::string text = printable(summary(now, watched ? Period::kTenSeconds : Period::kMinute));
  if (writer_->moves_cursor()) {
    writer_->status(text, std::chrono::steady_clock::now());
  } else {
    writer_->event(watched ? cut_to_columns(text, std::max<std::size_t>(writer_->columns(), 40))
                           : text);
  }
  told_ = now.prompts_answered;
  told_at_ = now.uptime;
}

// Where it stays in its place it is always of now, once there was something to tell. In a file the
// first after a pause comes at once, too.
bool Console::wants_summary(const Snapshot& now) const {
  if (writer_->moves_cursor()) return now.prompts_answered > 0;
  if (now.prompts_answered == told_) return false;
  return writer_->is_terminal() || told_ == 0 || now.uptime - told_at_ >= kMinute;
}

}  // namespace batchproxy
