// proxy/control/service_manager.h - ServiceManager: tells systemd how we fare, where it runs us as
// a service of `Type=notify`: that we serve, that we are alive, that we stop, and a line of status.
//
// Source: sd_notify(3). Messages are datagrams to the socket that NOTIFY_SOCKET names; whether they
// arrive is systemd's business, and nothing waits for that.
//
// Threading: confined to the control thread, whose turn is what the watchdog watches.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "backends/net/descriptor.h"
#include "batcher/base/time.h"
#include "configs/sources/environment.h"
#include "proxy/metrics/snapshot.h"

namespace batchproxy {

class ServiceManager {
 public:
  // Silent where `environment` names no socket.
  explicit ServiceManager(const Environment& environment);

  void ready() { send("READY=1"); }
  void stopping() { send("STOPPING=1"); }
  // From time to time, at least each half of what the watchdog allows.
  void tick(TimePoint now, std::string_view status);

 private:
  void send(const std::string& message);

  std::string address_;  // empty: nobody wants to know
  Descriptor socket_;
  std::optional<Duration> watchdog_;
  TimePoint told_alive_{};
  std::string told_status_;
};

// "2 of 4 backends ready; 12 requests in flight, 3 wait; 8.2 answers/s"
std::string status_line(const Snapshot& now);

}  // namespace batchproxy
