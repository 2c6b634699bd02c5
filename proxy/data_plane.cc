// proxy/data_plane.cc - see data_plane.h.
#include "proxy/data_plane.h"

#include <algorithm>
#include <random>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

namespace batchproxy {

namespace {

// Tells the ids of two runs apart, so that they can meet in an engine's log.
std::string random_prefix(std::size_t thread) {
  std::random_device random;
  return fmt::format("bp{:08x}-{}-", random(), thread);
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

}  // namespace

DataPlane::DataPlane(Setup setup, const std::vector<BackendSite>& sites)
    : limits_(setup.settings, setup.threads) {
  for (std::size_t i = 0; i < setup.threads; ++i) {
    auto thread = std::make_unique<IoThread>(setup.settings, limits_, i);
    thread->id_prefix = random_prefix(i);
    thread->models = std::make_shared<ModelTable>();
    thread->report_failure = setup.report_failure;
    for (const BackendSite& site : sites) thread->upstreams.add(&site.endpoint);
    threads_.push_back(std::move(thread));
  }
  if (setup.threads > 1) lane_io_ = std::make_unique<asio::io_context>(1);
  lane_ = std::make_unique<Lane>(lane_io_ ? *lane_io_ : threads_.front()->io, setup.scheduler);
  if (setup.on_batch_done) lane_->watch_batches(setup.on_batch_done);
  for (auto& thread : threads_) thread->lane = &lane_->add_port(thread->io);
  for (const BackendSite& site : sites) {
    traits_.push_back({.max_num_seqs = site.max_num_seqs});
    lane_->set_backend(site.endpoint.id, traits_.back());
  }
}

DataPlane::~DataPlane() {
  stop();
}

asio::ip::tcp::endpoint DataPlane::listen(const std::string& host_port) {
  acceptors_.push_back(listen_on(threads_.front()->io, host_port, "--listen"));
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

void DataPlane::set_ready(BackendId backend, bool ready, bool any_ready) {
  lane_->set_ready(backend, ready);
  on_every_thread([any_ready](IoThread& thread) { thread.any_ready = any_ready; });
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

void DataPlane::set_models(ModelTablePtr models) {
  on_every_thread([models](IoThread& thread) { thread.models = models; });
}

void DataPlane::drain() {
  lane_->drain();
  for (std::size_t i = 0; i < threads_.size(); ++i) {
    asio::post(threads_[i]->io, [this, i] {
      IoThread& thread = *threads_[i];
      thread.draining = true;
      acceptors_[i].close();
      ++closed_acceptors_;
      for (auto it = thread.sessions.begin(); it != thread.sessions.end();) {
        (it++)->close_if_idle();
      }
    });
  }
}

void DataPlane::close_all() {
  on_every_thread([](IoThread& thread) {
    for (auto it = thread.sessions.begin(); it != thread.sessions.end();) (it++)->close_now();
  });
}

bool DataPlane::drained() const {
  return closed_acceptors_ == threads_.size() &&
         std::all_of(threads_.begin(), threads_.end(),
                     [](const auto& thread) { return thread->metrics.connections.get() == 0; });
}

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
    for (std::size_t i = 0; i < into.backends.size(); ++i) {
      into.backends[i].answered += from.answered[i].get();
    }
  }
  const LaneStats& lane = lane_->stats();
  into.queued_prompts = lane.queued.load(std::memory_order_relaxed);
  for (std::size_t i = 0; i < into.batches.size(); ++i) {
    into.batches[i] = lane.batches[i].load(std::memory_order_relaxed);
  }
  for (std::size_t i = 0; i < into.backends.size(); ++i) {
    into.backends[i].inflight = lane.inflight[i].load(std::memory_order_relaxed);
    into.backends[i].room = lane.room[i].load(std::memory_order_relaxed);
  }
  into.affine = lane.affine.load(std::memory_order_relaxed);
  into.merged_calls = lane.merged_calls.load(std::memory_order_relaxed);
  into.merged_requests = lane.merged_tickets.load(std::memory_order_relaxed);
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
