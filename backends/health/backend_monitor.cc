// backends/health/backend_monitor.cc - see backend_monitor.h.
#include "backends/health/backend_monitor.h"

#include <algorithm>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <simdjson.h>

#include "backends/call/control_stream.h"

namespace batchproxy {

namespace {

constexpr Duration kPatience = HealthTracker::kProbeTime;  // also for /v1/models
constexpr Duration kEager = HealthTracker::kEagerPause;
// Adapters come and go while an engine runs, but not often.
constexpr Duration kModelsInterval = std::chrono::seconds(15);
constexpr Duration kRefreshPause = std::chrono::seconds(1);     // however many unknown names come
constexpr Duration kMetricsPatience = std::chrono::seconds(5);  // a busy front end takes its time
constexpr int kMetricsTries = 3;  // then they are looked for at a leisurely pace
constexpr Duration kMetricsPause = std::chrono::seconds(5);
constexpr std::size_t kMaxReply = 4 << 20;  // bytes
constexpr const char* kNameThem = ": name what it serves in `models` of this backend";

struct Models {
  std::vector<ServedModel> list{};
  bool simulated = false;  // one of them says so
};

// The model objects of a GET /v1/models answer, each as raw JSON; empty if it is not one.
Models parse_models(std::string_view body) {
  namespace ondemand = simdjson::ondemand;
  Models models;
  try {
    ondemand::parser parser;
    const simdjson::padded_string padded(body);
    auto document = parser.iterate(padded);
    for (ondemand::object model : document["data"].get_array()) {
      const std::string_view raw = model.raw_json();
      model.reset();
      const std::string_view id = model["id"].get_string();
      models.list.push_back({std::string(id), std::string(raw)});
      bool simulated = false;
      const bool says = !model["simulated"].get_bool().get(simulated);
      models.simulated = models.simulated || (says && simulated);
    }
  } catch (const simdjson::simdjson_error&) {
    return {};
  }
  return models;
}

Abilities parse_abilities(const std::string& body) {
  namespace ondemand = simdjson::ondemand;
  Abilities abilities;
  ondemand::parser parser;
  const simdjson::padded_string padded(body);
  const auto has = [&](std::string_view pointer) {
    ondemand::document document;
    ondemand::value value;
    return !parser.iterate(padded).get(document) && !document.at_pointer(pointer).get(value);
  };
  abilities.token_ids = has("/components/schemas/CompletionRequest/properties/return_token_ids");
  abilities.chat_batches = has("/paths/~1v1~1chat~1completions~1batch");
  return abilities;
}

// Whether such an answer to GET /v1/models says that there is no list for us, rather than not now.
bool is_listless(unsigned status, bool has_key) {
  if (status == 401 || status == 403) return !has_key;  // to a key: it is the wrong one
  return is_missing(status) || (status / 100 == 4 && status != 408 && status != 429);
}

}  // namespace

BackendMonitor::BackendMonitor(asio::io_context& io, Intervals intervals, Events events)
    : io_(io), intervals_(intervals), events_(std::move(events)) {}

void BackendMonitor::add(std::shared_ptr<const Endpoint> endpoint) {
  const BackendId id = endpoint->id;
  if (id >= watched_.size()) watched_.resize(id + 1);
  watched_[id] = std::make_shared<Watched>(Watched{.endpoint = std::move(endpoint),
                                                   .timer = asio::steady_timer(io_),
                                                   .metrics_timer = asio::steady_timer(io_)});
  if (started_) start_watching(watched_[id]);
}

void BackendMonitor::set_endpoint(std::shared_ptr<const Endpoint> endpoint) {
  Watched& watched = *watched_[endpoint->id];
  if (!same_addresses(watched.endpoint->addresses, endpoint->addresses)) {
    watched.models_due = {};  // it may be another engine by now
    watched.abilities_known = false;
  }
  watched.endpoint = std::move(endpoint);
  watched.timer.cancel();
}

void BackendMonitor::start() {
  started_ = true;
  for (const WatchedPtr& watched : watched_) start_watching(watched);
}

// A failure of a coroutine is a bug: it ends the process rather than leave a backend unwatched.
void BackendMonitor::start_watching(const WatchedPtr& watched) {
  asio::co_spawn(io_.get_executor(), watch(watched), &end_on_error);
  asio::co_spawn(io_.get_executor(), watch_metrics(watched), &end_on_error);
}

void BackendMonitor::stop() {
  stopped_ = true;
  for (const WatchedPtr& watched : watched_) {
    if (!watched->is_over()) end_watching(*watched, Watching::kOver);
  }
}

void BackendMonitor::look_again() {
  for (const WatchedPtr& watched : watched_) {
    watched->models_due = {};
    watched->timer.cancel();
  }
}

void BackendMonitor::report_failure(BackendId backend, bool unreachable) {
  asio::post(io_, [this, backend, unreachable] {
    Watched& watched = *watched_[backend];
    if (stopped_ || watched.is_over()) return;
    events_.on_doubt(backend);
    // With TLS the next look tells whether nobody listens, or what is wrong with its certificate.
    if (unreachable && !watched.endpoint->tls) {
      watched.problem = "it refuses connections";
      if (watched.tracker.on_unreachable()) {
        tell(watched, BackendEvent::kCallFailed);
      } else {
        events_.on_problem(backend, watched.problem);
      }
    }
    watched.timer.cancel();
  });
}

void BackendMonitor::look_at(BackendId backend, Tell tell) {
  asio::post(io_, [this, backend, tell = std::move(tell)]() mutable {
    Watched& watched = *watched_[backend];
    if (stopped_ || watched.is_over())
      return tell(watched.watching == Watching::kRemoved || watched.is_ready());
    if (watched.in_doubt) return tell(watched.is_ready());
    watched.asking.push_back(std::move(tell));
    watched.timer.cancel();
  });
}

void BackendMonitor::refresh_models(Done done) {
  asio::post(io_, [this, done = std::move(done)]() mutable {
    const TimePoint now = std::chrono::steady_clock::now();
    const bool under_way = refreshing_ > 0;
    if (stopped_ || (!under_way && now < next_refresh_)) return done();
    refreshing_for_.push_back(std::move(done));
    if (under_way) return;
    next_refresh_ = now + kRefreshPause;
    ++refreshing_;  // until all of them have been asked
    for (const WatchedPtr& watched : watched_) {
      if (watched->is_over() || !watched->is_ready()) continue;
      ++refreshing_;
      asio::co_spawn(io_.get_executor(), refresh(watched), &end_on_error);
    }
    end_refresh();
  });
}

Task<void> BackendMonitor::refresh(WatchedPtr of) {
  co_await learn_models(*of);  // without an answer the old list stands
  end_refresh();
}

void BackendMonitor::end_refresh() {
  if (--refreshing_ > 0) return;
  for (const Done& done : std::exchange(refreshing_for_, {})) done();
}

void BackendMonitor::Watched::answer(std::vector<Tell>& asked) const {
  for (const Tell& tell : std::exchange(asked, {})) tell(is_ready());
}

void BackendMonitor::retire(BackendId backend) {
  Watched& watched = *watched_[backend];
  watched.problem = "it has ended";
  watched.tracker.on_unreachable();
  end_watching(watched, Watching::kOver);
}

void BackendMonitor::remove(BackendId backend) {
  Watched& watched = *watched_[backend];
  end_watching(watched, Watching::kRemoved);
  watched.tracker.on_unreachable();
}

void BackendMonitor::end_watching(Watched& watched, Watching how) {
  watched.watching = how;
  watched.answer(watched.awaiting);
  watched.answer(watched.asking);
  watched.timer.cancel();
  watched.metrics_timer.cancel();
}

Task<void> BackendMonitor::watch(WatchedPtr of) {
  Watched& watched = *of;
  while (!stopped_ && !watched.is_over()) {
    watched.awaiting.swap(watched.asking);
    Reply reply = co_await look_for_life(watched);
    // Without its models no request could be routed to it, so that comes before "ready".
    if (reply.result == ProbeResult::kOk && watched.tracker.health() != Health::kReady) {
      reply = co_await learn_models(watched);
      watched.abilities_known = false;  // it may be another engine by now
    } else if (reply.result == ProbeResult::kOk &&
               std::chrono::steady_clock::now() >= watched.models_due) {
      co_await learn_models(watched);  // without an answer the old list stands
    }
    if (stopped_ || watched.is_over()) break;
    const bool other_problem = std::exchange(watched.problem, reply.problem) != reply.problem;
    const TimePoint now = std::chrono::steady_clock::now();
    const bool changed = watched.tracker.on_probe(reply.result, now, intervals_.patience);
    const bool ready = watched.is_ready();
    if (changed) {
      tell(watched, ready ? BackendEvent::kProbePassed : BackendEvent::kProbeFailed);
    } else if (other_problem) {
      events_.on_problem(watched.endpoint->id, watched.problem);
    }
    watched.answer(watched.awaiting);
    if (ready && !watched.abilities_known) co_await learn_abilities(watched);
    if (!watched.asking.empty()) continue;
    // Eager to see it come up, in no hurry while all is well.
    watched.timer.expires_after(ready ? intervals_.health : std::min(intervals_.health, kEager));
    ErrorCode ignored;
    co_await watched.timer.async_wait(asio::redirect_error(use_task, ignored));
  }
}

Task<BackendMonitor::Reply> BackendMonitor::look_for_life(Watched& watched) {
  const BackendId id = watched.endpoint->id;
  const std::uint64_t answered = events_.answered(id);
  // Who asked for this look does not wait longer than for any other.
  const bool hurries = !watched.awaiting.empty();
  const Duration time = hurries ? kPatience
                                : watched.tracker.probe_time(std::chrono::steady_clock::now(),
                                                             kPatience, intervals_.patience);
  watched.in_doubt = time > kPatience;
  Reply reply = co_await ask_for_life(watched, time);
  watched.in_doubt = false;
  // A front end that is busy with its requests may have no time for us.
  const bool busy = reply.result == ProbeResult::kSilent && events_.answered(id) > answered;
  if (busy) co_return Reply{ProbeResult::kOk, {}, {}, 200};
  co_return reply;
}

// Path after path, until one tells. Each may take `time`.
Task<BackendMonitor::Reply> BackendMonitor::ask_for_life(Watched& watched, Duration time) {
  const std::shared_ptr<const Endpoint> at = watched.endpoint;
  HealthPath& health = watched.health_path;
  if (!watched.is_ready()) health.forget();
  std::string path = health.begin({.path = at->health_path,
                                   .has_models = events_.configured(at->id).any,
                                   .has_key = !at->api_key.empty()});
  while (true) {
    Reply reply = co_await get(at, path, time);
    if (reply.status == 0) co_return reply;
    HealthPath::Finding finding = health.on_answer(reply.status, reply.body);
    if (finding.kind != HealthPath::Finding::Kind::kAsk) {
      const bool lives = finding.kind == HealthPath::Finding::Kind::kAlive;
      reply.result = lives ? ProbeResult::kOk : ProbeResult::kNotReady;
      reply.problem = std::move(finding.text);
      co_return reply;
    }
    path = std::move(finding.text);
  }
}

// Anything but an answer about models leaves what is known.
Task<BackendMonitor::Reply> BackendMonitor::learn_models(Watched& watched) {
  watched.models_due = std::chrono::steady_clock::now() + kModelsInterval;
  const std::shared_ptr<const Endpoint> at = watched.endpoint;
  Reply reply = co_await get(at, "/v1/models", kPatience);
  if (watched.is_over()) co_return reply;
  const bool success = reply.result == ProbeResult::kOk;
  const bool has_key = !at->api_key.empty();
  if (!success && !is_listless(reply.status, has_key)) co_return reply;
  const bool keyed = reply.status == 401 && !has_key;
  set_keyed(watched, keyed);
  Models models = success ? parse_models(reply.body) : Models{};
  events_.on_simulated(at->id, models.simulated);
  const ConfiguredModels configured = events_.configured(at->id);
  using Kind = ModelList::Kind;
  if (!models.list.empty()) {
    events_.on_models(at->id, {Kind::kListed, std::move(models.list)});
  } else if (keyed && (configured.always || !configured.any)) {
    // Its clients have the key, we have not: their requests tell what it serves.
    events_.on_models(at->id, {Kind::kWithheld});
  } else if (configured.any) {
    events_.on_models(at->id, {Kind::kUnlisted});
  } else {
    reply.result = ProbeResult::kNotReady;
    reply.problem = (success ? "its /v1/models names no model" : reply.problem) + kNameThem;
    co_return reply;
  }
  co_return Reply{ProbeResult::kOk, {}, {}, 200};
}

// What it can do is told again: who asks for a key is a part of that.
void BackendMonitor::set_keyed(Watched& watched, bool keyed) {
  if (std::exchange(watched.keyed, keyed) == keyed) return;
  watched.abilities_known = false;
  watched.timer.cancel();
}

// A server without /openapi.json is taken to have no such abilities.
Task<void> BackendMonitor::learn_abilities(Watched& watched) {
  const Reply reply = co_await get(watched.endpoint, "/openapi.json", kPatience);
  if (watched.is_over() || stopped_ || reply.status == 0) co_return;  // no answer: ask again later
  watched.abilities_known = true;
  Abilities abilities;
  if (reply.result == ProbeResult::kOk) abilities = parse_abilities(reply.body);
  abilities.keyed = watched.keyed;
  events_.on_abilities(watched.endpoint->id, abilities);
}

Task<void> BackendMonitor::watch_metrics(WatchedPtr of) {
  Watched& watched = *of;
  int failures = 0;
  while (!stopped_ && !watched.is_over()) {
    if (watched.tracker.health() == Health::kReady) {
      const Reply reply = co_await get(watched.endpoint, "/metrics", kMetricsPatience);
      if (stopped_ || watched.is_over()) break;
      std::optional<EngineMetrics> metrics;
      if (reply.result == ProbeResult::kOk) metrics = parse_engine_metrics(reply.body);
      failures = metrics ? 0 : failures + 1;
      events_.on_metrics(watched.endpoint->id, metrics);
    }
    const bool hopeless = failures >= kMetricsTries;
    watched.metrics_timer.expires_after(hopeless ? std::max(intervals_.metrics, kMetricsPause)
                                                 : intervals_.metrics);
    ErrorCode ignored;
    co_await watched.metrics_timer.async_wait(asio::redirect_error(use_task, ignored));
  }
}

void BackendMonitor::tell(const Watched& watched, BackendEvent event) {
  events_.on_event(watched.endpoint->id, event, watched.problem);
}

Task<BackendMonitor::Reply> BackendMonitor::get(std::shared_ptr<const Endpoint> at,
                                                std::string path, Duration patience) {
  const auto failed = [&path](const ControlReply& reply) {
    const auto result = is_silence(reply.error) ? ProbeResult::kSilent : ProbeResult::kRefused;
    return Reply{result, {}, "GET " + path + ": " + why_no_reply(reply), 0};
  };
  if (at->addresses.empty()) {
    if (!at->problem.empty()) co_return Reply{ProbeResult::kRefused, {}, at->problem, 0};
    co_return Reply{ProbeResult::kSilent, {}, "its name is being looked up", 0};
  }
  const WatchedPtr watched = watched_[at->id];
  ControlStream stream(io_.get_executor());
  ErrorCode error =
      co_await connect_in_turn(stream, beginning_with(watched->worked, at->addresses), patience);
  if (error) {
    events_.on_doubt(at->id);
    ControlReply none;
    none.error = error;
    Reply reply = failed(none);
    if (!at->problem.empty()) reply.problem += "; " + at->problem;
    co_return reply;
  }
  watched->worked = stream.socket().remote_endpoint(error);

  ControlReply reply = co_await get_page(stream, *at, path, kMaxReply);
  if (reply.error) co_return failed(reply);
  if (reply.status / 100 == 2) {
    co_return Reply{ProbeResult::kOk, std::move(reply.body), {}, reply.status};
  }
  std::string problem = "GET " + path + " answered " + std::to_string(reply.status);
  if (reply.status == 401) problem += "; give its key as `api_key`";
  co_return Reply{ProbeResult::kNotReady, std::move(reply.body), std::move(problem), reply.status};
}

}  // namespace batchproxy
