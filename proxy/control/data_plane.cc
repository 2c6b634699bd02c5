// proxy/control/data_plane.cc - see data_plane.h.
#include "proxy/control/data_plane.h"

#include <algorithm>
#include <iterator>
#include <mutex>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "backends/net/system_random.h"
#include "proxy/request/ticket_builder.h"

namespace batchproxy {

namespace {

// Tells the ids of two runs apart, so that they can meet in an engine's log.
std::string random_prefix(std::size_t thread) {
  return fmt::format("bp{:08x}-{:02x}-", system_random() >> 32, thread);
}

// Runs until stopped. An exception out of a handler is a bug, but not a reason to lose the others'
// answers.
void run_forever(asio::io_context& io) {
  const auto guard = asio::make_work_guard(io);
  while (!io.stopped()) {
    try {
      io.run();
    } catch (const std::exception& exception) {
      spdlog::error("internal error: {}", exception.what());
    }
  }
}

// What its kept connections and the next calls to it must know.
bool talked_to_otherwise(const Endpoint& before, const Endpoint& now) {
  return before.addresses != now.addresses || before.api_key != now.api_key ||
         before.tls != now.tls || before.server_name != now.server_name;
}

// A session may end by it.
void for_each_session(IoThread& thread, void (Closable::*action)()) {
  for (auto it = thread.clients.sessions.begin(); it != thread.clients.sessions.end();)
    ((*it++).*action)();
}

}  // namespace

DataPlane::DataPlane(Setup setup)
    : limits_(setup.settings, setup.threads),
      keys_(setup.keys),
      recorder_(setup.records),
      access_log_settings_(setup.access_log),
      span_settings_(setup.spans) {
  if (setup.beside) access_log_.write_beside(setup.beside);
  for (std::size_t i = 0; i < setup.threads; ++i) {
    auto thread = std::make_unique<IoThread>(setup.settings, limits_, i);
    thread->ids.prefix = random_prefix(i);
    thread->published.models = roster_->models();
    thread->published.roster = roster_;
    thread->published.keys = keys_;
    thread->published.tls = setup.tls;
    thread->monitor.report_failure = setup.report_failure;
    thread->monitor.look_at = setup.look_at;
    thread->monitor.refresh_models = setup.refresh_models;
    thread->hand_over = setup.hand_over;
    thread->internal = setup.internal;
    thread->poison = &poison_;
    thread->recorder = &recorder_;
    thread->load = [this] { return load(); };
    threads_.push_back(std::move(thread));
  }
  if (setup.threads > 1) lane_io_ = std::make_unique<asio::io_context>(1);
  lane_ = std::make_unique<Lane>(lane_io_ ? *lane_io_ : threads_.front()->net.io, setup.scheduler);
  if (setup.on_batch_done) lane_->watch_batches(setup.on_batch_done);
  told_of_stall_ = setup.on_stall;
  lane_->watch_stalls([this](const Stall& stall) { on_stall(stall); });
  lane_->watch_recalls([this](const Recall& recall) {
    on_every_thread([recall](IoThread& thread) { tell_recall(thread.in_flight, recall); });
  });
  for (auto& thread : threads_) thread->lane = &lane_->add_handle(thread->net.io);
}

DataPlane::~DataPlane() {
  stop();
}

asio::ip::tcp::endpoint DataPlane::listen(const std::string& host_port, const MayHave& may_have) {
  acceptors_.push_back(listen_on(threads_.front()->net.io, host_port, "--listen", may_have));
  for (std::size_t i = 1; i < threads_.size(); ++i) {
    acceptors_.push_back(duplicate(acceptors_.front(), threads_[i]->net.io));
  }
  return acceptors_.front().local_endpoint();
}

asio::ip::tcp::endpoint DataPlane::listen_plainly(const MayHave& may_have) {
  acceptors_.push_back(listen_on(threads_.front()->net.io, "127.0.0.1:0", "--listen", may_have));
  return acceptors_.back().local_endpoint();
}

void DataPlane::start() {
  if (acceptors_.size() > threads_.size()) {
    IoThread& first = *threads_.front();
    asio::co_spawn(first.net.io.get_executor(),
                   accept_clients(first, acceptors_.back(), /*plain=*/true), &end_on_error);
  }
  for (const auto& thread : threads_) {
    access_log_.add(thread->net.io, thread->records);
    spans_.add(thread->net.io, thread->records);
  }
  access_log_.set(access_log_settings_);
  spans_.set(span_settings_);
  for (std::size_t i = 0; i < threads_.size(); ++i) {
    IoThread& thread = *threads_[i];
    asio::co_spawn(thread.net.io.get_executor(), accept_clients(thread, acceptors_[i]),
                   &end_on_error);
    running_.emplace_back([&thread] { run_forever(thread.net.io); });
  }
  if (lane_io_) running_.emplace_back([this] { run_forever(*lane_io_); });
}

void DataPlane::publish(RosterPtr roster) {
  const RosterPtr last = std::exchange(roster_, std::move(roster));
  for (const BackendPtr& backend : roster_->all()) {
    const BackendRecord* before = last->find(backend->id());
    if (before == backend.get()) continue;
    if (before != nullptr && before->generation != backend->generation) before = nullptr;
    if (before == nullptr || talked_to_otherwise(*before->endpoint, *backend->endpoint)) {
      set_endpoint(backend->endpoint);
    }
    tell_lane(*backend, before);
  }
  on_every_thread([roster = roster_](IoThread& thread) {
    thread.published.roster = roster;
    thread.published.models = roster->models();
  });
  if (last->models() != roster_->models()) lane_->set_routes(make_routes(*roster_->models()));
}

// `before`: as it was told last; null for one that is new.
void DataPlane::tell_lane(const BackendRecord& backend, const BackendRecord* before) {
  const BackendId id = backend.id();
  if (before == nullptr) {
    lane_->add_backend(id, backend.traits);
  } else if (before->traits != backend.traits) {
    lane_->set_backend(id, backend.traits);
  }
  const bool was_ready = before != nullptr && before->is_ready();
  if (was_ready != backend.is_ready()) lane_->set_up(id, backend.is_ready());
}

void DataPlane::set_endpoint(const EndpointPtr& endpoint) {
  const std::string* const name = backend_names_.keep(endpoint->name);
  on_every_thread([endpoint, name](IoThread& thread) {
    thread.net.upstreams.set(endpoint);
    thread.backend_names[endpoint->id] = name;
  });
}

void DataPlane::set_settings(const DataPathSettings& settings, const SchedulerOptions& scheduler) {
  on_every_thread([settings](IoThread& thread) {
    thread.settings = settings;
    thread.net.upstreams.set_connect_timeout(settings.connect_timeout);
  });
  lane_->set_options(scheduler);
}

void DataPlane::observe(BackendId backend, const std::optional<EngineSample>& sample) {
  lane_->observe(backend, sample);
}

void DataPlane::set_keys(ApiKeysPtr keys) {
  keys_ = keys;
  on_every_thread([keys](IoThread& thread) { thread.published.keys = keys; });
}

void DataPlane::set_tls(TlsContextPtr tls) {
  on_every_thread([tls](IoThread& thread) { thread.published.tls = tls; });
}

void DataPlane::drain() {
  lane_->drain();
  for (std::size_t i = 0; i < acceptors_.size(); ++i) {
    IoThread& thread = *threads_[i % threads_.size()];
    asio::post(thread.net.io, [this, i, &thread] {
      thread.published.draining = true;
      for_each_session(thread, &Closable::close_if_idle);
      asio::co_spawn(thread.net.io.get_executor(), stop_accepting(thread.net.io, acceptors_[i]),
                     [this, &thread](const std::exception_ptr&) {
                       ++closed_acceptors_;
                       for_each_session(thread, &Closable::close_if_idle);
                     });
    });
  }
}

void DataPlane::cut_short() {
  on_every_thread([](IoThread& thread) {
    thread.published.shutting_down = true;
    for_each_session(thread, &Closable::cut_short);
  });
}

void DataPlane::close_all() {
  on_every_thread([](IoThread& thread) { for_each_session(thread, &Closable::close_now); });
}

bool DataPlane::drained() const {
  return closed_acceptors_ == acceptors_.size() &&
         std::all_of(threads_.begin(), threads_.end(),
                     [](const auto& thread) { return thread->metrics.connections.get() == 0; });
}

std::uint32_t DataPlane::inflight(BackendId backend) const {
  return lane_->stats().inflight[backend].load(std::memory_order_relaxed);
}

std::uint64_t DataPlane::answered(BackendId backend) const {
  std::uint64_t answered = 0;
  for (const auto& thread : threads_)
    answered += thread->metrics.by_backend[backend].answered.get();
  return answered;
}

std::uint64_t DataPlane::load() const {
  std::uint64_t sum = 0;
  for (const auto& thread : threads_) {
    sum += thread->metrics.queued.get() + thread->metrics.inflight.get();
  }
  return sum;
}

// `into.backends` is there already, each with its id and its state.
void DataPlane::collect(Snapshot& into, TimePoint now) const {
  for (const auto& thread : threads_) {
    add(into, thread->metrics);
    into.buffered.add(thread->clients.receivers.held());
    into.stale_connections.add(thread->net.upstreams.stale());
    thread->models.for_each([&into](const ModelCounts& counts) {
      const auto known = std::ranges::find(into.by_model, counts.name, &ModelCounts::name);
      if (known != into.by_model.end()) {
        known->finished += counts.finished;
      } else {
        into.by_model.push_back(counts);
      }
    });
  }
  into.unrecorded = recorder_.lost();
  into.recording = recording_jobs();
  into.recorded_jobs = into.recording.size();
  into.unlogged = access_log_.lost();
  into.traces_sent = spans_.sent();
  into.traces_dropped = spans_.dropped();
  if (keys_) into.key_names = keys_->slot_names();
  const LaneStats& lane = lane_->stats();
  into.queued_prompts = lane.queued.load(std::memory_order_relaxed);
  into.affine = lane.affine.load(std::memory_order_relaxed);
  into.merged_calls = lane.merged_calls.load(std::memory_order_relaxed);
  into.merged_requests = lane.merged_tickets.load(std::memory_order_relaxed);
  for (std::size_t i = 0; i < into.batches.size(); ++i) {
    into.batches[i] = lane.batches[i].load(std::memory_order_relaxed);
  }
  into.waits += lane.waits;
  into.batch_prompts += lane.batch_prompts;
  into.oldest_waiting = lane.oldest_waiting.age(now);
  into.waits_for = lane.waits_for.load(std::memory_order_relaxed);
  for (BackendSnapshot& backend : into.backends) {
    static_cast<BackendMetrics&>(backend) = into.by_backend[backend.id];
    backend.up = backend.state == BackendState::kReady ? 1 : 0;
    backend.inflight = lane.inflight[backend.id].load(std::memory_order_relaxed);
    backend.room = lane.room[backend.id].load(std::memory_order_relaxed);
    backend.breaker_open = lane.failing[backend.id].load(std::memory_order_relaxed) ? 1 : 0;
    backend.stuck = lane.stuck[backend.id].load(std::memory_order_relaxed) ? 1 : 0;
    backend.takes += lane.takes[backend.id];
    backend.oldest = lane.oldest[backend.id].age(now);
    backend.quiet = lane.quiet_since[backend.id].age(now);
  }
}

std::vector<RecordedJobSnapshot> DataPlane::recording_jobs() const {
  std::vector<RecordedJobSnapshot> jobs;
  for (RecordedJob& job : recorder_.jobs()) {
    jobs.push_back({std::move(job.name), std::move(job.owner), job.recorded, job.replayed,
                    job.under_way, std::chrono::duration<double>(job.since_last).count()});
  }
  return jobs;
}

void DataPlane::search(const RecordSearch& search, std::function<void(Found)> tell) {
  struct Round {
    std::mutex lock;  // on what follows
    Found found;
    std::size_t left;
  };
  const auto round = std::make_shared<Round>();
  round->left = threads_.size();
  on_every_thread([round, search, tell = std::move(tell)](IoThread& thread) {
    Found found;
    search_in(thread.records, search, found);
    const std::lock_guard hold(round->lock);
    std::ranges::move(found, std::back_inserter(round->found));
    if (--round->left > 0) return;
    put_in_order(search, round->found);
    tell(std::move(round->found));
  });
}

void DataPlane::on_stall(const Stall& stall) {
  if (stall.stuck) {
    on_every_thread([id = stall.backend](IoThread& thread) { tell_stuck(thread.in_flight, id); });
  }
  if (told_of_stall_) told_of_stall_(stall);
}

void DataPlane::on_every_thread(const std::function<void(IoThread&)>& action) {
  for (auto& thread : threads_) {
    IoThread* target = thread.get();
    asio::post(thread->net.io, [action, target] { action(*target); });
  }
}

void DataPlane::stop() {
  for (auto& thread : threads_) thread->net.io.stop();
  if (lane_io_) lane_io_->stop();
  for (auto& thread : running_) thread.join();
  running_.clear();
  access_log_.finish();
  spans_.finish();
}

}  // namespace batchproxy
