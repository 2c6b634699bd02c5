// proxy/control/sites.cc - see sites.h.
#include "proxy/control/sites.h"

#include <algorithm>
#include <utility>

namespace batchproxy {

namespace {

bool same_server(const BackendSite& a, const BackendSite& b) {
  return a.endpoint->authority == b.endpoint->authority;
}

std::shared_ptr<const Endpoint> with_id(Endpoint endpoint, BackendId id) {
  endpoint.id = id;
  return std::make_shared<Endpoint>(std::move(endpoint));
}

}  // namespace

Sites::Sites(std::vector<BackendSite> first) {
  for (BackendSite& site : first) sites_.push_back({std::move(site)});
}

void Sites::set_endpoint(std::shared_ptr<const Endpoint> endpoint) {
  sites_[endpoint->id].endpoint = std::move(endpoint);
}

std::optional<Sites::Changes> Sites::replace(const std::vector<BackendSite>& wanted,
                                             const std::function<bool(BackendId)>& in_use) {
  std::vector<Site> next = sites_;
  Changes changes;
  std::vector<bool> found(wanted.size(), false);
  for (BackendId id = 0; id < next.size(); ++id) {
    Site& site = next[id];
    if (site.removed) continue;
    const auto match = std::ranges::find_if(wanted, [&](const BackendSite& other) {
      return !found[static_cast<std::size_t>(&other - wanted.data())] && same_server(site, other);
    });
    if (match == wanted.end()) {
      site.removed = true;
      changes.removed.push_back(id);
      continue;
    }
    found[static_cast<std::size_t>(match - wanted.begin())] = true;
    Endpoint endpoint = *site.endpoint;
    const std::string& key = match->endpoint->api_key;
    const std::string& health_path = match->endpoint->health_path;
    const bool rekeyed = std::exchange(endpoint.api_key, key) != key;
    const bool retold = std::exchange(endpoint.health_path, health_path) != health_path ||
                        site.models != match->models;
    if (rekeyed || retold) site.endpoint = with_id(std::move(endpoint), id);
    if (rekeyed) changes.rekeyed.push_back(id);
    if (retold) changes.retold.push_back(id);
    site.models = match->models;
    if (site.max_num_seqs != match->max_num_seqs) {
      site.max_num_seqs = match->max_num_seqs;
      changes.changed.push_back(id);
    }
  }
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (found[i]) continue;
    BackendId id = 0;
    const auto is_free = [&](BackendId candidate) {
      const bool gone_before = candidate < sites_.size() && sites_[candidate].removed;
      return gone_before && next[candidate].removed && !in_use(candidate);
    };
    while (id < next.size() && !is_free(id)) ++id;
    if (id == BackendSet::kMax) return std::nullopt;
    if (id == next.size()) next.emplace_back();
    next[id] = Site{wanted[i]};
    next[id].endpoint = with_id(*wanted[i].endpoint, id);
    changes.added.push_back(id);
  }
  sites_ = std::move(next);
  return changes;
}

}  // namespace batchproxy
