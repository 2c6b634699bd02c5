// backends/names/resolver.h - Resolver: who turns names into addresses; the seam that tests
// replace.
//
// Threading: confined to the control thread, except look_up(), which blocks and may be called
// anywhere.
#pragma once

#include <functional>
#include <memory>

#include "backends/names/addresses.h"
#include "configs/schema/host_port.h"

namespace batchproxy {

// Asks the system, which may take as long as its name servers do: tens of seconds.
LookUp look_up(const HostPort& name);

class Resolver {
 public:
  using Tell = std::function<void(const LookUp&)>;

  virtual ~Resolver() = default;
  // Tells once, later, on the control thread; not any more once the resolver is destroyed.
  virtual void look_up(const HostPort& name, Tell tell) = 0;
};

// The addresses of a name, or of what is an address already, in the order in which to try them.
// `resolver` outlives the answer.
Task<Addresses> find_addresses(Resolver& resolver, HostPort name);

// Asks by look_up(), for each question on a thread of its own: a name server that does not answer
// keeps no other name waiting. Nothing can interrupt the system's resolver, so these threads are
// not waited for either: Asio's own resolver would be, at our end.
class SystemResolver final : public Resolver {
 public:
  explicit SystemResolver(asio::io_context& control);
  ~SystemResolver() override;
  void look_up(const HostPort& name, Tell tell) override;

 private:
  struct Desk;  // where answers are handed in
  std::shared_ptr<Desk> desk_;
};

}  // namespace batchproxy
