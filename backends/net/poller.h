// backends/net/poller.h - Poller: which of an I/O thread's sockets have become ready.
//
// Asio's own sockets ask the kernel anew for every wait, which is two system calls a request. Here
// a socket is registered once, edge-triggered, in an epoll set that Asio watches as one descriptor:
// the kernel is asked once for all sockets that became ready together (docs/PERFORMANCE.md).
//
// Each report is made once. So an owner must remember that its socket is readable, until a read
// finds it empty.
//
// Threading: confined to the I/O thread whose io_context it was made on. That io_context does not
// run out of work.
#pragma once

#include <span>

#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/intrusive/list.hpp>
#include <sys/epoll.h>

#include "backends/net/task.h"

namespace batchproxy {

// The owner of a socket embeds one.
class Pollable : public boost::intrusive::list_base_hook<> {
 public:
  struct Ready {
    bool readable = false;  // bytes, or the peer's end, have come
    bool writable = false;  // it is connected and not full, or broken
    // A short read does not mean that nothing is left: behind the bytes is an end, or an urgent
    // one, at which a read stops.
    bool read_until_empty = false;
  };
  // The owner may remove or destroy any Pollable in here, itself included.
  virtual void on_ready(Ready ready) = 0;
  // The thread ends: nothing will be reported any more, and the owner has been removed already. It
  // may destroy any Pollable, itself included.
  virtual void on_abandoned() = 0;

 protected:
  Pollable() = default;
  ~Pollable() = default;
  Pollable(const Pollable&) = delete;
  Pollable& operator=(const Pollable&) = delete;
};

class Poller {
 public:
  // Throws boost::system::system_error when the system has no descriptor for it.
  explicit Poller(asio::io_context& io);
  ~Poller();  // abandons whoever is left

  // Reports from now on, and in the next turn what is ready already. Fails when the system has no
  // room for it.
  ErrorCode add(int socket, Pollable& owner);
  // To be called before `socket` is closed. Nothing is reported afterwards.
  void remove(int socket, Pollable& owner);

  IoExecutor executor() { return set_.get_executor(); }

 private:
  void wait();
  void dispatch();

  asio::posix::basic_stream_descriptor<IoExecutor> set_;
  boost::intrusive::list<Pollable, boost::intrusive::constant_time_size<false>> owners_;
  std::span<epoll_event> pending_;  // taken from the kernel, and not reported yet
};

}  // namespace batchproxy
