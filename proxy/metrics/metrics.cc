// proxy/metrics/metrics.cc - the sum over threads.
#include "proxy/metrics/metrics.h"

#include <utility>

#include <boost/pfr.hpp>

namespace batchproxy {

namespace {

template <class Set>
void add_members(Set& sum, const Set& more);

template <class Metric>
void add_member(Metric& sum, const Metric& more) {
  sum += more;
}

void add_member(decltype(Metrics::by_backend)& sum, const decltype(Metrics::by_backend)& more) {
  for (std::size_t i = 0; i < sum.size(); ++i) add_members(sum[i], more[i]);
}

template <class Set>
void add_members(Set& sum, const Set& more) {
  [&]<std::size_t... kIndex>(std::index_sequence<kIndex...>) {
    (add_member(boost::pfr::get<kIndex>(sum), boost::pfr::get<kIndex>(more)), ...);
  }(std::make_index_sequence<boost::pfr::tuple_size_v<Set>>());
}

}  // namespace

void add(Metrics& sum, const Metrics& thread) {
  add_members(sum, thread);
}

}  // namespace batchproxy
