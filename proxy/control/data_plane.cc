// proxy/control/data_plane.cc - see data_plane.h.
#include "proxy/control/data_plane.h"

#include <algorithm>
#include <random>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "proxy/request/ticket_facts.h"

namespace batchproxy {

namespace {

// Tells the ids of two runs apart, so that they can meet in an engine's log.
std::string random_prefix(std::size_t thread) {
  std::random_device random;
  return fmt::format("bp{:08x}-{:02x}-", random(), thread);
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

void end_on_error(std::exception_ptr error) {
  if (error) std::rethrow_exception(error);
}

// A session may end by it.
void for_each_session(IoThread& thread, void (Closable::*action)()) {
  for (auto it = thread.sessions.begin(); it != thread.sessions.end();) ((*it++).*action)();
}

}  // namespace

DataPlane::DataPlane(Setup setup) : limits_(setup.settings, setup.threads), keys_(setup.keys) {
  for (std::size_t i = 0; i < setup.threads; ++i) {
    auto thread = std::make_unique<IoThread>(setup.settings, limits_, i);
    thread->id_prefix = random_prefix(i);
    thread->models = std::make_shared<ModelTable>();
    thread->keys = keys_;
    thread->monitor.report_failure = setup.report_failure;
    thread->monitor.look_at = setup.look_at;
    thread->monitor.refresh_models = setup.refresh_models;
    thread->poison = &poison_;
    thread->load = [this] { return load(); };
    threads_.push_back(std::move(thread));
  }
  if (setup.threads > 1) lane_io_ = std::make_unique<asio::io_context>(1);
  lane_ = std::make_unique<Lane>(lane_io_ ? *lane_io_ : threads_.front()->io, setup.scheduler);
  if (setup.on_batch_done) lane_->watch_batches(setup.on_batch_done);
  told_of_stall_ = setup.on_stall;
  lane_->watch_stalls([this](const Stall& stall) { on_stall(stall); });
  lane_->watch_recalls([this](const Recall& recall) {
    on_every_thread([recall](IoThread& thread) { tell_recall(thread.in_flight, recall); });
  });
  for (auto& thread : threads_) thread->lane = &lane_->add_port(thread->io);
}

DataPlane::~DataPlane() {
  stop();
}

asio::ip::tcp::endpoint DataPlane::listen(const std::string& host_port, const MayHave& may_have) {
  acceptors_.push_back(listen_on(threads_.front()->io, host_port, "--listen", may_have));
  for (std::size_t i = 1; i < threads_.size(); ++i) {
    acceptors_.push_back(duplicate(acceptors_.front(), threads_[i]->io));
  }
  return acceptors_.front().local_endpoint();
}

void DataPlane::start() {
  for (std::size_t i = 0; i < threads_.size(); ++i) {
    IoThread& thread = *threads_[i];
    asio::co_spawn(thread.io.get_executor(), accept_clients(thread, acceptors_[i]), &end_on_error);
    running_.emplace_back([&thread] { run_forever(thread.io); });
  }
  if (lane_io_) running_.emplace_back([this] { run_forever(*lane_io_); });
}

void DataPlane::add_backend(const BackendSite& site) {
  const BackendId id = site.endpoint->id;
  set_endpoint(site.endpoint);
  if (id >= traits_.size()) traits_.resize(id + 1);
  traits_[id] = {.max_num_seqs = site.max_num_seqs};
  lane_->add_backend(id, traits_[id]);
}

void DataPlane::set_endpoint(std::shared_ptr<const Endpoint> endpoint) {
  on_every_thread([endpoint](IoThread& thread) { thread.upstreams.set(endpoint); });
}

void DataPlane::resize_backend(BackendId backend, std::uint32_t max_num_seqs) {
  traits_[backend].max_num_seqs = max_num_seqs;
  lane_->set_backend(backend, traits_[backend]);
}

void DataPlane::set_settings(const DataPathSettings& settings, const SchedulerOptions& scheduler) {
  on_every_thread([settings](IoThread& thread) {
    thread.settings = settings;
    thread.upstreams.set_connect_timeout(settings.connect_timeout);
  });
  lane_->set_options(scheduler);
}

void DataPlane::set_up(BackendId backend, bool up) {
  lane_->set_up(backend, up);
  on_every_thread([backend, up](IoThread& thread) {
    if (up) {
      thread.ready.insert(backend);
    } else {
      thread.ready.erase(backend);
    }
  });
}

void DataPlane::set_abilities(BackendId backend, const Abilities& abilities) {
  traits_[backend].exact_usage = abilities.token_ids;
  traits_[backend].chat_batches = abilities.chat_batches;
  lane_->set_backend(backend, traits_[backend]);
}

void DataPlane::set_metrics(BackendId backend, const std::optional<EngineMetrics>& metrics) {
  if (metrics && metrics->kv_tokens != traits_[backend].kv_tokens) {
    traits_[backend].kv_tokens = metrics->kv_tokens;
    lane_->set_backend(backend, traits_[backend]);
  }
  std::optional<EngineSample> sample;
  if (metrics) sample = metrics->sample;
  lane_->observe(backend, sample);
}

void DataPlane::set_keys(ApiKeysPtr keys) {
  keys_ = keys;
  on_every_thread([keys](IoThread& thread) { thread.keys = keys; });
}

void DataPlane::set_models(ModelTablePtr models) {
  // The threads first: what the lane then grants, they know.
  on_every_thread([models](IoThread& thread) { thread.models = models; });
  lane_->set_routes(make_routes(*models));
}

void DataPlane::drain() {
  lane_->drain();
  for (std::size_t i = 0; i < threads_.size(); ++i) {
    asio::post(threads_[i]->io, [this, i] {
      IoThread& thread = *threads_[i];
      thread.draining = true;
      accept_backlog(thread, acceptors_[i]);
      acceptors_[i].close();
      ++closed_acceptors_;
      for_each_session(thread, &Closable::close_if_idle);
    });
  }
}

void DataPlane::cut_short() {
  on_every_thread([](IoThread& thread) {
    thread.shutting_down = true;
    for_each_session(thread, &Closable::cut_short);
  });
}

void DataPlane::close_all() {
  on_every_thread([](IoThread& thread) { for_each_session(thread, &Closable::close_now); });
}

bool DataPlane::drained() const {
  return closed_acceptors_ == threads_.size() &&
         std::all_of(threads_.begin(), threads_.end(),
                     [](const auto& thread) { return thread->metrics.connections.get() == 0; });
}

std::uint32_t DataPlane::inflight(BackendId backend) const {
  return lane_->stats().inflight[backend].load(std::memory_order_relaxed);
}

std::uint64_t DataPlane::answered(BackendId backend) const {
  std::uint64_t answered = 0;
  for (const auto& thread : threads_) answered += thread->metrics.answered[backend].get();
  return answered;
}

std::uint64_t DataPlane::load() const {
  std::uint64_t sum = 0;
  for (const auto& thread : threads_) {
    sum += thread->metrics.queued.get() + thread->metrics.inflight.get();
  }
  return sum;
}

// `into.backends` is there already, each with its id.
void DataPlane::collect(Snapshot& into) const {
  for (const auto& thread : threads_) {
    const ThreadMetrics& from = thread->metrics;
    into.received += from.received.get();
    into.queued += from.queued.get();
    into.inflight += from.inflight.get();
    into.retried += from.retried.get();
    into.prompts_answered += from.prompts_answered.get();
    into.connections += from.connections.get();
    into.accepted += from.accepted.get();
    into.idle += from.idle.get();
    into.evicted += from.evicted.get();
    into.buffered += thread->intakes.held();
    for (std::size_t i = 0; i < into.accept_errors.size(); ++i) {
      into.accept_errors[i] += from.accept_errors[i].get();
    }
    for (std::size_t i = 0; i < into.finished.size(); ++i)
      into.finished[i] += from.finished[i].get();
    for (std::size_t i = 0; i < into.errors.size(); ++i) into.errors[i] += from.errors[i].get();
    for (std::size_t i = 0; i < into.latency.size(); ++i) {
      into.latency[i] += from.latency.bucket(i).get();
    }
    into.latency_sum += static_cast<double>(from.latency.sum_us()) / 1e6;
    into.poisoned += from.poisoned.get();
    into.split_calls += from.split_calls.get();
    into.mismatched_calls += from.mismatched_calls.get();
    into.broken_streams += from.broken_streams.get();
    into.stale_connections += thread->upstreams.stale();
    for (BackendSnapshot& backend : into.backends) {
      backend.answered += from.answered[backend.id].get();
      for (std::size_t i = 0; i < kCallFailures; ++i) {
        backend.failed_attempts[i] += from.failed_attempts[backend.id][i].get();
      }
    }
  }
  collect_keys(into);
  const LaneStats& lane = lane_->stats();
  into.queued_prompts = lane.queued.load(std::memory_order_relaxed);
  for (std::size_t i = 0; i < into.batches.size(); ++i) {
    into.batches[i] = lane.batches[i].load(std::memory_order_relaxed);
  }
  for (BackendSnapshot& backend : into.backends) {
    backend.inflight = lane.inflight[backend.id].load(std::memory_order_relaxed);
    backend.room = lane.room[backend.id].load(std::memory_order_relaxed);
    backend.breaker_open = lane.breaker_open[backend.id].load(std::memory_order_relaxed);
    backend.stuck = lane.stuck[backend.id].load(std::memory_order_relaxed);
  }
  into.affine = lane.affine.load(std::memory_order_relaxed);
  into.merged_calls = lane.merged_calls.load(std::memory_order_relaxed);
  into.merged_requests = lane.merged_tickets.load(std::memory_order_relaxed);
}

void DataPlane::collect_keys(Snapshot& into) const {
  if (!keys_) return;
  const auto sum = [this](std::size_t slot) {
    std::uint64_t requests = 0;
    for (const auto& thread : threads_) requests += thread->metrics.by_key[slot].get();
    return requests;
  };
  const std::vector<std::string>& names = keys_->slot_names();
  for (std::size_t i = 0; i < names.size(); ++i) into.keys.push_back({names[i], sum(i)});
  if (const auto rest = sum(kMaxKeySlots - 1)) into.keys.push_back({"(others)", rest});
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
    asio::post(thread->io, [action, target] { action(*target); });
  }
}

void DataPlane::stop() {
  for (auto& thread : threads_) thread->io.stop();
  if (lane_io_) lane_io_->stop();
  for (auto& thread : running_) thread.join();
  running_.clear();
}

}  // namespace batchproxy
