// backends/registry.cc - copies a backend, changes the copy, publishes it among the others.
#include "backends/registry.h"

#include <algorithm>
#include <utility>

namespace batchproxy {

namespace {

using Backends = std::vector<BackendPtr>;

bool same_server(const BackendRecord& a, const BackendRecord& b) {
  return a.endpoint->authority == b.endpoint->authority;
}

EndpointPtr with_id(Endpoint endpoint, BackendId id) {
  endpoint.id = id;
  return std::make_shared<const Endpoint>(std::move(endpoint));
}

void step(BackendRecord& backend, BackendEvent event) {
  backend.state = next(backend.state, event);
  if (!backend.is_ready()) return;
  backend.was_ready = true;
  backend.why.clear();
}

BackendPtr stepped(const BackendRecord& backend, BackendEvent event) {
  BackendRecord copy = backend;
  step(copy, event);
  return std::make_shared<const BackendRecord>(std::move(copy));
}

// What of `wanted` can change while a backend stays. False when it is talked to as before.
bool take_over(BackendRecord& backend, const BackendRecord& wanted) {
  backend.traits.max_num_seqs = wanted.traits.max_num_seqs;
  backend.models = wanted.models;
  const Endpoint& now = *backend.endpoint;
  const Endpoint& then = *wanted.endpoint;
  const bool as_ever = now.api_key == then.api_key && now.health_path == then.health_path &&
                       now.tls == nullptr && then.tls == nullptr;
  if (as_ever) return false;
  Endpoint endpoint = now;
  endpoint.api_key = then.api_key;
  endpoint.health_path = then.health_path;
  endpoint.tls = then.tls;  // what it trusts has been read anew
  endpoint.server_name = then.server_name;
  backend.endpoint = std::make_shared<const Endpoint>(std::move(endpoint));
  return true;
}

// Whether a table of models of the one is wrong for the other.
bool serve_otherwise(const Backends& before, const Backends& now) {
  const auto same = [](const BackendPtr& a, const BackendPtr& b) {
    if (a == b) return true;
    return a->generation == b->generation && a->is_present() == b->is_present() &&
           (a->state == BackendState::kFailed) == (b->state == BackendState::kFailed) &&
           a->models == b->models && a->served == b->served;
  };
  return !std::ranges::equal(before, now, same);
}

// The first id that nobody has, or had until a moment ago.
BackendId free_id(const Backends& before, const Backends& next) {
  BackendId id = 0;
  const auto is_free = [&](BackendId candidate) {
    return candidate < before.size() && next[candidate] == before[candidate] &&
           next[candidate]->state == BackendState::kRemoved;
  };
  while (id < next.size() && !is_free(id)) ++id;
  return id;
}

}  // namespace

Roster::Roster(std::vector<BackendPtr> backends, ModelTablePtr models)
    : backends_(std::move(backends)), models_(std::move(models)) {
  for (const BackendPtr& backend : backends_) {
    if (backend->is_present()) present_.push_back(backend);
    if (backend->is_ready()) ready_.insert(backend->id());
  }
}

BackendRegistry::BackendRegistry(std::vector<BackendRecord> first) {
  Backends backends;
  for (BackendRecord& backend : first) {
    backend.endpoint = with_id(*backend.endpoint, static_cast<BackendId>(backends.size()));
    backends.push_back(std::make_shared<const BackendRecord>(std::move(backend)));
  }
  become(std::move(backends), /*tell=*/false);
}

BackendRegistry::Step BackendRegistry::apply(BackendId id, BackendEvent event, std::string why) {
  BackendRecord copy = (*this)[id];
  const BackendState from = copy.state;
  if (!why.empty()) copy.why = std::move(why);
  step(copy, event);
  const Step taken{from, copy.state};
  put(std::move(copy), /*tell=*/taken.moved());
  return taken;
}

void BackendRegistry::set_why(BackendId id, std::string why) {
  if ((*this)[id].is_ready() || (*this)[id].why == why) return;
  BackendRecord copy = (*this)[id];
  copy.why = std::move(why);
  put(std::move(copy), /*tell=*/false);
}

void BackendRegistry::set_endpoint(EndpointPtr endpoint) {
  const BackendId id = endpoint->id;
  change(id, [&](BackendRecord& backend) { backend.endpoint = std::move(endpoint); });
}

void BackendRegistry::set_traits(BackendId id, const BackendTraits& traits) {
  if ((*this)[id].traits == traits) return;
  change(id, [&](BackendRecord& backend) { backend.traits = traits; });
}

void BackendRegistry::set_gpus(BackendId id, const std::string& gpus, const std::string& node) {
  if ((*this)[id].gpus == gpus && (*this)[id].node == node) return;
  change(id, [&](BackendRecord& backend) {
    backend.gpus = gpus;
    backend.node = node;
  });
}

void BackendRegistry::set_served(BackendId id, ModelList served) {
  if ((*this)[id].served == served) return;
  change(id, [&](BackendRecord& backend) { backend.served = std::move(served); });
}

void BackendRegistry::forget_model(BackendId id, std::string_view model) {
  ModelList served = (*this)[id].served;
  std::erase_if(served.models, [&](const ServedModel& one) { return one.id == model; });
  set_served(id, std::move(served));
}

void BackendRegistry::set_keyed(BackendId id, bool keyed) {
  if ((*this)[id].keyed == keyed) return;
  change(id, [&](BackendRecord& backend) { backend.keyed = keyed; });
}

void BackendRegistry::set_simulated(BackendId id, bool simulated) {
  if ((*this)[id].simulated == simulated) return;
  change(id, [&](BackendRecord& backend) { backend.simulated = simulated; });
}

std::optional<BackendRegistry::Changes> BackendRegistry::replace(
    const std::vector<BackendRecord>& wanted, const std::function<bool(BackendId)>& in_use) {
  Changes changes;
  Backends before = roster_->all();
  for (BackendPtr& backend : before) {
    const bool done = backend->state == BackendState::kDraining && !in_use(backend->id());
    if (done) backend = stepped(*backend, BackendEvent::kDrained);
  }
  Backends next = before;
  std::vector<bool> found(wanted.size(), false);
  for (BackendPtr& backend : next) {
    if (!backend->is_present()) continue;
    const auto match = std::ranges::find_if(wanted, [&](const BackendRecord& other) {
      return !found[static_cast<std::size_t>(&other - wanted.data())] &&
             same_server(*backend, other);
    });
    if (match == wanted.end()) {
      changes.removed.push_back(backend->id());
      backend = stepped(*backend, BackendEvent::kRemovalAsked);
      continue;
    }
    found[static_cast<std::size_t>(match - wanted.begin())] = true;
    BackendRecord copy = *backend;
    if (take_over(copy, *match)) changes.retold.push_back(copy.id());
    backend = std::make_shared<const BackendRecord>(std::move(copy));
  }
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (found[i]) continue;
    const BackendId id = free_id(before, next);
    if (id == BackendSet::kMax) return std::nullopt;
    if (id == next.size()) next.emplace_back();
    BackendRecord added = wanted[i];
    added.endpoint = with_id(*added.endpoint, id);
    if (next[id]) added.generation = next[id]->generation + 1;
    next[id] = std::make_shared<const BackendRecord>(std::move(added));
    changes.added.push_back(id);
  }
  become(std::move(next), /*tell=*/true);
  return changes;
}

template <class Change>
void BackendRegistry::change(BackendId id, Change change) {
  BackendRecord copy = (*this)[id];
  change(copy);
  put(std::move(copy), /*tell=*/true);
}

void BackendRegistry::put(BackendRecord next, bool tell) {
  const BackendId id = next.id();
  Backends backends = roster_->all();
  backends[id] = std::make_shared<const BackendRecord>(std::move(next));
  become(std::move(backends), tell);
}

void BackendRegistry::become(std::vector<BackendPtr> backends, bool tell) {
  ModelTablePtr models = roster_->models();
  if (serve_otherwise(roster_->all(), backends)) {
    models = std::make_shared<const ModelTable>(backends, ++model_versions_);
  }
  roster_ = std::make_shared<const Roster>(std::move(backends), std::move(models));
  if (tell && tell_) tell_(roster_);
}

}  // namespace batchproxy
